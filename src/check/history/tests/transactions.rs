//! Histories with transactions: each event is read as it was written, mistakes are named, and each of
//! Jepsen's anomalies is found.

use super::*;
use crate::base::{ProducerEpoch, ProducerId};
use crate::sim::{Ended, Isolation, TransactionEvent};

/// One of each event, with all its forms.
fn events() -> Vec<ClientEvent> {
    let (producer, txn, group) = (3, 7, "shop");
    let (id, epoch) = (ProducerId(9), ProducerEpoch(32_766));
    let partition = TopicPartition::new("eu-orders", 2);
    let ended = |outcome| TransactionEvent::Ended { producer, txn, outcome };
    let sent =
        |outcome| TransactionEvent::SentOffsets { producer, txn, group: group.into(), outcome };
    let transformed = |txn, key| TransactionEvent::Transformed {
        producer,
        txn,
        group: group.into(),
        partition: partition.clone(),
        offset: Offset(5),
        value: 1 << 63,
        key,
        outputs: vec![77, 78],
    };
    let transactional_id = Some("till-1".into());
    let events = [
        TransactionEvent::Identified { producer, transactional_id, id, epoch },
        TransactionEvent::Identified { producer, transactional_id: None, id, epoch },
        TransactionEvent::Bumped { producer, id, epoch },
        TransactionEvent::Began { producer, txn },
        transformed(Some(txn), Some(4)),
        transformed(None, None),
        TransactionEvent::SendingOffsets {
            producer,
            txn,
            group: group.into(),
            generation: -1,
            offsets: vec![(partition.clone(), Offset(6))],
        },
        sent(Outcome::Ok { offset: None }),
        sent(Outcome::Fail { error: "FENCED_INSTANCE_ID".into() }),
        sent(Outcome::Unknown { error: "TIMEOUT".into() }),
        TransactionEvent::Ending { producer, txn, commit: true },
        TransactionEvent::Ending { producer, txn, commit: false },
        ended(Ended::Committed),
        ended(Ended::Aborted),
        ended(Ended::Unknown { error: "TIMEOUT".into() }),
        ended(Ended::Fenced { error: "PRODUCER_FENCED".into() }),
    ];
    let mut events: Vec<ClientEvent> = events.map(ClientEvent::Transaction).into();
    for isolation in [Isolation::ReadCommitted, Isolation::ReadUncommitted] {
        events.push(ConsumerEvent::Isolated { consumer: 4, isolation }.into());
    }
    let sent = ProducerEvent::Sent {
        producer,
        op: 1,
        partition,
        value: 9,
        acks: Acks::All,
        idempotent: true,
        txn: Some(txn),
    };
    events.push(sent.into());
    events
}

#[test]
fn every_event_of_a_transaction_is_read_as_it_was_written() {
    let header = Header::new(&Setup::default(), "a-story", 7, [Acks::All]);
    let mut writer = Writer::new(Vec::new(), &header).unwrap();
    for event in events() {
        let what = What::Client(event);
        writer.observe(&Observation { at: Instant::from_secs(1), host: HostId(9), what }).unwrap();
    }
    let text = String::from_utf8(writer.finish(Instant::from_secs(1)).unwrap()).unwrap();
    let lines = text.lines().skip(1).map(|line| serde_json::from_str::<Line>(line).unwrap().said);
    let read: Vec<ClientEvent> = lines.filter_map(|said| heard(said).ok()).collect();
    assert_eq!(read, events());
    assert!(
        text.contains(r#""event":"transaction-ended","producer":3,"txn":7,"outcome":"fenced""#)
    );
    assert!(text.contains(r#""isolation":"read_committed""#), "{text}");
}

/// A history's lines after its header: each is a list of fields of one host and time.
fn history(lines: &[&str]) -> String {
    let mut text = r#"{"history":1,"enable.idempotence":true,"within_ms":1000}"#.to_owned();
    for (at, line) in lines.iter().enumerate() {
        text += &format!("\n{{\"at\":{at},\"host\":1,\"event\":{line}}}");
    }
    text
}

#[test]
fn impossible_transactions_are_named_with_their_remedy() {
    let began = r#""transaction-began","producer":1,"txn":1"#;
    let ended = r#""transaction-ended","producer":1,"txn":1,"outcome":"committed""#;
    let sent = r#""sent","producer":1,"op":0,"partition":"x-0","value":5,"acks":"all","idempotent":true,"txn":1"#;
    for (lines, said) in [
        (vec![sent], "f:2: no line above begins transaction 1 of producer 1: add"),
        (vec![began, began], "f:3: transaction 1 of producer 1 began before: count"),
        (
            vec![began, ended],
            "f:3: transaction 1 of producer 1 is committed, and no line above asks",
        ),
        (vec![r#""transaction-ending","producer":1,"txn":2,"commit":true"#], "f:2: no line above"),
        (
            vec![
                r#""transformed","producer":1,"group":"g","partition":"x-0","offset":-1,"value":1,"outputs":[2]"#,
            ],
            "f:2: -1 is not an offset",
        ),
    ] {
        let error = judge(history(&lines).as_bytes()).unwrap_err().of_file("f");
        assert!(error.starts_with(said), "{error}");
    }
}

/// The invariants that break in a history of one `read_committed` consumer.
fn broken(lines: &[&str]) -> Vec<&'static str> {
    let mut all = vec![r#""isolated","consumer":0,"isolation":"read_committed""#];
    all.extend(lines);
    let (_, verdicts) = judge(history(&all).as_bytes()).unwrap();
    verdicts.violations.iter().map(|violation| violation.invariant).collect()
}

/// A transaction of producer 1 that stores values 10 and 11 at these offsets of `x-0` and `x-1`.
fn stored(first: &str, second: &str) -> Vec<String> {
    let sent = |op, value| {
        format!(
            r#""sent","producer":1,"op":{op},"partition":"x-{op}","value":{value},"acks":"all","idempotent":true,"txn":1"#
        )
    };
    vec![
        r#""transaction-began","producer":1,"txn":1"#.into(),
        sent(0, 10),
        sent(1, 11),
        format!(r#""ok","producer":1,"op":0,"offset":{first}"#),
        format!(r#""ok","producer":1,"op":1,"offset":{second}"#),
    ]
}

fn of_transaction(end: &[&str], reads: &[&str]) -> Vec<&'static str> {
    let stored = stored("0", "0");
    let lines = stored.iter().map(String::as_str).chain(end.iter().copied());
    broken(&lines.chain(reads.iter().copied()).collect::<Vec<_>>())
}

const COMMIT: &str = r#""transaction-ending","producer":1,"txn":1,"commit":true"#;
const COMMITTED: &str = r#""transaction-ended","producer":1,"txn":1,"outcome":"committed""#;
const ABORT: &str = r#""transaction-ending","producer":1,"txn":1,"commit":false"#;
const ABORTED: &str = r#""transaction-ended","producer":1,"txn":1,"outcome":"aborted""#;
const READ_FIRST: &str = r#""polled","consumer":0,"partition":"x-0","records":[[0,10]]"#;
const READ_SECOND: &str = r#""polled","consumer":0,"partition":"x-1","records":[[0,11]]"#;
/// It begins before the second record, and reads on behind it.
const AT_SECOND: &str = r#""positioned","consumer":0,"partition":"x-1","offset":0"#;
const PASSED_SECOND: &str = r#""polled","consumer":0,"partition":"x-1","records":[[2,98],[3,99]]"#;

#[test]
fn committed_transaction_that_is_read_whole_breaks_nothing() {
    assert_eq!(of_transaction(&[COMMIT, COMMITTED], &[READ_FIRST, READ_SECOND]), [""; 0]);
    assert_eq!(of_transaction(&[ABORT, ABORTED], &[AT_SECOND, PASSED_SECOND]), [""; 0]);
}

#[test]
fn jepsen_s_anomalies_are_found_in_histories() {
    // G1a, an aborted read.
    let aborted = of_transaction(&[ABORT, ABORTED], &[READ_FIRST]);
    assert_eq!(aborted, ["aborted-read"]);
    // A lost write; nothing of the transaction is visible.
    let lost = of_transaction(&[COMMIT, COMMITTED], &[AT_SECOND, PASSED_SECOND]);
    assert_eq!(lost, ["poll-skip", "acked-write-lost"]);
    // A torn transaction, whose outcome no client knows.
    let torn = of_transaction(&[COMMIT], &[READ_FIRST, AT_SECOND, PASSED_SECOND]);
    assert_eq!(torn, ["torn-transaction"]);
    // G1b, an intermediate read.
    let intermediate = of_transaction(&[READ_FIRST, COMMIT], &[COMMITTED, READ_SECOND]);
    assert_eq!(intermediate, ["g1b"]);
}

#[test]
fn cycles_of_committed_transactions_are_found_in_histories() {
    let began = |txn| format!(r#""transaction-began","producer":1,"txn":{txn}"#);
    let stored = |txn, op: u64, offset| {
        let sent = format!(
            r#""sent","producer":1,"op":{op},"partition":"x-0","value":{op},"acks":"all","idempotent":true,"txn":{txn}"#
        );
        [sent, format!(r#""ok","producer":1,"op":{op},"offset":{offset}"#)]
    };
    let read = |txn, offset| {
        format!(
            r#""transformed","producer":1,"txn":{txn},"group":"g","partition":"x-0","offset":{offset},"value":{offset},"outputs":[]"#
        )
    };
    let committed = |txn| {
        let ending = format!(r#""transaction-ending","producer":1,"txn":{txn},"commit":true"#);
        [ending, format!(r#""transaction-ended","producer":1,"txn":{txn},"outcome":"committed""#)]
    };
    let id = r#""identified","producer":1,"transactional_id":"t","producer_id":1,"epoch":0"#;
    let run = |middle: Vec<String>| {
        let mut lines = vec![id.to_owned(), began(1), began(2)];
        lines.extend(middle);
        lines.extend(committed(1));
        lines.extend(committed(2));
        broken(&lines.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let one_after_the_other = [stored(1, 0, 0), stored(1, 1, 1), stored(2, 2, 2)].concat();
    assert_eq!(run(one_after_the_other), [""; 0]);
    let interleaved = [stored(1, 0, 0), stored(2, 1, 1), stored(1, 2, 2)].concat();
    assert_eq!(run(interleaved), ["g0"]);
    let each_read_the_other =
        [stored(1, 0, 0).to_vec(), stored(2, 1, 1).to_vec(), vec![read(1, 1), read(2, 0)]];
    assert_eq!(run(each_read_the_other.concat()), ["g1c"]);
}
