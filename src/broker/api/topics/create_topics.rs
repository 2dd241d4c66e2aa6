//! CreateTopics: the controller decides; a broker passes the request on and the answer back.

use std::sync::Arc;
use std::time::Duration;

use crate::broker::context::Broker;
use crate::broker::controller::ControllerShell;
use crate::broker::serve::handler::{Context, Handler, Outcome};
use crate::io::World;
use crate::wire::ErrorCode;
use crate::wire::messages::create_topics_response::CreatableTopicResult;
use crate::wire::messages::{CreateTopicsRequest, CreateTopicsResponse, message};

/// A client that does not wait at all still wants the controller to hear of it.
const LEAST_PATIENCE: Duration = Duration::from_secs(1);

pub(in crate::broker) struct CreateTopics;

impl<W: World> Handler<Broker<W>> for CreateTopics {
    type Request = CreateTopicsRequest;
    type Response = CreateTopicsResponse;

    async fn handle(
        broker: &Arc<Broker<W>>,
        request: CreateTopicsRequest,
        _: Context<'_>,
    ) -> CreateTopicsResponse {
        let patience = Duration::from_millis(request.timeout_ms.max(0) as u64).max(LEAST_PATIENCE);
        let deadline = broker.world.now() + patience;
        match broker.forward.call(&request, deadline).await {
            Ok(response) => response,
            Err(error) => {
                tracing::warn!(%error, "can't pass CreateTopics on");
                let refused = request.topics.into_iter().map(|topic| {
                    message!(CreatableTopicResult {
                        name: topic.name,
                        error_code: ErrorCode::RequestTimedOut.code(),
                        error_message: Some("the controller did not answer in time".into()),
                        configs: Some(Vec::new()),
                    })
                });
                message!(CreateTopicsResponse { topics: refused.collect() })
            }
        }
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
