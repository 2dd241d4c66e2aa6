//! This broker beside Apache Kafka: the same librdkafka client, one partition, 1,000-byte records,
//! acks=1, both brokers in turn in one run, medians and their ratio; the first writes to many new
//! partitions; members of groups and their commits; transactions.
//!
//! `cargo bench --bench peers` fetches Kafka by Maven into `target/peers` and says so when it can't;
//! then this broker is measured alone. `cargo bench --bench peers -- records`, `-- groups` and
//! `-- transactions` measure one part. `PEERS_ROUNDS`, `PEERS_RECORDS`, `PEERS_PARTITIONS`,
//! `PEERS_MEMBERS`, `PEERS_SECONDS` and `PEERS_RATE` change the size.
#![allow(
    clippy::disallowed_methods,
    reason = "tests and benchmarks look at the real world from outside"
)]

mod broker;
mod client;
mod groups;
mod transactions;

use broker::{Peer, Running};

/// One round's figures of one broker.
#[derive(Clone, Copy, Default)]
struct Figures {
    ready_ms: f64,
    idle_mib: f64,
    produce: f64,
    consume: f64,
    loaded_mib: f64,
    first_writes_s: f64,
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn measure(peer: &Peer, records: u64, partitions: u64) -> Figures {
    let running = Running::start(peer);
    let idle_mib = running.resident_mib();
    let bootstrap = running.bootstrap();
    client::create_topic(&bootstrap, "peers", 1);
    // A first, small load opens connections and warms a JIT compiler, where there is one.
    client::produce(&bootstrap, "peers", records / 10);
    let produce = client::produce(&bootstrap, "peers", records);
    let consume = client::consume(&bootstrap, "peers", records + records / 10);
    let loaded_mib = running.resident_mib();
    let first_writes_s = client::first_writes(&bootstrap, "first-writes", partitions);
    Figures { ready_ms: running.ready_ms, idle_mib, produce, consume, loaded_mib, first_writes_s }
}

fn median<F>(rounds: &[F], pick: impl Fn(&F) -> f64) -> f64 {
    let mut values: Vec<f64> = rounds.iter().map(pick).collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() {
    // `cargo test --benches` asks whether this runs; only `cargo bench` is meant.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let part = |name: &str| {
        let mut named = std::env::args().skip(1).filter(|argument| !argument.starts_with('-'));
        let all = named.next().is_none();
        all || std::env::args().any(|argument| argument == name)
    };
    let rounds = number("PEERS_ROUNDS", 3);
    let mut peers = vec![Peer::ours()];
    match Peer::kafka() {
        Ok(kafka) => peers.push(kafka),
        Err(reason) => println!("Apache Kafka is left out: {reason}"),
    }
    if part("records") {
        compare_records(&peers, rounds);
    }
    if part("groups") {
        compare_groups(&peers, rounds);
    }
    if part("transactions") {
        compare_transactions(&peers, rounds);
    }
}

fn compare_records(peers: &[Peer], rounds: u64) {
    let records = number("PEERS_RECORDS", 1_000_000);
    let partitions = number("PEERS_PARTITIONS", 2_000);
    let mut all = vec![Vec::new(); peers.len()];
    for round in 1..=rounds {
        for (peer, figures) in peers.iter().zip(&mut all) {
            let measured = measure(peer, records, partitions);
            println!(
                "round {round}, {:12} ready {:6.0} ms, idle {:6.1} MiB, produce {:7.1} MB/s, \
                 consume {:7.1} MB/s, loaded {:6.1} MiB, first writes {:6.2} s",
                peer.name,
                measured.ready_ms,
                measured.idle_mib,
                measured.produce,
                measured.consume,
                measured.loaded_mib,
                measured.first_writes_s
            );
            figures.push(measured);
        }
    }
    println!("\n{partitions} new partitions take their first writes");
    println!("\nmedians of {rounds} rounds, {records} records of 1,000 bytes");
    let rows: [Row<Figures>; 6] = [
        ("start to ready, ms", |f| f.ready_ms),
        ("resident when idle, MiB", |f| f.idle_mib),
        ("produce, MB/s", |f| f.produce),
        ("consume, MB/s", |f| f.consume),
        ("resident after the load, MiB", |f| f.loaded_mib),
        ("first writes to partitions, s", |f| f.first_writes_s),
    ];
    print_table(peers, &all, &rows);
}

fn compare_groups(peers: &[Peer], rounds: u64) {
    let size = groups::Size {
        members: number("PEERS_MEMBERS", 1000) as usize,
        seconds: number("PEERS_SECONDS", 20),
        rate: number("PEERS_RATE", 5000),
    };
    let mut all = vec![Vec::new(); peers.len()];
    for round in 1..=rounds {
        for (peer, figures) in peers.iter().zip(&mut all) {
            let measured = groups::measure(&Running::start(peer), &size);
            println!(
                "round {round}, {:12} {:9.0} commits/s, p99 {:6.2} ms at {} commits/s, {:5.2} % of \
                 a core for {} classic members, {:5.2} % for as many of the consumer protocol",
                peer.name,
                measured.commits,
                measured.p99_ms,
                size.rate,
                measured.classic,
                size.members,
                measured.modern
            );
            figures.push(measured);
        }
    }
    println!("\nmedians of {rounds} rounds");
    let rows: [Row<groups::Figures>; 4] = [
        ("commits per second", |f| f.commits),
        ("commit p99 at a fixed rate, ms", |f| f.p99_ms),
        ("classic members, % of a core", |f| f.classic),
        ("consumer members, % of a core", |f| f.modern),
    ];
    print_table(peers, &all, &rows);
}

fn compare_transactions(peers: &[Peer], rounds: u64) {
    let seconds = number("PEERS_SECONDS", 20);
    let mut all = vec![Vec::new(); peers.len()];
    for round in 1..=rounds {
        for (peer, figures) in peers.iter().zip(&mut all) {
            let measured = transactions::measure(&Running::start(peer), seconds);
            println!(
                "round {round}, {:12} {:6.1} transactions/s, commit p50 {:6.2} ms, p99 {:6.2} ms",
                peer.name, measured.rate, measured.commit_p50_ms, measured.commit_p99_ms
            );
            figures.push(measured);
        }
    }
    println!("\nmedians of {rounds} rounds, {seconds} s each, 100 records per transaction");
    let rows: [Row<transactions::Figures>; 3] = [
        ("transactions per second", |f| f.rate),
        ("commit p50, ms", |f| f.commit_p50_ms),
        ("commit p99, ms", |f| f.commit_p99_ms),
    ];
    print_table(peers, &all, &rows);
}

/// A figure and its name.
type Row<F> = (&'static str, fn(&F) -> f64);

fn print_table<F>(peers: &[Peer], all: &[Vec<F>], rows: &[Row<F>]) {
    for (name, pick) in rows {
        let values: Vec<f64> = all.iter().map(|figures| median(figures, pick)).collect();
        let shown: Vec<String> =
            peers.iter().zip(&values).map(|(p, v)| format!("{} {v:.1}", p.name)).collect();
        let ratio = match values[..] {
            [ours, theirs] => format!("ratio {:.3}", ours / theirs),
            _ => String::new(),
        };
        println!("{name:30} {:40} {ratio}", shown.join(", "));
    }
}
