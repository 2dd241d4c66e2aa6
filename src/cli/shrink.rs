//! `shrink`: finds the smallest scenario that still fails as a run did.

use std::io::IsTerminal;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use super::mutants::load;
use super::{refuse, say};
use crate::lab::shrink::{BUDGET, Progress, ShrinkError, Shrunk, shrink_watched};
use crate::run::EngineKind;
use crate::scenario::Scenario;
use crate::scenario::seeds::read_seed;

/// The arguments of `shrink`.
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  brokerquake shrink scenarios/faults/acks-1-leader-kill.toml --seed 3\n\n\
    The result is a scenario with its schedule spelled out. Without --out it is written to\n\
    scenarios/regressions/SCENARIO-INVARIANT-SEED.toml; with a mutant, to reports/mutants/."
)]
pub struct ShrinkArgs {
    /// A file, or a name under scenarios/
    scenario: String,
    /// The seed of a run that breaks an invariant
    #[arg(long, value_name = "S", value_parser = read_seed)]
    seed: u64,
    /// The invariant to keep broken [default: the worst that the run breaks]
    #[arg(long, value_name = "NAME")]
    invariant: Option<String>,
    /// Re-enable a historical bug, one of those of `brokerquake mutants`
    #[arg(long, value_name = "NAME")]
    mutant: Option<String>,
    /// The engine that simulates the cluster
    #[arg(long, value_enum, default_value_t)]
    engine: EngineKind,
    /// The most runs that the search may take
    #[arg(long, value_name = "N", default_value_t = BUDGET)]
    budget: NonZeroUsize,
    /// The file of the result
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Shrinks the run and writes the result.
pub fn run(args: &ShrinkArgs) -> ExitCode {
    let scenario = match load(&args.scenario, args.mutant.as_deref()) {
        Ok(scenario) => scenario,
        Err(problem) => return refuse("shrink", problem),
    };
    let asked = Asked {
        seed: args.seed,
        engine: args.engine,
        budget: args.budget,
        invariant: args.invariant.as_deref(),
        out: args.out.as_deref(),
    };
    match shrink_to_file(&scenario, &asked) {
        Ok(told) => {
            say(told);
            ExitCode::SUCCESS
        }
        Err(problem) => refuse("shrink", problem),
    }
}

/// A request to shrink a run.
pub(super) struct Asked<'a> {
    pub seed: u64,
    pub engine: EngineKind,
    pub budget: NonZeroUsize,
    pub invariant: Option<&'a str>,
    pub out: Option<&'a Path>,
}

/// Shrinks a run under a progress bar, writes the file, and prints the result.
pub(super) fn shrink_to_file(
    scenario: &Scenario,
    asked: &Asked<'_>,
) -> Result<String, ShrinkError> {
    let terminal = std::io::stderr().is_terminal();
    let bar = if terminal { ProgressBar::new_spinner() } else { ProgressBar::hidden() };
    // The template is constant and valid; if not, the default style does.
    if let Ok(style) = ProgressStyle::with_template("shrinking: {pos} runs  {msg}") {
        bar.set_style(style);
    }
    let mut watch = |progress: Progress| {
        bar.set_position(progress.runs as u64);
        bar.set_message(format!("of {} at most; left: {}", progress.budget, progress.size));
    };
    let (seed, engine, budget) = (asked.seed, asked.engine, asked.budget);
    let shrunk = shrink_watched(scenario, seed, engine, budget, asked.invariant, &mut watch);
    bar.finish_and_clear();
    let mut shrunk = shrunk?;
    if let Some(out) = asked.out {
        shrunk = shrunk.named(&out.display().to_string());
    }
    shrunk.write()?;
    Ok(tell(&shrunk))
}

fn tell(shrunk: &Shrunk) -> String {
    let Shrunk { broken, before, after, runs, .. } = shrunk;
    let end = if shrunk.minimal {
        "nothing more can be removed"
    } else {
        "the budget ended; `--budget N` allows more"
    };
    format!(
        "shrunk: {}\nbreaks: {}: {}\nfrom:   {before}\nto:     {after}\nruns:   {runs}; {end}\n\
         trace:  {}",
        shrunk.scenario.file, broken.invariant, broken.what, shrunk.trace
    )
}
