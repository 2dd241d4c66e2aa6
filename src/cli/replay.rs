//! `replay`: one run again.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use super::mutants::load;
use super::{refuse, say};
use crate::base::Seed;
use crate::picture::{self, Picture};
use crate::run::outcome::{Outcome, RunVerdict};
use crate::run::{self, EngineKind, Onlookers};
use crate::scenario::Plan;
use crate::scenario::Scenario;
use crate::scenario::seeds::read_seed;

/// Which run.
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  brokerquake replay scenarios/faults/acks-1-leader-kill.toml --seed 1 --picture"
)]
pub struct ReplayArgs {
    /// A file, or a name below scenarios/
    scenario: String,
    /// The run's seed; the file's own when absent
    #[arg(long, value_name = "S", value_parser = read_seed)]
    seed: Option<u64>,
    /// Also print what happened: in columns, one for each host; or every event with the hash so far
    #[arg(long, value_name = "FORM", value_enum, num_args = 0..=1, require_equals = true,
        default_missing_value = "columns")]
    trace: Option<Form>,
    /// Print the scenario with this seed's schedule spelled out, and run nothing
    #[arg(long, conflicts_with = "trace")]
    schedule: bool,
    /// Also draw the run: one HTML page, reports/SCENARIO-seed-S.html unless a file is named
    #[arg(long, value_name = "FILE", num_args = 0..=1, conflicts_with = "schedule")]
    picture: Option<Option<PathBuf>>,
    /// Write what clients did and saw to this file, which `brokerquake check` reads
    #[arg(long, value_name = "FILE", conflicts_with = "schedule")]
    history: Option<PathBuf>,
    /// With a historical flaw switched on, one of `brokerquake mutants`
    #[arg(long, value_name = "NAME")]
    mutant: Option<String>,
    /// The simulation that it runs in
    #[arg(long, value_enum, default_value_t)]
    engine: EngineKind,
}

/// How a trace is told.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// Time runs down, a column for each host: faults, leaders, in-sync replicas, the story
    Columns,
    /// One line an event: time, hash so far, what happened. Two of them differ where runs do
    Events,
}

/// Runs it, and tells what came of it.
pub fn run(args: &ReplayArgs) -> ExitCode {
    let scenario = match load(&args.scenario, args.mutant.as_deref()) {
        Ok(scenario) => scenario,
        Err(problem) => return refuse("replay", problem),
    };
    let Some(seed) = args.seed.or(scenario.seed) else {
        return refuse("replay", format!("{}: which run? Add `--seed S`", scenario.file));
    };
    if args.schedule {
        let plan = Plan::draw(&scenario, Seed(seed));
        say(scenario.to_toml(&plan).trim_end());
        return ExitCode::SUCCESS;
    }
    let outcome = match go(args, &scenario, seed) {
        Ok(outcome) => outcome,
        Err(problem) => return refuse("replay", problem),
    };
    say(format_args!("{}  seed {}  {}", scenario.name, seed, args.engine.name()));
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
    for disk in &outcome.disks {
        say(format_args!("disk:    {}", disk.summary()));
    }
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

/// Runs it once, before all that was asked for: told, drawn, written down.
fn go(args: &ReplayArgs, scenario: &Scenario, seed: u64) -> Result<Outcome, String> {
    let columns = args.trace == Some(Form::Columns);
    let mut print = |line: &str| say(line);
    let mut history = Vec::new();
    let onlookers = Onlookers {
        events: (args.trace == Some(Form::Events)).then_some(&mut print),
        recorder: None,
        history: args.history.is_some().then_some(&mut history),
    };
    let outcome = if columns || args.picture.is_some() {
        let picture = Picture::draw_before(scenario, seed, args.engine, onlookers);
        if columns {
            tell_in_columns(args, scenario, seed, &picture);
        }
        if let Some(file) = &args.picture {
            save(file.as_deref(), scenario, seed, &picture)?;
        }
        picture.outcome
    } else {
        run::watched(scenario, seed, args.engine, onlookers)
    };
    if let Some(file) = &args.history {
        std::fs::write(file, history)
            .map_err(|error| format!("can't write the history {}: {error}", file.display()))?;
    }
    Ok(outcome)
}

/// Tells the run in columns; where they do not fit, its events, for which it is run again.
fn tell_in_columns(args: &ReplayArgs, scenario: &Scenario, seed: u64, picture: &Picture) {
    match picture.columns(width()) {
        Some(lines) => lines.iter().for_each(say),
        None => {
            eprintln!("brokerquake replay: too narrow for a column for each host; here are events");
            let mut print = |line: &str| say(line);
            run::run(scenario, seed, args.engine, Some(&mut print));
        }
    }
}

fn save(
    file: Option<&Path>,
    scenario: &Scenario,
    seed: u64,
    picture: &Picture,
) -> Result<(), String> {
    let usual = || picture::file_name(Path::new("reports"), &scenario.name, seed);
    let file = file.map_or_else(usual, Path::to_path_buf);
    picture.save(&file).map_err(|error| format!("{}: {error}", file.display()))?;
    say(format_args!("picture: {}", file.display()));
    Ok(())
}

/// Characters of a line, as `COLUMNS` or the terminal says; a file or a pipe has no such limit.
fn width() -> Option<usize> {
    let said = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    let terminal = || {
        let out = std::io::stdout();
        let size = rustix::termios::tcgetwinsize(out).ok()?;
        Some(usize::from(size.ws_col)).filter(|columns| *columns > 0)
    };
    said.or_else(terminal)
}
