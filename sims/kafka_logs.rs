//! Logs written by Apache Kafka are opened, read and dumped here; logs written here are read by
//! Apache Kafka's own tool, if its jars are present (`.ci/slow` fetches them).
#![allow(
    clippy::disallowed_methods,
    reason = "tests and benchmarks look at the real world from outside"
)]

mod kafka_logs {
    pub mod kafka;
    pub mod recorded;
}
#[path = "clients/server.rs"]
mod server;
#[path = "clients/traffic.rs"]
mod traffic;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use brokerquake::base::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Timestamp};
use brokerquake::decide::{KeyValue, LogRecord};
use brokerquake::txn;
use brokerquake::wire::batch::{self, Record, TimestampType};
use bytes::Bytes;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{ClientConfig, TopicPartitionList};

use kafka_logs::kafka::{self, Dump};
use kafka_logs::recorded::{Recorded, clean, crashed};
use server::Server;
use traffic::{Load, Sent, produce};

/// The timestamp in `Record.java`.
const START: i64 = 1_700_000_000_000;
const PARTITIONS: [&str; 7] = [
    "orders-0",
    "payments-0",
    "accounts-0",
    "__consumer_offsets-0",
    "__transaction_state-0",
    "__share_group_state-0",
    "__cluster_metadata-0",
];

#[test]
fn kafka_logs_dump_as_kafkas_tool_printed_them() {
    let data = kafka::fixture().join("data");
    let dumps = kafka::listed_dumps();
    assert!(dumps.len() >= 10, "the list was not understood");
    for dump in dumps {
        let name = kafka::fixture().join("dumps").join(&dump.name).with_extension("txt");
        let theirs = fs::read_to_string(&name).unwrap();
        let ours = dump.ours(&data);
        assert!(ours.ended_well, "{}: {}", dump.name, ours.problems);
        kafka::assert_same(&dump.name, &theirs, &ours.text);
    }
}

#[test]
fn checkpoints_are_shown_too() {
    let data = kafka::fixture().join("data");
    let files = ["orders-0/leader-epoch-checkpoint", "replication-offset-checkpoint"];
    let shown = Dump::of("checkpoints", &[], &files).ours(&data);
    assert!(shown.ended_well);
    assert_eq!(
        shown.text,
        "Dumping orders-0/leader-epoch-checkpoint\n\
         epoch: 0 startOffset: 4\n\
         Dumping replication-offset-checkpoint\n\
         topic: __transaction_state partition: 0 offset: 23\n\
         topic: payments partition: 0 offset: 26\n\
         topic: __consumer_offsets partition: 0 offset: 34\n\
         topic: orders partition: 0 offset: 102\n\
         topic: __share_group_state partition: 0 offset: 2\n\
         topic: accounts partition: 0 offset: 52\n"
    );
}

#[test]
fn unsupported_dump_is_reported_with_a_remedy() {
    let data = kafka::fixture().join("data");
    let file = ["orders-0/00000000000000000000.log"];
    for (options, words) in [
        (&["--remote-log-metadata-decoder"][..], "no tiered storage here"),
        (&["--value-decoder-class", "com.example.Mine"], "no decoder `com.example.Mine`"),
    ] {
        let refused = Dump::of("refused", options, &file).ours(&data);
        assert!(!refused.ended_well && refused.problems.contains(words), "{}", refused.problems);
    }
    let missing = Dump::of("missing", &[], &["orders-0/00000000000000000999.log"]).ours(&data);
    assert!(missing.problems.contains("00000000000000000999.log: can't be read"));
}

#[test]
fn kafka_logs_open_whole_after_clean_stop_and_crash() {
    for partition in PARTITIONS {
        let recorded = Recorded::of(partition);
        let (log, report) = recorded.open(clean(recorded.end));
        let before = recorded.batches(&log);
        assert_eq!((report.bytes_cut, report.cut_because.clone()), (0, None), "{partition}");
        assert_eq!(log.log_end(), recorded.end, "{partition}");
        let aborted = log.aborted_transactions(Offset(0), recorded.end).unwrap();
        assert_eq!(aborted.len(), if partition == "payments-0" { 2 } else { 0 }, "{partition}");
        drop(log);
        let (log, report) = recorded.open(crashed());
        assert_eq!((report.bytes_cut, report.cut_because.clone()), (0, None), "{partition}");
        assert_eq!(report.batches_checked as usize, recorded.whole_batches(), "{partition}");
        assert_eq!(log.log_end(), recorded.end, "{partition}");
        assert_eq!(recorded.batches(&log), before, "{partition}");
        let epochs = log.epochs().entries().to_vec();
        let epoch = if partition.starts_with("__cluster") { 1 } else { 0 };
        // Also for a compacted log, whatever its first remaining batch is.
        assert_eq!(epochs, [(LeaderEpoch(epoch), Offset(0))], "{partition}");
    }
}

#[test]
fn lost_indexes_are_rebuilt_as_kafka_wrote_them() {
    for partition in PARTITIONS.into_iter().filter(|partition| *partition != "accounts-0") {
        let recorded = Recorded::of(partition);
        let theirs = recorded.indexes();
        assert!(!theirs.is_empty());
        recorded.remove_indexes();
        let (log, _) = recorded.open(crashed());
        recorded.close(log);
        let ours = recorded.indexes();
        for ((name, theirs), (_, ours)) in theirs.iter().zip(&ours) {
            assert_eq!(ours, theirs, "{partition}/{name}");
        }
        assert_eq!(ours.len(), theirs.len(), "{partition}");
    }
}

/// The cleaner writes many batches at once, and Kafka indexes writes, not batches: so the entries
/// of a compacted segment may differ. The batches that they find must be equal.
#[test]
fn rebuilt_indexes_of_a_compacted_log_find_the_same_batches() {
    let recorded = Recorded::of("accounts-0");
    let (log, _) = recorded.open(clean(recorded.end));
    let found = |log: &kafka_logs::recorded::RealLog| {
        let by_time = |minute: i64| log.offset_for_timestamp(Timestamp(START + minute * 60_000));
        let times: Vec<_> = (0..12).map(|minute| by_time(minute).unwrap()).collect();
        let places: Vec<_> = (0..52).map(|at| recorded.first_read_at(log, Offset(at))).collect();
        (times, places)
    };
    let theirs = found(&log);
    drop(log);
    recorded.remove_indexes();
    let (log, _) = recorded.open(crashed());
    assert_eq!(found(&log), theirs);
}

#[test]
fn kafka_logs_decode_to_the_sent_records_with_every_codec() {
    let recorded = Recorded::of("orders-0");
    let (log, _) = recorded.open(clean(recorded.end));
    let records = recorded.records(&log);
    assert_eq!(records.len(), 102);
    let text = |bytes: &Option<Bytes>| {
        bytes.as_ref().map(|bytes| String::from_utf8(bytes.to_vec()).unwrap())
    };
    for (number, (header, record)) in records[..100].iter().enumerate() {
        assert_eq!(record.offset, Offset(number as i64));
        assert_eq!(text(&record.key), Some(format!("order-{number}")));
        let value = format!("a dozen of oranges, and again a dozen of oranges: {number}");
        assert_eq!(text(&record.value), Some(value));
        let codec = ["none", "gzip", "snappy", "lz4", "zstd"][number / 20];
        assert_eq!(header.compression().to_string(), codec);
        let (round, batch, index) = (number / 20, number / 10, number % 10);
        let time = START + batch as i64 * 1000 + round as i64 * 120_000 + index as i64;
        assert_eq!(
            (header.timestamp_type(), record.timestamp.0),
            (TimestampType::CreateTime, time)
        );
        let headers: Vec<_> =
            record.headers.iter().map(|h| (&h.key[..], h.value.as_deref())).collect();
        let expected = [(&b"codec"[..], Some(codec.as_bytes())), (&b"empty"[..], None)];
        assert_eq!(headers, if index == 3 { &expected[..] } else { &[] });
    }
    let last: Vec<_> =
        records[100..].iter().map(|(_, record)| (text(&record.key), text(&record.value))).collect();
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(last, [(None, some("no key")), (some("no value"), None)]);
}

#[test]
fn compacted_kafka_log_keeps_last_values_and_tombstones() {
    let recorded = Recorded::of("accounts-0");
    let (log, _) = recorded.open(clean(recorded.end));
    let records = recorded.records(&log);
    let rows: Vec<(i64, String, Option<String>)> = records
        .iter()
        .map(|(_, Record { offset, key, value, .. })| {
            let text = |bytes: &Bytes| String::from_utf8(bytes.to_vec()).unwrap();
            (offset.0, text(key.as_ref().unwrap()), value.as_ref().map(text))
        })
        .collect();
    let tombstones: Vec<_> = rows.iter().filter(|row| row.2.is_none()).collect();
    assert_eq!(tombstones.len(), 4, "{tombstones:?}");
    let mut last = std::collections::BTreeMap::new();
    rows.iter().for_each(|(_, key, value)| drop(last.insert(key.clone(), value.clone())));
    for account in 0..10 {
        let expected = (account % 3 != 0).then(|| "balance 500".to_owned());
        assert_eq!(last[&format!("account-{account}")], expected);
    }
    assert!(rows.windows(2).any(|pair| pair[1].0 > pair[0].0 + 1), "records are missing between");
    assert!(records.iter().any(|(header, _)| header.has_delete_horizon()));
}

#[test]
fn producers_are_remembered_as_kafka_remembers_them() {
    for partition in ["orders-0", "payments-0"] {
        let recorded = Recorded::of(partition);
        let (log, _) = recorded.open(clean(recorded.end));
        let theirs: Vec<_> = log.producers().iter().map(|(id, p)| (id, p.clone())).collect();
        assert!(theirs.len() >= 3, "{partition}");
        drop(log);
        recorded.remove(|name| name.ends_with(".snapshot"));
        let (log, _) = recorded.open(crashed());
        for (id, theirs) in theirs {
            let ours = log.producers().get(id).unwrap();
            assert_eq!(
                (ours.epoch, ours.batches.back(), ours.transaction_start),
                (theirs.epoch, theirs.batches.back(), theirs.transaction_start),
                "{partition} {id}"
            );
        }
    }
    let recorded = Recorded::of("payments-0");
    let (log, _) = recorded.open(clean(recorded.end));
    let open: Vec<_> =
        log.producers().iter().filter(|(_, p)| p.transaction_start.is_some()).collect();
    let (id, producer) = open[0];
    assert_eq!((open.len(), id), (1, ProducerId(7)), "one transaction is open");
    assert_eq!((producer.epoch, producer.transaction_start), (ProducerEpoch(0), Some(Offset(24))));
}

#[test]
fn both_dump_tools_print_the_same_for_kafkas_logs() {
    let Some(kafka) = kafka::Tool::at_hand() else { return };
    let data = kafka::fixture().join("data");
    for dump in kafka::listed_dumps().into_iter().chain(kafka::every_dump(&data)) {
        kafka.compare(&dump, &data);
    }
}

/// Several segments, every codec, idempotent producers, all indexes, snapshots, checkpoints and a
/// metadata log, from a broker that librdkafka wrote to and SIGTERM stopped; then again after
/// SIGKILL and recovery.
#[test]
fn kafkas_tool_reads_our_logs_without_complaint() {
    let Some(kafka) = kafka::Tool::at_hand() else { return };
    let mut server = Server::start();
    let settings = [("segment.bytes", "1100000"), ("index.interval.bytes", "1000")];
    server.create_topic("orders", 2, 1, &settings);
    for (round, codec) in ["none", "gzip", "snappy", "lz4", "zstd"].into_iter().enumerate() {
        let first = round as u64 * 9000;
        let load = Load { topic: "orders", codec, acks: "all", first, count: 9000, partitions: 2 };
        let sent = produce(&server.bootstrap(), &load, |key| (key % 700) as usize);
        assert!(sent.iter().all(Sent::is_acknowledged), "{codec}");
    }
    server.terminate();
    assert_complete(&server.data());
    let check = |data: &Path| {
        for dump in kafka::every_dump(data) {
            let shown = kafka.compare(&dump, data);
            assert!(!shown.text.contains("isvalid: false"), "{}", dump.name);
            let complaints = shown.problems.lines().filter(|line| !is_expected(line));
            assert_eq!(complaints.collect::<Vec<_>>(), [""; 0], "{}", dump.name);
        }
    };
    check(&server.data());
    server.restart();
    let load =
        Load { topic: "orders", codec: "zstd", acks: "1", first: 0, count: 500, partitions: 2 };
    produce(&server.bootstrap(), &load, |_| 100);
    server.kill();
    server.restart();
    server.terminate();
    check(&server.data());
}

/// The coordinators' logs of librdkafka's transactions: committed, aborted, with offsets, and one that
/// SIGTERM finds open. Kafka's tool prints of each record what is decoded here.
#[test]
fn kafkas_tool_decodes_our_transaction_state() {
    let Some(kafka) = kafka::Tool::at_hand() else { return };
    let mut server = Server::start();
    server.create_topic("payments", 2, 1, &[]);
    transact(&server.bootstrap());
    server.terminate();
    let data = server.data();
    let of = |pattern: &str| kafka::matching(&data, pattern);
    let logs = of("__transaction_state-*/*.log");
    // Kafka's tool knows no checkpoints.
    let payments = ["log", "snapshot", "txnindex", "index", "timeindex"];
    let payments: Vec<_> =
        payments.iter().flat_map(|kind| of(&format!("payments-*/*.{kind}"))).collect();
    let dumps = [
        Dump::of("transactions", &["--transaction-log-decoder"], &logs),
        Dump::of("offsets", &["--offsets-decoder"], &of("__consumer_offsets-*/*.log")),
        Dump::of("payments", &["--deep-iteration"], &payments),
    ];
    let shown = dumps.map(|dump| kafka.compare(&dump, &data));
    assert!(shown.iter().all(|shown| shown.problems.is_empty() && shown.ended_well));
    let mut stored = Vec::new();
    for log in &logs {
        let bytes = fs::read(data.join(log)).unwrap();
        for found in batch::batches(&bytes) {
            for record in batch::records(found.unwrap().1, 1 << 20).unwrap() {
                stored.push(in_kafkas_words(&record));
            }
        }
    }
    let printed: Vec<&str> =
        shown[0].text.lines().filter_map(|line| Some(line.split_once(" key: ")?.1)).collect();
    assert_eq!(printed.len(), stored.len());
    for (printed, words) in printed.iter().zip(&stored) {
        for word in words {
            assert!(printed.contains(word), "{word} is not in {printed}");
        }
    }
    // Each is stored when it is initialised, begun, decided and completed.
    let states = |id: &str| {
        let named = format!("\"transactionalId\":\"{id}\"");
        let of_id = stored.iter().filter(|words| words.contains(&named));
        let mut states: Vec<_> = of_id.map(|words| words[2].rsplit(':').next().unwrap()).collect();
        // More partitions are stored with the same state.
        states.dedup();
        states.concat()
    };
    assert_eq!([states("commits"), states("aborts"), states("open")], ["0124", "0135", "01"]);
}

/// One transaction for each transactional id.
fn transact(bootstrap: &str) {
    const PATIENCE: Duration = Duration::from_secs(30);
    for id in ["commits", "aborts", "open"] {
        let producer: BaseProducer = ClientConfig::new()
            .set("bootstrap.servers", bootstrap)
            .set("transactional.id", id)
            .create()
            .unwrap();
        producer.init_transactions(PATIENCE).unwrap();
        producer.begin_transaction().unwrap();
        for partition in 0..2 {
            let record = BaseRecord::<(), str>::to("payments").partition(partition).payload(id);
            producer.send(record).map_err(|(error, _)| error).unwrap();
        }
        producer.flush(PATIENCE).unwrap();
        match id {
            "commits" => {
                let consumer: BaseConsumer = ClientConfig::new()
                    .set("bootstrap.servers", bootstrap)
                    .set("group.id", "shop")
                    .create()
                    .unwrap();
                let group = consumer.group_metadata().unwrap();
                let mut offsets = TopicPartitionList::new();
                offsets.add_partition_offset("payments", 0, rdkafka::Offset::Offset(1)).unwrap();
                producer.send_offsets_to_transaction(&offsets, &group, PATIENCE).unwrap();
                producer.commit_transaction(PATIENCE).unwrap();
            }
            "aborts" => producer.abort_transaction(PATIENCE).unwrap(),
            _ => {}
        }
    }
}

/// What Kafka's tool is to print of a record of `__transaction_state`, as it is decoded here.
fn in_kafkas_words(record: &Record) -> [String; 5] {
    let bytes = KeyValue { key: record.key.clone(), value: record.value.clone() };
    let read = txn::Record::decode(bytes).unwrap();
    let txn::Record::Stored { id, transaction, .. } = read else { panic!("{read:?}") };
    let mut topics: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for name in &*transaction.partitions {
        topics.entry(&name.topic).or_default().push(name.partition.to_string());
    }
    let topics = topics.into_iter().map(|(topic, partitions)| {
        format!("{{\"topic\":\"{topic}\",\"partitionIds\":[{}]}}", partitions.join(","))
    });
    let topics: Vec<String> = topics.collect();
    let (producer, epoch) = (transaction.producer, transaction.epoch);
    [
        format!("\"transactionalId\":\"{id}\""),
        format!("\"producerId\":{producer},"),
        format!("\"transactionStatus\":{}", transaction.state.id()),
        format!("\"producerEpoch\":{epoch},\"transactionTimeoutMs\":{}", transaction.timeout_ms),
        topics.join(","),
    ]
}

/// Findings that Kafka's tool also reports for its own logs: a segment above 0 follows -1.
fn is_expected(line: &str) -> bool {
    line.starts_with("Non-consecutive offsets in")
        || line.trim_start().starts_with("-1 is followed by")
}

/// Checks that the directory contains everything that it should.
fn assert_complete(data: &Path) {
    let names: Vec<String> = fs::read_dir(data.join("orders-0"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let count = |end: &str| names.iter().filter(|name| name.ends_with(end)).count();
    assert!(count(".log") >= 3, "{names:?}");
    assert!(count(".index") == count(".log") && count(".timeindex") == count(".log"), "{names:?}");
    assert!(count(".snapshot") >= 2 && count("leader-epoch-checkpoint") == 1, "{names:?}");
    assert!(data.join("__cluster_metadata-0/00000000000000000000.log").exists());
}
