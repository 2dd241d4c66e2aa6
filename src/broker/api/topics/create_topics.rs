//! CreateTopics: the controller decides; a broker passes the request on and the answer back.

use std::sync::Arc;

use crate::broker::api::forward::{pass_on, patience};
use crate::broker::context::Broker;
use crate::broker::controller::ControllerShell;
use crate::broker::serve::handler::{Context, Handler, Outcome};
use crate::io::World;
use crate::wire::messages::create_topics_response::CreatableTopicResult;
use crate::wire::messages::{CreateTopicsRequest, CreateTopicsResponse, message};

pub(in crate::broker) struct CreateTopics;

impl<W: World> Handler<Broker<W>> for CreateTopics {
    type Request = CreateTopicsRequest;
    type Response = CreateTopicsResponse;

    async fn handle(
        broker: &Arc<Broker<W>>,
        request: CreateTopicsRequest,
        _: Context<'_>,
    ) -> CreateTopicsResponse {
        let patience = patience(request.timeout_ms);
        pass_on(broker, request, patience, |request, error_code, text| {
            let refused = request.topics.into_iter().map(|topic| {
                message!(CreatableTopicResult {
                    name: topic.name,
                    error_code: error_code,
                    error_message: Some(text.clone()),
                    configs: Some(Vec::new()),
                })
            });
            message!(CreateTopicsResponse { topics: refused.collect() })
        })
        .await
    }
}

impl<W: World> Handler<ControllerShell<W>> for CreateTopics {
    type Request = CreateTopicsRequest;
    type Response = Outcome<CreateTopicsResponse>;

    async fn handle(
        controller: &Arc<ControllerShell<W>>,
        request: CreateTopicsRequest,
        _: Context<'_>,
    ) -> Outcome<CreateTopicsResponse> {
        controller.decide(|machine, now, _| machine.create_topics(now, &request)).await.into()
    }
}
