//! Raw requests over one connection, and what is noted of their answers.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use brokerquake::wire::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use brokerquake::wire::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use brokerquake::wire::messages::metadata_request::MetadataRequestTopic;
use brokerquake::wire::messages::metadata_response::MetadataResponseTopic;
use brokerquake::wire::messages::produce_request::{PartitionProduceData, TopicProduceData};
use brokerquake::wire::messages::produce_response::PartitionProduceResponse;
use brokerquake::wire::messages::{
    CreateTopicsRequest, ListOffsetsRequest, MetadataRequest, ProduceRequest, RequestResponsePair,
};
use brokerquake::wire::{ErrorCode, frame};
use bytes::Bytes;

/// Makes a message and sets some of its fields: they are `#[non_exhaustive]`.
macro_rules! message {
    ($type:path { $($field:ident: $value:expr),* $(,)? }) => {{
        let mut message = <$type>::default();
        $(message.$field = $value;)*
        message
    }};
}
pub(crate) use message;

/// A node that is asked, and its answers: requests in words, with what came back.
pub struct Node {
    address: String,
    stream: TcpStream,
    pub answers: BTreeMap<String, String>,
}

fn connect(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// Kafka's name of an error.
pub fn error(code: i16) -> String {
    ErrorCode::from_code(code).to_string()
}

impl Node {
    pub fn new(address: &str) -> Self {
        let stream = connect(address);
        Self { address: address.to_owned(), stream, answers: BTreeMap::new() }
    }

    pub fn address(&self) -> &str {
        &self.address
    }

    /// Notes an answer.
    pub fn note(&mut self, request: impl Display, answer: impl Display) {
        let before = self.answers.insert(request.to_string(), answer.to_string());
        assert_eq!(before, None, "{request} was asked before");
    }

    /// `None` if the connection was closed instead.
    pub fn try_ask<R: RequestResponsePair>(
        &mut self,
        version: i16,
        request: &R,
    ) -> Option<R::Response> {
        let bytes = frame::encode_request(7, "answers", version, request).unwrap();
        let sent = self.stream.write_all(&bytes);
        let answer = sent.and_then(|()| {
            let mut length = [0; 4];
            self.stream.read_exact(&mut length)?;
            let mut body = vec![0; u32::from_be_bytes(length) as usize];
            self.stream.read_exact(&mut body).map(|()| body)
        });
        let Ok(body) = answer else {
            self.stream = connect(&self.address);
            return None;
        };
        Some(frame::decode_response::<R::Response>(body, version).unwrap().1)
    }

    pub fn ask<R: RequestResponsePair>(&mut self, version: i16, request: &R) -> R::Response {
        self.try_ask(version, request).expect("an answer")
    }

    /// Creates a topic and waits until it can be written to.
    pub fn create(&mut self, name: &str, partitions: i32, configs: &[(&str, &str)]) {
        let created = self.ask(7, &creation(name, partitions, configs));
        assert_eq!(created.topics[0].error_code, 0, "{created:?}");
        for _ in 0..300 {
            let ready = self.topics(&[name]).iter().all(|topic| {
                topic.error_code == 0 && topic.partitions.iter().all(|p| p.leader_id >= 0)
            });
            // A leader may be named before it leads.
            let leads = (0..partitions).all(|p| self.list(name, p, -1).0 == "NONE");
            if ready && leads {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("{name} was not created");
    }

    pub fn topics(&mut self, names: &[&str]) -> Vec<MetadataResponseTopic> {
        let topic = |name: &&str| message!(MetadataRequestTopic { name: Some((*name).into()) });
        let topics = Some(names.iter().map(topic).collect());
        self.ask(12, &message!(MetadataRequest { topics: topics })).topics
    }

    /// Produces to partition 0, in the request that a plain producer sends.
    pub fn produce(&mut self, topic: &str, records: Vec<u8>) -> PartitionProduceResponse {
        self.produce_to(topic, 0, records)
    }

    pub fn produce_to(
        &mut self,
        topic: &str,
        partition: i32,
        records: Vec<u8>,
    ) -> PartitionProduceResponse {
        let request = production(topic, partition, Some(records.into()));
        self.ask(9, &request).responses.remove(0).partition_responses.remove(0)
    }

    /// Error, offset, timestamp and epoch of ListOffsets.
    pub fn list(&mut self, topic: &str, partition: i32, time: i64) -> (String, i64, i64, i32) {
        let asked = message!(ListOffsetsPartition {
            partition_index: partition,
            current_leader_epoch: -1,
            timestamp: time,
        });
        let asked = message!(ListOffsetsTopic { name: topic.into(), partitions: vec![asked] });
        let request = message!(ListOffsetsRequest { replica_id: -1, topics: vec![asked] });
        let answer = self.ask(10, &request).topics.remove(0).partitions.remove(0);
        (error(answer.error_code), answer.offset, answer.timestamp, answer.leader_epoch)
    }
}

pub fn creation(name: &str, partitions: i32, configs: &[(&str, &str)]) -> CreateTopicsRequest {
    let config = |(name, value): &(&str, &str)| {
        message!(CreatableTopicConfig { name: (*name).into(), value: Some((*value).into()) })
    };
    let topic = message!(CreatableTopic {
        name: name.into(),
        num_partitions: partitions,
        replication_factor: 1,
        configs: configs.iter().map(config).collect(),
    });
    message!(CreateTopicsRequest { topics: vec![topic], timeout_ms: 20_000 })
}

pub fn production(topic: &str, partition: i32, records: Option<Bytes>) -> ProduceRequest {
    let data = message!(PartitionProduceData { index: partition, records: records });
    let topic = message!(TopicProduceData { name: topic.into(), partition_data: vec![data] });
    message!(ProduceRequest { acks: 1, timeout_ms: 10_000, topic_data: vec![topic] })
}
