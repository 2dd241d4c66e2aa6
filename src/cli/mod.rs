//! The commands, one file each; this file only dispatches.

mod check;
mod dump_log;
mod groups;
mod matrix;
mod mutants;
mod progress;
mod rebalances;
mod recovering;
mod replay;
mod report;
mod run;
mod serve;
mod shrink;
mod swarm;
mod table;
mod transactions;

use std::io::Write;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue};
use clap::{CommandFactory, Parser, Subcommand};

use crate::base::nearest;

/// Exit code for wrong usage, or a file that can't be used.
const USAGE: u8 = 2;

#[derive(Parser, Debug)]
#[command(
    name = "brokerquake",
    version,
    about = "Shake a Kafka cluster until it breaks, or show that it can't",
    infer_subcommands = false,
    arg_required_else_help = true,
    after_help = "Exit codes: 0 all as expected, 1 broke (or did not break), 2 usage or nothing tested, 3 stuck, 4 nondeterministic.\n\
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
    /// Judge a recorded client history of any Kafka cluster
    Check(check::CheckArgs),
    /// Show which settings survive which faults
    Matrix(matrix::MatrixArgs),
    /// Compare what rebalances cost, by group protocol and assignor
    Rebalances(rebalances::RebalancesArgs),
    /// Write one page about the last runs
    Report(report::ReportArgs),
    /// Re-enable one historical Kafka bug at a time, and prove that it is found
    Mutants(mutants::MutantsArgs),
    /// Print the files of a log in the format of Kafka's own tool
    DumpLog(dump_log::DumpLogArgs),
    /// List, describe, delete and reset groups, as Kafka's kafka-consumer-groups does
    Groups(groups::GroupsArgs),
    /// List, describe, abort and find transactions, as Kafka's kafka-transactions does
    Transactions(transactions::TransactionsArgs),
    /// Run a real broker on this machine
    Serve(serve::ServeArgs),
}

/// Parses the command line and runs the command.
pub fn main() -> ExitCode {
    // Clap prints its own errors and exits with 2.
    let arguments = Arguments::try_parse().unwrap_or_else(|error| suggest(error).exit());
    match arguments.command {
        Command::Run(args) if args.swarm => swarm::run(&args),
        Command::Run(args) => run::run(&args),
        Command::Replay(args) => replay::run(&args),
        Command::Shrink(args) => shrink::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Matrix(args) => matrix::run(&args),
        Command::Rebalances(args) => rebalances::run(&args),
        Command::Report(args) => report::run(&args),
        Command::Mutants(args) => mutants::run(&args),
        Command::DumpLog(args) => dump_log::run(&args),
        Command::Groups(args) => groups::run(&args),
        Command::Transactions(args) => transactions::run(&args),
        Command::Serve(args) => serve::run(&args),
    }
}

/// Suggests the nearest command if clap has no suggestion.
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

/// Prints a line. A closed pipe (`| head`) is not a failure.
fn say(text: impl std::fmt::Display) {
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

/// Prints a usage error.
fn refuse(command: &str, problem: impl std::fmt::Display) -> ExitCode {
    eprintln!("brokerquake {command}: {problem}");
    ExitCode::from(USAGE)
}
