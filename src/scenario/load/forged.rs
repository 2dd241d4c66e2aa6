//! Requests that must be refused: batches and sequence numbers as no client of ours sends them.

use bytes::Bytes;

use crate::base::config::Compression;
use crate::base::{Offset, ProducerEpoch, ProducerId, Timestamp};
use crate::client::ProducerRecord;
use crate::sim::Misdeed;
use crate::wire::batch::{BatchBuilder, BatchHeader, HEADER_LEN};
use crate::wire::crc32c::crc32c;
use crate::wire::messages::produce_request::{PartitionProduceData, TopicProduceData};
use crate::wire::messages::{ProduceRequest, message};

const TRANSACTIONAL: i16 = 0x10;
const CONTROL: i16 = 0x20;
/// Where a batch has its checksum, and what it covers.
const AT_CRC: usize = 17;
const AFTER_CRC: usize = 21;

/// An idempotent producer, or none.
#[derive(Clone, Copy, Debug)]
pub(super) struct Identity {
    pub id: ProducerId,
    pub epoch: ProducerEpoch,
}

impl Identity {
    pub const NONE: Self = Self { id: ProducerId::NONE, epoch: ProducerEpoch::NONE };
}

/// A batch of one record.
pub(super) fn batch(
    record: &ProducerRecord,
    now: Timestamp,
    identity: Identity,
    sequence: i32,
) -> Bytes {
    let mut builder = BatchBuilder::new(Compression::None, now);
    let headers: Vec<_> =
        record.headers.iter().map(|header| (&header.key[..], header.value.as_deref())).collect();
    builder.append(now, record.key.as_deref(), record.value.as_deref(), &headers);
    builder.finish(identity.id, identity.epoch, sequence)
}

/// Whether it takes an acknowledged record of the same producer before it.
pub(super) fn needs_another(misdeed: Misdeed) -> bool {
    matches!(misdeed, Misdeed::SequenceGap | Misdeed::OldEpoch | Misdeed::Repeated)
}

/// The batch with its flaw; the record of another producer for those that need one before.
pub(super) fn forged(
    misdeed: Misdeed,
    record: &ProducerRecord,
    now: Timestamp,
    identity: Identity,
) -> Bytes {
    let plain = || batch(record, now, Identity::NONE, -1);
    let with = |change: &dyn Fn(&mut BatchHeader)| with(plain(), change);
    match misdeed {
        Misdeed::BaseOffset => with(&|header| header.base_offset = Offset(5)),
        Misdeed::ControlBit => with(&|header| header.attributes |= CONTROL),
        Misdeed::TransactionalBit => with(&|header| header.attributes |= TRANSACTIONAL),
        Misdeed::RecordCount => with(&|header| (header.count, header.last_offset_delta) = (3, 2)),
        Misdeed::Checksum => {
            let mut bytes = plain().to_vec();
            bytes[AT_CRC] ^= 1;
            bytes.into()
        }
        Misdeed::TwoBatches => [plain(), plain()].concat().into(),
        Misdeed::HalfBatch => plain().slice(..HEADER_LEN / 2),
        // The record is too large, or the request has its flaw elsewhere.
        Misdeed::Size | Misdeed::Acks => plain(),
        Misdeed::SequenceGap => batch(record, now, identity, 5),
        Misdeed::OldEpoch => {
            let epoch = ProducerEpoch(identity.epoch.0 - 1);
            batch(record, now, Identity { epoch, ..identity }, 1)
        }
        Misdeed::Repeated => batch(record, now, identity, 0),
    }
}

/// The same batch with another header, and a checksum that is right.
fn with(batch: Bytes, change: &dyn Fn(&mut BatchHeader)) -> Bytes {
    let mut bytes = batch.to_vec();
    if let (Ok(mut header), Some(place)) = (BatchHeader::read(&batch), bytes.first_chunk_mut()) {
        change(&mut header);
        header.write(place);
    }
    let crc = crc32c(&bytes[AFTER_CRC..]);
    bytes[AT_CRC..AFTER_CRC].copy_from_slice(&crc.to_be_bytes());
    bytes.into()
}

/// A request for one partition.
pub(super) fn production(
    (topic, partition): (&str, i32),
    acks: i16,
    timeout_ms: i32,
    records: Bytes,
) -> ProduceRequest {
    let data = message!(PartitionProduceData { index: partition, records: Some(records) });
    let name = topic.to_owned().into();
    let topic = message!(TopicProduceData { name: name, partition_data: vec![data] });
    message!(ProduceRequest { acks: acks, timeout_ms: timeout_ms, topic_data: vec![topic] })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::batch::check;

    #[test]
    fn forged_batches_are_whole_and_sealed_where_the_flaw_is_another() {
        let record = ProducerRecord::new("orders", "value");
        let identity = Identity { id: ProducerId(7), epoch: ProducerEpoch(1) };
        for misdeed in Misdeed::ALL {
            let bytes = forged(misdeed, &record, Timestamp(9), identity);
            let whole = !matches!(misdeed, Misdeed::Checksum | Misdeed::HalfBatch);
            assert_eq!(check(&bytes).is_ok(), whole, "{misdeed:?}");
        }
        let header = |misdeed| check(&forged(misdeed, &record, Timestamp(9), identity)).unwrap();
        assert_eq!(header(Misdeed::SequenceGap).base_sequence, 5);
        assert_eq!(header(Misdeed::OldEpoch).producer_epoch, ProducerEpoch(0));
        assert!(header(Misdeed::ControlBit).is_control());
    }
}
