//! `reports/index.md`.

use std::fmt::Write;

use super::Overview;

/// Scenarios, what they broke, and the replay commands.
pub fn markdown(overview: &Overview) -> String {
    let mut text = String::from(
        "# The last runs\n\n| scenario | verdict | seeds | acknowledged | lost | longest outage | broken invariants |\n\
         |---|---|--:|--:|--:|---|---|\n",
    );
    for line in &overview.scenarios {
        let broken: Vec<_> = line
            .broken
            .iter()
            .map(|broken| format!("`{}` {}/{}", broken.invariant, broken.seeds, line.seeds))
            .collect();
        // Writing to a String can't fail.
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} |",
            cell(&line.scenario),
            cell(&line.verdict_words()),
            line.seeds,
            line.acked,
            line.lost,
            cell(line.longest_outage.as_deref().unwrap_or("–")),
            cell(&broken.join(", ")),
        );
    }
    for line in overview.scenarios.iter().filter(|line| !line.broken.is_empty()) {
        let _ = writeln!(text, "\n## {}\n", line.scenario);
        for broken in &line.broken {
            let _ = write!(
                text,
                "- `{}` in {} of {} seeds, first seed {}: {}\n  `{}`",
                broken.invariant, broken.seeds, line.seeds, broken.seed, broken.what, broken.replay
            );
            if let Some(picture) = &broken.picture {
                let _ = write!(text, " · [picture]({picture})");
            }
            text.push('\n');
        }
    }
    if let Some(matrix) = &overview.matrix {
        let _ = writeln!(
            text,
            "\n## Durability\n\n{} cells survive, {} lose, {} other: [the matrix](durability-matrix.md).",
            matrix.survives, matrix.loses, matrix.other
        );
    }
    if let Some(swarm) = &overview.swarm {
        let _ = writeln!(text, "\n## Swarm\n\n{}: [the swarm](swarm.md).", swarm.sentence());
    }
    if !overview.skipped.is_empty() {
        text.push_str("\n## Left out\n\n");
    }
    for skipped in &overview.skipped {
        let _ = writeln!(text, "- `{}`: {}", skipped.file, skipped.why);
    }
    text
}

/// Escapes `|`, which would end the cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}
