//! A process on a real machine.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use rand::rngs::SysRng;
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::SeedableRng;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{RealDisk, RealNet};
use crate::base::{Instant, Probe, Stream, Timestamp};
use crate::io::World;

/// A handle on this process's world. Needs a tokio runtime around it.
#[derive(Clone, Debug)]
pub struct RealWorld {
    net: Arc<RealNet>,
    disk: RealDisk,
    start: std::time::Instant,
    /// Installed at once: a signal that arrives before a task waits for it is not missed.
    signals: Arc<Mutex<Option<Signals>>>,
}

/// What asks a process to end.
#[derive(Debug)]
struct Signals {
    term: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        let term = signal(SignalKind::terminate())?;
        Ok(Self { term, interrupt: signal(SignalKind::interrupt())? })
    }
}

impl RealWorld {
    /// The world, with its clock starting now.
    pub fn new() -> Self {
        Self {
            net: Arc::new(RealNet),
            disk: RealDisk,
            start: std::time::Instant::now(),
            signals: Arc::default(),
        }
    }

    /// Listens for SIGTERM and SIGINT from now on, before it is announced that this process is
    /// ready; [`World::terminated`] then waits for them. Needs a tokio runtime around it.
    pub fn listen_for_signals(&self) -> std::io::Result<()> {
        *self.signals.lock() = Some(Signals::listen()?);
        Ok(())
    }
}

impl Default for RealWorld {
    fn default() -> Self {
        Self::new()
    }
}

impl World for RealWorld {
    type Net = RealNet;
    type Disk = RealDisk;

    fn net(&self) -> &RealNet {
        &self.net
    }

    fn disk(&self) -> &RealDisk {
        &self.disk
    }

    fn now(&self) -> Instant {
        Instant(u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }

    fn wall_clock(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }

    async fn sleep_until(&self, deadline: Instant) {
        tokio::time::sleep(deadline.since(self.now())).await;
    }

    fn spawn(&self, _name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        drop(tokio::spawn(task));
    }

    async fn terminated(&self) {
        let listening = self.signals.lock().take().map_or_else(Signals::listen, Ok);
        let Ok(Signals { mut term, mut interrupt }) = listening else {
            // Without handlers the signals end the process by themselves.
            return std::future::pending().await;
        };
        tokio::select! {
            biased;
            _ = term.recv() => {}
            _ = interrupt.recv() => {}
        }
    }

    fn random(&self, _stream: Stream) -> ChaCha12Rng {
        let Ok(generator) = ChaCha12Rng::try_from_rng(&mut SysRng) else {
            // The kernel's generator can't fail once it was seeded at boot; a broker that started
            // has its ids already, so a coarse fallback only has to differ between processes.
            let start = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
            return ChaCha12Rng::seed_from_u64(
                start.as_nanos() as u64 ^ u64::from(std::process::id()),
            );
        };
        generator
    }

    fn probe(&self, probe: impl Into<Probe>) {
        let probe = probe.into();
        tracing::debug!(?probe);
    }
}
