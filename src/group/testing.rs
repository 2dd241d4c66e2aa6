//! A small shell for the coordinator on a log in memory, and the answers it still owes.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::sync::oneshot::error::TryRecvError;

use super::{Client, Decision, Effect, GroupCoordinator, GroupSettings, Reply};
use crate::base::{Instant, Seed, Stream, Timestamp};
use crate::controller::Image;
use crate::decide::Machine;
use crate::decide::on_log::OnLog;

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
    on_log: OnLog<GroupCoordinator>,
    settings: GroupSettings,
    pub(crate) image: Arc<Image>,
    /// Whether everything is checked after each step.
    pub(crate) checks: bool,
}

impl Deref for Shell {
    type Target = OnLog<GroupCoordinator>;

    fn deref(&self) -> &Self::Target {
        &self.on_log
    }
}

impl DerefMut for Shell {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.on_log
    }
}

impl Shell {
    pub(crate) fn new(settings: GroupSettings) -> Self {
        let image = Arc::new(Image::default());
        let on_log = OnLog::new(machine(&settings, &image), Instant::from_secs(1000));
        Self { on_log, settings, image, checks: true }
    }

    /// Decides; the answer is none if the append was refused.
    pub(crate) fn decide<T>(
        &mut self,
        handler: impl FnOnce(&GroupCoordinator, Instant, Timestamp) -> Decision<T>,
    ) -> Option<T> {
        let answer = self.on_log.decide(handler);
        self.check();
        answer
    }

    /// Something outside of the log changes.
    pub(crate) fn affect(&mut self, effect: Effect) {
        self.on_log.affect(effect);
        self.check();
    }

    /// Commits the log up to here.
    pub(crate) fn commit(&mut self, end: usize) {
        self.on_log.commit(end);
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
        while self.reach_deadline(end) {
            if self.decide(|machine, now, wall| machine.expire(now, wall)).is_none() {
                break;
            }
            decisions += 1;
            assert!(decisions < 100_000, "deadlines do not move");
        }
        self.now = end;
    }

    pub(crate) fn pass_secs(&mut self, seconds: u64) {
        self.pass(Duration::from_secs(seconds));
    }

    /// Another coordinator takes over with the first `kept` records of the log.
    pub(crate) fn fail_over(&mut self, kept: usize) {
        self.on_log.elect(machine(&self.settings, &self.image), kept, kept);
        self.check();
    }

    pub(crate) fn set(&mut self, change: impl FnOnce(&mut GroupSettings)) {
        change(&mut self.settings);
        self.fail_over(self.log.len());
    }
}

fn machine(settings: &GroupSettings, image: &Arc<Image>) -> GroupCoordinator {
    let random = Seed(7).stream(Stream::named("coordinator"));
    GroupCoordinator::new(3, settings.clone(), image.clone(), random)
}

pub(crate) fn client(id: &str) -> Client {
    Client { id: id.to_owned(), host: "/127.0.0.1".to_owned() }
}
