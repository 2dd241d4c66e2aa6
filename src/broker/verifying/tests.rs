//! Questions that replace each other, and the mapping of a coordinator's errors.

use super::*;
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
fn response(id: &str, partitions: &[(i32, ErrorCode)]) -> AddPartitionsToTxnResponse {
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
    let answer = response("t", &[(0, ErrorCode::None), (1, ErrorCode::InvalidTxnState)]);
    assert_eq!(after(Operation::Add, Ok(answer)), Some(vec![(1, ErrorCode::InvalidTxnState)]));
    let all = response("t", &[(0, ErrorCode::None), (1, ErrorCode::None)]);
    assert_eq!(after(Operation::Add, Ok(all)), Some(vec![]));
}

#[test]
fn partition_that_the_answer_leaves_out_is_not_verified() {
    let left_out = ErrorCode::CoordinatorNotAvailable;
    let answer = response("t", &[(0, ErrorCode::None)]);
    assert_eq!(after(Operation::Verify, Ok(answer)), Some(vec![(1, left_out)]));
    assert_eq!(after(Operation::Verify, Ok(response("other", &[]))), both(left_out));
}

#[test]
fn errors_are_those_that_the_producer_knows() {
    let one = |operation, error| {
        let answer = response("t", &[(0, error), (1, ErrorCode::None)]);
        after(operation, Ok(answer)).unwrap()[0].1
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
    deliver(waiting, Ok(response("t", &[(0, ErrorCode::None), (1, ErrorCode::None)])));
    assert_eq!(told(bumped), Some(vec![]));
    assert_eq!(told(other), both(ErrorCode::CoordinatorNotAvailable));
}
