//! AssignReplicasToDirs: in which log directory of its broker each replica is (KIP-858).
//!
//! Source of the checks and their order: Kafka's
//! `ReplicationControlManager.handleAssignReplicasToDirs`.

use super::election::Cause;
use super::machine::{Controller, Decision};
use super::plan::Plan;
use super::record::{PartitionChange, Record};
use crate::base::{BrokerEpoch, BrokerId, TopicId};
use crate::wire::ErrorCode;
use crate::wire::messages::assign_replicas_to_dirs_response::{
    DirectoryData, PartitionData, TopicData,
};
use crate::wire::messages::{AssignReplicasToDirsRequest, AssignReplicasToDirsResponse, Uuid};

impl Controller {
    /// Notes where a broker's replicas are. One that is in a directory which has failed already
    /// can neither lead nor be in sync.
    pub fn assign_replicas_to_dirs(
        &self,
        request: &AssignReplicasToDirsRequest,
    ) -> Decision<AssignReplicasToDirsResponse> {
        let mut response = AssignReplicasToDirsResponse::default();
        let id = BrokerId(request.broker_id);
        if let Err(error) = self.check_broker_epoch(id, BrokerEpoch(request.broker_epoch)) {
            response.error_code = error.code();
            return Decision::only(response);
        }
        let mut plan = self.plan();
        let mut homeless = Vec::new();
        for directory in &request.directories {
            let mut result = DirectoryData::default();
            result.id = directory.id;
            for topic in &directory.topics {
                let mut topic_result = TopicData::default();
                topic_result.topic_id = topic.topic_id;
                for asked in &topic.partitions {
                    let replica = (topic.topic_id.into(), asked.partition_index);
                    let assigned = assign(&mut plan, id, replica, directory.id);
                    let mut partition_result = PartitionData::default();
                    partition_result.partition_index = asked.partition_index;
                    match assigned {
                        Ok(()) => homeless.push((replica, directory.id)),
                        Err(error) => partition_result.error_code = error.code(),
                    }
                    topic_result.partitions.push(partition_result);
                }
                result.topics.push(topic_result);
            }
            response.directories.push(result);
        }
        homeless.retain(|(_, dir)| {
            plan.image().broker(id).is_some_and(|broker| !broker.has_directory(*dir))
        });
        for ((topic, index), _) in homeless {
            let cause = Cause { leaving: Some(id), lost: None };
            plan.reelect_one(&self.settings.topic_defaults, cause, topic, index);
        }
        Decision { records: plan.into_records(), response }
    }
}

/// Puts one replica where its broker says that it is.
fn assign(
    plan: &mut Plan,
    broker: BrokerId,
    (topic, index): (TopicId, i32),
    directory: Uuid,
) -> Result<(), ErrorCode> {
    plan.image().topic_by_id(topic).ok_or(ErrorCode::UnknownTopicId)?;
    let state = plan.image().partition(topic, index);
    let state = state.ok_or(ErrorCode::UnknownTopicOrPartition)?;
    let place = state.replicas.iter().position(|replica| *replica == broker);
    let place = place.ok_or(ErrorCode::NotLeaderOrFollower)?;
    if state.directory_of(broker) == directory {
        return Ok(());
    }
    let mut directories = state.directories.clone();
    directories.resize(state.replicas.len(), Uuid::ZERO);
    directories[place] = directory;
    plan.push(Record::PartitionChange(PartitionChange {
        topic,
        partition: index,
        directories: Some(directories),
        ..PartitionChange::default()
    }));
    Ok(())
}
