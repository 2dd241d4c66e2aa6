//! The log of a node of Apache Kafka 4.3.1, loaded by a group coordinator.
//! `sims/fixtures/kafka/README.md` says how it was recorded.

use super::*;
use crate::base::{Flaws, Seed};
use crate::group::{GroupCoordinator, GroupSettings};
use crate::wire::messages::message;
use crate::wire::messages::offset_fetch_request::OffsetFetchRequestGroup;

const LOG: &[u8] = include_bytes!(
    "../../../../sims/fixtures/kafka/data/__consumer_offsets-0/00000000000000000000.log"
);

/// The log up to this offset, all of it committed.
fn recorded(end: i64) -> MemoryLog {
    let log = MemoryLog::new();
    let mut memory = log.0.0.lock();
    for found in batch::batches(LOG) {
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
    assert_eq!(committed(recorded(marker)).await, (true, vec![]));
    assert_eq!(committed(recorded(marker + 1)).await, (true, vec![7]));
    assert_eq!(committed(recorded(i64::MAX)).await, (true, vec![7]));
}
