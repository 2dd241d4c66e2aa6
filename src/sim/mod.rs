//! The simulated world: engines, disk and page cache, faults.
//!
//! `leap` is the default engine: one thread, one queue of events, idle time costs nothing.
//! `turmoil` is the referee: an independent scheduler and TCP. Both engines share one disk.

mod clock;
pub mod crash;
pub mod disk;
mod engine;
mod film;
pub mod history;
mod host;
pub mod leap;
mod observe;
mod process;
mod trace;
mod transactions;
#[cfg(feature = "referee")]
pub mod turmoil;
mod watchdog;
mod witness;

pub(crate) use clock::EPOCH_MS;
pub use engine::{
    Boot, Damage, Damaged, Engine, Fate, Link, Mishap, Part, SimWorld, Unsupported, block_on,
    run_to_end,
};
pub use film::{Film, Shot};
pub use history::{
    ClientEvent, ConsumerEvent, Ended, Isolation, Lookup, MemberEvent, Misdeed, Outcome,
    ProducerEvent, TransactionEvent,
};
pub use host::{HostId, Kept, Survival};
pub use observe::{Observation, Observer, What};
pub use trace::{SharedTrace, Trace, TraceHash};
pub use transactions::{TransactionRecorder, TransformedInput, isolated};
