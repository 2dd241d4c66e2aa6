//! `replay`: one run again.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use super::{refuse, say};
use crate::base::Seed;
use crate::lab::picture::{self, Picture};
use crate::lab::verdict::{Outcome, RunVerdict};
use crate::lab::{EngineKind, Plan, Scenario, run};

/// Which run.
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  brokerquake replay scenarios/faults/leader-power-loss.toml --seed 3053 --trace"
)]
pub struct ReplayArgs {
    /// A file, or a name below scenarios/
    scenario: String,
    /// The run's seed
    #[arg(long, value_name = "S")]
    seed: u64,
    /// Also print every event: time, hash so far, what happened
    #[arg(long)]
    trace: bool,
    /// Print the scenario with this seed's schedule spelled out, and run nothing
    #[arg(long, conflicts_with = "trace")]
    schedule: bool,
    /// Also draw the run: one HTML page, reports/SCENARIO-seed-S.html unless a file is named
    #[arg(long, value_name = "FILE", num_args = 0..=1, conflicts_with = "schedule")]
    picture: Option<Option<PathBuf>>,
    /// The simulation that it runs in
    #[arg(long, value_enum, default_value_t)]
    engine: EngineKind,
}

/// Runs it, and tells what came of it.
pub fn run(args: &ReplayArgs) -> ExitCode {
    let scenario = match Scenario::load(&args.scenario) {
        Ok(scenario) => scenario,
        Err(problem) => return refuse("replay", problem),
    };
    if args.schedule {
        let plan = Plan::draw(&scenario, Seed(args.seed));
        say(scenario.to_toml(&plan).trim_end());
        return ExitCode::SUCCESS;
    }
    let outcome = match go(args, &scenario) {
        Ok(outcome) => outcome,
        Err(problem) => return refuse("replay", problem),
    };
    say(format_args!("{}  seed {}  {}", scenario.name, args.seed, args.engine.name()));
    for line in &outcome.story {
        say(format_args!("fault:   {line}"));
    }
    for note in &outcome.notes {
        say(format_args!("note:    {note}"));
    }
    for broken in &outcome.broken {
        say(format_args!("broke:   {}: {}", broken.invariant, broken.what));
    }
    let counts = outcome.counts;
    say(format_args!(
        "records: {} sent, {} acknowledged, {} refused, {} unknown, {} read; {} elections",
        counts.sent, counts.acked, counts.refused, counts.unknown, counts.read, counts.elections
    ));
    let verdict = outcome.verdict(&scenario.expect);
    let (word, code) = match verdict {
        RunVerdict::Held => ("held", 0),
        RunVerdict::BrokeAsExpected => ("broke as expected", 0),
        RunVerdict::Broke => ("BROKE", 1),
        RunVerdict::Stuck => ("stuck", 3),
        RunVerdict::Nondeterministic => ("nondeterministic", 4),
    };
    say(format_args!("verdict: {word} after {:.3} s", outcome.simulated.as_secs_f64()));
    say(format_args!("trace:   {}", outcome.trace));
    ExitCode::from(code)
}

/// Runs it as was asked: told event by event, drawn, or both.
fn go(args: &ReplayArgs, scenario: &Scenario) -> Result<Outcome, String> {
    let told = if args.trace {
        let mut print = |line: &str| say(line);
        Some(run::run(scenario, args.seed, args.engine, Some(&mut print)))
    } else {
        None
    };
    let Some(file) = &args.picture else {
        return Ok(told.unwrap_or_else(|| run::run(scenario, args.seed, args.engine, None)));
    };
    let picture = Picture::draw(scenario, args.seed, args.engine);
    let file = match file {
        Some(file) => file.clone(),
        None => picture::file_name(Path::new("reports"), &scenario.name, args.seed),
    };
    picture.save(&file).map_err(|error| format!("{}: {error}", file.display()))?;
    say(format_args!("picture: {}", file.display()));
    Ok(picture.outcome)
}
