//! The ports of a partition, and what its readers see of transactions, on a real disk.

mod transactions;

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use bytes::BytesMut;
use tokio::sync::mpsc;

use super::*;
use crate::base::config::{Acks, Compression, TopicConfig};
use crate::base::{
    BrokerEpoch, BrokerId, DirectoryId, Flaws, PartitionEpoch, ProducerEpoch, ProducerId, Timestamp,
};
use crate::broker::dirs::Dirs;
use crate::broker::outbox::{Outbox, Undelivered};
use crate::broker::purgatory::FetchWatch;
use crate::controller::PartitionState;
use crate::io::real::{RealDisk, RealWorld};
use crate::log::{Identity, LogConfig, LogDir, Recovery, TransactionEnd};
use crate::replica::{LeaderInput, Peer, Peers};
use crate::wire::batch::BatchBuilder;

pub(in crate::broker) const ME: BrokerId = BrokerId(1);
pub(in crate::broker) const OTHER: BrokerId = BrokerId(2);

/// A partition of broker 1, with a copy on broker 2.
pub(in crate::broker) struct Replica {
    pub(in crate::broker) partition: Arc<Partition<RealWorld>>,
    pub(in crate::broker) site: Arc<Site<RealWorld>>,
    /// Keep what the replica uses.
    _kept: (tempfile::TempDir, Undelivered, mpsc::UnboundedReceiver<DirectoryId>),
}

impl Replica {
    pub(in crate::broker) async fn new(config: TopicConfig) -> Self {
        let place = tempfile::tempdir().unwrap();
        let (world, name) = (RealWorld::new(), TopicPartition::new("orders", 0));
        let (topic, directory) = (TopicId([7; 16]), DirectoryId([1; 16]));
        let identity = Identity {
            node: ME,
            cluster: Some("c".into()),
            fresh_cluster: TopicId::ZERO,
            fresh_directory: directory,
            flaws: Flaws::default(),
        };
        let dir = LogDir::open(RealDisk, place.path().join("data"), identity).await.unwrap().0;
        let (dirs, failures) = Dirs::new([(dir, true)], directory, false);
        let home = dirs.of_replicas().next().unwrap().clone();
        let path = home.dir.create_partition(&name, topic).await.unwrap();
        let new = Recovery { clean: true, ..Recovery::default() };
        let log_config = LogConfig::new(&config, Flaws::default());
        let log = Log::open(RealDisk, path, log_config, new, world.wall_clock()).await.unwrap().0;
        let (outbox, undelivered) = Outbox::new();
        let site = Site::new(world, ME, Duration::from_secs(30), Flaws::default(), outbox);
        let ids = (name, topic);
        let partition = Partition::new(site.clone(), ids, (log, config), Offset::ZERO, home);
        Self { partition, site, _kept: (place, undelivered, failures) }
    }

    /// Committed metadata makes a broker lead, with this ISR.
    pub(in crate::broker) async fn elect(&self, leader: BrokerId, epoch: i32, isr: &[BrokerId]) {
        let state = PartitionState {
            replicas: vec![ME, OTHER],
            directories: Vec::new(),
            isr: isr.to_vec(),
            elr: Vec::new(),
            last_known_elr: Vec::new(),
            leader: Some(leader),
            leader_epoch: LeaderEpoch(epoch),
            partition_epoch: PartitionEpoch(epoch),
            recovering: false,
        };
        let peer = |id: BrokerId| Peer {
            epoch: BrokerEpoch(id.0.into()),
            fenced: false,
            shutting_down: false,
        };
        let peers: Peers = [ME, OTHER].into_iter().map(|id| (id, peer(id))).collect();
        self.partition.assume(&state, &peers).await.unwrap();
    }

    fn fetch(&self, reader: Reader, offset: i64) -> FetchAnswer<RealWorld> {
        self.fetch_with(reader, offset, &Arc::new(FetchWatch::default()))
    }

    fn fetch_with(
        &self,
        reader: Reader,
        offset: i64,
        watch: &Arc<FetchWatch>,
    ) -> FetchAnswer<RealWorld> {
        let read = FetchRead {
            reader,
            from_follower: true,
            near: &[],
            current_epoch: LeaderEpoch::NONE,
            offset: Offset(offset),
            last_fetched_epoch: LeaderEpoch::NONE,
            log_start: Offset::ZERO,
            max_bytes: 1 << 20,
            at_least_one: true,
            knows_zstd: true,
        };
        let answer = self.partition.read(&read, true, watch, 0);
        assert_eq!(answer.error, ErrorCode::None);
        answer
    }

    /// Broker 2 has everything below `offset`.
    pub(in crate::broker) fn replicated_to(&self, offset: i64) {
        let _ = self.fetch(Reader::Replica { id: OTHER, epoch: Some(BrokerEpoch(2)) }, offset);
    }

    async fn produce(&self, producer: i64, sequence: i32) -> Offset {
        let produced =
            self.partition.produce(transactional(producer, sequence), Acks::Leader, None);
        produced.await.map_err(|refusal| refusal.code).unwrap().base
    }

    async fn end(&self, producer: i64, commit: bool) -> Result<Offset, ErrorCode> {
        let marker = end(producer, 0, commit, 4);
        let appended = self.partition.append_marker(&marker).await;
        appended.map(|produced| produced.base).map_err(|refusal| refusal.code)
    }
}

/// A batch of one record of a transaction.
fn transactional(producer: i64, sequence: i32) -> BytesMut {
    let now = RealWorld::new().wall_clock();
    let mut builder = BatchBuilder::new(Compression::None, now).transactional();
    builder.append(now, Some(b"k"), Some(b"v"), &[]);
    BytesMut::from(&builder.finish(ProducerId(producer), ProducerEpoch(0), sequence)[..])
}

fn decision() -> BytesMut {
    let now = RealWorld::new().wall_clock();
    let mut builder = BatchBuilder::new(Compression::None, now);
    builder.append(now, Some(b"group"), Some(b"offset"), &[]);
    BytesMut::from(&builder.finish_plain()[..])
}

fn end(producer: i64, epoch: i16, commit: bool, coordinator_epoch: i32) -> TransactionEnd {
    let (producer, producer_epoch) = (ProducerId(producer), ProducerEpoch(epoch));
    TransactionEnd { producer, producer_epoch, coordinator_epoch, commit, version: 1 }
}

const UNCOMMITTED: Reader = Reader::Consumer(Isolation::ReadUncommitted);
const COMMITTED: Reader = Reader::Consumer(Isolation::ReadCommitted);

fn aborted(answer: &FetchAnswer<RealWorld>) -> Vec<(i64, i64)> {
    let aborted = answer.aborted.as_ref().expect("a list for a read_committed consumer");
    aborted.iter().map(|aborted| (aborted.producer.0, aborted.first.0)).collect()
}

#[tokio::test]
async fn decision_is_in_the_log_at_once_and_committed_once_replicated() {
    let replica = Replica::new(TopicConfig::default()).await;
    replica.elect(ME, 3, &[ME, OTHER]).await;
    let (partition, epoch) = (&replica.partition, LeaderEpoch(3));
    assert_eq!(partition.leads_in(), Some(epoch));
    let mut commits = partition.on_committed(epoch).unwrap();
    for base in 0..2 {
        let written = partition.append_decided(epoch, decision()).unwrap();
        assert_eq!(written, Written { base: Offset(base), end: Offset(base + 1) });
    }
    assert_eq!(commits.high_watermark(), Ok(Offset::ZERO));
    replica.replicated_to(1);
    replica.replicated_to(2);
    assert_eq!(commits.next().await, Ok(Offset(2)), "two moves between two looks are one");
    assert_eq!(commits.reach(Offset(2)).await, Ok(()));
    let extent = partition.extent(epoch).unwrap();
    let all = (Offset::ZERO, Offset(2), Offset(2));
    assert_eq!((extent.log_start, extent.high_watermark, extent.log_end), all);
}

#[tokio::test]
async fn append_wakes_replicas_and_commit_wakes_consumers() {
    let replica = Replica::new(TopicConfig::default()).await;
    replica.elect(ME, 3, &[ME, OTHER]).await;
    let rung = |watch: &FetchWatch| {
        let mut context = Context::from_waker(Waker::noop());
        pin!(watch.changed()).poll(&mut context).is_ready()
    };
    let follower = Reader::Replica { id: OTHER, epoch: Some(BrokerEpoch(2)) };
    let watches = [follower, UNCOMMITTED].map(|reader| {
        let watch = Arc::new(FetchWatch::default());
        replica.fetch_with(reader, 0, &watch);
        watch
    });
    replica.produce(7, 0).await;
    assert!(rung(&watches[0]) && !rung(&watches[1]), "appended, and not committed");
    replica.fetch_with(follower, 1, &watches[0]);
    assert!(!rung(&watches[0]) && rung(&watches[1]), "committed, and no longer than before");
    replica.fetch_with(UNCOMMITTED, 1, &watches[1]);
    replica.elect(OTHER, 4, &[ME, OTHER]).await;
    assert!(watches.iter().all(|watch| rung(watch)), "deposed");
}

#[tokio::test]
async fn replica_that_left_the_isr_is_read_again_in_its_next_fetch() {
    let replica = Replica::new(TopicConfig::default()).await;
    replica.elect(ME, 3, &[ME, OTHER]).await;
    let follower = Reader::Replica { id: OTHER, epoch: Some(BrokerEpoch(2)) };
    let watch = Arc::new(FetchWatch::default());
    assert!(!replica.fetch_with(follower, 0, &watch).may_join);
    watch.take();
    let (partition_epoch, isr) = (PartitionEpoch(4), vec![ME]);
    let left = LeaderInput::Committed { partition_epoch, isr };
    replica.partition.isr_answered(LeaderEpoch(3), left);
    assert!(watch.take().contains(&0), "its next request may let it join");
    assert!(replica.fetch_with(follower, 0, &watch).may_join);
}

#[tokio::test]
async fn coordinator_loads_its_log_piece_by_piece_up_to_the_end() {
    let replica = Replica::new(TopicConfig::default()).await;
    replica.elect(ME, 3, &[ME, OTHER]).await;
    let (partition, epoch) = (&replica.partition, LeaderEpoch(3));
    for _ in 0..3 {
        partition.append_decided(epoch, decision()).unwrap();
    }
    let (mut next, mut pieces) = (Offset::ZERO, 0);
    while next < partition.extent(epoch).unwrap().log_end {
        let piece = partition.read_decided(epoch, next, 1).unwrap();
        let (header, _) = crate::wire::batch::batches(&piece).next().unwrap().unwrap();
        assert_eq!((header.base_offset, header.leader_epoch), (next, epoch));
        (next, pieces) = (header.next_offset(), pieces + 1);
    }
    assert_eq!(pieces, 3);
    assert!(partition.read_decided(epoch, next, 1).unwrap().is_empty());
}

#[tokio::test]
async fn ports_refuse_every_other_leader_epoch() {
    let replica = Replica::new(TopicConfig::default()).await;
    replica.elect(ME, 3, &[ME, OTHER]).await;
    let (partition, not_leader) = (&replica.partition, ErrorCode::NotLeaderOrFollower);
    for epoch in [LeaderEpoch(2), LeaderEpoch(4)] {
        let refused = partition.append_decided(epoch, decision()).unwrap_err();
        assert_eq!(refused.code, not_leader);
        assert_eq!(partition.extent(epoch).unwrap_err(), not_leader);
        assert_eq!(partition.read_decided(epoch, Offset::ZERO, 1).unwrap_err(), not_leader);
        assert_eq!(partition.on_committed(epoch).err(), Some(not_leader));
    }
    replica.elect(OTHER, 4, &[ME, OTHER]).await;
    assert_eq!(partition.leads_in(), None);
    let refused = partition.append_decided(LeaderEpoch(4), decision()).unwrap_err();
    assert_eq!(refused.code, not_leader);
}

#[tokio::test]
async fn decision_is_refused_below_min_insync_replicas() {
    let config = TopicConfig { min_insync_replicas: 2, ..TopicConfig::default() };
    let replica = Replica::new(config).await;
    replica.elect(ME, 3, &[ME]).await;
    let refused = replica.partition.append_decided(LeaderEpoch(3), decision()).unwrap_err();
    assert_eq!(refused.code, ErrorCode::NotEnoughReplicas);
    assert_eq!(replica.partition.log_end(), Offset::ZERO);
}

#[tokio::test]
async fn decision_counts_only_once_synced_where_the_policy_asks_for_it() {
    let config = TopicConfig { flush_before_ack: true, ..TopicConfig::default() };
    let replica = Replica::new(config).await;
    replica.elect(ME, 3, &[ME]).await;
    let (partition, epoch) = (&replica.partition, LeaderEpoch(3));
    let mut commits = partition.on_committed(epoch).unwrap();
    let written = partition.append_decided(epoch, decision()).unwrap();
    assert_eq!(commits.high_watermark(), Ok(Offset::ZERO), "alone in the ISR, but not synced");
    commits.reach(written.end).await.unwrap();
    assert_eq!(partition.mark_recovery_point().unwrap().offset, written.end);
}

#[tokio::test]
async fn elections_and_resignations_alternate_and_end_subscriptions() {
    let replica = Replica::new(TopicConfig::default()).await;
    let mut events = replica.site.elections_of("orders");
    let mut others = replica.site.elections_of("payments");
    let mut seen = || match events.try_recv() {
        Ok(Leadership::Elected { partition, epoch }) => {
            Some((true, partition.name.partition, epoch.0))
        }
        Ok(Leadership::Resigned { partition, epoch }) => {
            Some((false, partition.name.partition, epoch.0))
        }
        Err(_) => None,
    };
    replica.elect(OTHER, 1, &[ME, OTHER]).await;
    assert_eq!(seen(), None);
    replica.elect(ME, 2, &[ME, OTHER]).await;
    let mut commits = replica.partition.on_committed(LeaderEpoch(2)).unwrap();
    assert_eq!((seen(), seen()), (Some((true, 0, 2)), None));
    replica.elect(ME, 3, &[ME, OTHER]).await;
    assert_eq!((seen(), seen(), seen()), (Some((false, 0, 2)), Some((true, 0, 3)), None));
    assert_eq!(commits.next().await, Err(Deposed));
    replica.elect(OTHER, 4, &[ME, OTHER]).await;
    assert_eq!((seen(), seen()), (Some((false, 0, 3)), None));
    replica.elect(ME, 5, &[ME, OTHER]).await;
    assert_eq!(seen(), Some((true, 0, 5)));
    drop(replica.partition.retire());
    assert_eq!((seen(), seen()), (Some((false, 0, 5)), None));
    assert!(others.try_recv().is_err(), "of another topic");
}

#[tokio::test]
async fn failed_directory_resigns_the_leadership() {
    let replica = Replica::new(TopicConfig::default()).await;
    let mut events = replica.site.elections_of("orders");
    replica.elect(ME, 2, &[ME]).await;
    replica.partition.directory_failed();
    replica.partition.directory_failed();
    assert!(matches!(events.try_recv(), Ok(Leadership::Elected { .. })));
    assert!(matches!(events.try_recv(), Ok(Leadership::Resigned { .. })));
    assert!(events.try_recv().is_err());
    assert_eq!(replica.partition.leads_in(), None);
}

#[tokio::test]
async fn read_committed_stops_at_the_first_open_transaction() {
    let replica = Replica::new(TopicConfig::default()).await;
    replica.elect(ME, 1, &[ME]).await;
    assert_eq!(replica.produce(7, 0).await, Offset(0));
    assert_eq!(replica.produce(8, 0).await, Offset(1));
    let all = replica.fetch(UNCOMMITTED, 0);
    assert_eq!((all.high_watermark, all.last_stable), (Offset(2), Offset(0)));
    assert!(all.slice.is_some() && all.aborted.is_none());
    let stable = replica.fetch(COMMITTED, 0);
    assert!(stable.slice.is_none() && aborted(&stable).is_empty());

    replica.end(7, true).await.unwrap();
    let stable = replica.fetch(COMMITTED, 0);
    assert_eq!(stable.last_stable, Offset(1), "8 is open");
    assert!(stable.slice.is_some() && aborted(&stable).is_empty());
    replica.end(8, false).await.unwrap();
    let stable = replica.fetch(COMMITTED, 0);
    assert_eq!(stable.last_stable, Offset(4));
    assert_eq!(aborted(&stable), [(8, 1)]);
    assert_eq!(aborted(&replica.fetch(COMMITTED, 4)), [], "nothing there, nothing aborted");
}

#[tokio::test]
async fn transaction_is_stable_only_once_its_marker_is_committed() {
    let replica = Replica::new(TopicConfig::default()).await;
    replica.elect(ME, 1, &[ME, OTHER]).await;
    replica.produce(7, 0).await;
    replica.end(7, false).await.unwrap();
    replica.replicated_to(1);
    let stable = |replica: &Replica| {
        let of_log = replica.partition.with_leader_log(LeaderEpoch(1), |_, _, stable| Ok(stable));
        let answer = replica.fetch(COMMITTED, 0);
        assert_eq!(of_log, Ok(answer.last_stable), "ListOffsets answers as Fetch does");
        (answer.high_watermark, answer.last_stable, answer.slice.is_some())
    };
    assert_eq!(stable(&replica), (Offset(1), Offset(0), false));
    replica.replicated_to(2);
    assert_eq!(stable(&replica), (Offset(2), Offset(2), true));
}

#[tokio::test]
async fn aborted_list_covers_what_the_slice_holds() {
    let replica = Replica::new(TopicConfig::default()).await;
    replica.elect(ME, 1, &[ME]).await;
    for sequence in 0..3 {
        replica.produce(7, sequence).await;
        replica.end(7, false).await.unwrap();
    }
    let all = replica.fetch(COMMITTED, 0);
    assert_eq!((all.high_watermark, all.last_stable), (Offset(6), Offset(6)));
    let from = |offset| aborted(&replica.fetch(COMMITTED, offset));
    assert_eq!(from(0), [(7, 0), (7, 2), (7, 4)]);
    assert_eq!(from(2), [(7, 2), (7, 4)]);
    assert_eq!(from(3), [(7, 2), (7, 4)], "its marker tells where it ends");
    assert_eq!(from(4), [(7, 4)]);
}

#[tokio::test]
async fn markers_of_fenced_producers_and_coordinators_are_refused() {
    let replica = Replica::new(TopicConfig::default()).await;
    replica.elect(ME, 1, &[ME]).await;
    replica.produce(7, 0).await;
    let append = async |marker| {
        let appended = replica.partition.append_marker(&marker).await;
        appended.map(|produced| produced.base.0).map_err(|refusal| refusal.code)
    };
    assert_eq!(append(end(7, 2, false, 4)).await, Ok(1));
    let fenced = ErrorCode::TransactionCoordinatorFenced;
    assert_eq!(append(end(7, 2, true, 3)).await, Err(fenced));
    assert_eq!(append(end(7, 1, true, 4)).await, Err(ErrorCode::InvalidProducerEpoch));
    assert_eq!(append(end(7, 2, true, 5)).await, Ok(2), "a repeated end changes nothing");
    let mut marker = end(9, 0, true, 1).batch(Timestamp(1000));
    let client = replica.partition.produce(std::mem::take(&mut marker), Acks::Leader, None).await;
    assert_eq!(client.err().map(|refusal| refusal.code), Some(ErrorCode::InvalidRecord));
}

#[tokio::test]
async fn transactional_offsets_need_no_sequence_numbers() {
    let replica = Replica::new(TopicConfig::default()).await;
    replica.elect(ME, 1, &[ME]).await;
    let partition = &replica.partition;
    for _ in 0..2 {
        partition.append_decided(LeaderEpoch(1), transactional(7, -1)).unwrap();
    }
    assert_eq!(replica.fetch(COMMITTED, 0).last_stable, Offset(0));
    let client = partition.produce(transactional(7, -1), Acks::Leader, None).await;
    assert_eq!(client.err().map(|refusal| refusal.code), Some(ErrorCode::InvalidRecord));
    replica.end(7, true).await.unwrap();
    assert_eq!(replica.fetch(COMMITTED, 0).last_stable, Offset(3));
}

#[tokio::test]
async fn log_with_an_epoch_that_is_yet_to_begin_is_damaged_and_steps_aside() {
    let replica = Replica::new(TopicConfig::default()).await;
    // As recovery learns it from a batch whose epoch rotted: no checksum covers it.
    let state = || replica.partition.state().unwrap_or_else(|_| panic!("retired"));
    state().log.begin_epoch(LeaderEpoch(32768));
    replica.elect(OTHER, 3, &[OTHER]).await;
    assert!(state().is_offline());
    assert_eq!(replica.partition.next_fetch(OTHER), None);
}

#[tokio::test]
async fn fetch_after_an_epoch_that_no_leader_has_begun_is_out_of_range() {
    let replica = Replica::new(TopicConfig::default()).await;
    replica.elect(ME, 3, &[ME, OTHER]).await;
    let ask = |last_fetched: i32| {
        let read = FetchRead {
            reader: Reader::Replica { id: OTHER, epoch: Some(BrokerEpoch(2)) },
            from_follower: false,
            near: &[],
            current_epoch: LeaderEpoch(3),
            offset: Offset::ZERO,
            last_fetched_epoch: LeaderEpoch(last_fetched),
            log_start: Offset::ZERO,
            max_bytes: 1 << 20,
            at_least_one: true,
            knows_zstd: true,
        };
        replica.partition.read(&read, true, &Arc::new(FetchWatch::default()), 0).error
    };
    assert_eq!((ask(3), ask(4)), (ErrorCode::None, ErrorCode::OffsetOutOfRange));
}

/// A hand-made flaw in the state of a leader alone in its ISR, then one more step.
async fn broken(flaw: impl FnOnce(&mut State<RealWorld>)) {
    let replica = Replica::new(TopicConfig::default()).await;
    replica.elect(ME, 2, &[ME]).await;
    flaw(&mut replica.partition.state().unwrap_or_else(|_| panic!("retired")));
    replica.partition.tick();
}

#[tokio::test]
#[should_panic(expected = "orders-0: the high watermark 1 is outside the log, 0 to 0")]
async fn high_watermark_beyond_the_log_is_caught() {
    broken(|state| state.high_watermark = Offset(1)).await;
}

#[tokio::test]
#[should_panic(expected = "orders-0: leads in 2, heard of 3")]
async fn leader_of_an_old_epoch_is_caught() {
    broken(|state| state.leader_epoch = LeaderEpoch(3)).await;
}

#[tokio::test]
#[should_panic(expected = "below the high watermark 0")]
async fn producer_that_waits_for_committed_records_is_caught() {
    broken(|state| drop(state.produce.wait(Offset(0)))).await;
}
