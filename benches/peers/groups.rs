//! Groups: what 1,000 members that do nothing but send heartbeats cost the broker, and how many
//! commits it takes. The same raw requests for both brokers, one connection for each member.

use std::time::{Duration, Instant};

use brokerquake::wire::frame;
use brokerquake::wire::messages::consumer_group_heartbeat_request::TopicPartitions;
use brokerquake::wire::messages::join_group_request::JoinGroupRequestProtocol;
use brokerquake::wire::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use brokerquake::wire::messages::sync_group_request::SyncGroupRequestAssignment;
use brokerquake::wire::messages::{
    ConsumerGroupHeartbeatRequest, FindCoordinatorRequest, HeartbeatRequest, JoinGroupRequest,
    OffsetCommitRequest, RequestResponsePair, SyncGroupRequest,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::broker::Running;

const TOPIC: &str = "groups";
/// Kafka's defaults of `heartbeat.interval.ms` and `group.consumer.heartbeat.interval.ms`.
const CLASSIC_INTERVAL: Duration = Duration::from_secs(3);
const MODERN_INTERVAL: Duration = Duration::from_secs(5);
/// Errors that a member answers by joining again.
const REBALANCE_IN_PROGRESS: i16 = 27;
const MEMBER_ID_REQUIRED: i16 = 79;

/// What was measured of one broker.
#[derive(Clone, Copy, Default)]
pub struct Figures {
    /// Percent of a core, for members of the classic protocol.
    pub classic: f64,
    /// The same for the consumer protocol (KIP-848).
    pub modern: f64,
    /// Commits per second, as many as are answered.
    pub commits: f64,
    /// The 99th percentile at a fixed rate, in milliseconds.
    pub p99_ms: f64,
}

pub struct Size {
    pub members: usize,
    pub seconds: u64,
    /// Commits per second at which latencies are measured.
    pub rate: u64,
}

pub fn measure(running: &Running, size: &Size) -> Figures {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("tokio");
    let bootstrap = running.bootstrap();
    crate::client::create_topic(&bootstrap, TOPIC, 50);
    runtime.block_on(async {
        find(&bootstrap, "warm").await;
        commit_for(&bootstrap, 3, None).await;
        let (commits, _) = commit_for(&bootstrap, size.seconds, None).await;
        let (_, p99_ms) = commit_for(&bootstrap, size.seconds, Some(size.rate)).await;
        let classic = idle(running, size, CLASSIC_INTERVAL, classic_member).await;
        let modern = idle(running, size, MODERN_INTERVAL, modern_member).await;
        Figures { classic, modern, commits, p99_ms }
    })
}

struct Connection(TcpStream);

impl Connection {
    async fn open(bootstrap: &str) -> Self {
        let stream = TcpStream::connect(bootstrap).await.expect("a connection");
        stream.set_nodelay(true).expect("TCP_NODELAY");
        Self(stream)
    }

    async fn ask<R: RequestResponsePair>(&mut self, version: i16, request: &R) -> R::Response {
        let bytes = frame::encode_request(1, "peers", version, request).expect("a request");
        self.0.write_all(&bytes).await.expect("sent");
        let length = self.0.read_u32().await.expect("an answer");
        let mut body = vec![0; length as usize];
        self.0.read_exact(&mut body).await.expect("an answer");
        frame::decode_response::<R::Response>(body, version).expect("an answer").1
    }
}

/// Waits until a group has a coordinator: its topic is created by the first question.
async fn find(bootstrap: &str, group: &str) {
    let mut connection = Connection::open(bootstrap).await;
    let mut find = FindCoordinatorRequest::default();
    find.key = group.into();
    let mut commit = commit(group);
    commit.topics[0].name = TOPIC.into();
    for _ in 0..600 {
        let found = connection.ask(3, &find).await.error_code == 0;
        let answer = connection.ask(8, &commit).await;
        if found && answer.topics[0].partitions[0].error_code == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("no coordinator of {group}");
}

fn commit(group: &str) -> OffsetCommitRequest {
    let mut partition = OffsetCommitRequestPartition::default();
    partition.committed_offset = 1;
    partition.committed_leader_epoch = -1;
    let mut topic = OffsetCommitRequestTopic::default();
    topic.name = TOPIC.into();
    topic.partitions = vec![partition];
    let mut request = OffsetCommitRequest::default();
    request.group_id = group.into();
    request.generation_id_or_member_epoch = -1;
    request.topics = vec![topic];
    request
}

/// Commits of 50 groups, each on its own connection, one at a time. Returns how many a second, and the
/// 99th percentile of their time in milliseconds: from when each was due, at a fixed rate.
async fn commit_for(bootstrap: &str, seconds: u64, rate: Option<u64>) -> (f64, f64) {
    const GROUPS: u64 = 50;
    let mut tasks = JoinSet::new();
    for number in 0..GROUPS {
        find(bootstrap, &format!("commits-{number}")).await;
    }
    let start = Instant::now();
    let end = start + Duration::from_secs(seconds);
    for number in 0..GROUPS {
        let bootstrap = bootstrap.to_owned();
        tasks.spawn(async move {
            let mut connection = Connection::open(&bootstrap).await;
            let request = commit(&format!("commits-{number}"));
            let mut times = Vec::new();
            let pause = rate.map(|rate| Duration::from_secs_f64(GROUPS as f64 / rate as f64));
            let mut due = start + pause.unwrap_or_default() * number as u32 / GROUPS as u32;
            while Instant::now() < end {
                match pause {
                    Some(pause) => {
                        tokio::time::sleep_until(due.into()).await;
                        due += pause;
                    }
                    None => due = Instant::now(),
                }
                let since = pause.map_or(due, |pause| due - pause);
                let answer = connection.ask(8, &request).await;
                assert_eq!(answer.topics[0].partitions[0].error_code, 0);
                times.push(since.elapsed());
            }
            times
        });
    }
    let mut times = tasks.join_all().await.concat();
    let elapsed = start.elapsed().as_secs_f64();
    times.sort_unstable();
    let p99 = times[times.len() * 99 / 100].as_secs_f64() * 1000.0;
    (times.len() as f64 / elapsed, p99)
}

/// The share of a core that the broker uses while the members send heartbeats and nothing else.
async fn idle<F>(
    running: &Running,
    size: &Size,
    interval: Duration,
    member: impl Fn(String, String, usize, Duration) -> F,
) -> f64
where
    F: Future<Output = ()> + Send + 'static,
{
    let bootstrap = running.bootstrap();
    let group = format!("members-{}", interval.as_secs());
    find(&bootstrap, &group).await;
    let mut tasks = JoinSet::new();
    for number in 0..size.members {
        tasks.spawn(member(bootstrap.clone(), group.clone(), number, interval));
    }
    // Until the group is stable: the initial delay, and a few heartbeats of each member.
    tokio::time::sleep(10 * interval).await;
    let (before, start) = (running.cpu_seconds(), Instant::now());
    tokio::time::sleep(Duration::from_secs(size.seconds)).await;
    let used = running.cpu_seconds() - before;
    let share = used / start.elapsed().as_secs_f64() * 100.0;
    assert_eq!(tasks.len(), size.members);
    assert!(tasks.try_join_next().is_none(), "a member has ended");
    tasks.shutdown().await;
    share
}

async fn classic_member(bootstrap: String, group: String, _: usize, interval: Duration) {
    let mut connection = Connection::open(&bootstrap).await;
    let mut protocol = JoinGroupRequestProtocol::default();
    protocol.name = "range".into();
    let mut join = JoinGroupRequest::default();
    join.group_id = group.as_str().into();
    join.session_timeout_ms = 45_000;
    join.rebalance_timeout_ms = 60_000;
    join.protocol_type = "consumer".into();
    join.protocols = vec![protocol];
    loop {
        let joined = connection.ask(9, &join).await;
        join.member_id = joined.member_id.clone();
        if joined.error_code == MEMBER_ID_REQUIRED || joined.error_code == REBALANCE_IN_PROGRESS {
            continue;
        }
        assert_eq!(joined.error_code, 0, "JoinGroup");
        let mut sync = SyncGroupRequest::default();
        sync.group_id = group.as_str().into();
        sync.member_id = joined.member_id.clone();
        sync.generation_id = joined.generation_id;
        sync.protocol_type = Some("consumer".into());
        sync.protocol_name = Some("range".into());
        // Only the leader is told of members.
        let assignment = |member_id| {
            let mut assignment = SyncGroupRequestAssignment::default();
            assignment.member_id = member_id;
            assignment
        };
        let members = joined.members.into_iter().map(|member| member.member_id);
        sync.assignments = members.map(assignment).collect();
        let synced = connection.ask(5, &sync).await;
        if synced.error_code == REBALANCE_IN_PROGRESS {
            continue;
        }
        assert_eq!(synced.error_code, 0, "SyncGroup");
        let mut beat = HeartbeatRequest::default();
        beat.group_id = group.as_str().into();
        beat.member_id = joined.member_id;
        beat.generation_id = joined.generation_id;
        loop {
            tokio::time::sleep(interval).await;
            match connection.ask(4, &beat).await.error_code {
                0 => {}
                REBALANCE_IN_PROGRESS => break,
                error => panic!("Heartbeat: error {error}"),
            }
        }
    }
}

async fn modern_member(bootstrap: String, group: String, number: usize, interval: Duration) {
    let mut connection = Connection::open(&bootstrap).await;
    let mut beat = ConsumerGroupHeartbeatRequest::default();
    beat.group_id = group.as_str().into();
    beat.member_id = format!("member-{number}").into();
    beat.rebalance_timeout_ms = 60_000;
    beat.subscribed_topic_names = Some(vec![TOPIC.into()]);
    beat.topic_partitions = Some(Vec::new());
    loop {
        let answer = connection.ask(1, &beat).await;
        assert_eq!(answer.error_code, 0, "ConsumerGroupHeartbeat: {:?}", answer.error_message);
        // Only what changed is sent again, as clients do.
        beat.subscribed_topic_names = None;
        beat.rebalance_timeout_ms = -1;
        beat.member_epoch = answer.member_epoch;
        beat.topic_partitions = answer.assignment.map(|assignment| {
            let owned = assignment.topic_partitions.into_iter().map(|told| {
                let mut owned = TopicPartitions::default();
                owned.topic_id = told.topic_id;
                owned.partitions = told.partitions;
                owned
            });
            owned.collect()
        });
        // What was assigned is confirmed at once.
        if beat.topic_partitions.is_none() {
            tokio::time::sleep(interval).await;
        }
    }
}
