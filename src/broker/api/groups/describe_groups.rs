//! DescribeGroups: the state and the members of classic groups.

use std::sync::Arc;

use super::ALL_OPERATIONS;
use crate::broker::context::Broker;
use crate::broker::serve::handler::{Context, Handler};
use crate::io::World;
use crate::wire::messages::describe_groups_response::DescribedGroup;
use crate::wire::messages::{DescribeGroupsRequest, DescribeGroupsResponse, message};

/// From here on the operations that the client is allowed are described.
const OPERATIONS: i16 = 3;

pub(in crate::broker) struct DescribeGroups;

impl<W: World> Handler<Broker<W>> for DescribeGroups {
    type Request = DescribeGroupsRequest;
    type Response = DescribeGroupsResponse;

    async fn handle(
        broker: &Arc<Broker<W>>,
        request: DescribeGroupsRequest,
        context: Context<'_>,
    ) -> DescribeGroupsResponse {
        let version = context.version;
        let with_operations = request.include_authorized_operations && version >= OPERATIONS;
        let groups = request.groups.iter().map(|id| {
            let described = broker.groups.see(id, |machine| machine.describe(version, id));
            let mut group = described.unwrap_or_else(|error| {
                message!(DescribedGroup { group_id: id.clone(), error_code: error.code() })
            });
            if with_operations && group.error_code == 0 {
                group.authorized_operations = ALL_OPERATIONS;
            }
            group
        });
        message!(DescribeGroupsResponse { groups: groups.collect() })
    }
}
