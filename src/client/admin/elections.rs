//! Elections that an operator asks for (KIP-183, KIP-460): messages built and read.

use std::collections::BTreeMap;

use super::Admin;
use super::attempts::Verdict;
use crate::base::TopicPartition;
use crate::client::AdminError;
use crate::io::World;
use crate::wire::ErrorCode;
use crate::wire::messages::elect_leaders_request::TopicPartitions;
use crate::wire::messages::{ElectLeadersRequest, ElectLeadersResponse, message};

/// Which replica is to lead. Source: Kafka's `ElectionType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ElectionType {
    /// The first of the assigned replicas, if it is in sync. No record is lost.
    Preferred,
    /// Of a partition without a leader, any replica that is there, even one that lacks committed
    /// records: they are lost then.
    Unclean,
}

/// How the election of each partition ended. One that has the wanted leader already is refused with
/// `ELECTION_NOT_NEEDED` if it was named, and left out if all were meant.
pub type Elections = BTreeMap<TopicPartition, Result<(), AdminError>>;

impl<W: World> Admin<W> {
    /// Has leaders of these partitions elected, or of all; of each by itself.
    pub async fn elect_leaders(
        &self,
        election: ElectionType,
        partitions: Option<&[TopicPartition]>,
    ) -> Result<Elections, AdminError> {
        let request = question(election, partitions, self.timeout_ms());
        self.ask_any(&request, |answer, _| read(answer)).await
    }
}

fn question(
    election: ElectionType,
    partitions: Option<&[TopicPartition]>,
    timeout_ms: i32,
) -> ElectLeadersRequest {
    let topics = partitions.map(|partitions| {
        let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
        for partition in partitions {
            topics.entry(&partition.topic).or_default().push(partition.partition);
        }
        let named = topics.into_iter().map(|(topic, partitions)| {
            message!(TopicPartitions { topic: topic.into(), partitions: partitions })
        });
        named.collect()
    });
    let election_type = match election {
        ElectionType::Preferred => 0,
        ElectionType::Unclean => 1,
    };
    message!(ElectLeadersRequest {
        election_type: election_type,
        topic_partitions: topics,
        timeout_ms: timeout_ms,
    })
}

fn read(answer: &ElectLeadersResponse) -> Verdict<Elections> {
    let error = ErrorCode::from_code(answer.error_code);
    if !error.is_none() {
        return Verdict::from_error(error, None);
    }
    let mut elections = Elections::new();
    for topic in &answer.replica_election_results {
        for told in &topic.partition_result {
            let error = ErrorCode::from_code(told.error_code);
            let message = told.error_message.as_ref().map(|message| message.to_string());
            // A broker says so that has no answer of the controller.
            if error == ErrorCode::RequestTimedOut || error == ErrorCode::NotController {
                return Verdict::from_error(error, message);
            }
            let ended = match error {
                ErrorCode::None => Ok(()),
                error => Err(AdminError::Broker { error, message }),
            };
            let name = TopicPartition::new(topic.topic.as_str(), told.partition_id);
            elections.insert(name, ended);
        }
    }
    Verdict::Done(elections)
}
