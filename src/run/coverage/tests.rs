//! Each situation is recognised in the smallest history that contains it.

use std::time::Duration;

use super::*;
use crate::base::{
    BrokerEpoch, BrokerId, ControllerProbe, Instant, LeaderEpoch, NodeProbe, Offset,
    PartitionCommitted, PartitionEpoch, Probe, ReplicaProbe, Request, StorageProbe, TopicId,
    TopicPartition,
};
use crate::check::{Judge, Setup, TopicPromise};
use crate::run::EngineKind;
use crate::scenario::Scenario;
use crate::sim::{
    ClientEvent, ConsumerEvent, Ended, HostId, Observation, Outcome, TransactionEvent, What,
};

/// Brokers 1 to 3 on hosts of the same numbers, one partition, min.insync.replicas 2.
struct Story {
    judge: Judge,
    coverage: CoverageObserver,
    now: Instant,
    version: i32,
}

impl Story {
    fn new() -> Self {
        let ids = [1, 2, 3];
        let brokers: Vec<_> = ids.iter().map(|id| (BrokerId(*id), HostId(*id as u16))).collect();
        let promise = TopicPromise { min_insync_replicas: 2, ..TopicPromise::default() };
        let setup = Setup {
            brokers: brokers.iter().map(|(id, host)| (*host, *id)).collect(),
            topics: [("orders".into(), promise)].into(),
            ..Setup::default()
        };
        let mut story = Self {
            judge: Judge::new(setup),
            coverage: CoverageObserver::new(2),
            now: Instant::from_secs(1),
            version: 0,
        };
        for id in ids {
            story.sees(id, What::Booted);
            story.probes(id, NodeProbe::Ready);
        }
        story.commits(Some(1), 0, &[1, 2, 3], false);
        story.coverage.began();
        story
    }

    fn sees(&mut self, host: i32, what: What) {
        let seen = Observation { at: self.now, host: HostId(host as u16), what };
        self.judge.observe(&seen);
        self.coverage.see(&seen, self.judge.ghost());
    }

    fn probes(&mut self, host: i32, probe: impl Into<Probe>) {
        self.sees(host, What::Probe(probe.into()));
    }

    fn commits(&mut self, leader: Option<i32>, epoch: i32, isr: &[i32], unclean: bool) {
        let probe = Probe::Controller(ControllerProbe::PartitionCommitted(PartitionCommitted {
            partition: orders(),
            topic_id: TopicId([1; 16]),
            replicas: [1, 2, 3].map(BrokerId).to_vec(),
            leader: leader.map(BrokerId),
            leader_epoch: LeaderEpoch(epoch),
            partition_epoch: PartitionEpoch(self.version),
            isr: isr.iter().copied().map(BrokerId).collect(),
            unclean,
        }));
        self.version += 1;
        self.probes(0, probe);
    }

    fn leads(&mut self, host: i32, epoch: i32) {
        let (partition, epoch) = (orders(), LeaderEpoch(epoch));
        let (topic_id, log_end) = (TopicId([1; 16]), Offset::ZERO);
        self.probes(host, ReplicaProbe::BecameLeader { partition, topic_id, epoch, log_end });
    }

    fn appends(&mut self, host: i32, epoch: i32) {
        let (partition, epoch) = (orders(), LeaderEpoch(epoch));
        let (base, end) = (Offset(0), Offset(1));
        self.probes(host, ReplicaProbe::LeaderAppended { partition, epoch, base, end });
    }

    fn reached(self) -> Reached {
        self.coverage.finish(self.now, false)
    }

    fn situations(self) -> Vec<&'static str> {
        self.reached().situations.into_iter().map(Situation::name).collect()
    }
}

fn orders() -> TopicPartition {
    TopicPartition::new("orders", 0)
}

#[test]
fn cluster_startup_is_not_a_situation() {
    assert_eq!(Story::new().reached(), Reached::default());
}

#[test]
fn elections_are_classified_by_the_winners_state() {
    let mut story = Story::new();
    story.appends(1, 0);
    story.commits(Some(2), 1, &[2, 3], false);
    assert_eq!(story.situations(), ["election from the ISR", "ISR shrunk"]);

    let mut story = Story::new();
    story.appends(1, 0);
    story.commits(Some(1), 0, &[1], false);
    story.commits(Some(2), 1, &[2], false);
    let found = story.situations();
    assert!(found.contains(&"election from the ELR"), "{found:?}");
    assert!(found.contains(&"ISR shrunk below min.insync.replicas"), "{found:?}");

    // b3 left the ISR while it was large enough, so it is not eligible.
    let mut story = Story::new();
    story.commits(Some(1), 0, &[1, 2], false);
    story.commits(Some(1), 0, &[1], false);
    story.commits(Some(3), 1, &[3], true);
    assert!(story.situations().contains(&"unclean election"));

    let mut story = Story::new();
    for host in [1, 2, 3] {
        story.sees(host, What::PowerLost { lost_pages: 9 });
    }
    story.commits(Some(1), 0, &[1], false);
    story.commits(None, 1, &[], false);
    story.commits(Some(1), 2, &[1], true);
    let found = story.situations();
    assert!(found.contains(&"election of the last known leader"), "{found:?}");
    assert!(found.contains(&"empty ISR") && found.contains(&"partition without a leader"));
    assert!(found.contains(&"power lost with dirty pages"));
    assert!(!found.contains(&"unclean election"));
}

#[test]
fn replay_after_a_controller_restart_elects_no_leader() {
    let mut story = Story::new();
    story.version = 0;
    story.commits(Some(2), 1, &[2], false);
    assert!(story.situations().is_empty());
}

#[test]
fn only_a_running_registered_broker_is_fenced_alive() {
    let (broker, epoch) = (BrokerId(1), BrokerEpoch(7));
    let fenced =
        |story: &mut Story, epoch| story.probes(0, ControllerProbe::BrokerFenced { broker, epoch });
    let admitted = || {
        let mut story = Story::new();
        story.probes(1, NodeProbe::Registered { epoch });
        story.probes(0, ControllerProbe::BrokerUnfenced { broker, epoch });
        story
    };
    let mut story = admitted();
    fenced(&mut story, epoch);
    assert_eq!(story.situations(), ["broker fenced while it runs"]);
    // It registers again.
    let mut story = admitted();
    fenced(&mut story, BrokerEpoch(9));
    assert!(story.situations().is_empty());
    // The session of a dead process ends after the next process has registered.
    let mut story = admitted();
    story.sees(1, What::Killed);
    story.sees(1, What::Booted);
    fenced(&mut story, epoch);
    assert!(story.situations().is_empty());
    // A restarted controller reports what it reads from its log.
    let mut story = admitted();
    story.probes(0, ControllerProbe::BecameController { id: BrokerId(101), epoch: LeaderEpoch(2) });
    fenced(&mut story, epoch);
    assert!(story.situations().is_empty());
}

#[test]
fn deposed_leader_that_appends_is_a_second_leader() {
    let mut story = Story::new();
    story.leads(1, 0);
    story.appends(1, 0);
    story.commits(Some(2), 1, &[2, 3], false);
    story.leads(2, 1);
    story.appends(1, 0);
    story.sees(1, What::Resumed);
    let found = story.situations();
    for name in [
        "two leaders at once",
        "records appended by a deposed leader",
        "paused leader woke up deposed",
    ] {
        assert!(found.contains(&name), "{name}: {found:?}");
    }
}

#[test]
fn dead_leader_is_not_a_second_leader() {
    let mut story = Story::new();
    story.leads(1, 0);
    story.sees(1, What::Killed);
    story.commits(Some(2), 1, &[2, 3], false);
    story.leads(2, 1);
    assert!(!story.situations().contains(&"two leaders at once"));
}

#[test]
fn diverging_answer_is_classified_by_its_epoch() {
    let answer = |by_request, answered| {
        Probe::Replica(ReplicaProbe::EpochAnswered {
            partition: orders(),
            by_request,
            asked: LeaderEpoch(3),
            answered: LeaderEpoch(answered),
            end: Offset(7),
        })
    };
    let mut story = Story::new();
    story.probes(1, answer(false, 3));
    assert_eq!(story.situations(), ["fetch answered with a diverging epoch"]);
    let mut story = Story::new();
    story.probes(1, answer(false, 2));
    story.probes(1, answer(true, 2));
    assert_eq!(
        story.situations(),
        [
            "fetch answered with a diverging epoch",
            "fetch answered with an older epoch",
            "OffsetForLeaderEpoch answered with an older epoch"
        ]
    );
}

#[test]
fn refusal_is_classified_by_request_and_error() {
    let refused = |request, error| {
        Probe::Replica(ReplicaProbe::Refused { partition: orders(), request, error })
    };
    for (request, error, name) in [
        (Request::Produce, "OUT_OF_ORDER_SEQUENCE_NUMBER", Some("out of order sequence")),
        (Request::Fetch, "FENCED_LEADER_EPOCH", Some("fetch refused for an older epoch")),
        (Request::AlterPartition, "INVALID_UPDATE_VERSION", Some("AlterPartition refused")),
        (Request::Produce, "MESSAGE_TOO_LARGE", None),
    ] {
        let mut story = Story::new();
        story.probes(1, refused(request, error));
        assert_eq!(story.situations(), Vec::from_iter(name), "{error}");
    }
}

#[test]
fn crash_in_recovery_and_failed_sync_are_recognised() {
    let mut story = Story::new();
    story.sees(1, What::Killed);
    story.sees(1, What::Booted);
    story.probes(1, StorageProbe::Recovered { partition: orders(), cut: 12, short: false });
    story.sees(1, What::Killed);
    story.probes(2, StorageProbe::Failed { partition: orders(), full: false });
    story.sees(2, What::Ended);
    assert_eq!(
        story.situations(),
        [
            "recovery of an unclean log",
            "torn tail truncated",
            "crash during recovery",
            "sync failed"
        ]
    );
    let mut story = Story::new();
    story.sees(1, What::Ended);
    assert_eq!(story.situations(), ["clean shutdown"]);
}

#[test]
fn consumer_reset_counts_only_below_its_last_read() {
    let (consumer, partition) = (1, orders());
    let at = |offset| {
        What::Client(ClientEvent::Consumer(ConsumerEvent::Positioned {
            consumer,
            partition: orders(),
            offset: Offset(offset),
        }))
    };
    let read = What::Client(ClientEvent::Consumer(ConsumerEvent::Polled {
        consumer,
        partition,
        records: vec![(Offset(4), 9)],
        epochs: Vec::new(),
    }));
    let mut story = Story::new();
    story.sees(9, at(0));
    story.sees(9, read.clone());
    story.sees(9, at(5));
    assert!(story.situations().is_empty());
    let mut story = Story::new();
    story.sees(9, read);
    story.sees(9, at(2));
    assert_eq!(story.situations(), ["consumer position reset"]);
}

#[test]
fn answers_to_a_transactional_producer_are_classified() {
    let told = |event: TransactionEvent| {
        let mut story = Story::new();
        story.sees(9, What::Client(event.into()));
        story.situations()
    };
    let ended = |outcome| told(TransactionEvent::Ended { producer: 1, txn: 1, outcome });
    let error = || "TIMEOUT".to_owned();
    assert_eq!(ended(Ended::Committed), [""; 0]);
    assert_eq!(ended(Ended::Aborted), ["transaction aborted by its producer"]);
    assert_eq!(ended(Ended::Fenced { error: error() }), ["transactional producer fenced"]);
    let doubt = "outcome of a transaction unknown to its producer";
    assert_eq!(ended(Ended::Unknown { error: error() }), [doubt]);
    let sent = |outcome| {
        let group = "billing".into();
        told(TransactionEvent::SentOffsets { producer: 1, txn: 1, group, outcome })
    };
    assert_eq!(sent(Outcome::Ok { offset: None }), ["offsets committed in a transaction"]);
    assert_eq!(sent(Outcome::Unknown { error: error() }), ["offsets in a transaction refused"]);
}

/// The situations of runs of a scenario.
fn reached_in(scenario: &str, seeds: std::ops::Range<u64>) -> Vec<&'static str> {
    let scenario = Scenario::load(scenario).unwrap();
    let run = |seed| crate::run::run(&scenario, seed, EngineKind::Leap, None).reached.situations;
    let all: BTreeSet<Situation> = seeds.flat_map(run).collect();
    all.into_iter().map(Situation::name).collect()
}

#[test]
fn what_coordinators_log_is_classified() {
    let calm = reached_in("eos/calm-transactions", 0..1);
    let coordinated = |name: &&&str| name.contains("coordinator") || name.contains("timed out");
    assert_eq!(calm.iter().find(coordinated), None);
    let dies = reached_in("eos/coordinator-dies-while-completing", 0..2);
    for name in [
        "transaction coordinator moved while completing",
        "transaction coordinator moved with a transaction open",
        "participant down before its marker",
    ] {
        assert!(dies.contains(&name), "{name}: {dies:?}");
    }
    let slow = reached_in("eos/transactions-time-out", 0..1);
    assert!(slow.contains(&"transaction timed out"), "{slow:?}");
    let zombies = reached_in("eos/zombie-producers", 0..1);
    let taken = "open transaction of a transactional id that was taken over";
    assert!(zombies.contains(&taken), "{zombies:?}");
}

#[test]
fn feature_is_a_situation_under_a_fault_or_after_another() {
    let mut story = Story::new();
    story.coverage.struck(story.now, "kill");
    story.appends(1, 0);
    story.commits(Some(2), 1, &[2, 3], false);
    story.now = story.now + Duration::from_secs(60);
    story.commits(Some(2), 1, &[2, 3, 1], false);
    let features: Vec<_> = story.reached().features.iter().map(ToString::to_string).collect();
    assert_eq!(
        features,
        [
            "election from the ISR under kill",
            "ISR shrunk under kill",
            "ISR grown under calm",
            "election from the ISR, then ISR shrunk",
            "ISR shrunk, then ISR grown"
        ]
    );
}

#[test]
fn table_starts_with_unreached_situations() {
    let mut sightings = Sightings::default();
    let reached = |situations: &[Situation]| Reached {
        situations: situations.iter().copied().collect(),
        ..Reached::default()
    };
    sightings.add(4, &reached(&[Situation::IsrElection, Situation::Truncated]));
    sightings.add(5, &reached(&[Situation::IsrElection]));
    let table = sightings.table();
    assert_eq!(table.len(), Situation::ALL.len());
    let last: Vec<_> = terminal(&table).lines().rev().take(2).map(str::to_owned).collect();
    assert_eq!(last[0].split_whitespace().next(), Some("2"));
    assert!(last[1].contains("truncation on diverging epoch") && last[1].ends_with("first 4"));
    assert!(terminal(&table).starts_with("  never  election from the ELR\n"));
    assert!(markdown(&table, 2).ends_with("\n2 of 56 situations in 2 runs.\n"));
}
