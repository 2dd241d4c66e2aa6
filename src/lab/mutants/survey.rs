//! Which scenario finds which mutant in how many seeds, and which scenarios could go: those that find
//! none that others don't find, expect nothing of their own, and have no fault or load of their own.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde::Serialize;

use super::sound::Sound;
use super::{MUTANTS, Mutant};
use crate::base::{Flaw, Flaws};
use crate::run::EngineKind;
use crate::run::caught::run_caught;
use crate::scenario::Scenario;
use crate::scenario::files::SMOKE;

/// What the scenarios find.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Survey {
    /// The mutants that were switched on, one at a time.
    pub mutants: Vec<&'static str>,
    /// In the order in which they were given.
    pub scenarios: Vec<Surveyed>,
}

/// What one scenario finds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Surveyed {
    /// Its file.
    pub file: String,
    /// Seeds that ran with each mutant.
    pub seeds: u64,
    /// Seeds that failed with nothing switched off; they find nothing.
    pub failed_without: u64,
    /// The number of seeds that find each mutant, of those that any finds.
    pub finds: BTreeMap<&'static str, u64>,
    /// Invariants that it expects to break.
    pub expects: Vec<String>,
    /// Kinds of its faults and loads.
    pub kinds: BTreeSet<String>,
    /// Mutants that are hunted there.
    pub hunts: Vec<&'static str>,
}

/// Runs each scenario with each of these mutants on these seeds, a scenario about one run on its own;
/// calls `told` as each scenario ends.
pub fn survey(
    scenarios: &[Scenario],
    flaws: &[Flaw],
    seeds: &Range<u64>,
    jobs: NonZeroUsize,
    told: impl Fn(&Surveyed) + Sync,
) -> Survey {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..jobs.get().min(scenarios.len()) {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(scenario) = scenarios.get(index) else { return };
                    let surveyed = Surveyed::of(scenario, flaws, seeds);
                    told(&surveyed);
                    let mut done = done.lock().unwrap_or_else(|poison| poison.into_inner());
                    done.push((index, surveyed));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_else(|poison| poison.into_inner());
    done.sort_by_key(|(index, _)| *index);
    Survey {
        mutants: flaws.iter().map(|flaw| flaw.name()).collect(),
        scenarios: done.into_iter().map(|(_, surveyed)| surveyed).collect(),
    }
}

impl Surveyed {
    fn of(scenario: &Scenario, flaws: &[Flaw], seeds: &Range<u64>) -> Self {
        let seeds = scenario.seed.map_or(seeds.clone(), |seed| seed..seed.saturating_add(1));
        let fails = |scenario: &Scenario, seed| {
            !run_caught(scenario, seed, EngineKind::Leap).verdict(&scenario.expect).is_fine()
        };
        let all: Vec<_> = seeds.clone().map(|seed| (seed, Sound::run(scenario, seed))).collect();
        let (sound, failed): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|(_, run)| run.verdict.is_fine());
        let mut finds = BTreeMap::new();
        for flaw in flaws {
            let flawed = scenario.clone().with_flaws(Flaws::only(*flaw));
            let differ = sound.iter().filter(|(_, run)| run.may_differ_with(*flaw));
            let found = differ.filter(|(seed, _)| fails(&flawed, *seed)).count() as u64;
            if found > 0 {
                finds.insert(flaw.name(), found);
            }
        }
        Self {
            file: scenario.file.clone(),
            seeds: seeds.end - seeds.start,
            failed_without: failed.len() as u64,
            finds,
            expects: scenario.expect.breaks.clone(),
            kinds: kinds(scenario),
            hunts: hunted_in(&scenario.file),
        }
    }
}

fn hunted_in(file: &str) -> Vec<&'static str> {
    let there = |mutant: &&Mutant| file.ends_with(&format!("{}.toml", mutant.path()));
    MUTANTS.iter().filter(there).map(Mutant::name).collect()
}

/// The kinds of a scenario's faults and loads.
fn kinds(scenario: &Scenario) -> BTreeSet<String> {
    let rules = scenario.rules.iter().map(|rule| rule.action.kind());
    let scheduled = scenario.schedule.iter().flatten().map(|fault| fault.action.kind());
    let loads = scenario.loads.iter().map(|load| load.work.kind());
    rules.chain(scheduled).chain(loads).map(str::to_owned).collect()
}

impl Survey {
    /// Why each scenario stays; one without a reason can go, and the others still find everything.
    ///
    /// A mutant that several find keeps the one that finds it in most seeds, unless it keeps another
    /// of them anyway: the mutants that fewest find come first.
    pub fn reasons(&self) -> Vec<(&Surveyed, Vec<String>)> {
        let mut kept: BTreeMap<usize, Vec<String>> = BTreeMap::new();
        for (index, surveyed) in self.scenarios.iter().enumerate() {
            let alone = |kind: &&String| {
                self.scenarios.iter().filter(|other| other.kinds.contains(*kind)).count() == 1
            };
            let mut reasons: Vec<_> =
                surveyed.expects.iter().map(|name| format!("expects `{name}` to break")).collect();
            if surveyed.file.starts_with(SMOKE) {
                reasons.push("runs when nothing is asked for".into());
            }
            let kinds = surveyed.kinds.iter().filter(alone);
            reasons.extend(kinds.map(|kind| format!("is the only one with `{kind}`")));
            if !reasons.is_empty() {
                kept.insert(index, reasons);
            }
        }
        let mut mutants: Vec<_> =
            self.mutants.iter().map(|name| (self.finders(name), name)).collect();
        mutants.sort_by_key(|(finders, _)| finders.len());
        for (finders, name) in mutants {
            let Some((most, _)) = finders.first().copied() else { continue };
            let known = finders.iter().find(|(index, _)| kept.contains_key(index));
            let index = known.map_or(most, |(index, _)| *index);
            kept.entry(index).or_default().push(format!("finds `{name}`"));
        }
        let scenarios = self.scenarios.iter().enumerate();
        scenarios.map(|(i, surveyed)| (surveyed, kept.remove(&i).unwrap_or_default())).collect()
    }

    /// The scenarios that find a mutant, with the number of seeds, most first.
    fn finders(&self, mutant: &str) -> Vec<(usize, u64)> {
        let all = self.scenarios.iter().enumerate();
        let mut finders: Vec<_> =
            all.filter_map(|(index, one)| Some((index, *one.finds.get(mutant)?))).collect();
        finders.sort_by_key(|(index, seeds)| (u64::MAX - seeds, *index));
        finders
    }

    /// The files of the scenarios that could go.
    pub fn redundant(&self) -> Vec<&str> {
        let reasons = self.reasons().into_iter();
        reasons.filter(|(_, why)| why.is_empty()).map(|(one, _)| one.file.as_str()).collect()
    }

    /// As `reports/mutant-table.md`.
    pub fn markdown(&self) -> String {
        let mut text = String::from(
            "# Which scenario finds which mutant\n\nA mutant is found in a seed that breaks what the \
             scenario expects to hold, and does not without it.\n\n\
             | mutant | found by, with the number of seeds |\n|---|---|\n",
        );
        for name in &self.mutants {
            let told = self.finders(name).into_iter().map(|(index, seeds)| {
                let one = &self.scenarios[index];
                format!("{} {seeds} of {}", one.file, one.seeds)
            });
            let told: Vec<_> = told.collect();
            let told = if told.is_empty() { "none".into() } else { told.join(", ") };
            // Writing to a String can't fail.
            let _ = writeln!(text, "| `{name}` | {told} |");
        }
        text.push_str(
            "\n| scenario | seeds | finds, in seeds | stays because it |\n|---|--:|---|---|\n",
        );
        for (one, why) in self.reasons() {
            let finds: Vec<_> =
                one.finds.iter().map(|(name, seeds)| format!("`{name}` {seeds}")).collect();
            let _ = writeln!(
                text,
                "| {} | {} | {} | {} |",
                one.file,
                one.seeds,
                finds.join(", "),
                why.join("; ")
            );
        }
        text.push_str("\n## Adds nothing\n\n");
        for (one, _) in self.reasons().into_iter().filter(|(_, why)| why.is_empty()) {
            let _ = match one.hunts.is_empty() {
                true => writeln!(text, "- {}", one.file),
                false => writeln!(
                    text,
                    "- {}, where {} is hunted: hunt it in another that finds it",
                    one.file,
                    one.hunts.join(", ")
                ),
            };
        }
        let failing = self.scenarios.iter().filter(|one| one.failed_without > 0);
        for (at, one) in failing.enumerate() {
            if at == 0 {
                text.push_str("\n## Fails with nothing switched off\n\n");
            }
            let _ = writeln!(text, "- {}: {} of {} seeds", one.file, one.failed_without, one.seeds);
        }
        text
    }

    /// As `reports/mutant-table.json`: `mutants`, `scenarios` with what each finds and why it stays.
    pub fn json(&self) -> String {
        let rows = self.reasons().into_iter().map(|(one, why)| {
            let mut row = serde_json::to_value(one).unwrap_or_default();
            row["stays_because_it"] = why.into();
            row
        });
        let report = serde_json::json!({
            "mutants": self.mutants,
            "scenarios": rows.collect::<Vec<_>>(),
            "adds_nothing": self.redundant(),
        });
        format!("{report:#}\n")
    }
}

/// One scenario of a survey for a terminal.
pub fn surveyed(one: &Surveyed) -> String {
    let finds: Vec<_> = one.finds.iter().map(|(name, seeds)| format!("{name} {seeds}")).collect();
    let finds = if finds.is_empty() { "finds nothing".into() } else { finds.join(", ") };
    let mut text = format!("{}: {finds} (of {} seeds)", one.file, one.seeds);
    if one.failed_without > 0 {
        let _ = write!(text, "; {} fail with nothing switched off", one.failed_without);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(
        file: &str,
        finds: &[(&'static str, u64)],
        expects: &[&str],
        kinds: &[&str],
    ) -> Surveyed {
        Surveyed {
            file: file.into(),
            seeds: 10,
            failed_without: 0,
            finds: finds.iter().copied().collect(),
            expects: expects.iter().map(|name| (*name).to_owned()).collect(),
            kinds: kinds.iter().map(|kind| (*kind).to_owned()).collect(),
            hunts: hunted_in(file),
        }
    }

    fn survey() -> Survey {
        Survey {
            mutants: vec!["first", "second", "third"],
            scenarios: vec![
                one("kills", &[("first", 9), ("second", 1)], &[], &["kill"]),
                one("cuts", &[("second", 4)], &[], &["kill"]),
                one("acks-1", &[], &["acked-write-lost"], &["kill"]),
                one("scenarios/mutants/kills.toml", &[], &[], &["kill"]),
                one("scenarios/smoke/smoke-calm.toml", &[], &[], &["kill"]),
                one("clocks", &[], &[], &["kill", "clock-jump"]),
            ],
        }
    }

    #[test]
    fn scenario_stays_for_a_mutant_an_expectation_or_a_kind_of_its_own() {
        let survey = survey();
        let reasons = survey.reasons().into_iter().map(|(one, why)| (one.file.as_str(), why));
        let reasons: BTreeMap<_, _> = reasons.collect();
        assert_eq!(reasons["kills"], ["finds `first`", "finds `second`"]);
        assert_eq!(reasons["acks-1"], ["expects `acked-write-lost` to break"]);
        assert_eq!(reasons["clocks"], ["is the only one with `clock-jump`"]);
        // What it finds is found by another that stays anyway.
        assert_eq!(survey.redundant(), ["cuts", "scenarios/mutants/kills.toml"]);
    }

    #[test]
    fn reports_name_finders_with_their_seeds_and_what_adds_nothing() {
        let survey = survey();
        let text = survey.markdown();
        assert!(text.contains("| `second` | cuts 4 of 10, kills 1 of 10 |"), "{text}");
        assert!(text.contains("| `third` | none |"), "{text}");
        let redundant =
            "## Adds nothing\n\n- cuts\n- scenarios/mutants/kills.toml, where truncate-to-hw";
        assert!(text.contains(redundant), "{text}");
        let data: serde_json::Value = serde_json::from_str(&survey.json()).unwrap();
        assert_eq!(
            data["adds_nothing"],
            serde_json::json!(["cuts", "scenarios/mutants/kills.toml"])
        );
        assert_eq!(data["scenarios"][0]["finds"]["first"], 9);
        assert_eq!(data["scenarios"][0]["stays_because_it"][0], "finds `first`");
    }
}
