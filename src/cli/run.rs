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

use super::shrink::{Asked, shrink_to_file};
use super::{refuse, say, swarm};
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

/// Seeds of a scenario that was asked for.
const SEEDS: u64 = 100;
/// Seeds of the smoke scenarios, so that they end within ten seconds.
const SMOKE_SEEDS: u64 = 5;

/// Which scenarios, and how often.
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  brokerquake run scenarios/faults/leader-power-loss.toml --seeds 0..1000\n\n\
    Reports: reports/summary.md, reports/SCENARIO.json for each scenario, and a picture\n\
    of the first failure of each that was not expected, reports/SCENARIO-seed-S.html.\n\n\
    With --swarm: reports/swarm.md, reports/swarm.json, and reports/swarm/swarm-N.toml for each\n\
    run that broke what its settings promise."
)]
pub struct RunArgs {
    /// Files, directories, or names below scenarios/; the smoke scenarios when there are none
    #[arg(value_name = "SCENARIO|DIR")]
    scenarios: Vec<String>,
    /// How many seeds of each scenario, from 0; or which, the end not included
    #[arg(long, value_name = "N|A..B", value_parser = read_seeds)]
    pub(super) seeds: Option<Range<u64>>,
    /// Draw everything from the seeds: cluster, settings, load, faults, and what must hold
    #[arg(long, conflicts_with = "scenarios")]
    swarm: bool,
    /// Begin runs for so long, in wall time, or until the seeds that were asked for are used up
    #[arg(long = "for", value_name = "TIME", value_parser = read_time)]
    pub(super) time: Option<Duration>,
    /// Runs at a time; one for each core when absent
    #[arg(long, value_name = "J")]
    pub(super) jobs: Option<NonZeroUsize>,
    /// The simulation that they run in
    #[arg(long, value_enum, default_value_t)]
    pub(super) engine: EngineKind,
    /// Shrink the gravest unexpected failure of each scenario to a file in scenarios/regressions/
    #[arg(long)]
    pub(super) shrink: bool,
    /// Also write what clients did and saw in each run to DIR/SCENARIO-seed-S.jsonl, for `check`
    #[arg(long, value_name = "DIR", conflicts_with_all = ["time", "swarm"])]
    history: Option<PathBuf>,
    /// Where reports are written
    #[arg(long, value_name = "DIR", default_value = "reports")]
    pub(super) reports: PathBuf,
}

/// Reads how long to go on.
fn read_time(text: &str) -> Result<Duration, String> {
    match Duration::read(text) {
        None => Err(format!("expected {}", Duration::EXPECTED)),
        Some(Duration::ZERO) => Err("that is no time at all".into()),
        Some(time) => Ok(time),
    }
}

/// As many runs at a time as there are cores.
pub(super) fn cores() -> NonZeroUsize {
    std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

/// Runs, judges, reports.
pub fn run(args: &RunArgs) -> ExitCode {
    if args.swarm {
        return swarm::run(args);
    }
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
            say(format_args!("not run           {}: the time was over", scenario.name));
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

/// A scenario that is about one run runs with its own seed, unless others are asked for.
fn sweeps(args: &RunArgs, scenarios: Vec<Scenario>, seeds: u64) -> Vec<Sweep> {
    let (jobs, engine) = (args.jobs.unwrap_or_else(cores), args.engine);
    let sweep = |scenarios, seeds| Sweep { scenarios, seeds, jobs, engine };
    let (mut together, mut alone) = (Vec::new(), Vec::new());
    for scenario in scenarios {
        match (&args.seeds, scenario.seed) {
            // Time is for other seeds than the one that is known.
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

/// The smallest scenario for each failure that nobody expected.
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

/// A progress bar where there is a terminal, and a line for each scenario everywhere.
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

/// A picture of the first failure of each scenario that was not expected.
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
