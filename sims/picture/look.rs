//! What a page is asked at a place in time: whether every mark, lane and row is readable and in its place.

use std::collections::BTreeMap;

/// Defines `note(name)`, which reports what is drawn under this name.
const NOTE: &str = "\
    const note = (name) => {\
      draw();\
      const box = chart.getBoundingClientRect(), rows = ROWS, lanes = LANES;\
      set(name + '-low', Math.min(...rows.map((row) => row.height)).toFixed(0));\
      set(name + '-apart', lanes.every((lane, i) => !i || lanes[i - 1].y + lanes[i - 1].height <= lane.y + 0.5));\
      set(name + '-bottom', Math.max(...rows.map((row) => row.y + row.height)) + BELOW <= box.height + 1);\
      const inside = (m) => m.x >= GUTTER - 7 && m.x + m.w <= box.width - RIGHT + 8 && m.y >= AXIS + PINS && m.y + m.h <= box.height;\
      set(name + '-outside', state.marks.filter((m) => !inside(m)).map((m) => textOf(m)).join('; ').slice(0, 300));\
      const kinds = {};\
      for (const m of state.marks) kinds[m.kind] = (kinds[m.kind] || 0) + 1;\
      set(name + '-kinds', Object.keys(kinds).sort().map((kind) => kind + ':' + kinds[kind]).join(' '));\
      set(name + '-mute', state.marks.filter((m) => textOf(m).split('\\n').length < 2).length);\
      set(name + '-wide', document.documentElement.scrollWidth <= window.innerWidth);\
    };";

/// A script with `note(name)`. `rows` must be high enough to be read, `lanes` must not overlap, and what
/// is `below` the last row, in pixels, must fit too.
pub fn note_of(rows: &str, lanes: &str, below: &str) -> String {
    NOTE.replace("ROWS", rows).replace("LANES", lanes).replace("BELOW", below)
}

/// Checks what was noted under a name: rows of at least so many pixels, all in its place, and no mark
/// without a text.
pub fn assert_readable(says: &BTreeMap<String, String>, name: &str, least: u32) {
    let noted = |what: &str| says[&format!("{name}-{what}")].as_str();
    let lowest: u32 = noted("low").parse().unwrap();
    assert!(lowest >= least, "{name}: {lowest} pixels");
    let fits = (noted("apart"), noted("bottom"), noted("wide"));
    assert_eq!(fits, ("true", "true", "true"), "{name}");
    assert_eq!((noted("outside"), noted("mute")), ("", "0"), "{name}");
}

/// How many marks of each kind were noted under a name.
pub fn kinds(says: &BTreeMap<String, String>, name: &str) -> BTreeMap<String, u32> {
    let pairs = says[&format!("{name}-kinds")].split(' ').filter_map(|pair| pair.split_once(':'));
    pairs.map(|(kind, count)| (kind.to_owned(), count.parse().unwrap())).collect()
}
