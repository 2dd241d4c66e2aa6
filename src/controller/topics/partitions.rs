//! CreatePartitions: more partitions for topics that exist (KIP-195).
//!
//! Keys move to other partitions with it; no record does.

use std::collections::BTreeMap;

use rand_chacha::ChaCha12Rng;

use super::{check_replicas, check_size, new_partition};
use crate::base::{BrokerId, Instant};
use crate::controller::image::Topic;
use crate::controller::machine::{Controller, Decision};
use crate::controller::placement::Placer;
use crate::controller::plan::Plan;
use crate::controller::record::Record;
use crate::controller::refusal::{Refusal, refusal};
use crate::wire::ErrorCode;
use crate::wire::messages::create_partitions_request::{
    CreatePartitionsAssignment, CreatePartitionsTopic,
};
use crate::wire::messages::create_partitions_response::CreatePartitionsTopicResult;
use crate::wire::messages::{CreatePartitionsRequest, CreatePartitionsResponse};

impl Controller {
    /// Adds partitions to topics, each by itself.
    pub fn create_partitions(
        &self,
        _now: Instant,
        request: &CreatePartitionsRequest,
    ) -> Decision<CreatePartitionsResponse> {
        let mut response = CreatePartitionsResponse::default();
        let mut plan = self.plan();
        let random = self.random("partitions");
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for topic in &request.topics {
            *counts.entry(&topic.name).or_default() += 1;
        }
        for topic in &request.topics {
            let added = match counts.remove(&*topic.name) {
                // A duplicate name is answered once.
                None => continue,
                Some(1) => add(&mut plan, &random, topic),
                Some(_) => refusal(ErrorCode::InvalidRequest, "Duplicate topic name."),
            };
            let mut result = CreatePartitionsTopicResult::default();
            result.name = topic.name.clone();
            result.error_message = None;
            if let Err((error, text)) = added {
                result.error_code = error.code();
                result.error_message = (!text.is_empty()).then(|| text.into());
            }
            response.results.push(result);
        }
        let records = if request.validate_only { Vec::new() } else { plan.into_records() };
        Decision::new(records, response)
    }
}

fn add(
    plan: &mut Plan,
    random: &ChaCha12Rng,
    asked: &CreatePartitionsTopic,
) -> Result<(), Refusal> {
    let Some(topic) = plan.image().topic(&asked.name) else {
        // Kafka has no text for it.
        return refusal(ErrorCode::UnknownTopicOrPartition, "");
    };
    let (id, first) = (topic.id, i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX));
    let placed = place(plan, random, topic, asked)?;
    check_size(plan, placed.len())?;
    for (index, replicas) in (first..).zip(placed) {
        let record = new_partition(plan, id, index, replicas);
        plan.push(Record::Partition(record));
    }
    Ok(())
}

/// The replicas of each new partition.
fn place(
    plan: &Plan,
    random: &ChaCha12Rng,
    topic: &Topic,
    asked: &CreatePartitionsTopic,
) -> Result<Vec<Vec<BrokerId>>, Refusal> {
    let (has, wanted) = (topic.partitions.len(), usize::try_from(asked.count).unwrap_or(0));
    if has == wanted {
        let text = format!("Topic already has {has} partition(s).");
        return refusal(ErrorCode::InvalidPartitions, text);
    }
    let Some(more) = wanted.checked_sub(has) else {
        let text = format!(
            "The topic {} currently has {has} partition(s); {} would not be an increase.",
            topic.name, asked.count
        );
        return refusal(ErrorCode::InvalidPartitions, text);
    };
    check_size(plan, more)?;
    let copies = topic.partitions.values().next().map_or(1, |first| first.replicas.len());
    if let Some(assignments) = &asked.assignments {
        return manual(plan, (has, more, copies), assignments);
    }
    let mut placer = Placer::new(plan.image(), random.clone());
    // The striping continues where the present partitions end.
    for _ in 0..has {
        let _ = placer.place(copies);
    }
    let placed = (0..more).map(|_| placer.place(copies)).collect::<Result<Vec<_>, _>>();
    placed.map_err(|error| {
        let text = format!("Unable to replicate the partition {copies} time(s): {error}");
        (ErrorCode::InvalidReplicationFactor, text)
    })
}

/// A manual assignment of `more` partitions beyond the first `has`.
fn manual(
    plan: &Plan,
    (has, more, copies): (usize, usize, usize),
    assignments: &[CreatePartitionsAssignment],
) -> Result<Vec<Vec<BrokerId>>, Refusal> {
    if assignments.len() != more {
        let text = format!(
            "Attempted to add {more} additional partition(s), but only {} assignment(s) were \
             specified.",
            assignments.len()
        );
        return refusal(ErrorCode::InvalidReplicaAssignment, text);
    }
    let mut placed = Vec::with_capacity(more);
    for (offset, assignment) in assignments.iter().enumerate() {
        let index = i32::try_from(has + offset).unwrap_or(i32::MAX);
        if assignment.broker_ids.len() != copies {
            let text = format!(
                "The manual partition assignment includes a partition with {} replica(s), but \
                 this is not consistent with previous partitions, which have {copies} replica(s).",
                assignment.broker_ids.len()
            );
            return refusal(ErrorCode::InvalidReplicaAssignment, text);
        }
        placed.push(check_replicas(plan, index, &assignment.broker_ids)?);
    }
    Ok(placed)
}
