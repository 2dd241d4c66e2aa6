//! Offsets of partitions, asked of their leaders.

use std::collections::BTreeMap;

use super::attempts::{Attempts, Verdict};
use super::description::{ListedOffset, OffsetSpec};
use super::{Admin, topics};
use crate::base::{BrokerId, LeaderEpoch, Offset, Timestamp, TopicPartition};
use crate::client::AdminError;
use crate::client::pool::Purpose;
use crate::io::World;
use crate::wire::ErrorCode;
use crate::wire::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use crate::wire::messages::{ListOffsetsRequest, ListOffsetsResponse};

/// What is still to be asked.
type Missing = BTreeMap<TopicPartition, OffsetSpec>;

impl<W: World> Admin<W> {
    /// Offsets by kind or date. Every partition must have a leader before time runs out.
    pub async fn list_offsets(
        &self,
        partitions: &[(TopicPartition, OffsetSpec)],
    ) -> Result<BTreeMap<TopicPartition, ListedOffset>, AdminError> {
        let mut missing: Missing = partitions.iter().cloned().collect();
        let mut found = BTreeMap::new();
        let mut attempts = self.attempts();
        while !missing.is_empty() {
            let mut obstacle = self.find_leaders(&mut attempts, &missing).await?;
            for (leader, asked) in self.by_leader(&missing) {
                let Some(to) = self.known.lock().cluster.address(leader).cloned() else { continue };
                let request = question(&asked);
                let deadline = self.request_deadline(&attempts);
                let answer =
                    self.pool.call(&to, Purpose::Questions, &request, None, deadline).await;
                match answer {
                    Ok(answer) => match read(&asked, &answer) {
                        Ok((offsets, error)) => {
                            missing.retain(|partition, _| !offsets.contains_key(partition));
                            found.extend(offsets);
                            obstacle = error.or(obstacle);
                        }
                        Err(error) => return Err(error),
                    },
                    Err(error) => {
                        let random = &mut self.known.lock().random;
                        attempts.lost(self.world.now(), error, random)?;
                    }
                }
            }
            if !missing.is_empty() {
                let error = obstacle.unwrap_or(ErrorCode::LeaderNotAvailable);
                let again = {
                    let random = &mut self.known.lock().random;
                    attempts.postponed(self.world.now(), error, random)?
                };
                self.world.sleep_until(again).await;
            }
        }
        Ok(found)
    }

    /// Asks who leads, of whichever partition.
    pub(super) async fn find_leaders(
        &self,
        attempts: &mut Attempts,
        missing: &Missing,
    ) -> Result<Option<ErrorCode>, AdminError> {
        let mut names: Vec<&str> = missing.keys().map(|partition| &*partition.topic).collect();
        names.dedup();
        let request = topics::question(Some(&names));
        self.ask(attempts, None, &request, |answer, _| {
            if answer.brokers.is_empty() {
                return Verdict::Again(ErrorCode::BrokerNotAvailable);
            }
            // A topic that was just created may not be known everywhere.
            let problems = self.known.lock().cluster.update(answer);
            match problems.iter().find(|(_, error)| !error.is_retriable()) {
                Some((_, error)) => Verdict::from_error(*error, None),
                None => Verdict::Done(problems.first().map(|(_, error)| *error)),
            }
        })
        .await
    }

    fn by_leader(&self, missing: &Missing) -> BTreeMap<BrokerId, Vec<Asked>> {
        let mut leaders: BTreeMap<BrokerId, Vec<Asked>> = BTreeMap::new();
        let known = self.known.lock();
        for (partition, spec) in missing {
            if let Some((leader, epoch)) = known.cluster.leader(partition) {
                let asked = Asked { partition: partition.clone(), spec: *spec, epoch };
                leaders.entry(leader).or_default().push(asked);
            }
        }
        leaders
    }
}

/// One partition in a question.
struct Asked {
    partition: TopicPartition,
    spec: OffsetSpec,
    epoch: LeaderEpoch,
}

fn question(asked: &[Asked]) -> ListOffsetsRequest {
    let mut request = ListOffsetsRequest::default();
    // Not a replica.
    request.replica_id = -1;
    for Asked { partition, spec, epoch } in asked {
        let name = &*partition.topic;
        if request.topics.last().is_none_or(|topic| topic.name.as_str() != name) {
            let mut topic = ListOffsetsTopic::default();
            topic.name = name.into();
            request.topics.push(topic);
        }
        let mut told = ListOffsetsPartition::default();
        told.partition_index = partition.partition;
        told.current_leader_epoch = epoch.0;
        told.timestamp = match spec {
            OffsetSpec::Latest => -1,
            OffsetSpec::Earliest => -2,
            OffsetSpec::At(timestamp) => timestamp.0,
        };
        if let Some(topic) = request.topics.last_mut() {
            topic.partitions.push(told);
        }
    }
    request
}

type Read = (BTreeMap<TopicPartition, ListedOffset>, Option<ErrorCode>);

/// The offsets in an answer, and what stands in the way of others.
fn read(asked: &[Asked], answer: &ListOffsetsResponse) -> Result<Read, AdminError> {
    let mut offsets = BTreeMap::new();
    let mut obstacle = None;
    for Asked { partition, .. } in asked {
        let topics = answer.topics.iter().filter(|t| t.name.as_str() == &*partition.topic);
        let mut told = topics.flat_map(|topic| &topic.partitions);
        let Some(told) = told.find(|told| told.partition_index == partition.partition) else {
            return Err(AdminError::Incomplete(partition.to_string()));
        };
        match ErrorCode::from_code(told.error_code) {
            ErrorCode::None => {
                let listed = ListedOffset {
                    offset: (told.offset >= 0).then_some(Offset(told.offset)),
                    timestamp: Timestamp(told.timestamp),
                    leader_epoch: LeaderEpoch(told.leader_epoch),
                };
                offsets.insert(partition.clone(), listed);
            }
            error if error.is_retriable() => obstacle = Some(error),
            error => {
                let message = Some(partition.to_string());
                return Err(AdminError::Broker { error, message });
            }
        }
    }
    Ok((offsets, obstacle))
}
