//! ApiVersions: which APIs a listener serves in which versions (KIP-35), which features the cluster
//! uses (KIP-584), and which client library asks (KIP-511).

use std::sync::Arc;

use crate::broker::serve::handler::{Context, Handler, Role};
use crate::broker::serve::session::Software;
use crate::controller::FEATURES;
use crate::wire::ErrorCode;
use crate::wire::api;
use crate::wire::messages::{ApiVersionsRequest, ApiVersionsResponse, message};

/// The first version that names the client library.
const SOFTWARE: i16 = 3;

/// The first version in which a supported feature may have level 0.
const FEATURES_OFF: i16 = 4;

pub(in crate::broker) struct ApiVersions;

impl<R: Role> Handler<R> for ApiVersions {
    type Request = ApiVersionsRequest;
    type Response = ApiVersionsResponse;

    async fn handle(
        role: &Arc<R>,
        request: ApiVersionsRequest,
        context: Context<'_>,
    ) -> ApiVersionsResponse {
        if context.version >= SOFTWARE {
            let (name, version) = (request.client_software_name, request.client_software_version);
            let Some(software) = Software::new(&name, &version) else {
                let error = ErrorCode::InvalidRequest.code();
                return message!(ApiVersionsResponse { error_code: error });
            };
            context.session.set_software(software);
        }
        let mut response = api::versions(R::apis());
        if context.version >= SOFTWARE && !context.session.is_librdkafka() {
            add_features(role, &mut response, context.version);
        }
        response
    }
}

/// Before version 4, clients can't read a supported feature that may be off (KAFKA-17011).
fn add_features<R: Role>(role: &Arc<R>, response: &mut ApiVersionsResponse, version: i16) {
    let Some(image) = role.metadata() else { return };
    let readable = FEATURES.iter().filter(|one| version >= FEATURES_OFF || one.min > 0);
    let supported = readable.map(|one| (one.name, one.min, one.max));
    let epoch = image.offset().map_or(-1, |offset| offset.0);
    api::add_features(response, supported, image.features(), epoch);
}
