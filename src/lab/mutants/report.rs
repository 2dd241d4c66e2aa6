//! Reports of hunts: a table on the terminal, Markdown and JSON.

use std::fmt::Write;
use std::time::Duration;

use serde_json::{Value, json as value};

use super::{Hunt, INEXPRESSIBLE, Start, UNCAUGHT};

/// One line of the table.
pub fn line(hunt: &Hunt) -> String {
    let name = hunt.mutant.name();
    let (cpu, tried) = (hunt.median_cpu().as_secs_f64(), hunt.median_tried());
    let starts = hunt.starts.len();
    let caught = hunt.starts.iter().filter(|start| start.caught.is_some()).count();
    let mut text = match hunt.caught() {
        Some(catch) => format!(
            "caught      {name:27} {:24} seed {:4}, {tried:3} tried, {cpu:6.1} CPU s, {:3} faults",
            catch.broken.invariant, catch.seed, catch.faults
        ),
        None => format!("NOT CAUGHT  {name:27} {:24} {tried:14} tried, {cpu:6.1} CPU s", ""),
    };
    if starts > 1 {
        let _ = write!(text, "  ({caught} of {starts} starts; medians)");
    }
    match &hunt.small {
        Some(Ok(small)) => {
            let (runs, cpu) = (small.runs, small.cpu.as_secs_f64());
            let _ = write!(text, "\n  shrunk to {}: {runs} runs, {cpu:.1} CPU s", small.size);
        }
        Some(Err(problem)) => {
            let _ = write!(text, "\n  NOT SHRUNK: {problem}");
        }
        None => {}
    }
    for (seed, broken) in hunt.innocent() {
        let (invariant, what) = (&broken.invariant, &broken.what);
        let _ = write!(text, "\nBROKE {invariant} with nothing switched off, seed {seed}: {what}");
    }
    text
}

/// `mutants.md`: the deterministic results, and separately the measurements of this machine.
pub fn markdown(hunts: &[Hunt]) -> String {
    let mut text = String::from(
        "# Mutants\n\nOne historical fix is switched off at a time. A mutant is caught when a run of its \
         scenario breaks an invariant that is named for it, while the same seeds hold with the fix.\n\n\
         | mutant | source | scenario | caught by | with the fix |\n|---|---|---|---|---|\n",
    );
    for hunt in hunts {
        let by = match hunt.caught() {
            Some(catch) => format!("`{}`", catch.broken.invariant),
            None => "not caught".into(),
        };
        let held = match hunt.innocent().next() {
            None => "held".to_owned(),
            Some((seed, broken)) => format!("BROKE `{}`, seed {seed}", broken.invariant),
        };
        let (name, source) = (hunt.mutant.name(), hunt.mutant.source);
        let _ = writeln!(text, "| `{name}` | {source} | {} | {by} | {held} |", hunt.scenario);
    }
    text.push_str("\n## Not caught\n\n| mutant | what is known |\n|---|---|\n");
    for uncaught in UNCAUGHT {
        let _ = writeln!(text, "| `{}` | {} |", uncaught.flaw.name(), uncaught.why);
    }
    text.push_str("\n## Not expressible yet\n\n| mutant | what is missing |\n|---|---|\n");
    for missing in INEXPRESSIBLE {
        let _ = writeln!(text, "| `{}` | {} |", missing.name, missing.why);
    }
    measured(hunts, &mut text);
    text
}

/// Results that depend on the engine or the machine.
fn measured(hunts: &[Hunt], text: &mut String) {
    text.push_str(
        "\n## Measured\n\nSeeds and CPU seconds are those of a start up to its first catch, the median \
         of all starts; shrunk is the first catch.\n\n\
         | mutant | starts | caught | seeds | CPU s | first catch | shrunk to | runs | CPU s |\n\
         |---|---|---|---|---|---|---|---|---|\n",
    );
    for hunt in hunts {
        let starts = hunt.starts.len();
        let caught = hunt.starts.iter().filter(|start| start.caught.is_some()).count();
        let (tried, cpu) = (hunt.median_tried(), hunt.median_cpu().as_secs_f64());
        let first = hunt.caught().map_or("–".into(), |c| format!("seed {}, {}", c.seed, c.trace));
        let (size, runs, time) = match &hunt.small {
            Some(Ok(small)) => {
                let time = format!("{:.1}", small.cpu.as_secs_f64());
                (small.size.to_string(), small.runs.to_string(), time)
            }
            Some(Err(problem)) => (problem.clone(), "–".into(), "–".into()),
            None => ("–".into(), "–".into(), "–".into()),
        };
        let name = hunt.mutant.name();
        let _ = writeln!(
            text,
            "| `{name}` | {starts} | {caught} | {tried} | {cpu:.1} | {first} | {size} | {runs} | {time} |"
        );
    }
    text.push_str("\n## Witnesses\n\n");
    for (hunt, catch) in hunts.iter().filter_map(|hunt| Some((hunt, hunt.caught()?))) {
        let _ = writeln!(text, "- `{}`: {}", hunt.mutant.name(), catch.broken.what);
    }
}

/// `mutants.json`.
pub fn json(hunts: &[Hunt]) -> String {
    let not_caught = UNCAUGHT.iter();
    let not_caught =
        not_caught.map(|known| value!({ "mutant": known.flaw.name(), "why": known.why }));
    let missing = INEXPRESSIBLE.iter();
    let missing = missing.map(|missing| value!({ "mutant": missing.name, "why": missing.why }));
    let report = value!({
        "mutants": hunts.iter().map(told).collect::<Vec<_>>(),
        "not_caught": not_caught.collect::<Vec<_>>(),
        "not_expressible_yet": missing.collect::<Vec<_>>(),
    });
    format!("{report:#}\n")
}

fn told(hunt: &Hunt) -> Value {
    let start = |start: &Start| {
        let caught = start.caught.as_ref().map(|catch| {
            value!({
                "seed": catch.seed,
                "trace": catch.trace,
                "faults": catch.faults,
                "broken": catch.broken,
            })
        });
        let innocent = start.innocent.iter();
        let innocent = innocent.map(|(seed, broken)| value!({ "seed": seed, "broken": broken }));
        value!({
            "caught": caught,
            "seeds_tried": start.tried,
            "cpu_seconds": seconds(start.cpu),
            "broke_with_the_fix": innocent.collect::<Vec<_>>(),
        })
    };
    let small = hunt.small.as_ref().and_then(|small| small.as_ref().ok()).map(|small| {
        value!({
            "faults": small.size.faults,
            "records": small.size.records,
            "clients": small.size.clients,
            "file": small.file,
            "runs": small.runs,
            "cpu_seconds": seconds(small.cpu),
        })
    });
    value!({
        "mutant": hunt.mutant.name(),
        "source": hunt.mutant.source,
        "scenario": hunt.scenario,
        "breaks": hunt.mutant.breaks,
        "starts": hunt.starts.iter().map(start).collect::<Vec<_>>(),
        "median_seeds": hunt.median_tried(),
        "median_cpu_seconds": seconds(hunt.median_cpu()),
        "shrunk": small,
    })
}

/// Rounded to a tenth.
fn seconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 10.0).round() / 10.0
}
