//! The commands, one file each. This one only dispatches.

mod check;
mod dump_log;
mod matrix;
mod mutants;
mod recovering;
mod replay;
mod report;
mod run;
mod serve;
mod shrink;
mod swarm;

use std::io::Write;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue};
use clap::{CommandFactory, Parser, Subcommand};

use crate::base::nearest;

/// Wrong usage, or a file that can't be used.
const USAGE: u8 = 2;

#[derive(Parser, Debug)]
#[command(
    name = "brokerquake",
    version,
    about = "Shake a Kafka cluster until it breaks, or show that it can't",
    infer_subcommands = false,
    arg_required_else_help = true,
    after_help = "Exit codes: 0 all as expected, 1 broke (or did not break), 2 usage, 3 stuck, 4 nondeterministic.\n\
        Example:\n  brokerquake run scenarios/faults --seeds 100"
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Run scenarios over many seeds, judge them, and write reports
    Run(run::RunArgs),
    /// Run one seed of a scenario again, event by event
    Replay(replay::ReplayArgs),
    /// Find the smallest scenario that fails as a run did, and write it to a file
    Shrink(shrink::ShrinkArgs),
    /// Judge a recorded history of any Kafka-protocol cluster by what its clients saw
    Check(check::CheckArgs),
    /// What outlives which fault under which settings
    Matrix(matrix::MatrixArgs),
    /// One page over the last runs
    Report(report::ReportArgs),
    /// Switch one historical fix off at a time, and show that it is found
    Mutants(mutants::MutantsArgs),
    /// Show what is in the files of a log, as Kafka's own tool does
    DumpLog(dump_log::DumpLogArgs),
    /// Run a real broker on this machine
    Serve(serve::ServeArgs),
}

/// Reads the command line and runs what it asks for.
pub fn main() -> ExitCode {
    // Clap prints its own errors and exits with 2.
    let arguments = Arguments::try_parse().unwrap_or_else(|error| suggest(error).exit());
    match arguments.command {
        Command::Run(args) => run::run(&args),
        Command::Replay(args) => replay::run(&args),
        Command::Shrink(args) => shrink::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Matrix(args) => matrix::run(&args),
        Command::Report(args) => report::run(&args),
        Command::Mutants(args) => mutants::run(&args),
        Command::DumpLog(args) => dump_log::run(&args),
        Command::Serve(args) => serve::run(&args),
    }
}

/// Names the nearest command, where clap finds none near enough.
fn suggest(mut error: clap::Error) -> clap::Error {
    if let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidSubcommand)
        && error.get(ContextKind::SuggestedSubcommand).is_none()
    {
        let command = Arguments::command();
        let names = command.get_subcommands().map(clap::Command::get_name);
        if let Some(near) = nearest(word, names) {
            let near = ContextValue::Strings(vec![near.to_owned()]);
            error.insert(ContextKind::SuggestedSubcommand, near);
        }
    }
    error
}

/// Prints a line. A reader that has gone away (`| head`) is no reason to fail.
fn say(text: impl std::fmt::Display) {
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

/// Says what is wrong with what was asked.
fn refuse(command: &str, problem: impl std::fmt::Display) -> ExitCode {
    eprintln!("brokerquake {command}: {problem}");
    ExitCode::from(USAGE)
}
