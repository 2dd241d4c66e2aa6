//! Every kind of load is read as it was written.

use proptest::prelude::*;

use super::*;
use crate::scenario::document::Document;

fn any_work() -> impl Strategy<Value = Work> {
    proptest::sample::select(ROWS.to_vec()).prop_flat_map(|row| (row.any)())
}

impl std::fmt::Debug for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

fn topics() -> Vec<Topic> {
    let topic = |name: &str| Topic {
        name: name.into(),
        partitions: 1,
        replication_factor: 1,
        keys: 0,
        config: Vec::new(),
    };
    vec![topic("orders"), topic("audit")]
}

fn written_and_read(load: &Load) -> Load {
    let mut out = Writer::default();
    load.write(load.clients.low, true, &mut out);
    let text = out.finish();
    let mut problems = Problems::default();
    let document = Document::parse(&text, &[], &["load"], &mut problems);
    let section = document.unwrap().array("load").remove(0);
    let read = Load::parse(section, &topics(), Choice::Named, &mut problems);
    problems.finish("load", ()).unwrap_or_else(|wrong| panic!("{wrong}\n{text}"));
    read.unwrap()
}

proptest! {
    #[test]
    fn any_load_round_trips(work in any_work(), clients in 1..100u64) {
        let load = Load { clients: Range::just(clients), topic: "audit".into(), work };
        prop_assert_eq!(written_and_read(&load), load);
    }

    #[test]
    fn smaller_loads_can_be_written_and_are_not_the_same(work in any_work()) {
        let share = Share { clients: 3, duration: Duration::from_secs(60) };
        for way in
            [Smaller::Later, Smaller::FewerRecords, Smaller::LowerRate, Smaller::EqualRecords]
        {
            for smaller in work.smaller(way, share) {
                prop_assert_ne!(&smaller, &work);
            }
        }
    }
}

/// What is wrong with a group that has these keys.
fn wrong_with_group(keys: &str) -> String {
    wrong_with("group", &format!("group.id = \"shop\"\n{keys}"))
}

/// What is wrong with a load that has these keys.
fn wrong_with(kind: &str, keys: &str) -> String {
    let text = format!("[[load]]\nkind = \"{kind}\"\ntopic = \"audit\"\n{keys}\n");
    let mut problems = Problems::default();
    let document = Document::parse(&text, &[], &["load"], &mut problems);
    let section = document.unwrap().array("load").remove(0);
    Load::parse(section, &topics(), Choice::Named, &mut problems);
    problems.finish("load", ()).unwrap_err().to_string()
}

#[test]
fn mistakes_in_a_group_name_the_line_and_the_remedy() {
    for (keys, says) in [
        (
            "never-revoke = true",
            "load:5: unknown [[load]] key `never-revoke`; did you mean `never-revokes`?",
        ),
        ("pause.evry = \"2s\"", "did you mean `pause.every`?"),
        ("all-topic = true", "did you mean `all-topics`?"),
        ("poll = \"0ms\"", "load:5: `poll`: expected 1ms to a day"),
        ("pause.lasts = \"1s..2d\"", "load:5: `pause.lasts = "),
        ("never-revokes = \"yes\"", "load:5: "),
    ] {
        let wrong = wrong_with_group(keys);
        assert!(wrong.contains(says), "{keys}: {wrong}");
    }
}

#[test]
fn mistakes_in_transactions_name_the_line_and_the_remedy() {
    const TILL: &str = "transactional.id = \"till\"";
    const BILLING: &str = "group.id = \"billing\"";
    for (kind, first, second, says) in [
        (
            "transactional",
            "",
            "",
            "load:1: `transactional.id` is missing: a name, such as `\"till\"`",
        ),
        ("transactional", TILL, "aborts = 101", "load:5: `aborts = 101`: expected 0 to 100"),
        ("transactional", TILL, "ids = 0", "load:5: `ids = 0`: expected 1 to 100"),
        ("transactional", TILL, "transaction.records = \"0..3\"", "expected 1 to 10000"),
        ("transactional", TILL, "hold = \"2d\"", "load:5: `hold = "),
        ("transactional", TILL, "enable.idempotence = false", "load:4: `transactional.id="),
        ("transactional", TILL, "transaction.record = 3", "did you mean `transaction.records`?"),
        ("transform", BILLING, "", "load:1: `output` is missing: the topic to write to"),
        ("transform", BILLING, "output = \"audit\"", "load:5: `output = \"audit\"`: it is what"),
        ("transform", BILLING, "output = \"ordres\"", "load:5: unknown topic `ordres`"),
        ("transform", "output = \"orders\"", "", "load:1: `group.id` is missing: a name"),
        (
            "transform",
            BILLING,
            "enable.auto.commit = true",
            "load:5: `enable.auto.commit`: offsets",
        ),
        ("transform", BILLING, "commit = \"first\"", "load:5: "),
        (
            "transform",
            "commit = \"before\"\ngroup.id = \"billing\"",
            "output = \"orders\"\nhold = \"1s\"",
            "load:7: `hold` beside `commit = \"before\"`: it is of transactions: leave it out",
        ),
        (
            "transform",
            "commit = \"after\"\ngroup.id = \"billing\"",
            "output = \"orders\"\ntransactional.id = \"till\"",
            "load:7: `transactional.id` beside `commit = \"after\"`",
        ),
    ] {
        let wrong = wrong_with(kind, &format!("{first}\n{second}"));
        assert!(wrong.contains(says), "{kind}, {second}: {wrong}");
    }
}
