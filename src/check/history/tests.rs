//! Histories are read as they were written, and mistakes in them are named.

mod transactions;

use super::*;
use crate::base::{LeaderEpoch, TopicPartition};
use crate::sim::{ConsumerEvent, Lookup, MemberEvent, Outcome, ProducerEvent};

fn events() -> Vec<ClientEvent> {
    let partition = TopicPartition::new("eu-orders", 2);
    let told =
        |op, outcome| ClientEvent::Producer(ProducerEvent::Told { producer: 3, op, outcome });
    let mut events = Vec::new();
    for (op, acks) in [Acks::None, Acks::Leader, Acks::All, Acks::All].into_iter().enumerate() {
        let (partition, op) = (partition.clone(), op as u64);
        let (value, idempotent) = (u64::MAX - op, acks == Acks::All);
        events.push(ClientEvent::Producer(ProducerEvent::Sent {
            producer: 3,
            op,
            partition,
            value,
            acks,
            idempotent,
            txn: None,
        }));
    }
    events.push(told(0, Outcome::Ok { offset: None }));
    events.push(told(1, Outcome::Ok { offset: Some(Offset(7)) }));
    events.push(told(2, Outcome::Fail { error: "NOT_ENOUGH_REPLICAS".into() }));
    events.push(told(3, Outcome::Unknown { error: "REQUEST_TIMED_OUT".into() }));
    let offset = Offset(6);
    events.push(ClientEvent::Consumer(ConsumerEvent::Positioned {
        consumer: 0,
        partition: partition.clone(),
        offset,
    }));
    let records = vec![(Offset(6), 5), (Offset(7), 99), (Offset(8), 6)];
    let epochs = vec![(Offset(6), LeaderEpoch(1)), (Offset(8), LeaderEpoch(3))];
    events.push(ClientEvent::Consumer(ConsumerEvent::Polled {
        consumer: 0,
        partition: partition.clone(),
        records,
        epochs,
    }));
    events.push(ClientEvent::Consumer(ConsumerEvent::ReachedEnd {
        consumer: 0,
        partition: partition.clone(),
        end: Offset(9),
    }));
    let (of, offset, served) = (partition.clone(), Offset(9), false);
    events.push(ClientEvent::Consumer(ConsumerEvent::Unreadable {
        consumer: 0,
        partition: of,
        offset,
        served,
    }));
    events.push(ClientEvent::Consumer(ConsumerEvent::Skipped { consumer: 0, partition, offset }));
    let partition = TopicPartition::new("orders", 2);
    events.push(ClientEvent::Consumer(ConsumerEvent::Asked {
        consumer: 0,
        partition: partition.clone(),
    }));
    for (lookup, offset) in [(Lookup::Latest, Some(Offset(9))), (Lookup::At(77), None)] {
        let (consumer, partition) = (0, partition.clone());
        events.push(ClientEvent::Consumer(ConsumerEvent::Listed {
            consumer,
            partition,
            lookup,
            offset,
        }));
    }
    events.extend(of_a_member());
    events.push(ClientEvent::Noted { text: "\"as it said\"".into() });
    events
}

fn of_a_member() -> Vec<ClientEvent> {
    let (consumer, partition) = (3, TopicPartition::new("eu-orders", 2));
    let partitions = vec![partition.clone(), TopicPartition::new("orders", 0)];
    let topics = vec!["eu-orders".into(), "orders".into()];
    let told = |op, outcome| MemberEvent::Committed { consumer, op, generation: 7, outcome };
    let fail = Outcome::Fail { error: "ILLEGAL_GENERATION".into() };
    let events = [
        MemberEvent::Subscribed {
            consumer,
            group: "shop".into(),
            topics,
            is_static: true,
            protocol: "classic".into(),
            session_ms: 6000,
        },
        MemberEvent::Joined {
            consumer,
            generation: 7,
            member: "k3-1".into(),
            owned: partitions.clone(),
        },
        MemberEvent::Recalling { consumer },
        MemberEvent::Recalled {
            consumer,
            offsets: vec![(partition.clone(), Some(Offset(5))), (partition.clone(), None)],
        },
        MemberEvent::Processed {
            consumer,
            partition: partition.clone(),
            offset: Offset(5),
            value: 99,
        },
        MemberEvent::Committing {
            consumer,
            op: 1,
            generation: 7,
            offsets: vec![(partition, Offset(6))],
        },
        told(1, Outcome::Ok { offset: None }),
        told(2, fail),
        told(3, Outcome::Unknown { error: "TIMEOUT".into() }),
        MemberEvent::Revoked { consumer, partitions: partitions.clone() },
        MemberEvent::Withholds { consumer, partitions: partitions.clone() },
        MemberEvent::Lost { consumer, partitions },
        MemberEvent::Entered { consumer, generation: 8 },
        MemberEvent::Fenced { consumer },
        MemberEvent::Dismissed { consumer },
        MemberEvent::Left { consumer },
    ];
    events.map(ClientEvent::Member).into()
}

fn written() -> String {
    let header = Header::new(&Setup::default(), "a-story", 7, [Acks::All]);
    let mut writer = Writer::new(Vec::new(), &header).unwrap();
    for (second, event) in (1..).zip(events()) {
        let (at, what) = (Instant::from_secs(second), What::Client(event));
        writer.observe(&Observation { at, host: HostId(9), what }).unwrap();
    }
    let at = Instant::from_secs(40);
    writer.observe(&Observation { at, host: HostId(1), what: What::Killed }).unwrap();
    writer.observe(&Observation { at, host: HostId(9), what: What::Killed }).unwrap();
    writer.healed(at).unwrap();
    writer.reading(at).unwrap();
    String::from_utf8(writer.finish(at).unwrap()).unwrap()
}

#[test]
fn every_event_is_read_as_it_was_written() {
    let text = written();
    let read: Vec<ClientEvent> = text
        .lines()
        .skip(1)
        .filter_map(|line| heard(serde_json::from_str::<Line>(line).unwrap().said).ok())
        .collect();
    assert_eq!(read, events());
    assert_eq!(text.lines().count(), 1 + events().len() + 4, "{text}");
}

#[test]
fn a_history_on_file_is_judged_as_it_was_when_it_happened() {
    let (header, verdicts) = judge(written().as_bytes()).unwrap();
    assert_eq!((header.scenario.as_str(), header.seed), ("a-story", 7));
    let lost = verdicts.broke("acked-write-lost").unwrap().to_string();
    assert!(lost.starts_with("eu-orders-2 offset 7 (p3's record 1) acked at 6.000 s;"), "{lost}");
    assert!(verdicts.broke("inconsistent-offset").is_some());
    assert!(!verdicts.judged.contains(&"leader-completeness"));
}

#[test]
fn a_history_that_another_program_wrote_needs_only_what_is_judged() {
    let text = r#"{"history":1,"enable.idempotence":false,"within_ms":1000}
        {"at":1,"host":1,"event":"sent","producer":1,"op":0,"partition":"x-0","value":5,"acks":"1","idempotent":false}
        {"at":2,"host":1,"event":"ok","producer":1,"op":0,"offset":0}
        {"at":3,"host":2,"event":"polled","consumer":1,"partition":"x-0","records":[[0,5]]}"#;
    let text: String = text.lines().map(|line| format!("{}\n", line.trim())).collect();
    let (_, verdicts) = judge(text.as_bytes()).unwrap();
    assert_eq!(verdicts.violations, Vec::new());
    assert!(!verdicts.judged.contains(&"duplicate"));
}

#[test]
fn a_line_that_is_not_an_event_is_named_with_its_remedy() {
    let header = r#"{"history":1,"enable.idempotence":true,"within_ms":1000}"#;
    let sent = r#"{"at":1,"host":1,"event":"sent","producer":1,"op":0,"partition":"x-0","value":5,"acks":"all","idempotent":true}"#;
    let again = sent.replace("\"op\":0", "\"op\":1");
    let ok = r#"{"at":1,"host":1,"event":"ok","producer":1,"op":0,"offset":0}"#;
    let healed = r#"{"at":1,"host":0,"event":"healed"}"#;
    let position =
        r#"{"at":1,"host":0,"event":"positioned","consumer":0,"partition":"x","offset":0}"#;
    let below =
        r#"{"at":1,"host":0,"event":"positioned","consumer":0,"partition":"x-0","offset":-1}"#;
    let last = r#"{"at":1,"host":0,"event":"polled","consumer":0,"partition":"x-0","records":[[9223372036854775807,1]]}"#;
    for (lines, said) in [
        (vec![], "f:1: EOF while parsing a value (column 0); the first line"),
        (vec![sent], "f:1: unknown field `at`"),
        (
            vec![r#"{"history":2,"enable.idempotence":true,"within_ms":1}"#],
            "f:1: this is a history of version 2",
        ),
        (vec![header, "", r#"{"at":1,"host":0,"event":"snet"}"#], "f:3: unknown variant `snet`"),
        (vec![header, position], "f:2: `x` is not a partition"),
        (vec![header, below], "f:2: -1 is not an offset"),
        (vec![header, last], "f:2: 9223372036854775807 is not an offset"),
        (vec![header, healed, &healed.replace('1', "0")], "f:3: `at` 0 is before 1"),
        (vec![header, ok], "f:2: no line above sends 0 of producer 1"),
        (vec![header, sent, sent], "f:3: send 0 of producer 1 is there twice"),
        (vec![header, sent, &again], "f:3: value 5 was sent before"),
        (vec![header, sent, ok, ok], "f:4: send 0 of producer 1 has been answered"),
        (vec![header, &healed.replace("healed", "over"), healed], "f:3: a line after `over`"),
    ] {
        let error = judge(lines.join("\n").as_bytes()).unwrap_err().of_file("f");
        assert!(error.starts_with(said), "{error}");
    }
}

#[test]
fn history_without_client_events_tests_nothing() {
    let header = "{\"history\":1,\"enable.idempotence\":true,\"within_ms\":60000}\n";
    let heard = |text: String| judge_counted(text.as_bytes()).unwrap().heard;
    assert!(heard(header.into()).untested().unwrap().contains("no client sent or read"));
    let sent = "{\"at\":1,\"host\":9,\"event\":\"sent\",\"producer\":3,\"op\":17,\
                \"partition\":\"orders-2\",\"value\":71,\"acks\":\"all\",\"idempotent\":true}\n";
    let untested = heard(format!("{header}{sent}")).untested().unwrap();
    assert!(untested.contains("none of 1 sends was acknowledged"), "{untested}");
    let ok = "{\"at\":2,\"host\":9,\"event\":\"ok\",\"producer\":3,\"op\":17,\"offset\":1}\n";
    assert_eq!(heard(format!("{header}{sent}{ok}")).untested(), None);
}
