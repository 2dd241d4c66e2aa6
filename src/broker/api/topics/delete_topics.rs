//! DeleteTopics: the controller decides; a broker passes the request on and the answer back.

use std::sync::Arc;
use std::time::Duration;

use crate::broker::context::Broker;
use crate::broker::controller::ControllerShell;
use crate::broker::serve::handler::{Context, Handler, Outcome};
use crate::io::World;
use crate::wire::ErrorCode;
use crate::wire::messages::delete_topics_request::DeleteTopicState;
use crate::wire::messages::delete_topics_response::DeletableTopicResult;
use crate::wire::messages::{DeleteTopicsRequest, DeleteTopicsResponse, message};

/// A client that does not wait at all still wants the controller to hear of it.
const LEAST_PATIENCE: Duration = Duration::from_secs(1);

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

        let patience = Duration::from_millis(request.timeout_ms.max(0) as u64).max(LEAST_PATIENCE);
        let deadline = broker.world.now() + patience;
        match broker.forward.call(&request, deadline).await {
            Ok(response) => response,
            Err(error) => {
                tracing::warn!(%error, "can't pass DeleteTopics on");
                let refused = request.topics.into_iter().map(|topic| {
                    message!(DeletableTopicResult {
                        name: topic.name,
                        topic_id: topic.topic_id,
                        error_code: ErrorCode::RequestTimedOut.code(),
                        error_message: Some("the controller did not answer in time".into()),
                    })
                });
                message!(DeleteTopicsResponse { responses: refused.collect() })
            }
        }
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
