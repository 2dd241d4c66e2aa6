//! IncrementalAlterConfigs: changes single settings (KIP-339).

use std::sync::Arc;

use crate::broker::api::forward::pass_on;
use crate::broker::context::Broker;
use crate::broker::controller::ControllerShell;
use crate::broker::serve::handler::{Context, Handler, Outcome};
use crate::io::World;
use crate::wire::messages::incremental_alter_configs_response::AlterConfigsResourceResponse;
use crate::wire::messages::{
    IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse, message,
};

pub(in crate::broker) struct IncrementalAlterConfigs;

impl<W: World> Handler<Broker<W>> for IncrementalAlterConfigs {
    type Request = IncrementalAlterConfigsRequest;
    type Response = IncrementalAlterConfigsResponse;

    async fn handle(
        broker: &Arc<Broker<W>>,
        request: IncrementalAlterConfigsRequest,
        _: Context<'_>,
    ) -> IncrementalAlterConfigsResponse {
        let patience = broker.config.node.controller_socket_timeout;
        pass_on(broker, request, patience, |request, error_code, text| {
            let refused = request.resources.into_iter().map(|resource| {
                message!(AlterConfigsResourceResponse {
                    resource_type: resource.resource_type,
                    resource_name: resource.resource_name,
                    error_code: error_code,
                    error_message: Some(text.clone()),
                })
            });
            message!(IncrementalAlterConfigsResponse { responses: refused.collect() })
        })
        .await
    }
}

impl<W: World> Handler<ControllerShell<W>> for IncrementalAlterConfigs {
    type Request = IncrementalAlterConfigsRequest;
    type Response = Outcome<IncrementalAlterConfigsResponse>;

    async fn handle(
        controller: &Arc<ControllerShell<W>>,
        request: IncrementalAlterConfigsRequest,
        _: Context<'_>,
    ) -> Outcome<IncrementalAlterConfigsResponse> {
        controller
            .decide(|machine, now, _| machine.incremental_alter_configs(now, &request))
            .await
            .into()
    }
}
