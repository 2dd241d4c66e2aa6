//! A coordinator of one group in memory: the classic protocol with dynamic members, and offsets.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;

use crate::base::{Instant, Offset, TopicPartition};
use crate::client::group::{Request, Response};
use crate::wire::ErrorCode;
use crate::wire::messages::join_group_response::JoinGroupResponseMember;
use crate::wire::messages::offset_commit_request::OffsetCommitRequestTopic;
use crate::wire::messages::offset_commit_response::{
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use crate::wire::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartitions, OffsetFetchResponseTopics,
};
use crate::wire::messages::*;

/// Whose answer it is: a number of the caller's.
pub(crate) type Token = u64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Empty,
    /// Waits for all members to join again, until this time.
    Preparing(Instant),
    /// Waits for the leader's assignment.
    Completing,
    Stable,
}

#[derive(Debug)]
struct Member {
    protocols: Vec<(String, Bytes)>,
    session_timeout: Duration,
    rebalance_timeout: Duration,
    expires: Instant,
    joins: Option<Token>,
    syncs: Option<Token>,
}

/// The coordinator of a group.
#[derive(Debug)]
pub(crate) struct ModelCoordinator {
    phase: Phase,
    pub(crate) generation: i32,
    protocol: String,
    leader: String,
    members: BTreeMap<String, Member>,
    given: BTreeSet<String>,
    shares: BTreeMap<String, Bytes>,
    pub(crate) committed: BTreeMap<TopicPartition, Offset>,
    last_id: u32,
    answers: Vec<(Token, Response)>,
}

fn millis(millis: i32) -> Duration {
    Duration::from_millis(u64::try_from(millis).unwrap())
}

impl ModelCoordinator {
    pub(crate) fn new() -> Self {
        Self {
            phase: Phase::Empty,
            generation: 0,
            protocol: String::new(),
            leader: String::new(),
            members: BTreeMap::new(),
            given: BTreeSet::new(),
            shares: BTreeMap::new(),
            committed: BTreeMap::new(),
            last_id: 0,
            answers: Vec::new(),
        }
    }

    pub(crate) fn is_stable(&self) -> bool {
        self.phase == Phase::Stable
    }

    pub(crate) fn members(&self) -> usize {
        self.members.len()
    }

    /// Carries a request out. Answers are taken with [`ModelCoordinator::take_answers`], some later.
    pub(crate) fn handle(&mut self, now: Instant, token: Token, request: &Request) {
        let answer = match request {
            Request::Join(join) => self.join(now, token, join),
            Request::Sync(sync) => self.sync(now, token, sync),
            Request::Heartbeat(heartbeat) => {
                let known = self.check(&heartbeat.member_id, heartbeat.generation_id);
                self.renew(now, &heartbeat.member_id);
                let error = match (known, self.phase) {
                    (Ok(()), Phase::Preparing(_)) => ErrorCode::RebalanceInProgress,
                    (known, _) => known.err().unwrap_or(ErrorCode::None),
                };
                Some(Response::Heartbeat(message!(HeartbeatResponse { error_code: error.code() })))
            }
            Request::Leave(leave) => {
                for member in &leave.members {
                    self.remove(now, member.member_id.as_str());
                }
                Some(Response::Leave(LeaveGroupResponse::default()))
            }
            Request::ConsumerHeartbeat(_) => panic!("this is a classic group"),
            Request::Commit(commit) => Some(Response::Commit(self.commit(now, commit))),
            Request::Committed(fetch) => Some(Response::Committed(self.fetch(fetch))),
        };
        self.answers.extend(answer.map(|answer| (token, answer)));
        self.advance(now);
    }

    /// Expels members whose session has ended, and ends the wait for those that do not join.
    pub(crate) fn advance(&mut self, now: Instant) {
        let is_gone = |member: &Member| {
            member.expires <= now && member.joins.is_none() && member.syncs.is_none()
        };
        let gone = self.members.iter().filter(|(_, member)| is_gone(member));
        for id in gone.map(|(id, _)| id.clone()).collect::<Vec<_>>() {
            self.remove(now, &id);
        }
        let Phase::Preparing(until) = self.phase else { return };
        if now >= until {
            self.members.retain(|_, member| member.joins.is_some());
        }
        if self.members.is_empty() {
            self.phase = Phase::Empty;
        } else if self.members.values().all(|member| member.joins.is_some()) {
            self.begin_generation(now);
        }
    }

    pub(crate) fn take_answers(&mut self) -> Vec<(Token, Response)> {
        std::mem::take(&mut self.answers)
    }

    fn check(&self, member: &str, generation: i32) -> Result<(), ErrorCode> {
        match self.members.contains_key(member) {
            false => Err(ErrorCode::UnknownMemberId),
            true if generation != self.generation => Err(ErrorCode::IllegalGeneration),
            true => Ok(()),
        }
    }

    fn renew(&mut self, now: Instant, member: &str) {
        if let Some(member) = self.members.get_mut(member) {
            member.expires = now + member.session_timeout;
        }
    }

    fn join(&mut self, now: Instant, token: Token, join: &JoinGroupRequest) -> Option<Response> {
        let id = join.member_id.as_str();
        let refuse = |error: ErrorCode, id: &str| {
            let answer =
                message!(JoinGroupResponse { error_code: error.code(), member_id: id.into() });
            Some(Response::Join(answer))
        };
        if id.is_empty() {
            self.last_id += 1;
            let id = format!("m{}", self.last_id);
            self.given.insert(id.clone());
            return refuse(ErrorCode::MemberIdRequired, &id);
        }
        if !self.given.remove(id) && !self.members.contains_key(id) {
            return refuse(ErrorCode::UnknownMemberId, "");
        }
        let protocols = join.protocols.iter();
        let protocols = protocols
            .map(|protocol| (protocol.name.as_str().to_owned(), protocol.metadata.clone()));
        let session_timeout = millis(join.session_timeout_ms);
        let member = Member {
            protocols: protocols.collect(),
            session_timeout,
            rebalance_timeout: millis(join.rebalance_timeout_ms),
            expires: now + session_timeout,
            joins: Some(token),
            syncs: None,
        };
        self.members.insert(id.to_owned(), member);
        self.rebalance(now);
        None
    }

    fn rebalance(&mut self, now: Instant) {
        for member in self.members.values_mut() {
            if let Some(token) = member.syncs.take() {
                let error_code = ErrorCode::RebalanceInProgress.code();
                let answer = message!(SyncGroupResponse { error_code: error_code });
                self.answers.push((token, Response::Sync(answer)));
            }
        }
        if !matches!(self.phase, Phase::Preparing(_)) {
            let patience = self.members.values().map(|member| member.rebalance_timeout).max();
            self.phase = Phase::Preparing(now + patience.unwrap_or_default());
        }
    }

    fn remove(&mut self, now: Instant, id: &str) {
        if self.members.remove(id).is_some() {
            self.rebalance(now);
        }
    }

    fn begin_generation(&mut self, now: Instant) {
        self.generation += 1;
        self.shares.clear();
        if !self.members.contains_key(&self.leader) {
            self.leader = self.members.keys().next().unwrap().clone();
        }
        let supports = |member: &Member, name: &str| member.protocols.iter().any(|p| p.0 == name);
        let leaders = self.members[&self.leader].protocols.iter().map(|(name, _)| name.clone());
        let mut common =
            leaders.into_iter().filter(|name| self.members.values().all(|m| supports(m, name)));
        self.protocol = common.next().expect("all members have the same assignors");
        let members = self.members.iter().map(|(id, member)| {
            let mut own = member.protocols.iter();
            let metadata = own.find(|(name, _)| *name == self.protocol).unwrap().1.clone();
            message!(JoinGroupResponseMember { member_id: id.as_str().into(), metadata: metadata })
        });
        let members: Vec<_> = members.collect();
        for (id, member) in &mut self.members {
            member.expires = now + member.session_timeout;
            let is_leader = *id == self.leader;
            let answer = message!(JoinGroupResponse {
                generation_id: self.generation,
                protocol_type: Some("consumer".into()),
                protocol_name: Some(self.protocol.as_str().into()),
                leader: self.leader.as_str().into(),
                member_id: id.as_str().into(),
                members: if is_leader { members.clone() } else { Vec::new() },
            });
            let token = member.joins.take().unwrap();
            self.answers.push((token, Response::Join(answer)));
        }
        self.phase = Phase::Completing;
    }

    fn sync(&mut self, now: Instant, token: Token, sync: &SyncGroupRequest) -> Option<Response> {
        let id = sync.member_id.as_str();
        let refused = match (self.check(id, sync.generation_id), self.phase) {
            (Err(error), _) => Some(error),
            (Ok(()), Phase::Preparing(_) | Phase::Empty) => Some(ErrorCode::RebalanceInProgress),
            (Ok(()), Phase::Completing | Phase::Stable) => None,
        };
        if let Some(error) = refused {
            return Some(Response::Sync(message!(SyncGroupResponse { error_code: error.code() })));
        }
        self.renew(now, id);
        self.members.get_mut(id).unwrap().syncs = Some(token);
        if id == self.leader && self.phase == Phase::Completing {
            let shares = sync.assignments.iter();
            self.shares = shares
                .map(|share| (share.member_id.as_str().to_owned(), share.assignment.clone()))
                .collect();
            self.phase = Phase::Stable;
        }
        if self.phase == Phase::Stable {
            for (id, member) in &mut self.members {
                let Some(token) = member.syncs.take() else { continue };
                let share = self.shares.get(id).cloned().unwrap_or_default();
                let answer = message!(SyncGroupResponse { assignment: share });
                self.answers.push((token, Response::Sync(answer)));
            }
        }
        None
    }

    fn commit(&mut self, now: Instant, commit: &OffsetCommitRequest) -> OffsetCommitResponse {
        let (member, generation) =
            (commit.member_id.as_str(), commit.generation_id_or_member_epoch);
        let by_hand = generation < 0 && self.members.is_empty();
        let error = match (self.check(member, generation), self.phase) {
            _ if by_hand => ErrorCode::None,
            (Err(error), _) => error,
            (Ok(()), Phase::Completing) => ErrorCode::RebalanceInProgress,
            (Ok(()), _) => ErrorCode::None,
        };
        self.renew(now, member);
        let topics = commit.topics.iter().map(|topic| {
            let rows = topic.partitions.iter().map(|row| {
                if error.is_none() {
                    let name = name_of(topic);
                    let partition = TopicPartition::new(name.as_str(), row.partition_index);
                    self.committed.insert(partition, Offset(row.committed_offset));
                }
                message!(OffsetCommitResponsePartition {
                    partition_index: row.partition_index,
                    error_code: error.code(),
                })
            });
            answered(topic, rows.collect())
        });
        message!(OffsetCommitResponse { topics: topics.collect() })
    }

    fn fetch(&self, fetch: &OffsetFetchRequest) -> OffsetFetchResponse {
        let groups = fetch.groups.iter().map(|group| {
            let topics = group.topics.iter().flatten().map(|topic| {
                let rows = topic.partition_indexes.iter().map(|index| {
                    let partition = TopicPartition::new(topic.name.as_str(), *index);
                    let committed = self.committed.get(&partition);
                    message!(OffsetFetchResponsePartitions {
                        partition_index: *index,
                        committed_offset: committed.map_or(-1, |offset| offset.0),
                        committed_leader_epoch: -1,
                        metadata: Some("".into()),
                    })
                });
                let rows = rows.collect();
                message!(OffsetFetchResponseTopics { name: topic.name.clone(), partitions: rows })
            });
            message!(OffsetFetchResponseGroup {
                group_id: group.group_id.clone(),
                topics: topics.collect(),
            })
        });
        message!(OffsetFetchResponse { groups: groups.collect() })
    }
}

/// An answer to a request that does nothing but refuse it.
pub(super) fn refused(request: &Request, error: ErrorCode) -> Response {
    let error_code = error.code();
    match request {
        Request::Join(_) => Response::Join(message!(JoinGroupResponse { error_code: error_code })),
        Request::Sync(_) => Response::Sync(message!(SyncGroupResponse { error_code: error_code })),
        Request::Heartbeat(_) => {
            Response::Heartbeat(message!(HeartbeatResponse { error_code: error_code }))
        }
        Request::Leave(_) => {
            Response::Leave(message!(LeaveGroupResponse { error_code: error_code }))
        }
        Request::ConsumerHeartbeat(_) => {
            Response::ConsumerHeartbeat(message!(ConsumerGroupHeartbeatResponse {
                error_code: error_code
            }))
        }
        Request::Commit(commit) => {
            let topics = commit.topics.iter().map(|topic| {
                let rows = topic.partitions.iter().map(|row| {
                    message!(OffsetCommitResponsePartition {
                        partition_index: row.partition_index,
                        error_code: error_code,
                    })
                });
                answered(topic, rows.collect())
            });
            Response::Commit(message!(OffsetCommitResponse { topics: topics.collect() }))
        }
        Request::Committed(fetch) => {
            let groups = fetch.groups.iter().map(|group| {
                message!(OffsetFetchResponseGroup {
                    group_id: group.group_id.clone(),
                    error_code: error_code,
                })
            });
            Response::Committed(message!(OffsetFetchResponse { groups: groups.collect() }))
        }
    }
}

/// The name of a topic. From OffsetCommit 10 on it goes by its id only; the model has no other topic.
fn name_of(topic: &OffsetCommitRequestTopic) -> StrBytes {
    if topic.name.is_empty() { "orders".into() } else { topic.name.clone() }
}

fn answered(
    topic: &OffsetCommitRequestTopic,
    rows: Vec<OffsetCommitResponsePartition>,
) -> OffsetCommitResponseTopic {
    message!(OffsetCommitResponseTopic {
        name: topic.name.clone(),
        topic_id: topic.topic_id,
        partitions: rows,
    })
}
