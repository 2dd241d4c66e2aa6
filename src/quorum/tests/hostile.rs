//! Arbitrary messages to one machine: none of them makes it panic or break an invariant. Messages that
//! no correct peer sends may well have two leaders; that is not its to prevent.

use std::time::Duration;

use proptest::prelude::*;

use super::super::{
    ElectionState, Fetch, FetchAnswer, LogEnd, Next, Quorum, ReplicaKey, Reply, Request, Settings,
    Vote, VoteReply,
};
use crate::base::{BrokerId, DirectoryId, Instant, LeaderEpoch, Offset, Seed, Stream};
use crate::wire::ErrorCode;

/// One thing that happens to the machine.
#[derive(Clone, Debug)]
enum Input {
    Wait(u64),
    Vote(Vote),
    Begin(LeaderEpoch, BrokerId),
    End(LeaderEpoch, BrokerId, Vec<ReplicaKey>),
    Fetch(Fetch),
    FetchSnapshot(LeaderEpoch, ReplicaKey),
    Voted(BrokerId, Request, VoteReply),
    Answered(BrokerId, Request, Reply),
    Failed(BrokerId, Request),
    FetchAnswered(BrokerId, FetchAnswer),
    FetchFailed(Option<BrokerId>),
    SnapshotAnswered(BrokerId, Reply),
    /// The leader appends, or the answer to a fetch brings records.
    Append(u8),
    Flush(i64),
    Committed(i64),
    Truncate(u8),
    Restore(u8),
    SetVoters(Vec<i32>),
    Resign,
}

fn epoch() -> impl Strategy<Value = LeaderEpoch> {
    let rare = prop_oneof![Just(i32::MIN), Just(i32::MAX), Just(-1)];
    prop_oneof![20 => 0..12, 1 => rare].prop_map(LeaderEpoch)
}

fn id() -> impl Strategy<Value = BrokerId> {
    let rare = prop_oneof![Just(i32::MIN), Just(i32::MAX), Just(-1), Just(9)];
    prop_oneof![20 => 1..5, 1 => rare].prop_map(BrokerId)
}

fn offset() -> impl Strategy<Value = Offset> {
    let rare = prop_oneof![Just(i64::MIN), Just(i64::MAX), Just(-1)];
    prop_oneof![20 => 0i64..30, 1 => rare].prop_map(Offset)
}

fn key() -> impl Strategy<Value = ReplicaKey> {
    let directory = prop_oneof![
        3 => Just(None),
        1 => (1u8..3).prop_map(|byte| Some(DirectoryId([byte; 16])))
    ];
    (id(), directory).prop_map(|(id, directory)| ReplicaKey { id, directory })
}

fn log_end() -> impl Strategy<Value = LogEnd> {
    (epoch(), offset()).prop_map(|(epoch, offset)| LogEnd { epoch, offset })
}

fn error() -> impl Strategy<Value = ErrorCode> {
    prop_oneof![
        6 => Just(ErrorCode::None),
        1 => Just(ErrorCode::FencedLeaderEpoch),
        1 => Just(ErrorCode::UnknownLeaderEpoch),
        1 => Just(ErrorCode::NotLeaderOrFollower),
        1 => Just(ErrorCode::UnsupportedVersion),
        1 => any::<i16>().prop_map(ErrorCode::from_code)
    ]
}

fn vote() -> impl Strategy<Value = Vote> {
    (epoch(), key(), proptest::option::of(key()), log_end(), any::<bool>())
        .prop_map(|(epoch, from, to, log, is_pre_vote)| Vote { epoch, from, to, log, is_pre_vote })
}

fn request() -> impl Strategy<Value = Request> {
    prop_oneof![
        vote().prop_map(Request::Vote),
        (epoch(), id(), key()).prop_map(|(epoch, leader, to)| Request::BeginQuorumEpoch {
            epoch,
            leader,
            to
        }),
        (epoch(), id(), proptest::collection::vec(key(), 0..4)).prop_map(
            |(epoch, leader, successors)| Request::EndQuorumEpoch { epoch, leader, successors }
        ),
    ]
}

fn reply() -> impl Strategy<Value = Reply> {
    (error(), epoch(), proptest::option::of(id())).prop_map(|(error, epoch, leader)| Reply {
        error,
        epoch,
        leader,
    })
}

fn vote_reply() -> impl Strategy<Value = VoteReply> {
    (reply(), any::<bool>()).prop_map(|(reply, is_granted)| {
        let Reply { error, epoch, leader } = reply;
        VoteReply { error, epoch, leader, is_granted }
    })
}

fn fetch() -> impl Strategy<Value = Fetch> {
    let place = (offset(), proptest::option::of(log_end()));
    (key(), epoch(), log_end(), log_end(), place).prop_map(
        |(from, epoch, log, end_of_last_epoch, (log_start, snapshot))| Fetch {
            from,
            epoch,
            offset: log.offset,
            last_epoch: log.epoch,
            end_of_last_epoch: (end_of_last_epoch.epoch, end_of_last_epoch.offset),
            log_start,
            snapshot,
        },
    )
}

fn fetch_answer() -> impl Strategy<Value = FetchAnswer> {
    let end = || proptest::option::of(log_end());
    (reply(), proptest::option::of(offset()), end(), end()).prop_map(
        |(reply, high_watermark, diverging, snapshot)| {
            let Reply { error, epoch, leader } = reply;
            FetchAnswer { error, epoch, leader, high_watermark, diverging, snapshot }
        },
    )
}

fn input() -> impl Strategy<Value = Input> {
    prop_oneof![
        8 => (0u64..3000).prop_map(Input::Wait),
        3 => vote().prop_map(Input::Vote),
        2 => (epoch(), id()).prop_map(|(epoch, leader)| Input::Begin(epoch, leader)),
        1 => (epoch(), id(), proptest::collection::vec(key(), 0..4))
            .prop_map(|(epoch, leader, keys)| Input::End(epoch, leader, keys)),
        4 => fetch().prop_map(Input::Fetch),
        1 => (epoch(), key()).prop_map(|(epoch, from)| Input::FetchSnapshot(epoch, from)),
        4 => (id(), request(), vote_reply()).prop_map(|(id, ask, reply)| Input::Voted(id, ask, reply)),
        2 => (id(), request(), reply()).prop_map(|(id, ask, reply)| Input::Answered(id, ask, reply)),
        1 => (id(), request()).prop_map(|(id, ask)| Input::Failed(id, ask)),
        4 => (id(), fetch_answer()).prop_map(|(id, answer)| Input::FetchAnswered(id, answer)),
        1 => proptest::option::of(id()).prop_map(Input::FetchFailed),
        1 => (id(), reply()).prop_map(|(id, reply)| Input::SnapshotAnswered(id, reply)),
        4 => (1u8..5).prop_map(Input::Append),
        4 => any::<i64>().prop_map(Input::Flush),
        2 => prop_oneof![0i64..30, any::<i64>()].prop_map(Input::Committed),
        2 => (0u8..5).prop_map(Input::Truncate),
        1 => (0u8..5).prop_map(Input::Restore),
        1 => proptest::collection::vec(1i32..6, 0..5).prop_map(Input::SetVoters),
        1 => Just(Input::Resign),
    ]
}

/// A log as far as the machine cares: the epoch of each record.
struct Log(Vec<LeaderEpoch>);

impl Log {
    fn end(&self, count: usize) -> LogEnd {
        let epoch = self.0[..count].last().copied().unwrap_or(LeaderEpoch(0));
        LogEnd { epoch, offset: Offset(count as i64) }
    }
}

fn apply(machine: &mut Quorum, log: &mut Log, now: &mut Instant, input: Input) {
    let at = *now;
    match input {
        Input::Wait(millis) => *now = at + Duration::from_millis(millis),
        Input::Vote(ask) => drop(machine.vote(at, &ask)),
        Input::Begin(epoch, leader) => drop(machine.begin_epoch(at, epoch, leader)),
        Input::End(epoch, leader, keys) => drop(machine.end_epoch(at, epoch, leader, &keys)),
        Input::Fetch(ask) => drop(machine.fetch(at, &ask)),
        Input::FetchSnapshot(epoch, from) => drop(machine.fetch_snapshot(at, epoch, from)),
        Input::Voted(from, ask, reply) => machine.vote_answered(at, from, &ask, &reply),
        Input::Answered(from, ask, reply) => machine.answered(at, from, &ask, &reply),
        Input::Failed(from, ask) => machine.failed(at, from, &ask),
        Input::FetchAnswered(from, answer) => {
            if machine.fetch_answered(at, from, &answer) == Next::Append {
                append(machine, log, at, 1);
            }
        }
        Input::FetchFailed(from) => machine.fetch_failed(at, from),
        Input::SnapshotAnswered(from, reply) => drop(machine.snapshot_answered(at, from, &reply)),
        Input::Append(count) => append(machine, log, at, count),
        Input::Flush(upto) => machine.flushed(at, Offset(upto)),
        Input::Committed(upto) => machine.fetched(at, Offset(upto)),
        Input::Truncate(count) => {
            let cut = log.0.len().saturating_sub(usize::from(count));
            // A leader never truncates.
            if machine.leads().is_none() && machine.truncated(log.end(cut)).is_ok() {
                log.0.truncate(cut);
            }
        }
        Input::Restore(count) => {
            if machine.leads().is_none() {
                log.0.resize(log.0.len() + usize::from(count), machine.epoch());
                machine.restored(at, log.end(log.0.len()));
            }
        }
        Input::SetVoters(ids) => {
            machine.set_voters(at, ids.into_iter().map(BrokerId).collect());
        }
        Input::Resign => machine.resign(at),
    }
}

fn append(machine: &mut Quorum, log: &mut Log, now: Instant, count: u8) {
    log.0.resize(log.0.len() + usize::from(count), machine.epoch());
    machine.appended(now, log.end(log.0.len()));
}

/// What a correct peer answers, so that elections are won in between.
fn oblige(machine: &mut Quorum, now: Instant) {
    loop {
        let requests = machine.requests(now);
        if requests.is_empty() {
            return;
        }
        for (to, request) in requests.into_iter().filter(|(to, _)| to.0 % 2 == 0) {
            let (error, epoch, leader) = (ErrorCode::None, request.epoch(), None);
            let reply = VoteReply { error, epoch, leader, is_granted: true };
            machine.vote_answered(now, to, &request, &reply);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn no_message_makes_it_panic(
        voters in proptest::collection::vec(1i32..6, 0..5),
        durable in (epoch(), proptest::option::of(id()), proptest::option::of(key())),
        records in proptest::collection::vec(0i32..6, 0..8),
        inputs in proptest::collection::vec(input(), 0..200),
    ) {
        let mut records: Vec<LeaderEpoch> = records.into_iter().map(LeaderEpoch).collect();
        records.sort();
        let mut log = Log(records);
        let (epoch, leader, voted) = durable;
        let mut now = Instant::from_secs(1);
        let mut machine = Quorum::new(
            now,
            ReplicaKey { id: BrokerId(1), directory: Some(DirectoryId([1; 16])) },
            voters.into_iter().map(BrokerId).collect(),
            ElectionState { epoch, leader, voted },
            log.end(log.0.len()),
            Settings::default(),
            Seed(7).stream(Stream::named("test")),
        );
        for input in inputs {
            apply(&mut machine, &mut log, &mut now, input);
            machine.expire(now);
            oblige(&mut machine, now);
            let _ = (machine.fetch_plan(now), machine.deadline(), machine.replicas(now));
            prop_assert!(machine.deadline().is_none_or(|at| at > now), "it is due all the time");
        }
    }
}
