//! AlterConfigs: replaces all settings of topics or of all brokers.

use std::sync::Arc;

use crate::broker::api::forward::pass_on;
use crate::broker::context::Broker;
use crate::broker::controller::ControllerShell;
use crate::broker::serve::handler::{Context, Handler, Outcome};
use crate::io::World;
use crate::wire::messages::alter_configs_response::AlterConfigsResourceResponse;
use crate::wire::messages::{AlterConfigsRequest, AlterConfigsResponse, message};

pub(in crate::broker) struct AlterConfigs;

impl<W: World> Handler<Broker<W>> for AlterConfigs {
    type Request = AlterConfigsRequest;
    type Response = AlterConfigsResponse;

    async fn handle(
        broker: &Arc<Broker<W>>,
        request: AlterConfigsRequest,
        _: Context<'_>,
    ) -> AlterConfigsResponse {
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
            message!(AlterConfigsResponse { responses: refused.collect() })
        })
        .await
    }
}

impl<W: World> Handler<ControllerShell<W>> for AlterConfigs {
    type Request = AlterConfigsRequest;
    type Response = Outcome<AlterConfigsResponse>;

    async fn handle(
        controller: &Arc<ControllerShell<W>>,
        request: AlterConfigsRequest,
        _: Context<'_>,
    ) -> Outcome<AlterConfigsResponse> {
        controller.decide(|machine, now, _| machine.alter_configs(now, &request)).await.into()
    }
}
