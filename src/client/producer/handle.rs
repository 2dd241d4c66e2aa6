//! The producer as an application has it.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};
use xxhash_rust::xxh3::xxh3_64;

use super::core::{Core, Taken};
use super::driver::{Driver, Shared};
use super::topic::memory_of;
use super::{Delivery, ProducerRecord};
use crate::base::config::{ConfigError, ProducerConfig};
use crate::base::{Flaws, Stream};
use crate::client::ProduceCause;
use crate::client::kernel::connecting;
use crate::io::{World, timeout};
use crate::rpc::Pool;

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
    }
}

impl<W: World> Producer<W> {
    /// Starts a producer, which connects when the first record is sent. Fails if settings contradict
    /// each other.
    pub fn start(world: W, config: ProducerConfig) -> Result<Self, ConfigError> {
        Self::start_flawed(world, config, Flaws::default())
    }

    /// Starts a producer that has historical bugs.
    pub fn start_flawed(
        world: W,
        config: ProducerConfig,
        flaws: Flaws,
    ) -> Result<Self, ConfigError> {
        let client_id = config.client_id.clone();
        let random = world.random(Stream::numbered("producer", xxh3_64(client_id.as_bytes())));
        let request_timeout = config.request_timeout;
        let reconnect = (config.reconnect_backoff, config.reconnect_backoff_max);
        let core = Mutex::new(Core::new(config, world.now(), random)?.with_flaws(flaws));
        let pool = Pool::new(world.clone(), &client_id, connecting(reconnect));
        let wake = Notify::new();
        let shared = Arc::new(Shared { world: world.clone(), core, wake, request_timeout });
        let driver = Driver::new(Arc::clone(&shared), pool);
        world.spawn("producer", driver.run());
        Ok(Self { handle: Arc::new(Handle { shared }) })
    }

    /// Hands a record over. Waits only while `buffer.memory` is exhausted, up to `max.block.ms`.
    /// Records keep the order of these calls, as far as the settings promise one.
    pub async fn send(&self, record: ProducerRecord) -> Delivery {
        match self.try_send(record) {
            Ok(delivery) => delivery,
            Err(record) => self.send_when_there_is_room(record).await,
        }
    }

    /// Hands a record over, or gives it back when `buffer.memory` is exhausted.
    #[allow(clippy::result_large_err, reason = "the record comes back as it went in")]
    pub fn try_send(&self, record: ProducerRecord) -> Result<Delivery, ProducerRecord> {
        match self.append(record, false) {
            Taken::Yes(delivery) => Ok(delivery),
            Taken::NoMemory(record) => Err(record),
        }
    }

    fn append(&self, record: ProducerRecord, reserved: bool) -> Taken {
        let shared = &self.handle.shared;
        let timestamp = record.timestamp.unwrap_or_else(|| shared.world.wall_clock());
        let now = shared.world.now();
        let (taken, wake) = {
            let mut core = shared.core.lock();
            let before = core.deadline();
            let taken = core.append(now, timestamp, record, reserved);
            (taken, core.deadline() < before)
        };
        if wake {
            shared.wake.notify_one();
        }
        taken
    }

    async fn send_when_there_is_room(&self, record: ProducerRecord) -> Delivery {
        let shared = &self.handle.shared;
        let bytes = memory_of(&record);
        let (granted, patience) = shared.core.lock().wait_for_memory(bytes);
        // Batches leave at once, lingering or not.
        shared.wake.notify_one();
        let mut place = Place { shared, bytes, granted: Some(granted) };
        let deadline = shared.world.now() + patience;
        let Some(granted) = &mut place.granted else { unreachable!("it was just set") };
        match timeout(&shared.world, deadline, granted).await {
            Some(Ok(())) => place.granted = None,
            Some(Err(_)) => return Delivery::refused(ProduceCause::Closed),
            None => return Delivery::refused(ProduceCause::BufferExhausted),
        }
        match self.append(record, true) {
            Taken::Yes(delivery) => delivery,
            Taken::NoMemory(_) => Delivery::refused(ProduceCause::BufferExhausted),
        }
    }

    /// Waits until every record that was handed over has its verdict. Nothing lingers meanwhile.
    pub async fn flush(&self) {
        let shared = &self.handle.shared;
        let unsettled = shared.core.lock().begin_flush();
        let _flushing = Flushing { shared };
        shared.wake.notify_one();
        for settled in unsettled {
            settled.await;
        }
    }

    /// Flushes for up to `patience`, then gives up what is left. Nothing can be sent afterwards.
    pub async fn close(&self, patience: Duration) {
        let shared = &self.handle.shared;
        let unsettled = shared.core.lock().close();
        shared.wake.notify_one();
        let deadline = shared.world.now() + patience;
        let all = async {
            for settled in unsettled {
                settled.await;
            }
        };
        if timeout(&shared.world, deadline, all).await.is_none() {
            shared.core.lock().abandon(ProduceCause::Closed);
        }
        shared.wake.notify_one();
    }
}

/// A place in the queue for memory. A sender that leaves it gives back what was granted meanwhile.
struct Place<'a, W: World> {
    shared: &'a Shared<W>,
    bytes: u64,
    granted: Option<oneshot::Receiver<()>>,
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
