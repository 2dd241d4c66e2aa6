//! Deletion of records, asked of the partitions' leaders (KIP-107).

use std::collections::BTreeMap;

use super::Admin;
use super::description::OffsetSpec;
use crate::base::{BrokerId, Offset, TopicPartition};
use crate::client::AdminError;
use crate::client::pool::Purpose;
use crate::io::World;
use crate::wire::ErrorCode;
use crate::wire::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use crate::wire::messages::{DeleteRecordsRequest, DeleteRecordsResponse};

/// "All that is committed." Source: Kafka's `DeleteRecordsRequest.HIGH_WATERMARK`.
const HIGH_WATERMARK: Offset = Offset(-1);

/// Below which offset to delete, by partition.
type Wanted = BTreeMap<TopicPartition, Offset>;

impl<W: World> Admin<W> {
    /// Deletes all records below an offset, of each partition; `None`: all that are committed.
    /// Says from where on each has records, once every replica that lives has deleted them.
    pub async fn delete_records(
        &self,
        partitions: &[(TopicPartition, Option<Offset>)],
    ) -> Result<BTreeMap<TopicPartition, Offset>, AdminError> {
        let below = |offset: Option<Offset>| offset.unwrap_or(HIGH_WATERMARK);
        let mut missing: Wanted =
            partitions.iter().map(|(name, offset)| (name.clone(), below(*offset))).collect();
        let mut found = BTreeMap::new();
        let mut attempts = self.attempts();
        while !missing.is_empty() {
            let asked = missing.keys().map(|name| (name.clone(), OffsetSpec::Earliest)).collect();
            let mut obstacle = self.find_leaders(&mut attempts, &asked).await?;
            for (leader, wanted) in self.wanted_of(&missing) {
                let Some(to) = self.known.lock().cluster.address(leader).cloned() else { continue };
                let deadline = self.request_deadline(&attempts);
                let left = deadline.since(self.world.now()).as_millis();
                let request = question(&wanted, i32::try_from(left).unwrap_or(i32::MAX));
                let answer =
                    self.pool.call(&to, Purpose::Questions, &request, None, deadline).await;
                match answer {
                    Ok(answer) => {
                        let (low, error) = read(&wanted, &answer)?;
                        missing.retain(|partition, _| !low.contains_key(partition));
                        found.extend(low);
                        obstacle = error.or(obstacle);
                    }
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

    fn wanted_of(&self, missing: &Wanted) -> BTreeMap<BrokerId, Wanted> {
        let mut leaders: BTreeMap<BrokerId, Wanted> = BTreeMap::new();
        let known = self.known.lock();
        for (partition, offset) in missing {
            if let Some((leader, _)) = known.cluster.leader(partition) {
                leaders.entry(leader).or_default().insert(partition.clone(), *offset);
            }
        }
        leaders
    }
}

fn question(wanted: &Wanted, timeout_ms: i32) -> DeleteRecordsRequest {
    let mut request = DeleteRecordsRequest::default();
    request.timeout_ms = timeout_ms;
    for (partition, offset) in wanted {
        let name = &*partition.topic;
        if request.topics.last().is_none_or(|topic| topic.name.as_str() != name) {
            let mut topic = DeleteRecordsTopic::default();
            topic.name = name.into();
            request.topics.push(topic);
        }
        let mut told = DeleteRecordsPartition::default();
        told.partition_index = partition.partition;
        told.offset = offset.0;
        if let Some(topic) = request.topics.last_mut() {
            topic.partitions.push(told);
        }
    }
    request
}

type Read = (BTreeMap<TopicPartition, Offset>, Option<ErrorCode>);

/// The low watermarks in an answer, and what stands in the way of others.
fn read(wanted: &Wanted, answer: &DeleteRecordsResponse) -> Result<Read, AdminError> {
    let mut low = BTreeMap::new();
    let mut obstacle = None;
    for partition in wanted.keys() {
        let topics = answer.topics.iter().filter(|t| t.name.as_str() == &*partition.topic);
        let mut told = topics.flat_map(|topic| &topic.partitions);
        let Some(told) = told.find(|told| told.partition_index == partition.partition) else {
            return Err(AdminError::Incomplete(partition.to_string()));
        };
        match ErrorCode::from_code(told.error_code) {
            ErrorCode::None => {
                low.insert(partition.clone(), Offset(told.low_watermark));
            }
            error if error.is_retriable() => obstacle = Some(error),
            error => {
                let message = Some(partition.to_string());
                return Err(AdminError::Broker { error, message });
            }
        }
    }
    Ok((low, obstacle))
}
