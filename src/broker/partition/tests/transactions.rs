//! Transactions that are verified before their first batch, and producers that fall silent.

use super::*;
use crate::base::config::TxnConfig;
use crate::log::TransactionalWrite;

/// Lets a few milliseconds pass.
async fn pause() {
    let world = RealWorld::new();
    world.sleep_until(world.now() + Duration::from_millis(5)).await;
}

/// A leader whose log takes verified transactions only.
async fn leader() -> Replica {
    let replica = Replica::new(TopicConfig::default()).await;
    replica.partition.configure_producers();
    replica.elect(ME, 3, &[ME]).await;
    replica
}

fn begin(replica: &Replica, epoch: i16, sequence: i32) -> Result<Option<Verifying>, ErrorCode> {
    replica.partition.begin_verification(&TransactionalWrite {
        producer: ProducerId(7),
        epoch: ProducerEpoch(epoch),
        sequence,
        bumps_epoch: false,
    })
}

async fn write(
    replica: &Replica,
    sequence: i32,
    verified: Option<Verifying>,
) -> Result<Offset, ErrorCode> {
    let batch = transactional(7, sequence);
    let produced = replica.partition.produce(batch, Acks::Leader, verified).await;
    produced.map(|produced| produced.base).map_err(|refusal| refusal.code)
}

#[tokio::test]
async fn first_batch_is_taken_with_its_verification_only() {
    let replica = leader().await;
    assert_eq!(write(&replica, 0, None).await, Err(ErrorCode::InvalidTxnState));
    let verified = begin(&replica, 0, 0).unwrap();
    assert!(verified.is_some());
    assert_eq!(write(&replica, 0, verified).await, Ok(Offset(0)));
    assert_eq!(begin(&replica, 0, 1), Ok(None));
    assert_eq!(write(&replica, 1, None).await, Ok(Offset(1)));
    assert_eq!(write(&replica, 1, None).await, Ok(Offset(1)), "a duplicate");
}

#[tokio::test]
async fn verification_that_a_marker_overtook_is_void() {
    let replica = leader().await;
    let verified = begin(&replica, 0, 0).unwrap();
    replica.end(7, false).await.unwrap();
    assert_eq!(write(&replica, 0, verified).await, Err(ErrorCode::InvalidTxnState));
    assert_eq!(replica.fetch(COMMITTED, 0).last_stable, Offset(1), "nothing hangs");
}

#[tokio::test]
async fn verification_is_void_in_another_leader_epoch() {
    let replica = leader().await;
    let verified = begin(&replica, 0, 0).unwrap();
    replica.elect(OTHER, 4, &[ME, OTHER]).await;
    assert_eq!(begin(&replica, 0, 0), Err(ErrorCode::NotLeaderOrFollower));
    assert_eq!(write(&replica, 0, verified).await, Err(ErrorCode::NotLeaderOrFollower));
    replica.elect(ME, 5, &[ME]).await;
    assert_eq!(write(&replica, 0, verified).await, Err(ErrorCode::NotLeaderOrFollower));
    let verified = begin(&replica, 0, 0).unwrap();
    assert_eq!(write(&replica, 0, verified).await, Ok(Offset(0)));
}

#[tokio::test]
async fn fenced_producer_is_not_verified() {
    let replica = leader().await;
    let marker = end(7, 2, true, 1);
    replica.partition.append_marker(&marker).await.unwrap_or_else(|_| panic!("refused"));
    assert_eq!(begin(&replica, 1, 0), Err(ErrorCode::InvalidProducerEpoch));
    assert!(begin(&replica, 2, 0).unwrap().is_some());
}

#[tokio::test]
async fn marker_wakes_readers_of_what_is_committed_once_it_is() {
    let replica = Replica::new(TopicConfig::default()).await;
    replica.elect(ME, 3, &[ME, OTHER]).await;
    replica.produce(7, 0).await;
    replica.replicated_to(1);
    let watch = Arc::new(FetchWatch::default());
    assert!(replica.fetch_with(COMMITTED, 0, &watch).slice.is_none(), "its transaction is open");
    let rung = || {
        let mut context = Context::from_waker(Waker::noop());
        pin!(watch.changed()).poll(&mut context).is_ready()
    };
    replica.end(7, true).await.unwrap();
    assert!(!rung(), "the marker is not committed");
    replica.replicated_to(2);
    assert!(rung());
    assert!(replica.fetch_with(COMMITTED, 0, &watch).slice.is_some());
}

#[tokio::test]
async fn silent_producer_is_forgotten_at_the_first_check_after_its_time() {
    let replica = Replica::new(TopicConfig::default()).await;
    replica.elect(ME, 3, &[ME]).await;
    replica.produce(7, 0).await;
    let key = (replica.partition.topic_id, 0);
    let known = || replica.partition.producers().map(|producers| producers.len());
    assert_eq!(replica.site.take_expiring(), [], "not for a day");
    let soon =
        TxnConfig { producer_id_expiration: Duration::from_millis(1), ..TxnConfig::default() };
    replica.site.configure(&soon);
    replica.partition.configure_producers();
    pause().await;
    assert_eq!(replica.site.take_expiring(), [key]);
    replica.partition.expire_producers();
    assert_eq!(known(), Ok(1), "its transaction is open");
    assert_eq!(replica.site.take_expiring(), [], "and costs no check");
    replica.end(7, true).await.unwrap();
    pause().await;
    assert_eq!(replica.site.take_expiring(), [key]);
    replica.partition.expire_producers();
    assert_eq!(known(), Ok(0));
    replica.partition.retire();
    assert_eq!(known(), Err(ErrorCode::NotLeaderOrFollower));
}
