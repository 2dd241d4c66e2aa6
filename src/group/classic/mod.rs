//! The classic protocol: members join, their leader assigns, the coordinator passes it on.
//!
//! A group is in memory only: its records hold no more than the last assignment that was stored.
//! A handler clones the group (members are shared), changes the clone in a [`plan::Plan`], and
//! returns it as an effect. So a refused append leaves the group as it was.
//!
//! | file | contents |
//! |---|---|
//! | `member`, `votes`, `group` | members, the protocols that they support, and the group of both |
//! | `topics`, `stored` | what members subscribe to; a group as a record, and back |
//! | `answers` | responses to members |
//! | `effect`, `soft` | what is not replicated: groups, waiting replies, timers |
//! | `plan`, `rebalance` | a decision about one group in the making |
//! | `join`, `sync`, `heartbeat`, `leave`, `expire` | one file per request, and what follows from deadlines |
//! | `subscriber` | what committed offsets ask of a group |
//! | `describe` | DescribeGroups and ListGroups |
//!
//! Source: Kafka's `ClassicGroup` and the classic half of `GroupMetadataManager`; KIP-394, KIP-345,
//! KIP-800, KIP-814. Kafka's state Dead is a group that is not there.

mod answers;
mod describe;
mod effect;
mod expire;
mod group;
mod heartbeat;
mod join;
mod leave;
mod member;
mod plan;
mod rebalance;
mod soft;
mod stored;
mod subscriber;
mod sync;
mod topics;
mod votes;

pub(super) use describe::describe_absent;
pub use effect::Effect;
pub(super) use group::ClassicGroup;
pub(super) use plan::At;
pub(super) use soft::Classic;

use super::Record;

/// A decision about classic groups.
type Decision<T> = crate::decide::Decision<Record, T, Effect>;
