//! Draws who uses transactions in a scenario.
//!
//! A part of the scenarios has any, so that the others stay as they are.

use crate::base::{Seed, Stream};
use crate::scenario::Draws;

/// Percentage of scenarios with transactions.
const SHARE: u64 = 25;

/// Who uses transactions in a scenario.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Users {
    /// Clients that write in transactions.
    pub writers: bool,
    /// A group that writes to `invoices` what it makes of `orders`.
    pub transformers: bool,
}

/// The users of transactions in the scenario of a seed; `None` if it has no transactions.
pub(super) fn of(seed: Seed) -> Option<Users> {
    let mut draws = Draws::of(seed, Stream::named("swarm transactions"));
    let users = draws.weighted(&[(55, (true, false)), (20, (false, true)), (25, (true, true))]);
    let (writers, transformers) = users;
    draws.chance(SHARE).then_some(Users { writers, transformers })
}

/// Whether a scenario has transactions.
pub(super) fn transact(seed: Seed) -> bool {
    of(seed).is_some()
}

/// Whether a group transforms, so that there is a topic for what it makes.
pub(super) fn transform(seed: Seed) -> bool {
    of(seed).is_some_and(|users| users.transformers)
}
