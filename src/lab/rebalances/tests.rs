//! Figures of hand-made histories, tables of hand-made rows, and a small simulated table.

use std::num::NonZeroUsize;
use std::ops::Range;

use super::*;
use crate::base::{Instant, Offset, TopicPartition};
use crate::check::{Judge, Setup};
use crate::run::{EngineKind, Observer};
use crate::sim::{ClientEvent, HostId, MemberEvent, Observation, What};

/// A group of members of `orders` with one partition, whose time is counted in milliseconds.
struct Story {
    meter: Meter,
    judge: Judge,
    now: u64,
}

impl Story {
    fn new(partitions: i32) -> Self {
        let mut story =
            Self { meter: Meter::default(), judge: Judge::new(Setup::default()), now: 0 };
        for partition in 0..partitions {
            let committed = crate::base::PartitionCommitted {
                partition: TopicPartition::new("orders", partition),
                topic_id: crate::base::TopicId::ZERO,
                replicas: vec![crate::base::BrokerId(1)],
                leader: Some(crate::base::BrokerId(1)),
                leader_epoch: crate::base::LeaderEpoch(0),
                partition_epoch: crate::base::PartitionEpoch(0),
                isr: vec![crate::base::BrokerId(1)],
                unclean: false,
            };
            let probe = crate::base::ControllerProbe::PartitionCommitted(committed);
            story.sees(0, What::Probe(probe.into()));
        }
        story
    }

    fn at(&self) -> Instant {
        Instant(self.now * 1_000_000)
    }

    fn sees(&mut self, host: u16, what: What) {
        let seen = Observation { at: self.at(), host: HostId(host), what };
        self.judge.observe(&seen);
        self.meter.see(&seen, self.judge.ghost());
    }

    fn member(&mut self, after: u64, event: MemberEvent) {
        self.now += after;
        let host = 200 + u16::try_from(event.consumer()).unwrap();
        self.sees(host, What::Client(ClientEvent::Member(event)));
    }

    fn subscribes(&mut self, after: u64, consumer: u32) {
        self.member(
            after,
            MemberEvent::Subscribed {
                consumer,
                group: "shop".into(),
                topics: vec!["orders".into()],
                is_static: false,
                protocol: "classic".into(),
                session_ms: 6000,
            },
        );
    }

    fn joins(&mut self, after: u64, consumer: u32, generation: i32, owned: &[i32]) {
        let owned = names(owned);
        let member = format!("k{consumer}").into();
        self.member(after, MemberEvent::Joined { consumer, generation, member, owned });
    }

    fn revokes(&mut self, after: u64, consumer: u32, gone: &[i32]) {
        self.member(after, MemberEvent::Revoked { consumer, partitions: names(gone) });
    }

    fn processes(&mut self, consumer: u32, offset: i64) {
        let (partition, value) = (TopicPartition::new("orders", 0), u64::try_from(offset).unwrap());
        let offset = Offset(offset);
        self.member(0, MemberEvent::Processed { consumer, partition, offset, value });
    }

    fn heals(&mut self, after: u64) {
        self.now += after;
        self.meter.healed(self.at());
    }

    fn ends(mut self, after: u64) -> Figures {
        self.now += after;
        self.meter.reading(self.at());
        self.meter.figures()
    }
}

fn names(partitions: &[i32]) -> Vec<TopicPartition> {
    partitions.iter().map(|index| TopicPartition::new("orders", *index)).collect()
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A member alone in generation 1, from 1 s on.
fn alone() -> Story {
    let mut story = Story::new(2);
    story.subscribes(0, 1);
    story.joins(1000, 1, 1, &[0, 1]);
    story
}

#[test]
fn time_before_the_group_is_stable_does_not_count() {
    let mut story = alone();
    story.heals(10_000);
    let figures = story.ends(0);
    assert_eq!(figures.storm, ms(10_000));
    assert_eq!((figures.rebalances, figures.gaps.len(), figures.unstable.len()), (0, 0, 0));
}

#[test]
fn revoked_partition_has_no_owner_until_a_member_takes_it_over() {
    let mut story = alone();
    story.subscribes(500, 2);
    story.revokes(500, 1, &[0, 1]);
    story.joins(200, 1, 2, &[0]);
    story.joins(100, 2, 2, &[1]);
    story.heals(1000);
    let figures = story.ends(0);
    assert_eq!(figures.gaps, [ms(200), ms(300)]);
    assert_eq!(figures.unowned, ms(500));
    // From when the second member begins to join.
    assert_eq!(figures.unstable, [ms(800)]);
    assert_eq!(figures.rebalances, 1);
}

#[test]
fn partition_that_stays_with_its_member_is_never_without_an_owner() {
    let mut story = alone();
    story.subscribes(500, 2);
    story.revokes(500, 1, &[1]);
    story.joins(0, 1, 2, &[0]);
    story.joins(100, 2, 2, &[1]);
    story.heals(1000);
    assert_eq!(story.ends(0).gaps, [ms(100)]);
}

#[test]
fn paused_member_owns_nothing_that_is_processed() {
    let mut story = alone();
    story.now += 1000;
    story.sees(201, What::Paused);
    story.now += 700;
    story.sees(201, What::Resumed);
    story.heals(1000);
    let figures = story.ends(0);
    assert_eq!(figures.gaps, [ms(700), ms(700)]);
    assert_eq!(figures.unstable, []);
}

#[test]
fn dead_member_leaves_its_partitions_without_an_owner() {
    let mut story = alone();
    story.now += 1000;
    story.sees(201, What::Killed);
    story.subscribes(2000, 1);
    story.joins(500, 1, 2, &[0, 1]);
    story.heals(1000);
    let figures = story.ends(0);
    assert_eq!(figures.gaps, [ms(2500), ms(2500)]);
    assert_eq!(figures.unstable, [ms(2500)]);
}

#[test]
fn disturbance_that_outlasts_the_storm_counts_to_its_end() {
    let mut story = alone();
    story.revokes(1000, 1, &[0, 1]);
    story.heals(400);
    story.joins(600, 1, 2, &[0, 1]);
    story.subscribes(1000, 2);
    story.revokes(1000, 1, &[0, 1]);
    let figures = story.ends(5000);
    assert_eq!(figures.gaps, [ms(1000), ms(1000)]);
    // Of which this much was storm.
    assert_eq!(figures.unowned, ms(800));
    assert_eq!(figures.rebalances, 0);
}

#[test]
fn record_that_is_processed_again_is_a_duplicate() {
    let mut story = alone();
    for offset in [1, 2, 3, 2, 2] {
        story.processes(1, offset);
    }
    story.heals(1000);
    let figures = story.ends(0);
    assert_eq!((figures.processed, figures.again), (3, 2));
}

#[test]
fn spread_takes_figures_from_the_durations_by_rank() {
    let spread = |all: &[u64]| Spread::of(all.iter().copied().map(ms).collect());
    assert_eq!(spread(&[]), Spread::default());
    assert_eq!(spread(&[7]), Spread { count: 1, median: 7, p99: 7, max: 7 });
    assert_eq!(spread(&[4, 1, 3, 2]), Spread { count: 4, median: 2, p99: 4, max: 4 });
    let hundred: Vec<u64> = (1..=200).collect();
    assert_eq!(spread(&hundred), Spread { count: 200, median: 100, p99: 198, max: 200 });
}

#[test]
fn every_cell_is_a_scenario_that_differs_from_the_others() {
    let cells = Cell::all(&Storm::ALL, &Strategy::ALL);
    assert_eq!(cells.len(), 24);
    for (path, text) in files(&cells, Path::new("reports")) {
        let scenario = Scenario::parse(&path.display().to_string(), &text);
        let scenario = scenario.unwrap_or_else(|problem| panic!("{problem}"));
        let members = scenario.loads.iter().filter(|load| load.work.group().is_some());
        assert_eq!(members.map(|load| load.clients.high).sum::<u64>(), 4, "{text}");
    }
    let texts: std::collections::BTreeSet<_> = cells.iter().map(|cell| cell.to_toml()).collect();
    assert_eq!(texts.len(), cells.len());
}

fn simulated(storms: &[Storm], strategies: &[Strategy], seeds: Range<u64>) -> Table {
    let runs = Runs {
        seeds,
        jobs: NonZeroUsize::MIN,
        engine: EngineKind::Leap,
        reports: PathBuf::from("reports"),
    };
    run(&Cell::all(storms, strategies), &runs, &mut ()).unwrap()
}

fn row(table: &Table, strategy: Strategy) -> &Row {
    table.rows.iter().find(|row| row.strategy == strategy).unwrap()
}

#[test]
fn static_members_that_restart_cause_no_rebalance_and_shorter_gaps() {
    let table = simulated(&[Storm::RollingRestart], &Strategy::ALL, 0..1);
    golden(|| {
        insta::assert_snapshot!("rebalances.md", markdown(&table));
        insta::assert_snapshot!("rebalances.json", table.to_json());
        insta::assert_snapshot!("rebalances.html", html(&table));
    });
    let shown: String = markdown(&table)
        .lines()
        .filter(|line| line.starts_with('|'))
        .map(|l| format!("{l}\n"))
        .collect();
    assert!(include_str!("../../../README.md").contains(&shown), "README.md needs:\n{shown}");
    let (eager, fixed) = (row(&table, Strategy::Eager), row(&table, Strategy::Static));
    assert_eq!(fixed.rebalances, 0);
    assert!(eager.rebalances >= 4, "{eager:?}");
    assert!(fixed.without_owner_ms.max < eager.without_owner_ms.max, "{fixed:?} {eager:?}");
    assert!(table.rows.iter().all(|row| row.processed > 1000), "{:?}", table.rows);
    assert_eq!(table.exit_code(), 0);
}

#[test]
fn cooperative_members_keep_what_does_not_move() {
    let table = simulated(&[Storm::Waves], &[Strategy::Eager, Strategy::Cooperative], 0..1);
    let (eager, gentle) = (row(&table, Strategy::Eager), row(&table, Strategy::Cooperative));
    assert!(eager.rebalances > 5 && gentle.rebalances > 5, "{eager:?} {gentle:?}");
    // An eager member gives up all that it has, each time; and gets it back sooner than one that waits
    // for what another one gives up in a rebalance of its own.
    let (all, moved) = (eager.without_owner_ms, gentle.without_owner_ms);
    assert!(moved.count * 3 < all.count, "{eager:?} {gentle:?}");
    assert!(moved.median > all.median, "{eager:?} {gentle:?}");
}

#[test]
fn cell_that_breaks_a_promise_is_told_with_its_witness() {
    let mut table = simulated(&[Storm::Waves], &[Strategy::Consumer], 0..1);
    assert_eq!(table.exit_code(), 0);
    table.rows[0].verdict = Verdict::Broke;
    table.rows[0].broken = Some("seed 3: one-owner: two owners <of> orders-0".into());
    assert_eq!(table.exit_code(), 1);
    let text = markdown(&table);
    assert!(text.contains("**consumer: BROKE**, seed 3: one-owner: two owners <of> orders-0\n`"));
    assert!(html(&table).contains("two owners &lt;of&gt; orders-0<br><code>"));
    assert!(html(&table).contains("in seconds of simulated time"), "charts name their unit");
}

/// Snapshots are in `reports/golden`, where readers of the repository look for reports.
fn golden(test: impl FnOnce()) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(concat!(env!("CARGO_MANIFEST_DIR"), "/reports/golden"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(test);
}
