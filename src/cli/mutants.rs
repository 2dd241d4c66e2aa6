//! `mutants`: switches one historical fix off at a time, and shows that it is found.

use std::num::NonZeroUsize;
use std::ops::Range;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::refuse;
use crate::lab::read_seeds;

/// Which mutants, and how long they are hunted.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  brokerquake mutants no-min-insync unclean-on --seeds 50\n\n\
    Reports: reports/mutants.md and reports/mutants.json.\n\
    A release build has no mutants: cargo run --release --features mutants -- mutants")]
#[cfg_attr(
    not(any(debug_assertions, feature = "mutants")),
    allow(dead_code, reason = "this build refuses, whatever was asked")
)]
pub struct MutantsArgs {
    /// Their names; all when there are none
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// How many seeds of each at most, from 0; or which, the end not included
    #[arg(long, value_name = "N|A..B", value_parser = read_seeds, default_value = "20")]
    seeds: Range<u64>,
    /// Hunts at a time; one for each core when absent
    #[arg(long, value_name = "J")]
    jobs: Option<NonZeroUsize>,
    /// Where reports are written
    #[arg(long, value_name = "DIR", default_value = "reports")]
    reports: PathBuf,
}

/// Says which command has them.
#[cfg(not(any(debug_assertions, feature = "mutants")))]
pub fn run(_: &MutantsArgs) -> ExitCode {
    refuse(
        "mutants",
        "this build has no flaw to switch on; run `cargo run --release --features mutants -- mutants`",
    )
}

/// Hunts, tells, and writes reports.
#[cfg(any(debug_assertions, feature = "mutants"))]
pub fn run(args: &MutantsArgs) -> ExitCode {
    use super::say;
    use crate::lab::mutants::{self, MUTANTS};

    let chosen = match chosen(&args.names) {
        Ok(chosen) => chosen,
        Err(problem) => return refuse("mutants", problem),
    };
    let cores = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let jobs = args.jobs.unwrap_or(cores);
    let told = |hunt: &mutants::Hunt| say(mutants::line(hunt));
    let hunts = match mutants::hunt_all(&chosen, &args.seeds, jobs, told) {
        Ok(hunts) => hunts,
        Err(problem) => return refuse("mutants", problem),
    };
    let put = |name: &str, text: String| {
        let path = args.reports.join(name);
        std::fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))
    };
    let written = std::fs::create_dir_all(&args.reports)
        .map_err(|error| format!("{}: {error}", args.reports.display()))
        .and_then(|()| put("mutants.md", mutants::markdown(&hunts)))
        .and_then(|()| put("mutants.json", mutants::json(&hunts)));
    if let Err(problem) = written {
        return refuse("mutants", problem);
    }
    let caught = hunts.iter().filter(|hunt| hunt.is_as_expected()).count();
    let (hunted, all) = (hunts.len(), MUTANTS.len());
    say(format_args!("{caught} of {hunted} caught ({all} in all)"));
    say(format_args!("reports: {}", args.reports.join("mutants.md").display()));
    ExitCode::from(u8::from(caught < hunted))
}

#[cfg(any(debug_assertions, feature = "mutants"))]
fn chosen(names: &[String]) -> Result<Vec<&'static crate::lab::mutants::Mutant>, String> {
    use crate::lab::mutants::{INEXPRESSIBLE, MUTANTS, UNCAUGHT};

    if names.is_empty() {
        return Ok(MUTANTS.iter().collect());
    }
    let find = |name: &String| {
        if let Some(mutant) = MUTANTS.iter().find(|mutant| mutant.name() == name) {
            return Ok(mutant);
        }
        if let Some(missing) = INEXPRESSIBLE.iter().find(|missing| missing.name == name) {
            return Err(format!("`{name}` is not expressible yet: {}", missing.why));
        }
        if let Some(uncaught) = UNCAUGHT.iter().find(|uncaught| uncaught.flaw.name() == name) {
            return Err(format!("`{name}` is not hunted: {}", uncaught.why));
        }
        let near = crate::base::nearest(name, MUTANTS.iter().map(|mutant| mutant.name()));
        let hint = near.map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
        Err(format!("unknown mutant `{name}`{hint}"))
    };
    names.iter().map(find).collect()
}
