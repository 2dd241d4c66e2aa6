//! The markers that are to be written, by the broker that leads their partition. Pure: what is sent
//! when is decided here, and `sender` sends it.
//!
//! Source: Kafka's `TransactionMarkerChannelManager` and `TransactionMarkerRequestCompletionHandler`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::base::{Address, BrokerId, LeaderEpoch, ProducerEpoch, ProducerId, TopicPartition};
use crate::controller::Image;
use crate::txn::{Markers, Outcome, TransactionalId};
use crate::wire::ErrorCode;
use crate::wire::messages::write_txn_markers_request::{WritableTxnMarker, WritableTxnMarkerTopic};
use crate::wire::messages::{WriteTxnMarkersRequest, WriteTxnMarkersResponse, message};

/// Partitions that need no marker any more: they have written it, or do not exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) partition: i32,
    pub(crate) coordinator: LeaderEpoch,
    pub(crate) id: TransactionalId,
    pub(crate) producer: (ProducerId, ProducerEpoch),
    pub(crate) partitions: Vec<TopicPartition>,
}

/// What became of a partition's marker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Written,
    /// It is sent again, to the leader of the partition at that time.
    Retry,
    /// A later coordinator has taken over: none of the transaction's markers is sent any more.
    Fenced,
}

impl Fate {
    fn of(error: ErrorCode) -> Self {
        match error {
            // With the latter two, the partition can't have records of a transaction.
            ErrorCode::None
            | ErrorCode::UnsupportedForMessageFormat
            | ErrorCode::UnsupportedVersion => Self::Written,
            ErrorCode::InvalidProducerEpoch | ErrorCode::TransactionCoordinatorFenced => {
                Self::Fenced
            }
            // An unexpected error ends Kafka's sender, and leaves the transaction open; here it is
            // retried.
            _ => Self::Retry,
        }
    }
}

/// Markers that were sent in one request.
pub(crate) type Sent = Vec<Markers>;

/// Markers that wait, by the broker that they go to.
#[derive(Debug)]
pub(crate) struct MarkerQueues {
    image: Arc<Image>,
    /// The listener of brokers at which other brokers reach them.
    listener: String,
    waiting: BTreeMap<BrokerId, Vec<Markers>>,
    /// Of partitions without a leader that can be reached.
    homeless: Vec<Markers>,
    /// Transactions whose markers travel, by coordinator, with the number of partitions that have not
    /// written theirs. What is fenced or taken back while it is under way is not sent again.
    live: BTreeMap<(i32, LeaderEpoch), BTreeMap<TransactionalId, usize>>,
}

impl MarkerQueues {
    pub(crate) fn new(listener: &str) -> Self {
        Self {
            image: Arc::default(),
            listener: listener.to_owned(),
            waiting: BTreeMap::new(),
            homeless: Vec::new(),
            live: BTreeMap::new(),
        }
    }

    /// Brokers for which something waits.
    pub(crate) fn destinations(&self) -> Vec<BrokerId> {
        self.waiting.keys().copied().collect()
    }

    /// Where a broker is reached.
    pub(crate) fn address(&self, broker: BrokerId) -> Option<Address> {
        self.image.address(broker, &self.listener).cloned()
    }

    /// A coordinator has decided. Returns the partitions that do not exist any more.
    pub(crate) fn add(&mut self, markers: Markers) -> Option<Written> {
        let of = (markers.partition, markers.coordinator);
        let count = markers.partitions.len();
        self.live.entry(of).or_default().insert(markers.id.clone(), count);
        self.place(markers)
    }

    /// A coordinator has resigned: its markers are not sent any more.
    pub(crate) fn resigned(&mut self, partition: i32, coordinator: LeaderEpoch) {
        self.live.remove(&(partition, coordinator));
        self.retain();
    }

    /// There is a new image: markers follow the leaders of their partitions. Returns what became of
    /// those whose partitions were deleted.
    pub(crate) fn image_changed(&mut self, image: Arc<Image>) -> Vec<Written> {
        self.image = image;
        let waiting = std::mem::take(&mut self.waiting).into_values().flatten();
        let all: Vec<_> = waiting.chain(std::mem::take(&mut self.homeless)).collect();
        all.into_iter().filter_map(|markers| self.place(markers)).collect()
    }

    /// Takes everything that waits for a broker, as one request.
    pub(crate) fn take(&mut self, broker: BrokerId) -> Option<(WriteTxnMarkersRequest, Sent)> {
        let sent = self.waiting.remove(&broker)?;
        let request =
            message!(WriteTxnMarkersRequest { markers: sent.iter().map(marker).collect() });
        Some((request, sent))
    }

    /// A broker answered. Returns what was written, and whether something is to be sent again.
    pub(crate) fn answered(
        &mut self,
        sent: Sent,
        response: &WriteTxnMarkersResponse,
    ) -> (Vec<Written>, bool) {
        let errors = errors(response);
        let mut written = Vec::new();
        let mut again = false;
        for markers in sent {
            let fate = |partition: &TopicPartition| {
                let error = errors.get(&(markers.producer, partition.clone()));
                // What the broker leaves out was not written.
                let error = error.copied().unwrap_or(ErrorCode::UnknownServerError);
                (Fate::of(error), error)
            };
            let mut left = BTreeSet::new();
            let mut done = Vec::new();
            let mut fenced = None;
            for partition in &*markers.partitions {
                match fate(partition) {
                    (Fate::Written, _) => done.push(partition.clone()),
                    (Fate::Retry, error) => {
                        tracing::debug!(%partition, %error, id = %markers.id, "marker is sent again");
                        left.insert(partition.clone());
                    }
                    (Fate::Fenced, error) => fenced = Some((partition.clone(), error)),
                }
            }
            if !done.is_empty() {
                written.push(self.written(&markers, done));
            }
            if let Some((partition, error)) = fenced {
                tracing::info!(%partition, %error, id = %markers.id, "markers are fenced");
                self.drop_transaction(&markers);
            } else if !left.is_empty() {
                again = true;
                written.extend(self.send_again(Markers { partitions: left.into(), ..markers }));
            }
        }
        (written, again)
    }

    /// No answer came: everything is sent again. Returns the partitions that do not exist any more.
    pub(crate) fn failed(&mut self, sent: Sent) -> Vec<Written> {
        sent.into_iter().filter_map(|markers| self.send_again(markers)).collect()
    }

    fn send_again(&mut self, markers: Markers) -> Option<Written> {
        if self.is_live(&markers) { self.place(markers) } else { None }
    }

    fn is_live(&self, markers: &Markers) -> bool {
        let of = self.live.get(&(markers.partition, markers.coordinator));
        of.is_some_and(|ids| ids.contains_key(&markers.id))
    }

    fn written(&mut self, markers: &Markers, partitions: Vec<TopicPartition>) -> Written {
        let of = (markers.partition, markers.coordinator);
        if let Some(ids) = self.live.get_mut(&of)
            && let Some(left) = ids.get_mut(&markers.id)
        {
            *left = left.saturating_sub(partitions.len());
            if *left == 0 {
                ids.remove(&markers.id);
            }
        }
        Written {
            partition: markers.partition,
            coordinator: markers.coordinator,
            id: markers.id.clone(),
            producer: (markers.producer, markers.epoch),
            partitions,
        }
    }

    fn drop_transaction(&mut self, markers: &Markers) {
        if let Some(ids) = self.live.get_mut(&(markers.partition, markers.coordinator)) {
            ids.remove(&markers.id);
        }
        self.retain();
    }

    fn retain(&mut self) {
        let live = std::mem::take(&mut self.live);
        let is_live = |markers: &Markers| {
            let of = live.get(&(markers.partition, markers.coordinator));
            of.is_some_and(|ids| ids.contains_key(&markers.id))
        };
        for queue in self.waiting.values_mut() {
            queue.retain(is_live);
        }
        self.waiting.retain(|_, queue| !queue.is_empty());
        self.homeless.retain(is_live);
        self.live = live;
    }

    /// Puts markers where the leaders of their partitions are.
    fn place(&mut self, markers: Markers) -> Option<Written> {
        let mut by_leader: BTreeMap<Option<BrokerId>, BTreeSet<TopicPartition>> = BTreeMap::new();
        let mut gone = Vec::new();
        for partition in &*markers.partitions {
            match self.leader_of(partition) {
                Some(leader) => {
                    by_leader.entry(leader).or_default().insert(partition.clone());
                }
                None => gone.push(partition.clone()),
            }
        }
        for (leader, partitions) in by_leader {
            let markers = Markers { partitions: partitions.into(), ..markers.clone() };
            match leader {
                Some(leader) => self.waiting.entry(leader).or_default().push(markers),
                None => self.homeless.push(markers),
            }
        }
        if gone.is_empty() {
            return None;
        }
        tracing::info!(id = %markers.id, ?gone, "partitions of a transaction were deleted");
        Some(self.written(&markers, gone))
    }

    /// The leader of a partition, if it can be reached; `None` if the partition does not exist.
    fn leader_of(&self, partition: &TopicPartition) -> Option<Option<BrokerId>> {
        let state = self.image.topic(&partition.topic)?.partitions.get(&partition.partition)?;
        Some(state.leader.filter(|leader| {
            self.image.is_alive(*leader) && self.image.address(*leader, &self.listener).is_some()
        }))
    }
}

fn marker(of: &Markers) -> WritableTxnMarker {
    let mut topics: Vec<WritableTxnMarkerTopic> = Vec::new();
    for partition in &*of.partitions {
        match topics.last_mut().filter(|topic| *topic.name == *partition.topic) {
            Some(topic) => topic.partition_indexes.push(partition.partition),
            None => topics.push(message!(WritableTxnMarkerTopic {
                name: (&*partition.topic).into(),
                partition_indexes: vec![partition.partition],
            })),
        }
    }
    message!(WritableTxnMarker {
        producer_id: of.producer.0,
        producer_epoch: of.epoch.0,
        transaction_result: of.outcome == Outcome::Commit,
        topics: topics,
        coordinator_epoch: of.coordinator.0,
        transaction_version: i8::try_from(of.version.level()).unwrap_or(0),
    })
}

/// The errors of a response, by producer and partition.
fn errors(response: &WriteTxnMarkersResponse) -> BTreeMap<(ProducerId, TopicPartition), ErrorCode> {
    let mut errors = BTreeMap::new();
    for marker in &response.markers {
        for topic in &marker.topics {
            for partition in &topic.partitions {
                let name = TopicPartition::new(topic.name.as_str(), partition.partition_index);
                let error = ErrorCode::from_code(partition.error_code);
                errors.insert((ProducerId(marker.producer_id), name), error);
            }
        }
    }
    errors
}

#[cfg(test)]
#[path = "markers_tests.rs"]
pub(crate) mod tests;
