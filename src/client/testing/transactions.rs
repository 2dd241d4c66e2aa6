//! A model of the coordinator of transactions, of the offsets that are committed with them, and of
//! the leaders' part in them.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::Model;
use crate::base::Offset;
use crate::wire::ErrorCode;
use crate::wire::batch::BatchHeader;
use crate::wire::messages::*;

/// The largest epoch of a producer that may still be used.
const LAST_EPOCH: i16 = i16::MAX - 1;

/// One transactional id.
#[derive(Debug)]
struct Transaction {
    producer: i64,
    epoch: i16,
    /// Those before the last change, by which a repeated request is recognized.
    before: (i64, i16),
    /// How the last one ended.
    ended: Option<bool>,
    open: bool,
    partitions: BTreeSet<i32>,
    groups: BTreeSet<String>,
}

/// Offsets by group and partition.
type Committed = BTreeMap<String, BTreeMap<(String, i32), i64>>;

/// Transactions by their ids.
#[derive(Debug, Default)]
pub(crate) struct ModelTransactions {
    by_id: BTreeMap<String, Transaction>,
    /// By the producer id of their transaction.
    pending: BTreeMap<i64, Committed>,
    pub(crate) committed: Committed,
    /// The generation of each group that has members.
    pub(crate) generations: BTreeMap<String, i32>,
    /// How many transactions were committed.
    pub(crate) commits: u64,
}

impl ModelTransactions {
    /// The transaction, if it is that of this producer.
    fn of(&mut self, id: &str, producer: i64, epoch: i16) -> Result<&mut Transaction, ErrorCode> {
        let known = self.by_id.get_mut(id).ok_or(ErrorCode::InvalidProducerIdMapping)?;
        if known.producer != producer && known.before.0 != producer {
            return Err(ErrorCode::InvalidProducerIdMapping);
        }
        if (known.producer, known.epoch) != (producer, epoch) {
            return Err(ErrorCode::ProducerFenced);
        }
        Ok(known)
    }
}

impl Transaction {
    /// The next epoch, or another id after the last one.
    fn bump(&mut self, fresh: impl FnOnce() -> i64) {
        self.before = (self.producer, self.epoch);
        if self.epoch >= LAST_EPOCH {
            (self.producer, self.epoch) = (fresh(), 0);
        } else {
            self.epoch += 1;
        }
    }
}

impl Model {
    pub(crate) fn transactions(&mut self) -> &mut ModelTransactions {
        &mut self.transactions
    }

    /// Answers InitProducerId, for a transactional id or for none.
    pub(crate) fn init(&mut self, request: &InitProducerIdRequest) -> InitProducerIdResponse {
        let granted = self.try_init(request);
        let (producer, epoch) = granted.unwrap_or((-1, -1));
        message!(InitProducerIdResponse {
            error_code: granted.map_or_else(ErrorCode::code, |_| 0),
            producer_id: producer,
            producer_epoch: epoch,
        })
    }

    fn try_init(&mut self, request: &InitProducerIdRequest) -> Result<(i64, i16), ErrorCode> {
        let fresh = self.init_producer_id();
        let Some(id) = &request.transactional_id else { return Ok((fresh, 0)) };
        let Some(known) = self.transactions.by_id.get_mut(id.as_str()) else {
            let transaction = Transaction {
                producer: fresh,
                epoch: 0,
                before: (-1, -1),
                ended: None,
                open: false,
                partitions: BTreeSet::new(),
                groups: BTreeSet::new(),
            };
            self.transactions.by_id.insert(id.to_string(), transaction);
            return Ok((fresh, 0));
        };
        let asked = (request.producer_id, request.producer_epoch);
        let is_repeated = asked == known.before && !known.open;
        if asked.0 >= 0 && is_repeated {
            return Ok((known.producer, known.epoch));
        }
        if asked.0 >= 0 && asked != (known.producer, known.epoch) {
            return Err(ErrorCode::ProducerFenced);
        }
        known.bump(|| fresh);
        // The old transaction is aborted in the new epoch, which fences its producer.
        if known.open {
            self.complete(id.as_str(), false);
        }
        let known = &self.transactions.by_id[id.as_str()];
        Ok((known.producer, known.epoch))
    }

    pub(crate) fn add_partitions(
        &mut self,
        request: &AddPartitionsToTxnRequest,
    ) -> AddPartitionsToTxnResponse {
        let id = request.v3_and_below_transactional_id.as_str();
        let (producer, epoch) =
            (request.v3_and_below_producer_id, request.v3_and_below_producer_epoch);
        let known = self.transactions.of(id, producer, epoch);
        let error = known.as_ref().map_or_else(|error| error.code(), |_| 0);
        if let Ok(known) = known {
            known.open = true;
            let topics = request.v3_and_below_topics.iter();
            known.partitions.extend(topics.flat_map(|topic| topic.partitions.iter().copied()));
        }
        let topics = request.v3_and_below_topics.iter().map(|topic| {
            let rows = topic.partitions.iter().map(|partition| {
                message!(add_partitions_to_txn_response::AddPartitionsToTxnPartitionResult {
                    partition_index: *partition,
                    partition_error_code: error,
                })
            });
            message!(add_partitions_to_txn_response::AddPartitionsToTxnTopicResult {
                name: topic.name.clone(),
                results_by_partition: rows.collect(),
            })
        });
        let topics = topics.collect();
        message!(AddPartitionsToTxnResponse { results_by_topic_v3_and_below: topics })
    }

    pub(crate) fn add_offsets(
        &mut self,
        request: &AddOffsetsToTxnRequest,
    ) -> AddOffsetsToTxnResponse {
        let id = request.transactional_id.as_str();
        let known = self.transactions.of(id, request.producer_id, request.producer_epoch);
        let error = known.as_ref().map_or_else(|error| error.code(), |_| 0);
        if let Ok(known) = known {
            known.open = true;
            known.groups.insert(request.group_id.to_string());
        }
        message!(AddOffsetsToTxnResponse { error_code: error })
    }

    /// `implicit`: the group is added to the transaction, as from version 5 on.
    pub(crate) fn commit_in_transaction(
        &mut self,
        request: &TxnOffsetCommitRequest,
        implicit: bool,
    ) -> TxnOffsetCommitResponse {
        let error = self.try_commit(request, implicit).map_or_else(ErrorCode::code, |()| 0);
        let topics = request.topics.iter().map(|topic| {
            let rows = topic.partitions.iter().map(|row| {
                message!(txn_offset_commit_response::TxnOffsetCommitResponsePartition {
                    partition_index: row.partition_index,
                    error_code: error,
                })
            });
            message!(txn_offset_commit_response::TxnOffsetCommitResponseTopic {
                name: topic.name.clone(),
                partitions: rows.collect(),
            })
        });
        message!(TxnOffsetCommitResponse { topics: topics.collect() })
    }

    fn try_commit(
        &mut self,
        request: &TxnOffsetCommitRequest,
        implicit: bool,
    ) -> Result<(), ErrorCode> {
        let (id, group) = (request.transactional_id.as_str(), request.group_id.to_string());
        let producer = request.producer_id;
        let generation = self.transactions.generations.get(&group).copied();
        let known = self.transactions.of(id, producer, request.producer_epoch)?;
        if generation.is_some_and(|known| known != request.generation_id_or_member_epoch) {
            return Err(ErrorCode::IllegalGeneration);
        }
        if implicit {
            known.open = true;
            known.groups.insert(group.clone());
        }
        if !known.open || !known.groups.contains(&group) {
            return Err(ErrorCode::InvalidTxnState);
        }
        let pending = self.transactions.pending.entry(producer).or_default();
        let pending = pending.entry(group).or_default();
        for topic in &request.topics {
            for row in &topic.partitions {
                pending.insert((topic.name.to_string(), row.partition_index), row.committed_offset);
            }
        }
        Ok(())
    }

    /// `bumps`: the next transaction has another epoch, as from version 5 on.
    pub(crate) fn end(&mut self, request: &EndTxnRequest, bumps: bool) -> EndTxnResponse {
        let ended = self.try_end(request, bumps);
        let (producer, epoch) = ended.ok().filter(|_| bumps).unwrap_or((-1, -1));
        message!(EndTxnResponse {
            error_code: ended.map_or_else(ErrorCode::code, |_| 0),
            producer_id: producer,
            producer_epoch: epoch,
        })
    }

    fn try_end(&mut self, request: &EndTxnRequest, bumps: bool) -> Result<(i64, i16), ErrorCode> {
        let id = request.transactional_id.as_str();
        let fresh = self.init_producer_id();
        let asked = (request.producer_id, request.producer_epoch);
        if let Some(known) = self.transactions.by_id.get(id)
            && bumps
            && known.before == asked
            && !known.open
            && known.ended == Some(request.committed)
        {
            return Ok((known.producer, known.epoch));
        }
        let known = self.transactions.of(id, asked.0, asked.1)?;
        match (known.open, bumps) {
            (true, _) => {
                if bumps {
                    known.bump(|| fresh);
                }
                self.complete(id, request.committed);
            }
            (false, true) if !request.committed => {
                known.ended = Some(false);
                known.bump(|| fresh);
            }
            (false, false) if known.ended == Some(request.committed) => {}
            _ => return Err(ErrorCode::InvalidTxnState),
        }
        let known = &self.transactions.by_id[id];
        Ok((known.producer, known.epoch))
    }

    /// Writes the markers.
    fn complete(&mut self, id: &str, commits: bool) {
        let Some(known) = self.transactions.by_id.get_mut(id) else { return };
        // The markers are of the producer whose records they are about.
        let of_records = if known.before.0 >= 0 && known.epoch == 0 {
            known.before
        } else {
            (known.producer, known.epoch)
        };
        known.open = false;
        known.ended = Some(commits);
        known.groups.clear();
        let partitions = std::mem::take(&mut known.partitions);
        for partition in partitions {
            self.log_mut(partition).mark(of_records.0, of_records.1, commits);
        }
        let pending = self.transactions.pending.remove(&of_records.0).unwrap_or_default();
        if commits {
            self.transactions.commits += 1;
            for (group, offsets) in pending {
                self.transactions.committed.entry(group).or_default().extend(offsets);
            }
        }
    }

    /// Whether a leader takes a batch of a transaction. `implicit`: it adds its partition to it.
    pub(super) fn verify(
        &mut self,
        id: &str,
        partition: i32,
        records: &Bytes,
        implicit: bool,
    ) -> Result<(), ErrorCode> {
        let header = BatchHeader::parse(records).map_err(|_| ErrorCode::CorruptMessage)?;
        assert!(header.is_transactional(), "a batch of {id} is in no transaction");
        let (producer, epoch) = (header.producer_id.0, header.producer_epoch.0);
        let known = match self.transactions.of(id, producer, epoch) {
            // Leaders say it with the error of their logs.
            Err(ErrorCode::ProducerFenced) => return Err(ErrorCode::InvalidProducerEpoch),
            known => known?,
        };
        if implicit {
            known.open = true;
            known.partitions.insert(partition);
        }
        let is_part = known.open && known.partitions.contains(&partition);
        if is_part { Ok(()) } else { Err(ErrorCode::InvalidTxnState) }
    }

    /// The offset up to which `read_committed` reads a partition.
    pub(crate) fn last_stable(&self, partition: i32) -> Offset {
        self.log(partition).last_stable()
    }
}
