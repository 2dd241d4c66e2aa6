//! A spliced response, held against the codec's own.

use proptest::prelude::*;

use super::*;
use crate::wire::frame;
use crate::wire::messages::fetch_response::{AbortedTransaction, NodeEndpoint};
use crate::wire::messages::{TaggedField, TaggedFields, Uuid};

/// What a partition of a test is made of.
#[derive(Clone, Debug)]
struct Given {
    records: Option<Vec<u8>>,
    /// Whether the records come from somewhere else.
    elsewhere: bool,
    aborted: Option<usize>,
    diverging: bool,
    leader: bool,
    snapshot: bool,
    unknown_tag: bool,
}

fn partition(index: usize, given: &Given, version: i16) -> PartitionData {
    let mut partition = PartitionData::default();
    partition.partition_index = index as i32;
    partition.high_watermark = 1 << 40;
    partition.last_stable_offset = 77;
    partition.aborted_transactions = given.aborted.map(|count| {
        let mut one = AbortedTransaction::default();
        one.producer_id = 5;
        vec![one; count]
    });
    partition.records = given.records.clone().map(Bytes::from);
    if version >= 11 {
        partition.preferred_read_replica = 3;
    }
    if version >= 12 {
        if given.diverging {
            partition.diverging_epoch.epoch = 4;
            partition.diverging_epoch.end_offset = 400;
        }
        if given.leader {
            partition.current_leader.leader_id = 2;
            partition.current_leader.leader_epoch = 9;
        }
        if given.snapshot {
            partition.snapshot_id.epoch = 1;
        }
        if given.unknown_tag {
            partition.unknown_tagged_fields = unknown_tags();
        }
    }
    partition
}

fn unknown_tags() -> TaggedFields {
    let tag = TaggedField::new(900, Bytes::from_static(&[7; 200]));
    TaggedFields::from_sorted(vec![tag]).unwrap()
}

fn response(topics: &[Vec<Given>], version: i16, tags: bool) -> FetchResponse {
    let mut response = FetchResponse::default();
    response.throttle_time_ms = 12;
    if version >= 7 {
        response.session_id = 1234;
    }
    for (number, partitions) in topics.iter().enumerate() {
        let mut topic = FetchableTopicResponse::default();
        if version >= 13 {
            topic.topic_id = Uuid::from_bytes([number as u8; 16]);
        } else {
            topic.topic = StrBytes::from("topic-".repeat(number * 8 + 1));
        }
        let given = partitions.iter().enumerate();
        topic.partitions = given.map(|(index, given)| partition(index, given, version)).collect();
        if tags && version >= 12 {
            topic.unknown_tagged_fields = unknown_tags();
        }
        response.responses.push(topic);
    }
    if tags && version >= 16 {
        let mut node = NodeEndpoint::default();
        node.node_id = 3;
        node.host = StrBytes::from("b3");
        response.node_endpoints = vec![node];
    }
    response
}

/// The splice, with the records put in by hand, is what the codec writes with the records inside.
fn assert_spliced_as_encoded(topics: &[Vec<Given>], version: i16, tags: bool) {
    let whole = response(topics, version, tags);
    let expected = frame::encode_response(42, version, &whole).unwrap();
    let all: Vec<&Given> = topics.iter().flatten().collect();
    let lens: Vec<Option<usize>> = all
        .iter()
        .map(|given| given.records.as_ref().filter(|_| given.elsewhere).map(Vec::len))
        .collect();
    let pieces = encode_response(42, version, whole, &lens).unwrap();
    let mut sent = Vec::new();
    for piece in pieces {
        match piece {
            Piece::Bytes(bytes) => {
                assert!(!bytes.is_empty());
                sent.extend_from_slice(&bytes);
            }
            Piece::Records(index) => {
                assert!(all[index].elsewhere);
                sent.extend_from_slice(all[index].records.as_ref().unwrap());
            }
        }
    }
    assert!(expected == sent, "version {version} differs from the codec");
    let (id, read) = frame::decode_response::<FetchResponse>(sent.split_off(4), version).unwrap();
    assert_eq!((id, read), (42, response(topics, version, tags)));
}

fn given(records: Option<&[u8]>) -> Given {
    Given {
        records: records.map(<[u8]>::to_vec),
        elsewhere: true,
        aborted: None,
        diverging: false,
        leader: false,
        snapshot: false,
        unknown_tag: false,
    }
}

#[test]
fn records_from_elsewhere_make_the_same_bytes_in_every_version() {
    for version in 4..=18 {
        let plain = given(Some(b"batch"));
        let tagged = Given { diverging: true, leader: true, unknown_tag: true, ..plain.clone() };
        let aborted = Given { aborted: Some(200), ..given(Some(&[1; 300])) };
        let here = Given { elsewhere: false, ..given(Some(b"here")) };
        let topics =
            [vec![plain, tagged, given(None)], vec![], vec![aborted, here, given(Some(b""))]];
        for tags in [false, true] {
            assert_spliced_as_encoded(&topics, version, tags);
            assert_spliced_as_encoded(&[], version, tags);
        }
    }
}

#[test]
fn counts_and_lengths_that_take_two_or_three_bytes_are_right() {
    for version in 4..=18 {
        for count in [126, 127, 128, 200] {
            let one = given(Some(b"x"));
            assert_spliced_as_encoded(&[vec![one.clone(); count]], version, false);
            assert_spliced_as_encoded(&vec![vec![one]; count], version, true);
        }
        for len in [126, 127, 128, 16_382, 16_383, 16_384, 2_097_151, 2_097_152] {
            assert_spliced_as_encoded(&[vec![given(Some(&vec![9; len]))]], version, false);
        }
    }
}

#[test]
fn records_of_no_bytes_leave_one_piece() {
    let whole = response(&[vec![given(None), given(None)]], 17, false);
    let pieces = encode_response(1, 17, whole, &[Some(0), None]).unwrap();
    assert!(matches!(pieces[..], [Piece::Bytes(_)]));
}

#[test]
fn more_records_than_a_frame_can_hold_are_refused() {
    let whole = response(&[vec![given(None), given(None)]], 17, false);
    let half = Some(1 << 30);
    assert!(encode_response(1, 17, whole.clone(), &[half, half]).is_err());
    assert!(encode_response(1, 17, whole, &[Some(usize::MAX), None]).is_err());
}

#[test]
fn unsupported_version_is_an_error() {
    assert!(encode_response(1, 3, FetchResponse::default(), &[]).is_err());
    assert!(encode_response(1, 99, FetchResponse::default(), &[]).is_err());
}

fn any_given() -> impl Strategy<Value = Given> {
    let records = proptest::option::of(proptest::collection::vec(any::<u8>(), 0..400));
    let aborted = proptest::option::of(0usize..5);
    (records, any::<[bool; 5]>(), aborted).prop_map(|(records, flags, aborted)| Given {
        records,
        elsewhere: flags[0],
        aborted,
        diverging: flags[1],
        leader: flags[2],
        snapshot: flags[3],
        unknown_tag: flags[4],
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_response_is_spliced_as_the_codec_encodes_it(
        topics in proptest::collection::vec(proptest::collection::vec(any_given(), 0..6), 0..5),
        version in 4i16..=18,
        tags in any::<bool>(),
    ) {
        assert_spliced_as_encoded(&topics, version, tags);
    }
}
