//! JoinGroup: a member joins a group, and waits until everyone has.

use std::sync::Arc;

use super::client;
use crate::base::GroupProbe;
use crate::broker::context::Broker;
use crate::broker::serve::handler::{Context, Handler};
use crate::group::Reply;
use crate::io::World;
use crate::wire::ErrorCode;
use crate::wire::messages::{JoinGroupRequest, JoinGroupResponse, message};

/// From here on the name of the protocol may be null.
const NULL_PROTOCOL: i16 = 7;

pub(in crate::broker) struct JoinGroup;

impl<W: World> Handler<Broker<W>> for JoinGroup {
    type Request = JoinGroupRequest;
    type Response = JoinGroupResponse;

    async fn handle(
        broker: &Arc<Broker<W>>,
        request: JoinGroupRequest,
        context: Context<'_>,
    ) -> JoinGroupResponse {
        let mut response = join(broker, &request, &context).await.unwrap_or_else(|error| {
            message!(JoinGroupResponse { error_code: error.code(), generation_id: -1 })
        });
        if context.version < NULL_PROTOCOL {
            response.protocol_name.get_or_insert_default();
        } else {
            response.protocol_name.take_if(|name| name.is_empty());
        }
        response
    }
}

async fn join<W: World>(
    broker: &Arc<Broker<W>>,
    request: &JoinGroupRequest,
    context: &Context<'_>,
) -> Result<JoinGroupResponse, ErrorCode> {
    if request.group_id.is_empty() {
        return Err(ErrorCode::InvalidGroupId);
    }
    let client = client(context.session);
    let group = request.group_id.to_string();
    broker.world.probe(GroupProbe::Joining { group: group.clone() });
    let (reply, answer) = Reply::new();
    let joined = broker.groups.decide(&request.group_id, |machine, now, wall| {
        machine.join(now, wall, &client, context.version, request, reply)
    });
    joined.await?;
    let response = answer.await.map_err(|_| ErrorCode::NotCoordinator)?;
    if response.error_code == ErrorCode::None.code() {
        broker.world.probe(GroupProbe::Joined { group, generation: response.generation_id });
    }
    Ok(response)
}
