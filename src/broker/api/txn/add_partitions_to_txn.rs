//! AddPartitionsToTxn: a producer writes to partitions in its transaction. Clients send up to version
//! 3; brokers send version 4 and above, for several transactions at once, or only ask whether the
//! partitions are in them (KIP-890).
//!
//! Source: Kafka's `KafkaApis.handleAddPartitionsToTxnRequest`.

use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use super::known_to;
use crate::base::{ProducerEpoch, ProducerId, TopicPartition};
use crate::broker::context::Broker;
use crate::broker::serve::handler::{Context, Handler};
use crate::controller::Image;
use crate::io::World;
use crate::txn::{AddRequest, TransactionVersion};
use crate::wire::ErrorCode;
use crate::wire::messages::add_partitions_to_txn_request::{
    AddPartitionsToTxnTopic, AddPartitionsToTxnTransaction,
};
use crate::wire::messages::add_partitions_to_txn_response::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnResult, AddPartitionsToTxnTopicResult,
};
use crate::wire::messages::{AddPartitionsToTxnRequest, AddPartitionsToTxnResponse, message};

/// From here on a client knows PRODUCER_FENCED.
const FENCED: i16 = 2;

/// From here on a request has several transactions.
const SEVERAL: i16 = 4;

pub(in crate::broker) struct AddPartitionsToTxn;

/// The errors of the partitions of one transaction.
type Errors = BTreeMap<TopicPartition, ErrorCode>;

impl<W: World> Handler<Broker<W>> for AddPartitionsToTxn {
    type Request = AddPartitionsToTxnRequest;
    type Response = AddPartitionsToTxnResponse;

    async fn handle(
        broker: &Arc<Broker<W>>,
        request: AddPartitionsToTxnRequest,
        context: Context<'_>,
    ) -> AddPartitionsToTxnResponse {
        if context.version < SEVERAL {
            let transaction = message!(AddPartitionsToTxnTransaction {
                transactional_id: request.v3_and_below_transactional_id,
                producer_id: request.v3_and_below_producer_id,
                producer_epoch: request.v3_and_below_producer_epoch,
                topics: request.v3_and_below_topics,
            });
            let errors = one(broker, &transaction, context.version).await;
            let topics = results(&transaction.topics, &errors);
            return message!(AddPartitionsToTxnResponse { results_by_topic_v3_and_below: topics });
        }
        let mut seen = BTreeSet::new();
        // In Kafka, a transaction that is named twice counts once.
        let distinct = request.transactions.iter().filter(|one| seen.insert(&one.transactional_id));
        let answers = distinct.map(|transaction| async {
            let errors = one(broker, transaction, context.version).await;
            let mut topics = results(&transaction.topics, &errors);
            // Kafka's verification answers by partition: a topic without any is not in it.
            topics
                .retain(|topic| !transaction.verify_only || !topic.results_by_partition.is_empty());
            message!(AddPartitionsToTxnResult {
                transactional_id: transaction.transactional_id.clone(),
                topic_results: topics,
            })
        });
        let answers = all(answers.collect()).await;
        message!(AddPartitionsToTxnResponse { results_by_transaction: answers })
    }
}

/// Waits for all, at the same time: each transaction waits for a commit of its own.
async fn all<F: Future>(futures: Vec<F>) -> Vec<F::Output> {
    let mut waiting: Vec<_> = futures.into_iter().map(|one| (Box::pin(one), None)).collect();
    poll_fn(|context| {
        let mut complete = true;
        for (future, output) in waiting.iter_mut().filter(|(_, output)| output.is_none()) {
            match future.as_mut().poll(context) {
                Poll::Ready(ready) => *output = Some(ready),
                Poll::Pending => complete = false,
            }
        }
        if complete { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    waiting.into_iter().filter_map(|(_, output)| output).collect()
}

/// What becomes of the partitions of one transaction. If one does not exist, none is added.
async fn one<W: World>(
    broker: &Arc<Broker<W>>,
    transaction: &AddPartitionsToTxnTransaction,
    version: i16,
) -> Errors {
    let asked = transaction.topics.iter().flat_map(|topic| {
        let name: Arc<str> = topic.name.as_str().into();
        topic.partitions.iter().map(move |one| TopicPartition::new(name.clone(), *one))
    });
    let (known, missing): (BTreeSet<_>, BTreeSet<_>) = {
        let image = broker.image();
        asked.partition(|partition| exists(&image, partition))
    };
    let each = |partitions: BTreeSet<TopicPartition>, error: ErrorCode| {
        partitions.into_iter().map(move |partition| (partition, error))
    };
    if !missing.is_empty() {
        let untried = each(known, ErrorCode::OperationNotAttempted);
        return each(missing, ErrorCode::UnknownTopicOrPartition).chain(untried).collect();
    }
    let id = &transaction.transactional_id;
    let request = AddRequest {
        id,
        producer: (ProducerId(transaction.producer_id), ProducerEpoch(transaction.producer_epoch)),
        partitions: &known,
        version: TransactionVersion::of_add_partitions(version),
    };
    if transaction.verify_only {
        let verified = broker.txns.decide(id, |machine, _, _| machine.verify_partitions(request));
        return match verified.await.and_then(|verified| verified) {
            Ok(verified) => verified.into_iter().collect(),
            Err(error) => each(known, error).collect(),
        };
    }
    let added =
        broker.txns.decide(id, |machine, now, wall| machine.add_partitions(now, wall, request));
    let error = known_to(version, FENCED, added.await.unwrap_or_else(|error| error));
    each(known, error).collect()
}

fn exists(image: &Image, partition: &TopicPartition) -> bool {
    let topic = image.topic(&partition.topic);
    topic.is_some_and(|topic| topic.partitions.contains_key(&partition.partition))
}

fn results(
    topics: &[AddPartitionsToTxnTopic],
    errors: &Errors,
) -> Vec<AddPartitionsToTxnTopicResult> {
    let result = |topic: &AddPartitionsToTxnTopic| {
        let partitions = topic.partitions.iter().map(|index| {
            let partition = TopicPartition::new(topic.name.as_str(), *index);
            let error = errors.get(&partition).copied().unwrap_or(ErrorCode::UnknownServerError);
            message!(AddPartitionsToTxnPartitionResult {
                partition_index: *index,
                partition_error_code: error.code(),
            })
        });
        message!(AddPartitionsToTxnTopicResult {
            name: topic.name.clone(),
            results_by_partition: partitions.collect(),
        })
    };
    topics.iter().map(result).collect()
}
