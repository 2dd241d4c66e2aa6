//! Verification of transactions (KIP-890): before the first batch of a transaction is appended, its
//! coordinator is asked whether this partition belongs to it. Pure.
//!
//! A verification has a guard, and the append presents it. Whatever is appended for the transaction
//! meanwhile, a batch or the marker that ends it, takes the verification away, and the next one has
//! another guard. So a late answer of the coordinator never lets a batch into a log after its
//! transaction has ended: it would leave a transaction open that nothing ends.
//!
//! Source: Kafka's `VerificationStateEntry` and `VerificationGuard`.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::base::{ProducerEpoch, ProducerId, Timestamp};

/// Identifies one verification of one log. No two verifications of a log have the same guard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Guard(u64);

impl Guard {
    /// The guard of a batch that was not verified: it passes no verification.
    pub const NONE: Self = Self(0);
}

/// A batch that may be the first of a producer's transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransactionalWrite {
    /// The producer.
    pub producer: ProducerId,
    /// Its epoch.
    pub epoch: ProducerEpoch,
    /// The sequence number of the first record; -1 for the offsets of a group.
    pub sequence: i32,
    /// Transaction version 2: the producer has a new epoch for each transaction.
    pub bumps_epoch: bool,
}

/// A verification that has begun, and whose batch is not appended yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Verification {
    guard: Guard,
    began: Timestamp,
    epoch: ProducerEpoch,
    lowest_sequence: i32,
    bumps_epoch: bool,
}

impl Verification {
    /// The lowest sequence number that was to be verified. A higher one must not be appended before
    /// it: after a failed verification the lower one is retried, and would be out of order for ever.
    pub(crate) fn lowest_sequence(&self) -> i32 {
        self.lowest_sequence
    }

    /// Whether it was begun under transaction version 2.
    pub(crate) fn bumps_epoch(&self) -> bool {
        self.bumps_epoch
    }

    /// Another batch of the same producer is to be verified. A higher epoch begins its sequence
    /// numbers again.
    fn note(&mut self, write: &TransactionalWrite) {
        if write.epoch > self.epoch {
            (self.epoch, self.lowest_sequence) = (write.epoch, write.sequence);
        } else if write.epoch == self.epoch {
            self.lowest_sequence = self.lowest_sequence.min(write.sequence);
        }
    }
}

/// The verifications of one log, at most one for each producer.
#[derive(Debug, Default)]
pub(crate) struct Verifications {
    pending: BTreeMap<ProducerId, Verification>,
    /// How many guards were given.
    given: u64,
}

impl Verifications {
    /// Begins a verification, or joins the one that the producer has already.
    pub(crate) fn begin(&mut self, write: &TransactionalWrite, now: Timestamp) -> Guard {
        let given = &mut self.given;
        let verification = self.pending.entry(write.producer).or_insert_with(|| {
            *given += 1;
            Verification {
                guard: Guard(*given),
                began: now,
                epoch: write.epoch,
                lowest_sequence: write.sequence,
                bumps_epoch: write.bumps_epoch,
            }
        });
        verification.note(write);
        verification.guard
    }

    /// The verification of a producer.
    pub(crate) fn get(&self, producer: ProducerId) -> Option<&Verification> {
        self.pending.get(&producer)
    }

    /// Whether a batch with this guard may begin a transaction of the producer.
    pub(crate) fn passes(&self, producer: ProducerId, guard: Guard) -> bool {
        guard != Guard::NONE && self.get(producer).is_some_and(|of| of.guard == guard)
    }

    /// A batch or a marker of the producer's transaction is in the log. In version 2, the marker that
    /// ends a transaction has the epoch of the next one, which may be verified already: Kafka ends
    /// that verification too, and answers INVALID_TXN_STATE to a client that was quick.
    pub(crate) fn end(&mut self, producer: ProducerId, epoch: ProducerEpoch, is_marker: bool) {
        let of_next = |of: &Verification| is_marker && of.bumps_epoch && of.epoch == epoch;
        if !self.pending.get(&producer).is_some_and(of_next) {
            self.pending.remove(&producer);
        }
    }

    /// Ends all: this log has another leader, or is led in another epoch.
    pub(crate) fn clear(&mut self) {
        self.pending.clear();
    }

    /// Forgets verifications that began `after` ago. Kafka removes them with expired producers.
    pub(crate) fn expire(&mut self, now: Timestamp, after: Duration) {
        self.pending.retain(|_, of| !is_past(of.began, now, after));
    }

    /// When the oldest of them began.
    pub(crate) fn oldest(&self) -> Option<Timestamp> {
        self.pending.values().map(|of| of.began).min()
    }

    /// Asserts what must hold after each step.
    pub(crate) fn check(&self) {
        let mut guards: Vec<_> = self.pending.values().map(|of| of.guard).collect();
        let count = guards.len();
        guards.sort_unstable();
        guards.dedup();
        assert!(guards.len() == count, "two verifications have the same guard: {guards:?}");
        for (producer, of) in &self.pending {
            let given = self.given;
            assert!(
                of.guard != Guard::NONE && of.guard.0 <= given,
                "the verification of producer {producer} has guard {:?}, {given} were given",
                of.guard
            );
        }
    }
}

/// Whether `after` or more has passed since `since`.
pub(crate) fn is_past(since: Timestamp, now: Timestamp, after: Duration) -> bool {
    let silent = i128::from(now.0) - i128::from(since.0);
    u128::try_from(silent).is_ok_and(|silent| silent >= after.as_millis())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn write(producer: i64, epoch: i16, sequence: i32) -> TransactionalWrite {
        let (producer, epoch) = (ProducerId(producer), ProducerEpoch(epoch));
        TransactionalWrite { producer, epoch, sequence, bumps_epoch: false }
    }

    const NOW: Timestamp = Timestamp(1000);

    #[test]
    fn guard_passes_until_the_transaction_has_a_batch_or_a_marker() {
        let mut verifications = Verifications::default();
        let guard = verifications.begin(&write(7, 0, 0), NOW);
        assert!(verifications.passes(ProducerId(7), guard));
        assert!(!verifications.passes(ProducerId(8), guard), "another producer");
        assert!(!verifications.passes(ProducerId(7), Guard::NONE));
        verifications.end(ProducerId(7), ProducerEpoch(0), false);
        assert!(!verifications.passes(ProducerId(7), guard));
        let next = verifications.begin(&write(7, 0, 5), NOW);
        assert!(next != guard && !verifications.passes(ProducerId(7), guard), "an earlier answer");
    }

    #[test]
    fn marker_ends_the_verification_of_its_transaction_and_not_of_the_next_one() {
        let mut verifications = Verifications::default();
        let next = TransactionalWrite { bumps_epoch: true, ..write(7, 5, 0) };
        let guard = verifications.begin(&next, NOW);
        // Of the transaction in epoch 4: the marker has the epoch that follows it.
        verifications.end(ProducerId(7), ProducerEpoch(5), true);
        assert!(verifications.passes(ProducerId(7), guard));
        verifications.end(ProducerId(7), ProducerEpoch(6), true);
        assert!(!verifications.passes(ProducerId(7), guard), "its own");
        let guard = verifications.begin(&write(7, 6, 0), NOW);
        verifications.end(ProducerId(7), ProducerEpoch(6), true);
        assert!(!verifications.passes(ProducerId(7), guard), "in version 1, an epoch has them all");
    }

    #[test]
    fn batches_of_one_producer_share_a_verification_and_its_lowest_sequence() {
        let mut verifications = Verifications::default();
        let guard = verifications.begin(&write(7, 1, 5), NOW);
        let lowest = |of: &Verifications| of.get(ProducerId(7)).unwrap().lowest_sequence();
        assert_eq!(verifications.begin(&write(7, 1, 9), NOW), guard);
        assert_eq!(lowest(&verifications), 5);
        verifications.begin(&write(7, 1, 2), NOW);
        assert_eq!(lowest(&verifications), 2);
        verifications.begin(&write(7, 0, 0), NOW);
        assert_eq!(lowest(&verifications), 2, "of an older epoch");
        verifications.begin(&write(7, 2, 3), NOW);
        assert_eq!(lowest(&verifications), 3, "of a newer one, which begins again");
    }

    #[test]
    fn verification_without_an_end_expires() {
        let mut verifications = Verifications::default();
        let guard = verifications.begin(&write(7, 0, 0), NOW);
        verifications.expire(Timestamp(1999), Duration::from_secs(1));
        assert!(verifications.passes(ProducerId(7), guard));
        verifications.expire(Timestamp(2000), Duration::from_secs(1));
        assert!(!verifications.passes(ProducerId(7), guard));
        assert_eq!(verifications.oldest(), None);
    }

    #[derive(Clone, Debug)]
    enum Step {
        Begin { producer: i64, epoch: i16, sequence: i32 },
        End { producer: i64 },
        Clear,
        Expire { at: i64 },
    }

    fn step() -> impl Strategy<Value = Step> {
        let begin = (0..3i64, 0..3i16, 0..9i32);
        prop_oneof![
            4 => begin.prop_map(|(producer, epoch, sequence)| {
                Step::Begin { producer, epoch, sequence }
            }),
            3 => (0..3i64).prop_map(|producer| Step::End { producer }),
            1 => Just(Step::Clear),
            1 => (0..40i64).prop_map(|at| Step::Expire { at }),
        ]
    }

    proptest! {
        /// The property that prevents hanging transactions: once a verification has ended, for
        /// whatever reason, no later one makes its guard pass again.
        #[test]
        fn guard_of_a_verification_that_ended_never_passes_again(
            steps in prop::collection::vec(step(), 1..60),
        ) {
            let mut verifications = Verifications::default();
            let (mut ended, mut current) = (BTreeSet::new(), BTreeMap::new());
            for (time, step) in steps.into_iter().enumerate() {
                let now = Timestamp(time as i64);
                match step {
                    Step::Begin { producer, epoch, sequence } => {
                        let guard = verifications.begin(&write(producer, epoch, sequence), now);
                        prop_assert!(!ended.contains(&(producer, guard)));
                        if let Some(before) = current.insert(producer, guard) {
                            prop_assert_eq!(before, guard, "joined");
                        }
                        prop_assert!(verifications.passes(ProducerId(producer), guard));
                    }
                    Step::End { producer } => {
                        verifications.end(ProducerId(producer), ProducerEpoch(i16::MAX), false);
                        ended.extend(current.remove(&producer).map(|guard| (producer, guard)));
                    }
                    Step::Clear => {
                        verifications.clear();
                        ended.extend(std::mem::take(&mut current));
                    }
                    Step::Expire { at } => {
                        verifications.expire(Timestamp(at), Duration::from_millis(10));
                        for (producer, guard) in std::mem::take(&mut current) {
                            match verifications.passes(ProducerId(producer), guard) {
                                true => drop(current.insert(producer, guard)),
                                false => drop(ended.insert((producer, guard))),
                            }
                        }
                    }
                }
                verifications.check();
                for (producer, guard) in &ended {
                    prop_assert!(!verifications.passes(ProducerId(*producer), *guard));
                }
            }
        }
    }
}
