//! Topics: more partitions, pages of partitions, offsets by every special timestamp in each version,
//! deleted records; and the cluster.

use brokerquake::base::config::Compression;
use brokerquake::wire::messages::create_partitions_request::{
    CreatePartitionsAssignment, CreatePartitionsTopic,
};
use brokerquake::wire::messages::delete_records_request::{
    DeleteRecordsPartition, DeleteRecordsTopic,
};
use brokerquake::wire::messages::describe_topic_partitions_request::{Cursor, TopicRequest};
use brokerquake::wire::messages::elect_leaders_request::TopicPartitions;
use brokerquake::wire::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use brokerquake::wire::messages::{
    CreatePartitionsRequest, DeleteRecordsRequest, DescribeClusterRequest,
    DescribeTopicPartitionsRequest, ElectLeadersRequest, ListOffsetsRequest, MetadataRequest, Uuid,
};

use super::ask::{Node, message};
use super::batches::{batch, now};
use super::groups::{Known, wait_for};

pub fn ask(node: &mut Node) {
    node.create("topics-a", 3, &[]);
    node.create("topics-b", 2, &[]);
    node.create("topics-grown", 2, &[]);
    let mut known = Known::default();
    known.learn(&format!("{:?}", Uuid::ZERO), "no id");
    for (name, topic) in [("topics-a", "a"), ("topics-b", "b"), ("topics-grown", "grown")] {
        let id = node.topics(&[name]).remove(0).topic_id;
        known.learn(&format!("{id:?}"), &format!("id of {topic}"));
    }
    pages(node, &known);
    partitions(node, &known);
    elections(node, &known);
    cluster(node, &mut known);
    offsets(node, &known);
    deletions(node, &known);
}

fn pages(node: &mut Node, known: &Known) {
    // A node of its own has only these topics.
    let all: &[&str] = &[];
    for (what, topics, limit, cursor) in [
        ("all", all, 2000, None),
        ("all, two at a time", all, 2, None),
        ("all, behind a topic", all, 2000, Some(("topics-a", 3))),
        ("all, behind a topic that is gone", all, 2000, Some(("topics-aa", 1))),
        ("all, behind the last", all, 2000, Some(("z", 0))),
        ("both", &["topics-b", "topics-a"][..], 2000, None),
        ("one at a time", &["topics-a", "topics-b"][..], 1, None),
        ("four at a time", &["topics-a", "topics-b"][..], 4, None),
        ("exactly a topic", &["topics-a", "topics-b"][..], 3, None),
        ("exactly both", &["topics-a", "topics-b"][..], 5, None),
        ("at a partition", &["topics-a", "topics-b"][..], 2000, Some(("topics-a", 2))),
        ("behind all partitions", &["topics-a", "topics-b"][..], 2000, Some(("topics-a", 3))),
        ("behind all partitions, one", &["topics-a", "topics-b"][..], 1, Some(("topics-a", 3))),
        ("from the next topic", &["topics-a", "topics-b"][..], 2000, Some(("topics-b", 0))),
        ("cursor between topics", &["topics-a", "topics-b"][..], 2000, Some(("topics-aa", 1))),
        ("cursor behind all", &["topics-a"][..], 2000, Some(("topics-z", 0))),
        ("cursor at a topic that is not asked", &["topics-b"][..], 2000, Some(("topics-a", 1))),
        ("cursor at an unknown topic", &["topics-none"][..], 2000, Some(("topics-none", 1))),
        ("cursor without a topic", &["topics-a"][..], 2000, Some(("", 0))),
        ("negative cursor", &["topics-a"][..], 2000, Some(("topics-a", -1))),
        ("unknown", &["topics-none"][..], 2000, None),
        ("unknown beside known", &["topics-none", "topics-a"][..], 2000, None),
        ("unknown beside known, one", &["topics-none", "topics-a"][..], 1, None),
        ("unknown behind known, three", &["topics-none", "topics-a"][..], 3, None),
        ("invalid", &["topics a"][..], 2000, None),
        ("no name", &[""][..], 2000, None),
        ("twice", &["topics-b", "topics-b"][..], 2000, None),
        ("no limit", &["topics-b"][..], 0, None),
        ("negative limit", &["topics-b"][..], -1, None),
    ] {
        let topic = |name: &&str| message!(TopicRequest { name: (*name).into() });
        let at = |(topic, partition): (&str, i32)| {
            message!(Cursor { topic_name: topic.into(), partition_index: partition })
        };
        let request = message!(DescribeTopicPartitionsRequest {
            topics: topics.iter().map(topic).collect(),
            response_partition_limit: limit,
            cursor: cursor.map(at),
        });
        known.ask(node, format_args!("pages: {what}"), 0, &request);
    }
}

type Grown<'a> = (&'a str, i32, Option<&'a [&'a [i32]]>);

fn growth(topics: &[Grown<'_>], validate_only: bool) -> CreatePartitionsRequest {
    let topic = |(name, count, assignments): &Grown<'_>| {
        let assignment =
            |ids: &&[i32]| message!(CreatePartitionsAssignment { broker_ids: ids.to_vec() });
        let assignments = assignments.map(|all| all.iter().map(assignment).collect());
        message!(CreatePartitionsTopic {
            name: (*name).into(),
            count: *count,
            assignments: assignments,
        })
    };
    message!(CreatePartitionsRequest {
        topics: topics.iter().map(topic).collect(),
        timeout_ms: 10_000,
        validate_only: validate_only,
    })
}

fn partitions(node: &mut Node, known: &Known) {
    let name = "topics-grown";
    let one: &[&[i32]] = &[&[1]];
    let cases: &[(&str, &[Grown<'_>])] = &[
        ("one more", &[(name, 3, None)]),
        ("two more", &[(name, 4, None)]),
        ("as many", &[(name, 2, None)]),
        ("fewer", &[(name, 1, None)]),
        ("none", &[(name, 0, None)]),
        ("negative", &[(name, -1, None)]),
        ("assigned", &[(name, 3, Some(one))]),
        ("no assignments", &[(name, 3, Some(&[]))]),
        ("too few assignments", &[(name, 4, Some(one))]),
        ("too many assignments", &[(name, 3, Some(&[&[1], &[1]]))]),
        ("assigned, as many", &[(name, 2, Some(&[]))]),
        ("assigned to an unknown broker", &[(name, 3, Some(&[&[7]]))]),
        ("assigned to a negative broker", &[(name, 3, Some(&[&[-1]]))]),
        ("assigned to a broker twice", &[(name, 3, Some(&[&[1, 1]]))]),
        ("assigned to two brokers", &[(name, 3, Some(&[&[1, 7]]))]),
        ("assigned to nobody", &[(name, 3, Some(&[&[]]))]),
        ("unknown topic", &[("topics-none", 3, None)]),
        ("unknown topic, none", &[("topics-none", 0, None)]),
        ("invalid topic", &[("a b", 3, None)]),
        ("no name", &[("", 3, None)]),
        ("no topics", &[]),
        ("a topic twice", &[(name, 3, None), (name, 3, None)]),
        (
            "a topic twice, and another",
            &[(name, 3, None), ("topics-none", 3, None), (name, 4, None)],
        ),
        ("good and bad", &[(name, 3, None), ("topics-none", 3, None)]),
        ("ten thousand more", &[(name, 10_002, None)]),
        ("ten thousand and one more", &[(name, 10_003, None)]),
        ("as many as there are numbers", &[(name, i32::MAX, None)]),
    ];
    for (what, topics) in cases {
        let request = growth(topics, true);
        let Some(mut answer) = node.try_ask(3, &request) else {
            node.note(format_args!("grow: {what}"), "closed");
            continue;
        };
        answer.results.sort_by(|a, b| a.name.cmp(&b.name));
        node.note(format_args!("grow: {what}"), known.show(&answer));
    }
    for (version, count) in [(0, 3), (1, 4), (2, 5), (3, 6)] {
        let request = growth(&[(name, count, None)], false);
        known.ask(node, "grow: indeed", version, &request);
    }
    for _ in 0..200 {
        if node.topics(&[name])[0].partitions.len() == 6 {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let count = node.topics(&[name])[0].partitions.len();
    node.note("grown to", count);
}

/// Topics, with the partitions whose leaders are to be elected; `None`: all.
type Elected<'a> = Option<&'a [(&'a str, &'a [i32])]>;

/// Every partition has its only replica as its leader.
fn elections(node: &mut Node, known: &Known) {
    let cases: &[(&str, Elected<'_>)] = &[
        ("all", None),
        ("none", Some(&[])),
        ("of no partitions", Some(&[("topics-a", &[])])),
        ("led already", Some(&[("topics-a", &[2, 0])])),
        ("twice", Some(&[("topics-a", &[0, 0]), ("topics-a", &[0])])),
        ("unknown topic", Some(&[("topics-none", &[0, 1]), ("topics-a", &[1])])),
        ("unknown partition", Some(&[("topics-a", &[3, -1])])),
        ("invalid topic", Some(&[("a b", &[0])])),
        ("no name", Some(&[("", &[0])])),
    ];
    for (what, topics) in cases {
        for (version, kind) in [(0, 0), (1, 0), (2, 0), (2, 1), (2, 2), (1, -1)] {
            let topic = |(name, partitions): &(&str, &[i32])| {
                message!(TopicPartitions { topic: (*name).into(), partitions: partitions.to_vec() })
            };
            let request = message!(ElectLeadersRequest {
                election_type: kind,
                topic_partitions: topics.map(|topics| topics.iter().map(topic).collect()),
                timeout_ms: 10_000,
            });
            let what = format!("elect, type {kind}: {what} v{version}");
            let Some(mut answer) = node.try_ask(version, &request) else {
                node.note(what, "closed");
                continue;
            };
            if topics.is_none() {
                // The order of all is that of a hash table, with topics of other tests.
                answer.replica_election_results.retain(|it| !it.partition_result.is_empty());
            }
            node.note(what, known.show(&answer));
        }
    }
}

fn cluster(node: &mut Node, known: &mut Known) {
    let whole = node.ask(12, &message!(MetadataRequest { topics: Some(Vec::new()) }));
    known.learn(&whole.cluster_id.clone().unwrap_or_default(), "id of the cluster");
    known.learn(&format!("port: {}", whole.brokers[0].port), "its port");
    for version in 0..=2 {
        for endpoint in [1, 2, 0, 3, -1] {
            if version == 0 && endpoint != 1 {
                continue;
            }
            for (fenced, operations) in [(false, false), (false, true), (true, false)] {
                if fenced && version < 2 {
                    continue;
                }
                let request = message!(DescribeClusterRequest {
                    endpoint_type: endpoint,
                    include_fenced_brokers: fenced,
                    include_cluster_authorized_operations: operations,
                });
                let what = format!("cluster: type {endpoint}, fenced {fenced}, {operations}");
                known.ask(node, what, version, &request);
            }
        }
    }
}

fn offsets(node: &mut Node, known: &Known) {
    node.create("topics-offsets", 1, &[("retention.ms", "-1")]);
    node.create("topics-empty", 1, &[]);
    for (first, times) in [(0, [50, 90]), (2, [70, 60])] {
        let produced = node.produce("topics-offsets", batch(Compression::None, &times));
        assert_eq!((produced.error_code, produced.base_offset), (0, first));
    }
    let list = |topic: &str, partition: i32, time: i64, epoch: i32| {
        let asked = message!(ListOffsetsPartition {
            partition_index: partition,
            current_leader_epoch: epoch,
            timestamp: time,
        });
        let asked = message!(ListOffsetsTopic { name: topic.into(), partitions: vec![asked] });
        message!(ListOffsetsRequest { replica_id: -1, topics: vec![asked], timeout_ms: 5000 })
    };
    for topic in ["topics-offsets", "topics-empty"] {
        for time in [-1, -2, -3, -4, -5, -6, -7, i64::MIN, 0, 60, 80, 91, i64::MAX] {
            for version in 1..=11 {
                let what = format_args!("offset: {time} of {topic}");
                known.ask(node, what, version, &list(topic, 0, time, -1));
            }
        }
    }
    for (what, topic, partition, epoch) in [
        ("unknown topic", "topics-none", 0, -1),
        ("invalid topic", "a b", 0, -1),
        ("no name", "", 0, -1),
        ("unknown partition", "topics-offsets", 9, -1),
        ("negative partition", "topics-offsets", -1, -1),
        ("its epoch", "topics-offsets", 0, 0),
        ("later epoch", "topics-offsets", 0, 5),
        ("epoch -2", "topics-offsets", 0, -2),
    ] {
        for time in [-1, -3, -7, 60] {
            let what = format_args!("offset: {time}, {what}");
            known.ask(node, what, 10, &list(topic, partition, time, epoch));
        }
    }
    for (what, replica, isolation) in [
        ("of a committed reader", -1, 1),
        ("of isolation level 2", -1, 2),
        ("of isolation level -1", -1, -1),
        ("of a debugger", -2, 0),
        ("of replica 1", 1, 0),
        ("of replica 7", 7, 0),
        ("of replica -3", -3, 0),
    ] {
        for time in [-1, -2, -3] {
            let mut request = list("topics-offsets", 0, time, -1);
            request.replica_id = replica;
            request.isolation_level = isolation;
            known.ask(node, format_args!("offset: {time} {what}"), 10, &request);
        }
    }
    known.ask(node, "offset: no topics", 10, &message!(ListOffsetsRequest { replica_id: -1 }));
}

/// Topics, with partitions and the offsets below which records are deleted.
type Deletions<'a> = &'a [(&'a str, &'a [(i32, i64)])];

fn deletions(node: &mut Node, known: &Known) {
    node.create("topics-compacted", 1, &[("cleanup.policy", "compact")]);
    node.create("topics-both", 1, &[("cleanup.policy", "compact,delete")]);
    for topic in ["topics-compacted", "topics-both"] {
        let produced = node.produce(topic, batch(Compression::None, &[now().0, now().0]));
        assert_eq!(produced.error_code, 0);
    }
    wait_for(node, "any");
    let cases: &[(&str, Deletions<'_>)] = &[
        ("below an offset", &[("topics-offsets", &[(0, 1)])]),
        ("below an earlier one", &[("topics-offsets", &[(0, 0)])]),
        ("beyond the end", &[("topics-offsets", &[(0, 5)])]),
        ("below -2", &[("topics-offsets", &[(0, -2)])]),
        ("a partition twice", &[("topics-offsets", &[(0, 2), (0, 3)])]),
        ("a topic twice", &[("topics-offsets", &[(0, 2)]), ("topics-offsets", &[(0, 3)])]),
        ("all", &[("topics-offsets", &[(0, -1)])]),
        ("all of nothing", &[("topics-empty", &[(0, -1)])]),
        ("unknown topic", &[("topics-none", &[(0, 1), (1, 1)])]),
        ("unknown partition", &[("topics-offsets", &[(9, 1), (0, 4)])]),
        ("negative partition", &[("topics-offsets", &[(-1, 1)])]),
        ("invalid topic", &[("a b", &[(0, 1)])]),
        ("no name", &[("", &[(0, 1)])]),
        ("of a compacted topic", &[("topics-compacted", &[(0, 1)])]),
        ("of a topic with both policies", &[("topics-both", &[(0, 1)])]),
        ("of an internal topic", &[("__consumer_offsets", &[(0, 0)])]),
        ("no partitions", &[("topics-offsets", &[])]),
        ("no topics", &[]),
    ];
    for (what, topics) in cases {
        let partition = |(index, offset): &(i32, i64)| {
            message!(DeleteRecordsPartition { partition_index: *index, offset: *offset })
        };
        let topic = |(name, partitions): &(&str, &[(i32, i64)])| {
            message!(DeleteRecordsTopic {
                name: (*name).into(),
                partitions: partitions.iter().map(partition).collect(),
            })
        };
        for version in 0..=2 {
            let request = message!(DeleteRecordsRequest {
                topics: topics.iter().map(topic).collect(),
                timeout_ms: 10_000,
            });
            let what = format!("delete records: {what} v{version}");
            let Some(mut answer) = node.try_ask(version, &request) else {
                node.note(what, "closed");
                continue;
            };
            for topic in &mut answer.topics {
                topic.partitions.sort_by_key(|partition| partition.partition_index);
            }
            node.note(what, known.show(&answer));
        }
    }
    for time in [-1, -2, -3, -4] {
        let answer = node.list("topics-offsets", 0, time);
        node.note(format_args!("offset: {time} of a log that is deleted"), format!("{answer:?}"));
    }
}
