//! Requests of transactional producers, and what is learned and noted of their answers.

use std::fmt::{Debug, Display};

use brokerquake::base::config::Compression;
use brokerquake::base::{ProducerEpoch, ProducerId};
use brokerquake::wire::batch::BatchBuilder;
use brokerquake::wire::messages::add_partitions_to_txn_request::{
    AddPartitionsToTxnTopic, AddPartitionsToTxnTransaction,
};
use brokerquake::wire::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use brokerquake::wire::messages::{
    AddOffsetsToTxnRequest, AddPartitionsToTxnRequest, AddPartitionsToTxnResponse,
    DescribeTransactionsRequest, EndTxnRequest, InitProducerIdRequest, RequestResponsePair,
    StrBytes, TxnOffsetCommitRequest, Uuid,
};

use super::ask::{Node, error, message, production};
use super::batches::now;
use super::groups::Known;

pub const TOPIC: &str = "txn-topic";
pub const GROUP: &str = "txn-group";

/// No node has drawn it.
pub const UNKNOWN_ID: i64 = 777_000;

/// A node whose transactions are asked for.
pub struct Txns<'a> {
    pub node: &'a mut Node,
    pub known: Known,
    /// Of `transaction.version`.
    pub level: i16,
    /// The id of the topic.
    pub topic: Uuid,
}

/// A transactional id with a producer.
#[derive(Clone, Debug)]
pub struct Producer {
    pub name: String,
    pub id: i64,
    pub epoch: i16,
}

pub fn of(name: &str, id: i64, epoch: i16) -> Producer {
    Producer { name: name.to_owned(), id, epoch }
}

impl Txns<'_> {
    pub fn note(&mut self, what: impl Display, answer: impl Display) {
        let level = self.level;
        self.node.note(format_args!("txn {level}: {what}"), answer);
    }

    pub fn ask<R: RequestResponsePair>(
        &mut self,
        what: impl Display,
        version: i16,
        request: &R,
    ) -> Option<R::Response>
    where
        R::Response: Debug,
    {
        let what = format_args!("txn {}: {what}", self.level);
        self.known.ask(self.node, what, version, request)
    }

    pub fn learn(&mut self, id: i64, name: &str) {
        if id >= 0 {
            self.known.learn_new(&format!("producer_id: {id},"), &format!("id of {name}"));
            self.known.learn_new(&format!("producer_id: {id} "), &format!("id of {name}"));
        }
    }

    /// Begins a producer with a transactional id, after the abort of what was open.
    pub fn begin(&mut self, name: &str) -> Producer {
        let mut answer = self.node.ask(4, &init(name));
        if error(answer.error_code) == "CONCURRENT_TRANSACTIONS" {
            self.settle(name);
            answer = self.node.ask(4, &init(name));
        }
        assert_eq!(answer.error_code, 0, "{name}: {answer:?}");
        self.learn(answer.producer_id, &format!("{name:?}"));
        of(name, answer.producer_id, answer.producer_epoch)
    }

    /// Waits until no markers are on their way.
    pub fn settle(&mut self, name: &str) {
        let request =
            message!(DescribeTransactionsRequest { transactional_ids: vec![name.into()] });
        for _ in 0..2000 {
            let state = self.node.ask(0, &request).transaction_states.remove(0);
            if !state.transaction_state.starts_with("Prepare") {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        panic!("{name} is never complete");
    }

    pub fn describe(&mut self, what: impl Display, ids: &[StrBytes]) {
        let request = message!(DescribeTransactionsRequest { transactional_ids: ids.to_vec() });
        let mut answer = self.node.ask(0, &request);
        for state in &mut answer.transaction_states {
            // Only whether there is a time.
            state.transaction_start_time_ms = state.transaction_start_time_ms.min(1);
            state.topics.sort_by(|a, b| a.topic.cmp(&b.topic));
            state.topics.iter_mut().for_each(|topic| topic.partitions.sort_unstable());
        }
        let shown = self.known.show(&answer);
        self.note(format_args!("describe: {what}"), shown);
    }

    /// Produces batches with sequence numbers 0, 1 and 0 again.
    pub fn produces(&mut self, what: &str, version: i16, producer: &Producer, partition: i32) {
        for (time, sequence) in [("first", 0), ("second", 1), ("first again", 0)] {
            let bytes = written(producer, sequence, 1, true);
            let what = format_args!("{what}, {time} batch");
            self.produce(what, version, Some(&producer.name), (partition, bytes));
        }
    }

    /// Produces to a partition; notes the error and the offset.
    pub fn produce(
        &mut self,
        what: impl Display,
        version: i16,
        id: Option<&str>,
        (partition, bytes): (i32, Vec<u8>),
    ) {
        let mut request = production(TOPIC, partition, Some(bytes.into()));
        request.acks = -1;
        request.transactional_id = id.map(Into::into);
        if version >= 13 {
            request.topic_data[0].name = "".into();
            request.topic_data[0].topic_id = self.topic;
        }
        let answer = self.node.try_ask(version, &request).map(|mut answer| {
            let answer = answer.responses.remove(0).partition_responses.remove(0);
            let at = answer.base_offset.clamp(-1, 0);
            format!("{} {}", error(answer.error_code), if at < 0 { "nowhere" } else { "appended" })
        });
        self.note(
            format_args!("produce: {what} v{version}"),
            answer.unwrap_or_else(|| "closed".to_owned()),
        );
    }
}

/// A batch of a producer.
pub fn written(producer: &Producer, sequence: i32, records: i32, transactional: bool) -> Vec<u8> {
    let time = now();
    let mut builder = BatchBuilder::new(Compression::None, time);
    if transactional {
        builder = builder.transactional();
    }
    for _ in 0..records {
        builder.append(time, Some(b"k"), Some(b"value"), &[]);
    }
    builder.finish(ProducerId(producer.id), ProducerEpoch(producer.epoch), sequence).to_vec()
}

pub fn init(name: &str) -> InitProducerIdRequest {
    message!(InitProducerIdRequest {
        transactional_id: Some(name.into()),
        transaction_timeout_ms: 600_000,
        producer_id: -1,
        producer_epoch: -1,
    })
}

/// Of a producer without a transactional id.
pub fn plain() -> InitProducerIdRequest {
    let mut request = init("");
    request.transactional_id = None;
    request
}

/// KIP-360: with the producer that the client has.
pub fn init_of(producer: &Producer) -> InitProducerIdRequest {
    let mut request = init(&producer.name);
    (request.producer_id, request.producer_epoch) = (producer.id, producer.epoch);
    request
}

fn topics(topic: &str, partitions: &[i32]) -> Vec<AddPartitionsToTxnTopic> {
    let topic =
        message!(AddPartitionsToTxnTopic { name: topic.into(), partitions: partitions.to_vec() });
    vec![topic]
}

/// A client's request.
pub fn adding(producer: &Producer, topic: &str, partitions: &[i32]) -> AddPartitionsToTxnRequest {
    message!(AddPartitionsToTxnRequest {
        v3_and_below_transactional_id: producer.name.as_str().into(),
        v3_and_below_producer_id: producer.id,
        v3_and_below_producer_epoch: producer.epoch,
        v3_and_below_topics: topics(topic, partitions),
    })
}

/// A broker's request: for each producer whether it only asks, the topic and its partitions.
pub fn add_several(all: &[(&Producer, bool, &str, &[i32])]) -> AddPartitionsToTxnRequest {
    let transaction = |(producer, only, topic, partitions): &(&Producer, bool, &str, &[i32])| {
        message!(AddPartitionsToTxnTransaction {
            transactional_id: producer.name.as_str().into(),
            producer_id: producer.id,
            producer_epoch: producer.epoch,
            verify_only: *only,
            topics: topics(topic, partitions),
        })
    };
    message!(AddPartitionsToTxnRequest { transactions: all.iter().map(transaction).collect() })
}

/// The first error of an answer.
pub fn added(answer: &AddPartitionsToTxnResponse) -> i16 {
    let several = answer.results_by_transaction.iter().flat_map(|one| &one.topic_results);
    let topics = several.chain(&answer.results_by_topic_v3_and_below);
    let mut errors = topics.flat_map(|topic| &topic.results_by_partition);
    let first = errors.find(|partition| partition.partition_error_code != 0);
    first.map_or(answer.error_code, |partition| partition.partition_error_code)
}

pub fn add_offsets(producer: &Producer, group: &str) -> AddOffsetsToTxnRequest {
    message!(AddOffsetsToTxnRequest {
        transactional_id: producer.name.as_str().into(),
        producer_id: producer.id,
        producer_epoch: producer.epoch,
        group_id: group.into(),
    })
}

pub fn end(producer: &Producer, commits: bool) -> EndTxnRequest {
    message!(EndTxnRequest {
        transactional_id: producer.name.as_str().into(),
        producer_id: producer.id,
        producer_epoch: producer.epoch,
        committed: commits,
    })
}

/// Offsets of partitions, committed by no member.
pub fn offsets(producer: &Producer, group: &str, of: &[(i32, i64)]) -> TxnOffsetCommitRequest {
    let partition = |(index, offset): &(i32, i64)| {
        message!(TxnOffsetCommitRequestPartition {
            partition_index: *index,
            committed_offset: *offset,
            committed_leader_epoch: -1,
            committed_metadata: Some("m".into()),
        })
    };
    let topic = message!(TxnOffsetCommitRequestTopic {
        name: TOPIC.into(),
        partitions: of.iter().map(partition).collect(),
    });
    message!(TxnOffsetCommitRequest {
        transactional_id: producer.name.as_str().into(),
        group_id: group.into(),
        producer_id: producer.id,
        producer_epoch: producer.epoch,
        generation_id_or_member_epoch: -1,
        topics: vec![topic],
    })
}
