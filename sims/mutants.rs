//! Finding power: random faults find each historical flaw, and the same seeds hold without it.
//! `cargo run -- mutants` hunts longer.
#![cfg(any(debug_assertions, feature = "mutants"))]

use std::num::NonZeroUsize;

use brokerquake::base::Flaw;
use brokerquake::lab::mutants::{INEXPRESSIBLE, MUTANTS, UNCAUGHT, hunt_all, json, line, markdown};

/// Seeds within which each mutant has to be caught.
const SEEDS: u64 = 10;

#[test]
fn random_faults_find_every_flaw_and_hold_without_it() {
    let mutants: Vec<_> = MUTANTS.iter().collect();
    let jobs = NonZeroUsize::new(2).unwrap();
    let hunts = hunt_all(&mutants, &(0..SEEDS), jobs, |_| {}).unwrap();
    let failed = hunts.iter().filter(|hunt| !hunt.is_as_expected()).map(line);
    let failed: Vec<_> = failed.collect();
    assert!(failed.is_empty(), "\n{}", failed.join("\n"));
    assert_eq!(hunts.len(), MUTANTS.len());
    let report = markdown(&hunts);
    let stable = report.split("## CPU seconds").next().unwrap();
    for hunt in &hunts {
        let catch = hunt.caught.as_ref().unwrap();
        assert!(hunt.tried == catch.seed + 1 && stable.contains(&catch.trace), "{stable}");
        assert!(json(&hunts).contains(&catch.trace));
    }
}

#[test]
fn a_flaw_is_hunted_or_said_to_be_at_large_and_no_name_stands_twice() {
    for flaw in Flaw::ALL {
        let hunted = MUTANTS.iter().filter(|mutant| mutant.flaw == *flaw).count();
        let at_large = UNCAUGHT.iter().filter(|uncaught| uncaught.flaw == *flaw).count();
        assert_eq!(hunted + at_large, 1, "{}", flaw.name());
        let missing = INEXPRESSIBLE.iter().any(|missing| missing.name == flaw.name());
        assert!(!missing, "{} is there", flaw.name());
    }
}
