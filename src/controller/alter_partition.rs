//! AlterPartition: a leader changes its in-sync replicas (KIP-497, KIP-841, KIP-903).
//!
//! Source of the checks and their order: Kafka's `ReplicationControlManager.alterPartition`.

use super::election::{Cause, Election, Rules, Wanted};
use super::image::{Broker, Image, PartitionState, Topic};
use super::machine::{Controller, Decision};
use super::plan::Plan;
use super::record::Record;
use crate::base::{
    BrokerEpoch, BrokerId, Flaw, Flaws, Instant, LeaderEpoch, PartitionEpoch, TopicId,
};
use crate::wire::ErrorCode;
use crate::wire::messages::alter_partition_request::{self as asked, BrokerState};
use crate::wire::messages::alter_partition_response::{self as answered};
use crate::wire::messages::{AlterPartitionRequest, AlterPartitionResponse};

impl Controller {
    /// Changes in-sync replicas as their leader asks, each partition by itself.
    ///
    /// Version 2 and later: topics by id, an error for a broker that is not eligible.
    pub fn alter_partition(
        &self,
        _now: Instant,
        request: &AlterPartitionRequest,
    ) -> Decision<AlterPartitionResponse> {
        let mut response = AlterPartitionResponse::default();
        let leader = BrokerId(request.broker_id);
        if let Err(error) = self.check_broker_epoch(leader, BrokerEpoch(request.broker_epoch)) {
            response.error_code = error.code();
            return Decision::only(response);
        }
        let mut plan = self.plan();
        for topic in &request.topics {
            let mut result = answered::TopicData::default();
            result.topic_id = topic.topic_id;
            for partition in &topic.partitions {
                let altered = self.alter_one(&mut plan, leader, topic.topic_id.into(), partition);
                let mut altered = altered.unwrap_or_else(refused);
                altered.partition_index = partition.partition_index;
                result.partitions.push(altered);
            }
            response.topics.push(result);
        }
        Decision::new(plan.into_records(), response)
    }

    fn alter_one(
        &self,
        plan: &mut Plan,
        leader: BrokerId,
        topic_id: TopicId,
        asked: &asked::PartitionData,
    ) -> Result<answered::PartitionData, ErrorCode> {
        let image = plan.image().clone();
        let index = asked.partition_index;
        let topic = image.topic_by_id(topic_id).ok_or(ErrorCode::UnknownTopicId)?;
        let before = image.partition(topic_id, index).ok_or(ErrorCode::UnknownTopicOrPartition)?;
        check_epochs(leader, before, asked)?;
        let isr = new_isr(asked);
        check_isr(leader, before, &isr, asked.leader_recovery_state)?;
        check_eligible(&image, before, &isr, self.settings().flaws)?;
        self.apply(plan, &image, (topic, before), asked, &isr);
        let after = plan.image().partition(topic_id, index);
        let after = after.ok_or(ErrorCode::UnknownTopicOrPartition)?;
        if after.leader != Some(leader) {
            return Err(ErrorCode::NewLeaderElected);
        }
        let mut altered = answered::PartitionData::default();
        altered.leader_id = leader.0;
        altered.leader_epoch = after.leader_epoch.0;
        altered.isr = after.isr.iter().map(|id| id.0).collect();
        altered.leader_recovery_state = i8::from(after.recovering);
        altered.partition_epoch = after.partition_epoch.0;
        Ok(altered)
    }

    fn apply(
        &self,
        plan: &mut Plan,
        image: &Image,
        (topic, before): (&Topic, &PartitionState),
        asked: &asked::PartitionData,
        isr: &[(BrokerId, BrokerEpoch)],
    ) {
        let rules = Rules::new(image, topic, self.settings());
        let election = Election::new(image, before, rules, Cause::default(), Wanted::Online);
        let isr = isr.iter().map(|(id, _)| *id).collect();
        let at = (topic.id, asked.partition_index);
        if let Some(change) = election.change(at, isr, asked.leader_recovery_state == 1) {
            plan.push(Record::PartitionChange(change));
        }
    }
}

fn refused(error: ErrorCode) -> answered::PartitionData {
    let mut refused = answered::PartitionData::default();
    refused.error_code = error.code();
    refused
}

/// The ISR that is asked for. Version 2 has no broker epochs; they are not checked then.
fn new_isr(asked: &asked::PartitionData) -> Vec<(BrokerId, BrokerEpoch)> {
    if asked.new_isr_with_epochs.is_empty() {
        return asked.new_isr.iter().map(|id| (BrokerId(*id), BrokerEpoch::NONE)).collect();
    }
    let member = |state: &BrokerState| (BrokerId(state.broker_id), BrokerEpoch(state.broker_epoch));
    asked.new_isr_with_epochs.iter().map(member).collect()
}

/// The compare-and-set (KIP-497): the proposal must rest on the current state of the partition.
fn check_epochs(
    leader: BrokerId,
    before: &PartitionState,
    asked: &asked::PartitionData,
) -> Result<(), ErrorCode> {
    let (theirs, ours) = (LeaderEpoch(asked.leader_epoch), before.leader_epoch);
    let (their_version, our_version) =
        (PartitionEpoch(asked.partition_epoch), before.partition_epoch);
    // KAFKA-14154: if a leader knows newer epochs, this controller is deposed.
    if theirs > ours || their_version > our_version {
        return Err(ErrorCode::NotController);
    }
    if theirs < ours {
        return Err(ErrorCode::FencedLeaderEpoch);
    }
    if before.leader != Some(leader) {
        return Err(ErrorCode::InvalidRequest);
    }
    if their_version < our_version {
        return Err(ErrorCode::InvalidUpdateVersion);
    }
    Ok(())
}

fn check_isr(
    leader: BrokerId,
    before: &PartitionState,
    isr: &[(BrokerId, BrokerEpoch)],
    recovery: i8,
) -> Result<(), ErrorCode> {
    if isr.len() > before.replicas.len() {
        return Err(ErrorCode::InvalidRequest);
    }
    let known = isr.iter().all(|(id, _)| before.replicas.contains(id));
    let twice = isr.iter().enumerate().any(|(at, (id, _))| isr[..at].iter().any(|i| i.0 == *id));
    let leads = isr.iter().any(|(id, _)| *id == leader);
    let recovering = recovery == 1;
    // While a leader that was elected uncleanly recovers, no other replica can be in sync.
    let bad_recovery = recovering && (isr.len() > 1 || !before.recovering);
    if !known || twice || !leads || bad_recovery || !(0..=1).contains(&recovery) {
        return Err(ErrorCode::InvalidRequest);
    }
    Ok(())
}

/// KIP-841: a fenced or leaving broker may not join. KIP-903: neither may a broker that restarted
/// since its last fetch, because it may have lost records that the leader saw it fetch. KIP-858: nor
/// a replica that is assigned to a directory which its broker does not have.
fn check_eligible(
    image: &Image,
    before: &PartitionState,
    isr: &[(BrokerId, BrokerEpoch)],
    flaws: Flaws,
) -> Result<(), ErrorCode> {
    let may_join = |broker: &&Broker| broker.is_active() || flaws.has(Flaw::FencedMayJoin);
    let eligible = |(id, epoch): &(BrokerId, BrokerEpoch)| {
        let has_directory = |broker: &&Broker| {
            broker.has_directory(before.directory_of(*id)) || flaws.has(Flaw::IgnoreDirectoryIds)
        };
        let broker = image.broker(*id).filter(may_join).filter(has_directory);
        broker.is_some_and(|b| *epoch == BrokerEpoch::NONE || *epoch == b.epoch)
    };
    if isr.iter().all(eligible) { Ok(()) } else { Err(ErrorCode::IneligibleReplica) }
}
