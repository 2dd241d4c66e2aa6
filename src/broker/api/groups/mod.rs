//! Groups: their coordinator, their members, and the offsets that they committed.

mod find_coordinator;

pub(in crate::broker) use find_coordinator::FindCoordinator;
