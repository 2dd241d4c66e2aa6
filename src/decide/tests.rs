//! The runtime against a model of the log: what leaves when, and what is left after a failure.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use super::testing::{Counters, Effect, LIFETIME, Set, Values};
use super::{Active, Loading, LogRecord, Machine, State};
use crate::base::{Instant, Offset, Timestamp};

/// A response that is held: the decision's number, and the log's end when it was made.
type Held = (usize, usize);

/// A log, and the runtime on it.
struct Stage {
    log: Vec<Set>,
    /// Where batches end.
    ends: Vec<usize>,
    /// The end of the last batch that is committed.
    committed: usize,
    now: Instant,
    active: Active<Counters, Held>,
    decisions: usize,
    /// Responses that left, in order.
    left: Vec<usize>,
    refused: Vec<usize>,
    /// Where the additions since the last election end.
    additions: Vec<usize>,
}

fn values(log: &[Set]) -> Values {
    let mut values = Values::default();
    for (offset, record) in (0..).zip(log) {
        values.replay(Offset(offset), record, &mut Vec::new()).unwrap();
    }
    values
}

fn load(log: &[Set], committed: usize, now: Instant) -> Active<Counters, Held> {
    let mut loading = Loading::new(Counters::default(), Offset::ZERO);
    for (offset, record) in (0..).zip(log) {
        let read = Set::decode(record.encode()).unwrap();
        assert_eq!(loading.next(), Offset(offset));
        loading.replay(Offset(offset + 1), vec![(Offset(offset), read)]).unwrap();
    }
    loading.commit(Offset(committed as i64)).unwrap();
    loading.activate(now)
}

impl Stage {
    fn new() -> Self {
        let now = Instant::from_secs(100);
        Self {
            log: Vec::new(),
            ends: Vec::new(),
            committed: 0,
            now,
            active: load(&[], 0, now),
            decisions: 0,
            left: Vec::new(),
            refused: Vec::new(),
            additions: Vec::new(),
        }
    }

    fn append(&mut self, records: Vec<Set>) {
        let base = Offset(self.log.len() as i64);
        self.log.extend(records.iter().cloned());
        self.ends.push(self.log.len());
        self.active.appended(base, records).unwrap();
    }

    /// Decides to add to a counter.
    fn add(&mut self, name: &str, amount: i64) -> usize {
        let decision = self.active.machine().add(name, amount);
        if !decision.records.is_empty() {
            self.append(decision.records);
            self.additions.push(self.log.len());
        }
        self.active.carry_out(self.now, decision.effects);
        self.active.defer(self.now, decision.after);
        let number = self.decisions;
        self.decisions += 1;
        if let Some((number, end)) = self.active.hold((number, self.log.len())) {
            assert!(end <= self.committed, "decision {number} left with nothing committed");
            self.left.push(number);
        }
        number
    }

    fn commit(&mut self, end: usize) {
        let whole = self.ends.iter().copied().filter(|batch| *batch <= end);
        self.committed = whole.max().unwrap_or(0).max(self.committed);
        let before = self.active.committed_end();
        let commit = self.active.commit(Offset(end.min(self.log.len()) as i64)).unwrap();
        let changed = self.log[before.0 as usize..self.committed].iter().map(|set| &set.name);
        assert!(commit.changes.iter().eq(changed), "each change is published once, in order");
        self.active.carry_out(self.now, commit.after);
        for (number, end) in commit.released {
            assert!(end <= self.committed, "decision {number} left before it was committed");
            self.left.push(number);
        }
    }

    /// Loses leadership; the log keeps `kept` records beyond the committed ones.
    fn resign(&mut self, kept: usize) {
        let fresh = load(&[], 0, self.now);
        let (resigned, refused) = std::mem::replace(&mut self.active, fresh).resign();
        assert_eq!(resigned.committed_end(), Offset(self.committed as i64));
        assert_eq!(resigned.machine().state(), &values(&self.log[..self.committed]));
        assert_eq!(
            resigned.machine().deadline(),
            None,
            "a machine that resigned waits for nothing"
        );
        self.refused.extend(refused.into_iter().map(|(number, _)| number));
        self.additions.clear();
        self.log.truncate(self.committed + kept);
        self.ends = (1..=self.log.len()).collect();
        let mut loading = Loading::after(resigned);
        for (offset, record) in (0..).zip(&self.log).skip(self.committed) {
            let records = vec![(Offset(offset), record.clone())];
            loading.replay(Offset(offset + 1), records).unwrap();
        }
        self.active = loading.activate(self.now);
    }

    fn expire(&mut self) {
        let decision = self.active.machine().expire(self.now, Timestamp::NONE);
        if !decision.records.is_empty() {
            self.append(decision.records);
        }
        self.active.carry_out(self.now, decision.effects);
    }

    fn check(&self) {
        assert_eq!(self.active.machine().state(), &values(&self.log));
        assert_eq!(self.active.committed(), &values(&self.log[..self.committed]));
        let settled = self.additions.iter().filter(|end| **end <= self.committed).count();
        assert_eq!(self.active.machine().settled, settled, "effects wait for their commit");
        assert!(self.left.is_sorted(), "responses left out of order: {:?}", self.left);
    }
}

#[derive(Clone, Debug)]
enum Step {
    Add(u8, i64),
    Commit(usize),
    Resign(usize),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..4u8, -3..10i64).prop_map(|(name, amount)| Step::Add(name, amount)),
        4 => (0..60usize).prop_map(Step::Commit),
        1 => (0..4usize).prop_map(Step::Resign),
        2 => (0..8u64).prop_map(Step::Wait),
    ]
}

proptest! {
    #[test]
    fn responses_leave_in_order_and_only_once_committed(
        steps in proptest::collection::vec(step(), 1..80),
    ) {
        let mut stage = Stage::new();
        // When each counter was used last, or loaded.
        let mut used: BTreeMap<String, Instant> = BTreeMap::new();
        for step in steps {
            match step {
                Step::Add(name, amount) => {
                    let name = format!("c{name}");
                    let before = stage.log.len();
                    stage.add(&name, amount);
                    if stage.log.len() > before {
                        used.insert(name, stage.now);
                    }
                }
                Step::Commit(end) => stage.commit(end),
                Step::Resign(kept) => {
                    stage.resign(kept);
                    let now = stage.now;
                    let names = stage.active.machine().state().of.keys();
                    used = names.map(|name| (name.clone(), now)).collect();
                }
                Step::Wait(seconds) => {
                    stage.now = stage.now + Duration::from_secs(seconds);
                    let now = stage.now;
                    let due = used.values().any(|used| *used + LIFETIME <= now);
                    prop_assert_eq!(stage.active.deadline().is_some_and(|at| at <= now), due);
                    stage.expire();
                    used.retain(|_, used| *used + LIFETIME > now);
                    let names = stage.active.machine().state().of.keys();
                    prop_assert!(names.eq(used.keys()), "those not used for {LIFETIME:?} are gone");
                }
            }
            stage.check();
        }
        stage.commit(usize::MAX);
        stage.check();
        let mut told: Vec<_> = stage.left.iter().chain(&stage.refused).copied().collect();
        told.sort_unstable();
        prop_assert!(told.into_iter().eq(0..stage.decisions), "each decision is answered once");
    }
}

#[test]
fn response_without_records_waits_for_what_it_saw() {
    let mut stage = Stage::new();
    stage.add("a", 3);
    let refused = stage.add("a", -5);
    assert!(stage.left.is_empty(), "the refusal rests on a value that may be lost");
    stage.commit(1);
    assert_eq!(stage.left, [0, refused]);
    stage.add("a", -9);
    assert_eq!(stage.left, [0, refused, 2], "nothing is uncommitted: it leaves at once");
}

#[test]
fn deferred_effects_of_a_resigned_machine_are_dropped() {
    let mut stage = Stage::new();
    stage.add("a", 1);
    assert_eq!(stage.active.machine().settled, 0, "not committed yet");
    stage.resign(1);
    stage.commit(1);
    assert_eq!(stage.active.machine().settled, 0, "decided by an earlier leader");
    let refused = stage.active.machine().add("a", -5).then(Effect::Settled);
    stage.active.defer(stage.now, refused.after);
    assert_eq!(stage.active.machine().settled, 1, "nothing is uncommitted: carried out at once");
}

#[test]
fn resigning_forgets_what_is_not_committed_and_refuses_its_responses() {
    let mut stage = Stage::new();
    stage.add("a", 1);
    stage.commit(1);
    stage.add("a", 1);
    stage.add("b", 1);
    let (resigned, refused) = stage.active.resign();
    assert_eq!(refused.into_iter().map(|(number, _)| number).collect::<Vec<_>>(), [1, 2]);
    let state = resigned.machine().state();
    assert_eq!((state.of.get("a"), state.of.get("b")), (Some(&1), None));
}

#[test]
fn batch_counts_as_committed_only_when_all_of_it_is() {
    let mut stage = Stage::new();
    let records = ["a", "b"].map(|name| Set { name: name.into(), value: Some(1) });
    stage.append(records.into());
    assert!(stage.active.hold((0, 2)).is_none());
    let commit = stage.active.commit(Offset(1)).unwrap();
    assert!(commit.released.is_empty() && commit.changes.is_empty());
    assert_eq!(stage.active.commit(Offset(2)).unwrap().released.len(), 1);
}

#[test]
#[should_panic(expected = "counter `a` fell to -1")]
fn decision_that_breaks_an_invariant_of_its_machine_panics() {
    let mut stage = Stage::new();
    let decision = stage.active.machine().force("a", -1);
    stage.append(decision.records);
}

#[test]
#[should_panic(expected = "appended at 0, though the log ends at 1")]
fn appending_where_the_log_does_not_end_panics() {
    let mut stage = Stage::new();
    stage.add("a", 1);
    let _ = stage.active.appended(Offset::ZERO, Vec::new());
}

#[test]
fn contradictory_record_is_an_error_and_resigning_repairs_the_state() {
    let mut loading = Loading::new(Counters::default(), Offset::ZERO);
    let record = Set { name: "a".into(), value: Some(1) };
    loading.replay(Offset(1), vec![(Offset(0), record.clone())]).unwrap();
    assert!(loading.replay(Offset(2), vec![(Offset(0), record)]).is_err());
}
