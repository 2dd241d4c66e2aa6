//! How long a fetch waits, and how many whole batches it brings.

use std::time::{Duration, Instant};

use brokerquake::base::Timestamp;
use brokerquake::base::config::Compression;
use brokerquake::wire::batch::{self, BatchBuilder};
use brokerquake::wire::messages::FetchRequest;
use brokerquake::wire::messages::fetch_request::{FetchPartition, FetchTopic};
use brokerquake::wire::messages::fetch_response::PartitionData;

use super::ask::{Node, error, message};
use super::batches::now;

const WAIT: Duration = Duration::from_millis(1200);

/// Batches of one record, 20,073 bytes each.
fn large() -> Vec<u8> {
    let time = Timestamp(now().0);
    let mut builder = BatchBuilder::new(Compression::None, time);
    builder.append(time, None, Some(&[7; 20_000]), &[]);
    builder.finish_plain().to_vec()
}

struct Fetch<'a> {
    topic: &'a str,
    /// Number, offset, most bytes.
    partitions: &'a [(i32, i64, i32)],
    min: i32,
    max: i32,
    session: (i32, i32),
}

impl Node {
    /// Whole batches of each partition in the answer, whether it waited, and the session.
    fn fetch(&mut self, fetch: &Fetch<'_>) -> (String, i32) {
        let partition = |(index, offset, most): &(i32, i64, i32)| {
            message!(FetchPartition {
                partition: *index,
                current_leader_epoch: -1,
                fetch_offset: *offset,
                last_fetched_epoch: -1,
                log_start_offset: -1,
                partition_max_bytes: *most,
            })
        };
        let partitions: Vec<_> = fetch.partitions.iter().map(partition).collect();
        let topic = message!(FetchTopic { topic: fetch.topic.into(), partitions: partitions });
        let request = message!(FetchRequest {
            replica_id: -1,
            max_wait_ms: WAIT.as_millis() as i32,
            min_bytes: fetch.min,
            max_bytes: fetch.max,
            session_id: fetch.session.0,
            session_epoch: fetch.session.1,
            topics: if fetch.partitions.is_empty() { Vec::new() } else { vec![topic] },
        });
        let start = Instant::now();
        let answer = self.ask(12, &request);
        let waited = if start.elapsed() < WAIT * 2 / 3 { "at once" } else { "after max_wait" };
        let batches = |data: &PartitionData| {
            let records = data.records.clone().unwrap_or_default();
            let whole = batch::batches(&records).filter(Result::is_ok).count();
            format!("{}:{whole}", data.partition_index)
        };
        let answers = answer.responses.iter().flat_map(|topic| &topic.partitions);
        let mut batches: Vec<_> = answers.map(batches).collect();
        batches.sort();
        let failed = if answer.error_code == 0 { String::new() } else { error(answer.error_code) };
        (format!("{failed}[{}] {waited}", batches.join(" ")), answer.session_id)
    }

    fn note_fetch(&mut self, what: &str, fetch: &Fetch<'_>) {
        let (answer, _) = self.fetch(fetch);
        self.note(format_args!("fetch: {what}"), answer);
    }
}

pub fn ask(node: &mut Node) {
    node.create("fetches", 3, &[]);
    for _ in 0..10 {
        assert_eq!(node.produce_to("fetches", 0, large()).error_code, 0);
    }
    assert_eq!(node.produce_to("fetches", 1, large()).error_code, 0);
    let mib = 1 << 20;
    let of =
        |partitions, min, max| Fetch { topic: "fetches", partitions, min, max, session: (0, -1) };
    for (what, fetch) in [
        ("min 48000, max 50000", of(&[(0, 0, mib)], 48_000, 50_000)),
        ("min 100000, max 50000", of(&[(0, 0, mib)], 100_000, 50_000)),
        ("min 48000, partition's max 50000", of(&[(0, 0, 50_000)], 48_000, mib)),
        ("min 60000, partition's max 50000", of(&[(0, 0, 50_000)], 60_000, mib)),
        ("min 30000, partition's max 1000", of(&[(0, 0, 1000)], 30_000, mib)),
        ("min 20000, partition's max 1000", of(&[(0, 0, 1000)], 20_000, mib)),
        ("min 60000, last two batches", of(&[(0, 8, mib)], 60_000, mib)),
        ("min 40000, last two batches", of(&[(0, 8, mib)], 40_000, mib)),
        ("min 40000 of two partitions", of(&[(1, 0, mib), (0, 9, mib)], 40_000, mib)),
        ("min 41000 of two partitions", of(&[(1, 0, mib), (0, 9, mib)], 41_000, mib)),
        (
            "min 60000, two partitions' max 50000 each",
            of(&[(0, 0, 50_000), (1, 0, 50_000)], 60_000, mib),
        ),
        (
            "min 70500, two partitions' max 50000 each",
            of(&[(0, 0, 50_000), (1, 0, 50_000)], 70_500, mib),
        ),
        ("min 1, nothing there", of(&[(2, 0, mib)], 1, mib)),
        ("min 0, nothing there", of(&[(2, 0, mib)], 0, mib)),
        ("min -1, nothing there", of(&[(2, 0, mib)], -1, mib)),
        ("min 1, max 0, nothing there", of(&[(2, 0, mib)], 1, 0)),
        ("min 1, max 0", of(&[(0, 0, mib)], 1, 0)),
        ("no partitions", of(&[], 1, mib)),
    ] {
        node.note_fetch(what, &fetch);
    }
    older_segment(node);
    session(node);
}

/// What is in an older segment never grows.
fn older_segment(node: &mut Node) {
    node.create("fetches-rolled", 1, &[("segment.bytes", "1048576")]);
    for _ in 0..60 {
        assert_eq!(node.produce("fetches-rolled", large()).error_code, 0);
    }
    for (offset, name) in [(0, "an older segment"), (58, "the active segment")] {
        let fetch = Fetch {
            topic: "fetches-rolled",
            partitions: &[(0, offset, 100 << 20)],
            min: 40 << 20,
            max: 50 << 20,
            session: (0, -1),
        };
        node.note_fetch(&format!("min 40 MiB, from {name}"), &fetch);
    }
}

/// Partitions that an incremental request does not name have records all the same.
fn session(node: &mut Node) {
    let topic = "fetches";
    let partitions = &[(0, 9, 1000), (1, 0, 1000)];
    let first = Fetch { topic, partitions, min: 1, max: 1 << 20, session: (0, 0) };
    let (answer, id) = node.fetch(&first);
    node.note("session: two partitions with larger batches than their max", answer);
    let mut epoch = 0;
    let mut next = |what: &str, partitions: &[(i32, i64, i32)], min| {
        epoch += 1;
        let fetch = Fetch { topic, partitions, min, max: 1 << 20, session: (id, epoch) };
        node.note_fetch(what, &fetch);
    };
    next("in a session, the other partition", &[(0, 10, 1000)], 1);
    next("in a session, again, none is named", &[], 20_000);
    next("in a session, again, more than there is", &[], 30_000);
    next("in a session, both read to the end", &[(1, 1, 1000)], 1);
}
