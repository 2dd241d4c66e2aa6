//! `latest-value-survives`: a leader of a compacted topic has, of each key, the last committed record
//! or a later one.
//!
//! Each replica compacts its own log, so `leader-completeness` can't compare batches below a cleaned
//! point. This invariant compares records: it keeps, from the bytes that leaders exposed, the latest
//! record of each key, and reads the whole log of each leader that takes over. A tombstone may be
//! gone. A loss that is within the contract ends what is known of a key. A record in a transaction counts
//! once the transaction is committed.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::base::{LeaderEpoch, Offset, TopicPartition};
use crate::check::ghost::{Change, Standing};
use crate::check::{Event, Ghost, Invariant, StorageWitness, Violation};
use crate::sim::{HostId, What};

/// A record's key, its offset, and whether it is a tombstone.
type Keyed = (Bytes, Offset, bool);

/// The latest records of a partition's keys.
#[derive(Default)]
struct Keys {
    /// Where the latest committed record of each key is, and whether it is a tombstone.
    latest: BTreeMap<Bytes, (Offset, bool)>,
    /// Records of every batch, by base offset, epoch and hash. Committed ones stay: after a loss, a
    /// batch may be committed again.
    written: BTreeMap<(Offset, LeaderEpoch, u64), Vec<Keyed>>,
    /// Everything below is in `latest`.
    upto: Offset,
    /// How many losses have been taken out of `latest`.
    losses: usize,
}

#[derive(Default)]
pub(super) struct LatestValueSurvives {
    partitions: BTreeMap<TopicPartition, Keys>,
}

impl Invariant for LatestValueSurvives {
    fn name(&self) -> &'static str {
        "latest-value-survives"
    }

    fn observe(&mut self, event: &Event<'_>, ghost: &Ghost) -> Result<(), Violation> {
        for partition in event.gone() {
            self.partitions.remove(partition);
        }
        for change in event.changes {
            match change {
                Change::Appended { host, partition, batch, .. }
                    if ghost.is_compacted(&partition.topic) =>
                {
                    let What::Wrote { path, .. } = &event.seen.what else { continue };
                    let keys = self.partitions.entry(partition.clone()).or_default();
                    let id = (batch.base, batch.epoch, batch.hash);
                    if keys.written.contains_key(&id) {
                        continue;
                    }
                    let bytes = batch.position..batch.position + u64::from(batch.size);
                    let records = ghost.compacted().records_in(*host, path, bytes).into_iter();
                    let records = records.filter_map(|record| {
                        Some((record.key?, record.offset, record.value.is_none()))
                    });
                    keys.written.insert(id, records.collect());
                }
                Change::Promised { partition, .. } => {
                    if let Some(keys) = self.partitions.get_mut(partition) {
                        keys.commit(ghost, partition);
                    }
                }
                _ => {}
            }
        }
        for (partition, _, host) in ghost.leaders_in_doubt(event.changes) {
            let Some(keys) = self.partitions.get_mut(partition) else { continue };
            keys.commit(ghost, partition);
            keys.judge(event, ghost, partition, host)?;
        }
        Ok(())
    }
}

impl Keys {
    /// Takes losses out of, and new promises into, what is known.
    fn commit(&mut self, ghost: &Ghost, name: &TopicPartition) {
        let Some(partition) = ghost.partition(name) else { return };
        for loss in partition.losses.iter().skip(self.losses) {
            self.latest.retain(|_, (offset, _)| *offset < loss.from);
            self.upto = self.upto.min(loss.from);
        }
        self.losses = partition.losses.len();
        let promised = &partition.promised;
        let new = promised.partition_point(|promised| promised.batch.base < self.upto);
        // What becomes of records above is not known.
        let stable = partition.stability.last_stable(partition.frontier());
        let new = promised.iter().skip(new);
        for promised in new.take_while(|promised| promised.batch.base < stable) {
            let batch = &promised.batch;
            if partition.stability.is_hidden(batch) {
                continue;
            }
            let records = self.written.get(&(batch.base, batch.epoch, batch.hash));
            for (key, offset, tombstone) in records.into_iter().flatten() {
                self.latest.insert(key.clone(), (*offset, *tombstone));
            }
        }
        self.upto = stable;
    }

    /// A leader has every latest value.
    fn judge(
        &mut self,
        event: &Event<'_>,
        ghost: &Ghost,
        name: &TopicPartition,
        host: HostId,
    ) -> Result<(), Violation> {
        let Some(broker) = ghost.host(host).map(|host| host.broker) else { return Ok(()) };
        let mut there: BTreeMap<Bytes, Offset> = BTreeMap::new();
        let log = ghost.compacted().log(host, name, None);
        let counting = log.records().filter(|(_, standing)| *standing == Standing::Counts);
        for (record, _) in counting {
            let Some(key) = record.key.clone() else { continue };
            let latest = there.entry(key).or_insert(record.offset);
            *latest = record.offset.max(*latest);
        }
        // A read stops at damage: what lies behind it is judged by `leader-completeness`.
        let damaged = ghost.replica(host, name).is_some_and(|log| log.is_damaged_somewhere());
        let deleted_below = ghost.deleted_below(name);
        let mut lost = Vec::new();
        for (key, (offset, tombstone)) in &self.latest {
            let kept = there.get(key).is_some_and(|latest| latest >= offset);
            if kept || *tombstone || damaged || *offset < deleted_below {
                continue;
            }
            if ghost.may_lack_record(name, *offset) {
                lost.push(key.clone());
                continue;
            }
            let key = String::from_utf8_lossy(key).into_owned();
            let why = "is absent on the leader";
            let witness = StorageWitness::Stale { broker, key, offset: *offset, why };
            return event.broke("latest-value-survives", name, witness);
        }
        lost.iter().for_each(|key| {
            self.latest.remove(key);
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::check::testing::Story;

    const RECORDS: &[(i64, &str, Option<&str>)] =
        &[(0, "a", Some("1")), (1, "b", Some("1")), (2, "a", Some("2")), (3, "b", None)];

    /// The same four records on b1 and b2, in two segments, committed.
    fn committed() -> Story {
        let mut story = Story::compacting("latest-value-survives");
        story.commits(Some(1), 0, &[1, 2]);
        for broker in [1, 2] {
            story.writes_keyed(broker, 0, "", RECORDS, 4);
            story.writes_keyed(broker, 4, "", &[(4, "c", Some("1"))], 5);
        }
        story.high_watermark(1, 0, 5);
        story
    }

    fn cleaned(story: &mut Story, broker: u16, records: &[(i64, &str, Option<&str>)]) {
        story.writes_keyed(broker, 0, ".cleaned", records, 4);
        story.swaps(broker, 0, &[]);
    }

    #[test]
    fn silent_when_the_next_leader_has_compacted_what_was_superseded() {
        let mut story = committed();
        cleaned(&mut story, 2, &[(2, "a", Some("2")), (3, "b", None)]);
        story.elected(2, 1, &[2]);
        story.silent();
    }

    #[test]
    fn silent_about_a_tombstone_that_is_gone() {
        let mut story = committed();
        cleaned(&mut story, 2, &[(2, "a", Some("2"))]);
        story.elected(2, 1, &[2]);
        story.silent();
    }

    #[test]
    fn fires_when_the_next_leader_has_an_older_value() {
        let mut story = committed();
        // Another replica has cleaned its log, so that batches are not compared.
        cleaned(&mut story, 1, &[(2, "a", Some("2")), (3, "b", None)]);
        story.gives_up(2);
        story.writes_keyed(2, 0, "", &[(0, "a", Some("1")), (3, "b", None)], 4);
        story.writes_keyed(2, 4, "", &[(4, "c", Some("1"))], 5);
        story.elected(2, 1, &[2]);
        story.fired(
            "orders-0 compaction on b2: the record of key a at offset 2 is absent on the leader at \
             1.000 s",
        );
    }

    #[test]
    fn silent_when_an_unclean_election_lost_it_and_fires_on_what_is_committed_after_it() {
        let mut story = committed();
        story.writes_keyed(3, 0, "", &[(0, "a", Some("1"))], 1);
        story.commits_unclean(3, 1, &[3]);
        story.became_leader(3, 1);
        story.silent();
        story.writes_keyed(3, 1, "", &[(1, "a", Some("7"))], 2);
        story.high_watermark(3, 1, 2);
        story.writes_keyed(1, 0, "", &[(0, "a", Some("1"))], 4);
        story.elected(1, 2, &[1]);
        assert!(story.sentence().contains("key a at offset 1 is absent"), "{}", story.sentence());
    }
}
