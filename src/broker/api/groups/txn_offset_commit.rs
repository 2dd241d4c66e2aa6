//! TxnOffsetCommit: how far a group has read, committed together with a transaction (KIP-447). Since
//! version 5 it also adds the group's partition to the transaction (KIP-890).

use std::sync::Arc;

use super::committing::{Answer, Answers};
use crate::base::{Flaw, ProducerEpoch, ProducerId, TopicPartition, topics};
use crate::broker::context::Broker;
use crate::broker::hosted::InTransaction;
use crate::broker::partition::Verifying;
use crate::broker::serve::handler::{Context, Handler};
use crate::broker::verifying::{Operation, Question};
use crate::controller::Image;
use crate::io::World;
use crate::log::TransactionalWrite;
use crate::wire::ErrorCode;
use crate::wire::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use crate::wire::messages::txn_offset_commit_response::{
    TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};
use crate::wire::messages::{TxnOffsetCommitRequest, TxnOffsetCommitResponse, Uuid, message};

/// Older clients take a coordinator that loads for a fatal error (KAFKA-7296).
const KNOWS_LOADING: i16 = 2;

/// The sequence number of offsets: they have none.
const NO_SEQUENCE: i32 = -1;

pub(in crate::broker) struct TxnOffsetCommit;

impl<W: World> Handler<Broker<W>> for TxnOffsetCommit {
    type Request = TxnOffsetCommitRequest;
    type Response = TxnOffsetCommitResponse;

    async fn handle(
        broker: &Arc<Broker<W>>,
        mut request: TxnOffsetCommitRequest,
        context: Context<'_>,
    ) -> TxnOffsetCommitResponse {
        let version = context.version;
        let mut answers = Answers::default();
        let image = broker.image();
        let topics = std::mem::take(&mut request.topics);
        request.topics =
            topics.into_iter().filter_map(|topic| known(&image, topic, &mut answers)).collect();
        if request.topics.is_empty() {
            return response(answers);
        }
        match commit(broker, version, &request).await {
            Ok(response) => answers.merge(response.topics.into_iter().map(answer)),
            Err(error) => {
                let error = match error {
                    ErrorCode::CoordinatorLoadInProgress if version < KNOWS_LOADING => {
                        ErrorCode::CoordinatorNotAvailable
                    }
                    error => error,
                };
                request.topics.iter().for_each(|topic| refuse(&mut answers, topic, error));
            }
        }
        response(answers)
    }
}

/// Verifies the transaction, then has the group's coordinator check and append the offsets.
async fn commit<W: World>(
    broker: &Arc<Broker<W>>,
    version: i16,
    request: &TxnOffsetCommitRequest,
) -> Result<TxnOffsetCommitResponse, ErrorCode> {
    let group = request.group_id.as_str();
    if group.is_empty() {
        return Err(ErrorCode::InvalidGroupId);
    }
    if broker.flaws.has(Flaw::CommitCheckedTooEarly) {
        broker
            .groups
            .see(group, |machine| machine.check_transactional_commit(version, request))??;
    }
    let verified = verify(broker, version, request).await?;
    let (producer, epoch) = producer(request);
    let of = InTransaction { producer, epoch, verified };
    let decided = broker.groups.decide_in_transaction(group, of, |machine, _, wall| {
        machine.commit_transactional_offsets(wall, version, request)
    });
    decided.await
}

fn producer(request: &TxnOffsetCommitRequest) -> (ProducerId, ProducerEpoch) {
    (ProducerId(request.producer_id), ProducerEpoch(request.producer_epoch))
}

/// Asks the transaction's coordinator whether the group's partition belongs to it, or adds it.
///
/// Source: Kafka's `CoordinatorPartitionWriter.maybeStartTransactionVerification`, and
/// `CoordinatorOperationExceptionHelper` for the errors.
async fn verify<W: World>(
    broker: &Arc<Broker<W>>,
    version: i16,
    request: &TxnOffsetCommitRequest,
) -> Result<Option<Verifying>, ErrorCode> {
    let operation = Operation::of_offset_commit(version);
    let skipped = !broker.settings().txn.transaction_partition_verification_enable
        || broker.flaws.has(Flaw::UnverifiedTransaction);
    if skipped && operation != Operation::Add {
        return Ok(None);
    }
    let group = request.group_id.as_str();
    let (producer, epoch) = producer(request);
    let write = TransactionalWrite {
        producer,
        epoch,
        sequence: NO_SEQUENCE,
        bumps_epoch: operation.bumps_epoch(),
    };
    let Some(verifying) = broker.groups.begin_verification(group, &write)? else {
        return Ok(None);
    };
    let partition = broker.groups.partition_of(&broker.image(), group);
    let partition = TopicPartition::new(topics::CONSUMER_OFFSETS, partition);
    let unverified = broker.verify(Question {
        transactional_id: request.transactional_id.to_string(),
        producer,
        epoch,
        operation,
        partitions: vec![partition.clone()],
    });
    match unverified.await.get(&partition) {
        None => Ok(Some(verifying)),
        // Old clients retry this one without looking for the coordinator again.
        Some(ErrorCode::NetworkException) => Err(ErrorCode::CoordinatorLoadInProgress),
        Some(error) => Err(*error),
    }
}

/// What the metadata have of a topic: its existing partitions are to be committed, the others are
/// refused here.
fn known(
    image: &Image,
    mut topic: TxnOffsetCommitRequestTopic,
    answers: &mut Answers,
) -> Option<TxnOffsetCommitRequestTopic> {
    let Some(found) = image.topic(&topic.name) else {
        refuse(answers, &topic, ErrorCode::UnknownTopicOrPartition);
        return None;
    };
    topic.topic_id = found.id.into();
    let partitions = std::mem::take(&mut topic.partitions);
    topic.partitions = answers.existing(
        found,
        (&topic.name, Uuid::ZERO),
        partitions,
        |partition: &TxnOffsetCommitRequestPartition| partition.partition_index,
    );
    (!topic.partitions.is_empty()).then_some(topic)
}

fn refuse(answers: &mut Answers, topic: &TxnOffsetCommitRequestTopic, error: ErrorCode) {
    let partitions = topic.partitions.iter().map(|partition| partition.partition_index);
    answers.refuse((&topic.name, Uuid::ZERO), partitions, error);
}

fn answer(topic: TxnOffsetCommitResponseTopic) -> Answer {
    let partitions = topic.partitions.iter();
    Answer {
        name: topic.name,
        id: Uuid::ZERO,
        partitions: partitions.map(|it| (it.partition_index, it.error_code)).collect(),
    }
}

fn response(answers: Answers) -> TxnOffsetCommitResponse {
    let topics = answers.into_topics().into_iter().map(|topic| {
        let partitions = topic.partitions.into_iter().map(|(index, error)| {
            message!(TxnOffsetCommitResponsePartition { partition_index: index, error_code: error })
        });
        message!(TxnOffsetCommitResponseTopic {
            name: topic.name,
            partitions: partitions.collect(),
        })
    });
    message!(TxnOffsetCommitResponse { topics: topics.collect() })
}
