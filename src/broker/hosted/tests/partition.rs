//! The same machine on a real partition: elected, deposed, elected again.

use std::pin::pin;

use super::super::partition::Coordinators;
use super::*;
use crate::base::BrokerId;
use crate::base::config::TopicConfig;
use crate::broker::partition::tests::{ME, OTHER, Replica};
use crate::wire::ErrorCode;

type OnReplicas = Arc<Coordinators<RealWorld, Counters>>;

/// A replica whose elections the coordinators follow.
async fn stage() -> (Replica, OnReplicas) {
    let replica = Replica::new(TopicConfig::default()).await;
    let world = RealWorld::new();
    let coordinators = Coordinators::new(world.clone(), |_, _| Counters::default(), |_, _| ());
    let elections = replica.site.elections_of(&replica.partition.name.topic);
    world.spawn("elections", coordinators.clone().run(elections));
    (replica, coordinators)
}

const BOTH: [BrokerId; 2] = [ME, OTHER];

async fn add(of: &OnReplicas, name: &str, amount: i64) -> Result<i64, ErrorCode> {
    let hosted = of.find(0)?;
    let decided = hosted.decide(|counters, _, _| counters.add(name, amount)).await;
    decided.map(|value| value.expect("not below zero")).map_err(|refused| refused.code())
}

fn committed(of: &OnReplicas, name: &str) -> Option<i64> {
    of.find(0).unwrap().read(|values| values.of.get(name).copied()).unwrap()
}

#[tokio::test]
async fn coordinator_on_a_partition_answers_once_the_high_watermark_has_passed() {
    let (replica, coordinators) = stage().await;
    assert_eq!(add(&coordinators, "a", 1).await, Err(ErrorCode::NotCoordinator));
    replica.elect(ME, 5, &BOTH).await;
    settle().await;
    let mut first = pin!(add(&coordinators, "a", 1));
    let mut second = pin!(add(&coordinators, "a", 1));
    assert!(waits(first.as_mut()).await && waits(second.as_mut()).await);
    replica.replicated_to(1);
    assert_eq!(first.await, Ok(1));
    assert!(waits(second.as_mut()).await);
    assert_eq!(committed(&coordinators, "a"), Some(1));
    replica.replicated_to(2);
    assert_eq!(second.await, Ok(2));
}

#[tokio::test]
async fn coordinator_of_a_deposed_replica_resigns_and_is_loaded_again() {
    let (replica, coordinators) = stage().await;
    replica.elect(ME, 5, &BOTH).await;
    settle().await;
    let mut kept = pin!(add(&coordinators, "a", 1));
    assert!(waits(kept.as_mut()).await);
    replica.replicated_to(1);
    assert_eq!(kept.await, Ok(1));
    let mut pending = pin!(add(&coordinators, "a", 1));
    assert!(waits(pending.as_mut()).await);
    replica.elect(OTHER, 6, &BOTH).await;
    assert_eq!(pending.await, Err(ErrorCode::NotCoordinator));
    settle().await;
    assert_eq!(add(&coordinators, "a", 1).await, Err(ErrorCode::NotCoordinator));
    // Nothing was truncated, so the pending record is in the log of the new epoch.
    replica.elect(ME, 7, &BOTH).await;
    settle().await;
    assert_eq!(committed(&coordinators, "a"), Some(1));
    let mut next = pin!(add(&coordinators, "a", 1));
    assert!(waits(next.as_mut()).await);
    replica.replicated_to(3);
    assert_eq!(next.await, Ok(3));
    assert_eq!(committed(&coordinators, "a"), Some(3));
}

#[tokio::test]
async fn decision_below_min_insync_replicas_is_refused_and_the_coordinator_stays() {
    let config = TopicConfig { min_insync_replicas: 2, ..TopicConfig::default() };
    let replica = Replica::new(config).await;
    let world = RealWorld::new();
    let coordinators = Coordinators::new(world.clone(), |_, _| Counters::default(), |_, _| ());
    let elections = replica.site.elections_of(&replica.partition.name.topic);
    world.spawn("elections", coordinators.clone().run(elections));
    replica.elect(ME, 5, &[ME]).await;
    settle().await;
    assert_eq!(add(&coordinators, "a", 1).await, Err(ErrorCode::CoordinatorNotAvailable));
    let found = coordinators.find(0).unwrap();
    assert_eq!(found.decide(|counters, _, _| counters.get("a")).await, Ok(None));
}
