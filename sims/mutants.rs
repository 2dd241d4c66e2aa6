//! Bug-finding power: random faults find each historical bug, and the same seeds hold without it.
//! `cargo run -- mutants` searches longer, from several seeds, and shrinks what it finds.
#![cfg(any(debug_assertions, feature = "mutants"))]

use std::iter::once;
use std::num::NonZeroUsize;
use std::ops::Range;

use brokerquake::base::Flaw;
use brokerquake::lab::mutants::{
    Effort, INEXPRESSIBLE, MUTANTS, UNCAUGHT, hunt_all, json, line, markdown,
};

/// Number of seeds within which each mutant must be caught.
const SEEDS: u64 = 15;

/// Flaws that few runs show, with seeds among which one does. The command searches as long as it
/// takes.
const RARE: &[(Flaw, Range<u64>)] =
    &[(Flaw::TruncateAfterHighWatermark, 110..170), (Flaw::JoinBeforeEpochStart, 1250..1280)];

/// The seeds for a flaw.
fn seeds(flaw: Flaw) -> Range<u64> {
    RARE.iter().find(|(rare, _)| *rare == flaw).map_or(0..SEEDS, |(_, seeds)| seeds.clone())
}

#[test]
fn random_faults_find_every_flaw_and_hold_without_it() {
    let jobs = NonZeroUsize::new(2).unwrap();
    let mut hunts = Vec::new();
    for seeds in RARE.iter().map(|(_, seeds)| seeds.clone()).chain(once(0..SEEDS)) {
        let of_it = MUTANTS.iter().filter(|mutant| self::seeds(mutant.flaw) == seeds);
        let of_it: Vec<_> = of_it.copied().collect();
        let effort = Effort { seeds, starts: NonZeroUsize::MIN, shrink: false };
        hunts.extend(hunt_all(&of_it, None, &effort, jobs, |_| {}).unwrap());
    }
    let place = |flaw: Flaw| MUTANTS.iter().position(|mutant| mutant.flaw == flaw);
    hunts.sort_by_key(|hunt| place(hunt.mutant.flaw));
    let failed = hunts.iter().filter(|hunt| !hunt.is_as_expected()).map(line);
    let failed: Vec<_> = failed.collect();
    assert!(failed.is_empty(), "\n{}", failed.join("\n"));
    assert_eq!(hunts.len(), MUTANTS.len());
    let (report, data) = (markdown(&hunts), json(&hunts));
    for hunt in &hunts {
        let catch = hunt.caught().unwrap();
        assert_eq!(hunt.median_tried(), catch.seed + 1 - seeds(hunt.mutant.flaw).start);
        assert!(report.contains(&catch.trace) && data.contains(&catch.trace), "{report}");
    }
    // The measurements depend on the engine and the machine.
    let stable = report.split("\n## Measured").next().unwrap();
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(concat!(env!("CARGO_MANIFEST_DIR"), "/reports/golden"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!("mutants.md", stable));
}

#[test]
fn every_flaw_is_hunted_or_listed_as_uncaught_exactly_once() {
    for flaw in Flaw::ALL {
        let hunted = MUTANTS.iter().filter(|mutant| mutant.flaw == *flaw).count();
        let at_large = UNCAUGHT.iter().filter(|uncaught| uncaught.flaw == *flaw).count();
        assert_eq!(hunted + at_large, 1, "{}", flaw.name());
        let missing = INEXPRESSIBLE.iter().any(|missing| missing.name == flaw.name());
        assert!(!missing, "{} is there", flaw.name());
    }
}
