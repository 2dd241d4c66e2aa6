//! `run`: runs scenarios over many seeds, and writes verdicts and reports.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use super::shrink::{Asked, shrink_to_file};
use super::{refuse, say};
use crate::lab::Verdict;
use crate::lab::overview::{TIMINGS, Timing, Timings};
use crate::lab::report::{self, Report};
use crate::lab::shrink::BUDGET;
use crate::lab::sweep::{Sweep, Watch};
use crate::picture::{self, Picture};
use crate::run::EngineKind;
use crate::run::outcome::RunVerdict;
use crate::scenario::files::{SMOKE, load_all};
use crate::scenario::seeds::{MAX_SEED, read_seeds};
use crate::scenario::{Notation, Scenario};

/// Seeds of a scenario that the command line names.
const SEEDS: u64 = 100;
/// Seeds of each smoke scenario: all of them end within ten seconds.
const SMOKE_SEEDS: u64 = 5;

/// The arguments of `run`.
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  brokerquake run scenarios/faults/leader-power-loss.toml --seeds 0..1000\n\n\
    Reports: reports/summary.md, reports/SCENARIO.json for each scenario, and a picture\n\
    of the first failure of each that was not expected, reports/SCENARIO-seed-S.html.\n\n\
    With --swarm: reports/swarm.md, reports/swarm.json, and reports/swarm/swarm-N.toml for each\n\
    run that broke what its settings promise."
)]
pub struct RunArgs {
    /// Files, directories, or names under scenarios/ [default: the smoke scenarios]
    #[arg(value_name = "SCENARIO|DIR")]
    scenarios: Vec<String>,
    /// Seeds of each scenario: a number N for 0..N, or a range whose end is excluded
    #[arg(long, value_name = "N|A..B", value_parser = read_seeds)]
    pub(super) seeds: Option<Range<u64>>,
    /// Draw cluster, settings, loads and faults from the seeds, and compute what must hold
    #[arg(long, conflicts_with = "scenarios")]
    pub(super) swarm: bool,
    /// Start new runs for this much wall time, or until the seeds are used up
    #[arg(long = "for", value_name = "TIME", value_parser = read_time)]
    pub(super) time: Option<Duration>,
    /// Runs in parallel [default: one per core]
    #[arg(long, value_name = "J")]
    pub(super) jobs: Option<NonZeroUsize>,
    /// The engine that simulates the cluster
    #[arg(long, value_enum, default_value_t)]
    pub(super) engine: EngineKind,
    /// Shrink the worst unexpected failure of each scenario to a file in scenarios/regressions/
    #[arg(long)]
    pub(super) shrink: bool,
    /// End the swarm at the first failure that is not known
    #[arg(long, requires = "swarm")]
    pub(super) stop_at_first: bool,
    /// Count the failures that this file lists apart: a line `INVARIANT` or `INVARIANT: WORDS` each
    #[arg(long, value_name = "FILE", requires = "swarm")]
    pub(super) known: Option<PathBuf>,
    /// Also write each run's client history to DIR/SCENARIO-seed-S.jsonl, for `check`
    #[arg(long, value_name = "DIR", conflicts_with_all = ["time", "swarm"])]
    history: Option<PathBuf>,
    /// Directory of the reports
    #[arg(long, value_name = "DIR", default_value = "reports")]
    pub(super) reports: PathBuf,
}

/// Parses the value of `--for`.
fn read_time(text: &str) -> Result<Duration, String> {
    match Duration::read(text) {
        None => Err(format!("expected {}", Duration::EXPECTED)),
        Some(Duration::ZERO) => Err("must be longer than zero".into()),
        Some(time) => Ok(time),
    }
}

/// One run per core.
pub(super) fn cores() -> NonZeroUsize {
    std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

/// Runs and judges the scenarios, and writes the reports.
pub fn run(args: &RunArgs) -> ExitCode {
    let smoke = args.scenarios.is_empty();
    let paths = if smoke { vec![SMOKE.to_owned()] } else { args.scenarios.clone() };
    let scenarios = match load_all(&paths) {
        Ok(scenarios) => scenarios,
        Err(problem) if smoke => {
            let remedy = "name scenarios, or run in the directory that has `scenarios/smoke`";
            return refuse("run", format!("{problem}\n{remedy}"));
        }
        Err(problem) => return refuse("run", problem),
    };
    let (mut reports, mut timings) = (Vec::new(), BTreeMap::new());
    for sweep in sweeps(args, scenarios, if smoke { SMOKE_SEEDS } else { SEEDS }) {
        let mut screen = Screen::new(&sweep, args.time);
        let done = match (&args.history, args.time) {
            (Some(dir), _) => sweep.run_with_histories(dir, &mut screen),
            (None, Some(limit)) => Ok(sweep.run_for(limit, &mut screen)),
            (None, None) => Ok(sweep.run(&mut screen)),
        };
        screen.bar.finish_and_clear();
        let done = match done {
            Ok(done) => done,
            Err(problem) => return refuse("run", format!("can't write histories: {problem}")),
        };
        for scenario in sweep.scenarios.iter().skip(done.len()) {
            say(format_args!("not run           {}: the time was up", scenario.name));
        }
        if args.shrink {
            shrink_failures(&sweep, &done);
        }
        if let Err(problem) = draw(&args.reports, &sweep.scenarios, args.engine, &done) {
            return refuse("run", problem);
        }
        reports.extend(done);
        timings.append(&mut screen.timings);
    }
    if let Err(problem) = write(&args.reports, &reports, &timings) {
        return refuse("run", problem);
    }
    say(format_args!("reports: {}", args.reports.join("summary.md").display()));
    ExitCode::from(Verdict::exit_code_of_all(reports.iter().map(|report| report.verdict)))
}

/// A scenario that fixes its seed runs with it, unless the command line names others.
fn sweeps(args: &RunArgs, scenarios: Vec<Scenario>, seeds: u64) -> Vec<Sweep> {
    let (jobs, engine) = (args.jobs.unwrap_or_else(cores), args.engine);
    let sweep = |scenarios, seeds| Sweep { scenarios, seeds, jobs, engine };
    let (mut together, mut alone) = (Vec::new(), Vec::new());
    for scenario in scenarios {
        match (&args.seeds, scenario.seed) {
            // `--for` explores other seeds than the fixed one.
            (None, Some(seed)) if args.time.is_none() => {
                alone.push(sweep(vec![scenario], seed..seed + 1));
            }
            _ => together.push(scenario),
        }
    }
    let mut sweeps = Vec::new();
    if !together.is_empty() {
        let all = if args.time.is_some() { 0..MAX_SEED } else { 0..seeds };
        sweeps.push(sweep(together, args.seeds.clone().unwrap_or(all)));
    }
    sweeps.extend(alone);
    sweeps
}

/// Shrinks each unexpected failure to the smallest scenario.
fn shrink_failures(sweep: &Sweep, reports: &[Report]) {
    for (scenario, report) in sweep.scenarios.iter().zip(reports) {
        let failed = matches!(report.verdict, Verdict::Broke | Verdict::Stuck);
        let Some(worst) = report.worst().filter(|_| failed) else { continue };
        let asked = Asked {
            seed: worst.seed,
            engine: sweep.engine,
            budget: BUDGET,
            invariant: Some(&worst.broken.invariant),
            out: None,
        };
        match shrink_to_file(scenario, &asked) {
            Ok(told) => say(told),
            Err(problem) => say(format_args!("not shrunk: {problem}")),
        }
    }
}

/// Prints a line per scenario, and a progress bar on a terminal.
struct Screen {
    bar: ProgressBar,
    timings: BTreeMap<String, Timing>,
}

impl Screen {
    fn new(sweep: &Sweep, time: Option<Duration>) -> Self {
        let per_scenario = sweep.seeds.end - sweep.seeds.start;
        let bar = match time {
            _ if !std::io::stderr().is_terminal() => ProgressBar::hidden(),
            Some(_) => ProgressBar::new_spinner(),
            None => ProgressBar::new(per_scenario * sweep.scenarios.len() as u64),
        };
        let style = match time {
            Some(_) => "{spinner} {pos} runs in {elapsed}  {msg}",
            None => "{bar:30} {pos}/{len} runs, {eta} left  {msg}",
        };
        // The template is constant and valid; if not, the default style does.
        if let Ok(style) = ProgressStyle::with_template(style) {
            bar.set_style(style);
        }
        Self { bar, timings: BTreeMap::new() }
    }
}

impl Watch for Screen {
    fn ran(&mut self, scenario: &Scenario, verdict: RunVerdict) {
        self.bar.inc(1);
        if !verdict.is_fine() {
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

/// Draws the first unexpected failure of each scenario.
fn draw(
    dir: &Path,
    scenarios: &[Scenario],
    engine: EngineKind,
    reports: &[Report],
) -> Result<(), String> {
    for report in reports {
        let scenario = scenarios.iter().find(|scenario| scenario.name == report.scenario);
        let (Some(scenario), Some(seed)) = (scenario, report.to_draw()) else { continue };
        let path = picture::file_name(dir, &scenario.name, seed);
        std::fs::create_dir_all(dir).map_err(|error| format!("{}: {error}", dir.display()))?;
        let drawn = Picture::draw(scenario, seed, engine).save(&path);
        drawn.map_err(|error| format!("{}: {error}", path.display()))?;
        say(format_args!("picture: {}", path.display()));
    }
    Ok(())
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
