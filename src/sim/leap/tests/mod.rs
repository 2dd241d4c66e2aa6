//! Guarantees of leap, one story each.

mod faults;
mod hosts;
mod network;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Leap, LeapStream, LeapWorld};
use crate::base::{Instant, Seed};
use crate::io::{Address, Listener, Net, World};
use crate::sim::{Boot, Engine, Link, SimWorld};

/// Notes of tasks, with the true millisecond of each.
#[derive(Clone, Default)]
struct Diary(Arc<Mutex<Vec<(u64, String)>>>);

impl Diary {
    fn note(&self, world: &LeapWorld, text: impl Into<String>) {
        self.0.lock().push((world.true_now().0 / 1_000_000, text.into()));
    }

    fn texts(&self) -> Vec<String> {
        self.0.lock().iter().map(|(_, text)| text.clone()).collect()
    }

    /// When a text was first noted.
    fn when(&self, text: &str) -> Option<u64> {
        self.0.lock().iter().find(|(_, noted)| noted == text).map(|(at, _)| *at)
    }
}

fn boot<F: Future<Output = ()> + Send + 'static>(
    body: impl Fn(LeapWorld) -> F + Send + Sync + 'static,
) -> Boot<LeapWorld> {
    Arc::new(move |world| Box::pin(body(world)))
}

/// A host that does nothing.
fn idle() -> Boot<LeapWorld> {
    boot(|_| std::future::pending())
}

/// A host that serves each connection to port 1 with `serve`.
fn server<F: Future<Output = ()> + Send + 'static>(
    serve: impl Fn(LeapWorld, LeapStream) -> F + Clone + Send + Sync + 'static,
) -> Boot<LeapWorld> {
    boot(move |world| {
        let serve = serve.clone();
        async move {
            let at = Address::new("0.0.0.0", 1);
            let mut listener = world.net().bind(&at).await.unwrap();
            while let Ok((stream, _)) = listener.accept().await {
                let task = serve(world.clone(), stream);
                world.spawn("serve", task);
            }
        }
    })
}

/// A host that echoes all bytes.
fn echo() -> Boot<LeapWorld> {
    server(|_, mut stream| async move {
        let mut buffer = [0; 4096];
        while let Ok(count) = stream.read(&mut buffer).await {
            if count == 0 || stream.write_all(&buffer[..count]).await.is_err() {
                return;
            }
        }
    })
}

async fn connect(world: &LeapWorld, host: &str) -> LeapStream {
    world.net().connect(&Address::new(host, 1)).await.unwrap()
}

/// Sends a byte and waits for its echo.
async fn ping(stream: &mut LeapStream) -> std::io::Result<()> {
    stream.write_all(b"!").await?;
    stream.read_exact(&mut [0]).await.map(|_| ())
}

async fn sleep(world: &LeapWorld, duration: Duration) {
    world.sleep_until(world.now() + duration).await;
}

fn leap() -> Leap {
    Leap::new(Seed(7), Link::default())
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn at(millis: u64) -> Instant {
    Instant::from_millis(millis)
}
