//! The consumer protocol (KIP-848): members send heartbeats, and the coordinator decides who owns
//! which partition. All of it is replicated; a failover continues in the middle of a rebalance.
//!
//! Three epochs count: that of the group (members, subscriptions or topics changed), that of the
//! target assignment (the group epoch for which it was computed), and that of each member (how far
//! it has come). A partition is given to a member only once the one before has given it up.
//!
//! | file | contents |
//! |---|---|
//! | `group`, `member`, `partitions` | the replicated state |
//! | `replay` | how records change it |
//! | `heartbeat`, `validate`, `refusal`, `advance` | ConsumerGroupHeartbeat |
//! | `classic/` | members that speak the classic protocol, during an upgrade or a downgrade |
//! | `subscription`, `hash` | topics that a group subscribes to, and whether they changed |
//! | `target`, `assignor/` | who shall own what |
//! | `reconcile` | the way of a member to its target |
//! | `fence` | members that leave or miss a deadline |
//! | `sessions`, `effect` | deadlines; not replicated |
//! | `subscriber`, `describe` | what offsets ask of a group; groups for people |
//! | `plan`, `check` | a decision in the making; assertions |

mod advance;
mod assignor;
mod check;
mod classic;
mod describe;
mod effect;
mod fence;
mod group;
mod hash;
mod heartbeat;
mod member;
mod partitions;
mod plan;
mod reconcile;
mod refusal;
mod replay;
mod sessions;
mod subscriber;
mod subscription;
mod target;
mod validate;

pub use classic::{beat, join, leave, sync, upgraded};
pub use effect::Effect;
pub use fence::expire;
pub use group::ConsumerGroup;
pub use heartbeat::{Found, heartbeat};
pub use plan::Context;
pub use refusal::Refusal;
pub use replay::concerns;
pub use sessions::{Overdue, Sessions};

#[cfg(test)]
mod tests;
