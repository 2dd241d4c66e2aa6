//! ConsumerGroupDescribe: the state and the members of groups of the consumer protocol (KIP-848).

use std::sync::Arc;

use super::ALL_OPERATIONS;
use crate::broker::context::Broker;
use crate::broker::serve::handler::{Context, Handler};
use crate::io::World;
use crate::wire::ErrorCode;
use crate::wire::messages::consumer_group_describe_response::DescribedGroup;
use crate::wire::messages::{
    ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse, StrBytes, message,
};

pub(in crate::broker) struct ConsumerGroupDescribe;

impl<W: World> Handler<Broker<W>> for ConsumerGroupDescribe {
    type Request = ConsumerGroupDescribeRequest;
    type Response = ConsumerGroupDescribeResponse;

    async fn handle(
        broker: &Arc<Broker<W>>,
        request: ConsumerGroupDescribeRequest,
        _: Context<'_>,
    ) -> ConsumerGroupDescribeResponse {
        let groups = request.group_ids.iter().map(|id| {
            let mut group = describe(broker, id).unwrap_or_else(|error| {
                message!(DescribedGroup { group_id: id.clone(), error_code: error.code() })
            });
            if request.include_authorized_operations && group.error_code == 0 {
                group.authorized_operations = ALL_OPERATIONS;
            }
            group
        });
        message!(ConsumerGroupDescribeResponse { groups: groups.collect() })
    }
}

fn describe<W: World>(broker: &Arc<Broker<W>>, id: &StrBytes) -> Result<DescribedGroup, ErrorCode> {
    if !broker.config.group.has_protocol("consumer") {
        return Err(ErrorCode::UnsupportedVersion);
    }
    if id.is_empty() {
        return Err(ErrorCode::InvalidGroupId);
    }
    broker.groups.see(id, |machine| machine.consumer_describe(id))
}
