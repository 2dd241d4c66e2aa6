//! DeleteTopics: the controller decides; a broker passes the request on and the answer back.

use std::sync::Arc;

use crate::broker::api::forward::{pass_on, patience};
use crate::broker::context::Broker;
use crate::broker::controller::ControllerShell;
use crate::broker::serve::handler::{Context, Handler, Outcome};
use crate::io::World;
use crate::wire::messages::delete_topics_request::DeleteTopicState;
use crate::wire::messages::delete_topics_response::DeletableTopicResult;
use crate::wire::messages::{DeleteTopicsRequest, DeleteTopicsResponse, message};

pub(in crate::broker) struct DeleteTopics;

impl<W: World> Handler<Broker<W>> for DeleteTopics {
    type Request = DeleteTopicsRequest;
    type Response = DeleteTopicsResponse;

    async fn handle(
        broker: &Arc<Broker<W>>,
        mut request: DeleteTopicsRequest,
        _: Context<'_>,
    ) -> DeleteTopicsResponse {
        // Before v6 topics came as bare names; the newest version is spoken to the controller.
        let named = std::mem::take(&mut request.topic_names);
        let named = named.into_iter().map(|name| message!(DeleteTopicState { name: Some(name) }));
        request.topics.extend(named);
        let patience = patience(request.timeout_ms);
        pass_on(broker, request, patience, |request, error_code, text| {
            let refused = request.topics.into_iter().map(|topic| {
                message!(DeletableTopicResult {
                    name: topic.name,
                    topic_id: topic.topic_id,
                    error_code: error_code,
                    error_message: Some(text.clone()),
                })
            });
            message!(DeleteTopicsResponse { responses: refused.collect() })
        })
        .await
    }
}

impl<W: World> Handler<ControllerShell<W>> for DeleteTopics {
    type Request = DeleteTopicsRequest;
    type Response = Outcome<DeleteTopicsResponse>;

    async fn handle(
        controller: &Arc<ControllerShell<W>>,
        request: DeleteTopicsRequest,
        _: Context<'_>,
    ) -> Outcome<DeleteTopicsResponse> {
        controller.decide(|machine, now, _| machine.delete_topics(now, &request)).await.into()
    }
}
