//! Checks of a batch's producer before a leader appends it: duplicates, epochs, sequence numbers, and
//! transactions.
//!
//! Source: Kafka's `UnifiedLog.analyzeAndValidateProducerState` and `ProducerAppendInfo`.

use std::collections::BTreeMap;

use super::producers::{Duplicate, Producer, Producers, REMEMBERED};
use super::verification::{Guard, TransactionalWrite, Verifications};
use super::{AppendError, Log, transactions, validate};
use crate::base::{Flaw, Flaws, ProducerId, Timestamp};
use crate::io::Disk;
use crate::wire::batch::BatchHeader;

/// From this transaction version on, a producer has a new epoch for each transaction, and a marker
/// has the epoch after that of the batches (KIP-890).
const EPOCH_PER_TRANSACTION: i8 = 2;

/// The writer of a batch that a leader appends. Source: Kafka's `AppendOrigin`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writer {
    /// A client, with the guard of the verification that its transaction passed.
    Client(Guard),
    /// A coordinator of this broker: records of an internal topic, without sequence numbers. Offsets
    /// in a transaction need a guard, too.
    Coordinator(Guard),
    /// A transaction coordinator, which ends a transaction of this version with a marker (KIP-1228).
    Marker {
        /// `transaction.version` of the transaction.
        version: i8,
    },
}

impl Writer {
    pub(super) fn origin(self) -> validate::Origin {
        match self {
            Self::Client(_) => validate::Origin::Client,
            Self::Coordinator(_) | Self::Marker { .. } => validate::Origin::Coordinator,
        }
    }
}

impl<D: Disk> Log<D> {
    /// Begins to verify that this partition belongs to a transaction. `None` if the log has a batch
    /// of it already: then it does.
    pub fn begin_verification(
        &mut self,
        write: &TransactionalWrite,
        now: Timestamp,
    ) -> Result<Option<Guard>, AppendError> {
        if let Some(known) = self.producers.get(write.producer) {
            if write.epoch < known.epoch {
                return Err(AppendError::InvalidProducerEpoch {
                    producer: write.producer,
                    current: known.epoch,
                    found: write.epoch,
                });
            }
            if known.transaction_start.is_some() && known.epoch == write.epoch {
                return Ok(None);
            }
        }
        let guard = self.verifications.begin(write, now);
        self.verifications.check();
        self.note_idle_since(now);
        Ok(Some(guard))
    }

    /// Ends all verifications: the role of this replica changes.
    pub fn abandon_verifications(&mut self) {
        self.verifications.clear();
    }

    /// Whether the batches may be appended; the earlier batch, if the first of them is a duplicate.
    pub(super) fn admit(
        &self,
        batches: &[u8],
        headers: &[BatchHeader],
        writer: Writer,
    ) -> Result<Option<Duplicate>, AppendError> {
        let admission = Admission {
            producers: &self.producers,
            verifications: &self.verifications,
            verified: self.config.verified_transactions,
            flaws: self.config.flaws,
        };
        let (guard, version) = match writer {
            Writer::Client(guard) => return admission.of_client(headers, guard),
            Writer::Coordinator(guard) => (guard, 0),
            Writer::Marker { version } => (Guard::NONE, version),
        };
        admission.of_decided(batches, headers, guard, version)?;
        Ok(None)
    }
}

/// The state that decides whether a batch is appended.
#[derive(Clone, Copy)]
struct Admission<'a> {
    producers: &'a Producers,
    verifications: &'a Verifications,
    /// Whether transactions have to be verified.
    verified: bool,
    flaws: Flaws,
}

impl Admission<'_> {
    /// A producer that is not remembered may begin with any sequence number (KIP-360): its earlier
    /// batches may be gone by retention.
    fn of_client(
        &self,
        batches: &[BatchHeader],
        guard: Guard,
    ) -> Result<Option<Duplicate>, AppendError> {
        let flaws = self.flaws;
        let window = if flaws.has(Flaw::OneBatchWindow) { 1 } else { REMEMBERED };
        let mut seen: BTreeMap<ProducerId, Producer> = BTreeMap::new();
        for (index, header) in batches.iter().enumerate().filter(|(_, h)| h.has_producer()) {
            let id = header.producer_id;
            let current = seen.get(&id).or_else(|| self.producers.get(id));
            if let Some(earlier) = current.and_then(|of| of.duplicate_of(header, window)) {
                return Ok(Some(earlier));
            }
            self.check_verified(header, current, guard)?;
            if !flaws.has(Flaw::AnySequence) {
                self.check_first_sequence(header, current)?;
                if let Some(producer) = current {
                    producer.check_sequence(header)?;
                }
            }
            if let Some(producer) = current {
                producer.check_transaction(header)?;
            }
            if index + 1 < batches.len() {
                let mut after = current.cloned().unwrap_or(Producer::new(header.producer_epoch));
                after.apply(header);
                seen.insert(id, after);
            }
        }
        Ok(None)
    }

    /// A batch of a transaction is in the log only with its coordinator's knowledge: the transaction
    /// has a batch already, or was verified.
    fn check_verified(
        &self,
        header: &BatchHeader,
        producer: Option<&Producer>,
        guard: Guard,
    ) -> Result<(), AppendError> {
        if !header.is_transactional() || header.is_control() {
            return Ok(());
        }
        if let Some(producer) = producer {
            // Before the verification: a fenced producer can recover from this error (KAFKA-19690).
            producer.check_epoch(header)?;
            if producer.transaction_start.is_some() && producer.epoch == header.producer_epoch {
                return Ok(());
            }
        }
        let id = header.producer_id;
        let needed = self.verified && !self.flaws.has(Flaw::UnverifiedTransaction);
        match needed && !self.verifications.passes(id, guard) {
            true => Err(AppendError::NotInTransaction { producer: id }),
            false => Ok(()),
        }
    }

    /// Checks the sequence number of a batch against the verification that it was appended after.
    fn check_first_sequence(
        &self,
        header: &BatchHeader,
        producer: Option<&Producer>,
    ) -> Result<(), AppendError> {
        let (id, epoch, found) = (header.producer_id, header.producer_epoch, header.base_sequence);
        let Some(verification) = self.verifications.get(id) else { return Ok(()) };
        if let Some(producer) = producer {
            producer.check_epoch(header)?;
        }
        let out_of_order =
            |expected| AppendError::OutOfOrderSequence { producer: id, epoch, expected, found };
        // Each transaction has an epoch of its own, so this producer has lost nothing here.
        let is_new = producer.is_none_or(|producer| producer.batches.is_empty());
        if verification.bumps_epoch() && is_new && found != 0 {
            return Err(out_of_order(0));
        }
        let lowest = verification.lowest_sequence();
        if found > lowest { Err(out_of_order(lowest)) } else { Ok(()) }
    }

    /// Whether a coordinator may append batches for producers. Sequence numbers are the coordinator's
    /// own business; a newer epoch of the producer, or of its transaction coordinator, fences a batch.
    fn of_decided(
        &self,
        mut batches: &[u8],
        headers: &[BatchHeader],
        guard: Guard,
        version: i8,
    ) -> Result<(), AppendError> {
        for header in headers {
            let known = self.producers.get(header.producer_id).filter(|_| header.has_producer());
            if header.is_control() {
                if let Some(known) = known {
                    self.check_marker(header, known, version)?;
                    known.check_coordinator(header, transactions::coordinator_epoch(batches))?;
                }
            } else if header.has_producer() {
                self.check_verified(header, known, guard)?;
                if let Some(known) = known {
                    known.check_epoch(header)?;
                    known.check_transaction(header)?;
                }
            }
            batches = &batches[header.size()..];
        }
        Ok(())
    }

    /// Whether a marker may end the producer's transaction.
    ///
    /// Under transaction version 2 a marker has a newer epoch than the batches that it ends. One with
    /// the same epoch is late, and of the transaction before (KAFKA-19446); unless no transaction is
    /// open: then it repeats the last marker, whose answer was lost (KAFKA-19999).
    fn check_marker(
        &self,
        header: &BatchHeader,
        known: &Producer,
        version: i8,
    ) -> Result<(), AppendError> {
        let flaws = self.flaws;
        known.check_epoch(header)?;
        let strict =
            version >= EPOCH_PER_TRANSACTION && !flaws.has(Flaw::LateMarkerOfAnEarlierTransaction);
        let repeated = known.transaction_start.is_none() && !flaws.has(Flaw::StrictMarker);
        if strict && header.producer_epoch == known.epoch && !repeated {
            let (producer, current) = (header.producer_id, known.epoch);
            let found = header.producer_epoch;
            return Err(AppendError::InvalidProducerEpoch { producer, current, found });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
