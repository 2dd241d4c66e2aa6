//! Transactions in hand-made histories: what clients do, what is in partitions, and what coordinators
//! write. `turn_to` chooses the partition of all that follows.

use super::*;
use crate::sim::{Ended, Isolation, TransactionEvent};

/// The log of the only coordinator.
const COORDINATOR: &str = "__transaction_state";

impl Story {
    /// What follows is about another partition: at first, b1 leads it in epoch 0 and all are in sync.
    pub fn turn_to(&mut self, topic: &str, index: i32) {
        let name = TopicPartition::new(topic, index);
        let number = u8::try_from(self.others.len() + 20).unwrap();
        let of_topic = self.others.iter().find(|(other, _)| *other.topic == *topic);
        let own = *self.partition.topic == *topic;
        let id = match of_topic {
            Some((_, other)) => other.topic_id,
            None if own => self.topic_id,
            None => TopicId([number; 16]),
        };
        let new = Other { topic_id: id, partition_epoch: 0, epoch: 0, disks: BTreeMap::new() };
        let (next, is_new) = match self.others.remove(&name) {
            Some(known) => (known, false),
            None => (new, name != self.partition),
        };
        if name == self.partition {
            return;
        }
        let before = Other {
            topic_id: std::mem::replace(&mut self.topic_id, next.topic_id),
            partition_epoch: std::mem::replace(&mut self.partition_epoch, next.partition_epoch),
            epoch: std::mem::replace(&mut self.epoch, next.epoch),
            disks: std::mem::replace(&mut self.disks, next.disks),
        };
        let before_name = std::mem::replace(&mut self.partition, name);
        self.others.insert(before_name, before);
        if is_new {
            self.commits(Some(1), 0, &[1, 2, 3]);
            self.became_leader(1, 0);
        }
    }

    // Clients.

    pub fn identified(&mut self, producer: u32, transactional_id: &str, id: i64, epoch: i16) {
        let transactional_id = Some(transactional_id.into());
        let (id, epoch) = (ProducerId(id), ProducerEpoch(epoch));
        self.client(TransactionEvent::Identified { producer, transactional_id, id, epoch });
    }

    /// InitProducerId of a producer that is only idempotent.
    pub fn identified_plainly(&mut self, producer: u32, id: i64, epoch: i16) {
        let (id, epoch) = (ProducerId(id), ProducerEpoch(epoch));
        let transactional_id = None;
        self.client(TransactionEvent::Identified { producer, transactional_id, id, epoch });
    }

    pub fn bumped(&mut self, producer: u32, id: i64, epoch: i16) {
        let (id, epoch) = (ProducerId(id), ProducerEpoch(epoch));
        self.client(TransactionEvent::Bumped { producer, id, epoch });
    }

    pub fn begins(&mut self, producer: u32, txn: u64) {
        self.client(TransactionEvent::Began { producer, txn });
    }

    /// A record of a transaction; `value` is also the number of its send.
    pub fn sent_in(&mut self, producer: u32, txn: u64, value: u64) {
        let (partition, op, txn) = (self.partition.clone(), value, Some(txn));
        let (acks, idempotent) = (Acks::All, true);
        self.client(ProducerEvent::Sent { producer, op, partition, value, acks, idempotent, txn });
    }

    /// A record of a transaction, stored at an offset.
    pub fn stored_in(&mut self, producer: u32, txn: u64, value: u64, offset: i64) {
        self.sent_in(producer, txn, value);
        self.told_ok(producer, value, Some(offset));
    }

    pub fn ending(&mut self, producer: u32, txn: u64, commit: bool) {
        self.client(TransactionEvent::Ending { producer, txn, commit });
    }

    pub fn ended(&mut self, producer: u32, txn: u64, outcome: Ended) {
        self.client(TransactionEvent::Ended { producer, txn, outcome });
    }

    /// It asks for a commit, and is told that it is committed.
    pub fn commits_transaction(&mut self, producer: u32, txn: u64) {
        self.ending(producer, txn, true);
        self.ended(producer, txn, Ended::Committed);
    }

    /// It asks for an abort, and is told that it is aborted.
    pub fn aborts_transaction(&mut self, producer: u32, txn: u64) {
        self.ending(producer, txn, false);
        self.ended(producer, txn, Ended::Aborted);
    }

    /// It asks for a commit, and never learns the outcome.
    pub fn commits_in_doubt(&mut self, producer: u32, txn: u64) {
        self.ending(producer, txn, true);
        self.ended(producer, txn, Ended::Unknown { error: "REQUEST_TIMED_OUT".into() });
    }

    /// It is told that another producer has its transactional id.
    pub fn told_fenced(&mut self, producer: u32, txn: u64) {
        self.ended(producer, txn, Ended::Fenced { error: "PRODUCER_FENCED".into() });
    }

    pub fn reads_committed(&mut self, consumer: u32) {
        self.client(ConsumerEvent::Isolated { consumer, isolation: Isolation::ReadCommitted });
    }

    pub fn sends_offset(
        &mut self,
        producer: u32,
        txn: u64,
        (group, generation): (&str, i32),
        offset: i64,
    ) {
        let offsets = vec![(self.partition.clone(), Offset(offset))];
        let group = group.into();
        self.client(TransactionEvent::SendingOffsets { producer, txn, group, generation, offsets });
    }

    pub fn offset_sent(&mut self, producer: u32, txn: u64, group: &str, accepted: bool) {
        let outcome = match accepted {
            true => Outcome::Ok { offset: None },
            false => Outcome::Fail { error: "ILLEGAL_GENERATION".into() },
        };
        self.client(TransactionEvent::SentOffsets { producer, txn, group: group.into(), outcome });
    }

    /// An input of the current partition, its key, and what is made of it.
    pub fn transformed(
        &mut self,
        producer: u32,
        txn: Option<u64>,
        group: &str,
        (offset, value, key): (i64, u64, u64),
        outputs: &[u64],
    ) {
        let (partition, offset) = (self.partition.clone(), Offset(offset));
        let (group, key, outputs) = (group.into(), Some(key), outputs.to_vec());
        self.client(TransactionEvent::Transformed {
            producer,
            txn,
            group,
            partition,
            offset,
            value,
            key,
            outputs,
        });
    }

    // Partitions.

    /// Where b1's log of the partition ends.
    fn end(&self) -> i64 {
        let files = self.disks.get(&1).into_iter().flat_map(BTreeMap::values);
        let batches = files.flat_map(|file| batch::batches(file));
        batches.last().map_or(0, |found| found.unwrap().0.next_offset().0)
    }

    /// Leader b1, and b2, append a batch.
    fn appends_batch(&mut self, mut bytes: Vec<u8>) {
        let base = self.end();
        batch::assign(&mut bytes, Offset(base), LeaderEpoch(self.epoch));
        for broker in [1, 2] {
            let segments = self.disks.entry(broker).or_default();
            let file = segments.entry(0).or_default();
            let (path, offset) = (path(&self.partition, 0), file.len() as u64);
            file.extend_from_slice(&bytes);
            self.sees(broker, What::Wrote { path, offset, bytes: bytes.clone().into() });
        }
    }

    /// All of the partition is below the high watermark.
    pub fn exposes_all(&mut self) {
        let end = self.end();
        self.high_watermark(1, self.epoch, end);
    }

    fn appends(&mut self, builder: BatchBuilder, id: i64, epoch: i16) {
        let bytes = builder.finish(ProducerId(id), ProducerEpoch(epoch), 0).to_vec();
        self.appends_batch(bytes);
    }

    /// Records of a transaction that are not below the high watermark yet.
    pub fn writes_hidden(&mut self, id: i64, epoch: i16, values: &[u64]) {
        let mut builder = BatchBuilder::new(Compression::None, Timestamp(0)).transactional();
        for value in values {
            builder.append(Timestamp(0), None, Some(&value.to_be_bytes()), &[]);
        }
        self.appends(builder, id, epoch);
    }

    /// Records of a transaction.
    pub fn writes_in(&mut self, id: i64, epoch: i16, values: &[u64]) {
        self.writes_hidden(id, epoch, values);
        self.exposes_all();
    }

    /// Records of no transaction.
    pub fn writes_plain(&mut self, values: &[u64]) {
        let base = self.end();
        self.appends_batch(batch(base, 0, values));
        self.exposes_all();
    }

    /// A marker that is not below the high watermark yet.
    pub fn marks_hidden(&mut self, id: i64, epoch: i16, commit: bool) {
        let builder = BatchBuilder::new(Compression::None, Timestamp(0));
        let mut builder = builder.transactional().control();
        builder.append(Timestamp(0), Some(&[0, 0, 0, u8::from(commit)]), Some(&[0; 6]), &[]);
        self.appends(builder, id, epoch);
    }

    /// A marker.
    pub fn marks(&mut self, id: i64, epoch: i16, commit: bool) {
        self.marks_hidden(id, epoch, commit);
        self.exposes_all();
    }

    // Coordinators.

    /// A coordinator commits an entry. `status` is Kafka's number of the state.
    pub fn logs(
        &mut self,
        transactional_id: &str,
        (id, epoch): (i64, i16),
        status: i8,
        partitions: &[(&str, i32)],
    ) {
        let mut value = vec![0, 1];
        value.extend(id.to_be_bytes());
        value.extend(epoch.to_be_bytes());
        value.extend(60_000_i32.to_be_bytes());
        value.extend(status.to_be_bytes());
        value.push(u8::try_from(partitions.len() + 1).unwrap());
        for (topic, index) in partitions {
            value.push(u8::try_from(topic.len() + 1).unwrap());
            value.extend(topic.bytes());
            value.push(2);
            value.extend(index.to_be_bytes());
            value.push(0);
        }
        value.extend([0; 16]);
        value.push(0);
        self.logs_bytes(transactional_id, Some(&value));
    }

    /// A coordinator commits an entry with this value.
    pub fn logs_bytes(&mut self, transactional_id: &str, value: Option<&[u8]>) {
        let before = self.partition.clone();
        self.turn_to(COORDINATOR, 0);
        let length = u8::try_from(transactional_id.len()).unwrap();
        let key = [&[0, 0, 0, length], transactional_id.as_bytes()].concat();
        let mut builder = BatchBuilder::new(Compression::None, Timestamp(0));
        builder.append(Timestamp(0), Some(&key), value, &[]);
        self.appends(builder, -1, -1);
        self.exposes_all();
        self.turn_to(&before.topic.clone(), before.partition);
    }

    /// The coordinator's log loses what it has from an offset on: all that had it lose power.
    pub fn coordinator_loses(&mut self, from: i64) {
        let before = self.partition.clone();
        self.turn_to(COORDINATOR, 0);
        self.loses_committed(from);
        self.turn_to(&before.topic.clone(), before.partition);
    }

    /// The partition loses what it has from an offset on: all that had it lose power.
    pub fn loses_committed(&mut self, from: i64) {
        let whole = self.end();
        self.commits(Some(1), self.epoch, &[1, 2]);
        for broker in [1, 2] {
            self.power_loss(broker, from);
            self.boot(broker);
        }
        assert!(self.end() < whole, "nothing is lost");
        self.epoch += 1;
        self.elected(1, self.epoch, &[1]);
        // It leads the others as before.
        let own = self.partition.clone();
        for name in self.others.keys().cloned().collect::<Vec<_>>() {
            self.turn_to(&name.topic, name.partition);
            self.became_leader(1, self.epoch);
        }
        self.turn_to(&own.topic, own.partition);
    }

    /// b3, which has nothing of the partition, leads after an unclean election; a second later, b1 leads
    /// again after another, with what it has below an offset.
    pub fn comes_back_uncleanly(&mut self, kept_below: i64) {
        self.commits(Some(1), self.epoch, &[1, 2]);
        self.commits_unclean(3, self.epoch + 1, &[3]);
        self.became_leader(3, self.epoch + 1);
        self.later();
        self.cut(1, kept_below);
        self.epoch += 2;
        self.commits_unclean(1, self.epoch, &[1]);
        self.became_leader(1, self.epoch);
        self.exposes_all();
    }
}
