//! SyncGroup: the leader brings the assignment, and each member waits for its own.

use std::sync::Arc;

use crate::broker::context::Broker;
use crate::broker::serve::handler::{Context, Handler};
use crate::group::Reply;
use crate::io::World;
use crate::wire::ErrorCode;
use crate::wire::messages::{SyncGroupRequest, SyncGroupResponse, message};

/// From here on a member names the protocol, so that it can't mistake it (KIP-559).
const NAMED_PROTOCOL: i16 = 5;

pub(in crate::broker) struct SyncGroup;

impl<W: World> Handler<Broker<W>> for SyncGroup {
    type Request = SyncGroupRequest;
    type Response = SyncGroupResponse;

    async fn handle(
        broker: &Arc<Broker<W>>,
        request: SyncGroupRequest,
        context: Context<'_>,
    ) -> SyncGroupResponse {
        let synced = sync(broker, &request, context.version).await;
        synced.unwrap_or_else(|error| message!(SyncGroupResponse { error_code: error.code() }))
    }
}

async fn sync<W: World>(
    broker: &Arc<Broker<W>>,
    request: &SyncGroupRequest,
    version: i16,
) -> Result<SyncGroupResponse, ErrorCode> {
    let unnamed = request.protocol_type.is_none() || request.protocol_name.is_none();
    if version >= NAMED_PROTOCOL && unnamed {
        return Err(ErrorCode::InconsistentGroupProtocol);
    }
    if request.group_id.is_empty() {
        return Err(ErrorCode::InvalidGroupId);
    }
    let (reply, answer) = Reply::new();
    let synced = broker.groups.decide(&request.group_id, |machine, now, wall| {
        machine.sync(now, wall, version, request, reply)
    });
    synced.await?;
    answer.await.map_err(|_| ErrorCode::NotCoordinator)
}
