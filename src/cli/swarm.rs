//! `run --swarm`: runs scenarios drawn from seeds, and mutates those that reach new situations.

use std::io::IsTerminal;
use std::ops::Range;
use std::path::Path;
use std::process::ExitCode;

use indicatif::{ProgressBar, ProgressStyle};

use super::run::{RunArgs, cores};
use super::shrink::{Asked, shrink_to_file};
use super::{refuse, say};
use crate::base::Seed;
use crate::lab::Verdict;
use crate::lab::shrink::BUDGET;
use crate::lab::swarm::{self, DIR, Failure, Found, Known, Swarm, Watch};
use crate::scenario::Plan;
use crate::scenario::Scenario;
use crate::scenario::seeds::MAX_SEED;

/// Seeds without `--seeds` and `--for`.
const SEEDS: Range<u64> = 0..200;

/// Runs and judges the scenarios, and writes the reports.
pub(super) fn run(args: &RunArgs) -> ExitCode {
    let known = match args.known.as_deref().map_or(Ok(Known::default()), read_known) {
        Ok(known) => known,
        Err(problem) => return refuse("run", problem),
    };
    let all = if args.time.is_some() { 0..MAX_SEED } else { SEEDS };
    let swarm = Swarm {
        seeds: args.seeds.clone().unwrap_or(all),
        jobs: args.jobs.unwrap_or_else(cores),
        engine: args.engine,
        limit: args.time,
        mutates: true,
        stop_at_first: args.stop_at_first,
        known,
        dir: args.reports.join(DIR),
    };
    let mut screen = Screen::new(&swarm);
    let found = swarm.run(&mut screen);
    screen.bar.finish_and_clear();
    if let Some(problem) = screen.unwritten {
        return refuse("run", problem);
    }
    let report = match found {
        Ok(report) => report,
        Err(problem) => return refuse("run", problem),
    };
    say(swarm::terminal(&report).trim_end());
    if args.shrink {
        screen.failed.iter().for_each(|scenario| shrink(args, scenario));
    }
    let put = |name: &str, text: String| {
        let path = args.reports.join(name);
        let made = std::fs::create_dir_all(&args.reports);
        let written = made.and_then(|()| std::fs::write(&path, text));
        written.map_err(|error| format!("{}: {error}", path.display()))
    };
    let written = put("swarm.json", report.to_json())
        .and_then(|()| put("swarm.md", swarm::markdown(&report)));
    if let Err(problem) = written {
        return refuse("run", problem);
    }
    say(format_args!("reports: {}", args.reports.join("swarm.md").display()));
    ExitCode::from(Verdict::exit_code_of_all([report.verdict]))
}

fn shrink(args: &RunArgs, scenario: &Scenario) {
    let (seed, engine) = (scenario.seed.unwrap_or(0), args.engine);
    let asked = Asked { seed, engine, budget: BUDGET, invariant: None, out: None };
    match shrink_to_file(scenario, &asked) {
        Ok(told) => say(told),
        Err(problem) => say(format_args!("not shrunk: {problem}")),
    }
}

/// Writes a file per failed run, and shows a progress bar on a terminal.
struct Screen {
    bar: ProgressBar,
    failed: Vec<Scenario>,
    unwritten: Option<String>,
    features: usize,
}

impl Screen {
    fn new(swarm: &Swarm) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let bar = match swarm.limit {
            _ if !terminal => ProgressBar::hidden(),
            Some(_) => ProgressBar::new_spinner(),
            None => ProgressBar::new(swarm.seeds.end - swarm.seeds.start),
        };
        let style = match swarm.limit {
            Some(_) => "{spinner} {pos} runs in {elapsed}  {msg}",
            None => "{bar:30} {pos}/{len} runs, {eta} left  {msg}",
        };
        // The template is constant and valid; if not, the default style does.
        if let Ok(style) = ProgressStyle::with_template(style) {
            bar.set_style(style);
        }
        Self { bar, failed: Vec::new(), unwritten: None, features: 0 }
    }
}

impl Watch for Screen {
    fn ran(&mut self, found: &Found, news: usize) {
        self.features += news;
        self.bar.inc(1);
        self.bar.set_message(format!("{} features, {} failed", self.features, self.failed.len()));
        if found.verdict().is_fine() {
            return;
        }
        if let Err(problem) = write(&found.scenario) {
            self.unwritten.get_or_insert(problem);
        }
        self.failed.push(found.scenario.clone());
    }

    fn failed(&mut self, failure: &Failure, known: bool) {
        let known = if known { "known " } else { "" };
        self.bar.suspend(|| say(format_args!("{known}{}", swarm::failure(failure).trim_end())));
    }
}

/// Reads the file of known failures.
fn read_known(file: &Path) -> Result<Known, String> {
    let text = std::fs::read_to_string(file);
    let text = text.map_err(|error| format!("{}: {error}", file.display()))?;
    Known::read(&text).map_err(|problem| format!("{}: {problem}", file.display()))
}

/// Writes the scenario to the file that its replay command names.
fn write(scenario: &Scenario) -> Result<(), String> {
    let path = Path::new(&scenario.file);
    let text = scenario.to_toml(&Plan::draw(scenario, Seed(scenario.seed.unwrap_or(0))));
    let made = path.parent().map_or(Ok(()), std::fs::create_dir_all);
    let written = made.and_then(|()| std::fs::write(path, text));
    written.map_err(|error| format!("{}: {error}", path.display()))
}
