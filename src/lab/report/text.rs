//! Reports as lines on a terminal.

use std::time::Duration;

use super::Report;
use crate::base::thousands;

/// One line: verdict, scenario, seeds, times, and the worst witness if an invariant broke. Indented
/// lines below it say what was lost, and what is not guaranteed.
pub fn line(report: &Report, wall: Duration) -> String {
    let mut line = format!(
        "{:<17}  {:<32} {:>6} seeds {:>8} s simulated {:>7.1} s",
        report.verdict,
        report.scenario,
        report.runs.len(),
        report.simulated_seconds(),
        wall.as_secs_f64(),
    );
    if let (true, Some(worst)) = (report.verdict.is_expected(), &report.worst) {
        let (name, seed, seeds) = (&worst.broken.invariant, worst.seed, worst.seeds);
        line.push_str(&format!("  {name} in {seeds}, first seed {seed}"));
    }
    for more in report.damage().into_iter().chain(report.reservation()) {
        line.push_str(&format!("\n{:19}{more}", ""));
    }
    line
}

/// The details of a break: the invariant, the replay command, the witness, and what that run cost.
pub fn failure(report: &Report) -> String {
    let mut text = String::new();
    if let Some(differs) = &report.differs {
        text.push_str(&format!("nondeterministic  {}  {differs}\n", report.scenario));
    } else if let Some(worst) = &report.worst {
        text.push_str(&format!(
            "{} {}  {}  seed {}  trace {}\n",
            report.verdict, worst.broken.invariant, report.scenario, worst.seed, worst.trace
        ));
    }
    if let Some(why) = &report.untested {
        text.push_str(&format!("nothing tested  {}  {why}\n", report.scenario));
    }
    if let Some(replay) = &report.hint {
        text.push_str(&format!("replay: {replay}\n"));
    }
    if let Some(worst) = &report.worst {
        text.push_str(&format!("what:   {}\n", worst.broken.what));
        text.push_str(&damage_of(report, worst.seed));
    }
    if !report.unbroken.is_empty() {
        text.push_str(&format!(
            "{}: none of {} seeds broke {}: is it promised after all, or were these seeds too few?\n",
            report.scenario,
            report.runs.len(),
            report.unbroken.join(", ")
        ));
    }
    text
}

/// What one run cost clients: the lost records, and the longest outage.
fn damage_of(report: &Report, seed: u64) -> String {
    let mut text = String::new();
    let Some(run) = report.runs.iter().find(|run| run.seed == seed) else { return text };
    if run.lost > 0 {
        let records = if run.lost == 1 { "record" } else { "records" };
        text.push_str(&format!("lost:   {} acknowledged {records}\n", thousands(run.lost)));
    }
    if let Some(outage) = &run.longest_outage {
        text.push_str(&format!("outage: {outage}\n"));
    }
    text
}

/// Like `failure`, with the faults that led to it, for runs without a scenario file.
pub fn failure_with_story(report: &Report) -> String {
    let mut text = failure(report);
    for line in report.worst.iter().flat_map(|worst| &worst.story) {
        text.push_str(&format!("fault:  {line}\n"));
    }
    text
}
