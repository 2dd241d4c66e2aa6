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
    let text =
        format!("[[load]]\nkind = \"group\"\ntopic = \"audit\"\ngroup.id = \"shop\"\n{keys}\n");
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
