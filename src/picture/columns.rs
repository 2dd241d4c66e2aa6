//! The picture for a terminal: time runs down, a column for each host.

use std::collections::BTreeMap;

use super::data::Data;
use super::recorder::{OperationKind, Recorder};
use super::words::seconds;
use crate::base::Instant;
use crate::run::{Lane, LaneKind};
use crate::sim::{HostId, Outcome};

/// Room for the time.
const TIME: usize = 11;
/// The width of a column without a limit.
const COMFORTABLE: usize = 16;
/// A column that can still be read.
const NARROWEST: usize = 10;
/// The longest time between two rows, so that clients' work shows.
const BEAT: u64 = 1_000_000_000;

/// The columns: one for each host; or, where that is too wide, one for all clients of a kind.
struct Columns {
    names: Vec<String>,
    of: BTreeMap<HostId, usize>,
    width: usize,
}

impl Columns {
    fn fit(run: &Recorder, width: Option<usize>) -> Option<Self> {
        let mut lanes: Vec<_> =
            run.lanes.iter().filter(|lane| lane.kind != LaneKind::Admin).collect();
        lanes.sort_by_key(|lane| (lane.kind, lane.host));
        let alone = |lane: &Lane| lane.name.clone();
        let together = |lane: &Lane| match lane.kind {
            LaneKind::Producer => "producers".to_owned(),
            LaneKind::Consumer => "consumers".to_owned(),
            _ => lane.name.clone(),
        };
        let by = |name: &dyn Fn(&Lane) -> String| {
            let mut names: Vec<String> = Vec::new();
            let mut of = BTreeMap::new();
            for lane in &lanes {
                let name = name(lane);
                if names.last() != Some(&name) {
                    names.push(name);
                }
                of.insert(lane.host, names.len() - 1);
            }
            let room = width.map_or(COMFORTABLE, |width| {
                (width.saturating_sub(TIME) / names.len().max(1)).min(COMFORTABLE)
            });
            Self { names, of, width: room }
        };
        let each = by(&alone);
        let fitting = if each.width >= NARROWEST { each } else { by(&together) };
        (fitting.width >= NARROWEST).then_some(fitting)
    }
}

/// The work of one column's clients since the last row.
#[derive(Clone, Copy, Default)]
struct Work {
    done: u64,
    failed: u64,
    read: u64,
}

impl Work {
    fn say(&mut self) -> Option<String> {
        let Self { done, failed, read } = std::mem::take(self);
        let said = [(done, "ok"), (failed, "failed"), (read, "read")];
        let said: Vec<String> = said
            .iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, word)| format!("{count} {word}"))
            .collect();
        (!said.is_empty()).then(|| said.join(" "))
    }
}

/// The state of a host, for a cell in which nothing happens.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stand {
    Up,
    Down,
    Paused,
}

/// All lines, or nothing where they would be wider than `width`.
pub(super) fn lines(run: &Recorder, data: &Data, width: Option<usize>) -> Option<Vec<String>> {
    let columns = Columns::fit(run, width)?;
    let mut events = events(run, &columns);
    let told = data.steps().enumerate().map(|(index, (at, title, text))| {
        (Instant(at * 1000 + 999), None, format!("{}. {title}: {text}", index + 1))
    });
    events.extend(told);
    events.sort_by_key(|event| (event.0, event.1.is_none()));

    let mut table = Table::new(&columns, width);
    let mut work = Works::new(run, &columns);
    let mut beat = BEAT;
    let mut open = events.as_slice();
    while let Some((at, column, _)) = open.first() {
        while beat < at.0 {
            work.until(Instant(beat), &mut table);
            table.row(Instant(beat), Vec::new());
            beat += BEAT;
        }
        work.until(*at, &mut table);
        if column.is_none() {
            table.tell(&open[0].2);
            open = &open[1..];
            continue;
        }
        let same = open.iter().take_while(|event| event.0 == *at && event.1.is_some()).count();
        let (now, rest) = open.split_at(same);
        let cells = now.iter().filter_map(|(_, column, text)| Some(((*column)?, text.clone())));
        table.row(*at, cells.collect());
        for (_, column, text) in now {
            if let Some(column) = *column {
                table.follow(column, text);
            }
        }
        open = rest;
    }
    work.until(run.now, &mut table);
    table.row(run.now, Vec::new());
    Some(table.lines)
}

type Happening = (Instant, Option<usize>, String);

const DOWN: [&str; 3] = ["KILLED", "POWER LOST", "ends"];

fn events(run: &Recorder, columns: &Columns) -> Vec<Happening> {
    let mut found: Vec<Happening> = Vec::new();
    let mut add = |at, host: HostId, text: String| {
        if let Some(column) = columns.of.get(&host) {
            found.push((at, Some(*column), text));
        }
    };
    for operation in &run.operations {
        let text = match &operation.what {
            OperationKind::Killed => "KILLED".into(),
            OperationKind::PowerLost { .. } => "POWER LOST".into(),
            OperationKind::Ended => "ends".into(),
            OperationKind::Booted => "boots".into(),
            OperationKind::Paused => "PAUSED".into(),
            OperationKind::Resumed => "resumes".into(),
            OperationKind::Driver(name) => match operation.other {
                Some(other) => format!("{name} >{}", run.name(other)),
                None => name.clone(),
            },
        };
        add(operation.at, operation.host, text);
    }
    for (name, track) in &run.tracks {
        for commit in &track.commits {
            let leader = commit.leader.map_or("no leader".into(), |id| format!("b{id}"));
            let isr: Vec<String> = commit.isr.iter().map(ToString::to_string).collect();
            let unclean = match (commit.last_known, commit.unclean) {
                (true, _) => " LAST KNOWN",
                (false, true) => " UNCLEAN",
                (false, false) => "",
            };
            let text = format!("{name} {leader} e{} isr {}{unclean}", commit.epoch, isr.join(","));
            add(commit.at, commit.host, text);
        }
        for (at, host, epoch, leads) in &track.roles {
            let verb = if *leads { "LEADS" } else { "follows" };
            add(*at, *host, format!("{verb} {name} e{epoch}"));
        }
        for (at, host, end) in &track.truncated {
            add(*at, *host, format!("cuts {name} to {end}"));
        }
    }
    found
}

/// Clients' work, counted row by row.
struct Works {
    /// In order of time: when, which column, and what.
    all: Vec<(Instant, usize, Work)>,
    next: usize,
}

impl Works {
    fn new(run: &Recorder, columns: &Columns) -> Self {
        let of = |host: &HostId| columns.of.get(host).copied();
        let mut all = Vec::new();
        for send in &run.sends {
            if let (Some(column), Some((at, outcome))) = (of(&send.host), &send.told) {
                let ok = matches!(outcome, Outcome::Ok { .. });
                let work = Work { done: u64::from(ok), failed: u64::from(!ok), read: 0 };
                all.push((*at, column, work));
            }
        }
        let reads = run.reads.iter().filter_map(|read| Some((read.at, of(&read.host)?)));
        all.extend(reads.map(|(at, column)| (at, column, Work { read: 1, ..Work::default() })));
        all.sort_by_key(|(at, ..)| *at);
        Self { all, next: 0 }
    }

    fn until(&mut self, at: Instant, table: &mut Table<'_>) {
        while let Some((when, column, work)) = self.all.get(self.next).filter(|w| w.0 <= at) {
            debug_assert!(*when <= at);
            if let Some(sum) = table.work.get_mut(*column) {
                sum.done += work.done;
                sum.failed += work.failed;
                sum.read += work.read;
            }
            self.next += 1;
        }
    }
}

/// Lines, as they are written from top to bottom.
struct Table<'a> {
    columns: &'a Columns,
    full: usize,
    stands: Vec<Stand>,
    work: Vec<Work>,
    lines: Vec<String>,
}

impl<'a> Table<'a> {
    fn new(columns: &'a Columns, width: Option<usize>) -> Self {
        let n = columns.names.len();
        let full = width.unwrap_or(TIME + n * columns.width).max(40);
        let head: String = columns.names.iter().map(|name| pad(name, columns.width)).collect();
        let head = format!("{:>TIME$}{head}", "time  ").trim_end().to_owned();
        Self {
            columns,
            full,
            stands: vec![Stand::Up; n],
            work: vec![Work::default(); n],
            lines: vec![head],
        }
    }

    /// Writes one moment. A text that does not fit into its cell continues below.
    fn row(&mut self, at: Instant, cells: Vec<(usize, String)>) {
        let room = self.columns.width - 2;
        let mut stacks: Vec<Vec<String>> = vec![Vec::new(); self.columns.names.len()];
        for (column, text) in cells {
            if let Some(stack) = stacks.get_mut(column) {
                stack.extend(wrap(&text, room));
            }
        }
        for (stack, work) in stacks.iter_mut().zip(&mut self.work) {
            if let Some(said) = work.say() {
                stack.extend(wrap(&said, room));
            }
        }
        let height = stacks.iter().map(Vec::len).max().unwrap_or(0).max(1);
        for line in 0..height {
            let time = if line == 0 { seconds(at) } else { String::new() };
            let mut text = format!("{time:>9}  ");
            for (stack, stand) in stacks.iter().zip(&self.stands) {
                let still = match stand {
                    Stand::Up => "|",
                    Stand::Down => "",
                    Stand::Paused => ":",
                };
                let cell = stack.get(line).map_or(still, String::as_str);
                text.push_str(&pad(cell, self.columns.width));
            }
            self.lines.push(text.trim_end().to_owned());
        }
    }

    /// A step of the story, across all columns.
    fn tell(&mut self, text: &str) {
        for (index, line) in wrap(text, self.full.saturating_sub(TIME)).iter().enumerate() {
            let mark = if index == 0 { "  >>" } else { "" };
            self.lines.push(format!("{mark:<TIME$}{line}"));
        }
    }

    /// How a host stands after what happened to it.
    fn follow(&mut self, column: usize, text: &str) {
        let Some(stand) = self.stands.get_mut(column) else { return };
        if DOWN.contains(&text) {
            *stand = Stand::Down;
        } else if text == "PAUSED" {
            *stand = Stand::Paused;
        } else if text == "boots" || text == "resumes" {
            *stand = Stand::Up;
        }
    }
}

fn pad(text: &str, width: usize) -> String {
    format!("{text:<width$}")
}

/// Lines of at most `width` characters, broken between words where that is possible.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        let mut word: Vec<char> = word.chars().collect();
        if let Some(last) = lines.last_mut()
            && last.chars().count() + 1 + word.len() <= width
        {
            last.push(' ');
            last.extend(&word);
            continue;
        }
        while word.len() > width.max(1) {
            let rest = word.split_off(width.max(1));
            lines.push(word.into_iter().collect());
            word = rest;
        }
        lines.push(word.into_iter().collect());
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_breaks_between_words_and_a_long_word_anywhere() {
        assert_eq!(wrap("orders-1 b3 e1 isr 1,3", 11), ["orders-1 b3", "e1 isr 1,3"]);
        assert_eq!(wrap("abcdefgh i", 3), ["abc", "def", "gh", "i"]);
    }
}
