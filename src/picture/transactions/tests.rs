//! Transactions put together from entries as brokers and clients leave them.

use super::*;

pub(in crate::picture) const P1: HostId = HostId(11);
pub(in crate::picture) const P2: HostId = HostId(12);
pub(in crate::picture) const LEADER: HostId = HostId(1);
pub(in crate::picture) const COORDINATOR: HostId = HostId(2);

pub(in crate::picture) fn orders(number: i32) -> TopicPartition {
    TopicPartition::new("orders", number)
}

/// A ledger that gets an entry each second.
#[derive(Default)]
pub(in crate::picture) struct Story(Ledger, u64);

impl Story {
    fn add(&mut self, host: HostId, fact: Fact) {
        self.1 += 1;
        self.0.add(Instant::from_secs(self.1), host, fact);
    }

    pub(in crate::picture) fn says(&mut self, host: HostId, event: TransactionEvent) {
        self.add(host, Fact::Said(event));
    }

    /// A producer gets an epoch of `till` and begins a transaction.
    pub(in crate::picture) fn begins(&mut self, host: HostId, producer: u32, epoch: i16, txn: u64) {
        let transactional_id = Some("till".into());
        let (id, epoch) = (ProducerId(7), ProducerEpoch(epoch));
        self.says(host, TransactionEvent::Identified { producer, transactional_id, id, epoch });
        self.says(host, TransactionEvent::Began { producer, txn });
    }

    pub(in crate::picture) fn sends(&mut self, host: HostId, producer: u32, txn: u64) {
        self.add(host, Fact::Sent { producer, txn });
    }

    pub(in crate::picture) fn stored(&mut self, epoch: i16, state: TransactionState) {
        let (id, producer, epoch) = ("till".into(), ProducerId(7), ProducerEpoch(epoch));
        let partitions = Vec::new();
        self.add(COORDINATOR, Fact::Stored { id, producer, epoch, state, partitions });
    }

    pub(in crate::picture) fn wrote(&mut self, number: i32, epoch: i16, base: i64) {
        let (producer, epoch) = (ProducerId(7), ProducerEpoch(epoch));
        let (partition, base) = (orders(number), Offset(base));
        self.add(LEADER, Fact::Wrote { partition, producer, epoch, base });
    }

    pub(in crate::picture) fn marked(&mut self, number: i32, commit: bool, offset: i64) {
        let (partition, producer, offset) = (orders(number), ProducerId(7), Offset(offset));
        self.add(LEADER, Fact::Marked { partition, producer, commit, offset });
    }

    /// P1 has written to two partitions.
    fn written() -> Self {
        let mut story = Self::default();
        story.begins(P1, 1, 3, 5);
        story.sends(P1, 1, 5);
        story.sends(P1, 1, 5);
        story.stored(3, TransactionState::Ongoing);
        story.wrote(0, 3, 10);
        story.wrote(1, 3, 20);
        story
    }

    /// Its coordinator has decided to commit.
    pub(in crate::picture) fn committing() -> Self {
        let mut story = Self::written();
        story.says(P1, TransactionEvent::Ending { producer: 1, txn: 5, commit: true });
        // In version 2 of the protocol the epoch rises with the decision.
        story.stored(4, TransactionState::PrepareCommit);
        story
    }

    /// It is aborted, and one partition has no marker.
    pub(in crate::picture) fn hanging() -> Self {
        let mut story = Self::written();
        story.stored(4, TransactionState::PrepareAbort);
        story.marked(0, false, 11);
        story.stored(4, TransactionState::CompleteAbort);
        story
    }

    /// P2 takes the place of P1, which is told so.
    pub(in crate::picture) fn succeeded(&mut self) {
        self.begins(P2, 2, 5, 1);
        let outcome = Ended::Fenced { error: "PRODUCER_FENCED".into() };
        self.says(P1, TransactionEvent::Ended { producer: 1, txn: 5, outcome });
    }

    pub(in crate::picture) fn ledger(self) -> Ledger {
        self.0
    }

    fn found(&self) -> Transactions {
        Transactions::of(&self.0, &[])
    }
}

#[test]
fn committed_transaction_has_its_decision_and_a_marker_in_each_partition() {
    let mut story = Story::committing();
    story.marked(0, true, 12);
    story.marked(1, true, 21);
    story.stored(4, TransactionState::CompleteCommit);
    story.says(P1, TransactionEvent::Ended { producer: 1, txn: 5, outcome: Ended::Committed });
    let found = story.found();
    let [txn] = &found.all[..] else { panic!("{found:?}") };
    assert_eq!((txn.client, txn.host, txn.records), (Some((1, 5)), Some(P1), 2));
    assert_eq!((txn.fate(), txn.epoch), (Fate::Committed, ProducerEpoch(3)));
    assert_eq!(txn.decided.map(|one| (one.host, one.commit)), Some((COORDINATOR, true)));
    assert!(txn.completed.unwrap().at > txn.decided.unwrap().at);
    let parts: Vec<_> =
        txn.parts.iter().map(|part| (part.partition.clone(), part.first.unwrap().2)).collect();
    assert_eq!(parts, [(orders(0), Offset(10)), (orders(1), Offset(20))]);
    assert!(txn.parts.iter().all(|part| part.marker.is_some_and(|marker| marker.commit)));
    assert_eq!(found.at(&orders(0), Offset(11)), Some(0));
    assert_eq!(found.ended_at(&orders(1), Offset(21)), Some(0));
    assert_eq!(txn.until(Instant::from_secs(99)), txn.told.as_ref().unwrap().0);
}

#[test]
fn transaction_of_a_fenced_producer_is_aborted_by_its_successor() {
    let mut story = Story::default();
    story.begins(P1, 1, 3, 5);
    story.stored(3, TransactionState::Ongoing);
    story.wrote(0, 3, 10);
    story.stored(4, TransactionState::PrepareAbort);
    story.marked(0, false, 11);
    story.stored(4, TransactionState::CompleteAbort);
    story.succeeded();
    let found = story.found();
    assert_eq!((found.all.len(), found.identified.len()), (2, 2));
    let zombie = &found.all[0];
    assert!(zombie.is_fenced());
    assert_eq!((zombie.fate(), zombie.asked), (Fate::Aborted, None));
    assert_eq!(found.of_client(2, 1), Some(1));
    assert_eq!(found.all[1].fate(), Fate::Open);
}

#[test]
fn partition_without_a_marker_hangs_until_the_end() {
    let found = Story::hanging().found();
    let hangs: Vec<_> = found.all[0].parts.iter().map(Part::hangs).collect();
    assert_eq!(hangs, [false, true]);
    let end = Instant::from_secs(99);
    assert_eq!(found.all[0].until(end), end);
    assert_eq!(found.beginning_at(&orders(1), ProducerId(7), Offset(20)), Some(0));
    assert_eq!(found.beginning_at(&orders(1), ProducerId(8), Offset(20)), None);
}

#[test]
fn records_that_were_cut_off_are_lost_and_do_not_hang() {
    let mut story = Story::default();
    story.begins(P1, 1, 3, 5);
    story.wrote(0, 3, 10);
    story.add(LEADER, Fact::Cut { partition: orders(0), end: Offset(9) });
    let found = story.found();
    let part = &found.all[0].parts[0];
    assert!(part.lost.is_some() && !part.hangs());
    let mut story = Story::default();
    story.begins(P1, 1, 3, 5);
    story.wrote(0, 3, 10);
    story.add(LEADER, Fact::Cut { partition: orders(0), end: Offset(11) });
    assert!(story.found().all[0].parts[0].hangs(), "the first record is still there");
}

#[test]
fn transaction_that_no_client_reported_is_known_by_its_records() {
    let mut story = Story::default();
    story.stored(0, TransactionState::Empty);
    story.wrote(0, 0, 10);
    let found = story.found();
    let [txn] = &found.all[..] else { panic!("{found:?}") };
    assert_eq!((txn.client, txn.id.as_deref()), (None, Some("till")));
    assert!(txn.parts[0].hangs());
}

#[test]
fn producer_whose_process_ended_is_told_nothing() {
    let mut story = Story::default();
    story.begins(P1, 1, 3, 5);
    story.add(P1, Fact::Ended);
    story.begins(P1, 1, 4, 6);
    let found = story.found();
    assert!(found.all[0].orphaned.is_some() && found.all[1].orphaned.is_none());
}
