//! One replica of one partition on this broker: its log, its role, and who waits for it.
//!
//! The lock is held for one step and never across an await. What has to wait (a sync, a
//! checkpoint) is taken out as a plan, awaited without the lock, and its result put back in.

mod cleaning;
mod damage;
mod flushing;
mod following;
mod leading;
mod refusal;

pub(crate) use damage::{is_expendable, tell as tell_damage};
pub(crate) use following::{FollowerFetch, LeaderAnswer};
pub(crate) use leading::{FetchAnswer, FetchRead, Produced, Reader};
pub(crate) use refusal::Refusal;

use std::sync::{Arc, Weak};
use std::time::Duration;

use damage::Damage;
use parking_lot::{MappedMutexGuard, Mutex, MutexGuard};
use tokio::sync::Notify;

use super::dirs::Home;
use super::purgatory::{DelayedFetch, DelayedProduce};
use super::replicas::News;
use crate::base::config::TopicConfig;
use crate::base::{BrokerId, Flaw, Instant, LeaderEpoch, Offset, Probe, TopicId, TopicPartition};
use crate::controller::PartitionState;
use crate::io::World;
use crate::log::{Log, LogError};
use crate::replica::{Follower, Leader, LeaderInput, LeaderStart, LogStarts, Peers, Proposal};
use crate::wire::ErrorCode;

/// A leader asks the controller to change its in-sync replicas.
#[derive(Debug)]
pub(crate) struct IsrChange {
    /// Which partition, by the identity that survives its name.
    pub(crate) topic_id: TopicId,
    /// Which partition.
    pub(crate) name: TopicPartition,
    /// What it asks for.
    pub(crate) proposal: Proposal,
}

/// One replica on this broker.
pub(crate) struct Partition<W: World> {
    pub(crate) name: TopicPartition,
    pub(crate) topic_id: TopicId,
    me: BrokerId,
    world: W,
    lag_time_max: Duration,
    /// The directory that it is in.
    home: Arc<Home<W::Disk>>,
    /// For tasks that this replica begins.
    this: Weak<Self>,
    news: News,
    /// Nothing once the replica is retired: its log is closed or deleted.
    state: Mutex<Option<State<W>>>,
    /// Rung whenever a sync of this log ends, well or not.
    flush_ended: Notify,
}

/// This replica has ended: its topic was deleted, or the node is closing.
struct Retired;

impl From<Retired> for ErrorCode {
    fn from(_: Retired) -> Self {
        Self::NotLeaderOrFollower
    }
}

struct State<W: World> {
    log: Log<W::Disk>,
    role: Role,
    /// The newest leader epoch that this replica has heard of. A role is only taken up in a newer one.
    leader_epoch: LeaderEpoch,
    /// Never above the log end; on a leader, what readers may see.
    high_watermark: Offset,
    config: TopicConfig,
    produce: DelayedProduce,
    fetch: DelayedFetch,
    /// Deletions of records, which wait for replicas as fetches wait for bytes.
    delete: DelayedFetch,
    /// Where the followers' logs begin, on a leader.
    starts: LogStarts,
    /// When a sync last ended well, or the log was opened.
    flushed_at: Instant,
    /// At most one sync of a log runs at a time; later ones share the next.
    flush_running: bool,
    /// The storage of this replica has failed, and with it its directory, until the next start.
    failed: bool,
    /// Set once a batch was found that is not what was written.
    damage: Option<Damage>,
}

enum Role {
    Leader(Box<Leader>),
    Follower(Follower),
}

impl<W: World> Partition<W> {
    /// A replica with an open log, following nobody yet. `high_watermark` comes from the checkpoint.
    #[allow(clippy::too_many_arguments, reason = "each is another part of the node")]
    pub(crate) fn new(
        world: W,
        me: BrokerId,
        (name, topic_id): (TopicPartition, TopicId),
        log: Log<W::Disk>,
        config: TopicConfig,
        high_watermark: Offset,
        lag_time_max: Duration,
        home: Arc<Home<W::Disk>>,
        news: News,
    ) -> Arc<Self> {
        let high_watermark = high_watermark.clamp(log.log_start(), log.log_end());
        let state = State {
            log,
            role: Role::Follower(Follower::new(LeaderEpoch::NONE, None)),
            leader_epoch: LeaderEpoch::NONE,
            high_watermark,
            config,
            produce: DelayedProduce::default(),
            fetch: DelayedFetch::default(),
            delete: DelayedFetch::default(),
            starts: LogStarts::default(),
            flushed_at: world.now(),
            flush_running: false,
            failed: false,
            damage: None,
        };
        Arc::new_cyclic(|this| Self {
            this: this.clone(),
            name,
            topic_id,
            me,
            world,
            lag_time_max,
            home,
            news,
            state: Mutex::new(Some(state)),
            flush_ended: Notify::new(),
        })
    }

    /// The directory that it is in.
    pub(crate) fn home(&self) -> &Arc<Home<W::Disk>> {
        &self.home
    }

    fn state(&self) -> Result<MappedMutexGuard<'_, State<W>>, Retired> {
        MutexGuard::try_map(self.state.lock(), Option::as_mut).map_err(|_| Retired)
    }

    /// Ends this replica: whoever waits is told to look elsewhere. Its log comes back, unless the
    /// replica was retired before.
    pub(crate) fn retire(&self) -> Option<Log<W::Disk>> {
        let mut state = self.state.lock().take()?;
        state.produce.fail(ErrorCode::NotLeaderOrFollower);
        state.fetch.wake();
        state.delete.wake();
        self.flush_ended.notify_waiters();
        Some(state.log)
    }

    /// Takes up the role that committed metadata gives to this replica.
    pub(crate) async fn assume(
        &self,
        told: &PartitionState,
        peers: &Peers,
    ) -> Result<(), LogError> {
        if told.leader == Some(self.me) {
            // From here on the whole log counts, so it has to be as durable as the policy asks.
            self.sync_if_due().await?;
        }
        let epochs = {
            let Ok(mut state) = self.state() else { return Ok(()) };
            if told.leader_epoch < state.leader_epoch {
                return Ok(());
            }
            if told.leader_epoch == state.leader_epoch {
                self.refresh(&mut state, told);
                return Ok(());
            }
            state.leader_epoch = told.leader_epoch;
            state.produce.fail(ErrorCode::NotLeaderOrFollower);
            if told.leader == Some(self.me) {
                let new_epoch = self.lead(&mut state, told, peers);
                new_epoch.then(|| state.log.save_epochs())
            } else {
                self.follow(&mut state, told);
                if state.config.flaws.has(Flaw::TruncateToHighWatermark) {
                    self.cut_at_high_watermark(&mut state)?;
                }
                None
            }
        };
        if let Some(save) = epochs {
            save.await?;
        }
        Ok(())
    }

    /// The same leader epoch, perhaps another ISR.
    fn refresh(&self, state: &mut State<W>, told: &PartitionState) {
        if matches!(state.role, Role::Leader(_)) {
            let input = LeaderInput::Committed {
                partition_epoch: told.partition_epoch,
                isr: told.isr.clone(),
            };
            self.step(state, input);
        }
    }

    /// Says whether the log has to save its epochs.
    fn lead(&self, state: &mut State<W>, told: &PartitionState, peers: &Peers) -> bool {
        let log_end = state.log.log_end();
        let noted = !state.config.flaws.has(Flaw::NoEpochEntryOnElection);
        let new_epoch = noted && state.log.begin_epoch(told.leader_epoch);
        let start = LeaderStart {
            me: self.me,
            epoch: told.leader_epoch,
            partition_epoch: told.partition_epoch,
            replicas: told.replicas.clone(),
            isr: told.isr.clone(),
            log_end,
            high_watermark: state.high_watermark,
            min_insync: usize::try_from(state.config.min_insync_replicas).unwrap_or(1),
            lag_time_max: self.lag_time_max,
            flaws: state.config.flaws,
        };
        let leader = Leader::new(self.world.now(), start, peers.clone());
        state.role = Role::Leader(Box::new(leader));
        let others = told.replicas.iter().copied().filter(|id| *id != self.me);
        state.starts = LogStarts::of(others);
        self.world.probe(Probe::BecameLeader {
            partition: self.name.clone(),
            topic_id: self.topic_id,
            epoch: told.leader_epoch,
            log_end,
        });
        if let Role::Leader(leader) = &state.role {
            self.say_who_may_be_in_sync(leader);
        }
        // A single in-sync replica commits by itself.
        self.step(state, LeaderInput::Appended { end: log_end });
        new_epoch
    }

    fn follow(&self, state: &mut State<W>, told: &PartitionState) {
        state.role = Role::Follower(Follower::new(told.leader_epoch, told.leader));
        // Fetches of a deposed leader end here, with an error that makes their clients look again.
        state.fetch.wake();
        state.delete.wake();
        self.world.probe(Probe::BecameFollower {
            partition: self.name.clone(),
            topic_id: self.topic_id,
            epoch: told.leader_epoch,
            leader: told.leader,
        });
    }
}
