//! The interface of an engine to the code that drives a run.

use std::future::Future;
use std::ops::RangeInclusive;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::disk::{Corruption, DiskProfile, DiskStats, Failing, Place};
use super::host::{HostId, Survival};
use super::{ClientEvent, Observation, Shot, TraceHash};
use crate::base::{Instant, Seed};
use crate::io::World;

/// Accumulated cost of page hits on a host before one of its tasks waits for it. Less than a tenth
/// of a message's latency, and more than ten calls.
pub(super) const DISK_PATIENCE: Duration = Duration::from_micros(20);

/// What a host runs each time it boots.
pub type Boot<W> = Arc<dyn Fn(W) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// What a load or a test may use in a simulated world, in addition to `World`.
pub trait SimWorld: World {
    /// Records what a client did or saw.
    fn observe(&self, event: impl Into<ClientEvent>);

    /// The host of this world.
    fn host(&self) -> HostId;

    /// True simulated time, independent of the host's clock.
    fn true_now(&self) -> Instant;
}

/// How bytes travel in one direction between two hosts.
#[derive(Clone, Debug, PartialEq)]
pub struct Link {
    /// One-way delay of a segment, drawn uniformly.
    pub latency: RangeInclusive<Duration>,
    /// Probability that a segment is lost and sent again later. `leap` only.
    pub loss: f64,
    /// Bytes per second; `None` is unlimited. `leap` only.
    pub bandwidth: Option<u64>,
    /// Bytes that do not arrive as they were sent. `leap` only.
    pub damage: Option<Damage>,
    /// What happens to messages of certain APIs. `leap` only.
    pub mishaps: Vec<Mishap>,
}

/// What happens to messages of one API on a link.
#[derive(Clone, Debug, PartialEq)]
pub struct Mishap {
    /// Kafka's key of the API.
    pub api: i16,
    pub part: Part,
    pub fate: Fate,
    /// Probability for each such message.
    pub chance: f64,
}

/// The two sorts of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Requests,
    Answers,
}

/// What happens to a message.
#[derive(Clone, Debug, PartialEq)]
pub enum Fate {
    /// It arrives later by this, and what its connection carries behind it with it.
    Late(RangeInclusive<Duration>),
    /// Its connection is reset, and it does not arrive: TCP loses nothing in the middle of a stream.
    Lost,
}

/// How a link damages bytes: as a faulty card or middlebox does whose checksum is right.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Damage {
    pub what: Damaged,
    /// Probability for each segment that has such bytes.
    pub chance: f64,
}

/// Bytes that a link damages. Kafka's protocol guards record batches by a checksum and frames by
/// nothing: other damage is not detectable, so no link does it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damaged {
    /// One bit of the records, or the checksum, of a batch.
    Batch,
    /// The length of a frame, which is then impossible.
    Length,
}

impl Default for Link {
    /// A local network.
    fn default() -> Self {
        Self {
            latency: Duration::from_micros(200)..=Duration::from_micros(1500),
            loss: 0.0,
            bandwidth: None,
            damage: None,
            mishaps: Vec::new(),
        }
    }
}

/// A simulation under control of its driver: hosts are added, time advances in steps, and faults
/// are injected between steps. Everything follows from the seed and these calls.
pub trait Engine: Sized {
    /// The world that hosts run in.
    type World: World;
    /// The name for `--engine NAME`.
    const NAME: &'static str;

    /// An empty simulation at time zero. `link` applies between all hosts until changed.
    fn new(seed: Seed, link: Link) -> Self;

    /// Adds a host and boots it. Its name is its address. It runs from the next step on.
    fn add_host(&mut self, name: &str, boot: Boot<Self::World>) -> HostId;

    /// The host's name.
    fn name(&self, host: HostId) -> &str;

    /// True simulated time.
    fn now(&self) -> Instant;

    /// Runs everything that happens until `until`.
    fn run_until(&mut self, until: Instant);

    /// Why the simulation is frozen, if tasks spun while time stood still: from then on nothing
    /// happens in it, and `run_until` only lets time pass.
    fn spin(&self) -> Option<String>;

    /// Observations since the last call, in order.
    fn drain(&mut self) -> Vec<Observation>;

    /// Whether the host's process runs (a paused process does).
    fn is_running(&self, host: HostId) -> bool;

    /// Asks the host's process to terminate (SIGTERM).
    fn terminate(&mut self, host: HostId);

    /// Kills the host's process. Its page cache survives; peers see the connection end or reset.
    fn kill(&mut self, host: HostId);

    /// Cuts the host's power. Peers see silence. Unsynced data is subject to `survival`.
    fn power_loss(&mut self, host: HostId, survival: Survival);

    /// Cuts power just before the host's `operation`th disk operation from now (0: the next), in
    /// the middle of the process's work.
    fn power_loss_at(&mut self, host: HostId, operation: u64, survival: Survival);

    /// Boots a host that was killed, lost power or terminated.
    fn boot(&mut self, host: HostId);

    /// Stops polling the host's tasks (SIGSTOP); its connections stay.
    fn pause(&mut self, host: HostId);

    /// Ends a pause.
    fn resume(&mut self, host: HostId);

    /// Stops delivering bytes from one host to the other. Call twice for both directions.
    fn cut(&mut self, from: HostId, to: HostId);

    /// Ends a cut; delayed segments arrive late, as retransmissions.
    fn heal(&mut self, from: HostId, to: HostId);

    /// Bytes in flight between two hosts, in one direction, wait until `release`.
    fn hold(&mut self, from: HostId, to: HostId) -> Result<(), Unsupported>;

    /// Delivers held bytes.
    fn release(&mut self, from: HostId, to: HostId) -> Result<(), Unsupported>;

    /// Changes how bytes travel in one direction.
    fn set_link(&mut self, from: HostId, to: HostId, link: Link) -> Result<(), Unsupported>;

    /// Moves the host's wall clock by `offset_ms` against true time, from now on, and lets its
    /// monotonic clock run fast (or slow) by `drift_ppm`.
    fn set_clock(
        &mut self,
        host: HostId,
        offset_ms: i64,
        drift_ppm: i32,
    ) -> Result<(), Unsupported>;

    /// Changes the costs and limits of the host's disk, from now on.
    fn set_disk(&mut self, host: HostId, profile: DiskProfile);

    /// Lets the next `count` disk operations of a kind fail on the host, anywhere or only below a
    /// directory; 0 cancels pending failures.
    fn fail_disk(&mut self, host: HostId, what: Failing, count: u32, dir: Option<&str>);

    /// Corrupts `count` pages of the host's logs on the platter (or lets the next `count` writes to
    /// the platter fail). `place` selects the logs and `log` is the directory of the partition that
    /// it may refer to. Returns how many pages were found.
    fn corrupt_disk(
        &mut self,
        host: HostId,
        what: Corruption,
        count: u32,
        place: (Place, &str),
    ) -> u32;

    /// Puts an empty disk in the place of the host's, or an empty directory in the place of one. Does
    /// nothing while its process runs.
    fn replace_disk(&mut self, host: HostId, dir: Option<&str>);

    /// Counters of the host's disk.
    fn disk_stats(&self, host: HostId) -> DiskStats;

    /// Hash of all events, in order.
    fn trace(&self) -> TraceHash;

    /// Also records every event's text from now on.
    fn record_trace(&mut self);

    /// The recorded texts, one line per event.
    fn take_trace(&mut self) -> Vec<String>;

    /// Records operations of the driver and, where the engine sees them, messages, for a picture.
    /// Affects neither the run nor the trace. An engine may have no film.
    fn record_film(&mut self) {}

    /// The recorded operations and messages, in order.
    fn take_film(&mut self) -> Vec<Shot> {
        Vec::new()
    }
}

/// A feature that an engine lacks, with the reason; shown when a scenario asks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the engine `{engine}` can't do `{what}`: {why}")]
pub struct Unsupported {
    pub engine: &'static str,
    /// The requested feature.
    pub what: &'static str,
    /// Why it is not supported.
    pub why: &'static str,
}

/// Runs hosts until all of them ended by themselves, and returns the engine for inspection; the
/// error names those that still ran after `limit`. For small tests on an engine.
pub fn run_to_end<E: Engine>(
    seed: Seed,
    hosts: impl IntoIterator<Item = (&'static str, Boot<E::World>)>,
    limit: Duration,
) -> Result<E, String> {
    let mut engine = E::new(seed, Link::default());
    let hosts: Vec<HostId> =
        hosts.into_iter().map(|(name, boot)| engine.add_host(name, boot)).collect();
    let end = engine.now() + limit;
    while hosts.iter().any(|host| engine.is_running(*host)) {
        if engine.now() >= end {
            let late = hosts.iter().filter(|host| engine.is_running(**host));
            let names: Vec<&str> = late.map(|host| engine.name(*host)).collect();
            return Err(format!("still running after {limit:?}: {}", names.join(", ")));
        }
        let next = engine.now() + Duration::from_millis(10);
        engine.run_until(next);
    }
    Ok(engine)
}

/// Runs one task on the only host of a simulation, and returns its result; `None` if it took longer
/// than `limit`. For tests of code that needs no peers.
pub fn block_on<E: Engine, T, F>(
    seed: Seed,
    limit: Duration,
    task: impl FnOnce(E::World) -> F + Send + 'static,
) -> Option<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let result = Arc::new(Mutex::new(None));
    let (task, place) = (Mutex::new(Some(task)), result.clone());
    let boot: Boot<E::World> = Arc::new(move |world| {
        let (task, place) = (task.lock().take(), place.clone());
        Box::pin(async move {
            if let Some(task) = task {
                let value = task(world).await;
                *place.lock() = Some(value);
            }
        })
    });
    run_to_end::<E>(seed, [("host", boot)], limit).ok()?;
    result.lock().take()
}
