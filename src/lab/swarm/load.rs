//! Draws the loads: producers and consumers of each topic, and sometimes clients that look up
//! offsets, seek, or send what must be refused.

use super::topic::{INVOICES, Topic};
use crate::base::{Seed, Stream};
use crate::scenario::Draws;

/// All loads of all topics.
pub(super) fn loads(seed: Seed, topics: &[Topic]) -> String {
    let of = |topic: &Topic| {
        let key = format!("topic = \"{}\"\n", topic.name);
        let key = if topics.len() > 1 { key.as_str() } else { "" };
        load(seed, topic.loads, key) + &others(seed, topic.loads, key)
    };
    // Only a group writes what it makes, and its readers are drawn with it.
    topics.iter().filter(|topic| topic.name != INVOICES.name).map(of).collect()
}

/// Producers, usually all alike, and consumers of one topic.
fn load(seed: Seed, stream: &'static str, topic: &str) -> String {
    let mut draws = Draws::of(seed, Stream::named(stream));
    let mut text = String::new();
    let wanted: &[&str] =
        draws.weighted(&[(66, &["all"][..]), (20, &["1"]), (5, &["0"]), (9, &["all", "1"])]);
    for acks in wanted {
        let idempotent = *acks == "all" && draws.chance(80);
        let low = draws.number(8, 800);
        text.push_str(&format!(
            "[[load]]\nkind = \"producer\"\n{topic}clients = {}\nrate = \"{}/s\"\n\
             record.size = \"{low}..{}\"\nacks = \"{acks}\"\nenable.idempotence = {idempotent}\n\
             linger.ms = {}\nbatch.size = {}\nmax.in.flight.requests.per.connection = {}\n\
             compression.type = \"{}\"\nrequest.timeout.ms = {}\ndelivery.timeout.ms = {}\n",
            draws.number(1, 3),
            draws.number(30, 200) / wanted.len() as u64,
            low + draws.number(0, 800),
            draws.number(0, 20),
            draws.number(1024, 16_384),
            draws.number(1, 5),
            draws.weighted(&[
                (60, "none"),
                (10, "gzip"),
                (10, "snappy"),
                (10, "lz4"),
                (10, "zstd")
            ]),
            draws.number(1000, 4000),
            draws.number(6000, 15_000),
        ));
    }
    text.push_str(&format!(
        "[[load]]\nkind = \"consumer\"\n{topic}clients = {}\nfetch.min.bytes = {}\n\
         fetch.max.wait.ms = {}\nmax.poll.records = {}\n",
        draws.number(1, 2),
        draws.weighted(&[(70, 1), (30, 5000)]),
        draws.number(50, 500),
        draws.number(10, 500),
    ));
    text
}

/// Clients that few scenarios have.
fn others(seed: Seed, stream: &'static str, topic: &str) -> String {
    let mut draws = Draws::of(seed, Stream::numbered(stream, 1));
    let mut text = String::new();
    for (chance, kind, (low, high)) in
        [(20, "lookup", (5, 40)), (20, "seeker", (1, 8)), (15, "misbehaving-producer", (5, 40))]
    {
        let (wanted, rate) = (draws.chance(chance), draws.number(low, high));
        if wanted {
            text.push_str(&format!("[[load]]\nkind = \"{kind}\"\n{topic}rate = \"{rate}/s\"\n"));
        }
    }
    text
}
