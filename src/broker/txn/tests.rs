//! Transaction coordinators on a real partition: elected, loading, resigned, and their markers.

use std::pin::{Pin, pin};
use std::task::{Context, Waker};

use super::*;
use crate::base::config::TopicConfig;
use crate::base::{Offset, ProducerEpoch, TopicPartition};
use crate::broker::partition::tests::{ME, OTHER, Replica};
use crate::controller::{FeatureLevel, Record};
use crate::io::real::RealWorld;
use crate::txn::{AddRequest, EndRequest, InitRequest, Initialised, Outcome};

const BOTH: [BrokerId; 2] = [ME, OTHER];

/// The replica's topic has one partition, and so has `__transaction_state` here.
struct Stage {
    replica: Replica,
    txns: Arc<TxnCoordinators<RealWorld>>,
    asked: mpsc::UnboundedReceiver<Outgoing>,
}

impl Stage {
    async fn new() -> Self {
        let replica = Replica::new(TopicConfig::default()).await;
        let world = RealWorld::new();
        let mut config = NodeConfig::default();
        config.set_all([("transaction.state.log.num.partitions", "1")]).unwrap();
        let txns = TxnCoordinators::new(world.clone(), &config, Flaws::default());
        let elections = replica.site.elections_of(&replica.partition.name.topic);
        world.spawn("elections", txns.clone().run(elections));
        let asked = txns.asked().unwrap();
        txns.metadata_changed(&image(2));
        Self { replica, txns, asked }
    }

    async fn elect(&self, leader: BrokerId, epoch: i32) {
        self.replica.elect(leader, epoch, &BOTH).await;
        settle().await;
    }

    async fn init(&self) -> Result<Initialised, ErrorCode> {
        let request = InitRequest {
            id: "transfers",
            timeout_ms: 60_000,
            expected: None,
            two_phase: false,
            keep_prepared: false,
        };
        let decided = self.txns.decide("transfers", |machine, now, wall| {
            machine.init(now, wall, request, Some(ProducerId(7)))
        });
        decided.await?.expect("it has a producer id")
    }

    async fn add(&self, producer: Initialised) -> Result<ErrorCode, ErrorCode> {
        let partitions = &[TopicPartition::new("orders", 0)].into();
        let version = TransactionVersion::V2;
        let request = AddRequest { id: "transfers", producer, partitions, version };
        let add = |machine: &TxnCoordinator, now, wall| machine.add_partitions(now, wall, request);
        self.txns.decide("transfers", add).await
    }

    async fn end(&self, producer: Initialised) -> Result<Initialised, ErrorCode> {
        let (outcome, version) = (Outcome::Commit, TransactionVersion::V2);
        let request = EndRequest { id: "transfers", producer, outcome, version };
        let end = |machine: &TxnCoordinator, now, wall| machine.end(now, wall, request, None);
        self.txns.decide("transfers", end).await?.expect("its epochs are not exhausted")
    }

    /// Waits for the answer of a request whose record the other replica takes as the `end`th.
    async fn replicated<T>(&self, end: i64, request: impl Future<Output = T>) -> T {
        let mut request = pin!(request);
        assert!(is_pending(request.as_mut()), "the other replica does not have it yet");
        self.replica.replicated_to(end);
        request.await
    }

    fn state(&self) -> Result<String, ErrorCode> {
        let read = |transactions: &Transactions| transactions.describe("transfers");
        self.txns.read("transfers", read).map(|one| one.transaction_state.to_string())
    }
}

fn image(level: i16) -> Arc<Image> {
    let mut image = Image::default();
    let record = FeatureLevel { name: TRANSACTION_VERSION.to_owned(), level };
    image.replay(Offset::ZERO, &Record::FeatureLevel(record), &mut Vec::new()).unwrap();
    Arc::new(image)
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
async fn transaction_is_decided_marked_and_completed() {
    let mut stage = Stage::new().await;
    assert_eq!(stage.init().await, Err(ErrorCode::NotCoordinator));
    stage.elect(ME, 5).await;
    let producer = stage.replicated(1, stage.init()).await.unwrap();
    assert_eq!(producer, (ProducerId(7), ProducerEpoch(0)));
    assert_eq!(stage.replicated(2, stage.add(producer)).await, Ok(ErrorCode::None));
    let next = stage.replicated(3, stage.end(producer)).await.unwrap();
    assert_eq!(next, (ProducerId(7), ProducerEpoch(1)), "at the level of the metadata");
    let Some(Outgoing::Markers(markers)) = stage.asked.recv().await else { panic!("no markers") };
    assert_eq!((markers.coordinator, markers.partitions.len()), (LeaderEpoch(5), 1));
    // The metadata has no such partition: it was deleted.
    stage.txns.send(markers);
    settle().await;
    stage.replica.replicated_to(4);
    settle().await;
    assert_eq!(stage.state().as_deref(), Ok("CompleteCommit"));
}

#[tokio::test]
async fn next_coordinator_sends_the_markers_of_a_decided_transaction() {
    let mut stage = Stage::new().await;
    stage.elect(ME, 5).await;
    let producer = stage.replicated(1, stage.init()).await.unwrap();
    stage.replicated(2, stage.add(producer)).await.unwrap();
    stage.replicated(3, stage.end(producer)).await.unwrap();
    stage.elect(OTHER, 6).await;
    assert_eq!(stage.state(), Err(ErrorCode::NotCoordinator));
    stage.elect(ME, 7).await;
    let mut seen = Vec::new();
    while let Ok(outgoing) = stage.asked.try_recv() {
        seen.push(match outgoing {
            Outgoing::Markers(markers) => format!("markers {}", markers.coordinator),
            Outgoing::Resigned { epoch, .. } => format!("resigned {epoch}"),
            Outgoing::NeedsProducerId { .. } => "producer id".to_owned(),
        });
    }
    assert_eq!(seen, ["markers 5", "resigned 5", "markers 7"]);
}

#[tokio::test]
async fn level_of_the_feature_reaches_coordinators_that_decide_already() {
    let stage = Stage::new().await;
    stage.elect(ME, 5).await;
    let level = || stage.txns.see("transfers", |machine| machine.version().level());
    assert_eq!(level(), Ok(2));
    stage.txns.metadata_changed(&image(1));
    assert_eq!(level(), Ok(1));
}

#[tokio::test]
async fn request_without_a_transactional_id_is_invalid_on_any_broker() {
    let stage = Stage::new().await;
    let decided = stage.txns.decide("", |_, _, _| Decision::only(())).await;
    assert_eq!(decided, Err(ErrorCode::InvalidRequest));
}
