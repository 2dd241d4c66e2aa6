//! Decided logs: state machines whose decisions are records of a replicated log. Pure: no await, no
//! clock, no I/O.
//!
//! A handler takes `&self` and decides: records, a response, effects. The records are appended and
//! then replayed, the only way in which the state ever changes, so a failover replays exactly what
//! happened. The response leaves when the records are committed.
//!
//! | file | contents |
//! |---|---|
//! | `machine` | the traits of a machine, its state and its records |
//! | `decision` | what a handler returns |
//! | `loading`, `active`, `resigned` | the life of a machine, one type per phase; a transition consumes the former phase |
//! | `content` | the content of a batch: records, those of a transaction, or a marker |
//! | `prefix` | what is committed, and what is appended beyond it |
//! | `timers` | deadlines by key |
//! | `map` | an ordered map that is cheap to clone, for states |
//!
//! Model: Kafka's `CoordinatorRuntime` and `QuorumController`. Left to the shell
//! (`broker/hosted`): appending, waiting for commits, answering.

mod active;
mod content;
mod decision;
mod loading;
mod machine;
mod map;
mod prefix;
mod resigned;
mod timers;

pub use active::{Active, Commit};
pub use content::Content;
pub use decision::Decision;
pub use loading::Loading;
pub use machine::{ChangeOf, ErrorOf, KeyValue, LogRecord, Machine, RecordOf, State};
pub use map::SharedMap;
pub use resigned::Resigned;
pub use timers::Timers;

#[cfg(test)]
pub(crate) mod on_log;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
