//! DescribeTransactions and ListTransactions.

use super::*;
use crate::wire::messages::StrBytes;

fn listed(shell: &Shell, filters: &Filters) -> Vec<String> {
    let wall = shell.wall();
    let listed = shell.committed().list(filters, wall);
    listed.iter().map(|one| format!("{} {}", one.transactional_id, one.transaction_state)).collect()
}

fn filters(producers: &[i64], states: &[&str], duration: i64, pattern: &str) -> Filters {
    let states: Vec<StrBytes> = states.iter().map(|state| (*state).into()).collect();
    Filters::new(producers, &states, duration, Some(pattern)).unwrap().0
}

#[test]
fn description_is_what_is_stored() {
    let (shell, _) = ongoing();
    let described = shell.committed().describe(ID);
    assert_eq!((described.error_code, &*described.transaction_state), (0, "Ongoing"));
    assert_eq!((described.producer_id, described.producer_epoch), (1000, 0));
    assert_eq!(described.transaction_timeout_ms, 60_000);
    assert_eq!(described.transaction_start_time_ms, shell.wall().0);
    assert_eq!(described.topics.len(), 1);
    assert_eq!(
        (&*described.topics[0].topic, &described.topics[0].partitions[..]),
        ("orders", &[0, 1][..])
    );
    let unknown = shell.committed().describe("other").error_code;
    assert_eq!(unknown, ErrorCode::TransactionalIdNotFound.code());
}

#[test]
fn description_has_nothing_that_may_be_lost() {
    let (mut shell, first) = ongoing();
    shell.commits = false;
    shell.end(first, Outcome::Commit).unwrap();
    assert_eq!(&*shell.committed().describe(ID).transaction_state, "Ongoing");
}

#[test]
fn filters_are_met_together() {
    let (mut shell, _) = ongoing();
    shell.init_as(InitRequest { id: "transfers-2", ..init() }).unwrap();
    shell.pass_secs(10);
    let all = ["transfers Ongoing", "transfers-2 Empty"];
    assert_eq!(listed(&shell, &Filters::default()), all);
    assert_eq!(listed(&shell, &filters(&[], &[], -1, "")), all);
    assert_eq!(listed(&shell, &filters(&[1000], &[], -1, "")), all[..1]);
    assert_eq!(listed(&shell, &filters(&[], &["Empty"], -1, "")), all[1..]);
    assert_eq!(listed(&shell, &filters(&[1000], &["Empty"], -1, "")), [""; 0]);
    assert_eq!(listed(&shell, &filters(&[], &["Ongoing"], 9999, "")), all[..1]);
    assert_eq!(listed(&shell, &filters(&[], &["Ongoing"], 10_000, "")), [""; 0], "not longer");
    assert_eq!(listed(&shell, &filters(&[], &[], -1, "transfers")), all[..1], "the whole id");
    assert_eq!(listed(&shell, &filters(&[], &[], -1, "transfers.*")), all);
}

#[test]
fn unknown_states_are_named_and_match_nothing() {
    let (shell, _) = ongoing();
    let states = ["Ongoin".into(), "PrepareCommit".into()];
    let (filters, unknown) = Filters::new(&[], &states, -1, None).unwrap();
    assert_eq!(unknown, [StrBytes::from("Ongoin")]);
    assert_eq!(listed(&shell, &filters), [""; 0]);
    let (filters, _) = Filters::new(&[], &states[..1], -1, None).unwrap();
    assert_eq!(listed(&shell, &filters), [""; 0]);
}

#[test]
fn pattern_that_is_not_a_regular_expression_is_an_error() {
    for pattern in ["(", "a)|(b", "[z-a]"] {
        let error = Filters::new(&[], &[], -1, Some(pattern)).unwrap_err().to_string();
        assert!(error.contains(pattern), "{error}");
    }
}
