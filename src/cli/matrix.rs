//! `matrix`: shows which settings survive which faults.

use std::num::NonZeroUsize;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use super::progress::{Progress, put};
use super::{refuse, say};
use crate::lab::Verdict;
use crate::lab::cells::Runs;
use crate::lab::matrix::{self, Named, Table, Words, once};
use crate::run::EngineKind;
use crate::scenario::seeds::read_seeds;

/// Seeds of each cell of the whole table.
const SEEDS: u64 = 10;
/// Seeds of each cell for the settings of one user.
const SEEDS_OF_ONE: u64 = 20;
/// The largest properties file that is read, in bytes.
const MAX_FILE: u64 = 1 << 20;

/// The arguments of `matrix`.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  brokerquake matrix --seeds 20\n  brokerquake matrix --config server.properties --producer producer.properties\n  brokerquake matrix --exactly-once --seeds 5\n  brokerquake matrix --write acks-all-rf3-min2-cache-clean-all-power cell.toml\n\n\
    Without --config and --producer there are two tables: which acknowledged records survive, and which way\n\
    of delivering records is exactly once, with a column for zombies.\n\n\
    Reports, in the directory of --reports: durability-matrix.md and .json, exactly-once-matrix.md and .json;\n\
    scenarios of cells with a witness: matrix/CELL.toml."
)]
pub struct MatrixArgs {
    /// Answer for this broker's settings [default with --producer: Kafka's defaults]
    #[arg(long, value_name = "server.properties")]
    config: Option<PathBuf>,
    /// Answer for this producer's settings [default with --config: Kafka's defaults]
    #[arg(long, value_name = "producer.properties")]
    producer: Option<PathBuf>,
    /// Replicas of the topic [default: the broker's default.replication.factor]
    #[arg(long, value_name = "N")]
    replication_factor: Option<i16>,
    /// Seeds of each cell: a number N for 0..N, or a range whose end is excluded
    #[arg(long, value_name = "N|A..B", value_parser = read_seeds)]
    seeds: Option<Range<u64>>,
    /// Runs in parallel [default: one per core]
    #[arg(long, value_name = "J")]
    jobs: Option<NonZeroUsize>,
    /// The engine that simulates the cluster
    #[arg(long, value_enum, default_value_t)]
    engine: EngineKind,
    /// Show only the table about idempotence, transactions and zombies
    #[arg(long, conflicts_with_all = ["config", "producer", "replication_factor"])]
    exactly_once: bool,
    /// Exit with 1 if any cell loses an acknowledged record or is not exactly once, promised or not
    #[arg(long)]
    fail_on_loss: bool,
    /// Directory of the reports
    #[arg(long, value_name = "DIR", default_value = matrix::REPORTS)]
    reports: PathBuf,
    /// Write one cell's scenario to a file, without running it
    #[arg(long, num_args = 2, value_names = ["CELL", "FILE"], conflicts_with_all = ["config", "producer"])]
    write: Option<Vec<String>>,
}

/// Runs the cells, prints the table or the answer, and writes the reports.
pub fn run(args: &MatrixArgs) -> ExitCode {
    match act(args) {
        Ok(code) => ExitCode::from(code),
        Err(problem) => refuse("matrix", problem),
    }
}

fn act(args: &MatrixArgs) -> Result<u8, String> {
    if let Some([cell, file]) = args.write.as_deref() {
        put(Path::new(file), &matrix::find(cell)?)?;
        say(format_args!("{file}"));
        return Ok(0);
    }
    let asked = args.config.is_some() || args.producer.is_some();
    if args.exactly_once {
        return exactly_once(args);
    }
    let rows = if asked || args.replication_factor.is_some() {
        let asked = settings(args)?;
        for warning in &asked.warnings {
            eprintln!("brokerquake matrix: warning: {warning}");
        }
        vec![asked.settings]
    } else {
        matrix::rows()
    };
    let one = rows.len() == 1;
    let cells = matrix::cells(&rows);
    let seeds = args.seeds.clone().unwrap_or(0..if one { SEEDS_OF_ONE } else { SEEDS });
    let mut progress = Progress::new((seeds.end - seeds.start) * cells.len() as u64);
    let runs = runs(args, seeds);
    let table = matrix::run(&cells, &runs, &mut progress).map_err(|error| error.to_string())?;
    progress.finish();
    write_cells(&table, &args.reports)?;
    let code = table.exit_code(args.fail_on_loss);
    if one {
        say(matrix::answer(&table).trim_end());
        return Ok(code);
    }
    publish(&table, &args.reports)?;
    say("");
    Ok(Verdict::worst_exit_code([code, exactly_once(args)?]))
}

/// Runs the table about exactly once.
fn exactly_once(args: &MatrixArgs) -> Result<u8, String> {
    let (cells, seeds) = (once::cells(), args.seeds.clone().unwrap_or(0..SEEDS));
    let mut progress = Progress::new((seeds.end - seeds.start) * cells.len() as u64);
    let table = matrix::run(&cells, &runs(args, seeds), &mut progress);
    let table = table.map_err(|error| error.to_string())?;
    progress.finish();
    write_cells(&table, &args.reports)?;
    publish(&table, &args.reports)?;
    Ok(table.exit_code(args.fail_on_loss))
}

/// Prints a table, and writes its files.
fn publish<C: Words>(table: &Table<C>, reports: &Path) -> Result<(), String> {
    say(matrix::terminal(table).trim_end());
    let path = reports.join(format!("{}.md", C::KIND));
    put(&path, &matrix::markdown(table))?;
    put(&reports.join(format!("{}.json", C::KIND)), &table.to_json())?;
    say(format_args!("reports: {}", path.display()));
    Ok(())
}

fn runs(args: &MatrixArgs, seeds: Range<u64>) -> Runs {
    let cores = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let jobs = args.jobs.unwrap_or(cores);
    Runs { seeds, jobs, engine: args.engine, reports: args.reports.clone() }
}

fn settings(args: &MatrixArgs) -> Result<matrix::Asked, String> {
    let text = |path: &Option<PathBuf>| -> Result<Option<(String, String)>, String> {
        let Some(path) = path else { return Ok(None) };
        Ok(Some((path.display().to_string(), read(path)?)))
    };
    let (server, producer) = (text(&args.config)?, text(&args.producer)?);
    fn named((file, text): &(String, String)) -> Named<'_> {
        Named { file, text }
    }
    let (server, producer) = (server.as_ref().map(named), producer.as_ref().map(named));
    matrix::read(server, producer, args.replication_factor).map_err(|error| error.to_string())
}

fn read(path: &Path) -> Result<String, String> {
    let unreadable = |error| format!("{}: {error}", path.display());
    let bytes = std::fs::metadata(path).map_err(unreadable)?.len();
    if bytes > MAX_FILE {
        return Err(format!("{}: {bytes} bytes are too many for settings", path.display()));
    }
    std::fs::read_to_string(path).map_err(unreadable)
}

/// Writes the scenarios that replay commands name, for the cells that have a witness.
fn write_cells<C: Words>(table: &Table<C>, reports: &Path) -> Result<(), String> {
    for result in table.cells.iter().filter(|result| result.witness.is_some()) {
        put(Path::new(&result.cell.file(reports)), &result.cell.to_toml())?;
    }
    Ok(())
}
