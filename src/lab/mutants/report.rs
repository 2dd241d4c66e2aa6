//! What hunts are told as: a table on the terminal, Markdown and JSON.

use std::fmt::Write;

use serde_json::{Value, json as value};

use super::{Hunt, INEXPRESSIBLE, UNCAUGHT};

/// One line of the table.
pub fn line(hunt: &Hunt) -> String {
    let name = hunt.mutant.name();
    let cpu = hunt.cpu.as_secs_f64();
    let mut text = match &hunt.caught {
        Some(catch) => format!(
            "caught      {name:27} {:24} seed {:3}, {:3} tried, {:3} faults, {cpu:6.1} CPU s",
            catch.broken.invariant, catch.seed, hunt.tried, catch.faults
        ),
        None => format!("NOT CAUGHT  {name:27} {:24} {:3} tried, {cpu:6.1} CPU s", "", hunt.tried),
    };
    for (seed, broken) in &hunt.innocent {
        let (invariant, what) = (&broken.invariant, &broken.what);
        let _ = write!(text, "\nBROKE {invariant} with nothing switched off, seed {seed}: {what}");
    }
    text
}

/// `mutants.md`: what is simulated first, and apart from it what depends on the machine.
pub fn markdown(hunts: &[Hunt]) -> String {
    let mut text = String::from(
        "# Mutants\n\nOne historical fix is switched off at a time. A mutant is caught when a run of its \
         scenario breaks an invariant that is named for it, while the same seeds hold with the fix.\n\n\
         | mutant | source | scenario | caught by | seed | seeds tried | faults | trace | with the fix |\n\
         |---|---|---|---|---|---|---|---|---|\n",
    );
    for hunt in hunts {
        let mutant = &hunt.mutant;
        let (by, seed, faults, trace) = match &hunt.caught {
            Some(catch) => (
                format!("`{}`", catch.broken.invariant),
                catch.seed.to_string(),
                catch.faults.to_string(),
                catch.trace.clone(),
            ),
            None => ("not caught".into(), "–".into(), "–".into(), "–".into()),
        };
        let held = match hunt.innocent.first() {
            None => "held".to_owned(),
            Some((seed, broken)) => format!("BROKE `{}`, seed {seed}", broken.invariant),
        };
        let (name, source, scenario) = (mutant.name(), mutant.source, mutant.scenario);
        let _ = writeln!(
            text,
            "| `{name}` | {source} | {scenario} | {by} | {seed} | {} | {faults} | {trace} | {held} |",
            hunt.tried
        );
    }
    text.push_str("\n## Witnesses\n\n");
    for (hunt, catch) in hunts.iter().filter_map(|hunt| Some((hunt, hunt.caught.as_ref()?))) {
        let _ = writeln!(text, "- `{}`: {}", hunt.mutant.name(), catch.broken.what);
    }
    text.push_str("\n## Not caught\n\n| mutant | what is known |\n|---|---|\n");
    for uncaught in UNCAUGHT {
        let _ = writeln!(text, "| `{}` | {} |", uncaught.flaw.name(), uncaught.why);
    }
    text.push_str("\n## Not expressible yet\n\n| mutant | what is missing |\n|---|---|\n");
    for missing in INEXPRESSIBLE {
        let _ = writeln!(text, "| `{}` | {} |", missing.name, missing.why);
    }
    text.push_str(
        "\n## CPU seconds\n\nThese depend on the machine.\n\n| mutant | CPU s |\n|---|---|\n",
    );
    for hunt in hunts {
        let _ = writeln!(text, "| `{}` | {:.1} |", hunt.mutant.name(), hunt.cpu.as_secs_f64());
    }
    text
}

/// `mutants.json`.
pub fn json(hunts: &[Hunt]) -> String {
    let told = |hunt: &Hunt| {
        let caught = hunt.caught.as_ref().map(|catch| {
            value!({
                "seed": catch.seed,
                "trace": catch.trace,
                "faults": catch.faults,
                "broken": catch.broken,
            })
        });
        let innocent = hunt.innocent.iter();
        let innocent = innocent.map(|(seed, broken)| value!({ "seed": seed, "broken": broken }));
        value!({
            "mutant": hunt.mutant.name(),
            "source": hunt.mutant.source,
            "scenario": hunt.mutant.path(),
            "breaks": hunt.mutant.breaks,
            "seeds_tried": hunt.tried,
            "caught": caught,
            "broke_with_the_fix": innocent.collect::<Vec<_>>(),
        })
    };
    let cpu = hunts.iter().map(|hunt| {
        (hunt.mutant.name().to_owned(), value!((hunt.cpu.as_secs_f64() * 10.0).round() / 10.0))
    });
    let report = value!({
        "mutants": hunts.iter().map(told).collect::<Vec<_>>(),
        "not_caught": UNCAUGHT.iter().map(|uncaught| value!({ "mutant": uncaught.flaw.name(), "why": uncaught.why })).collect::<Vec<_>>(),
        "not_expressible_yet": INEXPRESSIBLE.iter().map(|missing| value!({ "mutant": missing.name, "why": missing.why })).collect::<Vec<_>>(),
        "cpu_seconds": Value::Object(cpu.collect()),
    });
    format!("{report:#}\n")
}
