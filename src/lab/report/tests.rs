//! Golden reports of hand-made runs: reports of real runs change with the code.

use std::time::Duration;

use super::*;
use crate::base::{Instant, TopicPartition};
use crate::check::{Outage, OutageKind};
use crate::run::coverage::{Reached, Situation};
use crate::run::disks::DiskLine;
use crate::run::outcome::{Broken, Outcome, STARTS, TransactionCounts};
use crate::sim::TraceHash;
use crate::sim::disk::DiskStats;

fn scenario(name: &str, expect: &str) -> Scenario {
    let text = format!(
        "# The leader loses power with dirty pages;\n# acked data must survive.\n\
         name = \"{name}\"\nduration = \"60s\"\n[expect]\n{expect}\n"
    );
    Scenario::parse(&format!("scenarios/faults/{name}.toml"), &text).unwrap()
}

/// Every run has an election; every third one has a truncation after it.
fn reached(seed: u64) -> Reached {
    let rare = seed.is_multiple_of(3).then_some(Situation::Truncated);
    let situations = [Situation::IsrElection].into_iter().chain(rare).collect();
    Reached { situations, ..Reached::default() }
}

fn disk(broker: &str, page_hits: u64, page_misses: u64) -> DiskLine {
    let stalled = Duration::from_millis(120);
    let stats = DiskStats {
        page_hits,
        page_misses,
        syncs: 500,
        stalls: 3,
        stalled,
        ..DiskStats::default()
    };
    DiskLine::new(broker, &stats)
}

fn outcome(seed: u64, broken: &[(&str, &str)]) -> Outcome {
    let at = Instant::from_millis(21_007);
    let lost = if broken.contains(&LOST) { 616 } else { 0 };
    let outage = Outage {
        partition: TopicPartition::new("orders", 2),
        kind: OutageKind::NotWritable,
        from_ms: 20_210,
        until_ms: 29_140,
    };
    Outcome {
        seed,
        trace: TraceHash(0x9f03_c1aa_0000_0000 + seed),
        simulated: Duration::from_millis(71_500),
        broken: broken.iter().map(|(name, what)| Broken::new(name, at, *what)).collect(),
        notes: Vec::new(),
        story: vec!["12.500 s: power-loss of b2 (leader of orders-2), for 3s".into()],
        counts: Counts { faults: 7, sent: 30_000, acked: 29_000, lost, ..Counts::default() },
        outages: if lost > 0 { vec![outage] } else { Vec::new() },
        disks: vec![disk("b1", 9_000, 0), disk("b2", 8_000, 40)],
        differs: None,
        untested: None,
        difference: None,
        reached: reached(seed),
    }
}

fn report(name: &str, expect: &str, outcomes: Vec<Outcome>) -> Report {
    let scenario = scenario(name, expect);
    let mut tally = Tally::new(&scenario.expect);
    outcomes.into_iter().for_each(|outcome| tally.add(outcome));
    Report::new(&scenario, EngineKind::Leap, tally)
}

const LOST: (&str, &str) = (
    "acked-write-lost",
    "orders-2 offset 4118 (p3's record 1999) acked at 12.410 s; absent on leader b2 at 21.007 s",
);

fn all() -> Vec<Report> {
    let holds = "holds = [\"*\"]";
    let breaks = "breaks = [\"acked-write-lost\"]";
    let mut noted = outcome(3, &[]);
    noted.notes.push("loss within the contract: 17 records of orders-0".into());
    let mut torn = outcome(8, &[]);
    torn.differs = Some(TraceHash(77));
    vec![
        report("acks-all-kill", holds, vec![outcome(0, &[]), outcome(1, &[]), noted]),
        report("acks-one-kill", breaks, vec![outcome(0, &[]), outcome(1, &[LOST])]),
        report("leader-power-loss", holds, vec![outcome(3052, &[]), outcome(3053, &[LOST])]),
        report("unclean-election", breaks, vec![outcome(0, &[])]),
        report("paused-leader", holds, vec![outcome(5, &[(STARTS, "b1 is not ready")])]),
        report("two-ways", holds, vec![torn]),
    ]
}

/// Snapshots are in `reports/golden`, where readers of the repository look for reports.
fn golden(test: impl FnOnce()) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(concat!(env!("CARGO_MANIFEST_DIR"), "/reports/golden"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(test);
}

#[test]
fn the_json_of_a_scenario_keeps_its_schema() {
    golden(|| insta::assert_snapshot!("scenario.json", all()[2].to_json()));
}

#[test]
fn the_summary_tells_all_scenarios_at_a_glance() {
    golden(|| insta::assert_snapshot!("summary.md", summary(&all())));
}

#[test]
fn summary_and_json_count_transactions_where_there_are_any() {
    let mut told = outcome(0, &[]);
    assert!(
        !report("calm", "holds = [\"*\"]", vec![told.clone()]).to_json().contains("transactions")
    );
    told.counts.transactions = TransactionCounts { committed: 412, aborted: 31, unknown: 2 };
    let report = report("calm", "holds = [\"*\"]", vec![told.clone(), told]);
    let text = summary(std::slice::from_ref(&report));
    assert!(text.contains("| calm | 824 | 62 | 4 |"), "{text}");
    let json: serde_json::Value = serde_json::from_str(&report.to_json()).unwrap();
    assert_eq!(json["counts"]["transactions"]["committed"], 824);
}

#[test]
fn terminal_report_has_one_line_per_scenario_and_replay_commands() {
    let mut text = String::new();
    for report in all() {
        text.push_str(&line(&report, Duration::from_millis(1234)));
        text.push('\n');
        text.push_str(&failure(&report));
    }
    golden(|| insta::assert_snapshot!("terminal.txt", text));
}

#[test]
fn replay_command_is_the_one_that_was_called() {
    assert_eq!(called(Some("/opt/bin/brokerquake"), false), "/opt/bin/brokerquake");
    assert_eq!(called(Some("/my tools/brokerquake"), false), "'/my tools/brokerquake'");
    assert_eq!(called(Some("target/release/brokerquake"), true), "cargo run --release --");
    assert_eq!(called(Some("target/debug/deps/brokerquake-1a2b"), false), "cargo run --release --");
    let command = replay_command("x.toml", 7, EngineKind::Leap);
    assert_eq!(command, "cargo run --release -- replay x.toml --seed 7");
    assert_eq!(
        as_called_by("/bin/brokerquake", &command),
        "/bin/brokerquake replay x.toml --seed 7"
    );
    let of_test = test_command(7, Some("a::test"));
    assert_eq!(as_called_by("/bin/brokerquake", &of_test), of_test);
    assert_eq!(test_command(7, Some("a::test")), "BROKERQUAKE_SEED=7 cargo test a::test");
    assert_eq!(test_command(7, Some("main")), "BROKERQUAKE_SEED=7 cargo test");
}

#[test]
fn verdict_held_says_what_the_settings_do_not_guarantee() {
    let text = "name = \"x\"\n[topic]\nreplication.factor = 3\n[[load]]\nkind = \"producer\"\n\
                acks = 1\nenable.idempotence = false\n[[fault]]\nkind = \"kill\"\n\
                target = \"leader\"\nat = \"5s\"\ndown = \"1s\"\n[expect]\nholds = [\"*\"]\n";
    let of = |text: &str| {
        let scenario = Scenario::parse("x.toml", text).unwrap();
        let mut tally = Tally::new(&scenario.expect);
        (0..5).for_each(|seed| tally.add(outcome(seed, &[])));
        Report::new(&scenario, EngineKind::Leap, tally)
    };
    let said = "held in 5 of 5 seeds; these settings do not guarantee it (acks=1, and leadership may \
                move)";
    assert_eq!(of(text).reservation().as_deref(), Some(said));
    assert!(line(&of(text), Duration::ZERO).ends_with(said));
    let overview = summary(&[of(text)]);
    assert!(overview.contains(&format!("\n- {said}\n")), "{overview}");
    assert!(overview.contains("| held (not guaranteed) |"), "{overview}");
    let whole = text.replace("acks = 1\nenable.idempotence = false\n", "");
    assert_eq!(of(&whole).reservation(), None);
    assert!(!summary(&[of(&whole)]).contains("guarantee"));
}

#[test]
fn scenario_whose_runs_tested_nothing_is_no_success() {
    let text = "name = \"x\"\n[expect]\nholds = [\"*\"]\n";
    let scenario = Scenario::parse("x.toml", text).unwrap();
    let idle = |seed| Outcome { untested: Some("no fault struck".into()), ..outcome(seed, &[]) };
    let mut tally = Tally::new(&scenario.expect);
    tally.add(idle(0));
    tally.add(idle(1));
    let report = Report::new(&scenario, EngineKind::Leap, tally.clone());
    assert_eq!((report.verdict, report.verdict.exit_code()), (Verdict::Untested, 2));
    assert!(!report.verdict.is_expected());
    assert!(failure(&report).contains("nothing tested  x  no fault struck"));
    tally.add(outcome(2, &[]));
    assert_eq!(tally.verdict(), Verdict::Held, "one seed that tested something is enough");
}
