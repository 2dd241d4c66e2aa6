//! Asks the coordinators of transactions on behalf of this broker's partitions: whether a partition
//! belongs to a transaction, or to add it.
//!
//! One request at a time is in flight to each coordinator; questions that come meanwhile are sent
//! together in the next one. Each transactional id is in a request once: a producer that asks again
//! has given up its earlier question.
//!
//! Source: Kafka's `AddPartitionsToTxnManager` (KIP-890).

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::base::{BrokerId, ProducerEpoch, ProducerId, TopicPartition, topics};
use crate::controller::Image;
use crate::group;
use crate::io::{Address, World};
use crate::rpc::{Backoff, Connecting, Pool, Purpose, RpcError};
use crate::wire::ErrorCode;
use crate::wire::messages::add_partitions_to_txn_request::{
    AddPartitionsToTxnTopic, AddPartitionsToTxnTransaction,
};
use crate::wire::messages::{
    AddPartitionsToTxnRequest, AddPartitionsToTxnResponse, StrBytes, message,
};

/// How long a coordinator may take. Source: Kafka's default of the broker's `request.timeout.ms`.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long an attempt to connect may take, and the pause after a failure.
const SETUP_TIMEOUT: Duration = Duration::from_secs(10);
const BACKOFF: Duration = Duration::from_millis(50);

/// The operation that a client's request implies. Source: Kafka's `TransactionSupportedOperation`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    /// To verify; the client does not know TRANSACTION_ABORTABLE.
    Verify,
    /// To verify; the client knows all errors.
    VerifyWithAbortable,
    /// To add the partition: transaction version 2.
    Add,
}

impl Operation {
    /// For a Produce.
    pub(crate) fn of_produce(version: i16) -> Self {
        match version {
            12.. => Self::Add,
            11 => Self::VerifyWithAbortable,
            _ => Self::Verify,
        }
    }

    /// For a TxnOffsetCommit.
    pub(crate) fn of_offset_commit(version: i16) -> Self {
        match version {
            5.. => Self::Add,
            4 => Self::VerifyWithAbortable,
            _ => Self::Verify,
        }
    }

    /// Whether the producer has a new epoch for each transaction.
    pub(crate) fn bumps_epoch(self) -> bool {
        self == Self::Add
    }
}

/// A transaction, and the partitions that are to be verified or added.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    pub(crate) transactional_id: String,
    pub(crate) producer: ProducerId,
    pub(crate) epoch: ProducerEpoch,
    pub(crate) operation: Operation,
    pub(crate) partitions: Vec<TopicPartition>,
}

/// The partitions that are not verified, or not added, each with its error.
pub(crate) type Unverified = BTreeMap<TopicPartition, ErrorCode>;

impl Question {
    fn refused(&self, error: ErrorCode) -> Unverified {
        self.partitions.iter().map(|partition| (partition.clone(), error)).collect()
    }

    fn message(&self) -> AddPartitionsToTxnTransaction {
        let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
        for of in &self.partitions {
            topics.entry(&of.topic).or_default().push(of.partition);
        }
        let topics = topics.into_iter().map(|(name, partitions)| {
            message!(AddPartitionsToTxnTopic { name: name.into(), partitions: partitions })
        });
        message!(AddPartitionsToTxnTransaction {
            transactional_id: self.transactional_id.as_str().into(),
            producer_id: self.producer.0,
            producer_epoch: self.epoch.0,
            verify_only: self.operation != Operation::Add,
            topics: topics.collect(),
        })
    }

    /// Maps the error of a coordinator to one that this producer knows.
    fn error(&self, code: i16) -> ErrorCode {
        match ErrorCode::from_code(code) {
            ErrorCode::ProducerFenced => ErrorCode::InvalidProducerEpoch,
            ErrorCode::TransactionAbortable if self.operation == Operation::Verify => {
                ErrorCode::InvalidTxnState
            }
            error => error,
        }
    }
}

/// A question, and where its answer goes.
struct Asked {
    question: Question,
    answer: oneshot::Sender<Unverified>,
}

impl Asked {
    fn answer(self, unverified: Unverified) {
        // A request that gave up does not hear it.
        let _ = self.answer.send(unverified);
    }

    fn refuse(self, error: ErrorCode) {
        let refused = self.question.refused(error);
        self.answer(refused);
    }
}

/// Questions that wait for a coordinator, by transactional id.
type Waiting = BTreeMap<String, Asked>;

/// A coordinator to which a request is under way.
struct Queue {
    /// Where it is, as far as is known by now.
    address: Address,
    waiting: Waiting,
}

/// The channel of a broker to the transaction coordinators.
pub(crate) struct Verifier<W: World> {
    world: W,
    pool: Pool<W>,
    queues: Mutex<BTreeMap<BrokerId, Queue>>,
}

impl<W: World> Verifier<W> {
    pub(crate) fn new(world: W, me: BrokerId) -> Arc<Self> {
        let backoff = Backoff::new(BACKOFF, BACKOFF);
        let connecting = Connecting { backoff, setup_timeout: SETUP_TIMEOUT };
        let pool = Pool::new(world.clone(), &format!("broker-{me}-transactions"), connecting);
        Arc::new(Self { world, pool, queues: Mutex::default() })
    }

    /// Asks the coordinator of a transaction. Returns the partitions that are not verified, or not
    /// added.
    pub(crate) async fn ask(
        self: &Arc<Self>,
        image: &Image,
        listener: &str,
        question: Question,
    ) -> Unverified {
        let coordinator = coordinator(image, &question.transactional_id);
        let found = coordinator.and_then(|id| Some((id, image.address(id, listener)?.clone())));
        let Some((id, address)) = found else {
            return question.refused(ErrorCode::CoordinatorNotAvailable);
        };
        let (answer, answered) = oneshot::channel();
        let lost = question.refused(ErrorCode::NetworkException);
        let begins = {
            let mut queues = self.queues.lock();
            let is_idle = !queues.contains_key(&id);
            let queue = queues
                .entry(id)
                .or_insert_with(|| Queue { address: address.clone(), waiting: Waiting::new() });
            queue.address = address;
            enqueue(&mut queue.waiting, Asked { question, answer });
            is_idle
        };
        if begins {
            self.world.spawn("transaction verification", self.clone().drain(id));
        }
        answered.await.unwrap_or(lost)
    }

    /// Sends the questions that wait for a coordinator, until none does.
    async fn drain(self: Arc<Self>, id: BrokerId) {
        loop {
            let (address, batch) = {
                let mut queues = self.queues.lock();
                match queues.get_mut(&id) {
                    Some(queue) if !queue.waiting.is_empty() => {
                        (queue.address.clone(), std::mem::take(&mut queue.waiting))
                    }
                    _ => {
                        queues.remove(&id);
                        return;
                    }
                }
            };
            let transactions = batch.values().map(|asked| asked.question.message());
            let request =
                message!(AddPartitionsToTxnRequest { transactions: transactions.collect() });
            let deadline = self.world.now() + PATIENCE;
            let called = self.pool.call(&address, Purpose::Questions, &request, None, deadline);
            deliver(batch, called.await);
        }
    }
}

/// The broker that coordinates a transactional id, if it is alive. Source: Kafka's
/// `TransactionStateManager.partitionFor`, which hashes as groups do.
fn coordinator(image: &Image, transactional_id: &str) -> Option<BrokerId> {
    let topic = image.topic(topics::TRANSACTION_STATE)?;
    let count = i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX);
    let partition = group::partition_of(transactional_id, count);
    let leader = topic.partitions.get(&partition)?.leader?;
    image.is_alive(leader).then_some(leader)
}

/// Adds a question to those that wait. Of two about one transactional id, that of the newer epoch
/// stays; of the same epoch, the later one.
fn enqueue(waiting: &mut Waiting, asked: Asked) {
    match waiting.entry(asked.question.transactional_id.clone()) {
        Entry::Vacant(vacant) => {
            vacant.insert(asked);
        }
        Entry::Occupied(mut before) => {
            let (known, epoch) = (before.get().question.epoch, asked.question.epoch);
            if epoch < known {
                return asked.refuse(ErrorCode::InvalidProducerEpoch);
            }
            let error = match known < epoch {
                true => ErrorCode::InvalidProducerEpoch,
                // Its client has retried: it is told so that another one would.
                false => ErrorCode::NetworkException,
            };
            before.insert(asked).refuse(error);
        }
    }
}

/// Answers the questions of one request.
fn deliver(mut batch: Waiting, called: Result<AddPartitionsToTxnResponse, RpcError>) {
    let refuse_all = |batch: Waiting, error| {
        batch.into_values().for_each(|asked| asked.refuse(error));
    };
    let response = match called {
        Ok(response) => response,
        // A coordinator of an older release can't verify: as in Kafka, the batch passes.
        Err(RpcError::Unsupported { .. }) => {
            return batch.into_values().for_each(|asked| asked.answer(Unverified::new()));
        }
        Err(error) => {
            tracing::warn!(%error, "can't verify transactions");
            return refuse_all(batch, ErrorCode::NetworkException);
        }
    };
    match ErrorCode::from_code(response.error_code) {
        ErrorCode::None => {}
        // That is between brokers. The client learns that its transaction is not verified.
        ErrorCode::ClusterAuthorizationFailed => {
            return refuse_all(batch, ErrorCode::InvalidTxnState);
        }
        error => return refuse_all(batch, error),
    }
    for result in response.results_by_transaction {
        let Some(asked) = batch.remove(result.transactional_id.as_str()) else { continue };
        // A partition that the answer leaves out is not verified.
        let mut unverified = asked.question.refused(ErrorCode::CoordinatorNotAvailable);
        for topic in result.topic_results {
            let name: StrBytes = topic.name;
            for partition in topic.results_by_partition {
                let of = TopicPartition::new(name.as_str(), partition.partition_index);
                match partition.partition_error_code {
                    0 => drop(unverified.remove(&of)),
                    code => drop(unverified.insert(of, asked.question.error(code))),
                }
            }
        }
        asked.answer(unverified);
    }
    refuse_all(batch, ErrorCode::CoordinatorNotAvailable);
}

#[cfg(test)]
mod tests;
