//! Finding power: each historical flaw is found by random faults, and the same seeds hold without
//! it. `cargo run -- mutants` hunts longer.
#![allow(
    clippy::disallowed_methods,
    reason = "tests and benchmarks look at the real world from outside"
)]
#![cfg(any(debug_assertions, feature = "mutants"))]

use brokerquake::lab::mutants::{INEXPRESSIBLE, MUTANTS, UNCAUGHT};

/// Seeds within which each mutant has to be caught.
const SEEDS: u64 = 6;

fn is_caught(name: &str) {
    let mutant = MUTANTS.iter().find(|mutant| mutant.name() == name).unwrap();
    let hunt = mutant.hunt(0..SEEDS).unwrap();
    assert!(hunt.innocent.is_empty(), "broken with the fix: {:?}", hunt.innocent);
    assert!(hunt.caught.is_some(), "not caught in {} seeds", hunt.tried);
}
