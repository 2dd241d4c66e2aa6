//! One group with members of several clients: this crate's consumer, librdkafka, and where they are
//! installed (`.ci/slow`) Apache Kafka's, kafka-python, franz-go and kafkajs. Also this crate's consumer on
//! Apache Kafka itself, and Kafka's own command for groups on `serve`.
#![allow(
    clippy::disallowed_methods,
    reason = "tests and benchmarks look at the real world from outside"
)]

pub mod peers {
    pub mod foreign;
    pub mod ours;
}

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::answers::answers::kafka::Kafka;
use super::clients::clients::member::Member;
use super::clients::clients::server::Server;
use super::clients::clients::traffic::{Load, Sent, produce};
use peers::foreign::{Clients, Foreign, Language, java};
use peers::ours::Ours;

/// Groups form at once, and members of the consumer protocol are heard often.
const SETTINGS: &str = "group.initial.rebalance.delay.ms=0\ngroup.min.session.timeout.ms=1000\n\
                        group.consumer.min.heartbeat.interval.ms=200\n\
                        group.consumer.heartbeat.interval.ms=200\n";

const STEADY: [(&str, &str); 2] =
    [("session.timeout.ms", "30000"), ("heartbeat.interval.ms", "300")];

const MODERN: (&str, &str) = ("group.protocol", "consumer");

/// How long a group may take for what a test waits for: programs of four languages start meanwhile.
const PATIENCE: Duration = Duration::from_secs(240);

/// A member of whatever client.
enum Peer {
    Ours(Ours),
    Librdkafka(Option<Member>),
    Foreign(Foreign),
}

impl Peer {
    fn owned(&self) -> Vec<i32> {
        match self {
            Self::Ours(member) => member.seen.owned.lock().unwrap().clone(),
            Self::Librdkafka(member) => member.as_ref().map_or_else(Vec::new, Member::owned),
            Self::Foreign(member) => member.said.lock().unwrap().owned.clone(),
        }
    }

    fn read(&self) -> BTreeMap<u64, usize> {
        match self {
            Self::Ours(member) => member.seen.read.lock().unwrap().clone(),
            Self::Librdkafka(member) => member.as_ref().map_or_else(BTreeMap::new, Member::read),
            Self::Foreign(member) => member.said.lock().unwrap().read.clone(),
        }
    }

    /// Leaves the group. Returns what it has read.
    fn leave(mut self) -> BTreeMap<u64, usize> {
        match &mut self {
            Self::Ours(member) => {
                member.end();
                let errors = member.seen.errors.lock().unwrap();
                assert!(errors.is_empty(), "{errors:?}");
            }
            Self::Librdkafka(member) => return member.take().unwrap().stop(),
            Self::Foreign(member) => member.end(),
        }
        self.read()
    }
}

fn wait_until(what: &str, members: &[Peer], holds: impl Fn(&[Peer]) -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds(members) {
        let owned: Vec<_> = members.iter().map(Peer::owned).collect();
        assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}; they own {owned:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Whether each partition has one owner, and none owns two more than another.
fn shared(members: &[Peer], partitions: i32) -> bool {
    let owned: Vec<Vec<i32>> = members.iter().map(Peer::owned).collect();
    let mut all = owned.concat();
    all.sort_unstable();
    let counts = owned.iter().map(Vec::len);
    let fair = counts.clone().max().unwrap_or(0) <= counts.min().unwrap_or(0) + 1;
    fair && all.into_iter().eq(0..partitions)
}

fn send(bootstrap: &str, topic: &str, first: u64, count: u64, partitions: i32) {
    let load = Load { topic, codec: "none", acks: "all", first, count, partitions };
    let sent = produce(bootstrap, &load, |_| 100);
    assert!(sent.iter().all(Sent::is_acknowledged), "every record is acknowledged");
}

/// Members join one after the other, and leave in the same order: the first one leads, and its
/// assignor works for all. Every record is read, and none twice.
fn come_and_go(bootstrap: &str, topic: &str, partitions: i32, joins: &[&dyn Fn() -> Peer]) {
    let (records, mut members) = (20 * partitions as u64, Vec::new());
    for join in joins {
        members.push(join());
        wait_until("all members have a share", &members, |all| shared(all, partitions));
    }
    let mut read: BTreeMap<u64, usize> = BTreeMap::new();
    let mut sent = 0;
    while !members.is_empty() {
        send(bootstrap, topic, sent, records, partitions);
        sent += records;
        wait_until("what was sent is read", &members, |all| {
            let now: Vec<_> = all.iter().map(Peer::read).collect();
            let is_read =
                |key: u64| read.contains_key(&key) || now.iter().any(|n| n.contains_key(&key));
            (0..sent).all(is_read)
        });
        for (key, times) in members.remove(0).leave() {
            *read.entry(key).or_default() += times;
        }
        if !members.is_empty() {
            wait_until("the others take over", &members, |all| shared(all, partitions));
        }
    }
    let again: Vec<_> = read.iter().filter(|(_, times)| **times > 1).collect();
    assert!(again.is_empty(), "records were read again: {again:?}");
    assert_eq!(read.len() as u64, sent);
}

#[test]
fn ours_and_librdkafka_share_one_group_with_each_assignor() {
    let server = Server::start_with(SETTINGS);
    let bootstrap = server.bootstrap();
    for assignor in ["range", "roundrobin", "cooperative-sticky", "consumer"] {
        let settings = match assignor {
            "consumer" => vec![MODERN],
            _ => vec![STEADY[0], STEADY[1], ("partition.assignment.strategy", assignor)],
        };
        for (leader, ours_leads) in [("ours", true), ("librdkafka", false)] {
            let topic = format!("{assignor}-{leader}");
            server.create_topic(&topic, 4, 1, &[]);
            let ours = || Peer::Ours(Ours::join(&bootstrap, &topic, &topic, &settings));
            let librdkafka =
                || Peer::Librdkafka(Some(Member::join(&bootstrap, &topic, &topic, &settings)));
            let joins: [&dyn Fn() -> Peer; 3] = match ours_leads {
                true => [&ours, &librdkafka, &ours],
                false => [&librdkafka, &ours, &librdkafka],
            };
            come_and_go(&bootstrap, &topic, 4, &joins);
        }
    }
}

#[test]
fn coordinator_evaluates_the_pattern_of_a_member() {
    let server = Server::start_with(SETTINGS);
    let bootstrap = server.bootstrap();
    server.create_topic("pattern-one", 2, 1, &[]);
    server.create_topic("other", 2, 1, &[]);
    let member = Peer::Ours(Ours::join(&bootstrap, "regex", "^pattern-[a-z]+", &[MODERN]));
    let members = [member];
    wait_until("it owns the topic that matches", &members, |all| all[0].owned() == [0, 1]);
    // Created later, and matched by the coordinator's next look.
    server.create_topic("pattern-two", 1, 1, &[]);
    wait_until("it owns both", &members, |all| all[0].owned() == [0, 1, 0]);
    let [member] = members;
    assert!(member.leave().is_empty());
}

/// A join of a program, of this crate's consumer, or of librdkafka, to a group of the same name as its
/// topic.
fn joins<'a>(
    clients: &'a Clients,
    bootstrap: &'a str,
    topic: &'a str,
    assignor: &'a str,
) -> impl Fn(Option<Language>) -> Box<dyn Fn() -> Peer + 'a> {
    move |language| {
        Box::new(move || {
            let class = match assignor {
                "range" => "org.apache.kafka.clients.consumer.RangeAssignor",
                "roundrobin" => "org.apache.kafka.clients.consumer.RoundRobinAssignor",
                _ => "org.apache.kafka.clients.consumer.CooperativeStickyAssignor",
            };
            let name = if language == Some(Language::Java) { class } else { assignor };
            let classic = [STEADY[0], STEADY[1], ("partition.assignment.strategy", name)];
            let settings = if assignor == "consumer" { &[MODERN][..] } else { &classic[..] };
            match language {
                Some(language) => {
                    let place = [bootstrap, topic, topic];
                    Peer::Foreign(clients.join(language, place, settings))
                }
                None => Peer::Ours(Ours::join(bootstrap, topic, topic, settings)),
            }
        })
    }
}

/// The orders in which the clients join: each leads once.
const EAGER: [[Option<Language>; 5]; 5] = {
    use Language::{Go, Java, JavaScript, Python};
    [
        [Some(Java), Some(Python), None, Some(Go), Some(JavaScript)],
        [Some(Python), None, Some(Go), Some(JavaScript), Some(Java)],
        [None, Some(Go), Some(JavaScript), Some(Java), Some(Python)],
        [Some(Go), Some(JavaScript), Some(Java), Some(Python), None],
        [Some(JavaScript), Some(Java), Some(Python), None, Some(Go)],
    ]
};

/// kafkajs reads on while its group rebalances, so it may read records again: the others may not.
#[test]
fn clients_of_five_languages_join_one_group() {
    let Some(clients) = Clients::find() else { return };
    let server = Server::start_with(SETTINGS);
    let bootstrap = server.bootstrap();
    for (index, order) in EAGER.iter().enumerate() {
        let assignor = ["range", "roundrobin"][index % 2];
        let topic = format!("five-{index}");
        server.create_topic(&topic, 10, 1, &[]);
        let join = joins(&clients, &bootstrap, &topic, assignor);
        let joins: Vec<_> = order.iter().map(|language| join(*language)).collect();
        let joins: Vec<&dyn Fn() -> Peer> = joins.iter().map(|join| &**join).collect();
        come_and_go(&bootstrap, &topic, 10, &joins);
    }
}

#[test]
fn cooperative_clients_join_one_group() {
    use Language::{Go, Java, Python};
    let Some(clients) = Clients::find() else { return };
    let server = Server::start_with(SETTINGS);
    let bootstrap = server.bootstrap();
    let orders = [
        [Some(Java), None, Some(Go), Some(Python)],
        [None, Some(Go), Some(Python), Some(Java)],
        [Some(Go), Some(Python), Some(Java), None],
    ];
    for (index, order) in orders.iter().enumerate() {
        let topic = format!("cooperative-{index}");
        server.create_topic(&topic, 8, 1, &[]);
        let join = joins(&clients, &bootstrap, &topic, "cooperative-sticky");
        let joins: Vec<_> = order.iter().map(|language| join(*language)).collect();
        let joins: Vec<&dyn Fn() -> Peer> = joins.iter().map(|join| &**join).collect();
        come_and_go(&bootstrap, &topic, 8, &joins);
    }
}

#[test]
fn kafkas_consumer_and_ours_share_one_group_of_the_consumer_protocol() {
    let Some(clients) = Clients::find() else { return };
    let server = Server::start_with(SETTINGS);
    let bootstrap = server.bootstrap();
    server.create_topic("modern", 6, 1, &[]);
    let join = joins(&clients, &bootstrap, "modern", "consumer");
    let [java, ours] = [join(Some(Language::Java)), join(None)];
    come_and_go(&bootstrap, "modern", 6, &[&*java, &*ours, &*ours]);
}

/// Our consumer is a member of groups of a real Kafka, with Kafka's own consumer beside it.
#[test]
fn our_consumer_is_a_member_on_apache_kafka() {
    let Some(clients) = Clients::find() else { return };
    let single = "offsets.topic.replication.factor=1\n\
                  transaction.state.log.replication.factor=1\ntransaction.state.log.min.isr=1\n\
                  share.coordinator.state.topic.replication.factor=1\n\
                  share.coordinator.state.topic.min.isr=1\n";
    let kafka = Kafka::start(&clients.jars, &format!("{single}{SETTINGS}"));
    let bootstrap = kafka.address();
    for assignor in ["range", "roundrobin", "cooperative-sticky", "consumer"] {
        let topic = format!("on-kafka-{assignor}");
        let created = java(&clients.jars)
            .arg("org.apache.kafka.tools.TopicCommand")
            .args(["--bootstrap-server", &bootstrap, "--create", "--partitions", "4", "--topic"])
            .arg(&topic)
            .output()
            .expect("java runs");
        assert!(created.status.success(), "{created:?}");
        let join = joins(&clients, &bootstrap, &topic, assignor);
        let [java, ours] = [join(Some(Language::Java)), join(None)];
        come_and_go(&bootstrap, &topic, 4, &[&*ours, &*java, &*ours]);
    }
}

/// What Kafka's own command for groups prints, on both streams.
fn kafkas_command(jars: &str, bootstrap: &str, arguments: &[&str]) -> String {
    let ran = java(jars)
        .arg("org.apache.kafka.tools.consumer.group.ConsumerGroupCommand")
        .args(["--bootstrap-server", bootstrap])
        .args(arguments)
        .output()
        .expect("java runs");
    String::from_utf8([ran.stdout, ran.stderr].concat()).unwrap()
}

/// The cells of the rows that begin with this word.
fn rows(printed: &str, first: &str) -> Vec<Vec<String>> {
    let rows = printed.lines().map(|line| line.split_whitespace().map(str::to_owned).collect());
    rows.filter(|row: &Vec<String>| row.first().is_some_and(|word| word == first)).collect()
}

#[test]
fn kafkas_command_lists_describes_and_resets_groups() {
    let Some(clients) = Clients::find() else { return };
    let server = Server::start_with(SETTINGS);
    let bootstrap = server.bootstrap();
    let command = |arguments: &[&str]| kafkas_command(&clients.jars, &bootstrap, arguments);
    server.create_topic("told", 2, 1, &[]);
    send(&bootstrap, "told", 0, 40, 2);
    for (group, settings) in [("classic", &STEADY[..]), ("modern", &[MODERN][..])] {
        let members = [Peer::Ours(Ours::join(&bootstrap, group, "told", settings))];
        wait_until("everything was read", &members, |all| all[0].read().len() == 40);
        assert!(command(&["--list"]).lines().any(|line| line == group));
        let printed = command(&["--describe", "--group", group, "--members", "--verbose"]);
        assert_eq!(rows(&printed, group).len(), 1, "{printed}");
        let printed = command(&["--describe", "--group", group, "--state"]);
        assert!(rows(&printed, group)[0].contains(&"Stable".to_owned()), "{printed}");
        let reset = ["--reset-offsets", "--group", group, "--topic", "told", "--to-earliest"];
        let execute = [&reset[..], &["--execute"]].concat();
        let printed = command(&execute);
        assert!(printed.contains("Stable") || printed.contains("inactive"), "{printed}");
        let [member] = members;
        member.leave();
        let printed = command(&["--describe", "--group", group]);
        let described: Vec<_> =
            rows(&printed, group).iter().map(|row| row[1..6].join(" ")).collect();
        assert_eq!(described, ["told 0 20 20 0", "told 1 20 20 0"], "{printed}");
        let printed = command(&execute);
        assert_eq!(rows(&printed, group).len(), 2, "{printed}");
        let printed = command(&["--describe", "--group", group]);
        let described: Vec<_> =
            rows(&printed, group).iter().map(|row| row[1..6].join(" ")).collect();
        assert_eq!(described, ["told 0 0 20 20", "told 1 0 20 20"], "{printed}");
        let printed = command(&["--delete", "--group", group]);
        assert!(printed.contains("successful"), "{printed}");
    }
    assert!(!command(&["--list"]).lines().any(|line| ["classic", "modern"].contains(&line)));
}
