//! ListGroups: the groups that this broker coordinates.

use std::sync::Arc;

use crate::broker::context::Broker;
use crate::broker::serve::handler::{Context, Handler};
use crate::io::World;
use crate::wire::messages::{ListGroupsRequest, ListGroupsResponse, message};

/// From here on a group's state is listed, and its type.
const STATES: i16 = 4;
const TYPES: i16 = 5;

pub(in crate::broker) struct ListGroups;

impl<W: World> Handler<Broker<W>> for ListGroups {
    type Request = ListGroupsRequest;
    type Response = ListGroupsResponse;

    async fn handle(
        broker: &Arc<Broker<W>>,
        request: ListGroupsRequest,
        context: Context<'_>,
    ) -> ListGroupsResponse {
        let (states, types) = (&request.states_filter, &request.types_filter);
        let listed = broker.groups.see_all(|machine| machine.list(states, types));
        let listed = match listed {
            Ok(listed) => listed,
            Err(error) => return message!(ListGroupsResponse { error_code: error.code() }),
        };
        let groups = listed.into_iter().flatten().map(|mut group| {
            if context.version < STATES {
                group.group_state = Default::default();
            }
            if context.version < TYPES {
                group.group_type = Default::default();
            }
            group
        });
        message!(ListGroupsResponse { groups: groups.collect() })
    }
}
