//! Batches of idempotent and transactional producers, markers, offsets within transactions, and what
//! readers of committed records see, at both levels of `transaction.version`.

use std::fmt::Display;

use brokerquake::wire::batch;
use brokerquake::wire::messages::describe_producers_request::TopicRequest;
use brokerquake::wire::messages::fetch_request::{FetchPartition, FetchTopic};
use brokerquake::wire::messages::fetch_response::PartitionData;
use brokerquake::wire::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use brokerquake::wire::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use brokerquake::wire::messages::write_txn_markers_request::{
    WritableTxnMarker, WritableTxnMarkerTopic,
};
use brokerquake::wire::messages::{
    DescribeProducersRequest, FetchRequest, ListOffsetsRequest, OffsetFetchRequest,
    TxnOffsetCommitRequest, WriteTxnMarkersRequest,
};

use super::ask::{Node, error, message};
use super::groups::{join, sync};
use super::transactional::{
    GROUP, Producer, TOPIC, Txns, UNKNOWN_ID, add_offsets, adding, end, of, offsets, written,
};
use super::transactions::ready;

pub fn ask(node: &mut Node) {
    let mut txns = ready(node, 2);
    txns.sequences();
    txns.batches();
    txns.markers();
    txns.reads();
    txns.groups();
}

pub fn ask_old(node: &mut Node) {
    let mut txns = ready(node, 1);
    txns.batches();
    txns.markers();
    txns.reads();
    txns.groups();
}

/// A producer's id, its epoch, the first sequence number and how many records.
type Numbers = (i64, i16, i32, i32);

/// What a producer without a transactional id sends.
const SEQUENCES: &[(&str, &[Numbers])] = &[
    ("a gap", &[(1, 0, 0, 1), (1, 0, 2, 1), (1, 0, 1, 1)]),
    (
        "duplicates",
        &[
            (2, 0, 0, 1),
            (2, 0, 1, 2),
            (2, 0, 3, 1),
            (2, 0, 4, 1),
            (2, 0, 5, 1),
            (2, 0, 6, 1),
            (2, 0, 6, 1),
            (2, 0, 5, 1),
            (2, 0, 4, 1),
            (2, 0, 3, 1),
            (2, 0, 1, 2),
            (2, 0, 0, 1),
            (2, 0, 1, 1),
            (2, 0, 2, 1),
            (2, 0, 5, 2),
            (2, 0, 6, 2),
            (2, 0, 7, 1),
        ],
    ),
    (
        "the last number",
        &[
            (3, 0, i32::MAX - 1, 1),
            (3, 0, i32::MAX, 1),
            (3, 0, 0, 1),
            (3, 0, i32::MAX, 1),
            (3, 0, 1, 1),
        ],
    ),
    ("a batch across the last number", &[(4, 0, i32::MAX - 1, 3), (4, 0, 0, 1), (4, 0, 1, 1)]),
    ("the last number, then a gap", &[(5, 0, i32::MAX, 1), (5, 0, 1, 1)]),
    (
        "a bump",
        &[(6, 0, 0, 1), (6, 1, 5, 1), (6, 1, 0, 1), (6, 0, 1, 1), (6, 1, 0, 1), (6, 3, 0, 1)],
    ),
    ("an unknown producer", &[(7, 0, 5, 1), (7, 0, 6, 1), (7, 0, 5, 1), (7, 0, 0, 1)]),
    ("an unknown producer, later epoch", &[(8, 4, 5, 1), (8, 3, 6, 1), (8, 4, 6, 1)]),
    ("a duplicate of an older epoch", &[(9, 0, 0, 1), (9, 1, 0, 1), (9, 0, 0, 1)]),
];

impl Txns<'_> {
    fn sequences(&mut self) {
        for (name, batches) in SEQUENCES {
            for (at, (id, epoch, sequence, records)) in batches.iter().enumerate() {
                let producer = of("", UNKNOWN_ID + id, *epoch);
                let bytes = written(&producer, *sequence, *records, false);
                let what = format!("{name}, {at}: epoch {epoch}, sequence {sequence}");
                self.produce(what, 9, None, (2, bytes));
            }
        }
        self.producers("plain producers", &[2]);
        let missing = message!(DescribeProducersRequest {
            topics: vec![
                message!(TopicRequest { name: "unknown".into(), partition_indexes: vec![0] }),
                message!(TopicRequest { name: TOPIC.into(), partition_indexes: vec![9, -1] }),
                message!(TopicRequest { name: "".into(), partition_indexes: vec![0] }),
            ]
        });
        self.ask("producers: of what is unknown", 0, &missing);
        self.ask("producers: of nothing", 0, &DescribeProducersRequest::default());
    }

    fn producers(&mut self, what: impl Display, partitions: &[i32]) {
        let topic =
            message!(TopicRequest { name: TOPIC.into(), partition_indexes: partitions.to_vec() });
        let mut answer =
            self.node.ask(0, &message!(DescribeProducersRequest { topics: vec![topic] }));
        for partition in answer.topics.iter_mut().flat_map(|topic| &mut topic.partitions) {
            for producer in &mut partition.active_producers {
                producer.last_timestamp = producer.last_timestamp.min(1);
            }
            partition.active_producers.sort_by_key(|producer| producer.producer_id);
            // Offsets differ by what came before: only whether there is one.
            for producer in &mut partition.active_producers {
                producer.current_txn_start_offset = producer.current_txn_start_offset.min(0);
            }
        }
        let shown = self.known.show(&answer);
        self.note(format_args!("producers: {what}"), shown);
    }

    /// A producer whose transaction has partition 0.
    fn ongoing(&mut self, name: &str) -> Producer {
        let producer = self.begin(name);
        self.node.ask(3, &adding(&producer, TOPIC, &[0]));
        producer
    }

    fn end(&mut self, producer: &Producer, version: i16, commits: bool) -> Producer {
        let answer = self.node.ask(version, &end(producer, commits));
        assert_eq!(answer.error_code, 0, "{producer:?}: {answer:?}");
        self.settle(&producer.name);
        match version {
            5 => of(&producer.name, answer.producer_id, answer.producer_epoch),
            _ => producer.clone(),
        }
    }

    fn batches(&mut self) {
        for version in [3, 5, 7, 8, 9, 10, 11, 12, 13] {
            let producer = self.ongoing(&format!("batches {version}"));
            let id = producer.name.clone();
            let send = |txns: &mut Self, what: &str, id: Option<&str>, at: i32, bytes: Vec<u8>| {
                txns.produce(format_args!("batch {what}"), version, id, (at, bytes));
            };
            let batch = |producer: &Producer, sequence| written(producer, sequence, 1, true);
            let older = Producer { epoch: producer.epoch - 1, ..producer.clone() };
            let newer = Producer { epoch: producer.epoch + 1, ..producer.clone() };
            let other = Producer { id: UNKNOWN_ID + 50, ..producer.clone() };
            send(self, "of another producer", Some(&id), 0, batch(&other, 0));
            send(self, "of a newer epoch", Some(&id), 0, batch(&newer, 0));
            send(self, "without a transactional id", None, 0, batch(&producer, 0));
            send(self, "of an unknown transactional id", Some("unknown"), 0, batch(&producer, 0));
            send(self, "of an empty transactional id", Some(""), 0, batch(&producer, 0));
            send(self, "beginning with sequence 3", Some(&id), 0, batch(&producer, 3));
            send(self, "added", Some(&id), 0, batch(&producer, 0));
            send(self, "again", Some(&id), 0, batch(&producer, 0));
            send(self, "after a gap", Some(&id), 0, batch(&producer, 9));
            send(self, "of a newer epoch in the middle", Some(&id), 0, batch(&newer, 0));
            if older.epoch >= 0 {
                send(self, "of an older epoch", Some(&id), 0, batch(&older, 1));
            }
            send(self, "without an id in the middle", None, 0, batch(&producer, 5));
            let plain = written(&producer, 1, 1, false);
            send(self, "plain, in a transaction", Some(&id), 0, plain.clone());
            send(self, "plain, in a transaction, no id", None, 0, plain);
            send(self, "to another partition", Some(&id), 1, batch(&producer, 0));
            let both = [batch(&producer, 2), written(&producer, 3, 1, false)].concat();
            send(self, "with a plain one behind it", Some(&id), 0, both);
            self.producers(format_args!("in the middle, {version}"), &[0]);
            let ending = if version < 12 { 4 } else { 5 };
            let next = self.end(&producer, ending, version % 2 == 0);
            self.producers(format_args!("afterwards, {version}"), &[0, 1]);
            send(self, "after the end, the epoch before", Some(&id), 0, batch(&producer, 7));
            send(self, "after the end, sequence 5", Some(&id), 0, batch(&next, 5));
            send(self, "after the end", Some(&id), 0, batch(&next, 0));
            send(self, "after the end, again", Some(&id), 0, batch(&next, 0));
            self.describe(format_args!("batches, {version}"), &[id.as_str().into()]);
            let fencing = self.begin(&id);
            self.settle(&id);
            send(self, "when fenced", Some(&id), 0, batch(&next, 1));
            send(self, "of what fenced it", Some(&id), 0, batch(&fencing, 0));
        }
        self.fenced();
    }

    /// InitProducerId in the middle of a transaction.
    fn fenced(&mut self) {
        for (version, protocol) in [(9, 4), (12, 5)] {
            let name = format!("fenced {version}");
            let old = self.ongoing(&name);
            let send = |txns: &mut Self, what: &str, producer: &Producer, sequence| {
                let bytes = written(producer, sequence, 1, true);
                let id = producer.name.clone();
                txns.produce(format_args!("fencing, {what}"), version, Some(&id), (0, bytes));
            };
            send(self, "before", &old, 0);
            let request = super::transactional::init(&name);
            self.ask(format_args!("fencing, init {version}"), 4, &request);
            self.settle(&name);
            self.producers(format_args!("fenced, {version}"), &[0]);
            send(self, "zombie's next", &old, 1);
            send(self, "zombie's duplicate", &old, 0);
            self.ask(format_args!("fencing, zombie's end {version}"), protocol, &end(&old, true));
            let new = self.begin(&name);
            self.ask(
                format_args!("fencing, zombie's end {version}, later"),
                protocol,
                &end(&old, false),
            );
            send(self, "zombie, later", &old, 2);
            self.node.ask(3, &adding(&new, TOPIC, &[0]));
            send(self, "new", &new, 0);
            let later = super::transactional::init_of(&new);
            self.ask(format_args!("fencing, init of its own {version}"), 4, &later);
            self.settle(&name);
            self.ask(format_args!("fencing, init of its own {version}, again"), 4, &later);
            self.describe(format_args!("fenced, {version}"), &[name.as_str().into()]);
        }
    }

    fn marker(&mut self, what: impl Display, version: i16, marks: &[(&Producer, bool, i32, i8)]) {
        let markers = marks.iter().map(|(producer, commits, coordinator, protocol)| {
            let topic = |name: &str, indexes: &[i32]| {
                message!(WritableTxnMarkerTopic {
                    name: name.into(),
                    partition_indexes: indexes.to_vec(),
                })
            };
            let topics = match producer.name.as_str() {
                "unknown" => vec![topic("unknown", &[0]), topic(TOPIC, &[9])],
                "offsets" => vec![topic("__consumer_offsets", &[0, 9])],
                _ => vec![topic(TOPIC, &[0])],
            };
            let mut marker = message!(WritableTxnMarker {
                producer_id: producer.id,
                producer_epoch: producer.epoch,
                transaction_result: *commits,
                topics: topics,
                coordinator_epoch: *coordinator,
            });
            if version > 1 {
                marker.transaction_version = *protocol;
            }
            marker
        });
        let request = message!(WriteTxnMarkersRequest { markers: markers.collect() });
        let what = format_args!("txn {}: marker: {what} v{version}", self.level);
        let Some(mut answer) = self.node.try_ask(version, &request) else {
            return self.node.note(what, "closed");
        };
        answer.markers.sort_by_key(|marker| marker.producer_id);
        for marker in &mut answer.markers {
            marker.topics.sort_by(|a, b| a.name.cmp(&b.name));
            marker.topics.iter_mut().for_each(|topic| {
                topic.partitions.sort_by_key(|partition| partition.partition_index);
            });
        }
        let shown = self.known.show(&answer);
        self.node.note(what, shown);
    }

    /// Markers that no coordinator sent.
    fn markers(&mut self) {
        let at = |number: i64, epoch| of("", UNKNOWN_ID + 100 + number, epoch);
        for (version, protocol) in [(1, 0), (2, 0), (2, 1), (2, 2), (2, 3), (2, -1)] {
            let number = 10 * i64::from(version) + i64::from(protocol);
            let known = of("", 0, 0);
            let name = format!("marked {version} {protocol}");
            let producer = Producer { id: self.ongoing(&name).id, ..known };
            let bytes = written(&producer, 0, 1, true);
            self.produce(
                format_args!("to be marked {protocol}"),
                8 + version,
                Some(&name),
                (0, bytes),
            );
            for (what, epoch, coordinator) in [
                ("epoch -1", -1, 5),
                ("its epoch", 0, 5),
                ("its epoch again", 0, 5),
                ("older coordinator", 0, 4),
                ("next epoch", 1, 5),
                ("next epoch again", 1, 5),
                ("epoch before", 0, 5),
                ("far epoch", 9, 6),
                ("coordinator -1", 9, -1),
            ] {
                let producer = Producer { epoch, ..producer.clone() };
                let what = format_args!("{what}, protocol {protocol}");
                self.marker(what, version, &[(&producer, true, coordinator, protocol)]);
            }
            let strange = at(number, 3);
            let what = format_args!("unknown producer, protocol {protocol}");
            self.marker(what, version, &[(&strange, false, 0, protocol)]);
            let missing = of("unknown", UNKNOWN_ID + 60, 0);
            let what = format_args!("unknown partitions, protocol {protocol}");
            self.marker(what, version, &[(&missing, true, 0, protocol)]);
            let several = [at(number + 50, 0), at(number + 50, 1), at(number + 51, 0)];
            let several: Vec<_> = several.iter().map(|of| (of, true, 0, protocol)).collect();
            self.marker(format_args!("several, protocol {protocol}"), version, &several);
            self.marker(format_args!("none, protocol {protocol}"), version, &[]);
            let offsets = of("offsets", UNKNOWN_ID + 200 + number, 0);
            let what = format_args!("partition of offsets, protocol {protocol}");
            self.marker(what, version, &[(&offsets, true, 0, protocol)]);
        }
    }

    /// The stable offset, aborted transactions and the numbers of what is fetched.
    fn fetched(&mut self, what: &str, from: i64) {
        for (isolation, level) in [("uncommitted", 0), ("committed", 1)] {
            for version in [4, 11, 12, 16] {
                let partition = message!(FetchPartition {
                    partition: 1,
                    current_leader_epoch: -1,
                    fetch_offset: from,
                    last_fetched_epoch: -1,
                    log_start_offset: -1,
                    partition_max_bytes: 1 << 20,
                });
                let mut topic = message!(FetchTopic { partitions: vec![partition] });
                match version {
                    13.. => topic.topic_id = self.topic,
                    _ => topic.topic = "txn-reads".into(),
                }
                let mut request = message!(FetchRequest {
                    max_wait_ms: 10,
                    min_bytes: 0,
                    max_bytes: 1 << 20,
                    isolation_level: level,
                    session_epoch: -1,
                    topics: vec![topic],
                });
                if version < 15 {
                    request.replica_id = -1;
                }
                let mut answer = self.node.ask(version, &request);
                let shown = self.shown(&answer.responses.remove(0).partitions.remove(0));
                self.note(
                    format_args!("fetch: {what}, {isolation}, from {from} v{version}"),
                    shown,
                );
            }
            for time in [-1, -2, 0] {
                let asked = message!(ListOffsetsPartition {
                    partition_index: 1,
                    current_leader_epoch: -1,
                    timestamp: time,
                });
                let asked = message!(ListOffsetsTopic {
                    name: "txn-reads".into(),
                    partitions: vec![asked]
                });
                let request = message!(ListOffsetsRequest {
                    replica_id: -1,
                    isolation_level: level,
                    topics: vec![asked],
                });
                if from == 0 {
                    let mut answer = self.node.ask(7, &request);
                    let found = answer.topics.remove(0).partitions.remove(0);
                    let shown = format!("{} {}", error(found.error_code), found.offset);
                    self.note(
                        format_args!("list offsets: {what}, {isolation}, time {time}"),
                        shown,
                    );
                }
            }
        }
    }

    fn shown(&self, data: &PartitionData) -> String {
        let records = data.records.clone().unwrap_or_default();
        let batches = batch::batches(&records).filter_map(Result::ok);
        let batches: Vec<_> = batches.map(|(header, _)| header.base_offset.0).collect();
        let aborted = self.known.show(&data.aborted_transactions);
        format!(
            "{} high watermark {} stable {} aborted {aborted} batches {batches:?}",
            error(data.error_code),
            data.high_watermark,
            data.last_stable_offset
        )
    }

    /// Two transactions that overlap in one partition, and plain records.
    fn reads(&mut self) {
        self.node.create("txn-reads", 2, &[]);
        self.topic = self.node.topics(&["txn-reads"]).remove(0).topic_id;
        let producers = ["reads a", "reads b"].map(|name| self.begin(name));
        for producer in &producers {
            self.node.ask(3, &adding(producer, "txn-reads", &[1]));
        }
        let [a, b] = &producers;
        let write = |txns: &mut Self, of: &Producer, sequence, transactional: bool| {
            let bytes = written(of, sequence, 2, transactional);
            let mut request = super::ask::production("txn-reads", 1, Some(bytes.into()));
            (request.acks, request.transactional_id) = (-1, Some(of.name.as_str().into()));
            request.transactional_id = request.transactional_id.filter(|_| transactional);
            let answer = txns.node.ask(9, &request).responses.remove(0);
            assert_eq!(answer.partition_responses[0].error_code, 0, "{answer:?}");
        };
        self.fetched("nothing written", 0);
        write(self, &of("", UNKNOWN_ID, 0), 0, false);
        write(self, a, 0, true);
        write(self, b, 0, true);
        write(self, &of("", UNKNOWN_ID, 0), 2, false);
        self.fetched("two open", 0);
        self.fetched("two open", 5);
        self.end(b, 4, false);
        self.fetched("second aborted", 0);
        write(self, a, 2, true);
        self.end(a, 4, false);
        for from in [0, 2, 5, 9, 11, 12, 13] {
            self.fetched("both aborted", from);
        }
        let a = self.begin("reads a");
        self.node.ask(3, &adding(&a, "txn-reads", &[1]));
        write(self, &a, 0, true);
        self.end(&a, 4, true);
        self.fetched("one committed", 0);
        self.fetched("one committed", 10);
    }

    fn offset(&mut self, what: &str, group: &str) {
        for (stable, version) in [(false, 7), (true, 6), (true, 7), (true, 8), (true, 9)] {
            let request = if version < 8 {
                let topic = message!(OffsetFetchRequestTopic {
                    name: TOPIC.into(),
                    partition_indexes: vec![0, 1],
                });
                message!(OffsetFetchRequest {
                    group_id: group.into(),
                    topics: Some(vec![topic]),
                    require_stable: stable && version >= 7,
                })
            } else {
                let topic = message!(OffsetFetchRequestTopics {
                    name: TOPIC.into(),
                    partition_indexes: vec![0, 1],
                });
                let asked = message!(OffsetFetchRequestGroup {
                    group_id: group.into(),
                    member_epoch: -1,
                    topics: Some(vec![topic]),
                });
                message!(OffsetFetchRequest { groups: vec![asked], require_stable: stable })
            };
            self.ask(format_args!("{what}: fetch offsets, stable {stable}"), version, &request);
        }
    }

    /// Offsets within transactions, of no member and of one.
    fn groups(&mut self) {
        for version in 0..=5 {
            let name = format!("group {version}");
            let producer = self.begin(&name);
            let request = offsets(&producer, GROUP, &[(0, 10 + i64::from(version)), (9, 1)]);
            self.ask("offsets: not added", version, &request);
            let answer = self.node.ask(3, &add_offsets(&producer, GROUP));
            assert_eq!(answer.error_code, 0);
            self.ask("offsets: added", version, &request);
            self.offset(&format!("pending {version}"), GROUP);
            for (what, producer) in [
                ("newer epoch", Producer { epoch: producer.epoch + 1, ..producer.clone() }),
                ("older epoch", Producer { epoch: producer.epoch - 1, ..producer.clone() }),
                ("another producer", Producer { id: UNKNOWN_ID, ..producer.clone() }),
            ] {
                let request = offsets(&producer, GROUP, &[(0, 99)]);
                self.ask(format_args!("offsets: {what}"), version, &request);
            }
            for group in ["", "group-none"] {
                let request = offsets(&producer, group, &[(0, 3)]);
                self.ask(format_args!("offsets: group {group:?}"), version, &request);
            }
            let ending = if version < 5 { 4 } else { 5 };
            let next = self.end(&producer, ending, version % 2 == 0);
            self.offset(&format!("ended {version}"), GROUP);
            self.ask("offsets: after the end", version, &offsets(&next, GROUP, &[(1, 5)]));
            self.describe(format_args!("offsets {version}"), &[name.as_str().into()]);
            self.end_open(&next);
        }
        self.members();
    }

    /// Ends what may be open.
    fn end_open(&mut self, producer: &Producer) {
        self.node.ask(4, &end(producer, false));
        self.settle(&producer.name);
    }

    fn members(&mut self) {
        let joined = self.node.ask(3, &join("txn-members", "", None));
        let member = joined.member_id.to_string();
        self.known.learn(&member, "member");
        self.node.ask(3, &sync("txn-members", 1, &member));
        let producer = self.begin("members");
        self.node.ask(3, &add_offsets(&producer, "txn-members"));
        for version in [3, 4, 5] {
            let of = |generation: i32, member: &str| {
                let mut request = offsets(&producer, "txn-members", &[(0, 4)]);
                request.generation_id_or_member_epoch = generation;
                request.member_id = member.into();
                request
            };
            let with = |change: fn(&mut TxnOffsetCommitRequest)| {
                let mut request = of(1, &member);
                change(&mut request);
                request
            };
            for (what, request) in [
                ("its generation", of(1, &member)),
                ("generation 0", of(0, &member)),
                ("generation 2", of(2, &member)),
                ("no generation", of(-1, &member)),
                ("stranger", of(1, "stranger")),
                ("no member", of(1, "")),
                ("neither", of(-1, "")),
                ("unknown instance", with(|r| r.group_instance_id = Some("i".into()))),
                ("unknown group", with(|r| r.group_id = "group-none".into())),
                ("unknown topic", with(|r| r.topics[0].name = "unknown".into())),
                ("no topics", with(|r| r.topics.clear())),
                ("negative offset", with(|r| r.topics[0].partitions[0].committed_offset = -7)),
                (
                    "long metadata",
                    with(|r| {
                        r.topics[0].partitions[0].committed_metadata =
                            Some("m".repeat(4097).into());
                    }),
                ),
                (
                    "no metadata",
                    with(|r| {
                        r.topics[0].partitions[0].committed_metadata = None;
                    }),
                ),
            ] {
                self.ask(format_args!("member's offsets: {what}"), version, &request);
            }
        }
        self.end(&producer, 4, true);
        self.offset("of a member", "txn-members");
    }
}
