//! Faults with their durations, made out of operations: a kill lasts until the boot.

use super::recorder::{Operation, OperationKind, Recorder};
use super::words::s;
use crate::base::{Instant, list};
use crate::run::LaneKind;
use crate::sim::HostId;

/// A fault on one host, or on one direction between two, with its duration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub host: HostId,
    pub other: Option<HostId>,
    pub kind: Fault,
    pub at: Instant,
    pub until: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fault {
    Kill,
    PowerLoss,
    Restart,
    Ended,
    Pause,
    Cut,
    Hold,
    /// Another operation of the driver, at one moment.
    Other,
}

impl Fault {
    pub fn name(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::PowerLoss => "power-loss",
            Self::Restart => "restart",
            Self::Ended => "ended",
            Self::Pause => "pause",
            Self::Cut => "cut",
            Self::Hold => "hold",
            Self::Other => "other",
        }
    }
}

/// Faults of one kind that strike at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub kind: Fault,
    pub hosts: Vec<HostId>,
    pub at: Instant,
    pub until: Instant,
    pub text: String,
}

/// Every fault, by host, in order of time.
pub(super) fn spans(run: &Recorder) -> Vec<Span> {
    let node = |host: HostId| {
        run.lanes.iter().any(|lane| {
            lane.host == host && matches!(lane.kind, LaneKind::Broker(_) | LaneKind::Controller)
        })
    };
    let mut found = Vec::new();
    for (index, operation) in run.operations.iter().enumerate() {
        let later = &run.operations[index + 1..];
        let ends = |fits: &dyn Fn(&Operation) -> bool| {
            let end = later
                .iter()
                .find(|d| (d.host, d.other) == (operation.host, operation.other) && fits(d));
            end.map_or(run.now, |end| end.at)
        };
        let boots = |d: &Operation| d.what == OperationKind::Booted;
        let driver = |name: &'static str| {
            move |d: &Operation| d.what == OperationKind::Driver(name.to_owned())
        };
        let (kind, until) = match &operation.what {
            OperationKind::Killed => (Fault::Kill, ends(&boots)),
            OperationKind::PowerLost { .. } => (Fault::PowerLoss, ends(&boots)),
            OperationKind::Ended if node(operation.host) => {
                let before =
                    run.operations[..index].iter().rev().filter(|d| d.host == operation.host);
                let asked = before
                    .take_while(|d| d.what != OperationKind::Booted)
                    .any(|d| d.what == OperationKind::Driver("terminate".into()));
                (if asked { Fault::Restart } else { Fault::Ended }, ends(&boots))
            }
            OperationKind::Paused => {
                let over = |d: &Operation| {
                    matches!(
                        d.what,
                        OperationKind::Resumed
                            | OperationKind::Killed
                            | OperationKind::PowerLost { .. }
                    )
                };
                (Fault::Pause, ends(&over))
            }
            OperationKind::Driver(name) => match name.as_str() {
                "cut" => (Fault::Cut, ends(&driver("heal"))),
                "hold" => (Fault::Hold, ends(&driver("release"))),
                // Ends of others, and what shows as `Ended` or as a power loss.
                "heal" | "release" | "terminate" | "power-loss-at" => continue,
                _ => (Fault::Other, operation.at),
            },
            OperationKind::Ended | OperationKind::Booted | OperationKind::Resumed => continue,
        };
        found.push(Span {
            host: operation.host,
            other: operation.other,
            kind,
            at: operation.at,
            until,
        });
    }
    found
}

/// The same, once for all hosts that were struck together.
pub(super) fn marks(run: &Recorder, spans: &[Span]) -> Vec<Mark> {
    let mut found: Vec<Mark> = Vec::new();
    let mut open = spans;
    while let Some(first) = open.first() {
        let together = open.iter().take_while(|s| (s.at, s.kind) == (first.at, first.kind));
        let count = together.count();
        let (group, rest) = open.split_at(count);
        let mut hosts: Vec<HostId> = group.iter().map(|span| span.host).collect();
        if first.kind == Fault::Cut || first.kind == Fault::Hold {
            // Who is on the side of the fewer is cut off from the others.
            hosts.extend(group.iter().filter_map(|span| span.other));
        }
        hosts.sort();
        hosts.dedup();
        let until = group.iter().map(|span| span.until).max().unwrap_or(first.at);
        let text = say(run, group, &hosts);
        found.push(Mark { kind: first.kind, hosts, at: first.at, until, text });
        open = rest;
    }
    found
}

fn say(run: &Recorder, group: &[Span], hosts: &[HostId]) -> String {
    let Some(first) = group.first() else { return String::new() };
    let names: Vec<String> = hosts.iter().map(|host| run.name(*host)).collect();
    let (who, n) = (list(&names), names.len());
    let pages: u64 = run
        .operations
        .iter()
        .filter(|operation| operation.at == first.at && hosts.contains(&operation.host))
        .map(
            |operation| {
                if let OperationKind::PowerLost { pages } = operation.what { pages } else { 0 }
            },
        )
        .sum();
    match first.kind {
        Fault::Kill => format!("{who} {} killed; what the kernel holds stays", are(n)),
        Fault::PowerLoss if pages > 0 => format!(
            "{who} lose{} power; {pages} dirty page{} in memory never reached the disk",
            s(n),
            if pages == 1 { "" } else { "s" }
        ),
        Fault::PowerLoss => format!("{who} lose{} power; every page was on the disk", s(n)),
        Fault::Restart => format!("{who} {} shut down in order, to be started again", are(n)),
        Fault::Ended => format!("{who} end{} without being asked to", s(n)),
        Fault::Pause => format!("{who} stop{} dead (paused); connections stay", s(n)),
        Fault::Cut => cut(run, group),
        Fault::Hold => format!("messages between {who} are held back"),
        Fault::Other => {
            let operation =
                run.operations.iter().find(|d| d.at == first.at && d.host == first.host);
            let name = match operation.map(|operation| &operation.what) {
                Some(OperationKind::Driver(name)) => name.as_str(),
                _ => "fault",
            };
            match first.other {
                Some(other) => {
                    format!("{name}: from {} to {}", run.name(first.host), run.name(other))
                }
                None => format!("{name}: {who}"),
            }
        }
    }
}

fn are(count: usize) -> &'static str {
    if count == 1 { "is" } else { "are" }
}

/// The hosts on both sides of a cut.
fn cut(run: &Recorder, group: &[Span]) -> String {
    let has = |from, to| group.iter().any(|span| span.host == from && span.other == Some(to));
    let both = group.iter().all(|s| s.other.is_some_and(|other| has(other, s.host)));
    let mut from: Vec<HostId> = Vec::new();
    let mut to: Vec<HostId> = Vec::new();
    for span in group {
        let Some(other) = span.other else { continue };
        if both && (to.contains(&span.host) || from.contains(&other)) {
            continue;
        }
        if !from.contains(&span.host) {
            from.push(span.host);
        }
        if !to.contains(&other) {
            to.push(other);
        }
    }
    let names = |hosts: &[HostId]| list(&hosts.iter().map(|h| run.name(*h)).collect::<Vec<_>>());
    let n = from.len();
    if both {
        format!("{} {} cut off from {}", names(&from), are(n), names(&to))
    } else {
        format!("nothing from {} reaches {} any more", names(&from), names(&to))
    }
}

impl Recorder {
    /// A host's name, as the scenario has it.
    pub(super) fn name(&self, host: HostId) -> String {
        let lane = self.lanes.iter().find(|lane| lane.host == host);
        lane.map_or_else(|| host.to_string(), |lane| lane.name.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::BrokerId;
    use crate::run::Lane;

    fn run(operations: &[(u64, u16, Option<u16>, OperationKind)]) -> Recorder {
        let lanes = (1..=3).map(|n| Lane {
            host: HostId(n),
            name: format!("b{n}"),
            kind: LaneKind::Broker(BrokerId(i32::from(n))),
        });
        let mut run = Recorder::default();
        run.now = Instant::from_secs(9);
        run.lanes = lanes.collect();
        run.operations = operations
            .iter()
            .map(|(at, host, other, what)| Operation {
                at: Instant::from_secs(*at),
                host: HostId(*host),
                other: other.map(HostId),
                what: what.clone(),
            })
            .collect();
        run
    }

    fn told(run: &Recorder) -> Vec<(u64, u64, String)> {
        let second = |at: Instant| at.0 / 1_000_000_000;
        let marks = marks(run, &spans(run));
        marks.into_iter().map(|m| (second(m.at), second(m.until), m.text)).collect()
    }

    #[test]
    fn a_fault_lasts_until_its_end_and_those_at_one_moment_are_one() {
        let lost = |pages| OperationKind::PowerLost { pages };
        let run = run(&[
            (1, 1, None, lost(2)),
            (1, 2, None, lost(3)),
            (2, 3, None, OperationKind::Paused),
            (4, 1, None, OperationKind::Booted),
            (5, 2, None, OperationKind::Booted),
        ]);
        assert_eq!(
            told(&run),
            [
                (
                    1,
                    5,
                    "b1 and b2 lose power; 5 dirty pages in memory never reached the disk".into()
                ),
                (2, 9, "b3 stops dead (paused); connections stay".into()),
            ]
        );
    }

    #[test]
    fn a_cut_in_both_directions_names_each_side_once() {
        let driver = |name: &str| OperationKind::Driver(name.into());
        let two_way = run(&[
            (1, 1, Some(2), driver("cut")),
            (1, 2, Some(1), driver("cut")),
            (1, 1, Some(3), driver("cut")),
            (1, 3, Some(1), driver("cut")),
            (3, 1, Some(2), driver("heal")),
            (3, 2, Some(1), driver("heal")),
            (3, 1, Some(3), driver("heal")),
            (3, 3, Some(1), driver("heal")),
        ]);
        assert_eq!(told(&two_way), [(1, 3, "b1 is cut off from b2 and b3".into())]);
        let one_way = run(&[(1, 1, Some(2), driver("cut"))]);
        assert_eq!(told(&one_way), [(1, 9, "nothing from b1 reaches b2 any more".into())]);
    }

    #[test]
    fn an_end_that_was_asked_for_is_a_restart() {
        let asked = OperationKind::Driver("terminate".into());
        let run = run(&[
            (1, 1, None, asked),
            (2, 1, None, OperationKind::Ended),
            (3, 1, None, OperationKind::Booted),
            (4, 1, None, OperationKind::Ended),
        ]);
        let kinds: Vec<_> = spans(&run).iter().map(|span| span.kind).collect();
        assert_eq!(kinds, [Fault::Restart, Fault::Ended]);
    }
}
