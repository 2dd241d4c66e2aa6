//! What an answer of a coordinator means for a transaction.

use std::time::Duration;

use super::messages::Answer;
use super::{Asking, Began, Kind, State, Transactions, Version};
use crate::base::Instant;
use crate::client::kernel::Kernel;
use crate::client::producer::granted::GrantedId;
use crate::client::{ErrorClass, TransactionCause, TransactionError};
use crate::wire::ErrorCode;

/// The longest pause before the first partition of a transaction is added again: markers of the one
/// before are on their way. Source: Kafka's `TransactionManager.ADD_PARTITIONS_RETRY_BACKOFF_MS`.
const FIRST_PARTITION_PAUSE: Duration = Duration::from_millis(20);

impl Transactions {
    /// Takes the answer to the request with this ticket.
    pub(in crate::client::producer) fn answered(
        &mut self,
        now: Instant,
        ticket: u64,
        answer: &Answer,
        kernel: &mut Kernel,
    ) {
        let Some(asked) = self.asked.take_if(|asked| asked.ticket == ticket) else { return };
        kernel.coordinator_throttled(now, &asked.to, answer.throttle_ms());
        let error = match answer.read(asked.kind, &asked) {
            Ok(granted) => {
                self.failures = 0;
                self.not_before = Instant::START;
                return self.succeeded(asked, granted);
            }
            Err(error) => error,
        };
        if let Answer::Lost { .. } = answer {
            let node = kernel.coordinator(&asked.to).ok().flatten().map(|node| node.broker);
            if let Some(broker) = node {
                kernel.broker_failed(now, broker);
            }
        }
        self.doubt(asked.kind, answer, error);
        if !error.is_retriable() {
            return self.refused(asked.kind, error, asked.kind.name());
        }
        // Kafka looks up the coordinator of a group again when it does not commit in time.
        let is_slow = asked.kind == Kind::CommitOffsets && error == ErrorCode::RequestTimedOut;
        let moved = if is_slow { ErrorCode::NotCoordinator } else { error };
        kernel.coordinator_refused(&asked.to, moved);
        self.retry(now, asked.kind, error, kernel);
    }

    fn retry(&mut self, now: Instant, kind: Kind, error: ErrorCode, kernel: &mut Kernel) {
        self.failures = self.failures.saturating_add(1);
        let pause = kernel.pause(self.failures);
        let waits_for_markers = kind == Kind::AddPartitions
            && error == ErrorCode::ConcurrentTransactions
            && self.added.is_empty();
        let pause = if waits_for_markers { pause.min(FIRST_PARTITION_PAUSE) } else { pause };
        self.not_before = now + pause;
        // A commit of offsets in an earlier attempt was given up meanwhile.
        if kind == Kind::CommitOffsets && !self.is_active() {
            self.offsets.pop_front();
        }
    }

    /// Whether the transaction may still be committed.
    fn is_active(&self) -> bool {
        matches!(self.state, State::InTransaction | State::Committing)
    }

    /// Keeps in mind what the coordinator may know though it did not say so.
    fn doubt(&mut self, kind: Kind, answer: &Answer, error: ErrorCode) {
        let untouched = matches!(answer, Answer::Lost { may_have_reached: false })
            || matches!(
                error,
                ErrorCode::ConcurrentTransactions
                    | ErrorCode::NotCoordinator
                    | ErrorCode::CoordinatorLoadInProgress
                    | ErrorCode::UnsupportedVersion
            );
        if untouched || matches!(self.state, State::Fatal(_)) {
            // Only an attempt that may have been carried out is made certain.
            let is_dropped = kind == Kind::AddPartitions && !self.adding_in_doubt;
            if is_dropped && !self.is_active() {
                self.adding.clear();
            }
            let first_in_doubt = self.offsets.front().is_some_and(|first| first.in_doubt);
            if kind == Kind::AddOffsets && !self.is_active() && !first_in_doubt {
                self.offsets.pop_front();
            }
            return;
        }
        match kind {
            Kind::AddPartitions => self.adding_in_doubt = true,
            Kind::AddOffsets => {
                if let Some(first) = self.offsets.front_mut() {
                    first.in_doubt = true;
                }
            }
            Kind::CommitOffsets => self.began = self.began.max(Began::Perhaps),
            Kind::Init | Kind::End { .. } => {}
        }
    }

    fn succeeded(&mut self, asked: Asking, granted: Option<GrantedId>) {
        if matches!(self.state, State::Fatal(_)) {
            return;
        }
        match asked.kind {
            Kind::Init => {
                self.producer = granted;
                self.bump = false;
                self.version = self.newest;
                self.state = State::Ready;
                self.end_operation(&Ok(()));
            }
            Kind::AddPartitions => {
                self.began = Began::Yes;
                self.adding_in_doubt = false;
                self.adding.retain(|partition| !asked.partitions.contains(partition));
                self.added.extend(asked.partitions);
            }
            Kind::AddOffsets => {
                self.began = Began::Yes;
                let is_active = self.is_active();
                match self.offsets.front_mut() {
                    Some(first) if is_active => (first.joined, first.in_doubt) = (true, false),
                    _ => drop(self.offsets.pop_front()),
                }
            }
            Kind::CommitOffsets => {
                self.began = Began::Yes;
                if let Some(mut first) = self.offsets.pop_front() {
                    first.tell(Ok(()));
                }
            }
            // Only version 2 says what comes next.
            Kind::End { .. } => self.finish(granted.filter(|_| self.version == Version::Two)),
        }
    }

    /// A request was refused for good. `request`: its name, or that of the lookup before it.
    pub(super) fn refused(&mut self, kind: Kind, error: ErrorCode, request: &'static str) {
        if matches!(self.state, State::Fatal(_)) {
            return;
        }
        match kind {
            Kind::AddPartitions => {
                if self.adding_in_doubt {
                    self.began = self.began.max(Began::Perhaps);
                }
                self.adding_in_doubt = false;
                self.adding.clear();
            }
            Kind::AddOffsets if self.offsets.front().is_some_and(|first| first.in_doubt) => {
                self.began = self.began.max(Began::Perhaps);
            }
            _ => {}
        }
        let failure = self.failure(kind, error, request);
        if let Kind::AddOffsets | Kind::CommitOffsets = kind
            && let Some(mut first) = self.offsets.pop_front()
        {
            first.tell(Err(failure.clone()));
        }
        self.bump |= error == ErrorCode::UnknownProducerId;
        let aborts = kind == Kind::End { commits: false };
        match (kind, failure.class) {
            // Without an id there is nothing to lose: the call may be made again.
            (Kind::Init, ErrorClass::InvalidConfiguration | ErrorClass::Abortable)
                if self.producer.is_none() =>
            {
                self.state = State::Uninitialised;
                self.end_operation(&Err(failure));
            }
            // The coordinator has no such transaction, and the next epoch fences what is late.
            (_, ErrorClass::Abortable) if aborts => {
                self.bump = true;
                self.finish(None);
            }
            _ if aborts && error == ErrorCode::InvalidTxnState && self.began == Began::Perhaps => {
                self.bump = true;
                self.finish(None);
            }
            (Kind::Init, _) => self.fail(failure),
            (_, ErrorClass::Abortable) => self.fail_transaction(failure),
            _ => self.fail(failure),
        }
    }

    /// The error for the application. Source: the handlers in Kafka's `TransactionManager`.
    fn failure(&self, kind: Kind, error: ErrorCode, request: &'static str) -> TransactionError {
        let broker = |error, class| TransactionError::broker(error, request, class);
        match (error, kind) {
            (ErrorCode::UnsupportedVersion, _) => TransactionError {
                cause: TransactionCause::UnsupportedVersion { request },
                class: ErrorClass::InvalidConfiguration,
            },
            (ErrorCode::InvalidProducerEpoch | ErrorCode::ProducerFenced, _) => {
                broker(ErrorCode::ProducerFenced, ErrorClass::ApplicationRecoverable)
            }
            (ErrorCode::TransactionAbortable | ErrorCode::UnknownProducerId, _) => {
                broker(error, ErrorClass::Abortable)
            }
            (
                ErrorCode::TransactionalIdAuthorizationFailed
                | ErrorCode::InvalidTxnState
                | ErrorCode::InvalidProducerIdMapping,
                _,
            ) => broker(error, ErrorClass::of(error)),
            (ErrorCode::GroupAuthorizationFailed, Kind::AddOffsets | Kind::CommitOffsets)
            | (ErrorCode::FencedInstanceId, Kind::CommitOffsets)
            | (_, Kind::AddPartitions) => broker(error, ErrorClass::Abortable),
            (
                ErrorCode::UnknownMemberId
                | ErrorCode::IllegalGeneration
                | ErrorCode::StaleMemberEpoch
                | ErrorCode::FencedMemberEpoch,
                Kind::CommitOffsets,
            ) => {
                let group = self.offsets.front().map(|first| first.group.group.clone());
                let group = group.unwrap_or_default();
                let cause = TransactionCause::CommitFailed { group, error };
                TransactionError { cause, class: ErrorClass::Abortable }
            }
            _ => match ErrorClass::of(error) {
                class @ (ErrorClass::ApplicationRecoverable | ErrorClass::InvalidConfiguration) => {
                    broker(error, class)
                }
                _ => broker(error, ErrorClass::Fatal),
            },
        }
    }
}
