//! `reports/index.html`: one self-contained file.

use std::fmt::Write;

use super::{BrokenLine, Line, MatrixCell, Overview, Timing, chart};
use crate::check;
use crate::lab::escape::escape;
use crate::lab::matrix::Misfortune;

const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#1c2430;--paper:#fcfcfa;--line:#d6d9de;--good:#1a7f4b;--bad:#c02a37;--known:#9a6700;--one:#3b6fb6;--two:#c98a2b}\
@media(prefers-color-scheme:dark){:root{--ink:#e4e7ec;--paper:#14181d;--line:#343b45;--good:#57c08a;--bad:#ff7b84;--known:#e0b050;--one:#7aa7e6;--two:#e0ae62}}\
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);margin:1.5rem clamp(.75rem,3vw,2rem);max-width:110rem;overflow-wrap:break-word}\
table{border-collapse:collapse}th,td{border:1px solid var(--line);padding:.25rem .5rem;text-align:left}\
th.inv{writing-mode:vertical-rl;transform:rotate(180deg);font-weight:400;vertical-align:bottom}\
td.num{text-align:right}.wide{overflow-x:auto}\
.held{color:var(--good)}.broke{color:var(--bad);font-weight:600}.known{color:var(--known)}\
code,pre{font:13px ui-monospace,monospace}pre{white-space:pre-wrap;overflow-wrap:anywhere;padding:.5rem;border:1px solid var(--line)}\
li{overflow-wrap:anywhere}\
svg text{fill:var(--ink);font:12px system-ui,sans-serif}.one{fill:var(--one)}.two{fill:var(--two)}.loss{fill:var(--bad);opacity:.75}";

/// The page.
pub fn html(overview: &Overview) -> String {
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>brokerquake: the last runs</title>\
         <style>{STYLE}</style></head><body>\n<h1>The last runs</h1>\n"
    );
    scenarios(&mut page, &overview.scenarios);
    for line in overview.scenarios.iter().filter(|line| !line.broken.is_empty()) {
        details(&mut page, line);
    }
    if let Some(swarm) = &overview.swarm {
        page.push_str(&format!(
            "<h2>Swarm</h2>\n<p>{}: <a href=\"swarm.md\">the swarm</a>.</p>\n",
            escape(&swarm.sentence())
        ));
    }
    if let Some(matrix) = &overview.matrix {
        // Writing to a String can't fail.
        let _ = writeln!(
            page,
            "<h2>Durability by configuration</h2>\n<p>Cells: {} survive, {} lose, {} other.</p>",
            matrix.survives, matrix.loses, matrix.other
        );
        matrix_table(&mut page, &matrix.cells);
        let _ = writeln!(
            page,
            "<h3>Share of acknowledged records lost</h3>\n<div class=\"wide\">{}</div>",
            chart::losses(&matrix.cells)
        );
    }
    let timings: Vec<(&str, Timing)> =
        overview.timings.scenarios.iter().map(|(name, timing)| (name.as_str(), *timing)).collect();
    if !timings.is_empty() {
        let _ = writeln!(
            page,
            "<h2>Simulated against wall time</h2>\n<p>Over all seeds of the last run of each, on the \
             cores that ran them; the two kinds of bar have scales of their own.</p>\
             <div class=\"wide\">{}</div>",
            chart::times(&timings)
        );
    }
    if !overview.skipped.is_empty() {
        page.push_str("<h2>Left out</h2>\n<ul>\n");
        for skipped in &overview.skipped {
            let (file, why) = (escape(&skipped.file), escape(&skipped.why));
            let _ = writeln!(page, "<li><code>{file}</code>: {why}</li>");
        }
        page.push_str("</ul>\n");
    }
    page.push_str("</body></html>\n");
    page
}

/// A table of scenarios and invariants.
fn scenarios(page: &mut String, lines: &[Line]) {
    if lines.is_empty() {
        page.push_str("<p>No scenario was run: <code>brokerquake run</code> writes reports.</p>\n");
        return;
    }
    // A column for each invariant that broke: one for all of them is wider than a screen.
    let broke =
        |name: &str| lines.iter().any(|line| line.broken.iter().any(|b| b.invariant == name));
    let (mut names, held): (Vec<&str>, Vec<&str>) =
        check::NAMES.iter().copied().partition(|name| broke(name));
    for broken in lines.iter().flat_map(|line| &line.broken) {
        // Checks of the run itself, and invariants of older or newer versions.
        if !names.contains(&broken.invariant.as_str()) {
            names.push(&broken.invariant);
        }
    }
    page.push_str(
        "<div class=\"wide\"><table><thead><tr><th>scenario</th><th>verdict</th><th>seeds</th>\
         <th>acknowledged</th><th>lost</th><th>longest outage</th>",
    );
    for name in &names {
        let _ = write!(page, "<th class=\"inv\">{}</th>", escape(name));
    }
    page.push_str("</tr></thead><tbody>\n");
    for line in lines {
        let scenario = escape(&line.scenario);
        let name = if line.broken.is_empty() {
            scenario
        } else {
            format!("<a href=\"#{scenario}\">{scenario}</a>")
        };
        let class = match line.verdict.as_str() {
            "held" => "held",
            "broke-as-expected" => "known",
            _ => "broke",
        };
        let _ = write!(
            page,
            "<tr><td>{name}</td><td class=\"{class}\">{}</td><td class=\"num\">{}</td>\
             <td class=\"num\">{}</td><td class=\"num\">{}</td><td>{}</td>",
            escape(&line.verdict_words()),
            line.seeds,
            line.acked,
            line.lost,
            escape(line.longest_outage.as_deref().unwrap_or("–")),
        );
        for name in &names {
            let broken = line.broken.iter().find(|broken| broken.invariant == *name);
            page.push_str(&invariant(broken, line.seeds));
        }
        page.push_str("</tr>\n");
    }
    page.push_str("</tbody></table></div>\n");
    if !names.is_empty() {
        page.push_str("<p>Under the name of an invariant: how many of the seeds broke it.</p>\n");
    }
    if !held.is_empty() {
        let _ = writeln!(page, "<p>No run broke: {}.</p>", held.join(", "));
    }
}

fn invariant(broken: Option<&BrokenLine>, seeds: u64) -> String {
    let Some(broken) = broken else { return "<td class=\"held\">·</td>".into() };
    let class = if broken.expected == "holds" { "broke" } else { "known" };
    format!(
        "<td class=\"{class}\" title=\"{}\">{}/{seeds}</td>",
        escape(&broken.what),
        broken.seeds
    )
}

fn details(page: &mut String, line: &Line) {
    let scenario = escape(&line.scenario);
    let _ = writeln!(page, "<h3 id=\"{scenario}\">{scenario}</h3>\n<ul>");
    for broken in &line.broken {
        let expected = match broken.expected.as_str() {
            "holds" => "it must hold",
            "breaks" => "as expected",
            _ => "allowed",
        };
        let _ = write!(
            page,
            "<li><b>{}</b> in {} of {} seeds ({expected}), first seed {}: {}<pre>{}</pre>",
            escape(&broken.invariant),
            broken.seeds,
            line.seeds,
            broken.seed,
            escape(&broken.what),
            escape(&broken.replay)
        );
        if let Some(picture) = &broken.picture {
            let _ = write!(page, "<a href=\"{}\">the picture of that run</a>", escape(picture));
        }
        page.push_str("</li>\n");
    }
    page.push_str("</ul>\n");
}

/// Rows of settings, columns of faults.
fn matrix_table(page: &mut String, cells: &[MatrixCell]) {
    let row = |cell: &MatrixCell| {
        let unclean = if cell.unclean { "on" } else { "off" };
        [
            cell.acks.clone(),
            cell.replication_factor.to_string(),
            cell.min_insync_replicas.to_string(),
            cell.flush.clone(),
            unclean.to_owned(),
        ]
    };
    page.push_str(
        "<div class=\"wide\"><table><thead><tr><th>acks</th><th>replication factor</th>\
         <th>min.insync.replicas</th><th>flush</th><th>unclean election</th>",
    );
    for column in Misfortune::ALL {
        let _ = write!(page, "<th title=\"{}\">{}</th>", escape(column.what()), column.name());
    }
    page.push_str("</tr></thead><tbody>\n");
    let mut rows = Vec::new();
    for cell in cells {
        if !rows.contains(&row(cell)) {
            rows.push(row(cell));
        }
    }
    for settings in rows {
        page.push_str("<tr>");
        for value in &settings {
            let _ = write!(page, "<td>{}</td>", escape(value));
        }
        for column in Misfortune::ALL {
            let cell = cells.iter().find(|c| row(c) == settings && c.fault == column.name());
            page.push_str(&matrix_cell(cell));
        }
        page.push_str("</tr>\n");
    }
    page.push_str("</tbody></table></div>\n");
}

fn matrix_cell(cell: Option<&MatrixCell>) -> String {
    let Some(cell) = cell else { return "<td>–</td>".into() };
    match cell.status.as_str() {
        "survives" => format!("<td class=\"held\">survives (0 of {})</td>", cell.seeds),
        "loses" => format!(
            "<td class=\"known\">LOSES {}/{}, {} records</td>",
            cell.seeds_lost, cell.seeds, cell.lost
        ),
        other => format!("<td class=\"broke\">{}</td>", escape(other)),
    }
}
