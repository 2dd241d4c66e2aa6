//! Questions that replace each other, and the mapping of a coordinator's errors.

use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;

use super::*;
use crate::base::{
    BrokerEpoch, LeaderEpoch, Listener, Offset, PartitionEpoch, SecurityProtocol, TopicId,
};
use crate::controller::{PartitionRecord, Record, RegisterBroker, TopicRecord};
use crate::io::real::RealWorld;
use crate::io::{Listener as _, Net};
use crate::rpc::Frames;
use crate::wire::api::{self, Api};
use crate::wire::frame::{decode_request, encode_response};
use crate::wire::messages::Uuid;
use crate::wire::messages::add_partitions_to_txn_response::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnResult, AddPartitionsToTxnTopicResult,
};

type Answered = oneshot::Receiver<Unverified>;

fn question(id: &str, epoch: i16, operation: Operation) -> Question {
    Question {
        transactional_id: id.to_owned(),
        producer: ProducerId(7),
        epoch: ProducerEpoch(epoch),
        operation,
        partitions: vec![TopicPartition::new("orders", 0), TopicPartition::new("orders", 1)],
    }
}

fn ask(waiting: &mut Waiting, question: Question) -> Answered {
    let (answer, answered) = oneshot::channel();
    enqueue(waiting, Asked { question, answer });
    answered
}

/// What a question was answered: by partition of `orders`.
fn told(mut answered: Answered) -> Option<Vec<(i32, ErrorCode)>> {
    let unverified = answered.try_recv().ok()?;
    Some(unverified.into_iter().map(|(of, error)| (of.partition, error)).collect())
}

fn both(error: ErrorCode) -> Option<Vec<(i32, ErrorCode)>> {
    Some(vec![(0, error), (1, error)])
}

/// A coordinator's answer about one transaction.
fn answer(id: &str, partitions: &[(i32, ErrorCode)]) -> AddPartitionsToTxnResponse {
    let partitions = partitions.iter().map(|(index, error)| {
        message!(AddPartitionsToTxnPartitionResult {
            partition_index: *index,
            partition_error_code: error.code(),
        })
    });
    let topic = message!(AddPartitionsToTxnTopicResult {
        name: "orders".into(),
        results_by_partition: partitions.collect(),
    });
    let result = message!(AddPartitionsToTxnResult {
        transactional_id: id.into(),
        topic_results: vec![topic],
    });
    message!(AddPartitionsToTxnResponse { results_by_transaction: vec![result] })
}

/// What a question is answered when its coordinator answers so.
fn after(
    operation: Operation,
    called: Result<AddPartitionsToTxnResponse, RpcError>,
) -> Option<Vec<(i32, ErrorCode)>> {
    let mut waiting = Waiting::new();
    let answered = ask(&mut waiting, question("t", 0, operation));
    deliver(waiting, called);
    told(answered)
}

#[test]
fn request_version_says_what_is_asked() {
    let of = Operation::of_produce;
    assert_eq!((of(10), of(11)), (Operation::Verify, Operation::VerifyWithAbortable));
    assert_eq!((of(12), of(13)), (Operation::Add, Operation::Add));
    let of = Operation::of_offset_commit;
    assert_eq!((of(3), of(4)), (Operation::Verify, Operation::VerifyWithAbortable));
    assert_eq!(of(5), Operation::Add);
}

#[test]
fn message_has_each_topic_once_and_says_whether_to_add() {
    let verify = question("t", 3, Operation::VerifyWithAbortable).message();
    assert_eq!((verify.topics.len(), verify.verify_only), (1, true));
    assert_eq!(verify.topics[0].partitions, [0, 1]);
    assert_eq!((verify.producer_id, verify.producer_epoch), (7, 3));
    assert!(!question("t", 3, Operation::Add).message().verify_only);
}

#[test]
fn partitions_of_the_transaction_pass_and_others_do_not() {
    let response = answer("t", &[(0, ErrorCode::None), (1, ErrorCode::InvalidTxnState)]);
    assert_eq!(after(Operation::Add, Ok(response)), Some(vec![(1, ErrorCode::InvalidTxnState)]));
    let all = answer("t", &[(0, ErrorCode::None), (1, ErrorCode::None)]);
    assert_eq!(after(Operation::Add, Ok(all)), Some(vec![]));
}

#[test]
fn partition_that_the_answer_leaves_out_is_not_verified() {
    let left_out = ErrorCode::CoordinatorNotAvailable;
    let response = answer("t", &[(0, ErrorCode::None)]);
    assert_eq!(after(Operation::Verify, Ok(response)), Some(vec![(1, left_out)]));
    assert_eq!(after(Operation::Verify, Ok(answer("other", &[]))), both(left_out));
}

#[test]
fn errors_are_those_that_the_producer_knows() {
    let one = |operation, error| {
        let response = answer("t", &[(0, error), (1, ErrorCode::None)]);
        after(operation, Ok(response)).unwrap()[0].1
    };
    let fenced = ErrorCode::ProducerFenced;
    assert_eq!(one(Operation::Add, fenced), ErrorCode::InvalidProducerEpoch);
    let abortable = ErrorCode::TransactionAbortable;
    assert_eq!(one(Operation::Verify, abortable), ErrorCode::InvalidTxnState);
    assert_eq!(one(Operation::VerifyWithAbortable, abortable), abortable);
    let concurrent = ErrorCode::ConcurrentTransactions;
    assert_eq!(one(Operation::Add, concurrent), concurrent);
}

#[test]
fn coordinator_that_does_not_answer_verifies_nothing() {
    let to = Address::new("b1", 1);
    let lost = RpcError::TimedOut { to: to.clone(), request: "AddPartitionsToTxn", sent: true };
    assert_eq!(after(Operation::Verify, Err(lost)), both(ErrorCode::NetworkException));
    let old = RpcError::Unsupported { by: to, request: "AddPartitionsToTxn" };
    assert_eq!(after(Operation::Verify, Err(old)), Some(vec![]), "of an older release");
    let refused =
        |error: ErrorCode| Ok(message!(AddPartitionsToTxnResponse { error_code: error.code() }));
    let loading = ErrorCode::CoordinatorLoadInProgress;
    assert_eq!(after(Operation::Verify, refused(loading)), both(loading));
    let forbidden = refused(ErrorCode::ClusterAuthorizationFailed);
    assert_eq!(after(Operation::Verify, forbidden), both(ErrorCode::InvalidTxnState));
}

#[test]
fn newer_question_about_a_transaction_replaces_the_one_that_waits() {
    let mut waiting = Waiting::new();
    let first = ask(&mut waiting, question("t", 1, Operation::Verify));
    let again = ask(&mut waiting, question("t", 1, Operation::Verify));
    assert_eq!(told(first), both(ErrorCode::NetworkException), "its client has retried");
    let bumped = ask(&mut waiting, question("t", 2, Operation::Verify));
    assert_eq!(told(again), both(ErrorCode::InvalidProducerEpoch));
    let zombie = ask(&mut waiting, question("t", 1, Operation::Verify));
    assert_eq!(told(zombie), both(ErrorCode::InvalidProducerEpoch));
    let other = ask(&mut waiting, question("u", 0, Operation::Verify));
    assert_eq!(waiting.len(), 2);
    deliver(waiting, Ok(answer("t", &[(0, ErrorCode::None), (1, ErrorCode::None)])));
    assert_eq!(told(bumped), Some(vec![]));
    assert_eq!(told(other), both(ErrorCode::CoordinatorNotAvailable));
}

const LISTENER: &str = "PLAINTEXT";

/// Metadata in which broker 2 coordinates all transactions, at this address.
fn metadata(address: &Address, fenced: bool) -> Image {
    let topic = TopicId([3; 16]);
    let broker = RegisterBroker {
        broker: BrokerId(2),
        incarnation: Uuid::from_bytes([1; 16]),
        epoch: BrokerEpoch(1),
        listeners: vec![Listener {
            name: LISTENER.into(),
            address: address.clone(),
            protocol: SecurityProtocol::PLAINTEXT,
        }],
        features: Vec::new(),
        rack: None,
        fenced,
        in_controlled_shutdown: false,
        log_dirs: Vec::new(),
    };
    let partition = PartitionRecord {
        partition: 0,
        topic,
        replicas: vec![BrokerId(2)],
        isr: vec![BrokerId(2)],
        removing: Vec::new(),
        adding: Vec::new(),
        leader: Some(BrokerId(2)),
        recovering: false,
        leader_epoch: LeaderEpoch(0),
        partition_epoch: PartitionEpoch(0),
        directories: Vec::new(),
        elr: Vec::new(),
        last_known_elr: Vec::new(),
    };
    let name = topics::TRANSACTION_STATE.to_owned();
    let records = [
        Record::RegisterBroker(broker),
        Record::Topic(TopicRecord { name, id: topic }),
        Record::Partition(partition),
    ];
    let (mut image, mut changes) = (Image::default(), Vec::new());
    for (at, record) in (0..).zip(&records) {
        image.replay(Offset(at), record, &mut changes).unwrap();
    }
    image
}

/// The coordinator's side of a connection: it verifies everything, each time it is told to. Returns its
/// address, and the transactional ids of each request.
async fn coordinator(
    world: &RealWorld,
    mut go: mpsc::UnboundedReceiver<()>,
) -> (Address, mpsc::UnboundedReceiver<Vec<String>>) {
    let mut listener = world.net().bind(&Address::new("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_address().unwrap();
    let (asked, requests) = mpsc::unbounded_channel();
    world.spawn("coordinator", async move {
        let (stream, _) = listener.accept().await.unwrap();
        let (reader, mut out) = tokio::io::split(stream);
        let mut frames = Frames::new(reader, 1 << 20);
        while let Ok(Some(bytes)) = frames.next().await {
            let request = decode_request(bytes).unwrap();
            let (id, version) = (request.header.correlation_id, request.header.api_version);
            let frame = if request.header.api_key == api::key::API_VERSIONS {
                let served = [Api::of::<AddPartitionsToTxnRequest>(0, 5)];
                encode_response(id, version, &api::versions(&served)).unwrap()
            } else {
                let request: AddPartitionsToTxnRequest = request.decode().unwrap();
                let ids = request.transactions.iter().map(|of| of.transactional_id.to_string());
                asked.send(ids.collect()).unwrap();
                go.recv().await.unwrap();
                let verified = [(0, ErrorCode::None), (1, ErrorCode::None)];
                let mut response = AddPartitionsToTxnResponse::default();
                for of in &request.transactions {
                    let result = answer(&of.transactional_id, &verified);
                    response.results_by_transaction.extend(result.results_by_transaction);
                }
                encode_response(id, version, &response).unwrap()
            };
            out.write_all(&frame).await.unwrap();
        }
    });
    (address, requests)
}

#[tokio::test]
async fn questions_that_come_while_one_is_in_flight_are_sent_together() {
    let world = RealWorld::new();
    let (go, told) = mpsc::unbounded_channel();
    let (address, mut requests) = coordinator(&world, told).await;
    let image = Arc::new(metadata(&address, false));
    let verifier = Verifier::new(world.clone(), BrokerId(1));
    let (done, mut answers) = mpsc::unbounded_channel();
    let ask = |id: &'static str| {
        let (verifier, image, done) = (verifier.clone(), image.clone(), done.clone());
        world.spawn("question", async move {
            let unverified = verifier.ask(&image, LISTENER, question(id, 0, Operation::Add)).await;
            done.send((id, unverified)).unwrap();
        });
    };
    ask("a");
    assert_eq!(requests.recv().await, Some(vec!["a".to_owned()]));
    ask("b");
    ask("c");
    while verifier.queues.lock().values().any(|queue| queue.waiting.len() < 2) {
        tokio::task::yield_now().await;
    }
    go.send(()).unwrap();
    assert_eq!(answers.recv().await, Some(("a", Unverified::new())));
    assert_eq!(requests.recv().await, Some(vec!["b".to_owned(), "c".to_owned()]));
    go.send(()).unwrap();
    let mut rest = [answers.recv().await.unwrap(), answers.recv().await.unwrap()];
    rest.sort_by_key(|(id, _)| *id);
    assert_eq!(rest, [("b", Unverified::new()), ("c", Unverified::new())]);
    while !verifier.queues.lock().is_empty() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn coordinator_that_is_not_known_or_not_alive_is_not_available() {
    let verifier = Verifier::new(RealWorld::new(), BrokerId(1));
    let fenced = metadata(&Address::new("127.0.0.1", 1), true);
    for image in [Image::default(), fenced] {
        let refused = verifier.ask(&image, LISTENER, question("a", 0, Operation::Add)).await;
        assert!(refused.values().all(|error| *error == ErrorCode::CoordinatorNotAvailable));
        assert_eq!(refused.len(), 2);
    }
}

#[tokio::test]
async fn coordinator_that_cannot_be_reached_verifies_nothing() {
    let world = RealWorld::new();
    let listener = world.net().bind(&Address::new("127.0.0.1", 0)).await.unwrap();
    let image = metadata(&listener.local_address().unwrap(), false);
    drop(listener);
    let verifier = Verifier::new(world, BrokerId(1));
    let refused = verifier.ask(&image, LISTENER, question("a", 0, Operation::Verify)).await;
    assert!(refused.values().all(|error| *error == ErrorCode::NetworkException));
    assert!(verifier.queues.lock().is_empty());
}
