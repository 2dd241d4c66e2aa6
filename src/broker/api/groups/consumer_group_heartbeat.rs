//! ConsumerGroupHeartbeat: a member of the consumer protocol joins, stays or leaves (KIP-848).

use std::sync::Arc;

use super::client;
use crate::broker::context::Broker;
use crate::broker::serve::handler::{Context, Handler};
use crate::io::World;
use crate::wire::ErrorCode;
use crate::wire::messages::{
    ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, message,
};

pub(in crate::broker) struct ConsumerGroupHeartbeat;

impl<W: World> Handler<Broker<W>> for ConsumerGroupHeartbeat {
    type Request = ConsumerGroupHeartbeatRequest;
    type Response = ConsumerGroupHeartbeatResponse;

    async fn handle(
        broker: &Arc<Broker<W>>,
        request: ConsumerGroupHeartbeatRequest,
        context: Context<'_>,
    ) -> ConsumerGroupHeartbeatResponse {
        let refused = |error: ErrorCode, text: Option<&'static str>| {
            message!(ConsumerGroupHeartbeatResponse {
                error_code: error.code(),
                error_message: text.map(Into::into),
            })
        };
        if !broker.config.group.has_protocol("consumer") {
            let text = "`group.coordinator.rebalance.protocols` leaves out `consumer`";
            return refused(ErrorCode::UnsupportedVersion, Some(text));
        }
        if request.group_id.is_empty() {
            return refused(ErrorCode::InvalidRequest, Some("GroupId can't be empty."));
        }
        let client = client(context.session);
        let beat = broker.groups.decide(&request.group_id, |machine, now, wall| {
            machine.consumer_heartbeat(now, wall, &client, context.version, &request)
        });
        beat.await.unwrap_or_else(|error| refused(error, None))
    }
}
