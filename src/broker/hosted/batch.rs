//! Decided records as a batch, and back.

use bytes::BytesMut;

use crate::base::config::Compression;
use crate::base::{Offset, ProducerEpoch, ProducerId, Timestamp};
use crate::decide::{Content, KeyValue, LogRecord};
use crate::log::Marker;
use crate::wire::batch::{self, BatchBuilder, BatchError, BatchHeader};

/// The sequence number of batches that have none. Source: Kafka's `RecordBatch.NO_SEQUENCE`.
const NO_SEQUENCE: i32 = -1;

/// One decision is one batch: all of it is in the log, or none.
pub(crate) fn encode<R: LogRecord>(records: &[R], now: Timestamp) -> BytesMut {
    let builder = with_records(BatchBuilder::new(Compression::None, now), records, now);
    BytesMut::from(&builder.finish_plain()[..])
}

/// The same for a decision that is part of a producer's transaction. It has no sequence numbers.
pub(super) fn encode_in_transaction<R: LogRecord>(
    records: &[R],
    producer: (ProducerId, ProducerEpoch),
    now: Timestamp,
) -> BytesMut {
    let builder = BatchBuilder::new(Compression::None, now).transactional();
    let builder = with_records(builder, records, now);
    BytesMut::from(&builder.finish(producer.0, producer.1, NO_SEQUENCE)[..])
}

fn with_records<R: LogRecord>(
    mut builder: BatchBuilder,
    records: &[R],
    now: Timestamp,
) -> BatchBuilder {
    for record in records {
        let KeyValue { key, value } = record.encode();
        builder.append(now, key.as_deref(), value.as_deref(), &[]);
    }
    builder
}

/// A batch of a decided log that can't be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BadBatch<E> {
    /// The bytes are not a batch, or not as long as they say.
    #[error("at offset {offset}: {error}")]
    Batch { offset: Offset, error: BatchError },
    /// A record that its machine does not know.
    #[error("at offset {offset}: {error}")]
    Record { offset: Offset, error: E },
}

/// The content of one batch, `max` bytes at most when decompressed. A control batch that is about no
/// transaction, or whose marker a cleaner took, has none.
pub(crate) fn content<R: LogRecord>(
    header: &BatchHeader,
    bytes: &[u8],
    max: usize,
) -> Result<Content<R>, BadBatch<R::Error>> {
    let producer = header.producer_id;
    if !header.is_control() {
        let records = decode(header, bytes, max)?;
        return Ok(match header.is_transactional() {
            true => Content::InTransaction(producer, records),
            false => Content::Records(records),
        });
    }
    let marker =
        Marker::of(bytes).map_err(|error| BadBatch::Batch { offset: header.base_offset, error })?;
    let end = |is_committed| Content::EndOfTransaction { producer, is_committed };
    Ok(match marker {
        Some(Marker::Commit) => end(true),
        Some(Marker::Abort) => end(false),
        Some(Marker::Other) | None => Content::Records(Vec::new()),
    })
}

/// The records of one batch, `max` bytes at most when decompressed. A control batch has none.
pub(crate) fn decode<R: LogRecord>(
    header: &BatchHeader,
    bytes: &[u8],
    max: usize,
) -> Result<Vec<(Offset, R)>, BadBatch<R::Error>> {
    if header.is_control() {
        return Ok(Vec::new());
    }
    let records = batch::records(bytes, max);
    let records = records.map_err(|error| BadBatch::Batch { offset: header.base_offset, error })?;
    let mut decoded = Vec::with_capacity(records.len());
    for record in records {
        let offset = record.offset;
        let bytes = KeyValue { key: record.key, value: record.value };
        let read = R::decode(bytes).map_err(|error| BadBatch::Record { offset, error })?;
        decoded.push((offset, read));
    }
    Ok(decoded)
}
