//! Fetch responses: the records stay in files.

use bytes::Bytes;

use super::frame::{FrameError, begin_response};
use super::messages::fetch_response::{FetchableTopicResponse, PartitionData};
use super::messages::{
    ApiVersion, EncodeError, Encoder, FetchResponse, KafkaEncode, KafkaMessage, StrBytes,
};
use super::splice::{Cut, Piece, Style, splice};

/// A whole fetch response, its length first, as pieces to be sent in order.
///
/// `records` has one entry per partition, in the order of `response` over all topics: how many
/// bytes of records will be sent for it, or none if it keeps what `response` has. Wherever there
/// is a length, `records` of the partition is replaced.
pub fn encode_response(
    correlation_id: i32,
    version: i16,
    mut response: FetchResponse,
    records: &[Option<usize>],
) -> Result<Vec<Piece>, FrameError> {
    let partitions = response.responses.iter_mut().flat_map(|topic| &mut topic.partitions);
    for (partition, length) in partitions.zip(records) {
        if length.is_some() {
            partition.records = Some(Bytes::new());
        }
    }
    encode(correlation_id, version, &response, records)
        .map_err(|error| FrameError::Encode { what: FetchResponse::NAME, error })
}

fn encode(
    correlation_id: i32,
    version: i16,
    response: &FetchResponse,
    records: &[Option<usize>],
) -> Result<Vec<Piece>, EncodeError> {
    let mut whole = begin_response::<FetchResponse>(correlation_id, version);
    let version = ApiVersion::new(version);
    let style = Style::of(FetchResponse::is_flexible(version));
    let mut at = whole.len() + before_topics(response, version, style)?;
    response.encode(&mut Encoder::new(&mut whole), version)?;
    let mut cuts = Vec::with_capacity(records.len());
    let mut index = 0;
    for topic in &response.responses {
        at += before_partitions(topic, version, style)?;
        for partition in &topic.partitions {
            let end = at + partition.encoded_len(version)?;
            if let Some(len) = records.get(index).copied().flatten() {
                let tags = tags_len(partition, end - at, version, style)?;
                cuts.push(Cut { at: end - tags - style.empty_len(), partition: index, len });
            }
            at = end;
            index += 1;
        }
        at += style.tags(&topic.unknown_tagged_fields)?;
    }
    splice(&whole, style, &cuts)
}

/// Bytes of a response before its first topic.
fn before_topics(
    response: &FetchResponse,
    version: ApiVersion,
    style: Style,
) -> Result<usize, EncodeError> {
    let without = FetchResponse::default().encoded_len(version)?;
    let fields = without - style.empty_len() - style.no_tags();
    Ok(fields + style.count_len(response.responses.len()))
}

/// Bytes of a topic before its first partition.
fn before_partitions(
    topic: &FetchableTopicResponse,
    version: ApiVersion,
    style: Style,
) -> Result<usize, EncodeError> {
    let mut without = FetchableTopicResponse::default();
    without.topic = StrBytes::clone(&topic.topic);
    without.topic_id = topic.topic_id;
    let fields = without.encoded_len(version)? - style.empty_len() - style.no_tags();
    Ok(fields + style.count_len(topic.partitions.len()))
}

/// Bytes of the tags after a partition's records, of which it takes `len` in all.
fn tags_len(
    partition: &PartitionData,
    len: usize,
    version: ApiVersion,
    style: Style,
) -> Result<usize, EncodeError> {
    if style == Style::Fixed {
        return Ok(0);
    }
    let mut without = PartitionData::default();
    without.preferred_read_replica = partition.preferred_read_replica;
    without.aborted_transactions = partition.aborted_transactions.clone();
    without.records = partition.records.clone();
    Ok(len - without.encoded_len(version)? + style.no_tags())
}

#[cfg(test)]
mod tests;
