//! Groups of librdkafka consumers on `serve`.
#![allow(
    clippy::disallowed_methods,
    reason = "tests and benchmarks look at the real world from outside"
)]

use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::groups::GroupList;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use super::clients::clients::member::{Member, PATIENCE, all_owned, wait_until};
use super::clients::clients::server::{Cluster, Server};
use super::clients::clients::traffic::{Load, Sent, produce};

/// Groups form at once, and a member that is gone is noticed soon.
const SETTINGS: &str = "group.initial.rebalance.delay.ms=0\ngroup.min.session.timeout.ms=1000\n";

const SHORT: [(&str, &str); 2] = [("session.timeout.ms", "6000"), ("heartbeat.interval.ms", "300")];

fn send(bootstrap: &str, topic: &str, first: u64, count: u64, partitions: i32) {
    let load = Load { topic, codec: "none", acks: "all", first, count, partitions };
    let sent = produce(bootstrap, &load, |_| 100);
    assert!(sent.iter().all(Sent::is_acknowledged), "every record is acknowledged");
}

/// Every assignor of librdkafka, eager and cooperative.
#[test]
fn members_share_partitions_and_one_takes_over_those_of_another() {
    let server = Server::start_with(SETTINGS);
    server.create_topic("shared", 4, 1, &[]);
    send(&server.bootstrap(), "shared", 0, 200, 4);
    for assignor in ["range", "roundrobin", "cooperative-sticky"] {
        let settings = [SHORT[0], SHORT[1], ("partition.assignment.strategy", assignor)];
        let join = || Member::join(&server.bootstrap(), assignor, "shared", &settings);
        let first = join();
        wait_until("one member owns everything", || first.owned() == [0, 1, 2, 3]);
        let second = join();
        wait_until("two members own half each", || {
            first.owned().len() == 2
                && second.owned().len() == 2
                && all_owned(&[&first, &second]) == [0, 1, 2, 3]
        });
        let left = first.stop();
        wait_until("the other takes over", || second.owned() == [0, 1, 2, 3]);
        wait_until("everything was read", || {
            let read = second.read();
            (0..200).all(|key| left.contains_key(&key) || read.contains_key(&key))
        });
        // Each record was committed before its partition moved.
        let twice = second.read().keys().filter(|key| left.contains_key(*key)).count();
        assert_eq!(twice, 0, "{assignor}: records were read again");
        assert_eq!(second.errors(), [""; 0]);
    }
}

#[test]
fn commits_survive_a_clean_stop_and_a_kill_of_the_broker() {
    let mut server = Server::start_with(SETTINGS);
    server.create_topic("kept", 2, 1, &[]);
    let mut first = 0;
    for killed in [false, true] {
        send(&server.bootstrap(), "kept", first, 100, 2);
        let member = Member::join(&server.bootstrap(), "keepers", "kept", &SHORT);
        let new = first..first + 100;
        wait_until("the new records were read", || {
            let read = member.read();
            new.clone().all(|key| read.contains_key(&key))
        });
        let read = member.stop();
        assert_eq!(read.keys().min(), Some(&first), "it begins where the group left off");
        if killed {
            server.kill();
        } else {
            server.terminate();
        }
        server.restart();
        first += 100;
    }
    let found = committed(&server.bootstrap(), "keepers", "kept", 2);
    assert_eq!(found.iter().map(|offset| offset.unwrap_or(0)).sum::<i64>(), 200, "{found:?}");
}

/// The committed offsets of a group by partition.
fn committed(bootstrap: &str, group: &str, topic: &str, partitions: i32) -> Vec<Option<i64>> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("group.id", group)
        .create()
        .unwrap();
    let mut asked = TopicPartitionList::new();
    asked.add_partition_range(topic, 0, partitions - 1);
    let deadline = Instant::now() + PATIENCE;
    let found = loop {
        match consumer.committed_offsets(asked.clone(), Duration::from_secs(20)) {
            Ok(found) => break found,
            // It is elected, and has not heard of it: this call of librdkafka does not ask again.
            Err(error) => assert!(
                error.rdkafka_error_code() == Some(RDKafkaErrorCode::NotCoordinator)
                    && Instant::now() < deadline,
                "{error}"
            ),
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    let offset = |offset: Offset| match offset {
        Offset::Offset(offset) => Some(offset),
        _ => None,
    };
    found.elements().iter().map(|element| offset(element.offset())).collect()
}

/// Commits offsets of a group that has no members, as an administrator does.
fn reset(bootstrap: &str, group: &str, topic: &str, offsets: &[i64]) {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("group.id", group)
        .set("enable.auto.commit", "false")
        .create()
        .unwrap();
    let mut wanted = TopicPartitionList::new();
    for (partition, offset) in (0..).zip(offsets) {
        wanted.add_partition_offset(topic, partition, Offset::Offset(*offset)).unwrap();
    }
    let deadline = Instant::now() + PATIENCE;
    // A coordinator that is elected and has not heard of it refuses once, as above.
    while let Err(error) = consumer.commit(&wanted, CommitMode::Sync) {
        assert!(
            error.rdkafka_error_code() == Some(RDKafkaErrorCode::NotCoordinator)
                && Instant::now() < deadline,
            "{error}"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn group_whose_offsets_are_reset_reads_again_from_there() {
    let server = Server::start_with(SETTINGS);
    server.create_topic("again", 1, 1, &[]);
    send(&server.bootstrap(), "again", 0, 50, 1);
    assert_eq!(committed(&server.bootstrap(), "readers", "again", 1), [None]);
    let member = Member::join(&server.bootstrap(), "readers", "again", &SHORT);
    wait_until("everything was read", || member.read().len() == 50);
    member.stop();
    assert_eq!(committed(&server.bootstrap(), "readers", "again", 1), [Some(50)]);

    reset(&server.bootstrap(), "readers", "again", &[20]);
    let member = Member::join(&server.bootstrap(), "readers", "again", &SHORT);
    wait_until("the last 30 were read", || member.read().len() == 30);
    assert_eq!(member.stop().keys().copied().collect::<Vec<_>>(), (20..50).collect::<Vec<_>>());
}

#[test]
fn static_member_that_bounces_causes_no_rebalance() {
    let server = Server::start_with(SETTINGS);
    server.create_topic("fixed", 2, 1, &[]);
    let join = |instance: &str| {
        let settings = [
            ("group.instance.id", instance),
            ("session.timeout.ms", "30000"),
            ("heartbeat.interval.ms", "300"),
        ];
        Member::join(&server.bootstrap(), "statics", "fixed", &settings)
    };
    let (one, two) = (join("one"), join("two"));
    let settled = |one: &Member, two: &Member| one.owned().len() == 1 && two.owned().len() == 1;
    wait_until("each owns a partition", || settled(&one, &two));
    let (owned, rebalances) = (two.owned(), one.rebalances());
    two.stop();
    let two = join("two");
    wait_until("the new process has the partition of the old one", || two.owned() == owned);
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(one.rebalances(), rebalances, "the other member was not disturbed");
    assert!(settled(&one, &two));
}

#[test]
fn member_that_dies_loses_its_partitions_after_its_session() {
    let server = Server::start_with(SETTINGS);
    server.create_topic("mourned", 2, 1, &[]);
    let settings = [("session.timeout.ms", "2000"), ("heartbeat.interval.ms", "300")];
    let member = Member::join(&server.bootstrap(), "mourners", "mourned", &settings);
    // A static member does not leave when it stops: to the group it is dead.
    let fixed = [settings[0], settings[1], ("group.instance.id", "dies")];
    let dies = Member::join(&server.bootstrap(), "mourners", "mourned", &fixed);
    wait_until("each owns a partition", || member.owned().len() == 1 && dies.owned().len() == 1);
    dies.stop();
    wait_until("the other takes over", || member.owned() == [0, 1]);
}

fn listed(bootstrap: &str, group: Option<&str>) -> GroupList {
    let consumer: BaseConsumer =
        ClientConfig::new().set("bootstrap.servers", bootstrap).create().unwrap();
    consumer.fetch_group_list(group, Duration::from_secs(20)).unwrap()
}

fn delete(bootstrap: &str, group: &str) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", bootstrap).create().unwrap();
    let deleted = admin.delete_groups(&[group], &AdminOptions::new());
    let mut results = runtime.block_on(deleted).unwrap();
    results.remove(0).map(drop).map_err(|(_, error)| error.to_string())
}

#[test]
fn groups_are_listed_described_and_deleted() {
    let server = Server::start_with(SETTINGS);
    server.create_topic("listed", 2, 1, &[]);
    let settings = [SHORT[0], SHORT[1], ("client.id", "the-client")];
    let member = Member::join(&server.bootstrap(), "seen", "listed", &settings);
    reset(&server.bootstrap(), "simple", "listed", &[3, 4]);
    wait_until("the group is stable", || member.owned().len() == 2);

    let all = listed(&server.bootstrap(), None);
    let mut names: Vec<&str> = all.groups().iter().map(|group| group.name()).collect();
    names.sort_unstable();
    assert_eq!(names, ["seen", "simple"]);
    let list = listed(&server.bootstrap(), Some("seen"));
    let group = &list.groups()[0];
    assert_eq!((group.state(), group.protocol_type()), ("Stable", "consumer"));
    assert_eq!(group.protocol(), "range");
    let [one] = group.members() else { panic!("one member: {:?}", group.members().len()) };
    assert_eq!((one.client_id(), one.client_host()), ("the-client", "/127.0.0.1"));
    assert!(one.id().starts_with("the-client-"), "{}", one.id());
    assert!(one.assignment().is_some_and(|bytes| bytes.windows(6).any(|w| w == b"listed")));

    let refused = delete(&server.bootstrap(), "seen").unwrap_err();
    assert!(refused.contains("not empty") || refused.contains("NonEmpty"), "{refused}");
    member.stop();
    wait_until("the last member has left", || {
        listed(&server.bootstrap(), Some("seen")).groups()[0].state() == "Empty"
    });
    assert_eq!(delete(&server.bootstrap(), "seen"), Ok(()));
    assert_eq!(delete(&server.bootstrap(), "simple"), Ok(()));
    assert!(delete(&server.bootstrap(), "seen").is_err(), "it is gone");
    assert_eq!(listed(&server.bootstrap(), None).groups().len(), 0);
    assert_eq!(committed(&server.bootstrap(), "simple", "listed", 2), [None, None]);
}

#[test]
fn group_outlives_the_broker_that_coordinates_it() {
    let mut cluster = Cluster::start(3);
    cluster.create_topic("moved", 3, 3, &[("min.insync.replicas", "2")]);
    send(&cluster.bootstrap(), "moved", 0, 300, 3);
    let member = Member::join(&cluster.bootstrap(), "movers", "moved", &SHORT);
    wait_until("everything was read", || member.read().len() == 300);

    let coordinator = cluster.coordinator("movers");
    cluster.kill(coordinator);
    send(&cluster.bootstrap(), "moved", 300, 300, 3);
    wait_until("the group continues", || member.read().len() == 600);
    let read = member.stop();
    // Only what was not committed when the coordinator died is read again.
    let again = read.values().filter(|times| **times > 1).count();
    assert!(again <= 300, "{again} of 600 records were read again");
    assert_ne!(cluster.coordinator("movers"), coordinator);
    let found = committed(&cluster.bootstrap(), "movers", "moved", 3);
    assert_eq!(found.iter().map(|offset| offset.unwrap_or(0)).sum::<i64>(), 600, "{found:?}");
}

/// Members of the consumer protocol (KIP-848).
#[test]
fn consumer_protocol_shares_partitions_and_moves_them_one_by_one() {
    let server = Server::start_with(
        "group.consumer.min.heartbeat.interval.ms=200\ngroup.consumer.heartbeat.interval.ms=200\n\
         group.consumer.min.session.timeout.ms=3000\ngroup.consumer.session.timeout.ms=3000\n",
    );
    server.create_topic("modern", 4, 1, &[]);
    send(&server.bootstrap(), "modern", 0, 200, 4);
    for assignor in ["uniform", "range"] {
        let settings = [("group.protocol", "consumer"), ("group.remote.assignor", assignor)];
        let join = || Member::join(&server.bootstrap(), assignor, "modern", &settings);
        let first = join();
        wait_until("one member owns everything", || first.owned() == [0, 1, 2, 3]);
        let second = join();
        wait_until("two members own half each", || {
            first.owned().len() == 2
                && second.owned().len() == 2
                && all_owned(&[&first, &second]) == [0, 1, 2, 3]
        });
        let left = first.stop();
        wait_until("the other takes over", || second.owned() == [0, 1, 2, 3]);
        wait_until("everything was read", || {
            let read = second.read();
            (0..200).all(|key| left.contains_key(&key) || read.contains_key(&key))
        });
        assert_eq!(second.errors(), [""; 0]);
    }
}

/// A classic group is upgraded by its first member of the consumer protocol, and downgraded when
/// the last one leaves (KIP-848).
#[test]
fn group_changes_its_protocol_while_it_has_members() {
    let server = Server::start_with(SETTINGS);
    server.create_topic("online", 4, 1, &[]);
    send(&server.bootstrap(), "online", 0, 100, 4);
    let classic = Member::join(&server.bootstrap(), "online", "online", &SHORT);
    wait_until("the classic member owns everything", || classic.owned() == [0, 1, 2, 3]);
    let settings = [("group.protocol", "consumer")];
    let modern = Member::join(&server.bootstrap(), "online", "online", &settings);
    wait_until("both protocols share the partitions", || {
        modern.owned().len() == 2 && all_owned(&[&classic, &modern]) == [0, 1, 2, 3]
    });
    modern.stop();
    wait_until("the classic member owns everything again", || classic.owned() == [0, 1, 2, 3]);
    wait_until("everything was read", || classic.read().len() >= 50);
}

/// What `brokerquake groups` prints, on both streams, and whether it succeeded.
fn command(bootstrap: &str, arguments: &[&str]) -> (String, bool) {
    let ran = std::process::Command::new(env!("CARGO_BIN_EXE_brokerquake"))
        .args(["groups", "--bootstrap-server", bootstrap])
        .args(arguments)
        .output()
        .unwrap();
    let text = [ran.stdout, ran.stderr].concat();
    (String::from_utf8(text).unwrap(), ran.status.success())
}

/// The cells of a table's rows, without its line of heads.
fn rows(printed: &str) -> Vec<Vec<String>> {
    let lines = printed.lines().filter(|line| !line.starts_with("brokerquake")).skip(1);
    lines.map(|line| line.split_whitespace().map(str::to_owned).collect()).collect()
}

#[test]
fn command_lists_describes_resets_and_deletes_groups() {
    let server = Server::start_with(SETTINGS);
    let bootstrap = server.bootstrap();
    server.create_topic("told", 2, 1, &[]);
    send(&bootstrap, "told", 0, 40, 2);
    for (group, settings) in [("classic", vec![]), ("modern", vec![("group.protocol", "consumer")])]
    {
        let member = Member::join(&bootstrap, group, "told", &settings);
        wait_until("everything was read", || member.read().len() == 40);
        let (members, _) =
            command(&bootstrap, &["--describe", "--group", group, "--members", "--verbose"]);
        let row = &rows(&members)[0];
        assert_eq!((&*row[0], &*row[2], &*row[5]), (group, "/127.0.0.1", "told-0,told-1"));
        let (refused, ok) = command(
            &bootstrap,
            &["--reset-offsets", "--group", group, "--topic", "told", "--to-earliest", "--execute"],
        );
        assert!(!ok && refused.contains("while it has no members"), "{refused}");
        assert!(!command(&bootstrap, &["--delete", "--group", group]).1, "it has a member");
        member.stop();
        let offsets = || {
            let (offsets, ok) = command(&bootstrap, &["--describe", "--group", group]);
            assert!(ok, "{offsets}");
            let row = |row: &Vec<String>| (row[3].clone(), row[4].clone(), row[5].clone());
            rows(&offsets).iter().map(row).collect::<Vec<_>>()
        };
        let of = |at: &str, lag: &str| (at.to_owned(), "20".to_owned(), lag.to_owned());
        wait_until("the member has left", || {
            command(&bootstrap, &["--describe", "--group", group, "--state"]).0.contains("Empty")
        });
        assert_eq!(offsets(), [of("20", "0"), of("20", "0")]);
        let reset = |arguments: &[&str]| {
            let all = [&["--reset-offsets", "--group", group], arguments].concat();
            let (printed, ok) = command(&bootstrap, &all);
            assert!(ok, "{printed}");
            rows(&printed).iter().map(|row| row[3].clone()).collect::<Vec<_>>()
        };
        assert_eq!(reset(&["--topic", "told:1", "--shift-by", "-5"]), ["15"]);
        assert_eq!(offsets(), [of("20", "0"), of("20", "0")], "that was a dry run");
        assert_eq!(reset(&["--topic", "told:1", "--shift-by", "-5", "--execute"]), ["15"]);
        assert_eq!(reset(&["--topic", "told:0", "--to-offset", "99", "--execute"]), ["20"]);
        assert_eq!(offsets(), [of("20", "0"), of("15", "5")]);
        assert_eq!(reset(&["--all-topics", "--by-duration", "PT1H", "--execute"]), ["0", "0"]);
        assert_eq!(reset(&["--all-topics", "--to-latest"]), ["20", "20"]);
        assert_eq!(reset(&["--all-topics", "--to-current"]), ["0", "0"]);
        assert_eq!(reset(&["--all-topics", "--to-datetime", "2999-01-01T00:00:00"]), ["20", "20"]);
    }
    let (listed, _) = command(&bootstrap, &["--list"]);
    assert_eq!(listed.lines().collect::<Vec<_>>(), ["classic", "modern"]);
    assert!(command(&bootstrap, &["--delete", "--all-groups"]).1);
    assert_eq!(command(&bootstrap, &["--list"]).0, "");
    let (usage, ok) = command(&bootstrap, &["--describe"]);
    assert!(!ok && usage.contains("--group"), "{usage}");
}
