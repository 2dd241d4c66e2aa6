//! Everything that a picture keeps of transactions, in order: what producers reported, what their
//! coordinators wrote to `__transaction_state`, and what the leaders of partitions wrote of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::{Instant, Offset, ProducerEpoch, ProducerId, TopicPartition};
use crate::check::{Ghost, Stamp};
use crate::decide::{KeyValue, LogRecord};
use crate::sim::{HostId, TransactionEvent};
use crate::txn::{Record, TransactionState};
use crate::wire::batch;
use crate::wire::frame::decode_request;
use crate::wire::messages::AddPartitionsToTxnRequest;

/// Most bytes of a decompressed batch.
const LARGEST: usize = 64 << 20;
/// From this version on brokers ask, and a request has several transactions.
const SEVERAL: i16 = 4;

/// One fact about transactions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub at: Instant,
    pub host: HostId,
    pub fact: Fact,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fact {
    /// A producer reported a step.
    Said(TransactionEvent),
    /// A producer sends a record in a transaction.
    Sent { producer: u32, txn: u64 },
    /// A process ended: its producers learn nothing any more.
    Ended,
    /// A coordinator wrote an entry.
    Stored {
        id: Arc<str>,
        producer: ProducerId,
        epoch: ProducerEpoch,
        state: TransactionState,
        partitions: Vec<TopicPartition>,
    },
    /// A leader wrote records of a transaction.
    Wrote { partition: TopicPartition, producer: ProducerId, epoch: ProducerEpoch, base: Offset },
    /// A leader wrote a marker.
    Marked { partition: TopicPartition, producer: ProducerId, commit: bool, offset: Offset },
    /// The leader's log now ends here, and ended later before.
    Cut { partition: TopicPartition, end: Offset },
}

/// A leader asked a coordinator about a transaction, before it wrote the first of its records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Verified {
    pub at: Instant,
    pub leader: HostId,
    pub coordinator: HostId,
    pub id: Arc<str>,
    pub epoch: ProducerEpoch,
    /// Whether it only asked; otherwise it added the partition, as its producer did not.
    pub only: bool,
    pub partitions: Vec<TopicPartition>,
}

/// All facts of a run.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    pub entries: Vec<Entry>,
    /// The partition of `__transaction_state` that each transactional id belongs to.
    pub homes: BTreeMap<Arc<str>, TopicPartition>,
    /// Last stable offsets of partitions with transactions, from each moment on.
    pub stable: BTreeMap<TopicPartition, Vec<(Instant, Offset)>>,
    /// How far each leader's log was looked at.
    ends: BTreeMap<TopicPartition, Offset>,
}

impl Ledger {
    pub fn add(&mut self, at: Instant, host: HostId, fact: Fact) {
        self.entries.push(Entry { at, host, fact });
    }

    /// A host wrote to a partition's log, or cut it.
    pub fn wrote(&mut self, at: Instant, host: HostId, partition: &TopicPartition, ghost: &Ghost) {
        let leads = ghost.view().leader(partition).is_some_and(|(_, leader)| leader == host);
        let Some(replica) = ghost.replica(host, partition).filter(|_| leads) else { return };
        let known = self.ends.get(partition).copied().unwrap_or(Offset::ZERO);
        let end = replica.end();
        if end == known {
            return;
        }
        let mut facts = Vec::new();
        if end < known {
            facts.push(Fact::Cut { partition: partition.clone(), end });
        }
        for batch in replica.batches_from(known).filter(|batch| batch.base >= known) {
            let (partition, offset) = (partition.clone(), batch.base);
            match batch.stamp {
                Stamp::Data { producer, epoch } => {
                    facts.push(Fact::Wrote { partition, producer, epoch, base: offset });
                }
                Stamp::Marker { producer, commit, .. } => {
                    facts.push(Fact::Marked { partition, producer, commit, offset });
                }
                Stamp::Plain | Stamp::Control => {}
            }
        }
        self.ends.insert(partition.clone(), end);
        if !facts.is_empty() && !self.stable.contains_key(partition) {
            self.stable.insert(partition.clone(), Vec::new());
        }
        facts.into_iter().for_each(|fact| self.add(at, host, fact));
    }

    /// The high watermark of a leader rose.
    pub fn exposed(&mut self, at: Instant, partition: &TopicPartition, ghost: &Ghost) {
        let (Some(stable), Some(known)) =
            (self.stable.get_mut(partition), ghost.partition(partition))
        else {
            return;
        };
        let now = known.stability.last_stable(known.frontier());
        if stable.last().is_none_or(|(_, last)| *last != now) {
            stable.push((at, now));
        }
    }

    /// The leader of a partition of `__transaction_state` wrote these bytes to its log.
    pub fn decided(&mut self, at: Instant, host: HostId, partition: &TopicPartition, bytes: &[u8]) {
        for (_, whole) in batch::batches(bytes).map_while(Result::ok) {
            for record in batch::records(whole, LARGEST).unwrap_or_default() {
                let (key, value) = (record.key, record.value);
                // What can't be read says nothing here: checkers report it.
                let Ok(Record::Stored { id, transaction, .. }) =
                    Record::decode(KeyValue { key, value })
                else {
                    continue;
                };
                let id: Arc<str> = id.as_str().into();
                self.homes.entry(Arc::clone(&id)).or_insert_with(|| partition.clone());
                let fact = Fact::Stored {
                    id,
                    producer: transaction.producer,
                    epoch: transaction.epoch,
                    state: transaction.state,
                    partitions: transaction.partitions.iter().cloned().collect(),
                };
                self.add(at, host, fact);
            }
        }
    }
}

/// The partition of `__transaction_state` that a path belongs to, if it is a log of one.
pub(super) fn is_of_coordinator(path: &str) -> bool {
    path.contains("/__transaction_state-") && path.ends_with(".log")
}

/// What a request of a leader to a coordinator asks; `frame` is without its length.
pub(super) fn verified(
    at: Instant,
    (leader, coordinator): (HostId, HostId),
    frame: Vec<u8>,
) -> Vec<Verified> {
    let Ok(request) = decode_request(frame) else { return Vec::new() };
    if request.header.api_version < SEVERAL {
        return Vec::new();
    }
    let Ok(asked) = request.decode::<AddPartitionsToTxnRequest>() else { return Vec::new() };
    let one = |transaction: crate::wire::messages::add_partitions_to_txn_request::AddPartitionsToTxnTransaction| {
        let named = transaction.topics.iter().flat_map(|topic| {
            let name: Arc<str> = topic.name.as_str().into();
            let ids = topic.partitions.iter();
            ids.map(move |id| TopicPartition::new(Arc::clone(&name), *id))
        });
        Verified {
            at,
            leader,
            coordinator,
            id: transaction.transactional_id.as_str().into(),
            epoch: ProducerEpoch(transaction.producer_epoch),
            only: transaction.verify_only,
            partitions: named.collect(),
        }
    };
    asked.transactions.into_iter().map(one).collect()
}
