//! A machine of counters on a log in memory whose commits and failures the test decides.

mod kafka;
mod partition;

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use rand_chacha::ChaCha12Rng;
use tokio::sync::Notify;
use tokio::task::yield_now;

use super::*;
use crate::base::{Instant, LeaderEpoch, Offset, Probe, Stream, Timestamp};
use crate::decide::testing::{Counters, LIFETIME};
use crate::io::World;
use crate::io::real::{RealDisk, RealNet, RealWorld};
use crate::wire::batch::{self, BatchHeader};

const RETRY: Duration = Duration::from_millis(500);

/// The real world with a clock that the test moves.
#[derive(Clone)]
struct SetWorld {
    real: RealWorld,
    clock: Arc<(Mutex<Instant>, Notify)>,
}

impl SetWorld {
    fn new() -> Self {
        let clock = (Mutex::new(Instant::from_secs(100)), Notify::new());
        Self { real: RealWorld::new(), clock: Arc::new(clock) }
    }

    fn advance(&self, duration: Duration) {
        let mut now = self.clock.0.lock();
        *now = *now + duration;
        self.clock.1.notify_waiters();
    }
}

impl World for SetWorld {
    type Net = RealNet;
    type Disk = RealDisk;

    fn net(&self) -> &RealNet {
        self.real.net()
    }

    fn disk(&self) -> &RealDisk {
        self.real.disk()
    }

    fn now(&self) -> Instant {
        *self.clock.0.lock()
    }

    fn wall_clock(&self) -> Timestamp {
        Timestamp(1_000)
    }

    async fn sleep_until(&self, deadline: Instant) {
        loop {
            let mut moved = pin!(self.clock.1.notified());
            moved.as_mut().enable();
            if self.now() >= deadline {
                return;
            }
            moved.await;
        }
    }

    fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        self.real.spawn(name, task);
    }

    async fn terminated(&self) {
        std::future::pending().await
    }

    fn random(&self, stream: Stream) -> ChaCha12Rng {
        self.real.random(stream)
    }

    fn probe(&self, _probe: impl Into<Probe>) {}
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
struct Gone(&'static str);

#[derive(Clone, Copy)]
enum Next {
    Works,
    IsRefused,
    Breaks,
}

struct Memory {
    batches: Vec<Bytes>,
    end: Offset,
    committed: Offset,
    deposed: bool,
    next: Next,
}

/// A log in memory, shared by the leaders that follow each other.
#[derive(Clone)]
struct MemoryLog(Arc<(Mutex<Memory>, Notify)>);

impl MemoryLog {
    fn new() -> Self {
        let memory = Memory {
            batches: Vec::new(),
            end: Offset::ZERO,
            committed: Offset::ZERO,
            deposed: false,
            next: Next::Works,
        };
        Self(Arc::new((Mutex::new(memory), Notify::new())))
    }

    fn commit(&self, end: i64) {
        self.0.0.lock().committed = Offset(end);
        self.0.1.notify_waiters();
    }

    fn depose(&self) {
        self.0.0.lock().deposed = true;
        self.0.1.notify_waiters();
    }

    /// What is not committed is lost, and another leader begins.
    fn elect(&self) {
        let memory = &mut *self.0.0.lock();
        let committed = memory.committed;
        memory.batches.retain(|b| BatchHeader::parse(b).unwrap().next_offset() <= committed);
        memory.end = committed;
        memory.deposed = false;
        memory.next = Next::Works;
    }

    fn next_append(&self, next: Next) {
        self.0.0.lock().next = next;
    }

    fn end(&self) -> i64 {
        self.0.0.lock().end.0
    }
}

impl Journal for MemoryLog {
    type Error = Gone;

    fn extent(&self) -> Result<Extent, Gone> {
        let memory = self.0.0.lock();
        Ok(Extent { start: Offset::ZERO, committed: memory.committed, end: memory.end })
    }

    fn read(&self, from: Offset) -> Result<Bytes, Gone> {
        let memory = self.0.0.lock();
        let found = memory.batches.iter().find(|batch| {
            BatchHeader::parse(batch).is_ok_and(|header| header.next_offset() > from)
        });
        Ok(found.cloned().unwrap_or_default())
    }

    fn append(&self, mut bytes: BytesMut) -> Result<Written, AppendFailure<Gone>> {
        let memory = &mut *self.0.0.lock();
        match memory.next {
            _ if memory.deposed => return Err(AppendFailure::Broken(Gone("deposed"))),
            Next::IsRefused => return Err(AppendFailure::Refused(Gone("too large"))),
            Next::Breaks => return Err(AppendFailure::Broken(Gone("disk failed"))),
            Next::Works => {}
        }
        let base = memory.end;
        batch::assign(&mut bytes, base, LeaderEpoch(1));
        memory.end = BatchHeader::parse(&bytes).unwrap().next_offset();
        memory.batches.push(bytes.freeze());
        Ok(Written { base, end: memory.end })
    }

    fn retry_after(&self) -> Option<Duration> {
        Some(RETRY)
    }

    async fn committed(&self, beyond: Offset) -> Result<Offset, Gone> {
        loop {
            let mut changed = pin!(self.0.1.notified());
            changed.as_mut().enable();
            {
                let memory = self.0.0.lock();
                if memory.deposed {
                    return Err(Gone("deposed"));
                }
                if memory.committed > beyond {
                    return Ok(memory.committed);
                }
            }
            changed.await;
        }
    }
}

type Host = Hosted<SetWorld, Counters, MemoryLog>;

/// A new leader: it has loaded the log, and serves.
async fn lead(world: &SetWorld, log: &MemoryLog) -> Arc<Host> {
    let hosted = Hosted::new(world.clone(), log.clone());
    let loading = hosted.load(Counters::default()).await;
    let Ok(loading) = loading else { panic!("the log can't be loaded") };
    hosted.activate(loading, world.now());
    let serving = hosted.clone();
    world.spawn("serve", async move { drop(serving.serve().await) });
    hosted
}

async fn add(hosted: &Host, name: &str, amount: i64) -> Result<i64, Refused> {
    let decided = hosted.decide(|counters, _, _| counters.add(name, amount)).await;
    decided.map(|value| value.expect("not below zero"))
}

async fn settle() {
    for _ in 0..20 {
        yield_now().await;
    }
}

/// Whether a future has nothing to return, though all other tasks have run.
async fn waits(future: impl Future) -> bool {
    tokio::select! {
        biased;
        _ = future => false,
        () = settle() => true,
    }
}

fn value(hosted: &Host, name: &str) -> Option<i64> {
    hosted.read(|values| values.of.get(name).copied()).unwrap()
}

#[tokio::test]
async fn response_leaves_when_its_records_are_committed() {
    let (world, log) = (SetWorld::new(), MemoryLog::new());
    let hosted = lead(&world, &log).await;
    let mut first = pin!(add(&hosted, "a", 3));
    let mut second = pin!(add(&hosted, "a", 4));
    assert!(waits(first.as_mut()).await && waits(second.as_mut()).await);
    assert_eq!((log.end(), value(&hosted, "a")), (2, None), "appended, not committed");
    log.commit(1);
    assert_eq!(first.await, Ok(3));
    assert!(waits(second.as_mut()).await);
    assert_eq!(value(&hosted, "a"), Some(3), "a read sees what is committed only");
    log.commit(2);
    assert_eq!(second.await, Ok(7));
    let seen = hosted.decide(|counters, _, _| counters.get("a")).await;
    assert_eq!(seen, Ok(Some(7)), "nothing is pending: answered at once");
}

/// The additions that the machine knows to be committed.
async fn settled(hosted: &Host) -> usize {
    let seen = std::cell::Cell::new(0);
    let handler = |counters: &Counters, _, _| {
        seen.set(counters.settled);
        counters.get("a")
    };
    // Its own response may wait; what it saw counts.
    waits(pin!(hosted.decide(handler))).await;
    seen.get()
}

#[tokio::test]
async fn deferred_effect_is_carried_out_when_its_records_are_committed() {
    let (world, log) = (SetWorld::new(), MemoryLog::new());
    let hosted = lead(&world, &log).await;
    let mut first = pin!(add(&hosted, "a", 3));
    assert!(waits(first.as_mut()).await);
    assert_eq!(settled(&hosted).await, 0, "appended, not committed");
    log.commit(1);
    assert_eq!(first.await, Ok(3));
    assert_eq!(settled(&hosted).await, 1);
    log.next_append(Next::IsRefused);
    assert!(add(&hosted, "a", 1).await.is_err());
    assert_eq!(settled(&hosted).await, 1, "a refused append has no effects");
}

#[tokio::test]
async fn deposed_leader_refuses_pending_decisions_and_its_successor_has_the_prefix() {
    let (world, log) = (SetWorld::new(), MemoryLog::new());
    let hosted = lead(&world, &log).await;
    let mut kept = pin!(add(&hosted, "a", 1));
    assert!(waits(kept.as_mut()).await);
    log.commit(1);
    assert_eq!(kept.await, Ok(1));
    let mut lost = pin!(add(&hosted, "a", 1));
    assert!(waits(lost.as_mut()).await);
    log.depose();
    assert_eq!(lost.await, Err(Refused::Unknown("deposed".into())));
    assert_eq!(add(&hosted, "b", 1).await, Err(Refused::Failed("deposed".into())));
    log.elect();
    let successor = lead(&world, &log).await;
    assert_eq!(value(&successor, "a"), Some(1));
    let mut next = pin!(add(&successor, "a", 1));
    assert!(waits(next.as_mut()).await);
    log.commit(2);
    assert_eq!(next.await, Ok(2));
}

#[tokio::test]
async fn records_that_were_not_committed_when_loaded_count_once_they_are() {
    let (world, log) = (SetWorld::new(), MemoryLog::new());
    let former = lead(&world, &log).await;
    let mut pending = pin!(add(&former, "a", 5));
    assert!(waits(pending.as_mut()).await);
    let hosted = lead(&world, &log).await;
    assert_eq!(value(&hosted, "a"), None);
    let mut seen = pin!(hosted.decide(|counters, _, _| counters.get("a")));
    assert!(waits(seen.as_mut()).await, "its answer rests on a record that may be lost");
    log.commit(1);
    assert_eq!(seen.await, Ok(Some(5)));
    assert_eq!(value(&hosted, "a"), Some(5));
}

#[tokio::test]
async fn refused_append_changes_nothing_and_the_machine_continues() {
    let (world, log) = (SetWorld::new(), MemoryLog::new());
    let hosted = lead(&world, &log).await;
    log.next_append(Next::IsRefused);
    assert_eq!(add(&hosted, "a", 1).await, Err(Refused::NotAppended("too large".into())));
    let seen = hosted.decide(|counters, _, _| counters.get("a")).await;
    assert_eq!(seen, Ok(None));
    log.next_append(Next::Works);
    let mut next = pin!(add(&hosted, "a", 1));
    assert!(waits(next.as_mut()).await);
    log.commit(1);
    assert_eq!(next.await, Ok(1));
}

#[tokio::test]
async fn append_that_leaves_the_log_unknown_makes_the_machine_resign() {
    let (world, log) = (SetWorld::new(), MemoryLog::new());
    let hosted = lead(&world, &log).await;
    let mut pending = pin!(add(&hosted, "a", 1));
    assert!(waits(pending.as_mut()).await);
    log.next_append(Next::Breaks);
    let unknown = Err(Refused::Unknown("disk failed".into()));
    assert_eq!(add(&hosted, "a", 1).await, unknown);
    assert_eq!(pending.await, unknown);
    log.next_append(Next::Works);
    assert_eq!(add(&hosted, "a", 1).await, Err(Refused::Failed("disk failed".into())));
    assert_eq!(log.end(), 1, "nothing is appended by a machine that resigned");
}

#[tokio::test]
async fn deadline_is_kept_also_when_a_decision_moves_it_closer() {
    let (world, log) = (SetWorld::new(), MemoryLog::new());
    let hosted = lead(&world, &log).await;
    settle().await;
    let mut used = pin!(add(&hosted, "a", 1));
    assert!(waits(used.as_mut()).await);
    log.commit(1);
    assert_eq!(used.await, Ok(1));
    world.advance(LIFETIME - Duration::from_secs(1));
    settle().await;
    assert_eq!(log.end(), 1, "not before its time");
    world.advance(Duration::from_secs(1));
    settle().await;
    assert_eq!(log.end(), 2, "the counter was not used for its lifetime");
    log.commit(2);
    settle().await;
    assert_eq!(value(&hosted, "a"), None);
}

#[tokio::test]
async fn deadline_whose_decision_is_refused_is_tried_again() {
    let (world, log) = (SetWorld::new(), MemoryLog::new());
    let hosted = lead(&world, &log).await;
    let mut used = pin!(add(&hosted, "a", 1));
    assert!(waits(used.as_mut()).await);
    log.commit(1);
    assert_eq!(used.await, Ok(1));
    log.next_append(Next::IsRefused);
    world.advance(LIFETIME);
    settle().await;
    log.next_append(Next::Works);
    settle().await;
    assert_eq!(log.end(), 1, "it waits before it tries again");
    world.advance(RETRY);
    settle().await;
    assert_eq!(log.end(), 2);
}

#[tokio::test]
async fn nothing_is_decided_while_the_log_is_loading() {
    let (world, log) = (SetWorld::new(), MemoryLog::new());
    let hosted: Arc<Host> = Hosted::new(world, log);
    assert_eq!(add(&hosted, "a", 1).await, Err(Refused::Loading));
    hosted.resign("deposed");
    let loading = hosted.load(Counters::default()).await;
    let Ok(loading) = loading else { panic!("an empty log can be loaded") };
    hosted.activate(loading, Instant::START);
    assert_eq!(add(&hosted, "a", 1).await, Err(Refused::Failed("deposed".into())));
}

#[tokio::test]
async fn log_with_a_foreign_record_is_not_loaded() {
    let (world, log) = (SetWorld::new(), MemoryLog::new());
    let mut foreign =
        crate::wire::batch::BatchBuilder::new(crate::base::config::Compression::None, Timestamp(0));
    foreign.append(Timestamp(0), None, Some(b"not a counter"), &[]);
    log.append(BytesMut::from(&foreign.finish_plain()[..])).unwrap();
    let hosted: Arc<Host> = Hosted::new(world, log);
    let loaded = hosted.load(Counters::default()).await;
    assert!(matches!(loaded, Err(LoadError::Batch(BadBatch::Record { offset: Offset::ZERO, .. }))));
}
