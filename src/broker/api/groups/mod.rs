//! Groups: their coordinator, their members, and the offsets that they committed.
//!
//! Each request goes to the coordinator of its group (`broker/groups`), which is a machine in `group`.
//! Source of the checks before that: Kafka's `KafkaApis` and `GroupCoordinatorService`.

mod committing;
mod consumer_group_describe;
mod consumer_group_heartbeat;
mod delete_groups;
mod describe_groups;
mod find_coordinator;
mod heartbeat;
mod join_group;
mod leave_group;
mod list_groups;
mod offset_commit;
mod offset_delete;
mod offset_fetch;
mod sync_group;
mod txn_offset_commit;

pub(in crate::broker) use consumer_group_describe::ConsumerGroupDescribe;
pub(in crate::broker) use consumer_group_heartbeat::ConsumerGroupHeartbeat;
pub(in crate::broker) use delete_groups::DeleteGroups;
pub(in crate::broker) use describe_groups::DescribeGroups;
pub(in crate::broker) use find_coordinator::FindCoordinator;
pub(in crate::broker) use heartbeat::Heartbeat;
pub(in crate::broker) use join_group::JoinGroup;
pub(in crate::broker) use leave_group::LeaveGroup;
pub(in crate::broker) use list_groups::ListGroups;
pub(in crate::broker) use offset_commit::OffsetCommit;
pub(in crate::broker) use offset_delete::OffsetDelete;
pub(in crate::broker) use offset_fetch::OffsetFetch;
pub(in crate::broker) use sync_group::SyncGroup;
pub(in crate::broker) use txn_offset_commit::TxnOffsetCommit;

use crate::broker::serve::session::Session;
use crate::group::Client;

/// What every client may do with a group where nothing is forbidden: read, delete, describe, and both for
/// its settings. Source: the operations of a group in Kafka's `AclEntry`.
const ALL_OPERATIONS: i32 = 1 << 3 | 1 << 6 | 1 << 8 | 1 << 10 | 1 << 11;

/// The client as a group shows its member: the address is written as Java does.
fn client(session: &Session) -> Client {
    Client { id: session.client_id().to_owned(), host: format!("/{}", session.peer().host) }
}
