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
    after_help = "Example:\n  brokerquake replay scenarios/faults/acks-1-leader-kill.toml --seed 1 --picture"
)]
pub struct ReplayArgs {
    /// A file, or a name below scenarios/
    scenario: String,
    /// The run's seed; the file's own when absent
    #[arg(long, value_name = "S")]
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
    let scenario = match Scenario::load(&args.scenario) {
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

/// Runs it as was asked: told, drawn, or both.
fn go(args: &ReplayArgs, scenario: &Scenario, seed: u64) -> Result<Outcome, String> {
    let columns = args.trace == Some(Form::Columns);
    let drawn = columns || args.picture.is_some();
    let picture = drawn.then(|| Picture::draw(scenario, seed, args.engine));
    let lines = picture.as_ref().filter(|_| columns).map(|picture| picture.columns(width()));
    let too_narrow = matches!(lines, Some(None));
    if let Some(lines) = lines.flatten() {
        lines.iter().for_each(say);
    }
    let events = (args.trace == Some(Form::Events) || too_narrow).then(|| {
        if too_narrow {
            eprintln!("brokerquake replay: too narrow for a column for each host; here are events");
        }
        let mut print = |line: &str| say(line);
        run::run(scenario, seed, args.engine, Some(&mut print))
    });
    let told = args.history.as_deref().map(|file| write_history(args, scenario, seed, file));
    let told = told.transpose()?;
    if let (Some(file), Some(picture)) = (&args.picture, &picture) {
        let file = match file {
            Some(file) => file.clone(),
            None => picture::file_name(Path::new("reports"), &scenario.name, seed),
        };
        picture.save(&file).map_err(|error| format!("{}: {error}", file.display()))?;
        say(format_args!("picture: {}", file.display()));
    }
    let plain = || run::run(scenario, seed, args.engine, None);
    Ok(events.or(picture.map(|picture| picture.outcome)).or(told).unwrap_or_else(plain))
}

/// A run whose clients' history goes to a file.
fn write_history(
    args: &ReplayArgs,
    scenario: &Scenario,
    seed: u64,
    file: &Path,
) -> Result<Outcome, String> {
    let written = run::with_history(scenario, seed, args.engine).and_then(|(outcome, text)| {
        std::fs::write(file, text)?;
        Ok(outcome)
    });
    written.map_err(|error| format!("can't write the history {}: {error}", file.display()))
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
