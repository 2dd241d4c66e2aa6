//! Group coordinators on a real partition: elected, loading, resigned, and told of the cluster.

mod log;
mod transactions;

use std::pin::{Pin, pin};
use std::task::{Context, Waker};

use super::*;
use crate::base::config::{Config, TopicConfig};
use crate::base::{Offset, PartitionEpoch};
use crate::broker::partition::tests::{ME, OTHER, Replica};
use crate::controller::{PartitionRecord, Record, TopicRecord};
use crate::io::real::RealWorld;
use crate::wire::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use crate::wire::messages::offset_fetch_request::OffsetFetchRequestGroup;
use crate::wire::messages::{OffsetCommitRequest, message};

const BOTH: [BrokerId; 2] = [ME, OTHER];
const ORDERS: TopicId = TopicId([5; 16]);

struct Stage {
    replica: Replica,
    groups: Arc<Groups<RealWorld>>,
    image: Image,
}

impl Stage {
    async fn new(settings: &[(&str, &str)]) -> Self {
        Self::on(TopicConfig::default(), settings).await
    }

    /// The same with settings of `__consumer_offsets`.
    async fn on(config: TopicConfig, settings: &[(&str, &str)]) -> Self {
        Self::flawed(config, settings, Flaws::default()).await
    }

    async fn flawed(config: TopicConfig, settings: &[(&str, &str)], flaws: Flaws) -> Self {
        let replica = Replica::new(config).await;
        let world = RealWorld::new();
        let mut config = GroupConfig::default();
        config.set_all(settings.iter().copied()).unwrap();
        let groups = Groups::new(world.clone(), ME, &config, flaws);
        let elections = replica.site.elections_of(&replica.partition.name.topic);
        world.spawn("elections", groups.clone().run(elections));
        let mut stage = Self { replica, groups, image: Image::default() };
        let offsets = TopicId([7; 16]);
        stage.decide([topic(topics::CONSUMER_OFFSETS, offsets), topic("orders", ORDERS)]);
        stage
    }

    /// Committed metadata: each with the changes that it brings.
    fn decide(&mut self, records: impl IntoIterator<Item = Record>) {
        let mut changes = Vec::new();
        for record in records {
            let at = self.image.offset().map_or(Offset::ZERO, Offset::next);
            self.image.replay(at, &record, &mut changes).unwrap();
        }
        self.groups.metadata_changed(&Arc::new(self.image.clone()), &changes);
    }

    /// Metadata and the replica say that a broker leads.
    async fn elect(&mut self, leader: BrokerId, epoch: i32) {
        self.decide([partition(leader, epoch)]);
        self.replica.elect(leader, epoch, &BOTH).await;
    }

    async fn commit(&self, offset: i64) -> ErrorCode {
        let partition = message!(OffsetCommitRequestPartition { committed_offset: offset });
        let topic = message!(OffsetCommitRequestTopic {
            name: "orders".into(),
            topic_id: ORDERS.into(),
            partitions: vec![partition],
        });
        let request = message!(OffsetCommitRequest {
            group_id: "workers".into(),
            generation_id_or_member_epoch: -1,
            topics: vec![topic],
        });
        let committed = self
            .groups
            .decide("workers", |machine, now, wall| machine.commit_offsets(now, wall, 9, &request));
        match committed.await {
            Ok(response) => ErrorCode::from_code(response.topics[0].partitions[0].error_code),
            Err(error) => error,
        }
    }

    /// Commits, and has the other replica take the record, the log's first.
    async fn commit_first(&self) {
        let mut committed = pin!(self.commit(1));
        assert!(is_pending(committed.as_mut()), "the other replica does not have it yet");
        self.replica.replicated_to(1);
        assert_eq!(committed.await, ErrorCode::None);
    }

    /// How many offsets the group has committed.
    fn committed(&self) -> Result<usize, ErrorCode> {
        let request =
            message!(OffsetFetchRequestGroup { group_id: "workers".into(), topics: None });
        let fetched =
            self.groups.read("workers", |groups| groups.fetch_offsets(false, &request))?;
        Ok(fetched.topics.iter().map(|topic| topic.partitions.len()).sum())
    }
}

fn topic(name: &str, id: TopicId) -> Record {
    Record::Topic(TopicRecord { name: name.to_owned(), id })
}

fn partition(leader: BrokerId, epoch: i32) -> Record {
    Record::Partition(PartitionRecord {
        partition: 0,
        topic: TopicId([7; 16]),
        replicas: BOTH.to_vec(),
        isr: BOTH.to_vec(),
        removing: Vec::new(),
        adding: Vec::new(),
        leader: Some(leader),
        recovering: false,
        leader_epoch: LeaderEpoch(epoch),
        partition_epoch: PartitionEpoch(epoch),
        directories: Vec::new(),
        elr: Vec::new(),
        last_known_elr: Vec::new(),
    })
}

/// Lets the tasks of the coordinators run.
async fn settle() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

fn is_pending<F: Future>(future: Pin<&mut F>) -> bool {
    future.poll(&mut Context::from_waker(Waker::noop())).is_pending()
}

#[tokio::test]
async fn requests_find_the_coordinator_once_it_has_loaded_its_log() {
    let mut stage = Stage::new(&[]).await;
    assert_eq!(stage.commit(1).await, ErrorCode::NotCoordinator);
    stage.elect(ME, 5).await;
    settle().await;
    assert_eq!(stage.committed(), Ok(0));
    stage.commit_first().await;
    assert_eq!(stage.committed(), Ok(1));
}

#[tokio::test]
async fn coordinator_that_is_deposed_refuses_and_the_next_one_has_the_commits() {
    let mut stage = Stage::new(&[]).await;
    stage.elect(ME, 5).await;
    settle().await;
    stage.commit_first().await;
    stage.elect(OTHER, 6).await;
    settle().await;
    assert_eq!(stage.commit(2).await, ErrorCode::NotCoordinator);
    assert_eq!(stage.committed(), Err(ErrorCode::NotCoordinator));
    stage.elect(ME, 7).await;
    settle().await;
    assert_eq!(stage.committed(), Ok(1));
}

#[tokio::test]
async fn commit_that_no_replica_takes_in_time_is_an_error_that_is_retried() {
    let mut stage = Stage::new(&[("offsets.commit.timeout.ms", "20")]).await;
    stage.elect(ME, 5).await;
    settle().await;
    assert_eq!(stage.commit(1).await, ErrorCode::CoordinatorNotAvailable);
}

#[tokio::test]
async fn offsets_of_a_deleted_topic_are_deleted() {
    let mut stage = Stage::new(&[]).await;
    stage.elect(ME, 5).await;
    settle().await;
    stage.commit_first().await;
    assert_eq!(stage.committed(), Ok(1));
    stage.decide([Record::RemoveTopic(ORDERS)]);
    stage.replica.replicated_to(2);
    settle().await;
    assert_eq!(stage.committed(), Ok(0));
}

#[tokio::test]
async fn topic_deleted_while_a_coordinator_is_elected_loses_its_offsets_too() {
    let mut stage = Stage::new(&[]).await;
    stage.elect(ME, 5).await;
    settle().await;
    stage.commit_first().await;
    assert_eq!(stage.committed(), Ok(1));
    stage.elect(ME, 6).await;
    // The task that follows elections has not run: the machine of epoch 5 is about to resign.
    stage.decide([Record::RemoveTopic(ORDERS)]);
    settle().await;
    stage.replica.replicated_to(2);
    settle().await;
    assert_eq!(stage.committed(), Ok(0));
}
