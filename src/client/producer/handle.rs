//! The producer as an application has it.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use super::core::{Core, Granted, Taken};
use super::driver::{Driver, Shared};
use super::{Delivery, Partitioner, ProducerRecord, RecordMetadata};
use crate::base::config::{ConfigError, ProducerConfig};
use crate::base::{Flaws, Instant};
use crate::client::kernel::ClientSettings;
use crate::client::{Metrics, ProduceCause, ProduceError};
use crate::io::{World, timeout};

/// Sends records in batches. A clone is another handle on the same producer; when the last one is
/// dropped without [`Producer::close`], records that are not acknowledged yet are given up.
#[derive(Clone)]
pub struct Producer<W: World> {
    handle: Arc<Handle<W>>,
}

struct Handle<W: World> {
    shared: Arc<Shared<W>>,
}

impl<W: World> Drop for Handle<W> {
    fn drop(&mut self) {
        self.shared.core.lock().abandon(ProduceCause::Closed);
        self.shared.wake.notify_one();
        self.shared.callbacks.run();
    }
}

impl<W: World> Producer<W> {
    /// Starts a producer, which connects when the first record is sent. Fails if settings contradict
    /// each other.
    pub fn start(world: W, config: ProducerConfig) -> Result<Self, ConfigError> {
        Self::start_flawed(world, config, Flaws::default())
    }

    /// Starts a producer that chooses partitions by `partitioner`, whatever `partitioner.class` says.
    pub fn start_with(
        world: W,
        config: ProducerConfig,
        partitioner: Box<dyn Partitioner>,
    ) -> Result<Self, ConfigError> {
        Self::start_as(world, config, |core| core.with_partitioner(partitioner))
    }

    /// Starts a producer that has historical bugs.
    pub fn start_flawed(
        world: W,
        config: ProducerConfig,
        flaws: Flaws,
    ) -> Result<Self, ConfigError> {
        Self::start_as(world, config, |core| core.with_flaws(flaws))
    }

    fn start_as(
        world: W,
        config: ProducerConfig,
        change: impl FnOnce(Core) -> Core,
    ) -> Result<Self, ConfigError> {
        let settings = ClientSettings::from(&config);
        let (random, (pool, nodes)) = (settings.random(&world), settings.pool(&world));
        let request_timeout = config.request_timeout;
        let core = Mutex::new(change(Core::new(config, world.now(), random)?));
        let (wake, callbacks) = (Notify::new(), Arc::default());
        let shared = Shared { world: world.clone(), core, wake, request_timeout, nodes, callbacks };
        let shared = Arc::new(shared);
        let driver = Driver::new(Arc::clone(&shared), pool);
        world.spawn("producer", driver.run());
        Ok(Self { handle: Arc::new(Handle { shared }) })
    }

    /// Hands a record over. Waits only while `buffer.memory` is exhausted, up to `max.block.ms`.
    /// Records keep the order of these calls, as far as the settings promise one.
    pub async fn send(&self, record: ProducerRecord) -> Delivery {
        match self.append(record, None) {
            Taken::Yes(delivery) => delivery,
            Taken::NoMemory { mut record, bytes, partition } => {
                record.partition = record.partition.or(partition);
                self.send_when_there_is_room(record, bytes).await
            }
        }
    }

    /// Hands a record over, and calls `callback` with its verdict. Callbacks of one partition are
    /// called in the order of its records, one at a time and on the producer's task: they may send,
    /// but must not block. The returned delivery need not be awaited.
    pub async fn send_with(
        &self,
        record: ProducerRecord,
        callback: impl FnOnce(Result<RecordMetadata, ProduceError>) + Send + 'static,
    ) -> Delivery {
        let delivery = self.send(record).await;
        let callbacks = Arc::clone(&self.handle.shared.callbacks);
        delivery.again().on_completion(move |outcome| callbacks.push(move || callback(outcome)));
        self.handle.shared.callbacks.run();
        delivery
    }

    /// Hands a record over, or gives it back when `buffer.memory` is exhausted.
    #[allow(clippy::result_large_err, reason = "the record comes back as it went in")]
    pub fn try_send(&self, record: ProducerRecord) -> Result<Delivery, ProducerRecord> {
        match self.append(record, None) {
            Taken::Yes(delivery) => Ok(delivery),
            Taken::NoMemory { record, .. } => Err(record),
        }
    }

    fn append(&self, record: ProducerRecord, granted: Option<Granted>) -> Taken {
        let shared = &self.handle.shared;
        let timestamp = record.timestamp.unwrap_or_else(|| shared.world.wall_clock());
        let now = shared.world.now();
        let (taken, wake) = {
            let mut core = shared.core.lock();
            let before = core.deadline();
            let taken = core.append(now, timestamp, record, granted);
            (taken, core.deadline() < before)
        };
        if wake {
            shared.wake.notify_one();
        }
        taken
    }

    async fn send_when_there_is_room(&self, record: ProducerRecord, bytes: u64) -> Delivery {
        let shared = &self.handle.shared;
        let (granted, patience) = shared.core.lock().wait_for_memory(bytes);
        // Batches leave at once, lingering or not.
        shared.wake.notify_one();
        let since = shared.world.now();
        let mut place = Place { shared, bytes, since, granted: Some(granted) };
        let Some(granted) = &mut place.granted else { unreachable!("it was just set") };
        match timeout(&shared.world, since + patience, granted).await {
            Some(Ok(())) => place.granted = None,
            Some(Err(_)) => return Delivery::refused(ProduceCause::Closed),
            None => {
                // Also counts how long it waited.
                place.is_exhausted(&record.topic);
                return Delivery::refused(ProduceCause::BufferExhausted);
            }
        }
        let now = shared.world.now();
        shared.core.lock().memory_waited(now, now.since(since), None);
        match self.append(record, Some(Granted { bytes, since })) {
            Taken::Yes(delivery) => delivery,
            Taken::NoMemory { .. } => Delivery::refused(ProduceCause::BufferExhausted),
        }
    }

    /// What handles and driver share.
    pub(super) fn shared(&self) -> &Shared<W> {
        &self.handle.shared
    }

    /// The producer's metrics, by Kafka's names.
    pub fn metrics(&self) -> Metrics {
        let shared = &self.handle.shared;
        shared.core.lock().metrics_with(shared.world.now(), &shared.nodes)
    }

    /// A record could not be serialized.
    pub(super) fn not_serialized(&self) {
        let shared = &self.handle.shared;
        shared.core.lock().not_serialized(shared.world.now());
    }

    /// Waits until every record that was handed over has its verdict. Nothing lingers meanwhile.
    pub async fn flush(&self) {
        let shared = &self.handle.shared;
        let unsettled = shared.core.lock().begin_flush();
        let _flushing = Flushing { shared };
        shared.wake.notify_one();
        let began = shared.world.now();
        for settled in unsettled {
            settled.await;
        }
        shared.core.lock().flushed(shared.world.now().since(began));
    }

    /// Flushes for up to `patience`, then gives up what is left. Nothing can be sent afterwards. A
    /// transaction that is open is aborted.
    pub async fn close(&self, patience: Duration) {
        let shared = &self.handle.shared;
        let (unsettled, aborting) = shared.core.lock().close();
        shared.wake.notify_one();
        let deadline = shared.world.now() + patience;
        let all = async {
            for settled in unsettled {
                settled.await;
            }
            if let Some(aborting) = aborting {
                // The caller can't do anything about a failure: its successor will abort it.
                let _ = aborting.await;
            }
        };
        if timeout(&shared.world, deadline, all).await.is_none() {
            shared.core.lock().abandon(ProduceCause::Closed);
        }
        shared.wake.notify_one();
        shared.callbacks.run();
    }
}

/// A place in the queue for memory. A sender that leaves it gives back what was granted meanwhile.
struct Place<'a, W: World> {
    shared: &'a Shared<W>,
    bytes: u64,
    since: Instant,
    granted: Option<oneshot::Receiver<()>>,
}

impl<W: World> Place<'_, W> {
    /// `max.block.ms` passed.
    fn is_exhausted(&self, topic: &Arc<str>) {
        let now = self.shared.world.now();
        self.shared.core.lock().memory_waited(now, now.since(self.since), Some(topic));
    }
}

impl<W: World> Drop for Place<'_, W> {
    fn drop(&mut self) {
        if let Some(mut granted) = self.granted.take() {
            let mut core = self.shared.core.lock();
            granted.close();
            match granted.try_recv() {
                Ok(()) => core.give_back(self.bytes),
                Err(_) => core.stopped_waiting(),
            }
        }
    }
}

/// One flush under way.
struct Flushing<'a, W: World> {
    shared: &'a Shared<W>,
}

impl<W: World> Drop for Flushing<'_, W> {
    fn drop(&mut self) {
        self.shared.core.lock().end_flush();
    }
}
