//! Heartbeat: a member of a classic group keeps its session, and learns of rebalances.

use std::sync::Arc;

use crate::broker::context::Broker;
use crate::broker::serve::handler::{Context, Handler};
use crate::io::World;
use crate::wire::ErrorCode;
use crate::wire::messages::{HeartbeatRequest, HeartbeatResponse, message};

pub(in crate::broker) struct Heartbeat;

impl<W: World> Handler<Broker<W>> for Heartbeat {
    type Request = HeartbeatRequest;
    type Response = HeartbeatResponse;

    async fn handle(
        broker: &Arc<Broker<W>>,
        request: HeartbeatRequest,
        _: Context<'_>,
    ) -> HeartbeatResponse {
        let group = &request.group_id;
        let kept = match group.is_empty() {
            true => Err(ErrorCode::InvalidGroupId),
            false => {
                broker
                    .groups
                    .decide(group, |machine, now, wall| machine.heartbeat(now, wall, &request))
                    .await
            }
        };
        match kept {
            Ok(response) => response,
            // As in Kafka: sessions begin again once the group is loaded.
            Err(ErrorCode::CoordinatorLoadInProgress) => HeartbeatResponse::default(),
            Err(error) => message!(HeartbeatResponse { error_code: error.code() }),
        }
    }
}
