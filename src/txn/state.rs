//! What a transaction coordinator replicates: its transactional ids.

use std::convert::Infallible;

use super::TransactionalId;
use super::record::{Record, RecordError};
use super::transaction::Transaction;
use crate::base::{Offset, ProducerId};
use crate::decide::{SharedMap, State};
use crate::wire::ErrorCode;

/// The transactional ids of one partition of `__transaction_state`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transactions {
    of: SharedMap<TransactionalId, Found>,
    /// Offsets of records that belong to no transactional id, and what is wrong with each.
    unreadable: SharedMap<Offset, RecordError>,
}

/// What is known of a transactional id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// As it was stored last.
    Stored(Transaction),
    /// Its last record can't be read, so its state is not known.
    Offline {
        /// The offset of that record.
        at: Offset,
        /// What is wrong with it.
        error: RecordError,
    },
}

/// What a record changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change(pub TransactionalId);

impl Transactions {
    /// The transaction of an id. An id that is offline is refused; Kafka would not have loaded any
    /// id whose record comes after that one.
    pub fn get(&self, id: &str) -> Result<Option<&Transaction>, ErrorCode> {
        match self.of.get(id) {
            None => Ok(None),
            Some(Found::Stored(transaction)) => Ok(Some(transaction)),
            Some(Found::Offline { .. }) => Err(ErrorCode::UnknownServerError),
        }
    }

    /// The transaction of an id that is stored and can be read.
    pub fn stored(&self, id: &str) -> Option<&Transaction> {
        self.get(id).ok().flatten()
    }

    /// Every id, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&TransactionalId, &Found)> {
        self.of.iter()
    }

    /// Every id that can be read, in order.
    pub fn transactions(&self) -> impl Iterator<Item = (&TransactionalId, &Transaction)> {
        self.of.iter().filter_map(|(id, found)| match found {
            Found::Stored(transaction) => Some((id, transaction)),
            Found::Offline { .. } => None,
        })
    }

    /// Records that belong to no transactional id: their offsets, and what is wrong with them.
    pub fn unreadable(&self) -> impl Iterator<Item = (Offset, &RecordError)> {
        self.unreadable.iter().map(|(at, error)| (*at, error))
    }
}

impl State for Transactions {
    type Record = Record;
    type Change = Change;
    /// After compaction, records may come in any order.
    type Error = Infallible;

    fn replay(
        &mut self,
        offset: Offset,
        record: &Record,
        changes: &mut Vec<Change>,
    ) -> Result<(), Infallible> {
        let id = match record {
            Record::Stored { id, version, transaction } => {
                let mut transaction = transaction.clone();
                if *version == 0 {
                    // It has no room for the producer before: that is in memory only, as in Kafka.
                    let known = self.stored(id.as_str());
                    transaction.previous = known.map_or(ProducerId::NONE, |known| known.producer);
                }
                self.of.insert(id.clone(), Found::Stored(transaction));
                id
            }
            Record::Expired(id) => {
                self.of.remove(id);
                id
            }
            Record::Corrupt { id, error, .. } => {
                let offline = Found::Offline { at: offset, error: error.clone() };
                self.of.insert(id.clone(), offline);
                id
            }
            Record::Unreadable { error, .. } => {
                self.unreadable.insert(offset, error.clone());
                return Ok(());
            }
        };
        changes.push(Change(id.clone()));
        Ok(())
    }
}
