//! `run`: scenarios over many seeds, verdicts, reports.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use super::{refuse, say};
use crate::lab::files::{SMOKE, load_all};
use crate::lab::overview::{TIMINGS, Timing, Timings};
use crate::lab::report::{self, Report};
use crate::lab::sweep::{Sweep, Watch};
use crate::lab::verdict::RunVerdict;
use crate::lab::{EngineKind, Scenario, Verdict, read_seeds};

/// Seeds of a scenario that was asked for.
const SEEDS: u64 = 100;
/// Seeds of the smoke scenarios, so that they end within ten seconds.
const SMOKE_SEEDS: u64 = 5;

/// Which scenarios, and how often.
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  brokerquake run scenarios/faults/leader-power-loss.toml --seeds 0..1000\n\n\
    Reports: reports/summary.md, and reports/SCENARIO.json for each scenario."
)]
pub struct RunArgs {
    /// Files, directories, or names below scenarios/; the smoke scenarios when there are none
    #[arg(value_name = "SCENARIO|DIR")]
    scenarios: Vec<String>,
    /// How many seeds of each scenario, from 0; or which, the end not included
    #[arg(long, value_name = "N|A..B", value_parser = read_seeds)]
    seeds: Option<Range<u64>>,
    /// Runs at a time; one for each core when absent
    #[arg(long, value_name = "J")]
    jobs: Option<NonZeroUsize>,
    /// The simulation that they run in
    #[arg(long, value_enum, default_value_t)]
    engine: EngineKind,
    /// Where reports are written
    #[arg(long, value_name = "DIR", default_value = "reports")]
    reports: PathBuf,
}

/// Runs, judges, reports.
pub fn run(args: &RunArgs) -> ExitCode {
    let smoke = args.scenarios.is_empty();
    let paths = if smoke { vec![SMOKE.to_owned()] } else { args.scenarios.clone() };
    let scenarios = match load_all(&paths) {
        Ok(scenarios) => scenarios,
        Err(problem) if smoke => {
            let remedy = "name scenarios, or run where the directory `scenarios/smoke` is";
            return refuse("run", format!("{problem}\n{remedy}"));
        }
        Err(problem) => return refuse("run", problem),
    };
    let seeds = args.seeds.clone().unwrap_or(0..if smoke { SMOKE_SEEDS } else { SEEDS });
    let cores = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let jobs = args.jobs.unwrap_or(cores);
    let sweep = Sweep { scenarios, seeds, jobs, engine: args.engine };
    let mut screen = Screen::new(&sweep);
    let reports = sweep.run(&mut screen);
    screen.bar.finish_and_clear();
    if let Err(problem) = write(&args.reports, &reports, &screen.timings) {
        return refuse("run", problem);
    }
    say(format_args!("reports: {}", args.reports.join("summary.md").display()));
    ExitCode::from(Verdict::exit_code_of_all(reports.iter().map(|report| report.verdict)))
}

/// A progress bar where there is a terminal, and a line for each scenario everywhere.
struct Screen {
    bar: ProgressBar,
    timings: BTreeMap<String, Timing>,
}

impl Screen {
    fn new(sweep: &Sweep) -> Self {
        let runs = (sweep.seeds.end - sweep.seeds.start) * sweep.scenarios.len() as u64;
        let bar = if std::io::stderr().is_terminal() {
            ProgressBar::new(runs)
        } else {
            ProgressBar::hidden()
        };
        let style = "{bar:30} {pos}/{len} runs, {eta} left  {msg}";
        // The template is constant; a bar that can't be drawn as meant is drawn plainly.
        if let Ok(style) = ProgressStyle::with_template(style) {
            bar.set_style(style);
        }
        Self { bar, timings: BTreeMap::new() }
    }
}

impl Watch for Screen {
    fn ran(&mut self, scenario: &Scenario, verdict: RunVerdict) {
        self.bar.inc(1);
        if !matches!(verdict, RunVerdict::Held | RunVerdict::BrokeAsExpected) {
            self.bar.set_message(format!("{}: something broke", scenario.name));
        }
    }

    fn done(&mut self, report: &Report, wall: Duration) {
        let timing = Timing::new(wall, report.simulated_ms());
        self.timings.insert(report.scenario.clone(), timing);
        let mut text = report::line(report, wall);
        if !report.verdict.is_expected() {
            text.push('\n');
            text.push_str(&report::failure(report));
        }
        self.bar.suspend(|| say(text.trim_end()));
    }
}

fn write(dir: &Path, reports: &[Report], timings: &BTreeMap<String, Timing>) -> Result<(), String> {
    let put = |name: &str, text: String| {
        let path = dir.join(name);
        std::fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))
    };
    std::fs::create_dir_all(dir).map_err(|error| format!("{}: {error}", dir.display()))?;
    for report in reports {
        put(&format!("{}.json", report.scenario), report.to_json())?;
    }
    Timings::update(dir, timings)
        .map_err(|error| format!("{}: {error}", dir.join(TIMINGS).display()))?;
    put("summary.md", report::summary(reports))
}
