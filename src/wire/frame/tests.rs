//! Requests and responses as frames: every served version, intact, truncated and mutated.

use proptest::prelude::*;

use super::{encode_request, *};
use crate::wire::api::{self, Api};
use crate::wire::messages::*;
use crate::{base, wire};

#[path = "../../../sims/hostile/samples.rs"]
mod samples;

#[test]
fn request_round_trips_in_fixed_and_flexible_versions() {
    for version in [1, 8, 9, 13] {
        let mut request = MetadataRequest::default();
        request.topics = Some(vec![]);
        let mut frame = encode_request(77, "me", version, &request).unwrap();
        let length = u32::from_be_bytes(*frame.first_chunk().unwrap()) as usize;
        assert_eq!(length, frame.len() - LENGTH_LEN);
        let read = decode_request(frame.split_off(LENGTH_LEN)).unwrap();
        assert_eq!((read.header.api_key, read.header.api_version), (3, version));
        assert_eq!(read.header.correlation_id, 77);
        assert_eq!(read.header.client_id.as_deref(), Some("me"));
        assert_eq!(read.decode::<MetadataRequest>().unwrap(), request);
        assert!(read.decode::<ProduceRequest>().is_err());
    }
}

#[test]
fn librdkafkas_metadata_request_with_trailing_bytes_is_read() {
    let header = [0, 3, 0, 13, 0, 0, 0, 3, 0, 2, b'm', b'e', 0];
    let null_list_padded_to_four_bytes = [0, 0, 0, 0];
    let flags_and_no_tags = [0, 0, 0];
    let frame = [&header[..], &null_list_padded_to_four_bytes, &flags_and_no_tags].concat();
    let asked = decode_request(frame).unwrap().decode::<MetadataRequest>().unwrap();
    assert_eq!(asked.topics, None);
}

#[test]
fn header_begun_here_is_the_one_that_the_codec_writes() {
    for version in [3, 9] {
        let whole = encode_request(5, "me", version, &ProduceRequest::default()).unwrap();
        let begun = begin_request::<ProduceRequest>(5, "me", version).unwrap();
        assert_eq!(whole[LENGTH_LEN..begun.len()], begun[LENGTH_LEN..]);
    }
}

#[test]
fn api_versions_response_header_never_has_tags() {
    for version in 0..=4 {
        let frame =
            encode_response(9, version, &api::versions(&[Api::of::<FetchRequest>(4, 18)])).unwrap();
        // Correlation id, and then at once the error code.
        assert_eq!(frame[4..10], [0, 0, 0, 9, 0, 0]);
        let (id, read) =
            decode_response::<ApiVersionsResponse>(frame.freeze().slice(4..), version).unwrap();
        assert_eq!((id, read), (9, api::versions(&[Api::of::<FetchRequest>(4, 18)])));
    }
    let metadata = encode_response(9, 9, &MetadataResponse::default()).unwrap();
    assert_eq!(metadata[4..9], [0, 0, 0, 9, 0], "other flexible responses have tags there");
}

#[test]
fn unknown_request_or_version_keeps_its_correlation_id() {
    for (key, version) in [(18, 99), (18, -1), (7777, 0), (-1, 0)] {
        let mut frame = Vec::new();
        frame.extend_from_slice(&i16::to_be_bytes(key));
        frame.extend_from_slice(&i16::to_be_bytes(version));
        frame.extend_from_slice(&1234i32.to_be_bytes());
        frame.extend_from_slice(b"whatever comes in a version to come");
        let refused = decode_request(frame).unwrap_err();
        let expected =
            FrameError::Unsupported { api_key: key, api_version: version, correlation_id: 1234 };
        assert_eq!(refused, expected);
    }
}

#[test]
fn records_of_a_request_are_a_slice_of_its_frame() {
    let mut request = ProduceRequest::default();
    let mut topic = produce_request::TopicProduceData::default();
    let mut partition = produce_request::PartitionProduceData::default();
    partition.records = Some(Bytes::from(vec![1; 1000]));
    topic.partition_data.push(partition);
    request.topic_data.push(topic);
    let frame = encode_request(1, "me", 9, &request).unwrap().freeze().slice(LENGTH_LEN..);
    let read: ProduceRequest = decode_request(frame.clone()).unwrap().decode().unwrap();
    let records = read.topic_data[0].partition_data[0].records.clone().unwrap();
    assert!(frame.as_ptr_range().contains(&records.as_ptr()));
}

/// Decodes a frame as the broker would. Whatever comes of it, it comes without a panic.
fn serve(frame: Vec<u8>) -> Result<(), FrameError> {
    let request = decode_request(frame)?;
    match request.header.api_key {
        api::key::PRODUCE => request.decode::<ProduceRequest>().map(drop),
        api::key::FETCH => request.decode::<FetchRequest>().map(drop),
        api::key::LIST_OFFSETS => request.decode::<ListOffsetsRequest>().map(drop),
        api::key::METADATA => request.decode::<MetadataRequest>().map(drop),
        api::key::API_VERSIONS => request.decode::<ApiVersionsRequest>().map(drop),
        api::key::CREATE_TOPICS => request.decode::<CreateTopicsRequest>().map(drop),
        api::key::DELETE_TOPICS => request.decode::<DeleteTopicsRequest>().map(drop),
        api::key::DELETE_RECORDS => request.decode::<DeleteRecordsRequest>().map(drop),
        api::key::INIT_PRODUCER_ID => request.decode::<InitProducerIdRequest>().map(drop),
        api::key::OFFSET_FOR_LEADER_EPOCH => {
            request.decode::<OffsetForLeaderEpochRequest>().map(drop)
        }
        api::key::CREATE_PARTITIONS => request.decode::<CreatePartitionsRequest>().map(drop),
        api::key::ELECT_LEADERS => request.decode::<ElectLeadersRequest>().map(drop),
        api::key::ALTER_CONFIGS => request.decode::<AlterConfigsRequest>().map(drop),
        api::key::INCREMENTAL_ALTER_CONFIGS => {
            request.decode::<IncrementalAlterConfigsRequest>().map(drop)
        }
        api::key::DESCRIBE_CONFIGS => request.decode::<DescribeConfigsRequest>().map(drop),
        api::key::ALTER_PARTITION => request.decode::<AlterPartitionRequest>().map(drop),
        api::key::DESCRIBE_CLUSTER => request.decode::<DescribeClusterRequest>().map(drop),
        api::key::BROKER_REGISTRATION => request.decode::<BrokerRegistrationRequest>().map(drop),
        api::key::BROKER_HEARTBEAT => request.decode::<BrokerHeartbeatRequest>().map(drop),
        api::key::ALLOCATE_PRODUCER_IDS => request.decode::<AllocateProducerIdsRequest>().map(drop),
        api::key::DESCRIBE_LOG_DIRS => request.decode::<DescribeLogDirsRequest>().map(drop),
        api::key::DESCRIBE_TOPIC_PARTITIONS => {
            request.decode::<DescribeTopicPartitionsRequest>().map(drop)
        }
        api::key::ASSIGN_REPLICAS_TO_DIRS => {
            request.decode::<AssignReplicasToDirsRequest>().map(drop)
        }
        key => serve_groups(key, &request),
    }
}

fn serve_groups(key: i16, request: &Request) -> Result<(), FrameError> {
    match key {
        api::key::OFFSET_COMMIT => request.decode::<OffsetCommitRequest>().map(drop),
        api::key::OFFSET_FETCH => request.decode::<OffsetFetchRequest>().map(drop),
        api::key::FIND_COORDINATOR => request.decode::<FindCoordinatorRequest>().map(drop),
        api::key::JOIN_GROUP => request.decode::<JoinGroupRequest>().map(drop),
        api::key::HEARTBEAT => request.decode::<HeartbeatRequest>().map(drop),
        api::key::LEAVE_GROUP => request.decode::<LeaveGroupRequest>().map(drop),
        api::key::SYNC_GROUP => request.decode::<SyncGroupRequest>().map(drop),
        api::key::DESCRIBE_GROUPS => request.decode::<DescribeGroupsRequest>().map(drop),
        api::key::LIST_GROUPS => request.decode::<ListGroupsRequest>().map(drop),
        api::key::DELETE_GROUPS => request.decode::<DeleteGroupsRequest>().map(drop),
        api::key::OFFSET_DELETE => request.decode::<OffsetDeleteRequest>().map(drop),
        api::key::WRITE_TXN_MARKERS => request.decode::<WriteTxnMarkersRequest>().map(drop),
        api::key::TXN_OFFSET_COMMIT => request.decode::<TxnOffsetCommitRequest>().map(drop),
        api::key::DESCRIBE_PRODUCERS => request.decode::<DescribeProducersRequest>().map(drop),
        api::key::ADD_PARTITIONS_TO_TXN => request.decode::<AddPartitionsToTxnRequest>().map(drop),
        api::key::ADD_OFFSETS_TO_TXN => request.decode::<AddOffsetsToTxnRequest>().map(drop),
        api::key::END_TXN => request.decode::<EndTxnRequest>().map(drop),
        api::key::DESCRIBE_TRANSACTIONS => {
            request.decode::<DescribeTransactionsRequest>().map(drop)
        }
        api::key::LIST_TRANSACTIONS => request.decode::<ListTransactionsRequest>().map(drop),
        api::key::UPDATE_FEATURES => request.decode::<UpdateFeaturesRequest>().map(drop),
        api::key::CONSUMER_GROUP_HEARTBEAT => {
            request.decode::<ConsumerGroupHeartbeatRequest>().map(drop)
        }
        api::key::CONSUMER_GROUP_DESCRIBE => {
            request.decode::<ConsumerGroupDescribeRequest>().map(drop)
        }
        _ => Ok(()),
    }
}

/// A request of every API that there are samples of, in every version that the codec knows.
fn samples() -> Vec<Vec<u8>> {
    let versions = API_DESCRIPTORS.iter().flat_map(|api| {
        let (key, known) = (api.api_key.value(), api.supported_versions);
        (known.min().value()..=known.max().value()).map(move |version| (key, version))
    });
    let sample = |(key, version)| {
        samples::request(key, version, &samples::Target::default(), &mut samples::Sane)
    };
    let samples: Vec<Vec<u8>> = versions.filter_map(sample).map(|bytes| bytes.to_vec()).collect();
    assert!(samples.len() > 80, "{} samples", samples.len());
    samples
}

#[test]
fn every_known_version_is_read_and_truncated_requests_refused() {
    for frame in samples() {
        assert_eq!(serve(frame.clone()), Ok(()), "{frame:?}");
        for cut in 0..frame.len() {
            assert!(serve(frame[..cut].to_vec()).is_err(), "cut at {cut}: {frame:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn altered_requests_of_every_known_version_never_panic(
        at in any::<proptest::sample::Index>(),
        bytes in proptest::collection::vec(any::<u8>(), 1..6),
    ) {
        for mut frame in samples() {
            let start = 4 + at.index(frame.len() - 4);
            for (place, byte) in frame[start..].iter_mut().zip(&bytes) {
                *place = *byte;
            }
            let _ = serve(frame);
        }
    }

    #[test]
    fn random_bodies_of_every_known_version_never_panic(
        body in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        for sample in samples() {
            let mut frame = sample[..4].to_vec();
            frame.extend_from_slice(&[0; 4]);
            frame.extend_from_slice(&body);
            let _ = serve(frame);
            // Behind a header that is right, so that the body is reached.
            let mut frame = sample[..16].to_vec();
            frame.push(0);
            frame.extend_from_slice(&body);
            let _ = serve(frame);
        }
    }

    #[test]
    fn random_responses_never_panic_a_client(
        body in proptest::collection::vec(any::<u8>(), 0..200),
        version in 0i16..20,
    ) {
        let _ = decode_response::<FetchResponse>(body.clone(), version);
        let _ = decode_response::<ProduceResponse>(body.clone(), version);
        let _ = decode_response::<MetadataResponse>(body.clone(), version);
        let _ = decode_response::<ApiVersionsResponse>(body, version);
    }
}
