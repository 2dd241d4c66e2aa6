//! AssignReplicasToDirs: in which log directory of its broker each replica is (KIP-858).
//!
//! Source of the checks and their order: Kafka's
//! `ReplicationControlManager.handleAssignReplicasToDirs`.

use super::election::Cause;
use super::machine::{Controller, Decision};
use super::plan::Plan;
use super::record::{PartitionChange, Record};
use crate::base::{BrokerEpoch, BrokerId, DirectoryId, Flaw, TopicId};
use crate::wire::ErrorCode;
use crate::wire::messages::assign_replicas_to_dirs_response::{
    DirectoryData, PartitionData, TopicData,
};
use crate::wire::messages::{AssignReplicasToDirsRequest, AssignReplicasToDirsResponse};

impl Controller {
    /// Stores in which directory each of a broker's replicas is. A replica in a failed directory, or
    /// in none that can be used (`DirectoryId.LOST`), can neither lead nor be in sync. A replica that
    /// can be used again may lead, if its partition has no leader. One that replaces a replica of a
    /// missing directory begins outside ISR and ELR.
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
        let mut assigned = Vec::new();
        for directory in &request.directories {
            let mut result = DirectoryData::default();
            result.id = directory.id;
            for topic in &directory.topics {
                let mut topic_result = TopicData::default();
                topic_result.topic_id = topic.topic_id;
                for asked in &topic.partitions {
                    let replica = (topic.topic_id.into(), asked.partition_index);
                    let taken = self.assign_one(&mut plan, id, replica, directory.id.into());
                    let mut partition_result = PartitionData::default();
                    partition_result.partition_index = asked.partition_index;
                    match taken {
                        Ok(taken) => assigned.push((replica, directory.id.into(), taken)),
                        Err(error) => partition_result.error_code = error.code(),
                    }
                    topic_result.partitions.push(partition_result);
                }
                result.topics.push(topic_result);
            }
            response.directories.push(result);
        }
        for ((topic, index), directory, taken) in assigned {
            let here = plan.image().broker(id).is_none_or(|broker| broker.has_directory(directory));
            let state = plan.image().partition(topic, index);
            let leaderless = state.is_some_and(|state| state.leader.is_none());
            let others = state.is_some_and(|state| state.isr.iter().any(|other| *other != id));
            // The controller can't know what a damaged log lacks. While others are in sync, it is not
            // eligible either; otherwise the partition would wait for it.
            let lost = (directory == DirectoryId::LOST && others).then_some(id);
            let cause = match (here, taken) {
                (_, Taken::Replaced) => Cause { leaving: Some(id), lost: Some(id) },
                (true, _) if leaderless => Cause::default(),
                (true, _) => continue,
                (false, _) => Cause { leaving: Some(id), lost },
            };
            let before = state.map(|state| (state.leader, state.leader_epoch));
            plan.reelect(self.settings(), cause, [(topic, index)]);
            let after = plan.image().partition(topic, index).map(|s| (s.leader, s.leader_epoch));
            if taken != Taken::Known
                && directory == DirectoryId::LOST
                && before == after
                && let Some((leader @ Some(_), _)) = after
            {
                // A fetch of the lost log may still be on its way to the leader, and must not count
                // for its replacement: a new epoch voids it.
                plan.push(Record::PartitionChange(PartitionChange {
                    topic,
                    partition: index,
                    leader: Some(leader),
                    ..PartitionChange::default()
                }));
            }
        }
        Decision::new(plan.into_records(), response)
    }
}

/// What became of an assignment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Taken {
    /// It was known.
    Known,
    /// The same replica is in another directory.
    Moved,
    /// Another replica is in the place of one whose directory is missing.
    Replaced,
}

impl Controller {
    /// Stores the directory of one replica.
    ///
    /// A replica that was in a directory which its broker does not have any more is another one: it
    /// may lack everything. It is refused unless another replica leads: the missing one may be the
    /// only one that has everything, and its directory may come back.
    fn assign_one(
        &self,
        plan: &mut Plan,
        broker: BrokerId,
        (topic, index): (TopicId, i32),
        directory: DirectoryId,
    ) -> Result<Taken, ErrorCode> {
        plan.image().topic_by_id(topic).ok_or(ErrorCode::UnknownTopicId)?;
        let state = plan.image().partition(topic, index);
        let state = state.ok_or(ErrorCode::UnknownTopicOrPartition)?;
        let place = state.replicas.iter().position(|replica| *replica == broker);
        let place = place.ok_or(ErrorCode::NotLeaderOrFollower)?;
        let before = state.directory_of(broker);
        if before == directory {
            return Ok(Taken::Known);
        }
        let is_missing = !before.is_reserved()
            && plan.image().broker(broker).is_some_and(|known| !known.has_directory(before));
        let compared = !self.settings().flaws.has(Flaw::IgnoreDirectoryIds);
        let taken = match is_missing && !directory.is_reserved() && compared {
            true => Taken::Replaced,
            false => Taken::Moved,
        };
        if taken == Taken::Replaced && state.leader.is_none_or(|leader| leader == broker) {
            return Err(ErrorCode::KafkaStorageError);
        }
        let mut directories = state.directories.clone();
        directories.resize(state.replicas.len(), DirectoryId::UNASSIGNED);
        directories[place] = directory;
        plan.push(Record::PartitionChange(PartitionChange {
            topic,
            partition: index,
            directories: Some(directories),
            ..PartitionChange::default()
        }));
        Ok(taken)
    }
}
