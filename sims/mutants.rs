//! Bug-finding power: random faults find each historical bug, and the same seeds hold without it.
//! `cargo run -- mutants` searches longer, from several seeds, and shrinks what it finds.
#![cfg(any(debug_assertions, feature = "mutants"))]

use std::iter::once;
use std::num::NonZeroUsize;
use std::ops::Range;

use brokerquake::base::Flaw;
use brokerquake::lab::mutants::{
    Effort, INEXPRESSIBLE, MUTANTS, Mutant, UNCAUGHT, hunt_all, json, line, markdown,
};
use brokerquake::scenario::Scenario;

/// Number of seeds within which each mutant must be caught.
const SEEDS: u64 = 15;

/// Flaws that few runs show, with a scenario in the place of the usual one, and seeds among which one
/// does. The command searches as long as it takes.
const RARE: &[(Flaw, Option<&str>, Range<u64>)] = &[
    (Flaw::TruncateAfterHighWatermark, None, 110..170),
    (Flaw::JoinBeforeEpochStart, Some("mutants/late-watermarks"), 1150..1170),
];

/// The scenario and the seeds for a flaw.
fn place(flaw: Flaw) -> (Option<&'static str>, Range<u64>) {
    let rare = RARE.iter().find(|(rare, ..)| *rare == flaw);
    rare.map_or((None, 0..SEEDS), |(_, scenario, seeds)| (*scenario, seeds.clone()))
}

#[test]
fn random_faults_find_every_flaw_and_hold_without_it() {
    let jobs = NonZeroUsize::new(2).unwrap();
    let mut hunts = Vec::new();
    let rare = RARE.iter().map(|(flaw, ..)| place(*flaw));
    for (scenario, seeds) in rare.chain(once((None, 0..SEEDS))) {
        let of_it = MUTANTS.iter().filter(|mutant| place(mutant.flaw) == (scenario, seeds.clone()));
        // In another scenario, any invariant that it expects to hold may catch it.
        let breaks = |mutant: &Mutant| if scenario.is_some() { &[] } else { mutant.breaks };
        let of_it: Vec<_> = of_it.map(|it| Mutant { breaks: breaks(it), ..*it }).collect();
        let elsewhere = scenario.map(|scenario| Scenario::load(scenario).unwrap());
        let effort = Effort { seeds, starts: NonZeroUsize::MIN, shrink: false };
        hunts.extend(hunt_all(&of_it, elsewhere.as_ref(), &effort, jobs, |_| {}).unwrap());
    }
    let order = |flaw: Flaw| MUTANTS.iter().position(|mutant| mutant.flaw == flaw);
    hunts.sort_by_key(|hunt| order(hunt.mutant.flaw));
    let failed = hunts.iter().filter(|hunt| !hunt.is_as_expected()).map(line);
    let failed: Vec<_> = failed.collect();
    assert!(failed.is_empty(), "\n{}", failed.join("\n"));
    assert_eq!(hunts.len(), MUTANTS.len());
    let (report, data) = (markdown(&hunts), json(&hunts));
    for hunt in &hunts {
        let catch = hunt.caught().unwrap();
        assert_eq!(hunt.median_tried(), catch.seed + 1 - place(hunt.mutant.flaw).1.start);
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
