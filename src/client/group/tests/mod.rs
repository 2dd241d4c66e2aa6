//! The machine of the classic protocol against answers made by hand (`scripts`), and against arbitrary ones
//! (`arbitrary`); in `epochs`, the machine of the consumer protocol.

mod arbitrary;
mod epochs;
mod scripts;

use std::sync::Arc;
use std::time::Duration;

use super::classic::Classic;
use super::*;
use crate::base::config::{Config, ConsumerConfig};
use crate::base::{BrokerId, Instant, TopicPartition};
use crate::client::kernel::{Cluster, RequestId, Requests, metadata};
use crate::wire::ErrorCode;
use crate::wire::messages::join_group_response::JoinGroupResponseMember;
use crate::wire::messages::*;
use bytes::Bytes;

/// A member, its clock, and what it has asked.
struct Stage {
    member: Classic,
    now: Instant,
    cluster: Cluster,
    ids: Requests<()>,
    asked: Vec<(RequestId, Request)>,
    has_coordinator: bool,
    /// The honest coordinator's generation.
    generation: i32,
}

const COOPERATIVE: (&str, &str) = ("partition.assignment.strategy", "cooperative-sticky");
const BY_HAND: (&str, &str) = ("enable.auto.commit", "false");

fn orders(partitions: impl IntoIterator<Item = i32>) -> Vec<TopicPartition> {
    partitions.into_iter().map(|index| TopicPartition::new("orders", index)).collect()
}

fn pause(failures: u32) -> Duration {
    Duration::from_millis(100) * failures.min(10)
}

impl Stage {
    /// A consumer that has subscribed to `orders`, which has three partitions.
    fn new(settings: &[(&str, &str)]) -> Self {
        let mut config = ConsumerConfig::default();
        config.set("group.id", "shop").unwrap();
        config.set_all(settings.iter().copied()).unwrap();
        let settings = Settings::new(&config).unwrap().unwrap();
        let now = Instant::from_secs(1);
        let mut stage = Self {
            member: Classic::new(settings, now),
            now,
            cluster: Cluster::default(),
            ids: Requests::default(),
            asked: Vec::new(),
            has_coordinator: true,
            generation: 0,
        };
        stage.member.subscribe(Subscription::to(["orders".into()]));
        stage.partitions(3);
        stage
    }

    /// One that owns these partitions in generation 1 as `m`.
    fn stable(settings: &[(&str, &str)], owned: impl IntoIterator<Item = i32>) -> Self {
        let mut stage = Self::new(settings);
        stage.poll();
        stage.generation = 1;
        stage.follow(owned);
        stage
    }

    /// Metadata say that `orders` has so many partitions.
    fn partitions(&mut self, count: usize) {
        self.cluster.update(&metadata(3, "orders", 7, &vec![(1, 5); count]));
        self.member.metadata_changed(&self.cluster, false, &[]);
    }

    fn ask(&mut self) -> bool {
        let Self { member, ids, asked, cluster, .. } = self;
        let silent = member.ask(self.now, self.has_coordinator, cluster, &mut |request, _| {
            let id = ids.next_id();
            ids.began(id, BrokerId(1), ());
            asked.push((id, request));
            id
        });
        member.check();
        silent
    }

    /// Polls until nothing is to be done; listeners return at once, commits succeed. Returns what the
    /// listener was told.
    fn poll(&mut self) -> Vec<Event> {
        let mut told = Vec::new();
        while let Some(step) = self.member.poll(self.now) {
            self.member.check();
            match step {
                Step::Commit { .. } => self.member.committed(),
                Step::Tell(event) => {
                    told.push(event);
                    self.member.told();
                }
            }
            self.member.check();
        }
        self.ask();
        told
    }

    fn pass(&mut self, millis: u64) -> bool {
        self.now = self.now + Duration::from_millis(millis);
        self.ask()
    }

    /// Lets time pass with heartbeats that succeed, and polls.
    fn pass_quietly(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.pass(1000);
            self.poll();
            for (id, request) in std::mem::take(&mut self.asked) {
                assert!(matches!(request, Request::Heartbeat(_)), "{request:?}");
                self.answer(id, &Response::Heartbeat(HeartbeatResponse::default()));
            }
        }
    }

    fn answer(&mut self, id: RequestId, answer: &Response) -> ErrorCode {
        let Self { member, cluster, .. } = self;
        let error = member.answered(self.now, id, Ok(answer), cluster, &mut pause);
        member.check();
        self.ask();
        error
    }

    fn fail(&mut self, id: RequestId, error: ErrorCode) {
        let Self { member, cluster, .. } = self;
        member.answered(self.now, id, Err(error), cluster, &mut pause);
        member.check();
        self.ask();
    }

    fn join(&mut self) -> (RequestId, JoinGroupRequest) {
        match self.asked.remove(0) {
            (id, Request::Join(join)) => (id, join),
            (_, other) => panic!("{other:?}"),
        }
    }

    fn sync(&mut self) -> (RequestId, SyncGroupRequest) {
        match self.asked.remove(0) {
            (id, Request::Sync(sync)) => (id, sync),
            (_, other) => panic!("{other:?}"),
        }
    }

    fn leave(&mut self) -> LeaveGroupRequest {
        match self.asked.remove(0) {
            (_, Request::Leave(leave)) => leave,
            (_, other) => panic!("{other:?}"),
        }
    }

    fn heartbeat(&mut self, error: ErrorCode) {
        while self.asked.is_empty() {
            self.pass(1000);
        }
        let (id, request) = self.asked.remove(0);
        assert!(matches!(request, Request::Heartbeat(_)), "{request:?}");
        let answer = message!(HeartbeatResponse { error_code: error.code() });
        self.answer(id, &Response::Heartbeat(answer));
    }

    fn refuse_join(&mut self, error: ErrorCode) {
        let (id, _) = self.join();
        let answer =
            message!(JoinGroupResponse { error_code: error.code(), member_id: "m".into() });
        self.answer(id, &Response::Join(answer));
    }

    fn refuse_sync(&mut self, error: ErrorCode) {
        let (id, _) = self.sync();
        let answer = message!(SyncGroupResponse { error_code: error.code() });
        self.answer(id, &Response::Sync(answer));
    }

    /// The group completes a join that another member leads.
    fn joined(&mut self) -> JoinGroupRequest {
        let (id, join) = self.join();
        let answer = message!(JoinGroupResponse {
            generation_id: self.generation,
            protocol_type: Some("consumer".into()),
            protocol_name: Some(join.protocols[0].name.clone()),
            leader: "another".into(),
            member_id: "m".into(),
        });
        self.answer(id, &Response::Join(answer));
        join
    }

    fn synced(&mut self, share: &[TopicPartition]) -> Vec<Event> {
        let (id, _) = self.sync();
        let assignment = payload::write_assignment(share).unwrap();
        self.answer(id, &Response::Sync(message!(SyncGroupResponse { assignment: assignment })));
        self.poll()
    }

    /// Joins as a follower, and is assigned these.
    fn follow(&mut self, share: impl IntoIterator<Item = i32>) -> Vec<Event> {
        self.joined();
        let told = self.synced(&orders(share));
        self.generation += 1;
        told
    }

    /// Answers everything as a coordinator does that has this member alone.
    fn be_honest(&mut self) {
        for (id, request) in std::mem::take(&mut self.asked) {
            let answer = match request {
                Request::Join(join) if join.member_id.is_empty() => {
                    Response::Join(message!(JoinGroupResponse {
                        error_code: ErrorCode::MemberIdRequired.code(),
                        member_id: "honest".into(),
                    }))
                }
                Request::Join(join) => {
                    self.generation += 1;
                    let own = message!(JoinGroupResponseMember {
                        member_id: join.member_id.clone(),
                        metadata: join.protocols[0].metadata.clone(),
                    });
                    Response::Join(message!(JoinGroupResponse {
                        generation_id: self.generation,
                        protocol_name: Some(join.protocols[0].name.clone()),
                        leader: join.member_id.clone(),
                        member_id: join.member_id,
                        members: vec![own],
                    }))
                }
                Request::Sync(sync) => {
                    let own = sync.assignments.iter().find(|a| a.member_id == sync.member_id);
                    let assignment = own.map_or(Bytes::new(), |own| own.assignment.clone());
                    Response::Sync(message!(SyncGroupResponse { assignment: assignment }))
                }
                Request::Heartbeat(_) => Response::Heartbeat(HeartbeatResponse::default()),
                Request::Leave(_) => Response::Leave(LeaveGroupResponse::default()),
                other => panic!("{other:?}"),
            };
            self.answer(id, &answer);
        }
    }

    fn owns(&self) -> Vec<TopicPartition> {
        self.member.owned().iter().cloned().collect()
    }
}
