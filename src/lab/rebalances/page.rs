//! `reports/rebalances.html`: the tables with a chart each, as one self-contained file.

use std::fmt::Write;

use super::table::{COLUMNS, READING, SETTING, is_best, seconds};
use super::{Row, Table};
use crate::lab::escape::escape;

const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#1c2430;--paper:#fcfcfa;--line:#d6d9de;--good:#1a7f4b;--bad:#c02a37;--eager:#c98a2b;--cooperative:#3b6fb6;--static:#6f8f3a;--consumer:#8a5bb0}\
@media(prefers-color-scheme:dark){:root{--ink:#e4e7ec;--paper:#14181d;--line:#343b45;--good:#57c08a;--bad:#ff7b84;--eager:#e0ae62;--cooperative:#7aa7e6;--static:#a8c66c;--consumer:#bd95dd}}\
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);margin:1.5rem clamp(.75rem,3vw,2rem);max-width:70rem;overflow-wrap:break-word}\
table{border-collapse:collapse}th,td{border:1px solid var(--line);padding:.25rem .5rem;text-align:right}\
th:first-child,td:first-child{text-align:left}.wide{overflow-x:auto}\
.best{color:var(--good);font-weight:600}.broke{color:var(--bad);font-weight:600}\
code{font:13px ui-monospace,monospace;overflow-wrap:anywhere}\
svg{max-width:100%;height:auto}svg text{fill:var(--ink);font:12px system-ui,sans-serif}\
.eager{fill:var(--eager)}.cooperative{fill:var(--cooperative)}.static{fill:var(--static)}.consumer{fill:var(--consumer)}\
figure{margin:0 0 1rem}figcaption{font-size:13px;max-width:50rem}.axis{stroke:var(--line)}";

/// The height of a strategy's row in a chart, in pixels.
const ROW: usize = 26;
/// Where bars begin, the length of the longest, and the width of a chart, in pixels.
const LEFT: f64 = 120.0;
const LONGEST: f64 = 480.0;
const WIDTH: usize = 800;

/// What a chart shows, below it.
const CAPTION: &str = "One bar for each strategy: how long a partition had no owner, each time that it \
    lost one, in seconds of simulated time. The thick part of a bar ends at the median, the thinner one at \
    the 99th percentile and the line at the longest; the numbers behind it are these three. The axis goes \
    from 0 to the longest of this chart, so each chart has a scale of its own.";

/// The page.
pub fn html(table: &Table) -> String {
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>brokerquake: rebalances</title>\
         <style>{STYLE}</style></head><body>\n<h1>What rebalances cost</h1>\n<p>{} Seeds {}..{} of \
         each cell, on {}.</p>\n",
        escape(SETTING),
        table.seeds.from,
        table.seeds.to,
        table.engine,
    );
    for paragraph in READING.split("\n\n") {
        // Writing to a String can't fail.
        let _ = writeln!(page, "<p>{}</p>", escape(&paragraph.replace("bold", "green and bold")));
    }
    for (storm, rows) in table.by_storm() {
        let _ = writeln!(
            page,
            "<h2 id=\"{name}\">{name}</h2>\n<p>{}</p>\n<figure class=\"wide\">{}\
             <figcaption>{CAPTION}</figcaption></figure>",
            escape(storm.what()),
            chart(storm.name(), &rows),
            name = storm.name(),
        );
        rows_as_table(&mut page, &rows);
        for row in rows.iter().filter(|row| !row.verdict.is_expected()) {
            let what = row.broken.as_deref().unwrap_or("no run tested anything");
            let _ = writeln!(
                page,
                "<p class=\"broke\">{}: {}, {}<br><code>{}</code></p>",
                row.strategy.name(),
                row.verdict,
                escape(what),
                escape(&row.replay)
            );
        }
    }
    page.push_str("</body></html>\n");
    page
}

fn rows_as_table(page: &mut String, rows: &[&Row]) {
    page.push_str("<div class=\"wide\"><table><thead><tr><th>strategy</th>");
    for (head, ..) in COLUMNS {
        let _ = write!(page, "<th>{head}</th>");
    }
    page.push_str("</tr></thead><tbody>\n");
    for row in rows {
        let (name, settings) = (row.strategy.name(), escape(row.settings));
        let _ = write!(page, "<tr><td title=\"{settings}\">{name}</td>");
        for (_, show, of) in COLUMNS {
            let class = if is_best(rows, row, of) { " class=\"best\"" } else { "" };
            let _ = write!(page, "<td{class}>{}</td>", show(row));
        }
        page.push_str("</tr>\n");
    }
    page.push_str("</tbody></table></div>\n");
}

/// A bar per strategy: how long partitions had no owner. It is thick up to the median, thinner up to
/// the 99th percentile, and a line up to the longest.
fn chart(storm: &str, rows: &[&Row]) -> String {
    let most = rows.iter().map(|row| row.without_owner_ms.max).max().unwrap_or(0).max(1) as f64;
    let height = rows.len() * ROW + 24;
    let title = format!("Time without an owner under {storm}: median, p99 and longest");
    let mut svg = format!(
        "<svg viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" role=\"img\">\
         <title>{}</title>",
        escape(&title)
    );
    for (index, row) in rows.iter().enumerate() {
        let (top, name) = (index * ROW, row.strategy.name());
        let _ = write!(
            svg,
            "<text x=\"{:.0}\" y=\"{}\" text-anchor=\"end\">{name}</text>",
            LEFT - 8.0,
            top + 17
        );
        let spread = &row.without_owner_ms;
        for (ms, thick) in [(spread.max, 3), (spread.p99, 9), (spread.median, 18)] {
            let length = ms as f64 / most * LONGEST;
            let _ = write!(
                svg,
                "<rect class=\"{name}\" x=\"{LEFT}\" y=\"{}\" width=\"{length:.1}\" height=\"{thick}\"/>",
                top + 12 - thick / 2
            );
        }
        let end = LEFT + spread.max as f64 / most * LONGEST + 8.0;
        let text = if spread.count == 0 { "always owned".into() } else { words(row) };
        let _ = write!(svg, "<text x=\"{end:.1}\" y=\"{}\">{}</text>", top + 17, escape(&text));
    }
    let axis = rows.len() * ROW + 4;
    let _ = write!(
        svg,
        "<line class=\"axis\" x1=\"{LEFT}\" x2=\"{}\" y1=\"{axis}\" y2=\"{axis}\"/>\
         <text x=\"{LEFT}\" y=\"{}\">0</text><text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text></svg>",
        LEFT + LONGEST,
        axis + 15,
        LEFT + LONGEST,
        axis + 15,
        seconds(most as u64),
    );
    svg
}

/// What a bar shows, in numbers.
fn words(row: &Row) -> String {
    let spread = &row.without_owner_ms;
    format!("{} / {} / {}", seconds(spread.median), seconds(spread.p99), seconds(spread.max))
}
