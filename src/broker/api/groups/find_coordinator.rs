//! FindCoordinator: which broker coordinates a group or a transactional id; several at once since
//! version 4 (KIP-699).
//!
//! Source: Kafka's `KafkaApis.handleFindCoordinatorRequest`.

use std::sync::Arc;

use crate::base::{BrokerId, topics};
use crate::broker::context::Broker;
use crate::broker::serve::handler::{Context, Handler};
use crate::broker::serve::session::Session;
use crate::io::World;
use crate::wire::ErrorCode;
use crate::wire::messages::find_coordinator_response::Coordinator;
use crate::wire::messages::{FindCoordinatorRequest, FindCoordinatorResponse, StrBytes, message};

/// From here on a request has several keys.
const SEVERAL_KEYS: i16 = 4;

/// What is coordinated, as on the wire.
const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;
const SHARE: i8 = 2;

pub(in crate::broker) struct FindCoordinator;

/// Where a coordinator is, or why it can't be named.
type Found = Result<(BrokerId, StrBytes, i32), ErrorCode>;

impl<W: World> Handler<Broker<W>> for FindCoordinator {
    type Request = FindCoordinatorRequest;
    type Response = FindCoordinatorResponse;

    async fn handle(
        broker: &Arc<Broker<W>>,
        request: FindCoordinatorRequest,
        context: Context<'_>,
    ) -> FindCoordinatorResponse {
        let find = |key: &StrBytes| find(broker, request.key_type, key, context.session);
        if context.version < SEVERAL_KEYS {
            return one(find(&request.key));
        }
        let known = (GROUP..=SHARE).contains(&request.key_type);
        let message = if known { "" } else { "unknown type of coordinator" };
        let coordinators = request.coordinator_keys.iter();
        let coordinators = coordinators.map(|key| named(key, find(key), message));
        message!(FindCoordinatorResponse { coordinators: coordinators.collect() })
    }
}

fn find<W: World>(broker: &Arc<Broker<W>>, key_type: i8, key: &str, session: &Session) -> Found {
    let image = broker.image();
    let (name, partition) = match key_type {
        GROUP => (topics::CONSUMER_OFFSETS, broker.groups.partition_of(&image, key)),
        TRANSACTION => (topics::TRANSACTION_STATE, broker.txns.partition_of(&image, key)),
        // There are no share groups; Kafka answers so where there are none.
        _ => return Err(ErrorCode::InvalidRequest),
    };
    let Some(topic) = image.topic(name) else {
        broker.auto_topics.create(name);
        return Err(ErrorCode::CoordinatorNotAvailable);
    };
    let state = topic.partitions.get(&partition);
    let leader = state.and_then(|state| state.leader).filter(|leader| image.is_alive(*leader));
    let address = leader.and_then(|id| Some((id, image.address(id, session.listener())?)));
    let (leader, address) = address.ok_or(ErrorCode::CoordinatorNotAvailable)?;
    Ok((leader, address.host.as_str().into(), i32::from(address.port)))
}

fn named(key: &StrBytes, found: Found, message: &'static str) -> Coordinator {
    let (error, (id, host, port)) = split(found);
    message!(Coordinator {
        key: key.clone(),
        node_id: id.0,
        host: host,
        port: port,
        error_code: error.code(),
        error_message: Some(message.into()),
    })
}

fn one(found: Found) -> FindCoordinatorResponse {
    let (error, (id, host, port)) = split(found);
    message!(FindCoordinatorResponse {
        error_code: error.code(),
        error_message: Some(error.name().into()),
        node_id: id.0,
        host: host,
        port: port,
    })
}

fn split(found: Found) -> (ErrorCode, (BrokerId, StrBytes, i32)) {
    match found {
        Ok(at) => (ErrorCode::None, at),
        Err(error) => (error, (BrokerId::NONE, StrBytes::default(), -1)),
    }
}
