//! `replay`: one run again.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::{refuse, say};
use crate::base::Seed;
use crate::lab::verdict::RunVerdict;
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
    /// Write what clients did and saw to this file, which `brokerquake check` reads
    #[arg(long, value_name = "FILE", conflicts_with = "schedule")]
    history: Option<PathBuf>,
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
    let mut print = |line: &str| say(line);
    let watch: Option<&mut dyn FnMut(&str)> = if args.trace { Some(&mut print) } else { None };
    let outcome = match &args.history {
        None => run::run(&scenario, args.seed, args.engine, watch),
        Some(file) => {
            let recorded = run::record(&scenario, args.seed, args.engine, watch);
            let written = recorded.and_then(|(outcome, text)| {
                std::fs::write(file, text)?;
                Ok(outcome)
            });
            match written {
                Ok(outcome) => outcome,
                Err(error) => {
                    let file = file.display();
                    return refuse("replay", format!("can't write the history {file}: {error}"));
                }
            }
        }
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
