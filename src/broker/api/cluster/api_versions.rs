//! ApiVersions: which APIs a listener serves in which versions (KIP-35), and which client library
//! asks (KIP-511).

use std::sync::Arc;

use crate::broker::serve::handler::{Context, Handler, Role};
use crate::broker::serve::session::Software;
use crate::wire::ErrorCode;
use crate::wire::api;
use crate::wire::messages::{ApiVersionsRequest, ApiVersionsResponse, message};

/// The first version that names the client library.
const SOFTWARE: i16 = 3;

pub(in crate::broker) struct ApiVersions;

impl<R: Role> Handler<R> for ApiVersions {
    type Request = ApiVersionsRequest;
    type Response = ApiVersionsResponse;

    async fn handle(
        _: &Arc<R>,
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
        api::versions(R::apis())
    }
}
