//! Arbitrary values that a scenario file can hold, for the round trip of every kind.

use std::ops::RangeInclusive;
use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::select;

use crate::scenario::{Range, Role, Roles};

/// Ranges of whole numbers within bounds; half of them are single values.
pub(crate) fn numbers(within: RangeInclusive<u64>) -> impl Strategy<Value = Range<u64>> {
    (within.clone(), within, any::<bool>()).prop_map(|(one, other, single)| match single {
        true => Range::just(one),
        false => Range { low: one.min(other), high: one.max(other) },
    })
}

/// Ranges of durations from nothing to an hour.
pub(crate) fn times() -> impl Strategy<Value = Range<Duration>> {
    numbers(0..=3_600_000_000).prop_map(|Range { low, high }| Range {
        low: Duration::from_micros(low),
        high: Duration::from_micros(high),
    })
}

/// Brokers and controllers.
pub(crate) fn nodes() -> impl Strategy<Value = Roles> {
    let words = Role::WORDS.iter().map(|(_, role)| role.clone()).filter(Role::is_node);
    roles(words.chain([Role::Host('b', 2), Role::Host('c', 1)]).collect())
}

/// Any hosts.
pub(crate) fn hosts() -> impl Strategy<Value = Roles> {
    let words = Role::WORDS.iter().map(|(_, role)| role.clone());
    roles(words.chain([Role::Host('p', 1), Role::Host('k', 2)]).collect())
}

fn roles(roles: Vec<Role>) -> impl Strategy<Value = Roles> {
    prop::collection::vec(select(roles), 1..4).prop_map(Roles)
}
