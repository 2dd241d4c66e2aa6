//! Each rule for duplicates, sequence numbers, transactions and their markers; and arbitrary sequences of
//! one producer against a naive model.

use proptest::prelude::*;

use super::*;
use crate::base::config::Compression;
use crate::base::{Offset, ProducerEpoch};
use crate::log::TransactionEnd;
use crate::wire::batch::BatchBuilder;

const ID: ProducerId = ProducerId(7);
const NOW: Timestamp = Timestamp(1000);

/// A batch of `count` records that begins with `sequence`, at the offset `base`.
fn batch(epoch: i16, sequence: i32, count: i32, base: i64) -> BatchHeader {
    header(BatchBuilder::new(Compression::None, NOW), epoch, sequence, count, base)
}

/// The same as part of a transaction.
fn transactional(epoch: i16, sequence: i32, count: i32, base: i64) -> BatchHeader {
    let builder = BatchBuilder::new(Compression::None, NOW).transactional();
    header(builder, epoch, sequence, count, base)
}

fn header(
    mut builder: BatchBuilder,
    epoch: i16,
    sequence: i32,
    count: i32,
    base: i64,
) -> BatchHeader {
    for _ in 0..count {
        builder.append(NOW, None, Some(b"v"), &[]);
    }
    let bytes = builder.finish(ID, ProducerEpoch(epoch), sequence);
    BatchHeader { base_offset: Offset(base), ..BatchHeader::parse(&bytes).unwrap() }
}

/// What is known of producers, and what is being verified.
#[derive(Default)]
struct Stage {
    producers: Producers,
    verifications: Verifications,
    flaws: Flaws,
}

impl Stage {
    fn after(batches: &[BatchHeader]) -> Self {
        let mut stage = Self::default();
        batches.iter().for_each(|header| stage.apply(header));
        stage
    }

    /// A batch is in the log.
    fn apply(&mut self, header: &BatchHeader) {
        self.producers.apply(header);
        if header.is_transactional() {
            let (producer, epoch) = (header.producer_id, header.producer_epoch);
            self.verifications.end(producer, epoch, header.is_control());
        }
    }

    fn admission(&self) -> Admission<'_> {
        let (producers, verifications) = (&self.producers, &self.verifications);
        Admission { producers, verifications, verified: true, flaws: self.flaws }
    }

    fn check(&self, batches: &[BatchHeader]) -> Result<Option<Duplicate>, AppendError> {
        self.admission().of_client(batches, Guard::NONE)
    }

    fn check_with(&self, header: BatchHeader, guard: Guard) -> Result<(), AppendError> {
        self.admission().of_client(&[header], guard).map(drop)
    }

    fn begin(&mut self, epoch: i16, sequence: i32, bumps_epoch: bool) -> Guard {
        let epoch = ProducerEpoch(epoch);
        let write = TransactionalWrite { producer: ID, epoch, sequence, bumps_epoch };
        self.verifications.begin(&write, NOW)
    }

    fn expected(&self, header: BatchHeader) -> i32 {
        match self.check(&[header]) {
            Err(AppendError::OutOfOrderSequence { expected, .. }) => expected,
            other => panic!("{other:?}"),
        }
    }

    /// A marker arrives; it is applied if it is taken.
    fn end(&mut self, epoch: i16, coordinator_epoch: i32, version: i8) -> Result<(), AppendError> {
        let end = TransactionEnd {
            producer: ID,
            producer_epoch: ProducerEpoch(epoch),
            coordinator_epoch,
            commit: true,
            version,
        };
        let bytes = end.batch(NOW);
        let header = BatchHeader::parse(&bytes).unwrap();
        self.admission().of_decided(&bytes, &[header], Guard::NONE, version)?;
        self.apply(&header);
        self.producers.note_coordinator(ID, coordinator_epoch);
        Ok(())
    }
}

fn is_fenced<T: std::fmt::Debug>(result: Result<T, AppendError>) -> bool {
    matches!(result, Err(AppendError::InvalidProducerEpoch { .. }))
}

fn is_unverified<T: std::fmt::Debug>(result: Result<T, AppendError>) -> bool {
    matches!(result, Err(AppendError::NotInTransaction { .. }))
}

#[test]
fn last_five_batches_are_duplicates_the_sixth_is_out_of_order() {
    let batches: Vec<_> = (0..6).map(|i| batch(0, i * 10, 10, 100 + i64::from(i) * 10)).collect();
    let stage = Stage::after(&batches);
    for header in &batches[1..] {
        let found = stage.check(&[*header]).unwrap().unwrap();
        assert_eq!((found.base, found.end), (header.base_offset, header.next_offset()));
    }
    assert_eq!(stage.expected(batches[0]), 60);
}

#[test]
fn gap_is_out_of_order_and_what_follows_is_welcome() {
    let stage = Stage::after(&[batch(0, 0, 10, 0)]);
    assert_eq!(stage.check(&[batch(0, 10, 1, 10)]).unwrap(), None);
    assert_eq!(stage.expected(batch(0, 11, 1, 10)), 10);
    assert_eq!(stage.expected(batch(0, 5, 5, 10)), 10, "part of an earlier batch");
}

#[test]
fn new_epoch_begins_at_zero_and_fences_the_old_one() {
    let stage = Stage::after(&[batch(3, 0, 10, 0)]);
    assert_eq!(stage.expected(batch(4, 10, 1, 10)), 0);
    assert_eq!(stage.check(&[batch(4, 0, 1, 10)]).unwrap(), None);
    assert!(is_fenced(stage.check(&[batch(2, 10, 1, 10)])));
    let next = Stage::after(&[batch(3, 0, 10, 0), batch(4, 0, 1, 10)]);
    assert!(is_fenced(next.check(&[batch(3, 0, 10, 0)])), "not taken for a duplicate");
}

#[test]
fn unknown_producer_may_begin_anywhere() {
    assert_eq!(Stage::default().check(&[batch(5, 123, 1, 0)]).unwrap(), None);
}

#[test]
fn after_the_largest_sequence_number_comes_zero() {
    let stage = Stage::after(&[batch(0, i32::MAX - 4, 5, 0)]);
    assert_eq!(stage.check(&[batch(0, 0, 1, 5)]).unwrap(), None);
    let across = Stage::after(&[batch(0, i32::MAX - 1, 5, 0)]);
    assert_eq!(across.check(&[batch(0, 3, 1, 5)]).unwrap(), None);
    assert!(across.check(&[batch(0, i32::MAX - 1, 5, 5)]).unwrap().is_some());
}

#[test]
fn batches_of_one_append_follow_each_other() {
    let stage = Stage::default();
    let (first, second) = (batch(0, 0, 2, 0), batch(0, 2, 2, 2));
    assert_eq!(stage.check(&[first, second]).unwrap(), None);
    assert!(stage.check(&[first, batch(0, 3, 2, 2)]).is_err());
}

#[test]
fn first_batch_of_a_transaction_needs_its_guard_and_the_next_ones_do_not() {
    let mut stage = Stage::default();
    let first = transactional(0, 0, 1, 0);
    assert!(is_unverified(stage.check(&[first])));
    let guard = stage.begin(0, 0, false);
    assert!(is_unverified(stage.check(&[first])), "begun, and not verified");
    stage.check_with(first, guard).unwrap();
    stage.apply(&first);
    assert_eq!(stage.check(&[transactional(0, 1, 1, 1)]).unwrap(), None);
    assert!(stage.check(&[first]).unwrap().is_some(), "a duplicate needs no guard");
}

#[test]
fn verified_batch_that_comes_after_the_marker_is_refused() {
    let mut stage = Stage::default();
    let guard = stage.begin(0, 0, false);
    stage.end(0, 1, 1).unwrap();
    assert!(is_unverified(stage.check_with(transactional(0, 0, 1, 0), guard)));
    let next = stage.begin(0, 0, false);
    assert!(is_unverified(stage.check_with(transactional(0, 0, 1, 0), guard)), "an earlier one");
    stage.check_with(transactional(0, 0, 1, 0), next).unwrap();
}

#[test]
fn fenced_producer_is_told_so_before_it_is_told_of_its_transaction() {
    let stage = Stage::after(&[batch(3, 0, 1, 0)]);
    assert!(is_fenced(stage.check(&[transactional(2, 0, 1, 1)])));
    assert!(is_unverified(stage.check(&[transactional(3, 1, 1, 1)])));
}

#[test]
fn batch_outside_of_an_open_transaction_is_refused() {
    let mut stage = Stage::after(&[transactional(0, 0, 1, 0)]);
    let outside = stage.check(&[batch(0, 1, 1, 1)]);
    assert!(matches!(outside, Err(AppendError::OutsideTransaction { .. })), "{outside:?}");
    stage.end(0, 1, 1).unwrap();
    assert_eq!(stage.check(&[batch(0, 1, 1, 1)]).unwrap(), None);
}

#[test]
fn higher_sequence_waits_for_the_lowest_that_is_being_verified() {
    let mut stage = Stage::default();
    let guard = stage.begin(0, 0, false);
    stage.begin(0, 5, false);
    let ahead = stage.check_with(transactional(0, 5, 1, 0), guard);
    assert!(matches!(ahead, Err(AppendError::OutOfOrderSequence { expected: 0, found: 5, .. })));
    stage.check_with(transactional(0, 0, 5, 0), guard).unwrap();
}

#[test]
fn transaction_with_an_epoch_of_its_own_begins_at_zero() {
    let mut stage = Stage::default();
    let guard = stage.begin(4, 3, true);
    let later = stage.check_with(transactional(4, 3, 1, 0), guard);
    assert!(matches!(later, Err(AppendError::OutOfOrderSequence { expected: 0, found: 3, .. })));
    // Version 1 keeps its epoch, so the batches before may be gone by retention.
    let mut stage = Stage::default();
    let guard = stage.begin(4, 3, false);
    stage.check_with(transactional(4, 3, 1, 0), guard).unwrap();
}

#[test]
fn marker_of_version_2_raises_the_epoch_and_fences_what_it_ended() {
    let mut stage = Stage::after(&[transactional(4, 0, 3, 0)]);
    stage.end(5, 1, 2).unwrap();
    let known = stage.producers.get(ID).unwrap();
    assert_eq!((known.epoch, known.transaction_start), (ProducerEpoch(5), None));
    assert!(known.batches.is_empty());
    assert!(is_fenced(stage.check(&[transactional(4, 3, 1, 4)])), "late");
    let guard = stage.begin(5, 0, true);
    stage.check_with(transactional(5, 0, 1, 4), guard).unwrap();
}

#[test]
fn late_marker_of_version_2_does_not_end_the_next_transaction() {
    let mut stage = Stage::after(&[transactional(5, 0, 1, 0)]);
    assert!(is_fenced(stage.end(5, 1, 2)), "of the transaction before");
    assert!(is_fenced(stage.end(4, 1, 2)));
    stage.end(6, 1, 2).unwrap();
    let mut flawed = Stage::after(&[transactional(5, 0, 1, 0)]);
    flawed.flaws = Flaws::only(Flaw::LateMarkerOfAnEarlierTransaction);
    flawed.end(5, 1, 2).unwrap();
    assert_eq!(flawed.producers.first_open_transaction(), None, "torn");
}

#[test]
fn marker_of_version_2_may_be_written_again() {
    let mut stage = Stage::after(&[transactional(4, 0, 1, 0)]);
    stage.end(5, 1, 2).unwrap();
    stage.end(5, 2, 2).unwrap();
    stage.flaws = Flaws::only(Flaw::StrictMarker);
    assert!(is_fenced(stage.end(5, 2, 2)));
}

#[test]
fn marker_of_version_1_has_the_epoch_of_its_batches() {
    let mut stage = Stage::after(&[transactional(4, 0, 1, 0)]);
    assert!(is_fenced(stage.end(3, 1, 1)));
    stage.end(4, 1, 1).unwrap();
    stage.end(4, 1, 1).unwrap();
    let fenced = stage.end(4, 0, 1);
    assert!(matches!(fenced, Err(AppendError::CoordinatorFenced { current: 1, found: 0, .. })));
}

#[test]
fn unverified_transactions_are_taken_with_the_flaw() {
    let flaws = Flaws::only(Flaw::UnverifiedTransaction);
    let mut stage = Stage { flaws, ..Stage::default() };
    stage.end(0, 1, 1).unwrap();
    stage.check(&[transactional(0, 0, 1, 0)]).unwrap();
}

#[test]
fn idle_producer_expires_unless_its_transaction_is_open() {
    let second = std::time::Duration::from_secs(1);
    let mut producers = Stage::after(&[batch(0, 0, 1, 0)]).producers;
    assert_eq!(producers.longest_silent(), Some(NOW));
    producers.expire(Timestamp(1999), second);
    assert!(producers.get(ID).is_some());
    producers.expire(Timestamp(2000), second);
    assert!(producers.get(ID).is_none());
    let mut open = Stage::after(&[transactional(0, 0, 1, 0)]).producers;
    assert_eq!(open.longest_silent(), None);
    open.expire(Timestamp(9000), second);
    assert!(open.get(ID).is_some());
}

#[derive(Clone, Debug)]
enum Step {
    /// A batch, verified first if `verified`.
    Send { epoch: i16, sequence: i32, count: i32, in_transaction: bool, verified: bool },
    /// A marker, `ahead` epochs above the producer's.
    End { ahead: i16, coordinator: i32, version: i8 },
}

fn step() -> impl Strategy<Value = Step> {
    // Close to where sequence numbers begin again.
    let sequence = prop_oneof![0..6i32, i32::MAX - 5..=i32::MAX];
    let send = (0..3i16, sequence, 1..4i32, any::<bool>(), any::<bool>());
    prop_oneof![
        5 => send.prop_map(|(epoch, sequence, count, in_transaction, verified)| {
            Step::Send { epoch, sequence, count, in_transaction, verified }
        }),
        2 => (-1..2i16, 0..3i32, 1..=2i8).prop_map(|(ahead, coordinator, version)| {
            Step::End { ahead, coordinator, version }
        }),
    ]
}

/// What one producer may do, from all batches in the log.
#[derive(Default)]
struct Model {
    epoch: i16,
    /// First and last sequence number of each batch in this epoch.
    batches: Vec<(i32, i32)>,
    known: bool,
    open: bool,
    coordinator: i32,
}

impl Model {
    fn next(&self) -> i32 {
        let last = self.batches.last();
        last.map_or(0, |(_, last)| if *last == i32::MAX { 0 } else { last + 1 })
    }
}

proptest! {
    #[test]
    fn whatever_a_producer_sends_its_log_has_every_sequence_once_and_in_order(
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let (mut stage, mut model) = (Stage::default(), Model::default());
        let mut next = 0;
        for step in steps {
            match step {
                Step::Send { epoch, sequence, count, in_transaction, verified } => {
                    let header = match in_transaction {
                        true => transactional(epoch, sequence, count, next),
                        false => batch(epoch, sequence, count, next),
                    };
                    let last = header.last_sequence();
                    let ongoing = model.open && epoch == model.epoch;
                    let guard = match verified && in_transaction && !ongoing && epoch >= model.epoch {
                        true => stage.begin(epoch, sequence, false),
                        false => Guard::NONE,
                    };
                    // Before the sequence, so that the lowest one counts.
                    let lowest = stage.verifications.get(ID).map(|of| of.lowest_sequence());
                    let result = stage.admission().of_client(&[header], guard);
                    let remembered = model.batches.iter().rev().take(REMEMBERED);
                    let is_duplicate = model.known && epoch == model.epoch
                        && remembered.clone().any(|of| *of == (sequence, last));
                    let in_order = !model.known || if epoch == model.epoch {
                        sequence == model.next()
                    } else {
                        sequence == 0
                    };
                    let is_taken = !is_duplicate
                        && (!model.known || epoch >= model.epoch)
                        && (!in_transaction || ongoing || guard != Guard::NONE)
                        && lowest.is_none_or(|lowest| sequence <= lowest)
                        && in_order
                        && (in_transaction || !model.open);
                    prop_assert_eq!(matches!(result, Ok(Some(_))), is_duplicate);
                    prop_assert_eq!(matches!(result, Ok(None)), is_taken, "{:?}", result);
                    if is_taken {
                        if !model.known || epoch != model.epoch {
                            model.batches.clear();
                        }
                        (model.known, model.epoch) = (true, epoch);
                        model.batches.push((sequence, last));
                        model.open |= in_transaction;
                        next += i64::from(count);
                        stage.apply(&header);
                    }
                }
                Step::End { ahead, coordinator, version } => {
                    let epoch = (model.epoch + ahead).max(0);
                    let result = stage.end(epoch, coordinator, version);
                    let repeats = epoch == model.epoch && !model.open;
                    let is_taken = !model.known || (coordinator >= model.coordinator
                        && (epoch > model.epoch || version < 2 && epoch == model.epoch || repeats));
                    prop_assert_eq!(result.is_ok(), is_taken, "{:?}", result);
                    if is_taken {
                        if epoch != model.epoch || !model.known {
                            model.batches.clear();
                        }
                        model.coordinator = model.coordinator.max(coordinator);
                        (model.known, model.open, model.epoch) = (true, false, epoch);
                    }
                }
            }
            let known = stage.producers.get(ID);
            prop_assert_eq!(known.is_some(), model.known);
            if let Some(known) = known {
                prop_assert_eq!(known.epoch.0, model.epoch);
                prop_assert_eq!(known.transaction_start.is_some(), model.open);
            }
            stage.verifications.check();
        }
    }
}
