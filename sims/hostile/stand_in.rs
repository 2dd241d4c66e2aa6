//! A server that decodes every request but answers few: the layers below a broker.

use brokerquake::broker::{ListenerType, served};
use brokerquake::io::{Address, Listener as _, Net, World};
use brokerquake::rpc::Frames;
use brokerquake::wire::api::{self, Api, key};
use brokerquake::wire::frame::{FrameError, decode_request, encode_response};
use brokerquake::wire::messages::*;
use brokerquake::wire::{Request, batch};
use bytes::BytesMut;
use tokio::io::AsyncWriteExt;

/// Listens, on a port of the system's choice if it is 0.
pub async fn serve<W: World>(world: &W, listener: ListenerType, host: &str, port: u16) -> Address {
    let mut accepting = world.net().bind(&Address::new(host, port)).await.unwrap();
    let address = accepting.local_address().unwrap();
    let host = world.clone();
    world.spawn("accept", async move {
        while let Ok((stream, _)) = accepting.accept().await {
            host.spawn("serve", connection(stream, listener));
        }
    });
    address
}

async fn connection(stream: impl brokerquake::io::Stream, listener: ListenerType) {
    let (reader, mut writer) = tokio::io::split(stream);
    let mut frames = Frames::new(reader, 100 << 20);
    while let Ok(Some(frame)) = frames.next().await {
        let Ok(answer) = answer(frame, listener) else { return };
        if writer.write_all(&answer).await.is_err() {
            return;
        }
    }
}

/// The checks in a broker's order: header, version, listener, body.
fn answer(frame: BytesMut, listener: ListenerType) -> Result<BytesMut, FrameError> {
    let refusal = || api::unsupported_versions(&Api::of::<ApiVersionsRequest>(0, 4));
    let request = match decode_request(frame) {
        Ok(request) => request,
        Err(FrameError::Unsupported { api_key: key::API_VERSIONS, correlation_id, .. }) => {
            return encode_response(correlation_id, 0, &refusal());
        }
        Err(error) => return Err(error),
    };
    let (id, version) = (request.header.correlation_id, request.header.api_version);
    let served = served(listener);
    let key = request.header.api_key;
    if !served.iter().any(|api| api.key == key && api.serves(version)) {
        if request.header.api_key == key::API_VERSIONS {
            return encode_response(id, 0, &refusal());
        }
        return Err(FrameError::Unsupported {
            api_key: request.header.api_key,
            api_version: version,
            correlation_id: id,
        });
    }
    match request.header.api_key {
        key::API_VERSIONS => {
            request.decode::<ApiVersionsRequest>()?;
            encode_response(id, version, &api::versions(served))
        }
        key::PRODUCE => produce(&request),
        key::FETCH => empty::<FetchRequest>(&request),
        key::LIST_OFFSETS => empty::<ListOffsetsRequest>(&request),
        key::METADATA => empty::<MetadataRequest>(&request),
        key::CREATE_TOPICS => empty::<CreateTopicsRequest>(&request),
        key::DELETE_TOPICS => empty::<DeleteTopicsRequest>(&request),
        key::DELETE_RECORDS => empty::<DeleteRecordsRequest>(&request),
        key::INIT_PRODUCER_ID => empty::<InitProducerIdRequest>(&request),
        key::OFFSET_FOR_LEADER_EPOCH => empty::<OffsetForLeaderEpochRequest>(&request),
        key::DESCRIBE_CONFIGS => empty::<DescribeConfigsRequest>(&request),
        key::ALTER_PARTITION => empty::<AlterPartitionRequest>(&request),
        key::DESCRIBE_CLUSTER => empty::<DescribeClusterRequest>(&request),
        key::BROKER_REGISTRATION => empty::<BrokerRegistrationRequest>(&request),
        key::BROKER_HEARTBEAT => empty::<BrokerHeartbeatRequest>(&request),
        key::ALLOCATE_PRODUCER_IDS => empty::<AllocateProducerIdsRequest>(&request),
        key::DESCRIBE_LOG_DIRS => empty::<DescribeLogDirsRequest>(&request),
        key::ASSIGN_REPLICAS_TO_DIRS => empty::<AssignReplicasToDirsRequest>(&request),
        _ => unheeded(&request),
    }
}

fn unheeded(request: &Request) -> Result<BytesMut, FrameError> {
    match request.header.api_key {
        key::OFFSET_COMMIT => empty::<OffsetCommitRequest>(request),
        key::OFFSET_FETCH => empty::<OffsetFetchRequest>(request),
        key::FIND_COORDINATOR => empty::<FindCoordinatorRequest>(request),
        key::JOIN_GROUP => empty::<JoinGroupRequest>(request),
        key::HEARTBEAT => empty::<HeartbeatRequest>(request),
        key::LEAVE_GROUP => empty::<LeaveGroupRequest>(request),
        key::SYNC_GROUP => empty::<SyncGroupRequest>(request),
        key::DESCRIBE_GROUPS => empty::<DescribeGroupsRequest>(request),
        key::LIST_GROUPS => empty::<ListGroupsRequest>(request),
        key::CREATE_PARTITIONS => empty::<CreatePartitionsRequest>(request),
        key::ELECT_LEADERS => empty::<ElectLeadersRequest>(request),
        key::ALTER_CONFIGS => empty::<AlterConfigsRequest>(request),
        key::INCREMENTAL_ALTER_CONFIGS => empty::<IncrementalAlterConfigsRequest>(request),
        key::DELETE_GROUPS => empty::<DeleteGroupsRequest>(request),
        key::OFFSET_DELETE => empty::<OffsetDeleteRequest>(request),
        key::WRITE_TXN_MARKERS => empty::<WriteTxnMarkersRequest>(request),
        key::TXN_OFFSET_COMMIT => empty::<TxnOffsetCommitRequest>(request),
        key::DESCRIBE_PRODUCERS => empty::<DescribeProducersRequest>(request),
        key::CONSUMER_GROUP_HEARTBEAT => empty::<ConsumerGroupHeartbeatRequest>(request),
        key::DESCRIBE_TOPIC_PARTITIONS => empty::<DescribeTopicPartitionsRequest>(request),
        key::CONSUMER_GROUP_DESCRIBE => empty::<ConsumerGroupDescribeRequest>(request),
        key::ADD_PARTITIONS_TO_TXN => empty::<AddPartitionsToTxnRequest>(request),
        key::ADD_OFFSETS_TO_TXN => empty::<AddOffsetsToTxnRequest>(request),
        key::END_TXN => empty::<EndTxnRequest>(request),
        key::DESCRIBE_TRANSACTIONS => empty::<DescribeTransactionsRequest>(request),
        key::LIST_TRANSACTIONS => empty::<ListTransactionsRequest>(request),
        key::UPDATE_FEATURES => empty::<UpdateFeaturesRequest>(request),
        other => panic!("request {other} is served and not handled here"),
    }
}

fn empty<R>(request: &Request) -> Result<BytesMut, FrameError>
where
    R: RequestResponsePair,
    R::Response: Default,
{
    request.decode::<R>()?;
    let header = &request.header;
    encode_response(header.correlation_id, header.api_version, &R::Response::default())
}

/// Also reads the records, as a consumer would.
fn produce(request: &Request) -> Result<BytesMut, FrameError> {
    let produce = request.decode::<ProduceRequest>()?;
    let partitions = produce.topic_data.iter().flat_map(|topic| &topic.partition_data);
    for records in partitions.filter_map(|partition| partition.records.as_ref()) {
        for (_, one) in batch::batches(records).flatten() {
            let _ = batch::records(one, 1 << 20);
        }
    }
    empty::<ProduceRequest>(request)
}
