//! Leaves out what could not be seen, so that a minute's run stays a small file.

use super::fate::Step;
use super::messages::Message;
use super::recorder::Recorder;
use crate::base::Instant;
use crate::wire::api::key;

/// Around a step, in microseconds: everything is kept.
const AROUND: u64 = 250_000;
/// Most messages of a picture.
const MESSAGES: usize = 24_000;
/// Most points of all curves, windows aside.
const POINTS: usize = 90_000;
/// Most points of one curve, windows aside: more than there are dots on a screen.
const POINTS_OF_ONE: usize = 2400;

pub(super) fn micros(at: Instant) -> u64 {
    at.0 / 1000
}

/// Times of which everything is kept, in order and apart from each other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Windows(Vec<(u64, u64)>);

impl Windows {
    /// Around each step of the story.
    pub fn around(steps: &[Step], run: &Recorder) -> Self {
        let end = micros(run.now);
        let around = |step: &Step| {
            let at = micros(step.at);
            (at.saturating_sub(AROUND), (at + AROUND).min(end))
        };
        Self::merged(steps.iter().map(around).collect())
    }

    fn merged(mut windows: Vec<(u64, u64)>) -> Self {
        windows.sort_unstable();
        let mut merged: Vec<(u64, u64)> = Vec::new();
        for (from, to) in windows {
            match merged.last_mut() {
                Some(last) if last.1 >= from => last.1 = last.1.max(to),
                _ => merged.push((from, to)),
            }
        }
        Self(merged)
    }

    pub fn contains(&self, at: u64) -> bool {
        let after = self.0.partition_point(|(from, _)| *from <= at);
        after.checked_sub(1).and_then(|i| self.0.get(i)).is_some_and(|(_, to)| at <= *to)
    }

    /// Each half as wide.
    fn halved(&self) -> Self {
        let half = |(from, to): &(u64, u64)| {
            let quarter = (to - from) / 4;
            (from + quarter, to - quarter)
        };
        Self(self.0.iter().map(half).collect())
    }
}

/// The width within which one point of a curve is enough, in microseconds.
pub(super) fn bin(end: Instant, series: usize) -> u64 {
    let points = (POINTS / series.max(1)).clamp(60, POINTS_OF_ONE) as u64;
    (micros(end) / points).max(1000)
}

/// A curve of steps, as differences. Falls are always kept, with the value before.
pub(super) fn curve(
    points: impl Iterator<Item = (u64, i64)>,
    bin: u64,
    windows: &Windows,
) -> Vec<i64> {
    let mut kept: Vec<(u64, i64)> = Vec::new();
    let mut held: Option<(u64, i64)> = None;
    let mut fell = false;
    for (at, value) in points {
        let falls = held.is_some_and(|(_, before)| value < before);
        if let Some(last) = held
            && (falls || fell || last.0 / bin != at / bin || windows.contains(last.0))
        {
            kept.push(last);
        }
        (held, fell) = (Some((at, value)), falls);
    }
    kept.extend(held);
    let mut flat = Vec::with_capacity(kept.len() * 2);
    let mut before = (0, 0);
    for (at, value) in kept {
        flat.extend([i64::try_from(at - before.0).unwrap_or(0), value - before.1]);
        before = (at, value);
    }
    flat
}

/// Messages in the order of sending: all within the windows, which are narrowed until they fit, and
/// elsewhere those that are neither Produce nor Fetch.
pub(super) fn messages(all: &[Message], windows: &Windows) -> (Vec<Message>, Vec<(u64, u64)>) {
    let rare = |message: &&Message| message.key != key::PRODUCE && message.key != key::FETCH;
    let within = |windows: &Windows| {
        let fits = |message: &&Message| windows.contains(micros(message.sent));
        all.iter().filter(fits).count()
    };
    let mut windows = windows.clone();
    while within(&windows) > MESSAGES {
        windows = windows.halved();
    }
    let mut room = MESSAGES - within(&windows);
    let mut kept: Vec<Message> = Vec::new();
    for message in all {
        if windows.contains(micros(message.sent)) {
            kept.push(*message);
        } else if room > 0 && rare(&message) {
            room -= 1;
            kept.push(*message);
        }
    }
    kept.sort_by_key(|message| message.sent);
    (kept, windows.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::HostId;

    fn points(flat: &[i64]) -> Vec<(i64, i64)> {
        let mut at = (0, 0);
        let each = flat.chunks_exact(2).map(|pair| {
            at = (at.0 + pair[0], at.1 + pair[1]);
            at
        });
        each.collect()
    }

    #[test]
    fn a_curve_keeps_one_point_a_bin_every_fall_and_all_within_windows() {
        let none = Windows::default();
        let rising = (0..1000).map(|at| (at, at as i64));
        assert_eq!(points(&curve(rising.clone(), 100, &none)).len(), 10);
        let window = Windows(vec![(200, 250)]);
        assert!(points(&curve(rising, 100, &window)).len() > 55);
        let falls = [(1, 10), (2, 20), (3, 5), (4, 6), (5, 7)];
        assert_eq!(points(&curve(falls.into_iter(), 100, &none)), [(2, 20), (3, 5), (5, 7)]);
    }

    #[test]
    fn windows_narrow_until_their_messages_fit_and_rare_ones_are_kept_outside() {
        let message = |at: u64, key| Message {
            sent: Instant(at * 1000),
            at: Instant(at * 1000 + 500),
            from: HostId(0),
            to: HostId(1),
            key,
            answer: false,
            bytes: 1,
            error: None,
        };
        let mut all: Vec<_> = (0..100_000).map(|at| message(at, key::FETCH)).collect();
        all.push(message(99_999, key::BROKER_HEARTBEAT));
        let (kept, windows) = messages(&all, &Windows(vec![(0, 80_000)]));
        assert_eq!(windows, [(30_000, 50_000)]);
        assert_eq!(kept.len(), 20_002);
        assert_eq!(kept.last().unwrap().key, key::BROKER_HEARTBEAT);
    }
}
