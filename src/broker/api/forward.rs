//! Passing a client's request on to the controller, and its answer back.

use std::time::Duration;

use crate::broker::context::Broker;
use crate::io::World;
use crate::wire::ErrorCode;
use crate::wire::messages::{RequestResponsePair, StrBytes};

/// How long the controller may take. A client that does not wait at all still wants it to hear of
/// the request.
pub(super) fn patience(timeout_ms: i32) -> Duration {
    Duration::from_millis(timeout_ms.max(0) as u64).max(Duration::from_secs(1))
}

/// Asks the controller. Without an answer in time, `refuse` says so for each part of the request,
/// with this error and message.
pub(super) async fn pass_on<W: World, R>(
    broker: &Broker<W>,
    request: R,
    patience: Duration,
    refuse: impl FnOnce(R, i16, StrBytes) -> R::Response,
) -> R::Response
where
    R: RequestResponsePair + Sync + 'static,
{
    match broker.forward.call(&request, broker.world.now() + patience).await {
        Ok(response) => response,
        Err(error) => {
            tracing::warn!(%error, request = std::any::type_name::<R>(), "can't pass it on");
            let text = "the controller did not answer in time";
            refuse(request, ErrorCode::RequestTimedOut.code(), text.into())
        }
    }
}
