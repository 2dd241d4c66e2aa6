//! librdkafka's transactions against `serve`: it speaks the first version of the protocol.
#![allow(
    clippy::disallowed_methods,
    reason = "tests and benchmarks look at the real world from outside"
)]

use std::collections::BTreeMap;
use std::process::Command;
use std::time::{Duration, Instant};

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};

use super::clients::clients::server::{Cluster, Server};

const SETTINGS: &str = "offsets.topic.replication.factor=1\n\
                        transaction.state.log.replication.factor=1\n\
                        transaction.state.log.min.isr=1\n\
                        group.initial.rebalance.delay.ms=0\n";
/// How long any one call may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long nothing has to come until nothing is left.
const QUIET: Duration = Duration::from_millis(1500);

fn producer(bootstrap: &str, id: &str) -> BaseProducer {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("transactional.id", id)
        .set("transaction.timeout.ms", "20000")
        .set("linger.ms", "2")
        .create()
        .unwrap();
    producer.init_transactions(PATIENCE).unwrap();
    producer
}

fn consumer(bootstrap: &str, isolation: &str, group: &str) -> BaseConsumer {
    ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("isolation.level", isolation)
        .set("group.id", group)
        .set("auto.offset.reset", "earliest")
        .set("enable.auto.commit", "false")
        .create()
        .unwrap()
}

fn send(producer: &BaseProducer, topic: &str, partition: i32, values: &[&str]) {
    for value in values {
        let record: BaseRecord<'_, (), str> = BaseRecord::to(topic).partition(partition);
        producer.send(record.payload(*value)).map_err(|(error, _)| error).unwrap();
        producer.poll(Duration::ZERO);
    }
}

/// Everything that a new reader of these partitions is given, by partition.
fn read(
    bootstrap: &str,
    isolation: &str,
    topic: &str,
    partitions: i32,
) -> BTreeMap<i32, Vec<String>> {
    let consumer = consumer(bootstrap, isolation, "reader");
    let mut all = TopicPartitionList::new();
    for partition in 0..partitions {
        all.add_partition_offset(topic, partition, Offset::Beginning).unwrap();
    }
    consumer.assign(&all).unwrap();
    let (mut found, mut last) = (BTreeMap::<i32, Vec<String>>::new(), Instant::now());
    while last.elapsed() < QUIET {
        let Some(message) = consumer.poll(Duration::from_millis(100)) else { continue };
        let Ok(message) = message else { continue };
        let value = message.payload().map(String::from_utf8_lossy).unwrap_or_default();
        found.entry(message.partition()).or_default().push(value.into_owned());
        last = Instant::now();
    }
    found
}

fn named(values: &[&str]) -> Vec<String> {
    values.iter().map(|value| (*value).to_owned()).collect()
}

#[test]
fn committed_records_are_read_and_aborted_ones_are_not() {
    let server = Server::start_with(SETTINGS);
    server.create_topic("payments", 2, 1, &[]);
    let bootstrap = server.bootstrap();
    let producer = producer(&bootstrap, "till");
    for (partition, values, commits) in [
        (0, ["a", "b"], true),
        (1, ["c", "d"], false),
        (0, ["e", "f"], false),
        (1, ["g", "h"], true),
    ] {
        producer.begin_transaction().unwrap();
        send(&producer, "payments", partition, &values);
        match commits {
            true => producer.commit_transaction(PATIENCE).unwrap(),
            // What is only queued would not be sent before the abort.
            false => {
                producer.flush(PATIENCE).unwrap();
                producer.abort_transaction(PATIENCE).unwrap();
            }
        }
    }
    let committed = read(&bootstrap, "read_committed", "payments", 2);
    assert_eq!(committed, [(0, named(&["a", "b"])), (1, named(&["g", "h"]))].into());
    let all = read(&bootstrap, "read_uncommitted", "payments", 2);
    let (first, second) = (named(&["a", "b", "e", "f"]), named(&["c", "d", "g", "h"]));
    assert_eq!(all, [(0, first), (1, second)].into());
}

#[test]
fn open_transaction_holds_readers_of_committed_records_back() {
    let server = Server::start_with(SETTINGS);
    server.create_topic("payments", 1, 1, &[]);
    let bootstrap = server.bootstrap();
    let (first, second) = (producer(&bootstrap, "first"), producer(&bootstrap, "second"));
    first.begin_transaction().unwrap();
    send(&first, "payments", 0, &["a"]);
    first.flush(PATIENCE).unwrap();
    second.begin_transaction().unwrap();
    send(&second, "payments", 0, &["b"]);
    second.commit_transaction(PATIENCE).unwrap();
    assert_eq!(read(&bootstrap, "read_committed", "payments", 1), BTreeMap::new());
    first.commit_transaction(PATIENCE).unwrap();
    let committed = read(&bootstrap, "read_committed", "payments", 1);
    assert_eq!(committed, [(0, named(&["a", "b"]))].into());
}

#[test]
fn second_producer_with_an_id_fences_the_first_and_aborts_its_transaction() {
    let server = Server::start_with(SETTINGS);
    server.create_topic("payments", 1, 1, &[]);
    let bootstrap = server.bootstrap();
    let zombie = producer(&bootstrap, "till");
    zombie.begin_transaction().unwrap();
    send(&zombie, "payments", 0, &["lost"]);
    zombie.flush(PATIENCE).unwrap();
    let next = producer(&bootstrap, "till");
    let fenced = zombie.commit_transaction(PATIENCE).unwrap_err();
    let KafkaError::Transaction(error) = &fenced else { panic!("{fenced:?}") };
    assert!(error.is_fatal(), "{error:?}");
    let codes = [RDKafkaErrorCode::Fenced, RDKafkaErrorCode::ProducerFenced];
    assert!(codes.contains(&error.code()), "{error:?}");
    next.begin_transaction().unwrap();
    send(&next, "payments", 0, &["kept"]);
    next.commit_transaction(PATIENCE).unwrap();
    let committed = read(&bootstrap, "read_committed", "payments", 1);
    assert_eq!(committed, [(0, named(&["kept"]))].into());
}

#[test]
fn transaction_of_a_producer_that_went_away_is_aborted_after_its_timeout() {
    let settings = "transaction.abort.timed.out.transaction.cleanup.interval.ms=500\n";
    let server = Server::start_with(&format!("{SETTINGS}{settings}"));
    server.create_topic("payments", 1, 1, &[]);
    let bootstrap = server.bootstrap();
    let gone: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", &bootstrap)
        .set("transactional.id", "gone")
        .set("transaction.timeout.ms", "2000")
        .create()
        .unwrap();
    gone.init_transactions(PATIENCE).unwrap();
    gone.begin_transaction().unwrap();
    send(&gone, "payments", 0, &["never"]);
    gone.flush(PATIENCE).unwrap();
    drop(gone);
    let other = producer(&bootstrap, "other");
    other.begin_transaction().unwrap();
    send(&other, "payments", 0, &["kept"]);
    other.commit_transaction(PATIENCE).unwrap();
    let deadline = Instant::now() + PATIENCE;
    while read(&bootstrap, "read_committed", "payments", 1) != [(0, named(&["kept"]))].into() {
        assert!(Instant::now() < deadline, "the transaction is still open");
    }
}

/// Consumes, transforms and produces until the input is used up, in transactions of three records. Every
/// third one is aborted, and its records are read again.
fn transform(bootstrap: &str, count: usize) {
    let producer = producer(bootstrap, "transform");
    let consumer = consumer(bootstrap, "read_committed", "transform");
    consumer.subscribe(&["input"]).unwrap();
    let (mut done, mut turn, deadline) = (0, 0, Instant::now() + 2 * PATIENCE);
    while done < count {
        assert!(Instant::now() < deadline, "{done} of {count} records are done");
        let mut values = Vec::new();
        while values.len() < 3 && done + values.len() < count && Instant::now() < deadline {
            if let Some(Ok(message)) = consumer.poll(Duration::from_millis(100)) {
                values.push(String::from_utf8_lossy(message.payload().unwrap()).into_owned());
            }
        }
        producer.begin_transaction().unwrap();
        let outputs: Vec<String> = values.iter().map(|value| format!("{value}!")).collect();
        send(&producer, "output", 0, &outputs.iter().map(String::as_str).collect::<Vec<_>>());
        let offsets = consumer.position().unwrap();
        let group = consumer.group_metadata().unwrap();
        producer.send_offsets_to_transaction(&offsets, &group, PATIENCE).unwrap();
        turn += 1;
        producer.flush(PATIENCE).unwrap();
        if turn % 3 == 0 {
            producer.abort_transaction(PATIENCE).unwrap();
            let committed = consumer.committed(PATIENCE).unwrap();
            consumer.seek_partitions(committed, PATIENCE).unwrap();
        } else {
            producer.commit_transaction(PATIENCE).unwrap();
            done += values.len();
        }
    }
}

#[test]
fn consume_transform_produce_gives_one_output_per_input_though_some_are_aborted() {
    let server = Server::start_with(SETTINGS);
    for topic in ["input", "output"] {
        server.create_topic(topic, 1, 1, &[]);
    }
    let bootstrap = server.bootstrap();
    let inputs: Vec<String> = (0..20).map(|number| number.to_string()).collect();
    let source = producer(&bootstrap, "source");
    source.begin_transaction().unwrap();
    send(&source, "input", 0, &inputs.iter().map(String::as_str).collect::<Vec<_>>());
    source.commit_transaction(PATIENCE).unwrap();
    transform(&bootstrap, inputs.len());
    let expected: Vec<String> = inputs.iter().map(|input| format!("{input}!")).collect();
    let committed = read(&bootstrap, "read_committed", "output", 1);
    assert_eq!(committed, [(0, expected)].into());
}

#[test]
fn transactions_go_on_after_a_broker_is_killed() {
    let mut cluster = Cluster::start(3);
    cluster.create_topic("payments", 1, 3, &[("min.insync.replicas", "2")]);
    let bootstrap = cluster.bootstrap();
    let producer = producer(&bootstrap, "till");
    let mut expected = Vec::new();
    for turn in 0..6 {
        if turn == 2 {
            cluster.kill(cluster.leader("payments", 0));
        }
        let value = format!("turn {turn}");
        producer.begin_transaction().unwrap();
        send(&producer, "payments", 0, &[&value]);
        // A transaction that the death of a broker has cost is aborted, as librdkafka asks.
        match producer.commit_transaction(PATIENCE) {
            Ok(()) => expected.push(value),
            Err(KafkaError::Transaction(error)) if error.txn_requires_abort() => {
                producer.abort_transaction(PATIENCE).unwrap();
            }
            Err(error) => panic!("turn {turn}: {error:?}"),
        }
    }
    assert!(expected.len() >= 5, "{expected:?}");
    let committed = read(&bootstrap, "read_committed", "payments", 1);
    assert_eq!(committed, [(0, expected)].into());
}

/// What `brokerquake transactions` answers on a server: its exit code, and both streams.
fn command(server: &Server, words: &str) -> (Option<i32>, String) {
    let ran = Command::new(env!("CARGO_BIN_EXE_brokerquake"))
        .args(["transactions", "--bootstrap-server", &server.bootstrap()])
        .args(words.split(' '))
        .output()
        .unwrap();
    (ran.status.code(), String::from_utf8([ran.stdout, ran.stderr].concat()).unwrap())
}

#[test]
fn command_names_what_does_not_exist_and_changes_nothing() {
    let server = Server::start_with(SETTINGS);
    server.create_topic("payments", 3, 1, &[]);
    // The topics of coordinators exist from the first transactional id on.
    drop(producer(&server.bootstrap(), "till"));
    let started = Instant::now();
    for (words, named) in [
        ("describe-producers --topic paymnts --partition 0", "topic `paymnts`"),
        ("describe-producers --topic payments --partition 3", "has partitions 0, 1, 2"),
        ("describe-producers --topic payments --partition=-1", "no partition -1"),
        (
            "describe-producers --broker-id 7 --topic payments --partition 0",
            "those are on brokers 1",
        ),
        ("find-hanging --topic paymnts", "topic `paymnts`"),
        ("find-hanging --topic payments --partition 9", "no partition 9"),
        ("find-hanging --broker-id 7", "the brokers of the cluster are 1"),
        ("abort --topic paymnts --partition 0 --start-offset 0", "topic `paymnts`"),
        (
            "abort --topic paymnts --partition 0 --producer-id 1 --producer-epoch 0 --coordinator-epoch 0",
            "topic `paymnts`",
        ),
        ("describe --transactional-id til", "TRANSACTIONAL_ID_NOT_FOUND: til"),
        ("force-terminate --transactional-id til", "TRANSACTIONAL_ID_NOT_FOUND: til"),
    ] {
        let (code, told) = command(&server, words);
        assert!(code == Some(1) && told.contains(named), "{words}: {code:?} {told}");
    }
    for (words, argument) in [
        ("describe --transactional-id=", "--transactional-id <ID>"),
        ("force-terminate --transactional-id=", "--transactional-id <ID>"),
        ("describe-producers --topic= --partition 0", "--topic <TOPIC>"),
        ("abort --topic= --partition 0 --start-offset 0", "--topic <TOPIC>"),
        ("find-hanging --topic=", "--topic <TOPIC>"),
    ] {
        let (code, told) = command(&server, words);
        assert!(code == Some(2) && told.contains(argument), "{words}: {code:?} {told}");
    }
    // Each asks for what is there before it looks for a leader of what is not.
    assert!(started.elapsed() < PATIENCE, "{:?}", started.elapsed());
    let (code, told) = command(&server, "list");
    assert!(code == Some(0) && told.contains("till "), "{told}");
    assert_eq!(told.lines().count(), 2, "no other id was created: {told}");
    let (code, told) = command(&server, "describe-producers --topic payments --partition 2");
    assert!(code == Some(0) && told.contains("LatestCoordinatorEpoch"), "{told}");
    let (code, told) = command(&server, "abort --topic payments --partition 0 --start-offset 5");
    assert!(code == Some(2) && told.contains("describe-producers"), "{told}");
}
