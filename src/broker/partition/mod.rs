//! One replica of one partition on this broker: its log, its role, and the requests that wait for it.
//!
//! The lock is held for one step and never across an await. What has to wait (a sync, a
//! checkpoint) is taken out as a plan, awaited without the lock, and its result put back in.
//!
//! | file | what |
//! |---|---|
//! | `role` | committed metadata makes this replica lead or follow |
//! | `append`, `read`, `commit` | a leader's log: written, read, committed |
//! | `ports`, `events` | coordinators append, load, and hear of elections and commits |
//! | `following` | a follower fetches, cuts its log, appends |
//! | `flushing`, `cleaning`, `damage` | syncs; old records; a corrupt or failed log |
//! | `check` | the invariants that are asserted after each step |
//! | `config` | settings that change while the node runs |
//! | `verify` | transactions are verified before their first batch |
//! | `expiry` | silent producers are forgotten |
//! | `site`, `refusal` | what replicas of a broker share; why records are refused |

mod append;
mod check;
mod cleaning;
mod commit;
mod config;
mod damage;
#[allow(dead_code, reason = "coordinators are built on it")]
mod events;
mod expiry;
mod flushing;
mod following;
#[allow(dead_code, reason = "coordinators are built on it")]
mod ports;
mod read;
mod refusal;
mod role;
mod site;
mod verify;
#[cfg(test)]
pub(super) mod tests;

pub(crate) use append::Produced;
pub(crate) use damage::{is_expendable, tell as tell_damage};
#[allow(unused_imports, reason = "coordinators are built on it")]
pub(crate) use events::Deposed;
pub(crate) use events::{Commits, Leadership};
pub(crate) use following::{FollowerFetch, LeaderAnswer};
#[allow(unused_imports, reason = "coordinators are built on it")]
pub(crate) use ports::Extent;
pub(crate) use ports::Written;
pub(crate) use read::{FetchAnswer, FetchRead, Isolation, Reader};
pub(crate) use refusal::Refusal;
pub(crate) use site::Site;
pub(crate) use verify::Verifying;

use std::sync::{Arc, Weak};

use damage::Damage;
use events::Watchers;
use parking_lot::{MappedMutexGuard, Mutex, MutexGuard};
use tokio::sync::Notify;

use super::dirs::Home;
use super::purgatory::{DelayedFetch, DelayedProduce, Watched};
use crate::base::config::TopicConfig;
use crate::base::{
    Instant, LeaderEpoch, Offset, ReplicaProbe, Request, Timestamp, TopicId, TopicPartition,
};
use crate::io::World;
use crate::log::Log;
use crate::replica::{Follower, Leader, LogStarts};
use crate::wire::ErrorCode;

/// One replica on this broker.
pub(crate) struct Partition<W: World> {
    pub(crate) name: TopicPartition,
    pub(crate) topic_id: TopicId,
    site: Arc<Site<W>>,
    /// The directory that holds its log.
    home: Arc<Home<W::Disk>>,
    /// For tasks that this replica spawns.
    this: Weak<Self>,
    /// `None` once the replica is retired: its log is closed or deleted.
    state: Mutex<Option<State<W>>>,
    /// Notified whenever a sync of this log ends, well or not.
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
    /// Fetches and sessions of replicas, which wait for the log end.
    fetch: Watched,
    /// Fetches and sessions of consumers, which wait for the high watermark.
    consume: Watched,
    /// Deletions of records, which wait for replicas as fetches wait for bytes.
    delete: DelayedFetch,
    /// Where the followers' logs begin, on a leader.
    starts: LogStarts,
    /// When this replica is stepped next, if nothing else happens.
    due: Option<Instant>,
    /// When this replica is looked at for silent producers, as the broker's queue has it.
    producers_due: Option<Timestamp>,
    /// When a sync last ended well, or the log was opened.
    flushed_at: Instant,
    /// At most one sync of a log runs at a time; later ones share the next.
    flush_running: bool,
    /// The storage of this replica has failed, and with it its directory, until the next start.
    failed: bool,
    /// Set once a batch was found that is not what was written.
    damage: Option<Damage>,
    /// The epoch in which this replica leads, as subscribers to elections know it.
    announced: Option<LeaderEpoch>,
    /// Subscriptions to the high watermark.
    watchers: Watchers,
}

enum Role {
    Leader(Box<Leader>),
    Follower(Follower),
}

impl<W: World> State<W> {
    /// The leader machine of a replica that leads and can serve.
    fn leader(&mut self) -> Result<&mut Leader, ErrorCode> {
        if self.is_offline() {
            return Err(ErrorCode::KafkaStorageError);
        }
        match &mut self.role {
            Role::Leader(leader) => Ok(leader),
            Role::Follower(_) => Err(ErrorCode::NotLeaderOrFollower),
        }
    }

    /// The same, in this leader epoch and no other.
    fn leader_in(&mut self, epoch: LeaderEpoch) -> Result<&mut Leader, ErrorCode> {
        let leader = self.leader()?;
        if leader.epoch() == epoch { Ok(leader) } else { Err(ErrorCode::NotLeaderOrFollower) }
    }

    /// Whether an `acks=all` write may be appended.
    fn check_min_insync(&mut self) -> Result<(), ErrorCode> {
        self.leader()?.check_min_insync().map_err(|_| ErrorCode::NotEnoughReplicas)
    }
}

impl<W: World> Partition<W> {
    /// A replica with an open log that follows no leader yet. `high_watermark` comes from the
    /// checkpoint.
    pub(crate) fn new(
        site: Arc<Site<W>>,
        (name, topic_id): (TopicPartition, TopicId),
        (log, config): (Log<W::Disk>, TopicConfig),
        high_watermark: Offset,
        home: Arc<Home<W::Disk>>,
    ) -> Arc<Self> {
        let high_watermark = high_watermark.clamp(log.log_start(), log.log_end());
        let state = State {
            log,
            role: Role::Follower(Follower::new(LeaderEpoch::NONE, None)),
            leader_epoch: LeaderEpoch::NONE,
            high_watermark,
            config,
            produce: DelayedProduce::default(),
            fetch: Watched::default(),
            consume: Watched::default(),
            delete: DelayedFetch::default(),
            starts: LogStarts::default(),
            due: None,
            producers_due: None,
            flushed_at: site.world.now(),
            flush_running: false,
            failed: false,
            damage: None,
            announced: None,
            watchers: Watchers::default(),
        };
        let partition = Arc::new_cyclic(|this| Self {
            name,
            topic_id,
            site,
            home,
            this: this.clone(),
            state: Mutex::new(Some(state)),
            flush_ended: Notify::new(),
        });
        if let Ok(mut state) = partition.state() {
            partition.note_producers(&mut state);
        }
        partition
    }

    /// The directory that holds its log.
    pub(crate) fn home(&self) -> &Arc<Home<W::Disk>> {
        &self.home
    }

    fn state(&self) -> Result<MappedMutexGuard<'_, State<W>>, Retired> {
        MutexGuard::try_map(self.state.lock(), Option::as_mut).map_err(|_| Retired)
    }

    /// Ends this replica and answers all requests that wait for it. Returns its log, unless the
    /// replica was retired before.
    pub(crate) fn retire(&self) -> Option<Log<W::Disk>> {
        let mut state = self.state.lock().take()?;
        self.announce_resignation(&mut state);
        self.forget_producers(&state);
        state.produce.fail(ErrorCode::NotLeaderOrFollower);
        state.wake_readers();
        state.delete.wake();
        self.flush_ended.notify_waiters();
        Some(state.log)
    }

    /// Reports that a request was refused.
    fn refused(&self, request: Request, error: ErrorCode) {
        let partition = self.name.clone();
        self.site.world.probe(ReplicaProbe::Refused { partition, request, error: error.name() });
    }
}
