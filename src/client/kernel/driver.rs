//! Carries the kernel's effects out: questions that any broker can answer.

use std::sync::Arc;
use std::time::Duration;

use super::coordinators::CoordinatorKey;
use super::core::{Effect, Input};
use crate::base::Instant;
use crate::io::{Address, World};
use crate::rpc::{Backoff, Connecting, Pool, Purpose, RpcError};
use crate::wire::messages::metadata_request::MetadataRequestTopic;
use crate::wire::messages::{
    FindCoordinatorRequest, FindCoordinatorResponse, MetadataRequest, MetadataResponse, message,
};

/// A broker that does not answer a question about the cluster for this long is passed over for
/// another. Questions have connections of their own, so nothing else breaks with them.
const PATIENCE: Duration = Duration::from_secs(3);

/// Kafka's default of `socket.connection.setup.timeout.ms`.
const SETUP_TIMEOUT: Duration = Duration::from_secs(10);

/// The last version of FindCoordinator with a single key (KIP-699).
const LAST_VERSION_WITH_ONE_KEY: i16 = 3;

/// How a client connects: `reconnect.backoff.ms` to `reconnect.backoff.max.ms`.
pub(crate) fn connecting((initial, max): (Duration, Duration)) -> Connecting {
    Connecting { backoff: Backoff::new(initial, max), setup_timeout: SETUP_TIMEOUT }
}

/// When a question that any broker can answer is given up.
pub(crate) fn question_deadline(now: Instant, request_timeout: Duration) -> Instant {
    now + request_timeout.min(PATIENCE)
}

/// Carries an effect out and returns the input that answers it.
pub(crate) async fn carry_out<W: World>(
    pool: &Pool<W>,
    effect: Effect,
    deadline: Instant,
) -> Input {
    match effect {
        Effect::Metadata { ask, topics, all, may_create } => {
            let topics = (!all).then_some(&topics[..]);
            let answer = ask_metadata(pool, &ask, topics, may_create, deadline).await;
            Input::Metadata { from: ask, answer: answer.ok().map(Box::new) }
        }
        Effect::Coordinators { ask, keys } => {
            let answer = find_coordinators(pool, &ask, &keys, deadline).await;
            Input::Coordinators { from: ask, keys, answer: answer.ok().map(Box::new) }
        }
    }
}

async fn ask_metadata<W: World>(
    pool: &Pool<W>,
    ask: &Address,
    topics: Option<&[Arc<str>]>,
    may_create: bool,
    deadline: Instant,
) -> Result<MetadataResponse, RpcError> {
    let topic = |name: &Arc<str>| message!(MetadataRequestTopic { name: Some((&**name).into()) });
    let request = message!(MetadataRequest {
        allow_auto_topic_creation: may_create,
        topics: topics.map(|topics| topics.iter().map(topic).collect()),
    });
    pool.call(ask, Purpose::Questions, &request, None, deadline).await
}

/// Asks for several coordinators at once or, of a broker that knows only the older versions, for
/// the first of them: the others are then asked for again.
async fn find_coordinators<W: World>(
    pool: &Pool<W>,
    ask: &Address,
    keys: &[CoordinatorKey],
    deadline: Instant,
) -> Result<FindCoordinatorResponse, RpcError> {
    let key_type = keys.first().map_or(0, |key| key.kind as i8);
    let request = message!(FindCoordinatorRequest {
        key_type: key_type,
        coordinator_keys: keys.iter().map(|key| (&*key.id).into()).collect(),
    });
    let answer = pool.call(ask, Purpose::Questions, &request, None, deadline).await;
    let (Err(error), Some(first)) = (&answer, keys.first()) else { return answer };
    if !error.is_final() {
        return answer;
    }
    let request = message!(FindCoordinatorRequest { key_type: key_type, key: (&*first.id).into() });
    let version = Some(LAST_VERSION_WITH_ONE_KEY);
    let mut answer = pool.call(ask, Purpose::Questions, &request, version, deadline).await?;
    // As the newer versions would have said it, so that it speaks of the first key alone.
    let coordinator = message!(crate::wire::messages::find_coordinator_response::Coordinator {
        key: (&*first.id).into(),
        node_id: answer.node_id,
        host: answer.host.clone(),
        port: answer.port,
        error_code: answer.error_code,
    });
    answer.coordinators.push(coordinator);
    Ok(answer)
}
