//! ListOffsets and OffsetForLeaderEpoch on logs whose start has moved.

use brokerquake::base::config::Compression;
use brokerquake::wire::messages::delete_records_request::{
    DeleteRecordsPartition, DeleteRecordsTopic,
};
use brokerquake::wire::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use brokerquake::wire::messages::offset_for_leader_epoch_request::{
    OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use brokerquake::wire::messages::{
    DeleteRecordsRequest, ListOffsetsRequest, OffsetForLeaderEpochRequest,
};

use super::ask::{Node, error, message};
use super::batches::batch;

impl Node {
    fn delete(&mut self, topic: &str, below: i64) -> (String, i64) {
        let partition = message!(DeleteRecordsPartition { partition_index: 0, offset: below });
        let topic =
            message!(DeleteRecordsTopic { name: topic.into(), partitions: vec![partition] });
        let request = message!(DeleteRecordsRequest { topics: vec![topic], timeout_ms: 10_000 });
        let answer = self.ask(2, &request).topics.remove(0).partitions.remove(0);
        (error(answer.error_code), answer.low_watermark)
    }

    fn epoch_end(&mut self, topic: &str, current: i32, epoch: i32) -> (String, i32, i64) {
        let asked = message!(OffsetForLeaderPartition {
            partition: 0,
            current_leader_epoch: current,
            leader_epoch: epoch,
        });
        let asked = message!(OffsetForLeaderTopic { topic: topic.into(), partitions: vec![asked] });
        let request = message!(OffsetForLeaderEpochRequest { replica_id: -1, topics: vec![asked] });
        let answer = self.ask(4, &request).topics.remove(0).partitions.remove(0);
        (error(answer.error_code), answer.leader_epoch, answer.end_offset)
    }
}

/// Topic, batches by their records' times, and the offset below which records are deleted.
const LOGS: &[(&str, &[&[i64]], i64)] = &[
    ("late-first", &[&[9], &[1]], 1),
    ("late-first-one-batch", &[&[9, 1]], 1),
    ("late-middle", &[&[2], &[9, 3], &[5]], 2),
    ("late-last", &[&[1], &[2], &[9]], 2),
    ("equal-times", &[&[4], &[4], &[4]], 1),
    ("all-deleted", &[&[9], &[1]], 2),
    ("none-deleted", &[&[9], &[1]], 0),
    ("no-times", &[&[-1], &[-1]], 1),
    ("empty", &[], 0),
];

pub fn ask(node: &mut Node) {
    for (log, batches, deleted) in LOGS {
        for codec in [Compression::None, Compression::Lz4] {
            let topic = format!("lookups-{log}-{codec}");
            node.create(&topic, 1, &[("retention.ms", "-1")]);
            for times in *batches {
                let answer = node.produce(&topic, batch(codec, times));
                assert_eq!(answer.error_code, 0, "{topic}");
            }
            let answer = node.delete(&topic, *deleted);
            node.note(
                format_args!("lookup: delete below {deleted} of {topic}"),
                format!("{answer:?}"),
            );
            for (what, time) in [
                ("latest", -1),
                ("earliest", -2),
                ("max timestamp", -3),
                ("earliest local", -4),
                ("latest tiered", -5),
                ("earliest pending", -6),
                ("special -7", -7),
                ("time 0", 0),
                ("time 2", 2),
                ("time 5", 5),
                ("time 9", 9),
                ("time 10", 10),
            ] {
                let answer = node.list(&topic, 0, time);
                node.note(format_args!("lookup: {what} of {topic}"), format!("{answer:?}"));
            }
            for (current, epoch) in [(-1, -1), (-1, 0), (-1, 1), (0, 0), (5, 0), (-1, -2)] {
                let answer = node.epoch_end(&topic, current, epoch);
                let what = format!("lookup: end of epoch {epoch}, current {current}, of {topic}");
                node.note(what, format!("{answer:?}"));
            }
        }
    }
    let asked = message!(ListOffsetsPartition { current_leader_epoch: -1, timestamp: -1 });
    let asked = vec![asked.clone(), asked];
    let topic = "lookups-empty-none".into();
    let asked = message!(ListOffsetsTopic { name: topic, partitions: asked });
    let request = message!(ListOffsetsRequest { replica_id: -1, topics: vec![asked] });
    let answer = node.ask(10, &request).topics.remove(0).partitions;
    let answer: Vec<_> = answer.iter().map(|answer| error(answer.error_code)).collect();
    node.note("lookup: a partition twice", format!("{answer:?}"));
    for (below, what) in [(-1, "all"), (-2, "-2"), (7, "7")] {
        let answer = node.delete("lookups-none-deleted-none", below);
        node.note(
            format_args!("lookup: delete below {what} of two records"),
            format!("{answer:?}"),
        );
    }
}
