//! Produce requests: the records stay in the buffers in which they were built.

use bytes::Bytes;

use super::frame::{FrameError, begin_request};
use super::messages::produce_request::TopicProduceData;
use super::messages::{
    ApiVersion, EncodeError, Encoder, KafkaEncode, KafkaMessage, ProduceRequest, StrBytes,
};
use super::splice::{Cut, Piece, Style, splice};

/// A whole produce request, its length first, as buffers to be sent in order. Batches are not
/// copied; they are taken out of `request`, which is of no use afterwards.
pub fn encode_request(
    correlation_id: i32,
    client_id: &str,
    version: i16,
    mut request: ProduceRequest,
) -> Result<Vec<Bytes>, FrameError> {
    let partitions = request.topic_data.iter_mut().flat_map(|topic| &mut topic.partition_data);
    // Null records stay null.
    let records: Vec<Option<Bytes>> =
        partitions.map(|partition| partition.records.as_mut().map(std::mem::take)).collect();
    let pieces = encode(correlation_id, client_id, version, &request, &records)
        .map_err(|error| FrameError::Encode { what: ProduceRequest::NAME, error })?;
    let buffers = pieces.into_iter().filter_map(|piece| match piece {
        Piece::Bytes(bytes) => Some(bytes),
        Piece::Records(index) => records.get(index).cloned().flatten(),
    });
    Ok(buffers.collect())
}

fn encode(
    correlation_id: i32,
    client_id: &str,
    version: i16,
    request: &ProduceRequest,
    records: &[Option<Bytes>],
) -> Result<Vec<Piece>, EncodeError> {
    let mut whole = begin_request::<ProduceRequest>(correlation_id, client_id, version)?;
    let version = ApiVersion::new(version);
    let style = Style::of(ProduceRequest::is_flexible(version));
    let mut at = whole.len() + before_topics(request, version, style)?;
    request.encode(&mut Encoder::new(&mut whole), version)?;
    let mut cuts = Vec::with_capacity(records.len());
    let mut index = 0;
    for topic in &request.topic_data {
        at += before_partitions(topic, version, style)?;
        for partition in &topic.partition_data {
            let end = at + partition.encoded_len(version)?;
            if let Some(records) = records.get(index).and_then(Option::as_ref) {
                let tags = style.tags(&partition.unknown_tagged_fields)?;
                let at = end - tags - style.empty_len();
                cuts.push(Cut { at, partition: index, len: records.len() });
            }
            at = end;
            index += 1;
        }
        at += style.tags(&topic.unknown_tagged_fields)?;
    }
    splice(&whole, style, &cuts)
}

/// Bytes of a request before its first topic.
fn before_topics(
    request: &ProduceRequest,
    version: ApiVersion,
    style: Style,
) -> Result<usize, EncodeError> {
    let mut without = ProduceRequest::default();
    without.transactional_id = request.transactional_id.clone();
    let fields = without.encoded_len(version)? - style.empty_len() - style.no_tags();
    Ok(fields + style.count_len(request.topic_data.len()))
}

/// Bytes of a topic before its first partition.
fn before_partitions(
    topic: &TopicProduceData,
    version: ApiVersion,
    style: Style,
) -> Result<usize, EncodeError> {
    let mut without = TopicProduceData::default();
    without.name = StrBytes::clone(&topic.name);
    without.topic_id = topic.topic_id;
    let fields = without.encoded_len(version)? - style.empty_len() - style.no_tags();
    Ok(fields + style.count_len(topic.partition_data.len()))
}

#[cfg(test)]
mod tests;
