//! A replica to be stepped by hand: replica 1 of a few voters, in the times and words of these tests.

use std::time::Duration;

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::SeedableRng;

use super::super::{
    ElectionState, Fetch, FetchAnswer, LogEnd, Quorum, ReplicaKey, Reply, Request, Settings, Vote,
    VoteReply, VoterSet,
};
use crate::base::{BrokerId, Flaws, Instant, LeaderEpoch, Offset};
use crate::wire::ErrorCode;

pub const ME: BrokerId = BrokerId(1);

/// The time of the first step.
pub const T0: Instant = Instant::from_secs(100);

pub fn after(millis: u64) -> Instant {
    T0 + Duration::from_millis(millis)
}

pub fn id(id: i32) -> BrokerId {
    BrokerId(id)
}

pub fn key(id: i32) -> ReplicaKey {
    ReplicaKey::of(BrokerId(id))
}

pub fn epoch(epoch: i32) -> LeaderEpoch {
    LeaderEpoch(epoch)
}

pub fn end(epoch: i32, offset: i64) -> LogEnd {
    LogEnd { epoch: LeaderEpoch(epoch), offset: Offset(offset) }
}

/// Voters with these ids.
pub fn voters(ids: &[i32]) -> VoterSet {
    ids.iter().copied().map(BrokerId).collect()
}

pub fn election(epoch: i32, leader: Option<i32>, voted: Option<i32>) -> ElectionState {
    let leader = leader.map(BrokerId);
    ElectionState { epoch: LeaderEpoch(epoch), leader, voted: voted.map(key) }
}

pub fn start(voters: VoterSet, election: ElectionState, log: LogEnd, flaws: Flaws) -> Quorum {
    let settings = Settings { flaws, ..Settings::default() };
    let random = ChaCha12Rng::seed_from_u64(7);
    Quorum::new(T0, ReplicaKey::of(ME), voters, election, log, settings, random)
}

/// Replica 1 of voters 1 to `count`, unattached in epoch 5, with a log up to offset 10 of epoch 3.
pub fn unattached(count: i32) -> Quorum {
    unattached_with(count, Flaws::default())
}

pub fn unattached_with(count: i32, flaws: Flaws) -> Quorum {
    start((1..=count).map(BrokerId).collect(), election(5, None, None), end(3, 10), flaws)
}

/// The same, following replica 2, and having fetched from it at the first moment.
pub fn follower(count: i32) -> Quorum {
    let mut replica = unattached(count);
    replica.begin_epoch(T0, epoch(5), id(2));
    replica.fetch_answered(T0, id(2), &fetched(5, Some(2)));
    replica
}

/// The same, prospective.
pub fn prospective(count: i32) -> Quorum {
    let mut replica = unattached(count);
    let at = replica.deadline().unwrap();
    replica.expire(at);
    replica
}

/// The same, a candidate in epoch 6; and when it became one.
pub fn candidate(count: i32) -> (Quorum, Instant) {
    let mut replica = prospective(count);
    let now = replica.seen;
    for (to, request) in replica.requests(now) {
        replica.vote_answered(now, to, &request, &granted(5));
    }
    (replica, now)
}

/// The same, leading epoch 6 since the time that is returned, with its LeaderChangeMessage at offset
/// 10 appended and not synced.
pub fn leader(count: i32) -> (Quorum, Instant) {
    let (mut replica, now) = candidate(count);
    elect(&mut replica, now);
    replica.appended(now, end(6, 11));
    (replica, now)
}

/// Every voter grants.
pub fn elect(replica: &mut Quorum, now: Instant) {
    let at = replica.epoch().0;
    for (to, request) in replica.requests(now) {
        replica.vote_answered(now, to, &request, &granted(at));
    }
}

pub fn granted(at: i32) -> VoteReply {
    let error = ErrorCode::None;
    VoteReply { error, epoch: epoch(at), leader: None, is_granted: true }
}

pub fn rejected(at: i32) -> VoteReply {
    VoteReply { is_granted: false, ..granted(at) }
}

pub fn accepted(at: i32, leader: Option<i32>) -> Reply {
    Reply { error: ErrorCode::None, epoch: epoch(at), leader: leader.map(BrokerId) }
}

pub fn vote(at: i32, from: i32, log: LogEnd) -> Vote {
    Vote { epoch: epoch(at), from: key(from), to: None, log, is_pre_vote: false }
}

pub fn pre_vote(at: i32, from: i32, log: LogEnd) -> Vote {
    Vote { is_pre_vote: true, ..vote(at, from, log) }
}

/// An answer to a fetch without news.
pub fn fetched(at: i32, leader: Option<i32>) -> FetchAnswer {
    FetchAnswer {
        error: ErrorCode::None,
        epoch: epoch(at),
        leader: leader.map(BrokerId),
        high_watermark: None,
        diverging: None,
        snapshot: None,
    }
}

/// A fetch by replica `from` in epoch `at`, whose log agrees with this one up to `log`.
pub fn fetch(at: i32, from: i32, log: LogEnd) -> Fetch {
    Fetch {
        from: key(from),
        epoch: epoch(at),
        offset: log.offset,
        last_epoch: log.epoch,
        end_of_last_epoch: (log.epoch, log.offset),
        log_start: Offset::ZERO,
        snapshot: None,
    }
}

/// To whom requests are due, and whether they are votes, pre-votes or others.
pub fn due(replica: &mut Quorum, now: Instant) -> Vec<(i32, &'static str)> {
    let name = |request: &Request| match request {
        Request::Vote(vote) if vote.is_pre_vote => "pre-vote",
        Request::Vote(_) => "vote",
        Request::BeginQuorumEpoch { .. } => "begin",
        Request::EndQuorumEpoch { .. } => "end",
    };
    replica.requests(now).iter().map(|(to, request)| (to.0, name(request))).collect()
}

/// The name of the state.
pub fn state(replica: &Quorum) -> &'static str {
    use super::super::machine::State;
    match &replica.state {
        State::Unattached(_) => "unattached",
        State::Prospective(_) => "prospective",
        State::Candidate(_) => "candidate",
        State::Leader(_) => "leader",
        State::Follower(_) => "follower",
        State::Resigned(_) => "resigned",
    }
}
