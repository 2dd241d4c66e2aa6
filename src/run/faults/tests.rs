//! Faults on an engine that only records calls.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::base::{
    BrokerId, ControllerProbe, LeaderEpoch, PartitionCommitted, PartitionEpoch, Probe, Seed,
    TopicId,
};
use crate::io::real::RealWorld;
use crate::run::roles::Host;
use crate::scenario::Plan;
use crate::scenario::Scenario;
use crate::sim::disk::{Corruption, DiskStats, Failing, Place};
use crate::sim::{
    Boot, ClientEvent, HostId, Link, Observation, Outcome, ProducerEvent, Survival, TraceHash,
    Unsupported, What,
};
use crate::view::View;

#[derive(Default)]
struct Scribe {
    now: Instant,
    down: BTreeSet<HostId>,
    /// Whether hosts end as soon as they are asked to.
    obedient: bool,
    /// Whether links can't be changed.
    unable: bool,
    /// Observations at these seconds.
    news: Vec<(u64, What)>,
    done: Vec<String>,
}

impl Scribe {
    fn write(&mut self, what: &str, host: HostId) {
        self.done.push(format!("{} {what} {host}", self.now.as_secs_f64()));
    }
}

impl Engine for Scribe {
    type World = RealWorld;
    const NAME: &'static str = "scribe";

    fn new(_: Seed, _: Link) -> Self {
        Self { obedient: true, ..Self::default() }
    }
    fn add_host(&mut self, _: &str, _: Boot<RealWorld>) -> HostId {
        HostId(0)
    }
    fn name(&self, _: HostId) -> &str {
        ""
    }
    fn now(&self) -> Instant {
        self.now
    }
    fn run_until(&mut self, until: Instant) {
        self.now = until;
    }
    fn spin(&self) -> Option<String> {
        None
    }
    fn drain(&mut self) -> Vec<Observation> {
        Vec::new()
    }
    fn is_running(&self, host: HostId) -> bool {
        !self.down.contains(&host)
    }
    fn terminate(&mut self, host: HostId) {
        self.write("terminate", host);
        if self.obedient {
            self.down.insert(host);
        }
    }
    fn kill(&mut self, host: HostId) {
        self.write("kill", host);
        self.down.insert(host);
    }
    fn power_loss(&mut self, host: HostId, _: Survival) {
        self.write("power-loss", host);
        self.down.insert(host);
    }
    fn power_loss_at(&mut self, host: HostId, operation: u64, _: Survival) {
        self.write(&format!("power-loss-at-{operation}"), host);
    }
    fn boot(&mut self, host: HostId) {
        self.write("boot", host);
        self.down.remove(&host);
    }
    fn pause(&mut self, host: HostId) {
        self.write("pause", host);
    }
    fn resume(&mut self, host: HostId) {
        self.write("resume", host);
    }
    fn cut(&mut self, from: HostId, to: HostId) {
        self.write(&format!("cut {from}"), to);
    }
    fn heal(&mut self, from: HostId, to: HostId) {
        self.write(&format!("heal {from}"), to);
    }
    fn hold(&mut self, _: HostId, _: HostId) -> Result<(), Unsupported> {
        Ok(())
    }
    fn release(&mut self, _: HostId, _: HostId) -> Result<(), Unsupported> {
        Ok(())
    }
    fn set_link(&mut self, from: HostId, to: HostId, link: Link) -> Result<(), Unsupported> {
        if self.unable {
            return Err(Unsupported {
                engine: Self::NAME,
                what: "set_link",
                why: "it only writes",
            });
        }
        self.write(&format!("link {:?} {:?} {from}", link.latency.end(), link.bandwidth), to);
        Ok(())
    }
    fn set_clock(&mut self, host: HostId, ms: i64, ppm: i32) -> Result<(), Unsupported> {
        self.write(&format!("clock {ms} {ppm}"), host);
        Ok(())
    }
    fn set_disk(&mut self, host: HostId, disk: DiskProfile) {
        let (call, stall) = (disk.call.as_nanos(), disk.stall_one_in);
        self.write(&format!("disk {call} {stall} {:?}", disk.capacity), host);
    }
    fn fail_disk(&mut self, host: HostId, what: Failing, count: u32, dir: Option<&str>) {
        self.write(&format!("fail {what:?} {count} {}", dir.unwrap_or("all")), host);
    }
    fn corrupt_disk(
        &mut self,
        host: HostId,
        what: Corruption,
        count: u32,
        place: (Place, &str),
    ) -> u32 {
        self.write(&format!("corrupt {what:?} {count} {:?} {}", place.0, place.1), host);
        count
    }
    fn replace_disk(&mut self, host: HostId, dir: Option<&str>) {
        self.write(&format!("replace {}", dir.unwrap_or("all")), host);
    }
    fn disk_stats(&self, _: HostId) -> DiskStats {
        DiskStats::default()
    }
    fn trace(&self) -> TraceHash {
        TraceHash(0)
    }
    fn record_trace(&mut self) {}
    fn take_trace(&mut self) -> Vec<String> {
        Vec::new()
    }
}

/// `b1` to `b3`, hosts 1 to 3, of which `b1` leads `orders-0`.
fn hosts() -> (Hosts, View) {
    hosts_of(3)
}

/// The same with more brokers that hold no copy.
fn hosts_of(brokers: u16) -> (Hosts, View) {
    let hosts = (1..=brokers).map(|number| Host {
        id: HostId(number),
        name: format!("b{number}"),
        kind: Kind::Broker(BrokerId(i32::from(number))),
        up: true,
        paused: false,
        ready: true,
    });
    let mut hosts = Hosts::new(hosts.collect());
    let partition = TopicPartition::new("orders", 0);
    let all = [1, 2, 3].map(BrokerId).to_vec();
    let committed = Probe::Controller(ControllerProbe::PartitionCommitted(PartitionCommitted {
        partition,
        topic_id: TopicId::ZERO,
        replicas: all.clone(),
        leader: Some(BrokerId(1)),
        leader_epoch: LeaderEpoch(0),
        partition_epoch: PartitionEpoch(0),
        isr: all,
        unclean: false,
    }));
    let (at, host) = (Instant::START, HostId(0));
    let mut view = View::new(&BTreeMap::new(), BTreeMap::new());
    let seen = Observation { at, host, what: What::Probe(committed) };
    view.fold(&seen);
    hosts.see(&seen, &view);
    (hosts, view)
}

/// The calls during 20 seconds of a schedule, checked every second.
fn done(schedule: &str, mut engine: Scribe) -> (Vec<String>, Faults) {
    let text = format!("name = \"x\"\n{schedule}\n[expect]\nholds = [\"*\"]\n");
    let scenario = Scenario::parse("x.toml", &text).unwrap_or_else(|error| panic!("{error}"));
    let plan = Plan::draw(&scenario, Seed(0));
    let (mut hosts, mut view) = hosts();
    let mut faults = Faults::new("orders", plan.faults, Instant::START).and_late(plan.late);
    for second in 0..20 {
        engine.run_until(Instant::from_secs(second));
        let news: Vec<_> = engine.news.iter().filter(|(at, _)| *at == second).cloned().collect();
        for (_, what) in news {
            let (at, host) = (engine.now, HostId(2));
            let seen = Observation { at, host, what };
            view.fold(&seen);
            hosts.see(&seen, &view);
        }
        faults.step(&mut engine, &mut hosts);
        for host in &mut hosts.all {
            host.up = engine.is_running(host.id);
            host.ready = host.up;
        }
    }
    (engine.done, faults)
}

fn obedient() -> Scribe {
    Scribe::new(Seed(0), Link::default())
}

#[test]
fn fault_strikes_the_current_holder_of_a_role_and_ends_in_time() {
    let schedule = "[[schedule]]\nat = \"3s\"\nkind = \"kill\"\ntarget = \"leader\"\ndown = \"4s\"";
    let (done, faults) = done(schedule, obedient());
    assert_eq!(done, ["3 kill #1", "7 boot #1"]);
    assert_eq!(faults.story, ["3.000 s: kill of b1 (leader of orders-0), for 4s"]);
    assert_eq!((faults.struck, faults.skipped()), (1, 0));
}

#[test]
fn host_that_is_down_is_struck_after_it_boots() {
    let kill = "[[schedule]]\nat = \"3s\"\nkind = \"kill\"\ntarget = \"b2\"\ndown = \"4s\"\n";
    let (done, _) = done(&format!("{kill}{kill}"), obedient());
    assert_eq!(done, ["3 kill #2", "7 boot #2", "8 kill #2", "12 boot #2"]);
}

#[test]
fn link_cut_by_two_faults_works_again_after_both() {
    let cut = "[[schedule]]\nat = \"1s\"\nkind = \"partition\"\nfrom = \"b1\"\nto = \"b2\"\n\
               one-way = true\ndown = ";
    let (done, _) = done(&format!("{cut}\"3s\"\n{cut}\"6s\"\n"), obedient());
    assert_eq!(done, ["1 cut #1 #2", "7 heal #1 #2"]);
}

#[test]
fn isolated_host_is_cut_off_from_all_others_both_ways() {
    let isolate = "[[schedule]]\nat = \"1s\"\nkind = \"isolate\"\ntarget = \"leader\"";
    let (done, _) = done(isolate, obedient());
    assert_eq!(done, ["1 cut #1 #2", "1 cut #2 #1", "1 cut #1 #3", "1 cut #3 #1"]);
}

#[test]
fn power_loss_at_an_operation_never_reached_strikes_in_1_s() {
    let schedule = "[[schedule]]\nat = \"3s\"\nkind = \"power-loss\"\ntarget = \"b3\"\n\
                    operation = 7\ndown = \"2s\"";
    let (done, _) = done(schedule, obedient());
    assert_eq!(done, ["3 power-loss-at-7 #3", "4 power-loss #3", "6 boot #3"]);
}

#[test]
fn rolling_restart_waits_for_each_broker() {
    let rule = "[[fault]]\nkind = \"rolling-restart\"\nat = \"2s\"\ndown = \"3s\"";
    let (done, _) = done(rule, obedient());
    let expected = ["2 terminate #1", "6 boot #1", "7 terminate #2", "11 boot #2"];
    assert_eq!(done[..4], expected, "{done:?}");
}

#[test]
fn process_that_ignores_a_restart_is_reported_and_killed() {
    let schedule = "[[schedule]]\nat = \"1s\"\nkind = \"restart\"\ntarget = \"b2\"\ndown = \"1s\"";
    let (_, mut faults) = done(schedule, Scribe::default());
    let mut engine = Scribe { now: Instant::from_secs(70), ..Scribe::default() };
    faults.step(&mut engine, &mut hosts().0);
    assert_eq!(faults.deaf(), [(Instant::from_secs(70), "b2".to_owned())]);
    assert_eq!(engine.done, ["70 kill #2"]);
}

#[test]
fn heal_ends_every_lasting_fault() {
    let schedule = "[[schedule]]\nat = \"1s\"\nkind = \"kill\"\ntarget = \"b1\"\n\
                    [[schedule]]\nat = \"1s\"\nkind = \"pause\"\ntarget = \"b2\"\n\
                    [[schedule]]\nat = \"1s\"\nkind = \"partition\"\nfrom = \"b3\"\nto = \"b2\"\n";
    let (_, mut faults) = done(schedule, obedient());
    let mut engine = Scribe { down: BTreeSet::from([HostId(1)]), ..Scribe::default() };
    faults.heal(&mut engine, &mut hosts().0);
    assert_eq!(engine.done, ["0 boot #1", "0 resume #2", "0 heal #3 #2", "0 heal #2 #3"]);
}

/// The controller reports the leader and ISR of `orders-<index>` in `epoch`.
fn elected(index: i32, epoch: i32, leader: i32, isr: &[i32]) -> What {
    What::Probe(Probe::Controller(ControllerProbe::PartitionCommitted(PartitionCommitted {
        partition: TopicPartition::new("orders", index),
        topic_id: TopicId::ZERO,
        replicas: [1, 2, 3].map(BrokerId).to_vec(),
        leader: Some(BrokerId(leader)),
        leader_epoch: LeaderEpoch(epoch),
        partition_epoch: PartitionEpoch(epoch),
        isr: isr.iter().copied().map(BrokerId).collect(),
        unclean: false,
    })))
}

#[test]
fn overlapping_disk_faults_add_up_and_end_separately() {
    let schedule = "[[schedule]]\nat = \"1s\"\nkind = \"slow-disk\"\ntarget = \"b1\"\nfactor = 10\n\
                    down = \"4s\"\n[[schedule]]\nat = \"2s\"\nkind = \"disk-stall\"\ntarget = \"b1\"\n\
                    stall = \"1s..2s\"\ndown = \"2s\"\n[[schedule]]\nat = \"7s\"\nkind = \"disk-full\"\n\
                    target = \"b3\"\ndown = \"1s\"\n";
    let (done, faults) = done(schedule, obedient());
    let slow = ["1 disk 5000 500 None #1", "2 disk 5000 1 None #1", "4 disk 5000 500 None #1"];
    let after = ["5 disk 500 500 None #1", "7 disk 500 500 Some(0) #3", "8 disk 500 500 None #3"];
    assert_eq!(done, [slow, after].concat());
    assert_eq!(faults.struck, 3);
}

#[test]
fn clock_jump_and_drift_add_up_and_end_separately() {
    let schedule = "[[schedule]]\nat = \"1s\"\nkind = \"clock-jump\"\ntarget = \"b2\"\nby = \"5s\"\n\
                    back = true\ndown = \"2s\"\n[[schedule]]\nat = \"2s\"\nkind = \"clock-drift\"\n\
                    target = \"b2\"\nppm = 100\ndown = \"3s\"\n";
    let (done, _) = done(schedule, obedient());
    let expected = ["1 clock -5000 0 #2", "2 clock -5000 100 #2", "3 clock 0 100 #2"];
    assert_eq!(done[..3], expected);
    assert_eq!(done[3..], ["5 clock 0 0 #2"]);
}

const SLOW_LINK: &str = "[[schedule]]\nat = \"1s\"\nkind = \"slow-link\"\nfrom = \"b1\"\nto = \"b2\"\n\
                         latency = \"5ms..50ms\"\nbandwidth = 1000\ndown = \"2s\"\n";

#[test]
fn slow_link_is_slow_both_ways_until_it_ends() {
    let (done, _) = done(SLOW_LINK, obedient());
    let slow = ["1 link 50ms Some(1000) #1 #2", "1 link 50ms Some(1000) #2 #1"];
    let usual = ["3 link 1.5ms None #1 #2", "3 link 1.5ms None #2 #1"];
    assert_eq!(done, [slow, usual].concat());
}

#[test]
fn unsupported_fault_is_skipped_with_the_engines_reason() {
    let (done, faults) = done(SLOW_LINK, Scribe { unable: true, ..obedient() });
    assert!(done.is_empty(), "{done:?}");
    assert_eq!((faults.struck, faults.skipped()), (0, 1));
    let why: Vec<_> = faults.unable.iter().cloned().collect();
    assert_eq!(why, ["the engine `scribe` can't do `set_link`: it only writes"]);
}

#[test]
fn broker_that_stopped_on_a_disk_error_boots_when_it_ends() {
    let schedule =
        "[[schedule]]\nat = \"1s\"\nkind = \"disk-error\"\ntarget = \"leader\"\nsyncs = 2\n";
    let (done, mut faults) = done(schedule, obedient());
    assert_eq!(done, ["1 fail Sync 2 all #1"]);
    let mut engine = Scribe { down: BTreeSet::from([HostId(1)]), ..Scribe::default() };
    faults.heal(&mut engine, &mut hosts().0);
    assert_eq!(engine.done, ["0 fail Sync 0 all #1", "0 boot #1"]);
}

#[test]
fn staggered_power_loss_boots_hosts_one_by_one() {
    let schedule = "[[schedule]]\nat = \"1s\"\nkind = \"power-loss\"\ntarget = \"all\"\n\
                    down = \"2s\"\nstagger = \"3s\"\n";
    let (done, faults) = done(schedule, obedient());
    let lost = ["1 power-loss #1", "1 power-loss #2", "1 power-loss #3"];
    assert_eq!(done, [lost, ["3 boot #1", "6 boot #2", "9 boot #3"]].concat());
    assert_eq!(faults.struck, 1);
}

#[test]
fn corruption_spares_the_required_number_of_brokers() {
    let rot = |at: u64, target: &str| {
        format!(
            "[[schedule]]\nat = \"{at}s\"\nkind = \"disk-corruption\"\ntarget = \"{target}\"\n\
             pages = 2\nplace = \"cold\"\nintact = 2\ndown = \"1s\"\n"
        )
    };
    let schedule = [rot(1, "b2"), rot(3, "b1"), rot(5, "all"), rot(7, "b2")].concat();
    let (done, faults) = done(&schedule, obedient());
    let twice = ["1", "5", "7"].map(|at| format!("{at} corrupt BitRot 2 Cold orders-0 #2"));
    assert_eq!(done, twice, "{:?}", faults.story);
    assert_eq!((faults.struck, faults.skipped()), (3, 1), "b1 is spared");
}

#[test]
fn fault_waits_for_an_election_of_its_partition_and_a_delay() {
    let schedule = "[topic]\npartitions = 2\n[[schedule]]\nat = \"3s\"\nkind = \"kill\"\ntarget = \"b3\"\n\
                    on = \"leader-elected\"\ndelay = \"1s\"\ndown = \"2s\"\n";
    let news = vec![
        (2, elected(0, 1, 2, &[1, 2, 3])), // before it is due
        (4, elected(1, 0, 1, &[1, 2, 3])), // of another partition
        (4, elected(1, 1, 2, &[1, 2, 3])),
        (6, elected(0, 2, 1, &[1, 2, 3])),
    ];
    let (done, faults) = done(schedule, Scribe { news, ..obedient() });
    assert_eq!(done, ["7 kill #3", "9 boot #3"]);
    assert_eq!(faults.story, ["7.000 s: kill of b3, for 2s, on leader-elected"]);
}

#[test]
fn fault_waits_for_the_next_event_when_no_host_fits() {
    let schedule = "[[schedule]]\nat = \"1s\"\nkind = \"kill\"\ntarget = \"out-of-sync\"\n\
                    on = \"leader-elected\"\ndown = \"2s\"\n";
    let news = vec![(4, elected(0, 1, 2, &[1, 2, 3])), (9, elected(0, 2, 1, &[1, 3]))];
    let (done, _) = done(schedule, Scribe { news, ..obedient() });
    assert_eq!(done, ["9 kill #2", "11 boot #2"]);
}

#[test]
fn faults_can_wait_for_isr_changes_and_acknowledgements() {
    let kill = |host: &str, moment: &str| {
        format!(
            "[[schedule]]\nat = \"1s\"\nkind = \"kill\"\ntarget = \"{host}\"\n{moment}\ndown = \"1s\"\n"
        )
    };
    let schedule = [
        kill("b1", "on = \"isr-shrunk\""),
        kill("b2", "on = \"isr-grown\""),
        kill("b3", "after = \"ack\""),
    ];
    let sent = ClientEvent::Producer(ProducerEvent::Sent {
        producer: 1,
        op: 0,
        partition: TopicPartition::new("orders", 0),
        value: 7,
        acks: crate::base::config::Acks::All,
        idempotent: true,
        txn: None,
    });
    let told = ClientEvent::Producer(ProducerEvent::Told {
        producer: 1,
        op: 0,
        outcome: Outcome::Ok { offset: None },
    });
    let news = vec![
        (3, elected(0, 1, 1, &[1, 2])),
        (6, elected(0, 2, 1, &[1, 2, 3])),
        (9, What::Client(sent)),
        (10, What::Client(told)),
    ];
    let (done, _) = done(&schedule.concat(), Scribe { news, ..obedient() });
    assert_eq!(
        done,
        ["3 kill #1", "4 boot #1", "6 kill #2", "7 boot #2", "10 kill #3", "11 boot #3"]
    );
}

#[test]
fn booting_host_can_be_struck_before_it_answers() {
    let schedule = "[[schedule]]\nat = \"1s\"\nkind = \"kill\"\ntarget = \"recovering\"\n\
                    during = \"recovery\"\ndown = \"2s\"\n[[schedule]]\nat = \"3s\"\nkind = \"kill\"\n\
                    target = \"b2\"\ndown = \"2s\"\n";
    let (done, _) = done(schedule, Scribe { news: vec![(5, What::Booted)], ..obedient() });
    assert_eq!(done, ["3 kill #2", "5 boot #2", "5 kill #2", "7 boot #2"]);
}

#[test]
fn awaited_events_are_checked_every_millisecond() {
    let schedule = "[[schedule]]\nat = \"3s\"\nkind = \"kill\"\ntarget = \"b3\"\nafter = \"ack\"\n";
    let (_, faults) = done(schedule, obedient());
    assert_eq!(faults.next(Instant::from_secs(1)), Instant::from_secs(3));
    let now = Instant::from_secs(4);
    assert_eq!(faults.next(now), now + CLOSELY);
}

#[cfg(feature = "referee")]
#[test]
fn both_engines_fail_syncs_and_turmoil_reports_slow_links() {
    let text = "name = \"x\"\nduration = \"6s\"\n[cluster]\nlog.flush.before.ack = true\n\
                [[load]]\nkind = \"producer\"\nrate = \"50/s\"\n\
                [[fault]]\nkind = \"disk-error\"\ntarget = \"leader\"\nat = \"2s\"\ndown = \"1s\"\n\
                [[fault]]\nkind = \"slow-link\"\nfrom = \"b1\"\nto = \"b2\"\nlatency = \"9ms\"\nat = \"4s\"\n\
                [expect]\nholds = [\"*\"]\n";
    let scenario = Scenario::parse("x.toml", text).unwrap();
    for (engine, struck) in
        [(crate::run::EngineKind::Leap, 2), (crate::run::EngineKind::Turmoil, 1)]
    {
        let outcome = crate::run::run(&scenario, 1, engine, None);
        assert!(outcome.broken.is_empty(), "{:?}", outcome.broken);
        assert_eq!(outcome.counts.faults, struck, "{:?}", outcome.story);
        assert_eq!(outcome.counts.faults_skipped, 2 - struck);
        let noted = |what: &str| outcome.notes.iter().any(|note| note.contains(what));
        assert!(noted("ended with an error: the storage failed"), "{:?}", outcome.notes);
        assert_eq!(noted("faults left out: the engine `turmoil` can't do `set_link`"), struck == 1);
    }
}

/// Why each fault of a schedule did not strike within 20 seconds.
fn excuses(schedule: &str) -> Vec<String> {
    let (_, faults) = done(&format!("duration = \"20s\"\n{schedule}"), obedient());
    assert_eq!(faults.struck, 0, "{:?}", faults.story);
    assert!(faults.idle(Duration::from_secs(20)).unwrap().contains("none of its 1 faults struck"));
    faults.unstruck(Duration::from_secs(20)).into_iter().collect()
}

#[test]
fn fault_that_cannot_strike_is_named_with_the_reason() {
    let kill = |table: &str, target: &str, more: &str| {
        excuses(&format!("[[{table}]]\nkind = \"kill\"\ntarget = \"{target}\"\n{more}\n"))
    };
    let late = ["kill of leader: due at 70s, and the load ends at 20s"];
    assert_eq!(kill("fault", "leader", "at = \"70s\""), late);
    assert_eq!(kill("fault", "leader", "every = \"70s\""), late);
    assert_eq!(kill("schedule", "leader", "at = \"70s\""), late);
    assert_eq!(
        kill("schedule", "out-of-sync", "at = \"1s\""),
        ["kill of out-of-sync: due at 1s, and no host was `out-of-sync`"]
    );
    assert_eq!(
        kill("schedule", "b1", "at = \"1s\"\non = \"leader-elected\""),
        ["kill of b1: due at 1s, and what it waits for did not happen: `on = \"leader-elected\"`"]
    );
    let cut = |kind: &str, more: &str| {
        let ends = "from = \"leader\"\nto = \"leader\"";
        excuses(&format!("[[schedule]]\nat = \"1s\"\nkind = \"{kind}\"\n{ends}\n{more}\n"))
    };
    let same = "between leader and leader: due at 1s, and both sides were the same hosts";
    assert_eq!(cut("partition", ""), [format!("partition {same}")]);
    assert_eq!(cut("slow-link", "latency = \"9ms\""), [format!("slow-link {same}")]);
}

#[test]
fn fault_that_waits_for_a_settled_cluster_in_vain_says_so() {
    let schedule = "duration = \"20s\"\n[[schedule]]\nat = \"1s\"\nkind = \"pause\"\ntarget = \"b3\"\n\
                    [[schedule]]\nat = \"2s\"\nkind = \"kill\"\ntarget = \"b1\"\nwhen = \"settled\"\n";
    let (_, faults) = done(schedule, obedient());
    let why: Vec<_> = faults.unstruck(Duration::from_secs(20)).into_iter().collect();
    assert_eq!(why, ["kill of b1: due at 2s, and the cluster was never settled after that"]);
    assert_eq!(faults.idle(Duration::from_secs(20)), None, "the pause struck");
}

#[test]
fn minority_and_majority_are_disjoint_sides_that_cover_the_cluster() {
    for (brokers, from, to) in (3..=7)
        .flat_map(|brokers| [(brokers, "minority", "majority"), (brokers, "majority", "minority")])
    {
        for pick in 0..10 {
            let text = format!(
                "name = \"x\"\n[cluster]\nbrokers = {brokers}\n[[schedule]]\nat = \"0s\"\n\
                 kind = \"partition\"\nfrom = \"{from}\"\nto = \"{to}\"\none-way = true\n\
                 pick = {pick}\n[expect]\nholds = [\"*\"]\n"
            );
            let plan = Plan::draw(&Scenario::parse("x.toml", &text).unwrap(), Seed(0));
            let (mut hosts, _) = hosts_of(brokers);
            let mut engine = obedient();
            let mut faults = Faults::new("orders", plan.faults, Instant::START);
            faults.step(&mut engine, &mut hosts);
            let [one] = faults.ongoing.lasting.as_slice() else { panic!("it struck once") };
            let side = |of: fn(&(HostId, HostId)) -> HostId| -> BTreeSet<HostId> {
                one.hit.links.iter().map(of).collect()
            };
            let (near, far) = (side(|link| link.0), side(|link| link.1));
            assert!(near.is_disjoint(&far), "{near:?} {far:?}");
            assert_eq!(near.len() + far.len(), usize::from(brokers), "{near:?} {far:?}");
        }
    }
}

#[test]
fn any_other_host_is_another_than_the_one_that_is_cut_off() {
    for pick in 0..3 {
        let cut = format!(
            "[[schedule]]\nat = \"1s\"\nkind = \"partition\"\nfrom = \"any\"\nto = \"any\"\npick = {pick}\n"
        );
        let (done, faults) = done(&cut, obedient());
        assert_eq!((done.len(), faults.struck), (2, 1), "{done:?}");
    }
}
