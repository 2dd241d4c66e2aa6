//! A small shell for the coordinator: a log in memory, commits when a test says so, time that a test
//! moves.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::sync::oneshot::error::TryRecvError;

use super::{Client, Decision, Effect, GroupCoordinator, GroupSettings, Record, Reply};
use crate::base::{Instant, Offset, Seed, Stream, Timestamp};
use crate::controller::Image;
use crate::decide::{Active, Loading, LogRecord, Machine};

/// Where a waiting answer arrives.
pub(crate) struct Waiter<T>(oneshot::Receiver<T>);

/// What has become of a waiting answer.
#[derive(Debug, PartialEq)]
pub(crate) enum Answer<T> {
    Waits,
    Is(T),
    /// The coordinator has resigned: NOT_COORDINATOR.
    Dropped,
}

impl<T> Waiter<T> {
    pub(crate) fn new() -> (Reply<T>, Self) {
        let (reply, receiver) = Reply::new();
        (reply, Self(receiver))
    }

    pub(crate) fn poll(&mut self) -> Answer<T> {
        match self.0.try_recv() {
            Ok(answer) => Answer::Is(answer),
            Err(TryRecvError::Empty) => Answer::Waits,
            Err(TryRecvError::Closed) => Answer::Dropped,
        }
    }

    /// The answer, which must be there.
    #[track_caller]
    pub(crate) fn get(mut self) -> T {
        match self.poll() {
            Answer::Is(answer) => answer,
            Answer::Waits => panic!("still waits"),
            Answer::Dropped => panic!("dropped without an answer"),
        }
    }

    #[track_caller]
    pub(crate) fn assert_waits(&mut self) {
        assert!(matches!(self.poll(), Answer::Waits), "was answered");
    }
}

/// A coordinator on its log.
pub(crate) struct Shell {
    active: Active<GroupCoordinator, ()>,
    settings: GroupSettings,
    pub(crate) image: Arc<Image>,
    pub(crate) log: Vec<Record>,
    /// Where batches end.
    ends: Vec<usize>,
    pub(crate) now: Instant,
    /// Whether what is appended is committed at once.
    pub(crate) commits: bool,
    /// Whether appends are refused.
    pub(crate) refuses: bool,
    /// Whether everything is checked after each step.
    pub(crate) checks: bool,
}

impl Shell {
    pub(crate) fn new(settings: GroupSettings) -> Self {
        let image = Arc::new(Image::default());
        let now = Instant::from_secs(1000);
        let active = load(&settings, &image, &[], now);
        Self {
            active,
            settings,
            image,
            log: Vec::new(),
            ends: Vec::new(),
            now,
            commits: true,
            refuses: false,
            checks: true,
        }
    }

    pub(crate) fn machine(&self) -> &GroupCoordinator {
        self.active.machine()
    }

    pub(crate) fn committed(&self) -> &super::Groups {
        self.active.committed()
    }

    pub(crate) fn wall(&self) -> Timestamp {
        Timestamp((self.now.0 / 1_000_000) as i64 + 1_700_000_000_000)
    }

    /// Decides; the answer is none if the append was refused.
    pub(crate) fn decide<T>(
        &mut self,
        handler: impl FnOnce(&GroupCoordinator, Instant, Timestamp) -> Decision<T>,
    ) -> Option<T> {
        let wall = self.wall();
        let decision = handler(self.active.machine(), self.now, wall);
        if !decision.records.is_empty() {
            if self.refuses {
                return None;
            }
            let read = |record: &Record| Record::decode(record.encode()).unwrap();
            let records: Vec<_> = decision.records.iter().map(read).collect();
            assert_eq!(records, decision.records, "records are written and read alike");
            let base = self.active.end();
            self.log.extend(decision.records);
            self.ends.push(self.log.len());
            self.active.appended(base, records).unwrap();
        }
        self.active.carry_out(self.now, decision.effects);
        self.active.defer(self.now, decision.after);
        if self.commits {
            self.commit(self.log.len());
        }
        self.check();
        Some(decision.response)
    }

    /// Something outside of the log changes.
    pub(crate) fn affect(&mut self, effect: Effect) {
        self.active.carry_out(self.now, [effect]);
        self.check();
    }

    /// Commits the log up to here.
    pub(crate) fn commit(&mut self, end: usize) {
        let commit = self.active.commit(Offset(end as i64)).unwrap();
        self.active.carry_out(self.now, commit.after);
        self.check();
    }

    /// Commits everything.
    pub(crate) fn commit_all(&mut self) {
        self.commit(self.log.len());
    }

    fn check(&self) {
        if self.checks {
            self.machine().classic.check_all();
            self.machine().check_consumers();
            self.machine().state.offsets().check();
        }
    }

    /// Time passes; every deadline is kept.
    pub(crate) fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        let mut decisions = 0;
        while let Some(deadline) = self.active.deadline().filter(|at| *at <= end) {
            self.now = self.now.max(deadline);
            if self.decide(|machine, now, wall| machine.expire(now, wall)).is_none() {
                self.now = end;
                return;
            }
            decisions += 1;
            assert!(decisions < 100_000, "deadlines do not move");
        }
        self.now = end;
    }

    pub(crate) fn pass_secs(&mut self, seconds: u64) {
        self.pass(Duration::from_secs(seconds));
    }

    /// Where the log may end after a failover: everything that is committed is kept, and batches
    /// are whole.
    pub(crate) fn survivors(&self) -> Vec<usize> {
        let committed = self.active.committed_end().0 as usize;
        let beyond = self.ends.iter().copied().filter(|end| *end > committed);
        std::iter::once(committed).chain(beyond).collect()
    }

    /// How many records each batch has that was appended from `start` on.
    pub(crate) fn batches_since(&self, start: usize) -> Vec<usize> {
        let ends = self.ends.iter().copied().filter(|end| *end > start);
        let mut last = start;
        ends.map(|end| end - std::mem::replace(&mut last, end)).collect()
    }

    /// Another coordinator takes over with the first `kept` records of the log.
    pub(crate) fn fail_over(&mut self, kept: usize) {
        self.log.truncate(kept);
        self.ends.retain(|end| *end <= kept);
        // An election takes time.
        self.now = self.now + Duration::from_millis(1);
        self.active = load(&self.settings, &self.image, &self.log, self.now);
        self.check();
    }

    pub(crate) fn set(&mut self, change: impl FnOnce(&mut GroupSettings)) {
        change(&mut self.settings);
        self.fail_over(self.log.len());
    }
}

fn load(
    settings: &GroupSettings,
    image: &Arc<Image>,
    log: &[Record],
    now: Instant,
) -> Active<GroupCoordinator, ()> {
    let random = Seed(7).stream(Stream::named("coordinator"));
    let machine = GroupCoordinator::new(3, settings.clone(), image.clone(), random);
    let mut loading = Loading::new(machine, Offset::ZERO);
    for (offset, record) in (0..).map(Offset).zip(log) {
        let records = vec![(offset, Record::decode(record.encode()).unwrap())];
        loading.replay(offset.next(), records).unwrap();
    }
    loading.commit(Offset(log.len() as i64)).unwrap();
    loading.activate(now)
}

pub(crate) fn client(id: &str) -> Client {
    Client { id: id.to_owned(), host: "/127.0.0.1".to_owned() }
}
