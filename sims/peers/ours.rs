//! This crate's consumer as a member of a group, on a thread of its own.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use brokerquake::base::config::{Config, ConsumerConfig};
use brokerquake::client::Consumer;
use brokerquake::io::real::RealWorld;

/// What a member owns, and what it has read.
#[derive(Default)]
pub struct Seen {
    pub owned: Mutex<Vec<i32>>,
    /// Keys of the records, with how often each was read.
    pub read: Mutex<BTreeMap<u64, usize>>,
    pub errors: Mutex<Vec<String>>,
    pub stop: AtomicBool,
}

/// One member. It commits what it has read after each poll.
pub struct Ours {
    pub seen: Arc<Seen>,
    thread: Option<JoinHandle<()>>,
}

impl Ours {
    /// Joins a group; a topic that begins with `^` is a pattern that the coordinator evaluates.
    pub fn join(bootstrap: &str, group: &str, topic: &str, settings: &[(&str, &str)]) -> Self {
        let mut config = ConsumerConfig::default();
        config
            .set_all([
                ("bootstrap.servers", bootstrap),
                ("group.id", group),
                ("auto.offset.reset", "earliest"),
                ("enable.auto.commit", "false"),
                ("metadata.max.age.ms", "1000"),
            ])
            .unwrap();
        config.set_all(settings.iter().copied()).unwrap();
        let seen = Arc::new(Seen::default());
        let (mine, topic) = (seen.clone(), topic.to_owned());
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(run(config, &topic, &mine));
        });
        Self { seen, thread: Some(thread) }
    }

    /// Leaves the group, and ends.
    pub fn end(&mut self) {
        self.seen.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Ours {
    fn drop(&mut self) {
        self.end();
    }
}

async fn run(config: ConsumerConfig, topic: &str, seen: &Seen) {
    let mut consumer = Consumer::new(RealWorld::new(), config).unwrap();
    match topic.strip_prefix('^') {
        Some(_) => consumer.subscribe_regex(topic).unwrap(),
        None => consumer.subscribe([topic]).unwrap(),
    }
    while !seen.stop.load(Ordering::SeqCst) {
        let polled = consumer.poll(Duration::from_millis(50)).await;
        let owned = consumer.assignment().iter().map(|partition| partition.partition).collect();
        *seen.owned.lock().unwrap() = owned;
        let records = match polled {
            Ok(records) => records,
            Err(error) => {
                seen.errors.lock().unwrap().push(error.to_string());
                continue;
            }
        };
        if records.is_empty() {
            continue;
        }
        for record in &records {
            let key = record.key.as_deref().and_then(|key| key.try_into().ok());
            let key = u64::from_be_bytes(key.expect("our key"));
            *seen.read.lock().unwrap().entry(key).or_default() += 1;
        }
        if let Err(error) = consumer.commit_sync(Duration::from_secs(10)).await {
            seen.errors.lock().unwrap().push(error.to_string());
        }
    }
    consumer.close(Duration::from_secs(10)).await;
}
