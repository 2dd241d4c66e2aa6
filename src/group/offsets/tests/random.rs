//! Random sequences of records and decisions agree with a naive model.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;

use super::fetch::{Seen, request, seen};
use super::*;

const GROUPS: [&str; 3] = ["f", "g", "h"];
const TOPICS: [&str; 2] = ["orders", "other"];
const PARTITIONS: i32 = 3;
const IDS: [TopicId; 3] = [TopicId::ZERO, ORDERS, TopicId([8; 16])];

type Key = (usize, usize, i32);

/// Everything that ever happened and still counts, in plain maps.
#[derive(Clone, Debug, Default)]
struct Model {
    committed: BTreeMap<Key, (CommittedOffset, i64)>,
    /// In the order of the records.
    pending: Vec<(i64, Key, CommittedOffset, i64)>,
}

#[derive(Clone, Debug)]
enum Step {
    Put(Key, CommittedOffset),
    PutPending(i64, Key, CommittedOffset),
    End(i64, bool),
    Remove(Key),
    Delete(usize, Vec<(usize, i32)>, bool),
    Expire(usize, i64, Option<(bool, u8)>),
    DeleteTopic(usize, usize),
    DeleteGroup(usize),
}

fn any_key() -> impl Strategy<Value = Key> {
    (0..GROUPS.len(), 0..TOPICS.len(), 0..PARTITIONS)
}

fn value() -> impl Strategy<Value = CommittedOffset> {
    (0..100i64, 0..1000i64, 0..IDS.len(), -1..3i64).prop_map(|(offset, committed, id, expires)| {
        let is_bare = expires >= 0;
        CommittedOffset {
            offset: Offset(offset),
            leader_epoch: if is_bare { -1 } else { 3 },
            metadata: format!("m{offset}"),
            committed: Timestamp(committed),
            expires: if is_bare { Timestamp(expires * 400) } else { Timestamp::NONE },
            topic_id: if is_bare { TopicId::ZERO } else { IDS[id] },
        }
    })
}

fn step() -> impl Strategy<Value = Step> {
    let partitions = vec((0..TOPICS.len(), 0..PARTITIONS), 0..6);
    prop_oneof![
        6 => (any_key(), value()).prop_map(|(key, value)| Step::Put(key, value)),
        4 => (0..3i64, any_key(), value()).prop_map(|(p, key, value)| Step::PutPending(p, key, value)),
        2 => (0..3i64, any::<bool>()).prop_map(|(p, committed)| Step::End(p, committed)),
        1 => any_key().prop_map(Step::Remove),
        1 => (0..GROUPS.len(), partitions, any::<bool>()).prop_map(|(g, p, s)| Step::Delete(g, p, s)),
        2 => (0..GROUPS.len(), 0..2000i64, proptest::option::of((any::<bool>(), 0..3u8)))
            .prop_map(|(g, now, group)| Step::Expire(g, now, group)),
        1 => (0..TOPICS.len(), 0..IDS.len()).prop_map(|(t, id)| Step::DeleteTopic(t, id)),
        1 => (0..GROUPS.len()).prop_map(Step::DeleteGroup),
    ]
}

fn full(of: Key) -> OffsetKey {
    key(GROUPS[of.0], TOPICS[of.1], of.2)
}

fn all_keys() -> impl Iterator<Item = Key> {
    let groups = 0..GROUPS.len();
    groups.flat_map(|group| {
        (0..TOPICS.len()).flat_map(move |topic| (0..PARTITIONS).map(move |p| (group, topic, p)))
    })
}

impl Model {
    fn is_pending(&self, key: Key) -> bool {
        self.pending.iter().any(|(_, other, ..)| *other == key)
    }

    fn remove(&mut self, key: Key) {
        self.committed.remove(&key);
        self.pending.retain(|(_, other, ..)| *other != key);
    }

    fn end(&mut self, producer: i64, is_committed: bool) {
        for (_, key, value, at) in self.pending.extract_if(.., |pending| pending.0 == producer) {
            let newer = self.committed.get(&key).is_none_or(|(_, other)| *other < at);
            if is_committed && newer {
                self.committed.insert(key, (value, at));
            }
        }
    }

    /// The keys for which tombstones are written.
    fn tombstones(&self, of: impl Fn(Key) -> bool) -> Vec<Key> {
        all_keys().filter(|key| of(*key)).collect()
    }

    fn exists(&self, key: Key) -> bool {
        self.committed.contains_key(&key) || self.is_pending(key)
    }

    fn fetch(&self, group: usize, stable: bool, all: bool) -> Vec<Seen> {
        let mut seen = Vec::new();
        for key in all_keys().filter(|key| key.0 == group) {
            let (topic, partition) = (TOPICS[key.1].to_owned(), key.2);
            let missing = |error| (topic.clone(), partition, -1, -1, String::new(), error);
            let committed = self.committed.get(&key);
            match committed {
                None if all => {}
                _ if stable && self.is_pending(key) => {
                    seen.push(missing(ErrorCode::UnstableOffsetCommit));
                }
                None => seen.push(missing(ErrorCode::None)),
                Some((of, _)) => {
                    let metadata = of.metadata.clone();
                    let (offset, epoch) = (of.offset.0, of.leader_epoch);
                    seen.push((topic, partition, offset, epoch, metadata, ErrorCode::None));
                }
            }
        }
        seen
    }
}

/// Takes one step in both; returns the tombstones that each decides.
fn take(log: &mut Log, model: &mut Model, step: Step) -> (Vec<Record>, Vec<Key>) {
    match step {
        Step::Put(of, value) => {
            model.committed.insert(of, (value.clone(), log.next));
            log.put(full(of), value);
        }
        Step::PutPending(producer, of, value) => {
            model.pending.retain(|(other, key, ..)| (*other, *key) != (producer, of));
            model.pending.push((producer, of, value.clone(), log.next));
            log.put_pending(producer, &full(of), &value);
        }
        Step::End(producer, is_committed) => {
            model.end(producer, is_committed);
            log.end(producer, is_committed);
        }
        Step::Remove(of) => return (vec![Record::no_offset(full(of))], vec![of]),
        Step::Delete(group, partitions, subscribed) => {
            let mut partitions = partitions;
            partitions.sort_unstable();
            partitions.dedup();
            let fake = Fake { topics: vec![TOPICS[0]], ..Fake::default() };
            let fake = subscribed.then_some(&fake);
            let indexes = |topic| {
                let of = partitions.iter().filter(move |of| of.0 == topic);
                of.map(|of| of.1).collect::<Vec<_>>()
            };
            let (first, second) = (indexes(0), indexes(1));
            let of: &[(&str, &[i32])] = &[(TOPICS[0], &first), (TOPICS[1], &second)];
            let records = delete(&log.offsets, fake, GROUPS[group], of).records;
            let spared = |key: Key| subscribed && key.1 == 0;
            let named = |key: Key| key.0 == group && partitions.contains(&(key.1, key.2));
            let gone = model.tombstones(|key| named(key) && model.exists(key) && !spared(key));
            return (records, gone);
        }
        Step::Expire(group, now, fake) => return expire(log, model, group, now, fake),
        Step::DeleteTopic(topic, id) => {
            let records = log.offsets.topics_deleted(&[(TOPICS[topic].into(), IDS[id])]);
            let of = |value: &CommittedOffset| [TopicId::ZERO, IDS[id]].contains(&value.topic_id);
            let gone = model.tombstones(|key| {
                let committed = model.committed.get(&key).is_some_and(|(value, _)| of(value));
                let mut pending = model.pending.iter();
                key.1 == topic && (committed || pending.any(|(_, k, v, _)| *k == key && of(v)))
            });
            return (records, gone);
        }
        Step::DeleteGroup(group) => {
            let records = log.offsets.group_deleted(&GROUPS[group].into());
            return (records, model.tombstones(|key| key.0 == group && model.exists(key)));
        }
    }
    Default::default()
}

fn expire(
    log: &Log,
    model: &Model,
    group: usize,
    now: i64,
    fake: Option<(bool, u8)>,
) -> (Vec<Record>, Vec<Key>) {
    let retention = 500;
    let fake = fake.map(|(subscribed, since)| {
        let topics = if subscribed { vec![TOPICS[1]] } else { Vec::new() };
        let since = [Since::Never, Since::Commit, Since::Time(700)][usize::from(since)];
        Fake { topics, since, ..Fake::default() }
    });
    let mut records = Vec::new();
    let all = log.offsets.expire(
        &GROUPS[group].into(),
        fake.as_ref().map(|fake| fake as &dyn Subscriber),
        Timestamp(now),
        Duration::from_millis(retention),
        &mut records,
    );
    let gone = model.tombstones(|key| {
        let Some((value, _)) = model.committed.get(&key) else { return false };
        let since = match fake.as_ref().map(|fake| fake.since) {
            Some(Since::Never) => return false,
            None | Some(Since::Commit) => value.committed.0,
            Some(Since::Time(time)) => time,
        };
        let until = match value.expires {
            Timestamp::NONE => since + 500,
            Timestamp(expires) => expires,
        };
        let subscribed = fake.as_ref().is_some_and(|fake| fake.topics.contains(&TOPICS[key.1]));
        key.0 == group && now >= until && !subscribed && !model.is_pending(key)
    });
    let left = model.tombstones(|key| key.0 == group && model.exists(key)).len();
    assert_eq!(all, left == gone.len(), "whether the group has offsets left");
    (records, gone)
}

proptest! {
    #[test]
    fn offsets_agree_with_a_naive_model(steps in vec(step(), 0..80)) {
        let (mut log, mut model) = (Log::default(), Model::default());
        for step in steps {
            let before = (log.clone(), format!("{:?}", log.offsets));
            let (records, gone) = take(&mut log, &mut model, step);
            let expected: Vec<_> = gone.iter().map(|key| Record::no_offset(full(*key))).collect();
            prop_assert_eq!(&records, &expected);
            log.append(&records);
            gone.into_iter().for_each(|key| model.remove(key));

            prop_assert_eq!(log.offsets.len(), model.committed.len());
            let groups = (0..GROUPS.len()).filter(|group| {
                all_keys().any(|key| key.0 == *group && model.exists(key))
            });
            let groups: Vec<_> = groups.map(|group| GROUPS[group]).collect();
            let known: Vec<_> = log.offsets.groups().map(|id| id.as_str().to_owned()).collect();
            prop_assert_eq!(known, groups);
            for (group, id) in GROUPS.into_iter().enumerate() {
                for stable in [false, true] {
                    let every: Vec<i32> = (0..PARTITIONS).collect();
                    let topics = TOPICS.map(|topic| (topic, TopicId::ZERO, &every[..]));
                    for topics in [None, Some(&topics[..])] {
                        let mut request = request(topics);
                        request.group_id = id.into();
                        let response = log.offsets.fetch(None, stable, &request);
                        prop_assert_eq!(seen(&response), model.fetch(group, stable, topics.is_none()));
                    }
                }
            }
            prop_assert_eq!(format!("{:?}", before.0.offsets), before.1, "a clone changed");
        }
    }
}
