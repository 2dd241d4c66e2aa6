//! The lines of transactions.

use super::{End, Said, outcome_of, read_partition, told};
use crate::base::{ProducerEpoch, ProducerId};
use crate::sim::{Ended, TransactionEvent};

/// The line of a transaction's event.
pub(super) fn said(event: TransactionEvent) -> Said {
    match event {
        TransactionEvent::Identified { producer, transactional_id, id, epoch } => {
            let transactional_id = transactional_id.map(|id| id.to_string());
            Said::Identified { producer, transactional_id, producer_id: id.0, epoch: epoch.0 }
        }
        TransactionEvent::Bumped { producer, id, epoch } => {
            Said::Bumped { producer, producer_id: id.0, epoch: epoch.0 }
        }
        TransactionEvent::Began { producer, txn } => Said::TransactionBegan { producer, txn },
        TransactionEvent::Transformed {
            producer,
            txn,
            group,
            partition,
            offset,
            value,
            key,
            outputs,
        } => {
            let (group, partition) = (group.to_string(), partition.to_string());
            Said::Transformed { producer, txn, group, partition, offset, value, key, outputs }
        }
        TransactionEvent::SendingOffsets { producer, txn, group, generation, offsets } => {
            let offsets =
                offsets.iter().map(|(partition, offset)| (partition.to_string(), *offset));
            let (group, offsets) = (group.to_string(), offsets.collect());
            Said::SendingOffsets { producer, txn, group, generation, offsets }
        }
        TransactionEvent::SentOffsets { producer, txn, group, outcome } => {
            let (outcome, error) = told(outcome);
            Said::SentOffsets { producer, txn, group: group.to_string(), outcome, error }
        }
        TransactionEvent::Ending { producer, txn, commit } => {
            Said::TransactionEnding { producer, txn, commit }
        }
        TransactionEvent::Ended { producer, txn, outcome } => {
            let (outcome, error) = match outcome {
                Ended::Committed => (End::Committed, None),
                Ended::Aborted => (End::Aborted, None),
                Ended::Unknown { error } => (End::Unknown, Some(error)),
                Ended::Fenced { error } => (End::Fenced, Some(error)),
            };
            Said::TransactionEnded { producer, txn, outcome, error }
        }
    }
}

/// The event of a transaction's line.
pub(super) fn heard(said: Said) -> Result<TransactionEvent, String> {
    Ok(match said {
        Said::Identified { producer, transactional_id, producer_id, epoch } => {
            let transactional_id = transactional_id.map(|id| id.as_str().into());
            let (id, epoch) = (ProducerId(producer_id), ProducerEpoch(epoch));
            TransactionEvent::Identified { producer, transactional_id, id, epoch }
        }
        Said::Bumped { producer, producer_id, epoch } => {
            let (id, epoch) = (ProducerId(producer_id), ProducerEpoch(epoch));
            TransactionEvent::Bumped { producer, id, epoch }
        }
        Said::TransactionBegan { producer, txn } => TransactionEvent::Began { producer, txn },
        Said::Transformed { producer, txn, group, partition, offset, value, key, outputs } => {
            let (group, partition) = (group.into(), read_partition(&partition)?);
            TransactionEvent::Transformed {
                producer,
                txn,
                group,
                partition,
                offset,
                value,
                key,
                outputs,
            }
        }
        Said::SendingOffsets { producer, txn, group, generation, offsets } => {
            let offsets = offsets.iter().map(|(name, offset)| Ok((read_partition(name)?, *offset)));
            let (group, offsets) = (group.into(), offsets.collect::<Result<_, String>>()?);
            TransactionEvent::SendingOffsets { producer, txn, group, generation, offsets }
        }
        Said::SentOffsets { producer, txn, group, outcome, error } => {
            let (group, outcome) = (group.into(), outcome_of(outcome, error));
            TransactionEvent::SentOffsets { producer, txn, group, outcome }
        }
        Said::TransactionEnding { producer, txn, commit } => {
            TransactionEvent::Ending { producer, txn, commit }
        }
        Said::TransactionEnded { producer, txn, outcome, error } => {
            let error = error.unwrap_or_default();
            let outcome = match outcome {
                End::Committed => Ended::Committed,
                End::Aborted => Ended::Aborted,
                End::Unknown => Ended::Unknown { error },
                End::Fenced => Ended::Fenced { error },
            };
            TransactionEvent::Ended { producer, txn, outcome }
        }
        _ => return Err("not an event of a transaction".into()),
    })
}
