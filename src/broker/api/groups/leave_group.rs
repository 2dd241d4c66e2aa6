//! LeaveGroup: members leave, or are removed by an administrator.

use std::sync::Arc;

use crate::broker::context::Broker;
use crate::broker::serve::handler::{Context, Handler};
use crate::io::World;
use crate::wire::ErrorCode;
use crate::wire::messages::{LeaveGroupRequest, LeaveGroupResponse, message};

pub(in crate::broker) struct LeaveGroup;

impl<W: World> Handler<Broker<W>> for LeaveGroup {
    type Request = LeaveGroupRequest;
    type Response = LeaveGroupResponse;

    async fn handle(
        broker: &Arc<Broker<W>>,
        request: LeaveGroupRequest,
        context: Context<'_>,
    ) -> LeaveGroupResponse {
        let group = &request.group_id;
        let left = match group.is_empty() {
            true => Err(ErrorCode::InvalidGroupId),
            false => {
                let leave = broker.groups.decide(group, |machine, now, wall| {
                    machine.leave(now, wall, context.version, &request)
                });
                leave.await
            }
        };
        left.unwrap_or_else(|error| message!(LeaveGroupResponse { error_code: error.code() }))
    }
}
