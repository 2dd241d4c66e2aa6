//! What the toy answers an administrator: settings, the number of partitions, topics by page.

use std::collections::BTreeMap;

use crate::wire::ErrorCode;
use crate::wire::messages::create_partitions_response::CreatePartitionsTopicResult;
use crate::wire::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResult, DescribeConfigsSynonym,
};
use crate::wire::messages::describe_topic_partitions_response::{
    Cursor, DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic,
};
use crate::wire::messages::incremental_alter_configs_response::AlterConfigsResourceResponse;
use crate::wire::messages::*;

/// The state of what is administered.
pub(in crate::client::tests) struct Managed {
    /// By type and name.
    settings: BTreeMap<(i8, String), BTreeMap<String, String>>,
    /// Partitions of each topic.
    pub(in crate::client::tests) topics: BTreeMap<&'static str, i32>,
    /// Answers to DescribeTopicPartitions so far.
    pub(in crate::client::tests) pages: usize,
    /// The next change is answered with this error, though it is made.
    pub(in crate::client::tests) lies: Option<ErrorCode>,
    /// Answers to DescribeConfigs ask for this pause.
    pub(in crate::client::tests) throttle_ms: i32,
}

impl Default for Managed {
    fn default() -> Self {
        let topics = BTreeMap::from([("orders", 5), ("payments", 2)]);
        Self { settings: BTreeMap::new(), topics, pages: 0, lies: None, throttle_ms: 0 }
    }
}

impl Managed {
    pub(super) fn extend(&mut self, request: &CreatePartitionsRequest) -> CreatePartitionsResponse {
        let asked = &request.topics[0];
        let has = self.topics.get_mut(asked.name.as_str());
        let (error, text) = match has {
            None => (ErrorCode::UnknownTopicOrPartition, "This server does not host it.".into()),
            Some(has) if *has >= asked.count => {
                (ErrorCode::InvalidPartitions, format!("Topic already has {has} partition(s)."))
            }
            Some(has) => {
                *has = asked.count;
                (self.lies.take().unwrap_or(ErrorCode::None), String::new())
            }
        };
        let result = message!(CreatePartitionsTopicResult {
            name: asked.name.clone(),
            error_code: error.code(),
            error_message: Some(text.into()),
        });
        message!(CreatePartitionsResponse { results: vec![result] })
    }

    pub(super) fn alter(
        &mut self,
        request: &IncrementalAlterConfigsRequest,
    ) -> IncrementalAlterConfigsResponse {
        let asked = &request.resources[0];
        let resource = (asked.resource_type, asked.resource_name.to_string());
        let settings = self.settings.entry(resource).or_default();
        for config in &asked.configs {
            match &config.value {
                Some(value) => settings.insert(config.name.to_string(), value.to_string()),
                None => settings.remove(config.name.as_str()),
            };
        }
        let error = self.lies.take().unwrap_or(ErrorCode::None);
        let told = message!(AlterConfigsResourceResponse { error_code: error.code() });
        message!(IncrementalAlterConfigsResponse { responses: vec![told] })
    }

    pub(super) fn describe(&self, request: &DescribeConfigsRequest) -> DescribeConfigsResponse {
        let asked = &request.resources[0];
        let resource = (asked.resource_type, asked.resource_name.to_string());
        let source = match asked.resource_type {
            2 => 1,
            4 if resource.1.is_empty() => 3,
            4 => 2,
            _ => 8,
        };
        let settings = self.settings.get(&resource).into_iter().flatten();
        let configs = settings.map(|(name, value)| {
            let synonym = message!(DescribeConfigsSynonym {
                name: name.as_str().into(),
                value: Some(value.as_str().into()),
                source: source,
            });
            message!(DescribeConfigsResourceResult {
                name: name.as_str().into(),
                value: Some(value.as_str().into()),
                config_source: source,
                synonyms: vec![synonym],
            })
        });
        let result = message!(DescribeConfigsResult { configs: configs.collect() });
        message!(DescribeConfigsResponse {
            results: vec![result],
            throttle_time_ms: self.throttle_ms,
        })
    }

    pub(super) fn page(
        &mut self,
        request: &DescribeTopicPartitionsRequest,
    ) -> DescribeTopicPartitionsResponse {
        self.pages += 1;
        let from = request.cursor.as_ref();
        let from = from.map_or(("", 0), |from| (from.topic_name.as_str(), from.partition_index));
        let asked = |name: &str| {
            request.topics.is_empty() || request.topics.iter().any(|topic| &*topic.name == name)
        };
        let all = self.topics.iter().filter(|(name, _)| asked(name));
        let mut all = all.flat_map(|(name, count)| (0..*count).map(move |index| (*name, index)));
        let mut answer = DescribeTopicPartitionsResponse::default();
        let room = request.response_partition_limit as usize;
        for (name, index) in all.by_ref().filter(|at| *at >= from).take(room) {
            if answer.topics.last().is_none_or(|topic| topic.name.as_deref() != Some(name)) {
                answer.topics.push(message!(DescribeTopicPartitionsResponseTopic {
                    name: Some(name.into()),
                    topic_id: Uuid::from_bytes([name.len() as u8; 16]),
                }));
            }
            let partition = message!(DescribeTopicPartitionsResponsePartition {
                partition_index: index,
                leader_id: 1,
                eligible_leader_replicas: Some(vec![index]),
            });
            answer.topics.last_mut().unwrap().partitions.push(partition);
        }
        answer.next_cursor = all.next().map(|(name, index)| {
            message!(Cursor { topic_name: name.into(), partition_index: index })
        });
        answer
    }
}
