//! Transactions and their producers, from coordinators and leaders (KIP-664).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::Admin;
use super::attempts::Verdict;
use super::leaders::Asked;
use crate::base::{BrokerId, Offset, ProducerEpoch, ProducerId, Timestamp, TopicPartition};
use crate::client::AdminError;
use crate::io::World;
use crate::wire::ErrorCode;
use crate::wire::messages::describe_producers_request::TopicRequest;
use crate::wire::messages::write_txn_markers_request::{WritableTxnMarker, WritableTxnMarkerTopic};
use crate::wire::messages::{
    DescribeProducersRequest, DescribeProducersResponse, DescribeTransactionsRequest,
    DescribeTransactionsResponse, InitProducerIdRequest, InitProducerIdResponse,
    ListTransactionsRequest, ListTransactionsResponse, StrBytes, WriteTxnMarkersRequest,
    WriteTxnMarkersResponse, describe_producers_response as producers, message,
};

/// FindCoordinator: the key is a transactional id.
const TRANSACTION: i8 = 1;

/// Which transactions to list; the default lists all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TransactionFilter {
    /// Only those in one of these states, such as `Ongoing`.
    pub states: Vec<String>,
    /// Only those of one of these producers.
    pub producers: Vec<ProducerId>,
    /// Only those that are open for longer than this.
    pub longer_than: Option<Duration>,
    /// Only those whose whole id matches this regular expression.
    pub pattern: Option<String>,
}

/// A transactional id in a list.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TransactionListing {
    /// The transactional id.
    pub id: String,
    /// The broker that coordinates it.
    pub coordinator: BrokerId,
    /// Its producer.
    pub producer: ProducerId,
    /// `Ongoing`, `CompleteCommit` and so on.
    pub state: String,
}

/// A transactional id as its coordinator describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransactionDescription {
    /// The transactional id.
    pub id: String,
    /// Its producer.
    pub producer: ProducerId,
    /// The producer's epoch.
    pub epoch: ProducerEpoch,
    /// `Ongoing`, `CompleteCommit` and so on.
    pub state: String,
    /// `transaction.timeout.ms`.
    pub timeout: Duration,
    /// Since when the transaction is open.
    pub started: Option<Timestamp>,
    /// The partitions of the transaction.
    pub partitions: BTreeSet<TopicPartition>,
}

/// A producer as a replica of a partition knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProducerDescription {
    /// Its id.
    pub producer: ProducerId,
    /// Its epoch.
    pub epoch: i32,
    /// The sequence of its last record; -1: none is known.
    pub last_sequence: i32,
    /// The timestamp of its last record; `NONE`: none is known.
    pub last_timestamp: Timestamp,
    /// The epoch of the coordinator that wrote its last marker; -1: there is none.
    pub coordinator_epoch: i32,
    /// Where its open transaction begins.
    pub transaction_start: Option<Offset>,
}

/// A transaction that is open in a partition, and that no coordinator will end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HangingTransaction {
    /// The partition.
    pub partition: TopicPartition,
    /// Its producer there.
    pub producer: ProducerDescription,
}

/// An open transaction in one partition, to be aborted there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AbortSpec {
    /// The partition.
    pub partition: TopicPartition,
    /// The producer of the transaction.
    pub producer: ProducerId,
    /// The producer's epoch.
    pub epoch: ProducerEpoch,
    /// The epoch of the coordinator that the marker claims to be from.
    pub coordinator_epoch: i32,
}

impl<W: World> Admin<W> {
    /// Transactional ids, from the brokers that coordinate them, by id.
    pub async fn list_transactions(
        &self,
        filter: &TransactionFilter,
    ) -> Result<Vec<TransactionListing>, AdminError> {
        let longer_than = filter.longer_than.map(|time| i64::try_from(time.as_millis()));
        let request = message!(ListTransactionsRequest {
            state_filters: filter.states.iter().map(|state| state.as_str().into()).collect(),
            producer_id_filters: filter.producers.iter().map(|producer| producer.0).collect(),
            duration_filter: longer_than.map_or(-1, |millis| millis.unwrap_or(i64::MAX)),
            transactional_id_pattern: filter.pattern.as_deref().map(StrBytes::from),
        });
        let mut transactions = Vec::new();
        for broker in self.describe_cluster().await?.brokers {
            let mut attempts = self.attempts();
            let to = Some(&broker.address);
            let judge = |answer: &_, _| listed(broker.id, answer);
            transactions.extend(self.ask(&mut attempts, to, &request, judge).await?);
        }
        transactions.sort();
        transactions.dedup_by(|a, b| a.id == b.id);
        Ok(transactions)
    }

    /// A transactional id, from its coordinator.
    pub async fn describe_transaction(
        &self,
        id: &str,
    ) -> Result<TransactionDescription, AdminError> {
        let request = message!(DescribeTransactionsRequest { transactional_ids: vec![id.into()] });
        self.ask_coordinator_of((TRANSACTION, id), &request, None, described).await
    }

    /// The producers that the leaders of these partitions know.
    pub async fn describe_producers(
        &self,
        partitions: &[TopicPartition],
    ) -> Result<BTreeMap<TopicPartition, Vec<ProducerDescription>>, AdminError> {
        let missing = partitions.iter().map(|partition| (partition.clone(), ())).collect();
        let question =
            |asked: &[Asked<()>], _| producers_question(asked.iter().map(|asked| &asked.partition));
        self.ask_leaders(missing, question, known_producers).await
    }

    /// The producers that this broker, a replica, knows of a partition.
    pub async fn describe_producers_at(
        &self,
        broker: BrokerId,
        partition: &TopicPartition,
    ) -> Result<Vec<ProducerDescription>, AdminError> {
        let to = self.address_of(broker).await?;
        let request = producers_question([partition]);
        let judge = |answer: &DescribeProducersResponse, _| {
            let Some((code, known)) = known_producers(partition, answer) else {
                return Verdict::Refused(AdminError::Incomplete(partition.to_string()));
            };
            match ErrorCode::from_code(code) {
                ErrorCode::None => Verdict::Done(known),
                error => Verdict::from_error(error, Some(partition.to_string())),
            }
        };
        self.ask(&mut self.attempts(), Some(&to), &request, judge).await
    }

    /// Writes the marker of an abort into one partition, for a transaction that no coordinator ends.
    pub async fn abort_transaction(&self, spec: &AbortSpec) -> Result<(), AdminError> {
        let AbortSpec { producer, epoch, coordinator_epoch, .. } = spec;
        let question = |asked: &[Asked<()>], _| {
            let topics = asked.iter().map(|asked| {
                message!(WritableTxnMarkerTopic {
                    name: (&*asked.partition.topic).into(),
                    partition_indexes: vec![asked.partition.partition],
                })
            });
            let marker = message!(WritableTxnMarker {
                producer_id: producer.0,
                producer_epoch: epoch.0,
                transaction_result: false,
                topics: topics.collect(),
                coordinator_epoch: *coordinator_epoch,
            });
            message!(WriteTxnMarkersRequest { markers: vec![marker] })
        };
        let missing = BTreeMap::from([(spec.partition.clone(), ())]);
        self.ask_leaders(missing, question, marked).await.map(|_| ())
    }

    /// Fences the producer of a transactional id: a transaction that it has open is aborted. Returns
    /// the id and epoch that the next one is after.
    pub async fn fence_producer(
        &self,
        id: &str,
    ) -> Result<(ProducerId, ProducerEpoch), AdminError> {
        let request = message!(InitProducerIdRequest {
            transactional_id: Some(id.into()),
            transaction_timeout_ms: self.timeout_ms(),
            producer_id: ProducerId::NONE.0,
            producer_epoch: ProducerEpoch::NONE.0,
        });
        self.ask_coordinator_of((TRANSACTION, id), &request, None, fenced).await
    }

    /// Transactions that are open in these partitions for longer than `longer_than`, which should be
    /// more than the brokers' `transaction.max.timeout.ms`, and that are not among those that their
    /// coordinators will end. Source: Kafka's `TransactionsCommand`.
    pub async fn find_hanging_transactions(
        &self,
        partitions: &[TopicPartition],
        longer_than: Duration,
    ) -> Result<Vec<HangingTransaction>, AdminError> {
        let before =
            self.world.wall_clock().0 - i64::try_from(longer_than.as_millis()).unwrap_or(i64::MAX);
        let mut open = Vec::new();
        for (partition, known) in self.describe_producers(partitions).await? {
            let late = known.into_iter().filter(|producer| {
                producer.transaction_start.is_some() && producer.last_timestamp.0 < before
            });
            open.extend(
                late.map(|producer| HangingTransaction { partition: partition.clone(), producer }),
            );
        }
        if open.is_empty() {
            return Ok(open);
        }
        let producers: BTreeSet<_> = open.iter().map(|open| open.producer.producer).collect();
        let filter =
            TransactionFilter { producers: producers.into_iter().collect(), ..Default::default() };
        let mut ended_by_coordinators = BTreeSet::new();
        for listed in self.list_transactions(&filter).await? {
            match self.describe_transaction(&listed.id).await {
                Ok(described) => ended_by_coordinators
                    .extend(described.partitions.into_iter().map(|name| (listed.producer, name))),
                // It expired meanwhile.
                Err(AdminError::Broker { error: ErrorCode::TransactionalIdNotFound, .. }) => {}
                Err(error) => return Err(error),
            }
        }
        open.retain(|open| {
            let key = (open.producer.producer, open.partition.clone());
            !ended_by_coordinators.contains(&key)
        });
        Ok(open)
    }
}

fn listed(by: BrokerId, answer: &ListTransactionsResponse) -> Verdict<Vec<TransactionListing>> {
    match ErrorCode::from_code(answer.error_code) {
        ErrorCode::None => {}
        error => return Verdict::from_error(error, None),
    }
    if let Some(unknown) = answer.unknown_state_filters.first() {
        let message = Some(format!("unknown state of transactions: {unknown}"));
        return Verdict::Refused(AdminError::Broker { error: ErrorCode::InvalidRequest, message });
    }
    let transactions = answer.transaction_states.iter().map(|listed| TransactionListing {
        id: listed.transactional_id.to_string(),
        coordinator: by,
        producer: ProducerId(listed.producer_id),
        state: listed.transaction_state.to_string(),
    });
    Verdict::Done(transactions.collect())
}

fn described(answer: &DescribeTransactionsResponse) -> Verdict<TransactionDescription> {
    let Some(described) = answer.transaction_states.first() else {
        return Verdict::Refused(AdminError::Incomplete("a transaction".into()));
    };
    match ErrorCode::from_code(described.error_code) {
        ErrorCode::None => {}
        error => {
            let id = described.transactional_id.as_str();
            let named = if id.is_empty() { "the transactional id is empty" } else { id };
            return Verdict::from_error(error, Some(named.to_owned()));
        }
    }
    let partitions = described.topics.iter().flat_map(|topic| {
        let name = topic.topic.as_str();
        topic.partitions.iter().map(move |partition| TopicPartition::new(name, *partition))
    });
    let millis = u64::try_from(described.transaction_timeout_ms).unwrap_or(0);
    Verdict::Done(TransactionDescription {
        id: described.transactional_id.to_string(),
        producer: ProducerId(described.producer_id),
        epoch: ProducerEpoch(described.producer_epoch),
        state: described.transaction_state.to_string(),
        timeout: Duration::from_millis(millis),
        started: (described.transaction_start_time_ms >= 0)
            .then_some(Timestamp(described.transaction_start_time_ms)),
        partitions: partitions.collect(),
    })
}

fn producers_question<'a>(
    partitions: impl IntoIterator<Item = &'a TopicPartition>,
) -> DescribeProducersRequest {
    let mut request = DescribeProducersRequest::default();
    for partition in partitions {
        let name = &*partition.topic;
        match request.topics.last_mut().filter(|topic| topic.name.as_str() == name) {
            Some(topic) => topic.partition_indexes.push(partition.partition),
            None => request.topics.push(message!(TopicRequest {
                name: name.into(),
                partition_indexes: vec![partition.partition],
            })),
        }
    }
    request
}

fn known_producers(
    partition: &TopicPartition,
    answer: &DescribeProducersResponse,
) -> Option<(i16, Vec<ProducerDescription>)> {
    let topics = answer.topics.iter().filter(|topic| topic.name.as_str() == &*partition.topic);
    let mut rows = topics.flat_map(|topic| &topic.partitions);
    let row = rows.find(|row| row.partition_index == partition.partition)?;
    let known = |state: &producers::ProducerState| ProducerDescription {
        producer: ProducerId(state.producer_id),
        epoch: state.producer_epoch,
        last_sequence: state.last_sequence,
        last_timestamp: Timestamp(state.last_timestamp),
        coordinator_epoch: state.coordinator_epoch,
        transaction_start: (state.current_txn_start_offset >= 0)
            .then_some(Offset(state.current_txn_start_offset)),
    };
    Some((row.error_code, row.active_producers.iter().map(known).collect()))
}

fn marked(partition: &TopicPartition, answer: &WriteTxnMarkersResponse) -> Option<(i16, ())> {
    let topics = answer.markers.iter().flat_map(|marker| &marker.topics);
    let topics = topics.filter(|topic| topic.name.as_str() == &*partition.topic);
    let mut rows = topics.flat_map(|topic| &topic.partitions);
    let row = rows.find(|row| row.partition_index == partition.partition)?;
    Some((row.error_code, ()))
}

fn fenced(answer: &InitProducerIdResponse) -> Verdict<(ProducerId, ProducerEpoch)> {
    match ErrorCode::from_code(answer.error_code) {
        ErrorCode::None => {
            Verdict::Done((ProducerId(answer.producer_id), ProducerEpoch(answer.producer_epoch)))
        }
        error => Verdict::from_error(error, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::messages::list_transactions_response::TransactionState;
    use crate::wire::messages::write_txn_markers_response as markers;

    #[test]
    fn coordinator_that_loads_is_asked_again_and_an_unknown_state_is_refused() {
        let loads = ErrorCode::CoordinatorLoadInProgress;
        let answer = message!(ListTransactionsResponse { error_code: loads.code() });
        assert!(matches!(listed(BrokerId(1), &answer), Verdict::Again(error) if error == loads));
        let answer =
            message!(ListTransactionsResponse { unknown_state_filters: vec!["Oongoing".into()] });
        let Verdict::Refused(error) = listed(BrokerId(1), &answer) else { panic!("not refused") };
        assert!(error.to_string().contains("Oongoing"), "{error}");
        let state = message!(TransactionState {
            transactional_id: "till".into(),
            producer_id: 7,
            transaction_state: "Ongoing".into(),
        });
        let answer = message!(ListTransactionsResponse { transaction_states: vec![state] });
        let Verdict::Done(found) = listed(BrokerId(2), &answer) else { panic!("not listed") };
        assert_eq!((found[0].id.as_str(), found[0].coordinator), ("till", BrokerId(2)));
    }

    #[test]
    fn marker_is_written_only_where_the_answer_names_the_partition() {
        let row = message!(markers::WritableTxnMarkerPartitionResult {
            partition_index: 3,
            error_code: ErrorCode::InvalidProducerEpoch.code(),
        });
        let topic = message!(markers::WritableTxnMarkerTopicResult {
            name: "orders".into(),
            partitions: vec![row],
        });
        let marker = message!(markers::WritableTxnMarkerResult { topics: vec![topic] });
        let answer = message!(WriteTxnMarkersResponse { markers: vec![marker] });
        let fenced = ErrorCode::InvalidProducerEpoch.code();
        assert_eq!(marked(&TopicPartition::new("orders", 3), &answer), Some((fenced, ())));
        assert_eq!(marked(&TopicPartition::new("orders", 2), &answer), None);
    }
}
