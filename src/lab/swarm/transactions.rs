//! Draws transactions: clients that write in them, groups that transform in them, readers of committed
//! records, and what the coordinators need for them.

use super::topic::{INVOICES, Topic};
use super::{members, users};
use crate::base::{Seed, Stream};
use crate::scenario::Draws;

/// The group that transforms.
const GROUP: &str = "billing";

/// Keys of nodes that coordinate transactions.
pub(super) fn node_keys(seed: Seed, brokers: u64) -> String {
    if users::of(seed).is_none() {
        return String::new();
    }
    let mut draws = Draws::of(seed, Stream::numbered("swarm transactions", 1));
    let copies = brokers.min(3);
    let mut text = format!(
        "transaction.state.log.num.partitions = {}\n\
         transaction.state.log.replication.factor = {copies}\n\
         transaction.state.log.min.isr = {}\n",
        draws.weighted(&[(25, 1), (60, 4), (15, 50)]),
        draws.weighted(&[(20, 1), (80, 2)]).min(copies),
    );
    match draws.weighted(&[(55, 2), (30, 1), (15, 0)]) {
        // That of a new cluster.
        2 => {}
        level => text.push_str(&format!("transaction.version = {level}\n")),
    }
    // Otherwise few schedules with a power loss promise that decisions are kept.
    if draws.chance(60) {
        text.push_str("log.flush.before.ack = true\n");
    }
    text
}

/// The loads of all transactions, and readers of what they commit.
pub(super) fn loads(seed: Seed, topics: &[Topic]) -> String {
    let Some(users) = users::of(seed) else { return String::new() };
    let mut draws = Draws::of(seed, Stream::numbered("swarm transactions", 2));
    let key = |topic: &str| match topics {
        [_] => String::new(),
        _ => format!("topic = \"{topic}\"\n"),
    };
    let mut text = String::new();
    let written = topics.iter().filter(|topic| topic.name != INVOICES.name);
    let written: Vec<_> = written.map(|topic| topic.name).collect();
    if users.writers {
        let topic = draws.one(&written);
        text.push_str(&writers(&key(topic), &mut draws));
        text.push_str(&reader(&key(topic), &mut draws));
    }
    if users.transformers {
        // The first is written in transactions most often, too.
        text.push_str(&transformers(&key(written[0]), &mut draws));
        text.push_str(&reader(&key(INVOICES.name), &mut draws));
    }
    text
}

/// Clients that write in transactions; some of them share their transactional ids.
fn writers(topic: &str, draws: &mut Draws) -> String {
    let (clients, shared) = (draws.number(1, 4), draws.chance(25));
    let (records, partitions) = (draws.weighted(&[(70, 10), (30, 80)]), draws.number(1, 4));
    let (low, think) = (draws.number(16, 600), draws.weighted(&[(30, 0), (70, 150)]));
    let mut text = format!(
        "[[load]]\nkind = \"transactional\"\n{topic}clients = {}\n\
         transaction.records = \"1..{records}\"\ntransaction.partitions = \"1..{partitions}\"\n\
         record.size = \"{low}..{}\"\nthink = \"{think}ms..{}ms\"\n{}",
        if shared { clients.max(2) } else { clients },
        low + draws.number(0, 600),
        think + draws.number(0, 150),
        endings(draws, 50, 1500),
    );
    if shared {
        text.push_str("ids = 1\nrestart = \"500ms..3s\"\n");
    }
    text + "transactional.id = \"till\"\n" + &producer(draws)
}

/// How transactions end, and whether they stay open for a while.
fn endings(draws: &mut Draws, most_aborts: u64, longest_hold: u64) -> String {
    let (aborts, longest) = (draws.number(5, most_aborts), draws.number(50, longest_hold));
    let mut text = String::new();
    if draws.chance(60) {
        text.push_str(&format!("aborts = {aborts}\n"));
    }
    if draws.chance(35) {
        text.push_str(&format!("hold = \"0ms..{longest}ms\"\n"));
    }
    text
}

/// Settings of a transactional producer. With the shortest timeouts, coordinators abort what is open.
fn producer(draws: &mut Draws) -> String {
    format!(
        "transaction.timeout.ms = {}\nmax.block.ms = {}\nrequest.timeout.ms = {}\n\
         delivery.timeout.ms = {}\nlinger.ms = {}\nbatch.size = {}\n\
         max.in.flight.requests.per.connection = {}\n",
        draws.weighted(&[(30, 1500), (40, 4000), (30, 12_000)]),
        draws.number(3000, 9000),
        draws.number(1000, 4000),
        draws.number(6000, 15_000),
        draws.number(0, 20),
        draws.number(1024, 16_384),
        draws.number(1, 5),
    )
}

/// Members that transform `orders`. One alone keeps pace with what all producers send, and catches up
/// with what they sent while it was down.
fn transformers(topic: &str, draws: &mut Draws) -> String {
    let sees_all = draws.chance(15);
    let isolation = if sees_all { "isolation.level = \"read_uncommitted\"\n" } else { "" };
    format!(
        "[[load]]\nkind = \"transform\"\n{topic}clients = {}\noutput = \"{}\"\n{}{isolation}\
         group.id = \"{GROUP}\"\n{}max.poll.records = {}\nmax.poll.interval.ms = {}\n{}",
        draws.number(1, 3),
        INVOICES.name,
        endings(draws, 30, 300),
        members::protocol(draws),
        draws.number(50, 200),
        draws.number(4000, 12_000),
        producer(draws),
    )
}

/// Consumers that get only records of committed transactions.
fn reader(topic: &str, draws: &mut Draws) -> String {
    format!(
        "[[load]]\nkind = \"consumer\"\n{topic}clients = {}\nisolation.level = \"read_committed\"\n\
         fetch.max.wait.ms = {}\nmax.poll.records = {}\n",
        draws.number(1, 2),
        draws.number(50, 500),
        draws.number(10, 500),
    )
}
