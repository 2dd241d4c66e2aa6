//! Every kind of fault is read as it was written.

use proptest::prelude::*;

use super::*;
use crate::scenario::Scenario;
use crate::scenario::document::Document;

/// Hosts of every sort, so that any role is known.
const SCENARIO: &str = "name = \"x\"\n[cluster]\nbrokers = 3\n[topic]\npartitions = 3\n\
                        [[load]]\nkind = \"producer\"\nclients = 2\n\
                        [[load]]\nkind = \"consumer\"\nclients = 2\n\
                        [expect]\nholds = [\"*\"]\n";

fn any_action() -> impl Strategy<Value = Action> {
    proptest::sample::select(ROWS.to_vec()).prop_flat_map(|row| (row.any)())
}

impl fmt::Debug for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// The action as a `[[fault]]` table, and that table read again.
fn written_and_read(action: &Action) -> (String, Action) {
    let scenario = Scenario::parse("x.toml", SCENARIO).unwrap();
    let known = Known::of(&scenario, &[]);
    let mut out = Writer::default();
    out.title("[[fault]]");
    out.text("kind", action.kind());
    action.write(&mut out);
    let text = out.finish();
    let mut problems = Problems::default();
    let document = Document::parse(&text, &[], &["fault"], &mut problems);
    let mut section = document.unwrap().array("fault").remove(0);
    let read = Action::parse(&mut section, &known, &mut problems);
    section.finish(&mut problems);
    problems.finish("fault", ()).unwrap_or_else(|wrong| panic!("{wrong}\n{text}"));
    (text, read.unwrap().0)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]
    #[test]
    fn any_fault_round_trips(action in any_action()) {
        let (text, read) = written_and_read(&action);
        prop_assert_eq!(&read, &action, "{}", text);
        prop_assert_eq!(written_and_read(&read).0, text);
    }

    #[test]
    fn smaller_faults_can_be_written_and_are_not_the_same(action in any_action()) {
        let smaller = action.as_strike().map(Strike::smaller).unwrap_or_default();
        for plainer in smaller {
            prop_assert_ne!(&plainer, &action);
            prop_assert_eq!(written_and_read(&plainer).1, plainer);
        }
    }
}

#[test]
fn the_swarm_draws_keys_that_every_kind_can_read() {
    let scenario = Scenario::parse("x.toml", SCENARIO).unwrap();
    for row in ROWS {
        let mut draws = Draws::of(crate::base::Seed(1), crate::base::Stream::named("test"));
        let usual = || Usual {
            target: "target = \"leader\"\n".into(),
            link: "from = \"leader\"\nto = \"followers\"\n".into(),
            burst: "times = 2\ngap = \"1s\"\n".into(),
        };
        for _ in 0..20 {
            let dirs = vec!["/data".into()];
            let shape = Shape { brokers: 3, replicas: 3, dirs, groups: true, transactions: true };
            let keys = (row.sample)(usual(), &shape, &mut draws);
            let text = format!("[[fault]]\nkind = \"{}\"\n{keys}", row.name);
            let read = scenario.rule_of(&text, &[]);
            assert!(read.is_ok(), "{text}: {read:?}");
        }
    }
}

#[test]
fn kinds_have_names_of_their_own() {
    let names: std::collections::BTreeSet<_> = ROWS.iter().map(|row| row.name).collect();
    assert_eq!(names.len(), ROWS.len());
}
