//! Batches whose fields contradict each other, the request or the topic.

use brokerquake::base::config::Compression;
use brokerquake::base::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Timestamp};
use brokerquake::wire::batch::{BatchBuilder, BatchHeader};
use brokerquake::wire::messages::ProduceRequest;
use brokerquake::wire::messages::produce_response::PartitionProduceResponse;

use super::ask::{Node, error, production};

const TRANSACTIONAL: i16 = 0x10;
const CONTROL: i16 = 0x20;
const APPEND_TIME: i16 = 0x08;

pub fn now() -> Timestamp {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    Timestamp(now.unwrap().as_millis() as i64)
}

/// A batch of records with keys `k`, one for each time.
pub fn batch(codec: Compression, times: &[i64]) -> Vec<u8> {
    let mut builder = BatchBuilder::new(codec, Timestamp(times[0]));
    for time in times {
        builder.append(Timestamp(*time), Some(b"k"), Some(b"value"), &[]);
    }
    builder.finish_plain().to_vec()
}

/// The same with another header, and a checksum that is right.
pub fn with(mut batch: Vec<u8>, change: impl FnOnce(&mut BatchHeader)) -> Vec<u8> {
    let mut header = BatchHeader::read(&batch).unwrap();
    change(&mut header);
    header.write(batch.first_chunk_mut().unwrap());
    sealed(batch)
}

/// Sets the checksum right.
pub fn sealed(mut batch: Vec<u8>) -> Vec<u8> {
    let crc = crc32c::crc32c(&batch[21..]);
    batch[17..21].copy_from_slice(&crc.to_be_bytes());
    batch
}

type Change = fn(&mut BatchHeader);

/// Changes to the header of a batch of two records.
const CHANGES: &[(&str, Change)] = &[
    ("nothing unusual", |_| ()),
    ("transactional bit, producer id, no transactional id", |h| {
        identify(h, 4000, 0, 0);
        h.attributes |= TRANSACTIONAL;
    }),
    ("transactional bit, no producer id", |h| h.attributes |= TRANSACTIONAL),
    ("control bit", |h| h.attributes |= CONTROL),
    ("control bit and transactional bit", |h| {
        identify(h, 4001, 0, 0);
        h.attributes |= CONTROL | TRANSACTIONAL;
    }),
    ("delete horizon bit", |h| h.attributes |= 0x40),
    ("unused attribute bit 7", |h| h.attributes |= 0x80),
    ("unused attribute bit 15", |h| h.attributes |= i16::MIN),
    ("LogAppendTime bit", |h| h.attributes |= APPEND_TIME),
    ("codec 5", |h| h.attributes |= 5),
    ("codec 7", |h| h.attributes |= 7),
    ("base offset 5", |h| h.base_offset = Offset(5)),
    ("base offset -1", |h| h.base_offset = Offset(-1)),
    ("leader epoch 7", |h| h.leader_epoch = LeaderEpoch(7)),
    ("leader epoch -5", |h| h.leader_epoch = LeaderEpoch(-5)),
    ("magic 0", |h| h.magic = 0),
    ("magic 1", |h| h.magic = 1),
    ("magic 3", |h| h.magic = 3),
    ("magic -1", |h| h.magic = -1),
    ("count 1, last offset delta 1", |h| h.count = 1),
    ("count 3, last offset delta 1", |h| h.count = 3),
    ("count 0, last offset delta 1", |h| h.count = 0),
    ("count -1, last offset delta 1", |h| h.count = -1),
    ("count 2, last offset delta 0", |h| h.last_offset_delta = 0),
    ("count 2, last offset delta -1", |h| h.last_offset_delta = -1),
    ("count 2, last offset delta 5", |h| h.last_offset_delta = 5),
    ("count 1, last offset delta 0, two records", |h| (h.count, h.last_offset_delta) = (1, 0)),
    ("count 3, last offset delta 2, two records", |h| (h.count, h.last_offset_delta) = (3, 2)),
    ("count and last offset delta enormous", |h| {
        (h.count, h.last_offset_delta) = (i32::MAX, i32::MAX - 1);
    }),
    ("sequence 5, no producer id", |h| h.base_sequence = 5),
    ("producer epoch 5, no producer id", |h| h.producer_epoch = ProducerEpoch(5)),
    ("sequence 0 and epoch 0, no producer id", |h| identify(h, -1, 0, 0)),
    ("producer id -2", |h| identify(h, -2, 0, 0)),
    ("producer id, no epoch", |h| identify(h, 4002, -1, 0)),
    ("producer id, no sequence", |h| identify(h, 4003, 0, -1)),
    ("producer id, neither epoch nor sequence", |h| identify(h, 4004, -1, -1)),
    ("producer id, epoch 0, sequence 0", |h| identify(h, 4005, 0, 0)),
    ("unknown producer id, sequence 5", |h| identify(h, 4006, 0, 5)),
    ("unknown producer id, epoch 3", |h| identify(h, 4007, 3, 0)),
    ("max timestamp too small", |h| h.max_timestamp = Timestamp(5)),
    ("max timestamp far in the future", |h| h.max_timestamp = Timestamp(i64::MAX)),
    ("max timestamp -1", |h| h.max_timestamp = Timestamp(-1)),
    ("base timestamp -1", |h| h.base_timestamp = Timestamp(-1)),
    ("base timestamp -5", |h| h.base_timestamp = Timestamp(-5)),
    ("base timestamp far in the future", |h| h.base_timestamp = Timestamp(i64::MAX / 2)),
];

fn identify(header: &mut BatchHeader, id: i64, epoch: i16, sequence: i32) {
    header.producer_id = ProducerId(id);
    header.producer_epoch = ProducerEpoch(epoch);
    header.base_sequence = sequence;
}

/// The error, and which records it names.
fn outcome(answer: &PartitionProduceResponse) -> String {
    let named: Vec<_> = answer.record_errors.iter().map(|error| error.batch_index).collect();
    let at = if named.is_empty() { String::new() } else { format!(" at {named:?}") };
    format!("{}{at}", error(answer.error_code))
}

pub fn ask(node: &mut Node) {
    node.create("batches", 1, &[]);
    node.create("batches-append-time", 1, &[("message.timestamp.type", "LogAppendTime")]);
    node.create("batches-compacted", 1, &[("cleanup.policy", "compact")]);
    node.create("batches-lz4", 1, &[("compression.type", "lz4")]);
    let time = now().0;
    let two = || batch(Compression::None, &[time, time + 1]);
    for (what, change) in CHANGES {
        let answer = node.produce("batches", with(two(), change));
        node.note(format_args!("batch: {what}"), outcome(&answer));
    }
    for (topic, what) in
        [("batches-append-time", "on a LogAppendTime topic"), ("batches-lz4", "recompressed")]
    {
        for (bits, name) in [(APPEND_TIME, "LogAppendTime"), (0x40, "delete horizon")] {
            let answer = node.produce(topic, with(two(), |h| h.attributes |= bits));
            node.note(format_args!("batch: {name} bit, {what}"), outcome(&answer));
        }
    }
    let append_time = with(two(), |h| {
        (h.attributes, h.max_timestamp) = (h.attributes | APPEND_TIME, Timestamp(i64::MAX));
    });
    let answer = node.produce("batches", append_time);
    node.note("batch: LogAppendTime bit, timestamp in the future", outcome(&answer));
    records(node, time);
    requests(node, time);
}

/// Records that are not as their batch has them.
fn records(node: &mut Node, time: i64) {
    let two = || batch(Compression::None, &[time, time + 1]);
    let altered = |at: usize, to: u8| {
        let mut batch = two();
        batch[at] = to;
        sealed(batch)
    };
    // A record: length, attributes, time, offset, key length, key, …
    let first = 61;
    let second = first + 13;
    for (what, bytes) in [
        ("first record has offset 1", altered(first + 3, 2)),
        ("second record has offset 0", altered(second + 3, 0)),
        ("second record has offset 5", altered(second + 3, 10)),
        ("record with attributes 7", altered(first + 1, 7)),
        ("record is longer than its fields", altered(first, 13 * 2)),
        ("record of length 0", altered(first, 0)),
        ("record of negative length", altered(first, 1)),
        ("key of length -2", altered(first + 4, 3)),
        ("headers fewer than none", altered(second - 1, 1)),
    ] {
        let answer = node.produce("batches", bytes);
        node.note(format_args!("records: {what}"), outcome(&answer));
    }
    for (what, times) in [
        ("an hour ahead", [time, time + 3_700_000]),
        ("timestamp 0", [time, 0]),
        ("timestamp -1", [time, -1]),
        ("timestamp -2", [time, -2]),
    ] {
        let answer = node.produce("batches", batch(Compression::None, &times));
        node.note(format_args!("records: second one with {what}"), outcome(&answer));
    }
    let mut keyless = BatchBuilder::new(Compression::None, Timestamp(time));
    keyless.append(Timestamp(time), Some(b"k"), None, &[]);
    keyless.append(Timestamp(time), None, Some(b"v"), &[]);
    let answer = node.produce("batches-compacted", keyless.finish_plain().to_vec());
    node.note("records: no key, compacted topic", outcome(&answer));
}

/// Requests whose records are not one whole batch.
fn requests(node: &mut Node, time: i64) {
    let two = || batch(Compression::None, &[time, time + 1]);
    let wrong_crc = {
        let mut batch = two();
        batch[20] ^= 1;
        batch
    };
    for (what, bytes) in [
        ("wrong checksum", wrong_crc),
        ("no records", Vec::new()),
        ("two batches", [two(), two()].concat()),
        ("a batch and half another", [&two()[..], &two()[..40]].concat()),
        ("half a batch", two()[..40].to_vec()),
        ("a batch and garbage", [&two()[..], b"garbage"].concat()),
        ("length 10", with(two(), |h| h.batch_length = 10)),
        ("length -1", with(two(), |h| h.batch_length = -1)),
    ] {
        let request = production("batches", 0, Some(bytes.into()));
        let answer = node.try_ask(9, &request).map_or("closed".to_owned(), |answer| {
            outcome(&answer.responses[0].partition_responses[0])
        });
        node.note(format_args!("request: {what}"), answer);
    }
    let ask = |node: &mut Node, what: &str, request: &ProduceRequest| {
        let answer = node.try_ask(9, request).map_or("closed".to_owned(), |answer| {
            outcome(&answer.responses[0].partition_responses[0])
        });
        node.note(format_args!("request: {what}"), answer);
    };
    ask(node, "null records", &production("batches", 0, None));
    let whole = || production("batches", 0, Some(two().into()));
    for acks in [2, -2] {
        let mut request = whole();
        request.acks = acks;
        ask(node, &format!("acks={acks}"), &request);
    }
    for (what, id) in [("a transactional id", "t"), ("an empty transactional id", "")] {
        let mut request = whole();
        request.transactional_id = Some(id.into());
        ask(node, &format!("{what}, plain batch"), &request);
    }
    ask(node, "unknown topic", &production("batches-none", 0, Some(two().into())));
    ask(node, "unknown partition", &production("batches", 7, Some(two().into())));
    let mut twice = whole();
    let first = twice.topic_data[0].partition_data[0].clone();
    twice.topic_data[0].partition_data.push(first);
    let answer = node.try_ask(9, &twice);
    let answer = answer.map_or("closed".to_owned(), |answer| {
        let answers = &answer.responses[0].partition_responses;
        answers.iter().map(outcome).collect::<Vec<_>>().join("; ")
    });
    node.note("request: a partition twice", answer);
}
