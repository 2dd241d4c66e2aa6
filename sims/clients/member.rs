//! Members of librdkafka groups, each polled by a thread of its own.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, Rebalance};
use rdkafka::message::Message;
use rdkafka::{ClientConfig, ClientContext};

/// How long a group may take for what a test waits for.
pub const PATIENCE: Duration = Duration::from_secs(40);

/// What the threads of a test share.
#[derive(Default)]
struct Seen {
    /// Partitions that the member owns.
    owned: Mutex<Vec<i32>>,
    rebalances: AtomicUsize,
    /// Keys of the records that it read, with how often.
    read: Mutex<BTreeMap<u64, usize>>,
    stop: AtomicBool,
    /// Fatal errors, and those of commits.
    errors: Mutex<Vec<String>>,
}

/// Where librdkafka writes: not to the terminal.
fn log_file() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("librdkafka.log")
}

struct Context(Arc<Seen>);

impl ClientContext for Context {
    fn log(&self, _: RDKafkaLogLevel, facility: &str, message: &str) {
        let file = std::fs::OpenOptions::new().create(true).append(true).open(log_file());
        if let Ok(mut file) = file {
            let _ = writeln!(file, "{facility} {message}");
        }
    }
}

impl ConsumerContext for Context {
    fn post_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Assign(_) = rebalance {
            self.0.rebalances.fetch_add(1, Ordering::SeqCst);
        }
        // While it closes, librdkafka may drop the question, and would never answer.
        if !self.0.stop.load(Ordering::SeqCst) {
            self.0.note(consumer);
        }
    }
}

impl Seen {
    fn note(&self, consumer: &BaseConsumer<Context>) {
        let Ok(assignment) = consumer.assignment() else { return };
        let mut owned: Vec<i32> = assignment.elements().iter().map(|e| e.partition()).collect();
        owned.sort_unstable();
        *self.owned.lock().unwrap() = owned;
    }
}

/// One member of a group. Ends, and leaves its group, when it is dropped.
pub struct Member {
    seen: Arc<Seen>,
    thread: Option<JoinHandle<()>>,
}

impl Member {
    /// Joins a group, commits each record that it has read, and begins at the start of partitions
    /// without a commit.
    pub fn join(bootstrap: &str, group: &str, topic: &str, settings: &[(&str, &str)]) -> Self {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", bootstrap)
            .set("group.id", group)
            .set("auto.offset.reset", "earliest")
            .set("enable.auto.commit", "false")
            .set("topic.metadata.refresh.interval.ms", "1000");
        for (key, value) in settings {
            config.set(*key, *value);
        }
        let seen = Arc::new(Seen::default());
        let consumer: BaseConsumer<Context> =
            config.create_with_context(Context(seen.clone())).unwrap();
        consumer.subscribe(&[topic]).unwrap();
        let mine = seen.clone();
        let thread = std::thread::spawn(move || poll(&consumer, &mine));
        Self { seen, thread: Some(thread) }
    }

    /// The partitions that it owns now.
    pub fn owned(&self) -> Vec<i32> {
        self.seen.owned.lock().unwrap().clone()
    }

    /// How often it was given an assignment.
    pub fn rebalances(&self) -> usize {
        self.seen.rebalances.load(Ordering::SeqCst)
    }

    /// Keys of the records that it has read, with how often.
    pub fn read(&self) -> BTreeMap<u64, usize> {
        self.seen.read.lock().unwrap().clone()
    }

    pub fn errors(&self) -> Vec<String> {
        self.seen.errors.lock().unwrap().clone()
    }

    /// Stops as a process that is shut down: a dynamic member leaves its group.
    pub fn stop(mut self) -> BTreeMap<u64, usize> {
        self.end();
        self.read()
    }

    /// Waits for its thread, which closes the consumer. One that never closes fails the test instead of
    /// keeping it for ever.
    fn end(&mut self) {
        self.seen.stop.store(true, Ordering::SeqCst);
        let Some(thread) = self.thread.take() else { return };
        wait_until("the member has closed", || thread.is_finished());
        thread.join().unwrap();
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // The test has failed; its thread sees this sooner or later.
            self.seen.stop.store(true, Ordering::SeqCst);
        } else {
            self.end();
        }
    }
}

fn poll(consumer: &BaseConsumer<Context>, seen: &Seen) {
    while !seen.stop.load(Ordering::SeqCst) {
        let polled = consumer.poll(Duration::from_millis(50));
        seen.note(consumer);
        match polled {
            None => {}
            Some(Ok(message)) => {
                let key = message.key().and_then(|key| key.try_into().ok()).map(u64::from_be_bytes);
                *seen.read.lock().unwrap().entry(key.expect("our key")).or_default() += 1;
                // One that a rebalance refuses is read again by the next owner.
                let _ = consumer.commit_message(&message, CommitMode::Async);
            }
            Some(Err(error)) => seen.errors.lock().unwrap().push(error.to_string()),
        }
    }
    let _ = consumer.commit_consumer_state(CommitMode::Sync);
}

/// Waits until something holds.
pub fn wait_until(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The partitions of all members, in order.
pub fn all_owned(members: &[&Member]) -> Vec<i32> {
    let mut all: Vec<i32> = members.iter().flat_map(|member| member.owned()).collect();
    all.sort_unstable();
    all
}
