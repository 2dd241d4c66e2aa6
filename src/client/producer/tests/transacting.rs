//! Transactions of the whole core: states, requests, and arbitrary answers.

use proptest::prelude::*;

use super::*;
use crate::base::TopicPartition;
use crate::client::producer::transactions::{Answer, Operation, Request, Told, Transactions};
use crate::client::{CommittedOffset, ErrorClass, GroupMetadata, TransactionError};
use crate::wire::messages::{
    AddOffsetsToTxnResponse, AddPartitionsToTxnResponse, EndTxnResponse, InitProducerIdResponse,
    TxnOffsetCommitResponse, add_partitions_to_txn_response as added,
    txn_offset_commit_response as committed,
};
use tokio::sync::oneshot::Receiver;

const NONE: ErrorCode = ErrorCode::None;

fn till(settings: &[(&str, &str)]) -> Stage {
    let mut all = vec![("transactional.id", "till")];
    all.extend_from_slice(settings);
    Stage::new(&all)
}

/// The answer of a coordinator in which everything has this error.
fn answer(request: &Request, error: ErrorCode, next: (i64, i16)) -> Answer {
    let code = error.code();
    let (id, epoch) = if error.is_none() { next } else { (-1, -1) };
    match request {
        Request::Init(_) => Answer::Init(message!(InitProducerIdResponse {
            error_code: code,
            producer_id: id,
            producer_epoch: epoch,
        })),
        Request::AddPartitions(request) => {
            let topics = request.v3_and_below_topics.iter().map(|topic| {
                let rows = topic.partitions.iter().map(|index| {
                    message!(added::AddPartitionsToTxnPartitionResult {
                        partition_index: *index,
                        partition_error_code: code,
                    })
                });
                message!(added::AddPartitionsToTxnTopicResult {
                    name: topic.name.clone(),
                    results_by_partition: rows.collect(),
                })
            });
            let topics = topics.collect();
            Answer::AddPartitions(message!(AddPartitionsToTxnResponse {
                results_by_topic_v3_and_below: topics
            }))
        }
        Request::AddOffsets(_) => {
            Answer::AddOffsets(message!(AddOffsetsToTxnResponse { error_code: code }))
        }
        Request::CommitOffsets(request) => {
            let topics = request.topics.iter().map(|topic| {
                let rows = topic.partitions.iter().map(|row| {
                    message!(committed::TxnOffsetCommitResponsePartition {
                        partition_index: row.partition_index,
                        error_code: code,
                    })
                });
                message!(committed::TxnOffsetCommitResponseTopic {
                    name: topic.name.clone(),
                    partitions: rows.collect(),
                })
            });
            Answer::CommitOffsets(message!(TxnOffsetCommitResponse { topics: topics.collect() }))
        }
        Request::End(_) => Answer::End(message!(EndTxnResponse {
            error_code: code,
            producer_id: id,
            producer_epoch: epoch,
        })),
    }
}

fn name(request: &Request) -> &'static str {
    match request {
        Request::Init(_) => "Init",
        Request::AddPartitions(_) => "AddPartitions",
        Request::AddOffsets(_) => "AddOffsets",
        Request::CommitOffsets(_) => "CommitOffsets",
        Request::End(request) if request.committed => "Commit",
        Request::End(_) => "Abort",
    }
}

impl Stage {
    fn call<T>(
        &mut self,
        call: impl FnOnce(&mut Transactions) -> Result<T, TransactionError>,
    ) -> Result<T, TransactionError> {
        let told = self.core.transactions("a test").and_then(call);
        self.step(Input::Tick);
        told
    }

    /// Answers the request to a coordinator that is under way, and returns its name.
    fn coordinate(&mut self, error: ErrorCode, next: (i64, i16)) -> &'static str {
        let order = self.asked.pop_front().expect("a request to a coordinator");
        let answer = answer(&order.request, error, next);
        self.step(Input::Transacted { ticket: order.ticket, answer });
        name(&order.request)
    }

    /// The producer has id 9, and a transaction is open.
    fn begun(level: i16, settings: &[(&str, &str)]) -> Self {
        let mut stage = till(settings);
        stage.core.learn_transaction_level(level);
        let mut waiting = stage.call(Transactions::init).unwrap();
        assert_eq!(stage.coordinate(NONE, (9, 0)), "Init");
        assert_eq!(waiting.try_recv().unwrap(), Ok(()));
        stage.acknowledge(Operation::Init);
        stage.call(Transactions::begin).unwrap();
        stage
    }

    fn acknowledge(&mut self, operation: Operation) {
        self.core.transactions("").unwrap().acknowledge(operation);
    }

    fn next(&self) -> Option<&'static str> {
        self.asked.front().map(|order| name(&order.request))
    }
}

fn outcome(waiting: &mut Receiver<Told>) -> Option<Told> {
    waiting.try_recv().ok()
}

#[test]
fn version_1_adds_the_partition_before_its_first_batch() {
    let mut stage = Stage::begun(1, &[]);
    let mut delivery = stage.send("a");
    assert!(stage.orders.is_empty(), "the coordinator does not know the partition");
    assert_eq!(stage.coordinate(NONE, (-1, -1)), "AddPartitions");
    let order = stage.order();
    assert!(order.explicit && batch(&order).is_transactional());
    assert_eq!(order.message.transactional_id.as_ref().unwrap().as_str(), "till");
    let mut commit = stage.call(Transactions::commit).unwrap();
    assert_eq!(stage.next(), None, "a batch is under way");
    stage.stored(&order, 3);
    assert_eq!(offset(&mut delivery), Some(Offset(3)));
    assert_eq!(stage.asked[0].max_version, Some(4));
    assert_eq!(stage.coordinate(NONE, (-1, -1)), "Commit");
    assert_eq!(outcome(&mut commit), Some(Ok(())));
    stage.acknowledge(Operation::Commit);
    stage.call(Transactions::begin).unwrap();
    drop(stage.send("b"));
    stage.coordinate(NONE, (-1, -1));
    let header = batch(&stage.order());
    assert_eq!((header.producer_epoch.0, header.base_sequence), (0, 1), "numbers go on");
}

#[test]
fn version_2_sends_at_once_and_numbers_each_transaction_from_0() {
    let mut stage = Stage::begun(2, &[]);
    drop(stage.send("a"));
    let order = stage.order();
    assert!(!order.explicit);
    stage.stored(&order, 0);
    let mut commit = stage.call(Transactions::commit).unwrap();
    assert_eq!(stage.asked[0].max_version, Some(5));
    assert_eq!(stage.coordinate(NONE, (9, 1)), "Commit");
    assert_eq!(outcome(&mut commit), Some(Ok(())));
    stage.acknowledge(Operation::Commit);
    stage.call(Transactions::begin).unwrap();
    drop(stage.send("b"));
    let header = batch(&stage.order());
    assert_eq!((header.producer_epoch.0, header.base_sequence), (1, 0));
}

#[test]
fn first_transaction_of_version_2_has_an_epoch_of_its_own() {
    let mut stage = Stage::begun(1, &[]);
    stage.core.learn_transaction_level(2);
    drop(stage.send("a"));
    assert_eq!(stage.coordinate(NONE, (-1, -1)), "AddPartitions");
    let order = stage.order();
    stage.stored(&order, 0);
    let mut commit = stage.call(Transactions::commit).unwrap();
    assert_eq!(stage.coordinate(NONE, (-1, -1)), "Commit");
    let Request::Init(request) = &stage.asked[0].request else { panic!("no new epoch") };
    assert_eq!((request.producer_id, request.producer_epoch), (9, 0));
    assert_eq!(outcome(&mut commit), None);
    stage.coordinate(NONE, (9, 1));
    assert_eq!(outcome(&mut commit), Some(Ok(())));
    stage.acknowledge(Operation::Commit);
    stage.core.learn_transaction_level(1);
    stage.call(Transactions::begin).unwrap();
    drop(stage.send("b"));
    let order = stage.order();
    assert!(!order.explicit, "a transaction keeps the version in which it begins");
    let header = batch(&order);
    assert_eq!((header.producer_epoch.0, header.base_sequence), (1, 0));
}

#[test]
fn empty_transaction_needs_no_request() {
    for level in [1, 2] {
        let mut stage = Stage::begun(level, &[]);
        let mut commit = stage.call(Transactions::commit).unwrap();
        assert_eq!((stage.next(), outcome(&mut commit)), (None, Some(Ok(()))));
        stage.acknowledge(Operation::Commit);
        stage.call(Transactions::begin).unwrap();
        let mut abort = stage.call(Transactions::abort).unwrap();
        assert_eq!((stage.next(), outcome(&mut abort)), (None, Some(Ok(()))));
    }
}

#[test]
fn commit_that_timed_out_must_be_repeated_and_keeps_its_outcome() {
    let mut stage = Stage::begun(2, &[]);
    drop(stage.send("a"));
    let order = stage.order();
    stage.stored(&order, 0);
    drop(stage.call(Transactions::commit).unwrap());
    let error = stage.call(Transactions::abort).unwrap_err();
    assert_eq!(error.class, ErrorClass::Misuse);
    assert!(error.to_string().contains("call commit_transaction again"), "{error}");
    stage.coordinate(NONE, (9, 1));
    let error = stage.call(Transactions::begin).unwrap_err();
    assert!(error.to_string().contains("commit_transaction again"), "{error}");
    let mut again = stage.call(Transactions::commit).unwrap();
    assert_eq!(outcome(&mut again), Some(Ok(())));
    stage.acknowledge(Operation::Commit);
    stage.call(Transactions::begin).unwrap();
}

#[test]
fn lost_reply_of_a_commit_is_asked_for_again() {
    let mut stage = Stage::begun(2, &[]);
    drop(stage.send("a"));
    let order = stage.order();
    stage.stored(&order, 0);
    let mut commit = stage.call(Transactions::commit).unwrap();
    let order = stage.asked.pop_front().unwrap();
    let answer = Answer::Lost { may_have_reached: true };
    stage.step(Input::Transacted { ticket: order.ticket, answer });
    stage.pass(Duration::from_secs(2));
    assert_eq!(stage.coordinate(NONE, (9, 1)), "Commit");
    assert_eq!(outcome(&mut commit), Some(Ok(())));
}

#[test]
fn failed_batch_makes_the_transaction_abortable_and_raises_the_epoch() {
    for level in [1, 2] {
        let mut stage = Stage::begun(level, &[]);
        let mut first = stage.send("a");
        if level == 1 {
            stage.coordinate(NONE, (-1, -1));
        }
        let order = stage.order();
        let mut commit = stage.call(Transactions::commit).unwrap();
        stage.refuse(&order, ErrorCode::InvalidRecord);
        assert_eq!(error(&mut first).name(), "INVALID_RECORD");
        let failed = outcome(&mut commit).unwrap().unwrap_err();
        assert_eq!((failed.name(), failed.is_abortable()), ("INVALID_RECORD", true));
        stage.acknowledge(Operation::Commit);
        let mut late = stage.send("b");
        assert_eq!(error(&mut late).name(), "INVALID_RECORD", "the transaction is lost");
        let mut abort = stage.call(Transactions::abort).unwrap();
        assert_eq!(stage.coordinate(NONE, (9, 1)), "Abort");
        if level == 1 {
            let Request::Init(request) = &stage.asked[0].request else { panic!("no new epoch") };
            assert_eq!((request.producer_id, request.producer_epoch), (9, 0));
            assert_eq!(outcome(&mut abort), None);
            stage.coordinate(NONE, (9, 1));
        }
        assert_eq!(outcome(&mut abort), Some(Ok(())));
        stage.acknowledge(Operation::Abort);
        stage.call(Transactions::begin).unwrap();
        drop(stage.send("c"));
        if level == 1 {
            stage.coordinate(NONE, (-1, -1));
        }
        let header = batch(&stage.order());
        assert_eq!((header.producer_epoch.0, header.base_sequence), (1, 0));
    }
}

#[test]
fn abort_drops_what_was_never_sent_and_waits_for_the_rest() {
    let mut stage = Stage::begun(2, &[("max.in.flight.requests.per.connection", "1")]);
    drop(stage.send("a"));
    let order = stage.order();
    let mut second = stage.send("b");
    let mut abort = stage.call(Transactions::abort).unwrap();
    assert_eq!(error(&mut second).name(), "TRANSACTION_ABORTED");
    assert!(!error(&mut stage.send("c")).may_be_stored);
    assert_eq!(stage.next(), None, "a batch is under way");
    stage.lose(&order, true);
    stage.pass(Duration::from_secs(2));
    let again = stage.order();
    assert_eq!(batch(&again).base_sequence, 0);
    stage.stored(&again, 0);
    assert_eq!(stage.coordinate(NONE, (9, 1)), "Abort");
    assert_eq!(outcome(&mut abort), Some(Ok(())));
}

#[test]
fn batch_that_expired_in_flight_holds_the_end_back() {
    let settings = [("delivery.timeout.ms", "1000"), ("request.timeout.ms", "1000")];
    let mut stage = Stage::begun(2, &settings);
    drop(stage.send("a"));
    let order = stage.order();
    stage.pass(Duration::from_millis(1001));
    drop(stage.call(Transactions::abort).unwrap());
    assert_eq!(stage.next(), None, "its request may still arrive");
    stage.lose(&order, true);
    assert_eq!(stage.next(), Some("Abort"));
}

#[test]
fn fenced_producer_fails_everything_for_good() {
    let mut stage = Stage::begun(1, &[]);
    let mut delivery = stage.send("a");
    let mut commit = stage.call(Transactions::commit).unwrap();
    assert_eq!(stage.coordinate(ErrorCode::InvalidProducerEpoch, (-1, -1)), "AddPartitions");
    let failed = outcome(&mut commit).unwrap().unwrap_err();
    assert_eq!((failed.is_fenced(), failed.class), (true, ErrorClass::ApplicationRecoverable));
    assert_eq!(error(&mut delivery).name(), "PRODUCER_FENCED");
    stage.acknowledge(Operation::Commit);
    for told in [stage.call(Transactions::begin), stage.call(Transactions::abort).map(drop)] {
        assert_eq!(told.unwrap_err(), failed);
    }
}

#[test]
fn misuse_names_the_call_that_is_missing() {
    let mut stage = till(&[]);
    for (told, remedy) in [
        (stage.call(Transactions::begin), "init_transactions first"),
        (stage.call(Transactions::commit).map(drop), "begin_transaction first"),
        (stage.call(Transactions::abort).map(drop), "begin_transaction first"),
    ] {
        let error = told.unwrap_err();
        assert!(error.class == ErrorClass::Misuse && error.to_string().contains(remedy), "{error}");
    }
    assert_eq!(error(&mut stage.send("a")).name(), "INVALID_STATE");
    let mut plain = Stage::new(&[]);
    let error = plain.call(Transactions::begin).unwrap_err();
    assert!(error.to_string().contains("no transactional.id: set it"), "{error}");
}

#[test]
fn offsets_join_the_transaction_before_they_are_committed() {
    let group =
        GroupMetadata { group: "shop".into(), generation: 3, member: "m".into(), instance: None };
    let offsets = [(TopicPartition::new("in", 0), CommittedOffset::at(Offset(7)))];
    for (level, expected) in [(1, &["AddOffsets", "CommitOffsets"][..]), (2, &["CommitOffsets"])] {
        let mut stage = Stage::begun(level, &[]);
        let (offsets, group) = (offsets.clone().into(), group.clone());
        let mut sent = stage.call(|all| all.send_offsets(offsets, group)).unwrap();
        let mut commit = stage.call(Transactions::commit).unwrap();
        for expected in expected {
            assert_eq!(stage.coordinate(NONE, (-1, -1)), *expected);
        }
        assert_eq!(outcome(&mut sent), Some(Ok(())));
        assert_eq!(stage.coordinate(NONE, (9, 1)), "Commit");
        assert_eq!(outcome(&mut commit), Some(Ok(())));
    }
}

#[test]
fn doubtful_partitions_are_made_certain_before_an_abort() {
    let mut stage = Stage::begun(1, &[]);
    drop(stage.send("a"));
    let order = stage.asked.pop_front().unwrap();
    drop(stage.call(Transactions::abort).unwrap());
    let answer = Answer::Lost { may_have_reached: true };
    stage.step(Input::Transacted { ticket: order.ticket, answer });
    stage.pass(Duration::from_secs(2));
    assert_eq!(stage.coordinate(NONE, (-1, -1)), "AddPartitions");
    assert_eq!(stage.coordinate(NONE, (-1, -1)), "Abort");
}

#[test]
fn close_aborts_the_open_transaction() {
    let mut stage = Stage::begun(2, &[]);
    drop(stage.send("a"));
    let order = stage.order();
    drop(stage.core.close());
    stage.step(Input::Tick);
    assert!(!stage.core.is_over());
    stage.stored(&order, 0);
    assert_eq!(stage.coordinate(NONE, (9, 1)), "Abort");
    assert!(stage.core.is_over());
}

#[derive(Clone, Debug)]
enum Action {
    Init,
    Begin,
    Send(bool),
    Offsets,
    Commit,
    Abort,
    Acknowledge,
    Level(i16),
    Coordinate { error: ErrorCode, epoch: i16 },
    Lose { reached: bool, produce: bool },
    Stale(u64),
    Produced { nth: usize, error: ErrorCode },
    Pass(u64),
}

fn errors() -> impl Strategy<Value = ErrorCode> {
    prop_oneof![
        6 => Just(ErrorCode::None),
        2 => prop::sample::select(vec![
            ErrorCode::ConcurrentTransactions,
            ErrorCode::NotCoordinator,
            ErrorCode::RequestTimedOut,
            ErrorCode::TransactionAbortable,
            ErrorCode::OutOfOrderSequenceNumber,
            ErrorCode::UnknownProducerId,
            ErrorCode::InvalidTxnState,
            ErrorCode::NotLeaderOrFollower,
        ]),
        1 => prop::sample::select(ErrorCode::ALL.to_vec()),
    ]
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let one = prop_oneof![
        1 => Just(Action::Init),
        4 => Just(Action::Begin),
        8 => any::<bool>().prop_map(Action::Send),
        2 => Just(Action::Offsets),
        4 => Just(Action::Commit),
        2 => Just(Action::Abort),
        8 => Just(Action::Acknowledge),
        1 => (0..3i16).prop_map(Action::Level),
        12 => (errors(), 0..4i16).prop_map(|(error, epoch)| Action::Coordinate { error, epoch }),
        2 => any::<(bool, bool)>().prop_map(|(reached, produce)| Action::Lose { reached, produce }),
        1 => any::<u64>().prop_map(Action::Stale),
        8 => (0..5usize, errors()).prop_map(|(nth, error)| Action::Produced { nth, error }),
        3 => (0..1500u64).prop_map(Action::Pass),
    ];
    prop::collection::vec(one, 1..120)
}

fn carry_out(stage: &mut Stage, action: Action) {
    match action {
        Action::Init => drop(stage.call(Transactions::init)),
        Action::Begin => drop(stage.call(Transactions::begin)),
        Action::Send(first) => {
            let record = ProducerRecord::new("orders", "v").to_partition(i32::from(first));
            drop(stage.hand_over(record));
            stage.step(Input::Tick);
        }
        Action::Offsets => {
            let group = GroupMetadata {
                group: "shop".into(),
                generation: 3,
                member: "m".into(),
                instance: None,
            };
            let offsets = [(TopicPartition::new("in", 0), CommittedOffset::at(Offset(7)))];
            drop(stage.call(|all| all.send_offsets(offsets.into(), group)));
        }
        Action::Commit => drop(stage.call(Transactions::commit)),
        Action::Abort => drop(stage.call(Transactions::abort)),
        Action::Acknowledge => {
            for operation in [Operation::Init, Operation::Commit, Operation::Abort] {
                stage.acknowledge(operation);
            }
        }
        Action::Level(level) => stage.core.learn_transaction_level(level),
        Action::Coordinate { error, epoch } if !stage.asked.is_empty() => {
            stage.coordinate(error, (9, epoch));
        }
        Action::Lose { reached, produce: false } if !stage.asked.is_empty() => {
            let ticket = stage.asked.pop_front().unwrap().ticket;
            let answer = Answer::Lost { may_have_reached: reached };
            stage.step(Input::Transacted { ticket, answer });
        }
        Action::Lose { reached, produce: true } if !stage.orders.is_empty() => {
            let order = stage.order();
            stage.lose(&order, reached);
        }
        Action::Stale(ticket) => {
            stage.step(Input::Transacted { ticket: ticket | 1 << 63, answer: Answer::Unsupported });
        }
        Action::Produced { nth, error } if !stage.orders.is_empty() => {
            let nth = nth % stage.orders.len();
            let order = stage.orders.remove(nth).unwrap();
            stage.answer(&order, error, if error.is_none() { 5 } else { -1 });
        }
        Action::Pass(millis) => stage.pass(Duration::from_millis(millis)),
        _ => {}
    }
    stage.core.check();
    assert!(stage.asked.len() <= 1, "one request to a coordinator at a time");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn arbitrary_answers_never_mix_two_transactions(actions in actions()) {
        let settings = [("delivery.timeout.ms", "2000"), ("request.timeout.ms", "1000")];
        let mut stage = Stage::begun(1, &settings);
        stage.leaders = Some(vec![(1, 5), (2, 5)]);
        for action in actions {
            carry_out(&mut stage, action);
        }
    }
}
