//! Offsets on their way to the coordinator.
//!
//! A commit is sent as soon as the coordinator is known. One that waits (`commit_sync`, and the one
//! before a revocation) is sent again until it succeeds, is refused for good, or its caller gives up;
//! any other is sent once: a later one supersedes it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::membership::Membership;
use super::request::Request;
use super::step::Identity;
use crate::base::{Instant, LeaderEpoch, Offset, TopicId, TopicPartition};
use crate::client::ConsumeError;
use crate::client::kernel::RequestId;
use crate::wire::ErrorCode;
use crate::wire::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use crate::wire::messages::{OffsetCommitRequest, OffsetCommitResponse, message};

/// How far a partition was read: `CommittedOffset::at(record.offset.next())` commits a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommittedOffset {
    /// The next offset to read.
    pub offset: Offset,
    /// Epoch of the record before it; `NONE` if it is not known (KIP-320).
    pub leader_epoch: LeaderEpoch,
    /// Whatever the application wants to remember with it.
    pub metadata: String,
}

impl CommittedOffset {
    /// An offset without an epoch and without metadata.
    pub fn at(offset: Offset) -> Self {
        Self { offset, leader_epoch: LeaderEpoch::NONE, metadata: String::new() }
    }
}

pub(in crate::client) type Offsets = BTreeMap<TopicPartition, CommittedOffset>;

/// Topics by name.
pub(in crate::client) type TopicIds = BTreeMap<Arc<str>, TopicId>;

/// One commit, counted from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::client) struct CommitId(u64);

/// Offsets to commit.
#[derive(Clone, Debug)]
pub(in crate::client) struct Commit {
    pub(in crate::client) offsets: Offsets,
    /// The ids of their topics; none unless all are known. A topic that was created again is another one:
    /// offsets of the former must not be committed to it.
    pub(in crate::client) ids: TopicIds,
    /// Whether it is sent again after a failure that may pass.
    pub(in crate::client) retries: bool,
}

impl Commit {
    fn id_of(&self, partition: &TopicPartition) -> TopicId {
        self.ids.get(&partition.topic).copied().unwrap_or(TopicId::ZERO)
    }
}

#[derive(Debug)]
struct Open {
    commit: Commit,
    /// The request under way, and the generation that it names.
    asked: Option<(RequestId, Option<Identity>)>,
    not_before: Instant,
    failures: u32,
}

/// The commits of a consumer.
#[derive(Debug, Default)]
pub(in crate::client) struct Commits {
    last: CommitId,
    open: BTreeMap<CommitId, Open>,
    ended: VecDeque<(CommitId, Result<Offsets, ConsumeError>)>,
}

impl Commits {
    pub(in crate::client) fn begin(&mut self, commit: Commit) -> CommitId {
        self.supersede();
        self.last = CommitId(self.last.0 + 1);
        if commit.offsets.is_empty() {
            self.ended.push_back((self.last, Ok(commit.offsets)));
            return self.last;
        }
        let open = Open { commit, asked: None, not_before: Instant::START, failures: 0 };
        self.open.insert(self.last, open);
        self.last
    }

    /// A later commit follows: those that would be sent again must not come after it.
    fn supersede(&mut self) {
        let is_late = |open: &Open| open.asked.is_none() && open.failures > 0;
        let late = self.open.iter().filter(|(_, open)| is_late(open));
        for id in late.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.end(id, Err(ConsumeError::TimedOut));
        }
        self.open.values_mut().for_each(|open| open.commit.retries = false);
    }

    /// Commits that have ended since the last call, in order, with the offsets that are committed.
    pub(in crate::client) fn take_ended(
        &mut self,
    ) -> VecDeque<(CommitId, Result<Offsets, ConsumeError>)> {
        std::mem::take(&mut self.ended)
    }

    /// The caller has stopped waiting: the commit is not sent (again).
    pub(in crate::client) fn abandon(&mut self, id: CommitId) {
        match self.open.get_mut(&id) {
            Some(open) if open.asked.is_some() => open.commit.retries = false,
            Some(_) => self.end(id, Err(ConsumeError::TimedOut)),
            None => {}
        }
    }

    /// Whether a commit waits to be sent.
    pub(in crate::client) fn needs_coordinator(&self) -> bool {
        self.open.values().any(|open| open.asked.is_none())
    }

    /// When one is to be sent again.
    pub(in crate::client) fn deadline(&self) -> Instant {
        let waiting = self.open.values().filter(|open| open.asked.is_none());
        waiting.map(|open| open.not_before).min().unwrap_or(Instant::NEVER)
    }

    fn end(&mut self, id: CommitId, result: Result<(), ConsumeError>) {
        let offsets = self.open.remove(&id).map(|open| open.commit.offsets);
        self.ended.push_back((id, result.map(|()| offsets.unwrap_or_default())));
    }

    /// Sends what is due, in order.
    pub(in crate::client) fn ask(
        &mut self,
        now: Instant,
        membership: &Membership,
        send: &mut dyn FnMut(Request) -> RequestId,
    ) {
        let due = |open: &Open| open.asked.is_none() && open.not_before <= now;
        let due: Vec<_> =
            self.open.iter().filter(|(_, open)| due(open)).map(|(id, _)| *id).collect();
        for id in due {
            let generation = match membership.subscription() {
                None => None,
                Some(_) => match membership.identity() {
                    Some(identity) => Some(identity),
                    None if membership.is_rebalancing() => {
                        self.end(id, Err(ConsumeError::RebalanceInProgress));
                        continue;
                    }
                    None => {
                        self.end(id, Err(ConsumeError::CommitFailed));
                        continue;
                    }
                },
            };
            let Some(open) = self.open.get_mut(&id) else { continue };
            let request = request(membership, generation.as_ref(), &open.commit);
            open.asked = Some((send(request), generation));
        }
    }

    /// Takes an answer. Returns the coordinator's error, or `None` if no commit waits for it.
    pub(in crate::client) fn answered(
        &mut self,
        now: Instant,
        request: RequestId,
        answer: Result<&OffsetCommitResponse, ErrorCode>,
        membership: &mut Membership,
        pause: &mut dyn FnMut(u32) -> Duration,
    ) -> Option<ErrorCode> {
        let asked = |open: &Open| open.asked.as_ref().is_some_and(|(asked, _)| *asked == request);
        let (id, open) = self.open.iter_mut().find(|(_, open)| asked(open))?;
        let (id, sent) = (*id, open.asked.take().and_then(|(_, generation)| generation));
        let refused = match answer {
            Ok(answer) => refused(answer, &open.commit),
            Err(error) => Some((error, None)),
        };
        let Some((error, partition)) = refused else {
            self.end(id, Ok(()));
            return Some(ErrorCode::None);
        };
        // With another epoch, the next attempt names it (KIP-848).
        let passes = error.is_retriable() || error == ErrorCode::StaleMemberEpoch;
        if passes && open.commit.retries {
            open.failures = open.failures.saturating_add(1);
            open.not_before = now + pause(open.failures);
            return Some(error);
        }
        let expelled = membership.commit_refused(sent.as_ref(), error);
        let problem = match error {
            ErrorCode::RebalanceInProgress => ConsumeError::RebalanceInProgress,
            ErrorCode::UnknownMemberId | ErrorCode::IllegalGeneration if expelled => {
                ConsumeError::CommitFailed
            }
            ErrorCode::UnknownMemberId | ErrorCode::IllegalGeneration if sent.is_some() => {
                ConsumeError::RebalanceInProgress
            }
            ErrorCode::UnknownMemberId | ErrorCode::IllegalGeneration => ConsumeError::CommitFailed,
            error => match partition {
                Some(partition) => ConsumeError::Broker { partition, error },
                None => {
                    ConsumeError::Group { group: membership.settings().group.to_string(), error }
                }
            },
        };
        self.end(id, Err(problem));
        Some(error)
    }

    /// Panics if an invariant is broken.
    pub(in crate::client) fn check(&self) {
        let retrying = self.open.values().filter(|open| open.commit.retries).count();
        assert!(retrying <= 1, "{retrying} commits may be sent again: their order would be lost");
    }
}

fn request(membership: &Membership, generation: Option<&Identity>, commit: &Commit) -> Request {
    let settings = membership.settings();
    let mut topics: Vec<OffsetCommitRequestTopic> = Vec::new();
    for (partition, committed) in &commit.offsets {
        let row = message!(OffsetCommitRequestPartition {
            partition_index: partition.partition,
            committed_offset: committed.offset.0,
            committed_leader_epoch: committed.leader_epoch.0,
            committed_metadata: Some(committed.metadata.as_str().into()),
        });
        match topics.last_mut().filter(|topic| topic.name.as_str() == &*partition.topic) {
            Some(topic) => topic.partitions.push(row),
            None => topics.push(message!(OffsetCommitRequestTopic {
                name: (&*partition.topic).into(),
                topic_id: commit.id_of(partition).into(),
                partitions: vec![row],
            })),
        }
    }
    let instance = settings.instance.as_ref().filter(|_| generation.is_some());
    Request::Commit(message!(OffsetCommitRequest {
        group_id: (&*settings.group).into(),
        generation_id_or_member_epoch: generation.map_or(-1, |identity| identity.epoch),
        member_id: generation.map_or("".into(), |identity| identity.member.as_str().into()),
        group_instance_id: instance.map(|instance| (&**instance).into()),
        topics: topics,
    }))
}

/// The first error of an answer, with its partition if it concerns the partition. An answer that
/// does not mention a partition has not committed it.
fn refused(
    answer: &OffsetCommitResponse,
    commit: &Commit,
) -> Option<(ErrorCode, Option<TopicPartition>)> {
    for partition in commit.offsets.keys() {
        let id = commit.id_of(partition);
        // By id from version 10 on.
        let topic = answer.topics.iter().find(|topic| {
            topic.name.as_str() == &*partition.topic
                || id != TopicId::ZERO && TopicId::from(topic.topic_id) == id
        });
        let row = topic.and_then(|topic| {
            topic.partitions.iter().find(|row| row.partition_index == partition.partition)
        });
        let error =
            row.map_or(ErrorCode::UnknownServerError, |r| ErrorCode::from_code(r.error_code));
        let concerns_partition = matches!(
            error,
            ErrorCode::TopicAuthorizationFailed
                | ErrorCode::UnknownTopicOrPartition
                | ErrorCode::UnknownTopicId
                | ErrorCode::OffsetMetadataTooLarge
        );
        if !error.is_none() {
            return Some((error, concerns_partition.then(|| partition.clone())));
        }
    }
    None
}
