//! What the coordinator's answers change. Source: the response handlers of Kafka's
//! `AbstractCoordinator` and `ConsumerCoordinator`.
//!
//! | error | reaction |
//! |---|---|
//! | NOT_COORDINATOR, COORDINATOR_NOT_AVAILABLE, none at all | look for another coordinator, then ask again |
//! | COORDINATOR_LOAD_IN_PROGRESS and others that pass | ask again after a pause |
//! | REBALANCE_IN_PROGRESS | join again |
//! | MEMBER_ID_REQUIRED | join again under the given id (KIP-394) |
//! | ILLEGAL_GENERATION | what it owned is lost; join again |
//! | UNKNOWN_MEMBER_ID | the same, under a new id |
//! | FENCED_INSTANCE_ID | stop: another instance has taken this one's place |
//! | any other | report it to the application, whose next poll tries again |

use super::leading::Leading;
use super::{Classic, Generation, Identity, Pause, State, Trouble};
use crate::base::Instant;
use crate::client::assignor::Assignor;
use crate::client::group::{Response, payload};
use crate::client::kernel::{Cluster, RequestId};
use crate::group::MemberId;
use crate::wire::ErrorCode;
use crate::wire::messages::{JoinGroupResponse, StrBytes, SyncGroupResponse};

use super::Leave;
use super::asking::PROTOCOL_TYPE;

/// Whether the answer says that the group is not one of consumers.
fn is_foreign(protocol_type: Option<&StrBytes>) -> bool {
    protocol_type.is_some_and(|kind| kind.as_str() != PROTOCOL_TYPE)
}

impl Classic {
    /// Takes an answer; `Err`: there is none, because of this. Returns the coordinator's error, for
    /// the caller to see whether the coordinator has moved. Answers to requests of an earlier
    /// generation change nothing.
    pub(in crate::client) fn answered(
        &mut self,
        now: Instant,
        request: RequestId,
        answer: Result<&Response, ErrorCode>,
        cluster: &Cluster,
        pause: Pause<'_>,
    ) -> ErrorCode {
        if self.heartbeats.remove(&request) {
            return self.heartbeat_answered(now, answer, pause);
        }
        if matches!(self.leave, Leave::Asked(asked) if asked == request) {
            // The session ends by itself if this did not help.
            self.leave = Leave::No;
            let error = match answer {
                Ok(Response::Leave(answer)) => ErrorCode::from_code(answer.error_code),
                Ok(_) => ErrorCode::UnknownServerError,
                Err(error) => error,
            };
            self.is_dismissed = error.is_none();
            return error;
        }
        match (&self.state, answer) {
            (State::Joining(asked), _) if *asked == request => {
                self.state = State::Unjoined;
                match answer {
                    Ok(Response::Join(answer)) => self.join_answered(now, answer, cluster, pause),
                    Ok(_) => self.retry(now, ErrorCode::UnknownServerError, pause),
                    Err(error) => self.retry(now, error, pause),
                }
            }
            (State::Syncing(asked), _) if *asked == request => {
                self.state = State::Unjoined;
                self.heartbeats.clear();
                match answer {
                    Ok(Response::Sync(answer)) => self.sync_answered(now, answer, pause),
                    Ok(_) => self.retry(now, ErrorCode::UnknownServerError, pause),
                    Err(error) => self.retry(now, error, pause),
                }
            }
            _ => ErrorCode::None,
        }
    }

    fn join_answered(
        &mut self,
        now: Instant,
        answer: &JoinGroupResponse,
        cluster: &Cluster,
        pause: Pause<'_>,
    ) -> ErrorCode {
        let member = MemberId::from(answer.member_id.as_str());
        let error = ErrorCode::from_code(answer.error_code);
        match error {
            ErrorCode::None => self.joined(now, answer, member, cluster, pause),
            ErrorCode::MemberIdRequired if !member.as_str().is_empty() => {
                self.generation = Generation { member, ..Generation::none() };
                // What a member under another id owned is lost.
                self.is_prepared &= self.owned.is_empty();
                self.request_rejoin("need to re-join with the given member-id");
                self.retry_soon(now, error, pause)
            }
            ErrorCode::UnknownMemberId => {
                self.reset("encountered UNKNOWN_MEMBER_ID from JOIN_GROUP response", true);
                self.retry_soon(now, error, pause)
            }
            ErrorCode::RebalanceInProgress => self.retry_soon(now, error, pause),
            error => self.retry(now, error, pause),
        }
    }

    /// A generation begins.
    fn joined(
        &mut self,
        now: Instant,
        answer: &JoinGroupResponse,
        member: MemberId,
        cluster: &Cluster,
        pause: Pause<'_>,
    ) -> ErrorCode {
        let assignor =
            answer.protocol_name.as_ref().and_then(|name| Assignor::parse(name.as_str()));
        let assignor = assignor.filter(|assignor| self.settings.assignors.contains(assignor));
        let is_foreign = is_foreign(answer.protocol_type.as_ref());
        let Some(assignor) = assignor.filter(|_| !is_foreign) else {
            return self.retry(now, ErrorCode::InconsistentGroupProtocol, pause);
        };
        let is_leader = answer.leader == answer.member_id;
        let generation = Generation { id: answer.generation_id, member, assignor: Some(assignor) };
        if !generation.is_valid() {
            return self.retry(now, ErrorCode::UnknownServerError, pause);
        }
        self.generation = generation;
        self.heartbeat.reset(now);
        let mut leading = None;
        if is_leader {
            match Leading::new(answer, assignor) {
                Ok(mut leads) => {
                    leads.learn(cluster, &[]);
                    self.group_topics = leads.topics().cloned().collect();
                    leading = Some(Box::new(leads));
                }
                Err(trouble) => {
                    self.give_up(trouble);
                    return ErrorCode::None;
                }
            }
        }
        self.state = State::Assigning(leading);
        ErrorCode::None
    }

    fn sync_answered(
        &mut self,
        now: Instant,
        answer: &SyncGroupResponse,
        pause: Pause<'_>,
    ) -> ErrorCode {
        let error = ErrorCode::from_code(answer.error_code);
        match error {
            ErrorCode::None => {
                let own = self.generation.assignor.map(Assignor::name);
                let differs =
                    answer.protocol_name.as_ref().is_some_and(|n| Some(n.as_str()) != own);
                if differs || is_foreign(answer.protocol_type.as_ref()) {
                    return self.retry(now, ErrorCode::InconsistentGroupProtocol, pause);
                }
                match payload::read_assignment(answer.assignment.clone()) {
                    Ok(assigned) => {
                        self.state = State::Stable;
                        (self.rejoin, self.failures) = (None, 0);
                        self.arrived = Some(assigned);
                    }
                    Err(error) => {
                        let problem = format!("the assignment of this member: {error}");
                        self.give_up(Trouble::Unreadable(problem));
                    }
                }
                ErrorCode::None
            }
            ErrorCode::UnknownMemberId => {
                self.reset("encountered UNKNOWN_MEMBER_ID from SYNC_GROUP response", true);
                self.retry_soon(now, error, pause)
            }
            ErrorCode::IllegalGeneration => {
                self.reset("encountered ILLEGAL_GENERATION from SYNC_GROUP response", false);
                self.retry_soon(now, error, pause)
            }
            ErrorCode::RebalanceInProgress => {
                self.request_rejoin("rebalance failed due to RebalanceInProgressException");
                self.retry_soon(now, error, pause)
            }
            error => self.retry(now, error, pause),
        }
    }

    /// Joins again at once, but not again and again without a pause.
    fn retry_soon(&mut self, now: Instant, error: ErrorCode, pause: Pause<'_>) -> ErrorCode {
        self.failures = self.failures.saturating_add(1);
        self.not_before = match self.failures {
            // The first join under a given id, and one more.
            ..=2 => now,
            failures => now + pause(failures - 2),
        };
        error
    }

    /// Joins again after a pause, or reports an error that does not pass.
    fn retry(&mut self, now: Instant, error: ErrorCode, pause: Pause<'_>) -> ErrorCode {
        self.failures = self.failures.saturating_add(1);
        self.not_before = now + pause(self.failures);
        match error {
            ErrorCode::FencedInstanceId => self.fence(),
            error if !error.is_retriable() => self.give_up(Trouble::Refused(error)),
            _ => {}
        }
        error
    }

    /// Reports an error. The application's next poll tries again.
    pub(super) fn give_up(&mut self, trouble: Trouble) {
        self.troubles.push_back(trouble);
        self.waits_for_poll = true;
        self.request_rejoin("rebalance failed");
    }

    fn fence(&mut self) {
        self.reset("encountered FENCED_INSTANCE_ID", true);
        self.fenced = true;
    }

    fn heartbeat_answered(
        &mut self,
        now: Instant,
        answer: Result<&Response, ErrorCode>,
        pause: Pause<'_>,
    ) -> ErrorCode {
        let error = match answer {
            Ok(Response::Heartbeat(answer)) => ErrorCode::from_code(answer.error_code),
            Ok(_) => ErrorCode::UnknownServerError,
            Err(error) => error,
        };
        match error {
            ErrorCode::None => self.heartbeat.answered(now),
            ErrorCode::RebalanceInProgress => {
                self.heartbeat.answered(now);
                if matches!(self.state, State::Stable) {
                    self.request_rejoin("group is already rebalancing");
                }
            }
            error => {
                self.heartbeat.failed(now, pause);
                self.expelled(error);
            }
        }
        error
    }

    /// Looks whether an error says that this member is not in this generation. Returns whether.
    fn expelled(&mut self, error: ErrorCode) -> bool {
        match error {
            ErrorCode::UnknownMemberId => self.reset("encountered UNKNOWN_MEMBER_ID", true),
            ErrorCode::IllegalGeneration => self.reset("encountered ILLEGAL_GENERATION", false),
            ErrorCode::FencedInstanceId => self.fence(),
            _ => return false,
        }
        true
    }

    /// A commit of this generation was refused. Returns whether the member was expelled by it, rather
    /// than overtaken by another rebalance.
    pub(in crate::client) fn commit_refused(
        &mut self,
        sent: Option<&Identity>,
        error: ErrorCode,
    ) -> bool {
        // A consumer of assigned partitions commits in no generation.
        let Some(sent) = sent else { return false };
        let Generation { id, member, .. } = &self.generation;
        let is_current = sent.epoch == *id && sent.member == *member;
        match error {
            ErrorCode::RebalanceInProgress => {
                if is_current && matches!(self.state, State::Stable) {
                    self.request_rejoin("offset commit failed since group is already rebalancing");
                }
                false
            }
            error if is_current => self.expelled(error),
            _ => !self.is_rebalancing(),
        }
    }
}
