//! WriteTxnMarkers: a transaction coordinator ends a transaction in the partitions that this broker
//! leads. An admin client may also end one that hangs (KIP-664).
//!
//! Since version 2 the coordinator says which version of the protocol the transaction has (KIP-1228):
//! from it follows which epoch a marker must have.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::base::{Instant, ProducerEpoch, ProducerId, topics};
use crate::broker::context::Broker;
use crate::broker::partition::Partition;
use crate::broker::serve::handler::{Context, Handler};
use crate::controller::Image;
use crate::io::{Disk, World, timeout, together};
use crate::log::TransactionEnd;
use crate::wire::ErrorCode;
use crate::wire::messages::write_txn_markers_request::WritableTxnMarker;
use crate::wire::messages::write_txn_markers_response::{
    WritableTxnMarkerPartitionResult, WritableTxnMarkerResult, WritableTxnMarkerTopicResult,
};
use crate::wire::messages::{StrBytes, WriteTxnMarkersRequest, WriteTxnMarkersResponse, message};

/// How long the replicas may take. Source: Kafka's default of the broker's `request.timeout.ms`.
const PATIENCE: Duration = Duration::from_secs(30);

/// Most markers of one request that wait for their replicas at the same time.
const AT_ONCE: usize = 256;

pub(in crate::broker) struct WriteTxnMarkers;

impl<W: World> Handler<Broker<W>> for WriteTxnMarkers {
    type Request = WriteTxnMarkersRequest;
    type Response = WriteTxnMarkersResponse;

    async fn handle(
        broker: &Arc<Broker<W>>,
        request: WriteTxnMarkersRequest,
        _: Context<'_>,
    ) -> WriteTxnMarkersResponse {
        let (image, deadline) = (broker.image(), broker.world.now() + PATIENCE);
        let (mut places, mut appends) = (Vec::new(), Vec::new());
        for marker in &request.markers {
            let end = transaction_end(marker);
            for topic in &marker.topics {
                for index in &topic.partition_indexes {
                    places.push((marker.producer_id, topic.name.clone(), *index));
                    appends.push(write(broker, &image, &topic.name, *index, end, deadline));
                }
            }
        }
        let results = together(AT_ONCE, appends).await;
        broker.world.disk().settle().await;
        respond(&request.markers, places.into_iter().zip(results))
    }
}

fn transaction_end(marker: &WritableTxnMarker) -> TransactionEnd {
    TransactionEnd {
        producer: ProducerId(marker.producer_id),
        producer_epoch: ProducerEpoch(marker.producer_epoch),
        coordinator_epoch: marker.coordinator_epoch,
        commit: marker.transaction_result,
        version: marker.transaction_version,
    }
}

/// Writes one marker, and waits until it is committed. In a partition of `__consumer_offsets` the group
/// coordinator writes it, so that it knows of it first.
async fn write<W: World>(
    broker: &Arc<Broker<W>>,
    image: &Image,
    topic: &str,
    index: i32,
    end: TransactionEnd,
    deadline: Instant,
) -> ErrorCode {
    let replica = image.topic(topic).and_then(|found| broker.replica_of(found, index).ok());
    // Also for one that other brokers have.
    let Some(replica) = replica else { return ErrorCode::UnknownTopicOrPartition };
    if topic == topics::CONSUMER_OFFSETS {
        let ended = broker.groups.end_transaction(index, &end, deadline).await;
        return ended.err().unwrap_or(ErrorCode::None);
    }
    match replica.append_marker(&end).await {
        Ok(mut produced) => {
            let waited = Partition::<W>::acknowledged(&mut produced);
            let code = timeout(&broker.world, deadline, waited).await;
            code.unwrap_or(ErrorCode::RequestTimedOut)
        }
        Err(refusal) => refusal.code,
    }
}

/// The results by producer, in the order in which they were named first.
fn respond(
    markers: &[WritableTxnMarker],
    results: impl Iterator<Item = ((i64, StrBytes, i32), ErrorCode)>,
) -> WriteTxnMarkersResponse {
    let mut of: BTreeMap<i64, BTreeMap<StrBytes, BTreeMap<i32, ErrorCode>>> = BTreeMap::new();
    for ((producer, topic, index), error) in results {
        of.entry(producer).or_default().entry(topic).or_default().insert(index, error);
    }
    let producers = markers.iter().filter_map(|marker| {
        let topics = of.remove(&marker.producer_id)?;
        let topics = topics.into_iter().map(|(name, partitions)| {
            let partitions = partitions.into_iter().map(|(index, error)| {
                message!(WritableTxnMarkerPartitionResult {
                    partition_index: index,
                    error_code: error.code(),
                })
            });
            let partitions = partitions.collect();
            message!(WritableTxnMarkerTopicResult { name: name, partitions: partitions })
        });
        Some(message!(WritableTxnMarkerResult {
            producer_id: marker.producer_id,
            topics: topics.collect(),
        }))
    });
    message!(WriteTxnMarkersResponse { markers: producers.collect() })
}
