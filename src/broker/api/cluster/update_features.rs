//! UpdateFeatures: the controller decides; a broker passes the request on and the answer back
//! (KIP-584, KIP-1022).

use std::sync::Arc;

use crate::broker::api::forward::{pass_on, patience};
use crate::broker::context::Broker;
use crate::broker::controller::ControllerShell;
use crate::broker::serve::handler::{Context, Handler, Outcome};
use crate::io::World;
use crate::wire::messages::update_features_response::UpdatableFeatureResult;
use crate::wire::messages::{StrBytes, UpdateFeaturesRequest, UpdateFeaturesResponse, message};

/// From here on an update names its kind.
const KINDS: i16 = 1;

/// From here on an error is about all updates, and no feature is named.
const ONE_ERROR: i16 = 2;

/// Kinds of updates, as on the wire.
const UPGRADE: i8 = 1;
const SAFE_DOWNGRADE: i8 = 2;

pub(in crate::broker) struct UpdateFeatures;

impl<W: World> Handler<Broker<W>> for UpdateFeatures {
    type Request = UpdateFeaturesRequest;
    type Response = UpdateFeaturesResponse;

    async fn handle(
        broker: &Arc<Broker<W>>,
        request: UpdateFeaturesRequest,
        context: Context<'_>,
    ) -> UpdateFeaturesResponse {
        let (request, names) = newest(request, context.version);
        let patience = patience(request.timeout_ms);
        let response = pass_on(broker, request, patience, |_, error_code, text| {
            message!(UpdateFeaturesResponse { error_code: error_code, error_message: Some(text) })
        });
        in_version(response.await, names, context.version)
    }
}

impl<W: World> Handler<ControllerShell<W>> for UpdateFeatures {
    type Request = UpdateFeaturesRequest;
    type Response = Outcome<UpdateFeaturesResponse>;

    async fn handle(
        controller: &Arc<ControllerShell<W>>,
        request: UpdateFeaturesRequest,
        context: Context<'_>,
    ) -> Outcome<UpdateFeaturesResponse> {
        let (request, names) = newest(request, context.version);
        let decided = controller.decide(|machine, now, _| machine.update_features(now, &request));
        let decided = decided.await;
        decided.map(|response| in_version(response, names, context.version)).into()
    }
}

/// The request as the newest version has it, and the features that it names.
fn newest(
    mut request: UpdateFeaturesRequest,
    version: i16,
) -> (UpdateFeaturesRequest, Vec<StrBytes>) {
    for update in request.feature_updates.iter_mut().filter(|_| version < KINDS) {
        update.upgrade_type = if update.allow_downgrade { SAFE_DOWNGRADE } else { UPGRADE };
        update.allow_downgrade = false;
    }
    let names = request.feature_updates.iter().map(|update| update.feature.clone()).collect();
    (request, names)
}

/// The response as a version has it: before version 2, each feature has the error.
fn in_version(
    response: UpdateFeaturesResponse,
    names: Vec<StrBytes>,
    version: i16,
) -> UpdateFeaturesResponse {
    if version >= ONE_ERROR {
        return response;
    }
    let results = names.into_iter().map(|feature| {
        message!(UpdatableFeatureResult {
            feature: feature,
            error_code: response.error_code,
            error_message: response.error_message.clone(),
        })
    });
    message!(UpdateFeaturesResponse { results: results.collect() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::messages::update_features_request::FeatureUpdateKey;

    #[test]
    fn first_version_says_by_a_flag_whether_a_feature_may_be_downgraded() {
        for (allow_downgrade, kind) in [(false, UPGRADE), (true, SAFE_DOWNGRADE)] {
            let update = message!(FeatureUpdateKey { allow_downgrade: allow_downgrade });
            let request = message!(UpdateFeaturesRequest { feature_updates: vec![update] });
            let (request, _) = newest(request, 0);
            assert_eq!(request.feature_updates[0].upgrade_type, kind);
        }
    }

    #[test]
    fn versions_before_2_have_the_error_at_each_feature() {
        let response = || message!(UpdateFeaturesResponse { error_code: 95 });
        let names = || vec!["a".into(), "b".into()];
        assert_eq!(in_version(response(), names(), 2), response());
        let old = in_version(response(), names(), 1);
        assert_eq!(old.error_code, 0);
        assert!(old.results.iter().all(|result| result.error_code == 95));
        assert_eq!(old.results.len(), 2);
    }
}
