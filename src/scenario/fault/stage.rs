//! What a fault may do to a run, and what a run asks of a fault.
//!
//! The run implements [`Scene`] and [`Stage`]; each kind of fault implements [`Strike`].

use std::time::Duration;

use super::Action;
use crate::base::{Instant, TopicPartition};
use crate::client::ElectionType;
use crate::scenario::Roles;
use crate::sim::disk::{Corruption, DiskProfile, Failing, Place};
use crate::sim::{Damage, HostId, Link, Mishap, Survival, Unsupported};

/// A fault that strikes hosts or links, and what it does while it lasts.
pub(crate) trait Strike {
    /// Chooses whom it hits. Does nothing to them.
    fn aim(&self, scene: &dyn Scene) -> Hit;

    /// Strikes. The run already counts it among the faults that last.
    fn strike(&self, stage: &mut dyn Stage, hit: &Hit) -> Result<Begins, Unsupported>;

    /// Whether one that [begins later](Begins::Later) has begun; asked until it has.
    fn has_begun(&self, _stage: &mut dyn Stage, _hit: &Hit, _struck: Instant) -> bool {
        true
    }

    /// Ends it. The run no longer counts it among those that last. `begun` is false for one that
    /// was to begin later and has not.
    fn end(&self, stage: &mut dyn Stage, hit: &Hit, begun: bool);

    /// What it may cost, from which the swarm computes what a scenario promises.
    fn may_cost(&self) -> Cost;

    /// Plainer faults that may show the same, boldest first.
    fn smaller(&self) -> Vec<Action> {
        Vec::new()
    }

    /// What the swarm may turn it into.
    fn turned(&self) -> Turned {
        Turned::Stays
    }

    /// Several hosts end one after the other, this far apart, instead of all at once.
    fn stagger(&self) -> Option<Duration> {
        None
    }

    /// Whether its hosts are down while it lasts.
    fn holds_down(&self) -> bool {
        false
    }

    /// By how many times a disk is slower while it lasts; the slowest of several counts.
    fn slowdown(&self) -> u32 {
        1
    }

    /// Changes what a disk does while it lasts; several add up.
    fn alter_disk(&self, _disk: &mut DiskProfile) {}

    /// Whether syncs succeed while it lasts, and make nothing durable.
    fn lies(&self) -> bool {
        let mut disk = DiskProfile::default();
        self.alter_disk(&mut disk);
        disk.lies
    }

    /// Whether it keeps a part of what was not synced.
    fn tears(&self) -> bool {
        false
    }

    /// How wrong a clock is while it lasts; several add up.
    fn clock(&self) -> ClockError {
        ClockError::default()
    }

    /// How bytes travel on its links while it lasts; the last one counts.
    fn link(&self) -> Option<Link> {
        None
    }

    /// What is damaged on its links while it lasts; the last one counts.
    fn damage(&self) -> Option<Damage> {
        None
    }

    /// What happens to messages on its links while it lasts; the last one that strikes counts.
    fn mishap(&self) -> Option<Mishap> {
        None
    }
}

/// The cluster as a fault sees it when it takes aim.
pub(crate) trait Scene {
    /// The partition whose leader and followers are meant.
    fn partition(&self) -> &TopicPartition;

    /// The hosts that have a role now and fit.
    fn hosts(&self, roles: &Roles, fits: Fits) -> Vec<HostId>;

    /// The hosts that have a role now, drawn from all but these.
    fn others(&self, roles: &Roles, than: &[HostId]) -> Vec<HostId>;

    /// Hosts by name, with what they lead: `b2 (leader of orders-1)`.
    fn describe(&self, hosts: &[HostId]) -> String;
}

/// A condition on the hosts that a fault can hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fits {
    /// Any.
    All,
    /// Those whose process runs, also if it is paused.
    Up,
    /// Those whose process runs and is not paused.
    Running,
    /// Those that also answer requests.
    Answering,
    /// Running brokers: a controller has the only copy of the metadata.
    RunningBroker,
    /// Running ones that may be corrupted while this many brokers keep an intact copy.
    Corruptible {
        /// How many.
        intact: u64,
    },
}

/// A run under the hands of a fault. Operations on hosts take effect at once; the run remembers
/// who is down because of them.
pub(crate) trait Stage {
    fn now(&self) -> Instant;
    fn is_running(&self, host: HostId) -> bool;
    fn kill(&mut self, host: HostId);
    fn power_loss(&mut self, host: HostId, survival: &Survival);
    fn power_loss_at(&mut self, host: HostId, operation: u64, survival: &Survival);
    fn terminate(&mut self, host: HostId);
    fn pause(&mut self, host: HostId);
    fn resume(&mut self, host: HostId);
    /// Boots a host unless it runs.
    fn boot(&mut self, host: HostId);
    /// Boots a host whose process gave up, unless another fault holds it down.
    fn revive(&mut self, host: HostId);
    /// Reports that a process did not end when it was asked to.
    fn report_deaf(&mut self, host: HostId);
    /// Cuts one direction, until every fault that cut it has reconnected it.
    fn cut(&mut self, from: HostId, to: HostId);
    fn reconnect(&mut self, from: HostId, to: HostId);
    /// Gives a host the disk that all faults that last add up to.
    fn refit_disk(&mut self, host: HostId);
    /// Gives a host the clock that all faults that last add up to.
    fn refit_clock(&mut self, host: HostId) -> Result<(), Unsupported>;
    /// Gives a direction the link of the last fault that lasts.
    fn refit_link(&mut self, from: HostId, to: HostId) -> Result<(), Unsupported>;
    fn fail_disk(&mut self, host: HostId, what: Failing, count: u32, dir: Option<&str>);
    fn corrupt_disk(&mut self, host: HostId, what: Corruption, pages: u32, at: (Place, &str));
    /// Puts an empty disk, or directory, in the place of the one of a host that is down.
    fn replace_disk(&mut self, host: HostId, dir: Option<&str>);
    /// Has an admin client change a topic, after all that it was told before.
    fn administer(&mut self, change: TopicChange);
}

/// What an admin client does to a topic, or to the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TopicChange {
    Delete(String),
    /// Creates it as the scenario has it.
    Create(String),
    /// Gives it this many partitions.
    Grow(String, i32),
    /// Gives a feature this level.
    Feature(String, i16),
    /// Has the leaders of all its partitions elected.
    Elect(String, ElectionType),
}

/// The hosts or links that a fault hits, and how the report says it.
#[derive(Clone, Debug)]
pub(crate) struct Hit {
    pub hosts: Vec<HostId>,
    /// Directions, from one host to another.
    pub links: Vec<(HostId, HostId)>,
    pub partition: TopicPartition,
    pub what: String,
    /// Whether it hits neither, but a topic or the cluster.
    pub is_topic: bool,
}

impl Hit {
    pub fn hosts(scene: &dyn Scene, hosts: Vec<HostId>, what: String) -> Self {
        let partition = scene.partition().clone();
        Self { hosts, links: Vec::new(), partition, what, is_topic: false }
    }

    pub fn links(scene: &dyn Scene, links: Vec<(HostId, HostId)>, what: String) -> Self {
        let partition = scene.partition().clone();
        Self { hosts: Vec::new(), links, partition, what, is_topic: false }
    }

    /// The topic of the fault.
    pub fn topic(scene: &dyn Scene, what: String) -> Self {
        Self { is_topic: true, ..Self::hosts(scene, Vec::new(), what) }
    }

    pub fn is_empty(&self) -> bool {
        self.hosts.is_empty() && self.links.is_empty() && !self.is_topic
    }
}

/// When a fault that struck begins, from which its duration counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Begins {
    Now,
    /// Once [`Strike::has_begun`] says so.
    Later,
}

/// How wrong a clock is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ClockError {
    /// Milliseconds ahead of true time.
    pub offset_ms: i64,
    /// Millionths by which it runs fast.
    pub ppm: i32,
}

/// What the swarm may turn a fault into.
pub(crate) enum Turned {
    /// Nothing else.
    Stays,
    /// Another kind of fault at the same hosts.
    Another(Roles),
    /// This.
    Into(Action),
}

/// What a fault may cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cost {
    pub reach: Reach,
    /// Leadership may move where it reaches nodes.
    pub moves_leaders: bool,
    /// Unsynced data may be lost.
    pub takes_power: bool,
    /// A process may end without having closed its logs.
    pub ends_uncleanly: bool,
    /// Synced data may still be gone.
    pub spoils_syncs: bool,
    /// Everything on the disk is gone, synced or not.
    pub replaces_disks: bool,
    /// A topic's records are gone, on every replica.
    pub deletes_topic: bool,
    /// A replica may lead that is not in sync, whatever its topic permits.
    pub elects_uncleanly: bool,
    /// Disks are corrupted, of all brokers but this many.
    pub rots_all_but: Option<u64>,
}

/// The hosts or links that a fault may reach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    Hosts(Roles),
    /// Links between two sides.
    Links(Roles, Roles),
}

impl Cost {
    /// A fault that moves leaders and loses nothing.
    pub fn of_hosts(target: &Roles) -> Self {
        Self::of(Reach::Hosts(target.clone()))
    }

    /// The same between two sides.
    pub fn of_links(from: &Roles, to: &Roles) -> Self {
        Self::of(Reach::Links(from.clone(), to.clone()))
    }

    fn of(reach: Reach) -> Self {
        Self {
            reach,
            moves_leaders: true,
            takes_power: false,
            ends_uncleanly: false,
            spoils_syncs: false,
            replaces_disks: false,
            deletes_topic: false,
            elects_uncleanly: false,
            rots_all_but: None,
        }
    }
}
