//! The logs of a node of Apache Kafka 4.3.1, loaded by a group and by a transaction coordinator.
//! `sims/fixtures/kafka/README.md` says how it was recorded.

use super::*;
use crate::base::{Flaws, LeaderEpoch, ProducerEpoch, ProducerId, Seed};
use crate::decide::Machine;
use crate::group::{GroupCoordinator, GroupSettings};
use crate::txn::{Outgoing, TransactionState, TxnCoordinator, TxnSettings};
use crate::wire::messages::message;
use crate::wire::messages::offset_fetch_request::OffsetFetchRequestGroup;

const LOG: &[u8] = include_bytes!(
    "../../../../sims/fixtures/kafka/data/__consumer_offsets-0/00000000000000000000.log"
);
const TRANSACTIONS: &[u8] = include_bytes!(
    "../../../../sims/fixtures/kafka/data/__transaction_state-0/00000000000000000000.log"
);

/// A log up to this offset, all of it committed.
fn recorded(bytes: &[u8], end: i64) -> MemoryLog {
    let log = MemoryLog::new();
    let mut memory = log.0.0.lock();
    for found in batch::batches(bytes) {
        let (header, bytes) = found.unwrap();
        if header.next_offset().0 <= end {
            memory.batches.push(Bytes::copy_from_slice(bytes));
            memory.end = header.next_offset();
        }
    }
    memory.committed = memory.end;
    drop(memory);
    log
}

/// Whether `shop-eos` has an offset, in a transaction or committed, and what it has committed.
async fn committed(log: MemoryLog) -> (bool, Vec<i64>) {
    let world = SetWorld::new();
    let hosted = Hosted::new(world.clone(), log);
    let random = Seed(1).stream(Stream::named("coordinator"));
    let settings = GroupSettings { flaws: Flaws::default(), ..GroupSettings::default() };
    let machine = GroupCoordinator::new(0, settings, Arc::default(), random);
    let Ok(loading) = hosted.load(machine).await else { panic!("the log can't be loaded") };
    hosted.activate(loading, world.now());
    let asked = message!(OffsetFetchRequestGroup { group_id: "shop-eos".into(), topics: None });
    let read = hosted.read(|groups| {
        (groups.offsets().has_group("shop-eos"), groups.fetch_offsets(true, &asked))
    });
    let (known, fetched) = read.unwrap();
    let partitions = fetched.topics.into_iter().flat_map(|topic| topic.partitions);
    (known, partitions.map(|told| told.committed_offset).collect())
}

#[tokio::test]
async fn transaction_in_kafkas_log_counts_from_its_marker_on() {
    let at_marker = batch::batches(LOG).find_map(|found| {
        let (header, _) = found.unwrap();
        header.is_control().then_some(header.base_offset.0)
    });
    let marker = at_marker.expect("a transaction was recorded");
    assert_eq!(committed(recorded(LOG, marker)).await, (true, vec![]));
    assert_eq!(committed(recorded(LOG, marker + 1)).await, (true, vec![7]));
    assert_eq!(committed(recorded(LOG, i64::MAX)).await, (true, vec![7]));
}

/// What a coordinator has of each transactional id, and the ids whose markers it sends.
async fn transactions(
    end: i64,
) -> (Vec<(String, ProducerId, ProducerEpoch, TransactionState)>, Vec<String>) {
    let world = SetWorld::new();
    let hosted = Hosted::new(world.clone(), recorded(TRANSACTIONS, end));
    let (outgoing, mut asked) = tokio::sync::mpsc::unbounded_channel();
    let machine = TxnCoordinator::new((0, LeaderEpoch(1)), TxnSettings::default(), outgoing);
    let Ok(loading) = hosted.load(machine).await else { panic!("the log can't be loaded") };
    hosted.activate(loading, world.now());
    hosted.decide_unwatched(|machine, now, _| machine.expire(now, world.wall_clock())).unwrap();
    let read = hosted.read(|transactions| {
        assert_eq!(transactions.iter().count(), transactions.transactions().count(), "offline");
        let of = transactions.transactions().map(|(id, transaction)| {
            (id.to_string(), transaction.producer, transaction.epoch, transaction.state)
        });
        of.collect()
    });
    let mut resumed = Vec::new();
    while let Ok(outgoing) = asked.try_recv() {
        if let Outgoing::Markers(markers) = outgoing {
            resumed.push(markers.id.to_string());
        }
    }
    (read.unwrap(), resumed)
}

#[tokio::test]
async fn transactions_in_kafkas_log_have_the_states_that_kafka_stored() {
    use TransactionState::{CompleteCommit, Ongoing};
    let row = |id: &str, producer, epoch, state| {
        (id.to_owned(), ProducerId(producer), ProducerEpoch(epoch), state)
    };
    let (found, resumed) = transactions(i64::MAX).await;
    let expected = [
        row("till-a", 5, 3, CompleteCommit),
        row("till-b", 6, 2, CompleteCommit),
        row("till-offsets", 10, 1, CompleteCommit),
        row("till-open", 7, 0, Ongoing),
    ];
    assert_eq!((found, resumed), (expected.into(), Vec::new()));
}

/// Kafka's coordinator ends at the 12th record: both outcomes are stored, and no completion is.
#[tokio::test]
async fn outcomes_in_kafkas_log_are_completed_by_this_coordinator() {
    use TransactionState::{PrepareAbort, PrepareCommit};
    let (found, resumed) = transactions(12).await;
    let states: Vec<_> = found.iter().map(|(id, _, _, state)| (id.as_str(), *state)).collect();
    assert_eq!(states, [("till-a", PrepareCommit), ("till-b", PrepareAbort)]);
    assert_eq!(resumed, ["till-a", "till-b"]);
}
