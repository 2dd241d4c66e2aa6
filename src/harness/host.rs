//! The machine that a program runs on: its clients, clock, files and network.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::future::Future;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rand::RngExt;
use rand_chacha::ChaCha12Rng;

use super::misuse::caught;
use super::world::{AnyDisk, AnyWorld};
use super::{Admin, Cluster, Consumer, Producer};
use crate::base::config::{AdminConfig, Config, ConfigError, ConsumerConfig, ProducerConfig};
use crate::base::{Instant, Stream, Timestamp, TopicPartition};
use crate::io::{Disk, File, Open, World, timeout};
use crate::run::guests::SharedBook;
use crate::run::outcome::{PANICS, SUCCEEDS};
use crate::scenario::load::boot;
use crate::sim::{Boot, ClientEvent, SimWorld};

/// The machine that a program runs on.
///
/// A program gets one each time its machine boots, and reaches everything through it: nothing that
/// it does here tells it whether it is simulated. A clone is another handle on the same boot; after
/// a crash, handles of that boot do nothing any more.
///
/// What is not reached through it would make a simulation differ from run to run: no `std::time`,
/// no threads, no `tokio::spawn`, `tokio::time` or `tokio::net`, no randomness of one's own, and no
/// iteration over a `HashMap`. What needs no runtime (`tokio::sync`, `futures`) is welcome.
#[derive(Clone)]
pub struct Host {
    inner: Arc<Inner>,
}

struct Inner {
    world: AnyWorld,
    identity: Identity,
    bootstrap: String,
    dir: PathBuf,
    random: Mutex<ChaCha12Rng>,
    /// Where a simulation learns what the program does; reality has none.
    watched: Option<Watched>,
}

/// Which host of which program it is.
#[derive(Clone)]
pub(super) struct Identity {
    /// The host's name.
    pub name: Arc<str>,
    pub program: Arc<str>,
    /// Which of the program's instances, counted from 1.
    pub instance: u32,
}

/// What ties a program to the run that it takes part in.
#[derive(Clone)]
pub(super) struct Watched {
    pub book: SharedBook,
    /// How many partitions each declared topic has.
    pub partitions: Arc<BTreeMap<String, i32>>,
}

/// What a program may come to: nothing, or an error that fails the run.
pub trait Ending {
    /// The error in words, if it is one.
    fn into_result(self) -> Result<(), String>;
}

impl Ending for () {
    fn into_result(self) -> Result<(), String> {
        Ok(())
    }
}

mod never {
    pub trait Returns {
        type Value;
    }

    impl<T> Returns for fn() -> T {
        type Value = T;
    }
}

/// The type of what never ends, `!`, by the one way in which stable Rust can name it.
type Never = <fn() -> ! as never::Returns>::Value;

impl Ending for Never {
    fn into_result(self) -> Result<(), String> {
        self
    }
}

impl<T, E: Display> Ending for Result<T, E> {
    fn into_result(self) -> Result<(), String> {
        self.map(drop).map_err(|error| error.to_string())
    }
}

impl Host {
    pub(super) fn new(
        world: AnyWorld,
        identity: Identity,
        bootstrap: String,
        dir: PathBuf,
        watched: Option<Watched>,
    ) -> Self {
        let random = Mutex::new(world.random(Stream::named("program")));
        Self { inner: Arc::new(Inner { world, identity, bootstrap, dir, random, watched }) }
    }

    /// This machine's name, by which other hosts reach it: the program's, or of several instances
    /// `app-1`, `app-2`, …. The same after each boot, as `group.instance.id` has to be.
    pub fn name(&self) -> &str {
        &self.inner.identity.name
    }

    /// The name under which the program was added.
    pub fn program(&self) -> &str {
        &self.inner.identity.program
    }

    /// Which instance of its program this is, counted from 1.
    pub fn instance(&self) -> u32 {
        self.inner.identity.instance
    }

    /// A producer with these settings, by Kafka's names. `bootstrap.servers` and `client.id` are
    /// there already.
    ///
    /// # Errors
    /// When a setting is unknown, invalid or not supported; it says what would be right.
    pub fn producer(&self, settings: &[(&str, &str)]) -> Result<Producer, ConfigError> {
        let mut config = ProducerConfig::default();
        config.set_all(self.found_at())?;
        config.set_all(settings.iter().copied())?;
        Producer::start(self.clone(), config)
    }

    /// A consumer with these settings, by Kafka's names. With `group.id` it subscribes and commits,
    /// in either protocol (`group.protocol`); without, it reads what it is assigned.
    ///
    /// # Errors
    /// When a setting is unknown, invalid or not supported; it says what would be right.
    pub fn consumer(&self, settings: &[(&str, &str)]) -> Result<Consumer, ConfigError> {
        let mut config = ConsumerConfig::default();
        config.set_all(self.found_at())?;
        config.set_all(settings.iter().copied())?;
        Consumer::new(self.clone(), config)
    }

    /// An administrator with these settings, by Kafka's names.
    ///
    /// # Errors
    /// When a setting is unknown, invalid or not supported; it says what would be right.
    pub fn admin(&self, settings: &[(&str, &str)]) -> Result<Admin, ConfigError> {
        let mut config = AdminConfig::default();
        config.set_all(self.found_at())?;
        config.set_all(settings.iter().copied())?;
        if let Some(watched) = self.watched() {
            watched.book.lock().administers = true;
        }
        Admin::new(self.inner.world.clone(), config)
    }

    pub(super) fn found_at(&self) -> [(&str, &str); 2] {
        [("bootstrap.servers", self.inner.bootstrap.as_str()), ("client.id", self.name())]
    }

    /// What the cluster does and who is who in it, and faults at the program's own command.
    pub fn cluster(&self) -> Cluster {
        Cluster::new(self.clone())
    }

    /// Time since an arbitrary start, by this machine's clock.
    pub fn now(&self) -> Instant {
        self.inner.world.now()
    }

    /// What this machine believes the date to be.
    pub fn wall_clock(&self) -> Timestamp {
        self.inner.world.wall_clock()
    }

    /// Waits.
    pub async fn sleep(&self, time: Duration) {
        let _waits = self.waits(|| format!("the end of a sleep of {time:?}"));
        self.inner.world.sleep_until(self.now() + time).await;
    }

    /// What the future comes to, or `None` when that takes longer.
    pub async fn timeout<T>(&self, limit: Duration, future: impl Future<Output = T>) -> Option<T> {
        timeout(&self.inner.world, self.now() + limit, future).await
    }

    /// Runs a task beside the program until it ends or the machine goes down. A panic in it fails
    /// the run, as one in the program does.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let host = self.clone();
        self.inner.world.spawn("program", async move {
            let reporter = host.clone();
            let misused = move |what| reporter.failed((SUCCEEDS, what));
            let misused = host.watched().is_some().then_some(misused);
            if let Err(panic) = caught(task, misused).await {
                host.go_on().await;
                host.failed((PANICS, panic));
            }
        });
    }

    /// Waits until the program is asked to end (SIGTERM).
    pub async fn terminated(&self) {
        let _waits = self.waits(|| "being asked to end".into());
        self.inner.world.terminated().await;
    }

    /// What the future comes to, or `None` when the program is asked to end before.
    pub async fn unless_terminated<T>(&self, future: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.inner.world.terminated() => None,
            value = future => Some(value),
        }
    }

    /// A number from the range, drawn from the run's seed.
    ///
    /// # Panics
    /// When the range is empty.
    #[track_caller]
    pub fn draw(&self, range: Range<u64>) -> u64 {
        assert!(!range.is_empty(), "host.draw({range:?}): the range is empty");
        self.inner.random.lock().random_range(range)
    }

    /// Adds a remark to the history, for checkers to read.
    pub fn note(&self, text: impl Into<String>) {
        let text: String = text.into();
        tracing::debug!(host = self.name(), text, "noted");
        self.inner.world.observe(ClientEvent::Noted { text: text.into() });
    }

    /// This machine's directory for the program's files. It outlives the program.
    pub fn dir(&self) -> &Path {
        &self.inner.dir
    }

    /// This machine's file system. Nothing is durable there before it is synced.
    pub fn disk(&self) -> &AnyDisk {
        self.inner.world.disk()
    }

    /// The world itself, for what has no shorter name here: sockets, and clients without a record
    /// of what they do.
    pub fn world(&self) -> &AnyWorld {
        &self.inner.world
    }

    /// The content of a file in [`Host::dir`], or `None` if there is no such file.
    pub async fn load(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        let (disk, path) = (self.disk(), self.dir().join(name));
        if !disk.exists(&path)? {
            return Ok(None);
        }
        let file = disk.open(&path, Open::Existing)?;
        let len = usize::try_from(file.len()?).map_err(io::Error::other)?;
        let mut content = vec![0; len];
        file.read_exact_at(&mut content, 0)?;
        disk.settle().await;
        Ok(Some(content))
    }

    /// Gives a file in [`Host::dir`] this content, as a whole or not at all, and durably: once
    /// this is done no crash takes it back.
    pub async fn save(&self, name: &str, content: &[u8]) -> io::Result<()> {
        let _waits = self.waits(|| format!("its disk, to save `{name}`"));
        let disk = self.disk();
        disk.create_dir_all(self.dir())?;
        if let Some(above) = self.dir().parent() {
            disk.sync_dir(above).await?;
        }
        let (path, fresh) = (self.dir().join(name), self.dir().join(format!("{name}.new")));
        let file = disk.open(&fresh, Open::OrCreate)?;
        file.set_len(0)?;
        file.write_at(content, 0)?;
        file.sync().await?;
        disk.rename(&fresh, &path)?;
        disk.sync_dir(self.dir()).await?;
        disk.settle().await;
        Ok(())
    }

    pub(super) fn watched(&self) -> Option<&Watched> {
        self.inner.watched.as_ref()
    }

    /// The program uses a topic: one that was not declared fails the run, unless a program creates it.
    pub(super) fn names(&self, topic: &str, how: &str) {
        let Some(watched) = self.watched() else { return };
        if !watched.partitions.contains_key(topic) {
            let said = || format!("{} {how}", self.name());
            watched.book.lock().undeclared.entry(topic.to_owned()).or_insert_with(said);
        }
    }

    /// The program reads a partition: of a declared topic, it has to exist.
    pub(super) fn names_partition(&self, partition: &TopicPartition) {
        let Some(watched) = self.watched() else { return };
        let Some(count) = watched.partitions.get(&*partition.topic) else {
            return self.names(&partition.topic, "was assigned a partition of");
        };
        if !(0..*count).contains(&partition.partition) {
            let how = format!(
                "was assigned {partition}, but `{}` has {count} partitions: declare more with \
                 `topic.partitions(…)`",
                partition.topic
            );
            self.failed((SUCCEEDS, how));
        }
    }

    /// Notes down what the program waits for, until the value that this gives is dropped.
    pub(super) fn waits(&self, what: impl FnOnce() -> String) -> Option<Waits> {
        let watched = self.watched()?;
        let (at, name) = (self.inner.world.true_now(), Arc::clone(&self.inner.identity.name));
        let number = watched.book.lock().waits(at, &name, what());
        Some(Waits { book: watched.book.clone(), name, number })
    }

    /// Returns only if the machine still runs: a program's last steps in the instant in which its
    /// power fails (an error of its disk, a panic about that) are void.
    pub(super) async fn go_on(&self) {
        self.inner.world.sleep_until(self.now()).await;
    }

    /// A part of the program came to a bad end.
    fn failed(&self, failure: (&'static str, String)) {
        match self.watched() {
            Some(Watched { book, .. }) => {
                book.lock().failed(self.inner.world.true_now(), self.name(), failure);
            }
            None => tracing::error!(host = self.name(), "{}", failure.1),
        }
    }

    /// The program came to its end.
    fn ended(&self) {
        if let Some(Watched { book, .. }) = self.watched() {
            book.lock().ended(self.name());
        }
    }
}

/// Something that a program waits for.
pub(super) struct Waits {
    book: SharedBook,
    name: Arc<str>,
    number: u64,
}

impl Drop for Waits {
    fn drop(&mut self) {
        self.book.lock().goes_on(&self.name, self.number);
    }
}

/// A program, as every world runs it.
pub(super) type Program = Arc<dyn Fn(Host) -> Running + Send + Sync>;
/// One boot of it.
type Running = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;

/// A program of any kind as one of this kind.
pub(super) fn program<F, R>(run: impl Fn(Host) -> F + Send + Sync + 'static) -> Program
where
    F: Future<Output = R> + Send + 'static,
    R: Ending,
{
    Arc::new(move |host| {
        let future = run(host);
        Box::pin(async move { future.await.into_result() })
    })
}

/// What a simulated host runs each time it boots.
pub(super) fn booting<W: SimWorld + Into<AnyWorld>>(
    run: Program,
    identity: Identity,
    bootstrap: &str,
    watched: &Watched,
) -> Boot<W> {
    let (bootstrap, watched) = (bootstrap.to_owned(), watched.clone());
    boot(move |world: W| {
        let (identity, bootstrap) = (identity.clone(), bootstrap.clone());
        let dir = PathBuf::from("/data");
        let host = Host::new(world.into(), identity, bootstrap, dir, Some(watched.clone()));
        let run = run.clone();
        async move {
            let misused = |what| host.failed((SUCCEEDS, what));
            let ended = caught(async { run(host.clone()).await }, Some(misused)).await;
            host.go_on().await;
            match ended {
                Ok(Ok(())) => {}
                Ok(Err(error)) => host.failed((SUCCEEDS, format!("ended with an error: {error}"))),
                Err(panic) => host.failed((PANICS, panic)),
            }
            host.ended();
        }
    })
}
