//! `rebalances`: compares what rebalances cost, by group protocol and assignor.

use std::num::NonZeroUsize;
use std::ops::Range;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::progress::{Progress, put};
use super::{refuse, say};
use crate::lab::cells::Runs;
use crate::lab::matrix::REPORTS;
use crate::lab::rebalances::{self, Cell, Storm, Strategy};
use crate::run::EngineKind;
use crate::scenario::seeds::read_seeds;

/// The arguments of `rebalances`.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  brokerquake rebalances --seeds 20 --html\n  brokerquake rebalances --storm rolling-restart --strategy eager,static\n\n\
    Prints Markdown. Reports, in the directory of --reports: rebalances.md, with --json .json, with --html .html;\n\
    the scenario of each cell: rebalances/STORM-STRATEGY.toml."
)]
pub struct RebalancesArgs {
    /// Only these storms, separated by commas [default: all]
    #[arg(long, value_name = "STORM,…", value_enum, value_delimiter = ',')]
    storm: Vec<Storm>,
    /// Only these strategies, separated by commas [default: all]
    #[arg(long, value_name = "STRATEGY,…", value_enum, value_delimiter = ',')]
    strategy: Vec<Strategy>,
    /// Seeds of each cell: a number N for 0..N, or a range whose end is excluded
    #[arg(long, value_name = "N|A..B", value_parser = read_seeds, default_value = "5")]
    seeds: Range<u64>,
    /// Runs in parallel [default: one per core]
    #[arg(long, value_name = "J")]
    jobs: Option<NonZeroUsize>,
    /// The engine that simulates the cluster
    #[arg(long, value_enum, default_value_t)]
    engine: EngineKind,
    /// Also write the figures as JSON
    #[arg(long)]
    json: bool,
    /// Also write a page with charts
    #[arg(long)]
    html: bool,
    /// Directory of the reports
    #[arg(long, value_name = "DIR", default_value = REPORTS)]
    reports: PathBuf,
}

/// Runs the cells, prints the tables, and writes the reports.
pub fn run(args: &RebalancesArgs) -> ExitCode {
    match act(args) {
        Ok(code) => ExitCode::from(code),
        Err(problem) => refuse("rebalances", problem),
    }
}

fn act(args: &RebalancesArgs) -> Result<u8, String> {
    let cells =
        Cell::all(&chosen(&args.storm, &Storm::ALL), &chosen(&args.strategy, &Strategy::ALL));
    // Before the runs: a directory that can't be written costs no minutes then.
    for (path, text) in rebalances::files(&cells, &args.reports) {
        put(&path, &text)?;
    }
    let cores = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let runs = Runs {
        seeds: args.seeds.clone(),
        jobs: args.jobs.unwrap_or(cores),
        engine: args.engine,
        reports: args.reports.clone(),
    };
    let mut progress = Progress::new((args.seeds.end - args.seeds.start) * cells.len() as u64);
    let table = rebalances::run(&cells, &runs, &mut progress).map_err(|error| error.to_string())?;
    progress.finish();
    let markdown = rebalances::markdown(&table);
    say(markdown.trim_end());
    put(&args.reports.join("rebalances.md"), &markdown)?;
    if args.json {
        put(&args.reports.join("rebalances.json"), &table.to_json())?;
    }
    if args.html {
        put(&args.reports.join("rebalances.html"), &rebalances::html(&table))?;
    }
    Ok(table.exit_code())
}

/// The chosen ones of all, in the order of all; all if none is chosen.
fn chosen<T: Copy + PartialEq>(asked: &[T], all: &[T]) -> Vec<T> {
    let wanted = |one: &&T| asked.is_empty() || asked.contains(one);
    all.iter().filter(wanted).copied().collect()
}
