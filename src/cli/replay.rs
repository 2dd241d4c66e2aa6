//! `replay`: runs one seed of a scenario again.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use super::mutants::load;
use super::{refuse, say};
use crate::base::Seed;
use crate::check::{Outage, longest};
use crate::lab::report;
use crate::picture::{self, Picture};
use crate::run::outcome::{Outcome, RunVerdict};
use crate::run::{self, EngineKind, Observers};
use crate::scenario::Plan;
use crate::scenario::Scenario;
use crate::scenario::seeds::read_seed;

/// Most outages that are printed.
const MAX_OUTAGES: usize = 10;

/// The arguments of `replay`.
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  brokerquake replay scenarios/faults/acks-1-leader-kill.toml --seed 1 --picture"
)]
pub struct ReplayArgs {
    /// A file, or a name under scenarios/
    scenario: String,
    /// The seed [default: the one that the file fixes]
    #[arg(long, value_name = "S", value_parser = read_seed)]
    seed: Option<u64>,
    /// Also print the run: in columns, one per host; or every event with the trace hash so far
    #[arg(long, value_name = "FORM", value_enum, num_args = 0..=1, require_equals = true,
        default_missing_value = "columns")]
    trace: Option<Form>,
    /// Print the scenario with this seed's schedule spelled out, without running it
    #[arg(long, conflicts_with = "trace")]
    schedule: bool,
    /// Also draw the run as one HTML page [default file: reports/SCENARIO-seed-S.html]
    #[arg(long, value_name = "FILE", num_args = 0..=1, conflicts_with = "schedule")]
    picture: Option<Option<PathBuf>>,
    /// Write the client history to this file, for `brokerquake check`
    #[arg(long, value_name = "FILE", conflicts_with = "schedule")]
    history: Option<PathBuf>,
    /// Re-enable a historical bug, one of those of `brokerquake mutants`
    #[arg(long, value_name = "NAME")]
    mutant: Option<String>,
    /// The engine that simulates the cluster
    #[arg(long, value_enum, default_value_t)]
    engine: EngineKind,
}

/// The forms of a printed trace.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// Time runs down, with a column per host: faults, leaders, in-sync replicas, the story
    Columns,
    /// One line per event: time, trace hash so far, event; compare two of them with `diff`
    Events,
}

/// Runs the seed and prints its outcome.
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
    if let Some(fixed) = scenario.seed.filter(|fixed| *fixed != seed) {
        say(format_args!("note:    the file fixes seed {fixed}; seed {seed} is another run"));
    }
    for line in &outcome.story {
        say(format_args!("fault:   {line}"));
    }
    tell_damage(&outcome, &scenario);
    for note in &outcome.notes {
        say(format_args!("note:    {note}"));
    }
    let counts = outcome.counts;
    say(format_args!(
        "records: {} sent, {} acknowledged, {} refused, {} unknown, {} read; {} elections",
        counts.sent, counts.acked, counts.refused, counts.unknown, counts.read, counts.elections
    ));
    if !counts.transactions.is_empty() {
        say(format_args!("transactions: {}", counts.transactions));
    }
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
        RunVerdict::Untested => ("nothing tested", 2),
    };
    if let Some(why) = &outcome.untested {
        say(format_args!("tested:  nothing: {why}"));
    }
    say(format_args!("verdict: {word} after {:.3} s", outcome.simulated.as_secs_f64()));
    if let Some(but) = reservation(verdict, &scenario, seed) {
        say(format_args!("but:     {but}"));
    }
    say(format_args!("trace:   {}", outcome.trace));
    ExitCode::from(code)
}

/// What a verdict of `held` is not worth, if the settings do not guarantee it.
fn reservation(verdict: RunVerdict, scenario: &Scenario, seed: u64) -> Option<String> {
    let reasons = report::not_guaranteed(scenario, [seed]);
    (verdict == RunVerdict::Held && !reasons.is_empty()).then(|| report::no_guarantee(&reasons))
}

/// Prints what was lost, what broke, and for how long partitions could not be used.
fn tell_damage(outcome: &Outcome, scenario: &Scenario) {
    let counts = outcome.counts;
    if counts.lost > 0 {
        say(format_args!("lost:    {}", report::share_lost(counts.lost, counts.acked)));
    }
    for broken in outcome.by_gravity(&scenario.expect) {
        say(format_args!("broke:   {}: {}", broken.invariant, broken.what));
    }
    tell_outages(&outcome.outages);
}

/// Prints the longest outages.
pub(super) fn tell_outages(outages: &[Outage]) {
    let (chosen, others) = longest(outages, MAX_OUTAGES);
    for outage in chosen {
        say(format_args!("outage:  {outage}"));
    }
    if others > 0 {
        say(format_args!("outage:  and {others} shorter ones"));
    }
}

/// Runs the seed once, with every observer that the arguments ask for.
fn go(args: &ReplayArgs, scenario: &Scenario, seed: u64) -> Result<Outcome, String> {
    let columns = args.trace == Some(Form::Columns);
    let mut print = |line: &str| say(line);
    let mut history = Vec::new();
    let observers = Observers {
        events: (args.trace == Some(Form::Events)).then_some(&mut print),
        recorder: None,
        history: args.history.is_some().then_some(&mut history),
    };
    let outcome = if columns || args.picture.is_some() {
        let picture = Picture::draw_before(scenario, seed, args.engine, observers);
        if columns {
            tell_in_columns(args, scenario, seed, &picture);
        }
        if let Some(file) = &args.picture {
            save(file.as_deref(), scenario, seed, &picture)?;
        }
        picture.outcome
    } else {
        run::watched(scenario, seed, args.engine, observers)
    };
    if let Some(file) = &args.history {
        std::fs::write(file, history)
            .map_err(|error| format!("can't write the history {}: {error}", file.display()))?;
    }
    Ok(outcome)
}

/// Prints the run in columns, or its events (in a second run) if the columns do not fit.
fn tell_in_columns(args: &ReplayArgs, scenario: &Scenario, seed: u64, picture: &Picture) {
    match picture.columns(width()) {
        Some(lines) => lines.iter().for_each(say),
        None => {
            eprintln!(
                "brokerquake replay: the terminal is too narrow for a column per host; printing events"
            );
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

/// The line width in characters, from `COLUMNS` or the terminal; none for a file or pipe.
fn width() -> Option<usize> {
    let said = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    let terminal = || {
        let out = std::io::stdout();
        let size = rustix::termios::tcgetwinsize(out).ok()?;
        Some(usize::from(size.ws_col)).filter(|columns| *columns > 0)
    };
    said.or_else(terminal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn held_run_says_what_its_settings_do_not_guarantee() {
        let text = "name = \"x\"\n[topic]\nreplication.factor = 3\n[[load]]\nkind = \"producer\"\n\
                    acks = 1\nenable.idempotence = false\n[[fault]]\nkind = \"kill\"\n\
                    target = \"leader\"\nat = \"5s\"\ndown = \"1s\"\n[expect]\nholds = [\"*\"]\n";
        let weak = Scenario::parse("x.toml", text).unwrap();
        let but = "these settings do not guarantee it (acks=1, and leadership may move)";
        assert_eq!(reservation(RunVerdict::Held, &weak, 0).as_deref(), Some(but));
        assert_eq!(reservation(RunVerdict::Broke, &weak, 0), None);
        let strong = text.replace("acks = 1\nenable.idempotence = false\n", "");
        let strong = Scenario::parse("x.toml", &strong).unwrap();
        assert_eq!(reservation(RunVerdict::Held, &strong, 0), None);
    }
}
