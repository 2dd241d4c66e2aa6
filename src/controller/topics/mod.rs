//! Topics and their partitions: creating, adding to, deleting.
//!
//! Source of checks and texts: Kafka's `ReplicationControlManager`, `Topic.validate`,
//! `ControllerApis`.

mod create;
mod delete;
mod partitions;

use super::plan::Plan;
use super::record::PartitionRecord;
use super::refusal::{Refusal, refusal};
use crate::base::{BrokerId, DirectoryId, LeaderEpoch, PartitionEpoch, TopicId};
use crate::wire::ErrorCode;

/// Source: Kafka's `QuorumController.MAX_RECORDS_PER_USER_OP`.
const MOST_RECORDS: usize = 10_000;

/// Limits one operation: its records are one batch, and every node keeps them in memory.
pub(super) fn check_size(plan: &Plan, more: usize) -> Result<(), Refusal> {
    if more.saturating_add(plan.len()) <= MOST_RECORDS {
        return Ok(());
    }
    let text = format!("Excessively large operation: more than {MOST_RECORDS} records.");
    refusal(ErrorCode::PolicyViolation, text)
}

/// The replicas that a manual assignment names for a partition.
fn check_replicas(plan: &Plan, index: i32, brokers: &[i32]) -> Result<Vec<BrokerId>, Refusal> {
    let replicas: Vec<_> = brokers.iter().map(|id| BrokerId(*id)).collect();
    let bad = |text: String| refusal(ErrorCode::InvalidReplicaAssignment, text);
    let mut sorted = replicas.clone();
    sorted.sort_unstable();
    if let Some(unknown) = sorted.iter().find(|id| plan.image().broker(**id).is_none()) {
        return bad(format!(
            "The manual partition assignment includes broker {unknown}, but no such broker is \
             registered."
        ));
    }
    if let Some(twice) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
        let text = "The manual partition assignment includes the broker";
        return bad(format!("{text} {} more than once.", twice[0]));
    }
    if !replicas.iter().any(|id| plan.image().is_active(*id)) {
        return bad(format!(
            "All brokers specified in the manual partition assignment for partition {index} are \
             fenced or in controlled shutdown."
        ));
    }
    Ok(replicas)
}

/// A new partition: its active replicas are in sync, and the first of them leads.
fn new_partition(
    plan: &Plan,
    topic: TopicId,
    partition: i32,
    replicas: Vec<BrokerId>,
) -> PartitionRecord {
    let image = plan.image();
    let isr: Vec<_> = replicas.iter().copied().filter(|id| image.is_active(*id)).collect();
    // KIP-858: with one directory there is no choice.
    let directory = |id: &BrokerId| match image.broker(*id).map(|broker| &broker.log_dirs[..]) {
        Some([only]) => *only,
        _ => DirectoryId::UNASSIGNED,
    };
    PartitionRecord {
        partition,
        topic,
        directories: replicas.iter().map(directory).collect(),
        leader: isr.first().copied(),
        replicas,
        isr,
        removing: Vec::new(),
        adding: Vec::new(),
        recovering: false,
        leader_epoch: LeaderEpoch(0),
        partition_epoch: PartitionEpoch(0),
        elr: Vec::new(),
        last_known_elr: Vec::new(),
    }
}
