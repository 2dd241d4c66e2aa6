//! `report`: writes one page about the last runs.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::{refuse, say};
use crate::lab::overview::{self, Overview};

/// The arguments of `report`.
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  brokerquake run scenarios/faults --seeds 20; brokerquake report\n\n\
    Writes index.html, index.md and index.json beside the reports that `run` and `matrix` left."
)]
pub struct ReportArgs {
    /// Directory of the reports that `run` and `matrix` wrote
    #[arg(long, value_name = "DIR", default_value = "reports")]
    reports: PathBuf,
}

/// Reads the reports and writes the page.
pub fn run(args: &ReportArgs) -> ExitCode {
    let overview = match overview::gather(&args.reports) {
        Ok(overview) => overview,
        Err(problem) => return refuse("report", problem),
    };
    for skipped in &overview.skipped {
        let path = args.reports.join(&skipped.file);
        eprintln!("brokerquake report: {} left out: {}", path.display(), skipped.why);
    }
    if let Err(problem) = write(args, &overview) {
        return refuse("report", problem);
    }
    let (scenarios, matrix) = (overview.scenarios.len(), overview.matrix.is_some());
    let matrix = if matrix { ", the durability matrix" } else { "" };
    say(format_args!("{scenarios} scenarios{matrix}"));
    say(format_args!("report: {}", args.reports.join("index.html").display()));
    ExitCode::SUCCESS
}

fn write(args: &ReportArgs, overview: &Overview) -> Result<(), String> {
    let texts = [
        ("index.html", overview::html(overview)),
        ("index.md", overview::markdown(overview)),
        ("index.json", overview.to_json()),
    ];
    for (name, text) in texts {
        let path = args.reports.join(name);
        std::fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(())
}
