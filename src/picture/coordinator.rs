//! The state of groups, as their coordinators write it to `__consumer_offsets`.

use std::collections::BTreeMap;

use crate::base::{Instant, TopicPartition};
use crate::decide::{KeyValue, LogRecord};
use crate::group::record::Record;
use crate::group::{GroupId, MemberId};
use crate::sim::HostId;
use crate::wire::batch;

/// Most bytes of a decompressed batch.
const LARGEST: usize = 64 << 20;

/// A fact about a group, from the moment at which its coordinator wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stored {
    pub at: Instant,
    pub host: HostId,
    pub group: GroupId,
    pub fact: Fact,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fact {
    /// A classic group has a generation with these members: id, and the client's.
    Formed { generation: i32, members: Vec<(MemberId, String)> },
    /// The epoch of a consumer group rose: its members or topics changed.
    Epoch(i32),
    /// The target assignment of an epoch is computed.
    Target(i32),
    /// A member of a consumer group, and its client's id.
    Member { member: MemberId, client: String },
    /// What a member has of the target. `settled`: all that it shall own, and no more.
    Current { member: MemberId, epoch: i32, settled: bool },
    /// The coordinator removed a member of a consumer group.
    Removed { member: MemberId },
}

/// All facts of a run, in order, and where each group has its coordinator.
#[derive(Debug, Default)]
pub(super) struct Coordinators {
    pub stored: Vec<Stored>,
    pub partitions: BTreeMap<GroupId, TopicPartition>,
}

impl Coordinators {
    /// The partition of groups that a path belongs to, if it is a log of one.
    pub fn partition_of(path: &str) -> Option<TopicPartition> {
        let of_groups = path.contains("/__consumer_offsets-") && path.ends_with(".log");
        of_groups.then(|| partition_in(path))?
    }

    /// The leader of a partition of groups wrote these bytes to its log.
    pub fn wrote(&mut self, at: Instant, host: HostId, partition: &TopicPartition, bytes: &[u8]) {
        for (_, whole) in batch::batches(bytes).map_while(Result::ok) {
            for record in batch::records(whole, LARGEST).unwrap_or_default() {
                let (key, value) = (record.key, record.value);
                // A record that can't be read says nothing here: checkers report it.
                let Ok(record) = Record::decode(KeyValue { key, value }) else { continue };
                let Some((group, fact)) = fact(record) else { continue };
                self.partitions.entry(group.clone()).or_insert_with(|| partition.clone());
                self.stored.push(Stored { at, host, group, fact });
            }
        }
    }

    /// The facts of one group.
    pub fn of<'a>(&'a self, group: &'a str) -> impl Iterator<Item = &'a Stored> {
        self.stored.iter().filter(move |stored| stored.group.as_str() == group)
    }
}

fn fact(record: Record) -> Option<(GroupId, Fact)> {
    Some(match record {
        Record::ClassicGroup { group, value: Some(value) } => {
            let members = value.members.into_iter().map(|m| (m.member, m.client_id)).collect();
            (group, Fact::Formed { generation: value.generation, members })
        }
        Record::ConsumerGroup { group, value: Some(value) } => (group, Fact::Epoch(value.epoch)),
        Record::TargetEpoch { group, value: Some(value) } => (group, Fact::Target(value.epoch)),
        Record::Member { group, member, value: Some(value) } => {
            (group, Fact::Member { member, client: value.client_id })
        }
        Record::CurrentAssignment { group, member, value: Some(value) } => {
            let (epoch, settled) = (value.epoch, value.state == 0);
            (group, Fact::Current { member, epoch, settled })
        }
        Record::Member { group, member, value: None } => (group, Fact::Removed { member }),
        _ => return None,
    })
}

/// The partition whose directory a path names.
pub(super) fn partition_in(path: &str) -> Option<TopicPartition> {
    let (topic, number) = path.rsplit('/').nth(1)?.rsplit_once('-')?;
    (!topic.is_empty()).then(|| number.parse().ok().map(|n| TopicPartition::new(topic, n)))?
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::record::{ConsumerGroupValue, CurrentAssignmentValue};

    #[test]
    fn records_of_groups_become_facts_and_others_are_left_out() {
        let group = || GroupId::from("shop");
        let member = || MemberId::from("m");
        let value = Some(ConsumerGroupValue { epoch: 7, metadata_hash: 1 });
        let epoch = fact(Record::ConsumerGroup { group: group(), value });
        assert_eq!(epoch, Some((group(), Fact::Epoch(7))));
        for (state, settled) in [(0, true), (1, false), (2, false)] {
            let value = CurrentAssignmentValue { epoch: 6, state, ..Default::default() };
            let value = Some(value);
            let current = Record::CurrentAssignment { group: group(), member: member(), value };
            let expected = Fact::Current { member: member(), epoch: 6, settled };
            assert_eq!(fact(current), Some((group(), expected)));
        }
        let gone = Record::Member { group: group(), member: member(), value: None };
        assert_eq!(fact(gone), Some((group(), Fact::Removed { member: member() })));
        assert_eq!(fact(Record::ConsumerGroup { group: group(), value: None }), None);
    }

    #[test]
    fn paths_of_groups_are_told_apart_from_topics() {
        let of = Coordinators::partition_of;
        let log = "00000000000000000000.log";
        assert_eq!(
            of(&format!("/data/__consumer_offsets-3/{log}")),
            Some(TopicPartition::new("__consumer_offsets", 3))
        );
        assert_eq!(of(&format!("/data/orders-3/{log}")), None);
        assert_eq!(of("/data/__consumer_offsets-3/00000000000000000000.index"), None);
    }
}
