//! The cost of simulated clusters: CPU time per run and per partition, and resident memory.
//!
//! `cargo bench --bench scale` measures everything; `cargo bench --bench scale -- kills 100 1000`
//! only the kills scenario and topics of 100 and of 1,000 partitions. The figures to reach:
//!
//! - `kills` (`scenarios/faults/acks-all-kills.toml`: 60 simulated seconds, 3 brokers, 500 records a
//!   second, checkers on): 0.9 s of CPU time at most, 0.45 s as the aim, below 64 MiB resident.
//! - 30 simulated seconds with 3 brokers, one kill and 400 records a second in all: 1,000 partitions
//!   within 15 s, at most 1.5 times as much per partition as with 100.
//! - `classic` and `consumer`: 1,000 members of one group, in either protocol, on a topic of 1,000
//!   partitions. All have joined within 30 simulated seconds, and a run takes 60 s of wall time at most.
//! - `transactions`: 1,000 transactions per simulated second of 10,000 transactional ids, at no less than
//!   real time on one core: 30 simulated seconds in 30 s of CPU time.
//!
//! Each run is a process of its own, with one thread that never sleeps: its CPU time is the time
//! that a run takes on an idle core, and its peak resident size is the cluster's.
#![allow(
    clippy::disallowed_methods,
    reason = "tests and benchmarks look at the real world from outside"
)]

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::time::Instant;

use brokerquake::run::{self, EngineKind, Observers};
use brokerquake::scenario::Scenario;

/// As in the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Runs of the kills scenario, with different seeds.
const SEEDS: u64 = 5;
/// Partitions of the topic.
const SIZES: [u32; 4] = [10, 100, 300, 1000];
/// Members of the large group, and of each of its loads.
const MEMBERS: usize = 1000;
const LOAD: usize = 100;
/// Asks this program to be the process of one run.
const CHILD: &str = "BROKERQUAKE_SCALE_RUN";

/// The protocols of the large group.
const PROTOCOLS: [&str; 2] = ["classic", "consumer"];

/// Transactional ids, their producers in one load, and the transactions per simulated second.
const IDS: [u32; 2] = [1_000, 10_000];
const PRODUCERS: u32 = 100;
const TRANSACTIONS: u32 = 1_000;

const KILLS: &str = "scenarios/faults/acks-all-kills.toml";

fn topic_of(partitions: u32) -> String {
    format!(
        "name = \"scale-{partitions}\"\nduration = \"30s\"\n\
        [cluster]\nbrokers = 3\ncontrollers = 1\n\
        broker.heartbeat.interval.ms = 500\nbroker.session.timeout.ms = 3000\n\
        replica.lag.time.max.ms = 4000\n\
        [topic]\npartitions = {partitions}\nreplication.factor = 3\nmin.insync.replicas = 2\n\
        [[load]]\nkind = \"producer\"\nclients = 4\nrate = \"400/s\"\nrecord.size = \"100..1000\"\n\
        acks = \"all\"\nenable.idempotence = true\n\
        request.timeout.ms = 4000\ndelivery.timeout.ms = 15000\n\
        [[load]]\nkind = \"consumer\"\nclients = 2\n\
        [[fault]]\nkind = \"kill\"\ntarget = \"any\"\nat = \"10s\"\ndown = \"3s\"\n\
        [expect]\nholds = [\"*\"]\n"
    )
}

/// A group of `MEMBERS` members, in one of the protocols, on as many partitions.
fn group_of(protocol: &str) -> String {
    let load = format!(
        "[[load]]\nkind = \"group\"\nclients = {LOAD}\ncommit = \"after\"\ngroup.id = \"shop\"\n\
        group.protocol = \"{protocol}\"\n"
    );
    let loads = load.repeat(MEMBERS / LOAD);
    format!(
        "name = \"{protocol}\"\nduration = \"30s\"\n[cluster]\nbrokers = 3\ncontrollers = 1\n\
        [topic]\npartitions = {MEMBERS}\nreplication.factor = 3\nmin.insync.replicas = 2\n\
        [[load]]\nkind = \"producer\"\nrate = \"500/s\"\nacks = \"all\"\n{loads}\
        [expect]\nholds = [\"*\"]\n"
    )
}

/// Transactional producers, each with an id of its own, that make `TRANSACTIONS` a second in all.
fn transactions_of(ids: u32) -> String {
    let pause = f64::from(ids) / f64::from(TRANSACTIONS);
    let (low, high) = ((pause * 900.0) as u32, (pause * 1100.0) as u32);
    let load = |number: u32| {
        format!(
            "[[load]]\nkind = \"transactional\"\nclients = {PRODUCERS}\nthink = \"{low}ms..{high}ms\"\n\
            transaction.records = \"1..10\"\ntransaction.partitions = \"1..3\"\naborts = 5\n\
            transactional.id = \"load-{number}\"\n"
        )
    };
    let loads: String = (0..ids / PRODUCERS).map(load).collect();
    format!(
        "name = \"transactions\"\nduration = \"30s\"\n[cluster]\nbrokers = 3\ncontrollers = 1\n\
        [topic]\npartitions = 50\nreplication.factor = 3\nmin.insync.replicas = 2\n\
        {loads}[expect]\nholds = [\"*\"]\n"
    )
}

/// The transactional ids of a run, if it is one of transactions.
fn ids_of(what: &str) -> Option<u32> {
    what.strip_prefix("transactions-")?.parse().ok()
}

/// When each member last took a share over, in simulated seconds after the first of them began to
/// join: the time at which the group was stable.
fn stable_after(history: &str) -> (f64, usize) {
    let (mut began, mut joined) = (None, BTreeMap::new());
    for line in history.lines() {
        let event: serde_json::Value =
            serde_json::from_str(line).expect("a history has JSON lines");
        let at = event["at"].as_u64().unwrap_or(0) as f64 / 1e9;
        match event["event"].as_str() {
            Some("subscribed") => began = began.or(Some(at)),
            Some("joined") => drop(joined.insert(event["consumer"].as_u64(), at)),
            _ => {}
        }
    }
    let last = joined.values().copied().fold(0.0, f64::max);
    (last - began.unwrap_or(0.0), joined.len())
}

/// What one run cost.
#[derive(Clone, Copy)]
struct Cost {
    cpu_s: f64,
    resident_mib: f64,
    records: u64,
}

/// One run in this process: prints its cost for the parent to read.
fn child(task: &str) {
    let (what, seed) = task.split_once(' ').expect("what and seed");
    let (file, text) = match what.parse() {
        Ok(partitions) => (what.to_owned(), topic_of(partitions)),
        Err(_) if ids_of(what).is_some() => {
            (what.to_owned(), transactions_of(ids_of(what).unwrap_or(1)))
        }
        Err(_) if PROTOCOLS.contains(&what) => (what.to_owned(), group_of(what)),
        Err(_) => (what.to_owned(), std::fs::read_to_string(what).expect("the scenario exists")),
    };
    let scenario = Scenario::parse(&file, &text).expect("the scenario is valid");
    let (mut history, began) = (Vec::new(), Instant::now());
    let is_group = PROTOCOLS.contains(&what);
    let observers = Observers { history: is_group.then_some(&mut history), ..Observers::default() };
    let seed_number = seed.parse().expect("a seed");
    let outcome = run::watched(&scenario, seed_number, EngineKind::Leap, observers);
    assert!(outcome.broken.is_empty(), "{file} with seed {seed} broke: {:?}", outcome.broken);
    let cpu = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    if is_group {
        let (stable, members) = stable_after(&String::from_utf8_lossy(&history));
        eprintln!(
            "{what}: {members} members were stable after {stable:.1} simulated seconds; the run took \
            {:.0} s",
            began.elapsed().as_secs_f64()
        );
    }
    if ids_of(what).is_some() {
        eprintln!("{what}: {}", outcome.counts.transactions);
    }
    println!(
        "{} {} {}",
        cpu.tv_sec as f64 + cpu.tv_nsec as f64 / 1e9,
        peak_resident_kib(),
        outcome.counts.acked
    );
}

/// The largest resident size that this process had.
fn peak_resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("VmHWM");
    line.trim().trim_end_matches(" kB").parse().expect("a number of KiB")
}

fn measure(what: &str, seed: u64) -> Cost {
    let program = std::env::current_exe().expect("this program");
    let output = Command::new(program)
        .env(CHILD, format!("{what} {seed}"))
        .stderr(Stdio::inherit())
        .output()
        .expect("this program starts again");
    let text = String::from_utf8_lossy(&output.stdout);
    let numbers: Vec<f64> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let [cpu_s, resident_kib, records] = numbers[..] else {
        panic!("{what} with seed {seed}: {text}");
    };
    Cost { cpu_s, resident_mib: resident_kib / 1024.0, records: records as u64 }
}

fn main() {
    if let Ok(task) = std::env::var(CHILD) {
        return child(&task);
    }
    let chosen: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let wanted = |name: &str| chosen.is_empty() || chosen.iter().any(|word| word == name);
    if wanted("kills") {
        let costs: Vec<Cost> = (0..SEEDS).map(|seed| measure(KILLS, seed)).collect();
        let runs = costs.len() as f64;
        let cpu_s = costs.iter().map(|cost| cost.cpu_s).sum::<f64>() / runs;
        let records = costs.iter().map(|cost| cost.records).sum::<u64>() as f64 / runs;
        let resident = costs.iter().map(|cost| cost.resident_mib).fold(0.0, f64::max);
        println!(
            "kills: {cpu_s:.2} s of CPU time per run (mean of {runs} seeds), {:.1} µs per record, \
            {resident:.0} MiB resident at most",
            cpu_s / records * 1e6
        );
    }
    for protocol in PROTOCOLS.into_iter().filter(|protocol| wanted(protocol)) {
        let cost = measure(protocol, 0);
        println!(
            "{protocol} group of {MEMBERS}: {:.1} s of CPU time, {:.0} MiB resident",
            cost.cpu_s, cost.resident_mib
        );
    }
    if wanted("transactions") {
        for ids in IDS {
            let cost = measure(&format!("transactions-{ids}"), 0);
            println!(
                "{TRANSACTIONS} transactions a second of {ids} ids for 30 simulated seconds: {:.1} s of CPU \
                time, {:.0} MiB resident",
                cost.cpu_s, cost.resident_mib
            );
        }
    }
    let mut hundred = None;
    for partitions in SIZES.into_iter().filter(|size| wanted(&size.to_string())) {
        let cost = measure(&partitions.to_string(), 0);
        let each = cost.cpu_s / f64::from(partitions);
        let ratio = hundred.map_or(String::new(), |hundred: f64| {
            format!(", {:.2} times that of 100 partitions", each / hundred)
        });
        println!(
            "{partitions:4} partitions: {:.2} s of CPU time, {:.1} ms per partition{ratio}, \
            {:.0} MiB resident",
            cost.cpu_s,
            each * 1e3,
            cost.resident_mib
        );
        if partitions == 100 {
            hundred = Some(each);
        }
    }
}
