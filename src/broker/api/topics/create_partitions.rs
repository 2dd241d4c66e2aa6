//! CreatePartitions: the controller decides; a broker passes the request on and the answer back.

use std::sync::Arc;

use crate::broker::api::forward::{pass_on, patience};
use crate::broker::context::Broker;
use crate::broker::controller::ControllerShell;
use crate::broker::serve::handler::{Context, Handler, Outcome};
use crate::io::World;
use crate::wire::messages::create_partitions_response::CreatePartitionsTopicResult;
use crate::wire::messages::{CreatePartitionsRequest, CreatePartitionsResponse, message};

pub(in crate::broker) struct CreatePartitions;

impl<W: World> Handler<Broker<W>> for CreatePartitions {
    type Request = CreatePartitionsRequest;
    type Response = CreatePartitionsResponse;

    async fn handle(
        broker: &Arc<Broker<W>>,
        request: CreatePartitionsRequest,
        _: Context<'_>,
    ) -> CreatePartitionsResponse {
        let patience = patience(request.timeout_ms);
        pass_on(broker, request, patience, |request, error_code, text| {
            let refused = request.topics.into_iter().map(|topic| {
                message!(CreatePartitionsTopicResult {
                    name: topic.name,
                    error_code: error_code,
                    error_message: Some(text.clone()),
                })
            });
            message!(CreatePartitionsResponse { results: refused.collect() })
        })
        .await
    }
}

impl<W: World> Handler<ControllerShell<W>> for CreatePartitions {
    type Request = CreatePartitionsRequest;
    type Response = Outcome<CreatePartitionsResponse>;

    async fn handle(
        controller: &Arc<ControllerShell<W>>,
        request: CreatePartitionsRequest,
        _: Context<'_>,
    ) -> Outcome<CreatePartitionsResponse> {
        controller.decide(|machine, now, _| machine.create_partitions(now, &request)).await.into()
    }
}
