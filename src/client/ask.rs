//! Questions that any broker can answer.

use std::sync::Arc;
use std::time::Duration;

use crate::base::Instant;
use crate::io::{Address, World};
use crate::rpc::{Backoff, Connecting, Pool, Purpose, RpcError};
use crate::wire::messages::metadata_request::MetadataRequestTopic;
use crate::wire::messages::{MetadataRequest, MetadataResponse};

/// A broker that does not answer a question about the cluster for this long is passed over for
/// another. Questions have connections of their own, so nothing else breaks with them.
const PATIENCE: Duration = Duration::from_secs(3);

/// Kafka's default of `socket.connection.setup.timeout.ms`.
const SETUP_TIMEOUT: Duration = Duration::from_secs(10);

/// How a client connects: `reconnect.backoff.ms` to `reconnect.backoff.max.ms`.
pub(crate) fn connecting((initial, max): (Duration, Duration)) -> Connecting {
    Connecting { backoff: Backoff::new(initial, max), setup_timeout: SETUP_TIMEOUT }
}

/// By when a question must be answered.
pub(crate) fn question_deadline(now: Instant, request_timeout: Duration) -> Instant {
    now + request_timeout.min(PATIENCE)
}

/// Asks for brokers and for these topics, by name.
pub(crate) async fn ask_metadata<W: World>(
    pool: &Pool<W>,
    ask: &Address,
    topics: &[Arc<str>],
    may_create: bool,
    deadline: Instant,
) -> Result<MetadataResponse, RpcError> {
    let mut request = MetadataRequest::default();
    request.allow_auto_topic_creation = may_create;
    let topics = topics.iter().map(|name| {
        let mut topic = MetadataRequestTopic::default();
        topic.name = Some((&**name).into());
        topic
    });
    request.topics = Some(topics.collect());
    pool.call(ask, Purpose::Questions, &request, None, deadline).await
}
