//! `mutants`: re-enables one historical Kafka bug at a time, and proves that it is found.

use std::num::NonZeroUsize;
use std::ops::Range;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::refuse;
#[cfg(any(debug_assertions, feature = "mutants"))]
use crate::base::{Flaw, Flaws};
#[cfg(any(debug_assertions, feature = "mutants"))]
use crate::lab::mutants::{INEXPRESSIBLE, MUTANTS, Mutant, UNCAUGHT};
use crate::scenario::Scenario;
use crate::scenario::seeds::read_seeds;

/// The arguments of `mutants`.
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  brokerquake mutants no-min-insync unclean-on --seeds 50 --shrink\n\n\
    Reports: reports/mutants.md and reports/mutants.json; with --table reports/mutant-table.md and \
    .json.\n\
    A release build has no mutants: cargo run --release --features mutants -- mutants"
)]
#[cfg_attr(
    not(any(debug_assertions, feature = "mutants")),
    allow(dead_code, reason = "a build without the feature refuses the command")
)]
pub struct MutantsArgs {
    /// Names of mutants [default: all]
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Seeds that each start may take: a number N for 0..N, or a range whose end is excluded
    /// [default: 200; with --table 5]
    #[arg(long, value_name = "N|A..B", value_parser = read_seeds)]
    seeds: Option<Range<u64>>,
    /// Instead run every scenario with every mutant: who finds whom in how many seeds, and which
    /// scenarios add nothing
    #[arg(long, conflicts_with_all = ["starts", "shrink", "scenario"])]
    table: bool,
    /// Files or directories of scenarios for the table [default: all but the regressions]
    #[arg(long, value_name = "FILE|DIR", requires = "table")]
    scenarios: Vec<String>,
    /// Starts of each hunt, each on its own seeds; medians are reported
    #[arg(long, value_name = "K", default_value_t = NonZeroUsize::MIN)]
    starts: NonZeroUsize,
    /// Also shrink the first witness of each mutant
    #[arg(long)]
    shrink: bool,
    /// Hunt in this scenario, by any invariant that it expects to hold; needs names
    #[arg(long = "in", value_name = "FILE", requires = "names")]
    scenario: Option<String>,
    /// Hunts in parallel [default: one per core]
    #[arg(long, value_name = "J")]
    jobs: Option<NonZeroUsize>,
    /// Directory of the reports
    #[arg(long, value_name = "DIR", default_value = "reports")]
    reports: PathBuf,
}

/// Loads the scenario that a command names, with the bug that it names.
#[cfg(not(any(debug_assertions, feature = "mutants")))]
pub(super) fn load(path: &str, mutant: Option<&str>) -> Result<Scenario, String> {
    match mutant {
        Some(name) => Err(format!("`--mutant {name}`: {NONE_HERE}")),
        None => Scenario::load(path).map_err(|problem| problem.to_string()),
    }
}

/// Loads the scenario that a command names, with the bug that it names.
#[cfg(any(debug_assertions, feature = "mutants"))]
pub(super) fn load(path: &str, mutant: Option<&str>) -> Result<Scenario, String> {
    let scenario = Scenario::load(path).map_err(|problem| problem.to_string())?;
    let flaws = mutant.map_or(Ok(Flaws::default()), |name| flaw(name).map(Flaws::only))?;
    Ok(scenario.with_flaws(flaws))
}

#[cfg(any(debug_assertions, feature = "mutants"))]
fn flaw(name: &str) -> Result<Flaw, String> {
    if let Some(flaw) = Flaw::ALL.iter().find(|flaw| flaw.name() == name) {
        return Ok(*flaw);
    }
    if let Some(missing) = INEXPRESSIBLE.iter().find(|missing| missing.name == name) {
        return Err(format!("`{name}` is not expressible yet: {}", missing.why));
    }
    let near = crate::base::nearest(name, Flaw::ALL.iter().map(|flaw| flaw.name()));
    let hint = near.map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
    Err(format!("unknown mutant `{name}`{hint}"))
}

/// The error of a build without mutants.
#[cfg(not(any(debug_assertions, feature = "mutants")))]
pub fn run(_: &MutantsArgs) -> ExitCode {
    refuse("mutants", NONE_HERE)
}

#[cfg(not(any(debug_assertions, feature = "mutants")))]
const NONE_HERE: &str =
    "this build has no mutants; use `cargo run --release --features mutants -- …`";

/// Hunts the mutants and writes the reports.
#[cfg(any(debug_assertions, feature = "mutants"))]
pub fn run(args: &MutantsArgs) -> ExitCode {
    let done = if args.table { table(args) } else { hunt(args) };
    match done {
        Ok(code) => code,
        Err(problem) => refuse("mutants", problem),
    }
}

#[cfg(any(debug_assertions, feature = "mutants"))]
fn hunt(args: &MutantsArgs) -> Result<ExitCode, String> {
    use super::say;
    use crate::lab::mutants::{self, Effort};

    let chosen = chosen(args)?;
    let elsewhere = args.scenario.as_deref().map(|path| load(path, None)).transpose()?;
    let cores = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let seeds = args.seeds.clone().unwrap_or(0..200);
    let effort = Effort { seeds, starts: args.starts, shrink: args.shrink };
    let told = |hunt: &mutants::Hunt| say(mutants::line(hunt));
    let jobs = args.jobs.unwrap_or(cores);
    let hunts = mutants::hunt_all(&chosen, elsewhere.as_ref(), &effort, jobs, told);
    let hunts = hunts.map_err(|problem| problem.to_string())?;
    put(&args.reports, "mutants.md", mutants::markdown(&hunts))?;
    put(&args.reports, "mutants.json", mutants::json(&hunts))?;
    let caught = hunts.iter().filter(|hunt| hunt.is_as_expected()).count();
    let (hunted, all) = (hunts.len(), MUTANTS.len());
    say(format_args!("{caught} of {hunted} caught ({all} in all)"));
    say(format_args!("reports: {}", args.reports.join("mutants.md").display()));
    Ok(ExitCode::from(u8::from(caught < hunted)))
}

/// Surveys all scenarios and writes the table.
#[cfg(any(debug_assertions, feature = "mutants"))]
fn table(args: &MutantsArgs) -> Result<ExitCode, String> {
    use super::say;
    use crate::lab::mutants;
    use crate::scenario::files::load_all;

    /// Where scenarios are that are not about one run.
    const USUAL: [&str; 5] = ["smoke", "faults", "groups", "eos", "mutants"];
    let paths = match args.scenarios.is_empty() {
        true => USUAL.map(|place| format!("scenarios/{place}")).to_vec(),
        false => args.scenarios.clone(),
    };
    let scenarios = load_all(&paths).map_err(|problem| problem.to_string())?;
    let flaws = match args.names.is_empty() {
        true => Flaw::ALL.to_vec(),
        false => args.names.iter().map(|name| flaw(name)).collect::<Result<_, _>>()?,
    };
    let seeds = args.seeds.clone().unwrap_or(0..5);
    let cores = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let jobs = args.jobs.unwrap_or(cores);
    let told = |one: &mutants::Surveyed| say(mutants::surveyed(one));
    let survey = mutants::survey(&scenarios, &flaws, &seeds, jobs, told);
    put(&args.reports, "mutant-table.md", survey.markdown())?;
    put(&args.reports, "mutant-table.json", survey.json())?;
    let redundant = survey.redundant();
    say(format_args!("{} of {} scenarios add nothing", redundant.len(), survey.scenarios.len()));
    redundant.iter().for_each(|file| say(format_args!("  {file}")));
    say(format_args!("reports: {}", args.reports.join("mutant-table.md").display()));
    Ok(ExitCode::SUCCESS)
}

/// Writes a report.
#[cfg(any(debug_assertions, feature = "mutants"))]
fn put(reports: &std::path::Path, name: &str, text: String) -> Result<(), String> {
    let wrong = |path: &std::path::Path, error| format!("{}: {error}", path.display());
    std::fs::create_dir_all(reports).map_err(|error| wrong(reports, error))?;
    let path = reports.join(name);
    std::fs::write(&path, text).map_err(|error| wrong(&path, error))
}

#[cfg(any(debug_assertions, feature = "mutants"))]
fn chosen(args: &MutantsArgs) -> Result<Vec<Mutant>, String> {
    if args.names.is_empty() {
        return Ok(MUTANTS.to_vec());
    }
    let find = |name: &String| {
        let flaw = flaw(name)?;
        if args.scenario.is_some() {
            return Ok(Mutant::anywhere(flaw));
        }
        let at_large = || {
            let known = UNCAUGHT.iter().find(|uncaught| uncaught.flaw == flaw);
            let why = known.map_or("", |known| known.why);
            format!("`{name}` is not hunted: {why}; hunt it with `--in FILE`")
        };
        MUTANTS.iter().find(|mutant| mutant.flaw == flaw).copied().ok_or_else(at_large)
    };
    args.names.iter().map(find).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scenario_without_a_mutant_has_no_flaws() {
        assert_eq!(load("smoke/smoke-calm", None).unwrap().flaws(), Default::default());
    }

    #[test]
    #[cfg(not(any(debug_assertions, feature = "mutants")))]
    fn a_build_without_flaws_says_which_build_has_them() {
        let problem = load("smoke/smoke-calm", Some("unclean-on")).unwrap_err();
        assert!(problem.contains("--features mutants"), "{problem}");
    }

    #[test]
    #[cfg(any(debug_assertions, feature = "mutants"))]
    fn unknown_mutant_suggests_the_nearest() {
        let flawed = load("smoke/smoke-calm", Some("unclean-on")).unwrap();
        assert_eq!(flawed.flaws(), Flaws::only(Flaw::UncleanOn));
        let problem = |name| load("smoke/smoke-calm", Some(name)).unwrap_err();
        assert!(problem("unclean-of").contains("did you mean `unclean-on`?"));
        assert!(problem("stale-control-request").contains("not expressible yet"));
    }
}
