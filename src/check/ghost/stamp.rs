//! What the header of a batch, and the record of a marker, say about transactions.
//!
//! Source: Kafka's `ControlRecordType` and `EndTransactionMarker`.

use super::fields::Fields;
use crate::base::{ProducerEpoch, ProducerId};
use crate::wire::batch::{self, BatchHeader};

/// Most bytes of a control batch's records.
const LARGEST: usize = 1 << 20;

/// A batch's part in transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stamp {
    /// Its records belong to no transaction.
    Plain,
    /// Its records belong to a transaction.
    Data { producer: ProducerId, epoch: ProducerEpoch },
    /// It ends a transaction.
    Marker { producer: ProducerId, epoch: ProducerEpoch, commit: bool },
    /// Another control batch.
    Control,
}

impl Stamp {
    /// Reads a whole batch.
    pub fn of(header: &BatchHeader, bytes: &[u8]) -> Self {
        let (producer, epoch) = (header.producer_id, header.producer_epoch);
        match (header.is_control(), header.is_transactional()) {
            (false, false) => Self::Plain,
            (false, true) => Self::Data { producer, epoch },
            (true, _) => match marker(bytes) {
                Some(commit) => Self::Marker { producer, epoch, commit },
                None => Self::Control,
            },
        }
    }

    /// Whether applications never see its records.
    pub fn is_control(self) -> bool {
        matches!(self, Self::Marker { .. } | Self::Control)
    }

    /// Whether it is part of a transaction, or ends one.
    pub fn is_transactional(self) -> bool {
        matches!(self, Self::Data { .. } | Self::Marker { .. })
    }
}

/// Whether a control batch is a marker, and of a commit.
fn marker(bytes: &[u8]) -> Option<bool> {
    let records = batch::records(bytes, LARGEST).ok()?;
    let key = records.first()?.key.clone()?;
    let mut key = Fields::new(&key);
    let (_version, kind) = (key.i16()?, key.i16()?);
    match kind {
        0 => Some(false),
        1 => Some(true),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two transactions that overlap among others, and one that is open.
    const PAYMENTS: &[u8] =
        include_bytes!("../../../sims/fixtures/kafka/data/payments-0/00000000000000000005.log");

    #[test]
    fn stamps_of_a_log_that_kafka_wrote_show_its_transactions() {
        let stamps = batch::batches(PAYMENTS).map(|found| {
            let (header, bytes) = found.unwrap();
            match Stamp::of(&header, bytes) {
                Stamp::Data { producer, epoch } => format!("{producer}/{epoch}"),
                Stamp::Marker { producer, epoch, commit: true } => format!("{producer}/{epoch}+"),
                Stamp::Marker { producer, epoch, commit: false } => format!("{producer}/{epoch}-"),
                other => format!("{other:?}"),
            }
        });
        let stamps = stamps.collect::<Vec<_>>().join(" ");
        assert_eq!(
            stamps,
            "5/1+ 5/1 5/1 5/1 5/2- 5/2 5/2 6/0 6/0 6/0 6/0 5/2 5/2 6/1- 5/3+ 6/1 6/1 6/1 6/2+ 7/0 7/0"
        );
    }

    #[test]
    fn control_batch_of_another_kind_is_no_marker() {
        use crate::base::Timestamp;
        use crate::base::config::Compression;
        use crate::wire::batch::BatchBuilder;
        for (key, stamp) in [
            (&[0, 0, 0, 2][..], Stamp::Control),
            (&[0, 0][..], Stamp::Control),
            (
                &[0, 0, 0, 1][..],
                Stamp::Marker { producer: ProducerId(7), epoch: ProducerEpoch(3), commit: true },
            ),
        ] {
            let builder = BatchBuilder::new(Compression::None, Timestamp(0));
            let mut builder = builder.transactional().control();
            builder.append(Timestamp(0), Some(key), Some(&[0; 6]), &[]);
            let bytes = builder.finish(ProducerId(7), ProducerEpoch(3), -1);
            let header = BatchHeader::parse(&bytes).unwrap();
            assert_eq!(Stamp::of(&header, &bytes), stamp);
        }
    }
}
