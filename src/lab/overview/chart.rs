//! Charts as inline SVG, in the colours of the page.

use std::fmt::Write;

use super::{MatrixCell, Timing};
use crate::lab::escape::escape;

/// The height of a bar and the gap below it, in pixels.
const ROW: usize = 22;
/// Where bars begin, and the length of the longest, in pixels.
const LEFT: usize = 300;
const LONGEST: f64 = 420.0;
const WIDTH: usize = 880;

/// Two bars per scenario, each on its own scale: simulated time and wall time.
pub(super) fn times(timings: &[(&str, Timing)]) -> String {
    let most = |of: fn(&Timing) -> u64| {
        timings.iter().map(|(_, timing)| of(timing)).max().unwrap_or(1).max(1)
    };
    let (simulated, wall) = (most(|timing| timing.simulated_ms), most(|timing| timing.wall_ms));
    let mut svg = open("Simulated and wall time of each scenario", timings.len() * ROW * 2);
    for (index, (name, timing)) in timings.iter().enumerate() {
        let top = index * ROW * 2;
        label(&mut svg, top, name);
        let times = if timing.wall_ms > 0 {
            format!(" ({:.0} times faster)", timing.simulated_ms as f64 / timing.wall_ms as f64)
        } else {
            String::new()
        };
        let seconds = |ms: u64| format!("{:.1} s", ms as f64 / 1000.0);
        let text = format!("{} simulated{times}", seconds(timing.simulated_ms));
        bar(&mut svg, top, "one", timing.simulated_ms as f64 / simulated as f64, &text);
        let text = format!("{} wall", seconds(timing.wall_ms));
        bar(&mut svg, top + ROW - 4, "two", timing.wall_ms as f64 / wall as f64, &text);
    }
    svg.push_str("</svg>");
    svg
}

/// A bar per cell that lost records: the share of acknowledged records that it lost.
pub(super) fn losses(cells: &[MatrixCell]) -> String {
    let mut losing: Vec<_> = cells.iter().filter(|cell| cell.lost > 0).collect();
    losing
        .sort_by(|one, other| share(other).total_cmp(&share(one)).then(one.name.cmp(&other.name)));
    let mut svg =
        open("Share of acknowledged records lost, by configuration and fault", losing.len() * ROW);
    for (index, cell) in losing.into_iter().enumerate() {
        let top = index * ROW;
        label(&mut svg, top, &settings(cell));
        let text = format!(
            "{}: {} of {} records, {} of {} seeds",
            cell.fault, cell.lost, cell.acked, cell.seeds_lost, cell.seeds
        );
        bar(&mut svg, top, "loss", share(cell), &text);
    }
    svg.push_str("</svg>");
    svg
}

/// The share of acknowledged records that was lost.
fn share(cell: &MatrixCell) -> f64 {
    (cell.lost as f64 / cell.acked.max(1) as f64).min(1.0)
}

fn settings(cell: &MatrixCell) -> String {
    let unclean = if cell.unclean { ", unclean" } else { "" };
    format!(
        "acks={}, RF {}, min {}, {}{unclean}",
        cell.acks, cell.replication_factor, cell.min_insync_replicas, cell.flush
    )
}

fn open(title: &str, height: usize) -> String {
    let height = height.max(ROW);
    format!(
        "<svg viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" role=\"img\">\
         <title>{}</title>",
        escape(title)
    )
}

fn label(svg: &mut String, top: usize, text: &str) {
    let (x, y) = (LEFT - 8, top + 13);
    // Writing to a String can't fail.
    let _ = write!(svg, "<text x=\"{x}\" y=\"{y}\" text-anchor=\"end\">{}</text>", escape(text));
}

fn bar(svg: &mut String, top: usize, class: &str, share: f64, text: &str) {
    let length = (share * LONGEST).max(1.0);
    let _ = write!(
        svg,
        "<rect class=\"{class}\" x=\"{LEFT}\" y=\"{}\" width=\"{length:.1}\" height=\"{}\"/>\
         <text x=\"{:.1}\" y=\"{}\">{}</text>",
        top + 2,
        ROW - 8,
        LEFT as f64 + length.min(LONGEST - 180.0) + 6.0,
        top + 13,
        escape(text)
    );
}
