//! DeleteGroups: empty groups and their offsets are deleted.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::broker::context::Broker;
use crate::broker::serve::handler::{Context, Handler};
use crate::io::World;
use crate::wire::messages::delete_groups_response::DeletableGroupResult;
use crate::wire::messages::{DeleteGroupsRequest, DeleteGroupsResponse, message};

pub(in crate::broker) struct DeleteGroups;

impl<W: World> Handler<Broker<W>> for DeleteGroups {
    type Request = DeleteGroupsRequest;
    type Response = DeleteGroupsResponse;

    async fn handle(
        broker: &Arc<Broker<W>>,
        request: DeleteGroupsRequest,
        _: Context<'_>,
    ) -> DeleteGroupsResponse {
        let (mut seen, mut results) = (BTreeSet::new(), Vec::new());
        for group in request.groups_names {
            if !seen.insert(group.clone()) {
                continue;
            }
            let error = loop {
                let deleted = broker
                    .groups
                    .decide(&group, |machine, now, _| machine.delete_group(now, &group));
                match deleted.await {
                    Ok(Some(error)) | Err(error) => break error,
                    Ok(None) => {}
                }
            };
            results
                .push(message!(DeletableGroupResult { error_code: error.code(), group_id: group }));
        }
        message!(DeleteGroupsResponse { results: results })
    }
}
