//! What transaction coordinators have committed to `__transaction_state`, read by the ghost itself: the
//! state of each transactional id, every decision ever made, and whose entries were lost.
//!
//! An entry counts when it is below the high watermark. Source: Kafka's TransactionLogKey (version 0)
//! and TransactionLogValue (versions 0 and 1), and `TransactionMetadata`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::Change;
use super::fields::Fields;
use super::segment::Batch;
use super::transactions::Transaction;
use crate::base::{Instant, LeaderEpoch, Offset, ProducerEpoch, ProducerId, TopicPartition};
use crate::wire::batch::Record;

/// The state of a transactional id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Empty,
    Ongoing,
    /// The outcome is decided: markers are under way.
    Prepared {
        commit: bool,
    },
    /// Every participant has its marker.
    Complete {
        commit: bool,
    },
    /// States that Kafka does not write.
    Other,
}

impl State {
    fn of(status: i8) -> Self {
        match status {
            0 => Self::Empty,
            1 => Self::Ongoing,
            2 => Self::Prepared { commit: true },
            3 => Self::Prepared { commit: false },
            4 => Self::Complete { commit: true },
            5 => Self::Complete { commit: false },
            _ => Self::Other,
        }
    }

    /// In words, for evidence.
    pub fn words(self) -> &'static str {
        match self {
            Self::Empty => "no transaction",
            Self::Ongoing => "a transaction that goes on",
            Self::Prepared { commit: true } => "a prepared commit",
            Self::Prepared { commit: false } => "a prepared abort",
            Self::Complete { commit: true } => "a complete commit",
            Self::Complete { commit: false } => "a complete abort",
            Self::Other => "an unknown state",
        }
    }
}

/// The value of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Value {
    pub producer: ProducerId,
    pub epoch: ProducerEpoch,
    /// `transaction.timeout.ms`.
    pub timeout: Duration,
    pub state: State,
    pub partitions: Vec<TopicPartition>,
}

/// One entry of a coordinator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The transactional id.
    pub id: Arc<str>,
    pub offset: Offset,
    /// `None`: it was forgotten.
    pub value: Option<Value>,
}

/// A decision of a coordinator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Decision {
    pub commit: bool,
    pub producer: ProducerId,
    /// That markers have.
    pub epoch: ProducerEpoch,
    /// Of the transaction's records.
    pub began: ProducerEpoch,
    pub partitions: Vec<TopicPartition>,
    /// When it was committed.
    pub at: Instant,
}

/// What is committed of a transactional id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Logged {
    pub value: Value,
    pub at: Instant,
    /// The last decision, until the next transaction begins.
    pub decision: Option<Decision>,
    /// The epoch in which the transaction went on.
    began: Option<ProducerEpoch>,
}

/// A batch that was written: partition, base offset, epoch and hash.
type Written = (i32, Offset, LeaderEpoch, u64);

/// All coordinators' logs.
#[derive(Debug, Default)]
pub(crate) struct TransactionLog {
    /// Entries of every batch that any broker wrote; `None`: one can't be read.
    written: BTreeMap<Written, Option<Vec<Entry>>>,
    /// Committed entries, by partition, in order.
    committed: BTreeMap<i32, Vec<(Instant, Entry)>>,
    logged: BTreeMap<Arc<str>, Logged>,
    /// Every decision ever committed, lost or not.
    decisions: BTreeMap<Arc<str>, Vec<Decision>>,
    /// The transactional id to which a producer id was given first.
    owners: BTreeMap<ProducerId, Arc<str>>,
    /// The order in which producer ids were given.
    ranks: BTreeMap<ProducerId, usize>,
    /// When committed entries of a transactional id were last lost within the contract.
    forgot: BTreeMap<Arc<str>, Instant>,
    /// Transactional ids, each time that an entry of one was committed or lost.
    touched: Vec<Arc<str>>,
    /// The first committed batch with an entry that can't be read.
    unreadable: Option<(i32, Offset)>,
}

impl TransactionLog {
    /// What is committed of a transactional id.
    pub fn logged(&self, id: &str) -> Option<&Logged> {
        self.logged.get(id)
    }

    /// What was committed of a transactional id at a time.
    pub fn logged_at(&self, id: &str, at: Instant) -> Option<Logged> {
        let mut logged = BTreeMap::new();
        let known = |(since, entry): &&(Instant, Entry)| *since <= at && *entry.id == *id;
        for (since, entry) in self.committed.values().flatten().filter(known) {
            fold(&mut logged, *since, entry);
        }
        logged.remove(id)
    }

    /// What is committed of all transactional ids.
    pub fn all(&self) -> impl Iterator<Item = (&Arc<str>, &Logged)> {
        self.logged.iter()
    }

    /// Transactional ids, each time that an entry of one was committed or lost.
    pub fn touched(&self) -> &[Arc<str>] {
        &self.touched
    }

    /// Every decision ever committed about a transactional id, in order of time.
    pub fn decisions(&self, id: &str) -> &[Decision] {
        self.decisions.get(id).map_or(&[], Vec::as_slice)
    }

    /// The transactional id of a producer id.
    pub fn owner(&self, producer: ProducerId) -> Option<&Arc<str>> {
        self.owners.get(&producer)
    }

    /// A number that is higher for a producer id that was given later.
    pub fn rank(&self, producer: ProducerId) -> Option<usize> {
        self.ranks.get(&producer).copied()
    }

    /// Whether committed entries of a transactional id were lost within the contract.
    pub fn has_forgotten(&self, id: &str) -> bool {
        self.forgot.contains_key(id)
    }

    /// Whether they were lost at or after a time.
    pub fn has_forgotten_since(&self, id: &str, since: Instant) -> bool {
        self.forgot.get(id).is_some_and(|at| *at >= since)
    }

    /// Whether the coordinator of a transaction forgot entries since it began. What it then takes for
    /// its state has another outcome; and if it knows of no transaction, the next one of that producer
    /// ends this one too.
    pub fn may_decide_anew(&self, transaction: &Transaction) -> bool {
        let id = transaction.transactional_id();
        id.is_some_and(|id| self.has_forgotten_since(id, transaction.began))
    }

    /// The first committed batch with an entry that can't be read.
    pub fn unreadable(&self) -> Option<(i32, Offset)> {
        self.unreadable
    }

    /// A broker wrote a batch with these records.
    pub(super) fn wrote(&mut self, partition: i32, batch: &Batch, records: Vec<Record>) {
        let key = (partition, batch.base, batch.epoch, batch.hash);
        if self.written.contains_key(&key) {
            return;
        }
        let whole = usize::try_from(batch.count).is_ok_and(|count| count == records.len());
        let entries = records.into_iter().map(entry).collect::<Option<Vec<_>>>();
        let entries = entries.filter(|_| whole || batch.stamp.is_control());
        self.written.insert(key, entries.map(|all| all.into_iter().flatten().collect()));
    }

    /// A batch is committed.
    pub(super) fn commit(
        &mut self,
        at: Instant,
        partition: i32,
        batch: &Batch,
        changes: &mut Vec<Change>,
    ) {
        let key = (partition, batch.base, batch.epoch, batch.hash);
        let Some(Some(entries)) = self.written.get(&key).cloned() else {
            self.unreadable.get_or_insert((partition, batch.base));
            return;
        };
        for entry in entries {
            if let Some(value) = &entry.value
                && !self.owners.contains_key(&value.producer)
            {
                self.owners.insert(value.producer, Arc::clone(&entry.id));
                self.ranks.insert(value.producer, self.ranks.len());
            }
            let before = self.logged.get(&entry.id).cloned();
            if let Some(decision) = fold(&mut self.logged, at, &entry) {
                self.decisions.entry(Arc::clone(&entry.id)).or_default().push(decision);
            }
            self.touched.push(Arc::clone(&entry.id));
            self.committed.entry(partition).or_default().push((at, entry.clone()));
            changes.push(Change::Logged { entry, before });
        }
    }

    /// Entries from an offset on are lost. `permitted`: within the contract.
    pub(super) fn lose(&mut self, at: Instant, partition: i32, from: Offset, permitted: bool) {
        let Some(committed) = self.committed.get_mut(&partition) else { return };
        let kept = committed.partition_point(|(_, entry)| entry.offset < from);
        for (_, entry) in committed.split_off(kept) {
            self.logged.remove(&entry.id);
            self.touched.push(Arc::clone(&entry.id));
            if permitted {
                self.forgot.insert(entry.id, at);
            }
        }
        let mut logged = BTreeMap::new();
        for (at, entry) in self.committed.values().flatten() {
            fold(&mut logged, *at, entry);
        }
        self.logged = logged;
    }
}

/// Takes an entry in. Returns the decision that it is, if it is one.
fn fold(logged: &mut BTreeMap<Arc<str>, Logged>, at: Instant, entry: &Entry) -> Option<Decision> {
    let Some(value) = entry.value.clone() else {
        logged.remove(&entry.id);
        return None;
    };
    let before = logged.get(&entry.id);
    let began = match value.state {
        State::Ongoing => Some(value.epoch),
        _ => before.and_then(|before| before.began),
    };
    let decision = match value.state {
        State::Prepared { commit } => Some(Decision {
            commit,
            producer: value.producer,
            epoch: value.epoch,
            began: began.unwrap_or(value.epoch),
            partitions: value.partitions.clone(),
            at,
        }),
        State::Complete { .. } => before.and_then(|before| before.decision.clone()),
        State::Empty | State::Ongoing | State::Other => None,
    };
    let made = decision.clone().filter(|_| matches!(value.state, State::Prepared { .. }));
    logged.insert(Arc::clone(&entry.id), Logged { value, at, decision, began });
    made
}

/// An entry; `Some(None)` for one of another kind, which Kafka skips too.
fn entry(record: Record) -> Option<Option<Entry>> {
    let key = record.key?;
    let mut key = Fields::new(&key);
    if key.i16()? != 0 {
        return Some(None);
    }
    let id = key.short_string()?.into();
    let value = match record.value {
        Some(bytes) => Some(value(&bytes)?),
        None => None,
    };
    key.is_empty().then_some(Some(Entry { id, offset: record.offset, value }))
}

fn value(bytes: &[u8]) -> Option<Value> {
    let mut fields = Fields::new(bytes);
    let flexible = match fields.i16()? {
        0 => false,
        1 => true,
        _ => return None,
    };
    let (producer, epoch) = (ProducerId(fields.i64()?), ProducerEpoch(fields.i16()?));
    let timeout = Duration::from_millis(u64::try_from(fields.i32()?).ok()?);
    let state = State::of(fields.i8()?);
    let topics = match flexible {
        true => fields.array(|topic| {
            let (name, ids) = (topic.string()?.to_owned(), topic.array(Fields::i32)?);
            topic.tags()?;
            Some((name, ids))
        })?,
        false => fields.long_array(|topic| {
            Some((topic.short_string()?.to_owned(), topic.long_array(Fields::i32)?))
        })?,
    };
    // The last update, and the start.
    fields.i64()?;
    fields.i64()?;
    if flexible {
        fields.tags()?;
    }
    let named = |(name, ids): (String, Vec<i32>)| {
        let name: Arc<str> = name.into();
        ids.into_iter().map(move |id| TopicPartition::new(Arc::clone(&name), id))
    };
    let partitions = topics.into_iter().flat_map(named).collect();
    fields.is_empty().then_some(Value { producer, epoch, timeout, state, partitions })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::ghost::segment::Segment;
    use crate::wire::batch;

    const KAFKA: &[u8] = include_bytes!(
        "../../../sims/fixtures/kafka/data/__transaction_state-0/00000000000000000000.log"
    );

    /// All of a file is committed.
    fn committed(file: &[u8]) -> (TransactionLog, Vec<Change>) {
        let (mut log, mut changes) = (TransactionLog::default(), Vec::new());
        for found in Segment::survived(file, None).batches() {
            let bytes = &file[usize::try_from(found.position).unwrap()..];
            let records = batch::records(bytes, 1 << 20).unwrap();
            log.wrote(0, found, records);
            log.commit(Instant::from_secs(1), 0, found, &mut changes);
        }
        (log, changes)
    }

    #[test]
    fn log_that_kafka_wrote_has_its_decisions_and_states() {
        let (log, changes) = committed(KAFKA);
        assert_eq!((log.unreadable(), changes.len()), (None, 23));
        let decided = |id| {
            let of = log.decisions(id).iter();
            of.map(|made| (made.commit, made.producer.0, made.began.0, made.epoch.0)).collect()
        };
        let till_a: Vec<_> = decided("till-a");
        assert_eq!(till_a, [(true, 5, 0, 1), (false, 5, 1, 2), (true, 5, 2, 3)]);
        let till_b: Vec<_> = decided("till-b");
        assert_eq!(till_b, [(false, 6, 0, 1), (true, 6, 1, 2)]);
        let open = log.logged("till-open").unwrap();
        assert_eq!((open.value.state, open.decision.clone()), (State::Ongoing, None));
        assert_eq!(open.value.partitions, [TopicPartition::new("payments", 0)]);
        assert_eq!(open.value.timeout, Duration::from_secs(60));
        let offsets = log.logged("till-offsets").unwrap();
        assert_eq!(offsets.value.state, State::Complete { commit: true });
        let of = offsets.decision.clone().unwrap().partitions;
        assert_eq!(of, [TopicPartition::new("__consumer_offsets", 0)]);
        assert_eq!(log.owner(ProducerId(10)).map(|id| &**id), Some("till-offsets"));
    }

    #[test]
    fn lost_entries_are_taken_back_and_remembered_where_that_is_permitted() {
        let (mut log, _) = committed(KAFKA);
        log.lose(Instant::from_secs(2), 0, Offset(17), true);
        assert!(log.logged("till-open").is_none() && log.has_forgotten("till-open"));
        assert!(!log.has_forgotten("till-a"));
        log.lose(Instant::from_secs(3), 0, Offset(15), false);
        assert_eq!(log.logged("till-b").unwrap().value.state, State::Ongoing);
        assert!(!log.has_forgotten("till-b"));
        assert_eq!(log.decisions("till-b").len(), 2, "both were made");
    }

    #[test]
    fn values_of_version_0_are_read_and_other_bytes_are_not() {
        let mut bytes = vec![0, 0];
        bytes.extend(7_i64.to_be_bytes());
        bytes.extend([0, 3, 0, 0, 0x75, 0x30, 1, 0, 0, 0, 1, 0, 1, b'x', 0, 0, 0, 2]);
        bytes.extend([0, 0, 0, 4, 0, 0, 0, 9]);
        bytes.extend([0; 16]);
        let read = value(&bytes).unwrap();
        assert_eq!((read.producer, read.epoch), (ProducerId(7), ProducerEpoch(3)));
        assert_eq!((read.timeout, read.state), (Duration::from_secs(30), State::Ongoing));
        let partitions = [TopicPartition::new("x", 4), TopicPartition::new("x", 9)];
        assert_eq!(read.partitions, partitions);
        for cut in 0..bytes.len() {
            assert_eq!(value(&bytes[..cut]), None, "cut at {cut}");
        }
        assert_eq!(value(&[&bytes[..], &[0]].concat()), None);
        bytes[1] = 2;
        assert_eq!(value(&bytes), None, "an unknown version");
    }
}
