//! The producer's side of transactions: one after another, over one transactional id. Pure.
//!
//! A transaction begins without a request. Its coordinator learns of each partition before the first
//! batch (AddPartitionsToTxn, version 1) or from the partition's leader (version 2, KIP-890), and of
//! offsets likewise. It ends with EndTxn once no batch is without a verdict *and* no request with
//! batches is under way: a late one must not get into the next transaction. At most one request to a
//! coordinator is under way.
//!
//! A batch that fails leaves a gap in the numbers of its partition, or a doubt. Then the transaction
//! can only be aborted, and the next one has another epoch: from EndTxn's answer in version 2, and from
//! InitProducerId after the abort in version 1 (KIP-360). Each partition numbers from 0 in it.
//!
//! The bytes of a batch that was handed to a request are never written again (KAFKA-19012): a batch
//! that gets another number gets new bytes.
//!
//! | module | role |
//! |---|---|
//! | here | states, and the calls of the application |
//! | `asking` | the next request, and when |
//! | `answers` | what an answer means |
//! | `records` | what states mean for records, and records for states |
//! | `messages` | requests and answers |
//!
//! Source: Kafka's `TransactionManager` and `Sender`; KIP-98, KIP-360, KIP-447, KIP-890, KIP-1050.

mod answers;
mod asking;
mod messages;
mod records;

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use tokio::sync::oneshot;

pub(in crate::client) use self::messages::{Answer, Order, Request};
use super::granted::GrantedId;
use crate::base::{Instant, TopicPartition};
use crate::client::group::Offsets;
use crate::client::kernel::CoordinatorKey;
use crate::client::{ErrorClass, GroupMetadata, TransactionCause, TransactionError};

/// The level of the feature `transaction.version` from which version 2 is used.
const LEVEL_OF_VERSION_2: i16 = 2;

/// What comes of a call.
pub(in crate::client) type Told = Result<(), TransactionError>;

/// A call that ends in another state, and may be repeated until its outcome was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::client) enum Operation {
    Init,
    Commit,
    Abort,
}

impl Operation {
    /// The name of the call.
    pub(in crate::client) const fn call(self) -> &'static str {
        match self {
            Self::Init => "init_transactions",
            Self::Commit => "commit_transaction",
            Self::Abort => "abort_transaction",
        }
    }
}

/// Where the producer stands.
#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Uninitialised,
    /// Waits for an id or, after an abort, for another epoch.
    Initialising,
    Ready,
    InTransaction,
    Committing,
    Aborting,
    /// The transaction can only be aborted.
    Abortable(TransactionError),
    /// Nothing is possible any more.
    Fatal(TransactionError),
}

/// The protocol's version (KIP-890).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    /// The producer adds partitions and groups to its transaction.
    One,
    /// Brokers do that, and each transaction has an epoch of its own.
    Two,
}

/// Whether the coordinator knows of the transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Began {
    No,
    Perhaps,
    Yes,
}

/// The kinds of requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Init,
    AddPartitions,
    AddOffsets,
    CommitOffsets,
    End { commits: bool },
}

impl Kind {
    /// Kafka's name.
    const fn name(self) -> &'static str {
        match self {
            Self::Init => "InitProducerId",
            Self::AddPartitions => "AddPartitionsToTxn",
            Self::AddOffsets => "AddOffsetsToTxn",
            Self::CommitOffsets => "TxnOffsetCommit",
            Self::End { .. } => "EndTxn",
        }
    }
}

/// The request under way.
#[derive(Debug)]
struct Asking {
    ticket: u64,
    kind: Kind,
    /// The transaction that it belongs to.
    transaction: u64,
    /// Of AddPartitionsToTxn and TxnOffsetCommit.
    partitions: BTreeSet<TopicPartition>,
    to: CoordinatorKey,
}

/// Offsets that are to be part of the transaction.
#[derive(Debug)]
struct Sending {
    group: GroupMetadata,
    offsets: Offsets,
    /// The coordinator of the transaction knows the group.
    joined: bool,
    /// It may know the group.
    in_doubt: bool,
    reply: Option<oneshot::Sender<Told>>,
}

impl Sending {
    fn tell(&mut self, told: Told) {
        if let Some(reply) = self.reply.take() {
            let _ = reply.send(told);
        }
    }
}

/// A call whose outcome was not seen yet.
#[derive(Debug)]
struct Pending {
    operation: Operation,
    waiting: Vec<oneshot::Sender<Told>>,
    outcome: Option<Told>,
}

/// The transactions of one producer.
#[derive(Debug)]
pub(in crate::client) struct Transactions {
    id: Arc<str>,
    timeout_ms: i32,
    state: State,
    version: Version,
    /// As brokers say it; it counts once the current transaction is over.
    newest: Version,
    producer: Option<GrantedId>,
    /// The current transaction, or the next, counted from 1.
    transaction: u64,
    began: Began,
    /// Partitions whose first batch waits until they are added, of which the coordinator was not told.
    wanted: BTreeSet<TopicPartition>,
    /// Those of which it was, or is being, told.
    adding: BTreeSet<TopicPartition>,
    /// It may know those.
    adding_in_doubt: bool,
    /// Partitions of the transaction.
    added: BTreeSet<TopicPartition>,
    offsets: VecDeque<Sending>,
    /// Numbers were lost: the next transaction needs another epoch.
    bump: bool,
    asked: Option<Asking>,
    last_ticket: u64,
    failures: u32,
    not_before: Instant,
    pending: Option<Pending>,
    wake: Instant,
}

impl Transactions {
    pub(super) fn new(id: &str, timeout_ms: i32) -> Self {
        Self {
            id: id.into(),
            timeout_ms,
            state: State::Uninitialised,
            version: Version::One,
            newest: Version::One,
            producer: None,
            transaction: 1,
            began: Began::No,
            wanted: BTreeSet::new(),
            adding: BTreeSet::new(),
            adding_in_doubt: false,
            added: BTreeSet::new(),
            offsets: VecDeque::new(),
            bump: false,
            asked: None,
            last_ticket: 0,
            failures: 0,
            not_before: Instant::START,
            pending: None,
            wake: Instant::NEVER,
        }
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// Producer id and epoch of the current transaction.
    pub(super) fn producer(&self) -> Option<GrantedId> {
        self.producer
    }

    /// Whether the brokers add partitions to transactions (KIP-890).
    pub(super) fn is_implicit(&self) -> bool {
        self.version == Version::Two
    }

    /// The cluster has the feature `transaction.version` at this level.
    pub(super) fn learn_level(&mut self, level: i16) {
        self.newest = if level >= LEVEL_OF_VERSION_2 { Version::Two } else { Version::One };
    }

    /// Asks for the producer's id, and fences all others with the same transactional id.
    pub(super) fn init(&mut self) -> Result<oneshot::Receiver<Told>, TransactionError> {
        if let Some(waiting) = self.repeated(Operation::Init)? {
            return Ok(waiting);
        }
        self.refuse_after_error()?;
        if self.state != State::Uninitialised {
            let problem = "it was called before: begin_transaction is next";
            return Err(TransactionError::misuse("init_transactions", problem));
        }
        self.state = State::Initialising;
        Ok(self.begin_operation(Operation::Init))
    }

    pub(super) fn begin(&mut self) -> Told {
        const CALL: &str = "begin_transaction";
        self.refuse_while_pending(CALL)?;
        self.refuse_after_error()?;
        let problem = match self.state {
            State::Ready => {
                self.state = State::InTransaction;
                return Ok(());
            }
            State::Uninitialised | State::Initialising => "call init_transactions first",
            _ => "a transaction is open: commit_transaction or abort_transaction first",
        };
        Err(TransactionError::misuse(CALL, problem))
    }

    pub(super) fn send_offsets(
        &mut self,
        offsets: Offsets,
        group: GroupMetadata,
    ) -> Result<oneshot::Receiver<Told>, TransactionError> {
        const CALL: &str = "send_offsets_to_transaction";
        self.refuse_while_pending(CALL)?;
        self.refuse_after_error()?;
        if self.state != State::InTransaction {
            return Err(TransactionError::misuse(CALL, self.no_transaction()));
        }
        if group.group.is_empty() {
            let problem = "the consumer has no group: set its group.id";
            return Err(TransactionError::misuse(CALL, problem));
        }
        let (reply, told) = oneshot::channel();
        if offsets.is_empty() {
            let _ = reply.send(Ok(()));
            return Ok(told);
        }
        let reply = Some(reply);
        self.offsets.push_back(Sending { group, offsets, joined: false, in_doubt: false, reply });
        Ok(told)
    }

    pub(super) fn commit(&mut self) -> Result<oneshot::Receiver<Told>, TransactionError> {
        if let Some(waiting) = self.repeated(Operation::Commit)? {
            return Ok(waiting);
        }
        self.refuse_after_error()?;
        if self.state != State::InTransaction {
            return Err(TransactionError::misuse("commit_transaction", self.no_transaction()));
        }
        self.state = State::Committing;
        Ok(self.begin_operation(Operation::Commit))
    }

    pub(super) fn abort(&mut self) -> Result<oneshot::Receiver<Told>, TransactionError> {
        if let Some(waiting) = self.repeated(Operation::Abort)? {
            return Ok(waiting);
        }
        match &self.state {
            State::InTransaction | State::Abortable(_) => {}
            State::Fatal(error) => return Err(error.clone()),
            _ => return Err(TransactionError::misuse("abort_transaction", self.no_transaction())),
        }
        self.state = State::Aborting;
        let class = ErrorClass::Abortable;
        self.drop_unsent(&TransactionError { cause: TransactionCause::Aborted, class });
        Ok(self.begin_operation(Operation::Abort))
    }

    /// The caller has seen the outcome of an operation.
    pub(super) fn acknowledge(&mut self, operation: Operation) {
        let is_seen =
            |pending: &&mut Pending| pending.operation == operation && pending.outcome.is_some();
        if self.pending.as_mut().filter(is_seen).is_some() {
            self.pending = None;
        }
    }

    /// The producer is closed or dropped.
    pub(super) fn abandon(&mut self) {
        self.fail(TransactionError::closed());
    }

    fn no_transaction(&self) -> &'static str {
        match self.state {
            State::Uninitialised | State::Initialising => {
                "there is no transaction: init_transactions and begin_transaction first"
            }
            _ => "there is no transaction: begin_transaction first",
        }
    }

    fn refuse_after_error(&self) -> Told {
        match &self.state {
            State::Abortable(error) | State::Fatal(error) => Err(error.clone()),
            _ => Ok(()),
        }
    }

    fn refuse_while_pending(&mut self, call: &'static str) -> Told {
        let Some(pending) = &self.pending else { return Ok(()) };
        let problem =
            format!("the outcome of {0} is open: call {0} again", pending.operation.call());
        Err(TransactionError::misuse(call, problem))
    }

    /// The same call again: its outcome, if it is open. Another call is refused meanwhile.
    fn repeated(
        &mut self,
        operation: Operation,
    ) -> Result<Option<oneshot::Receiver<Told>>, TransactionError> {
        let Some(pending) = &mut self.pending else { return Ok(None) };
        if pending.operation != operation {
            return self.refuse_while_pending(operation.call()).map(|()| None);
        }
        let (reply, waiting) = oneshot::channel();
        match &pending.outcome {
            Some(outcome) => drop(reply.send(outcome.clone())),
            None => pending.waiting.push(reply),
        }
        Ok(Some(waiting))
    }

    fn begin_operation(&mut self, operation: Operation) -> oneshot::Receiver<Told> {
        let (reply, waiting) = oneshot::channel();
        self.pending = Some(Pending { operation, waiting: vec![reply], outcome: None });
        waiting
    }

    /// The operation is over. Its outcome is kept until the caller has seen it.
    fn end_operation(&mut self, outcome: &Told) {
        let Some(pending) = self.pending.as_mut().filter(|pending| pending.outcome.is_none())
        else {
            return;
        };
        pending.outcome = Some(outcome.clone());
        for waiting in pending.waiting.drain(..) {
            let _ = waiting.send(outcome.clone());
        }
    }
}

/// How a transaction ends.
impl Transactions {
    /// The transaction can only be aborted.
    fn fail_transaction(&mut self, error: TransactionError) {
        if !matches!(self.state, State::InTransaction | State::Committing) {
            return;
        }
        self.state = State::Abortable(error.clone());
        self.drop_unsent(&error);
        self.end_operation(&Err(error));
    }

    /// Nothing is possible any more.
    fn fail(&mut self, error: TransactionError) {
        if matches!(self.state, State::Fatal(_)) {
            return;
        }
        self.state = State::Fatal(error.clone());
        self.adding_in_doubt = false;
        self.offsets.iter_mut().for_each(|sending| sending.in_doubt = false);
        self.drop_unsent(&error);
        self.end_operation(&Err(error));
    }

    /// Forgets what a coordinator was not told of. What it may know of is still made certain.
    fn drop_unsent(&mut self, error: &TransactionError) {
        self.wanted.clear();
        let kind = self.asked.as_ref().map(|asked| asked.kind);
        if kind != Some(Kind::AddPartitions) && !self.adding_in_doubt {
            self.adding.clear();
        }
        let is_asked = matches!(kind, Some(Kind::AddOffsets | Kind::CommitOffsets));
        for sending in &mut self.offsets {
            sending.tell(Err(error.clone()));
        }
        let keeps_first = self.offsets.front().is_some_and(|first| is_asked || first.in_doubt);
        self.offsets.truncate(usize::from(keeps_first));
    }

    /// The transaction is over. `next`: the id and epoch of the next one, if the coordinator said.
    fn finish(&mut self, next: Option<GrantedId>) {
        if let Some(next) = next {
            self.bump &= self.producer == Some(next);
            self.producer = Some(next);
        }
        // The last transaction of version 1 leaves its epoch behind: a marker of it that arrives late
        // would end the first one of version 2 (KIP-890).
        self.bump |= self.version == Version::One && self.newest == Version::Two;
        self.version = self.newest;
        self.transaction += 1;
        self.began = Began::No;
        self.wanted.clear();
        self.adding.clear();
        self.adding_in_doubt = false;
        self.added.clear();
        self.offsets.clear();
        if self.bump {
            self.state = State::Initialising;
        } else {
            self.state = State::Ready;
            self.end_operation(&Ok(()));
        }
    }

    /// Panics if an invariant is broken.
    pub(super) fn check(&self) {
        let Self { state, transaction, pending, asked, .. } = self;
        let outside = matches!(state, State::Uninitialised | State::Initialising | State::Ready);
        let sets = [&self.wanted, &self.adding, &self.added];
        let is_empty = sets.iter().all(|set| set.is_empty()) && self.offsets.is_empty();
        assert!(!outside || is_empty, "{state:?}, but a transaction has contents");
        assert!(!outside || self.began == Began::No, "{state:?}, but {:?} began", self.began);
        for partition in &self.adding {
            let twice = self.wanted.contains(partition) || self.added.contains(partition);
            assert!(!twice, "{partition} is being added, and elsewhere");
        }
        let is_explicit = self.wanted.is_empty() && self.adding.is_empty();
        assert!(self.version == Version::One || is_explicit, "version 2 adds partitions itself");
        assert!(!self.adding_in_doubt || !self.adding.is_empty(), "in doubt about no partition");
        if let Some(asked) = asked {
            let (kind, of) = (asked.kind, asked.transaction);
            assert_eq!(of, *transaction, "{kind:?} of transaction {of} is under way");
            let fits = match kind {
                Kind::Init => matches!(state, State::Initialising | State::Fatal(_)),
                Kind::End { commits: true } => matches!(state, State::Committing | State::Fatal(_)),
                Kind::End { commits: false } => matches!(state, State::Aborting | State::Fatal(_)),
                _ => !outside,
            };
            assert!(fits, "{state:?}, but {kind:?} is under way");
        }
        let open = pending.as_ref().filter(|pending| pending.outcome.is_none());
        let fits = match open.map(|pending| pending.operation) {
            Some(Operation::Init) => *state == State::Initialising,
            // The next transaction may need another epoch first.
            Some(Operation::Commit) => matches!(state, State::Committing | State::Initialising),
            Some(Operation::Abort) => matches!(state, State::Aborting | State::Initialising),
            None => {
                outside && *state != State::Initialising
                    || matches!(state, State::InTransaction)
                    || matches!(state, State::Abortable(_) | State::Fatal(_))
            }
        };
        assert!(fits, "{state:?}, but {open:?} is pending");
        let needs_id =
            !matches!(state, State::Uninitialised | State::Initialising | State::Fatal(_));
        assert!(!needs_id || self.producer.is_some(), "{state:?} without a producer id");
    }
}
