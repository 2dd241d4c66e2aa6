//! When to heartbeat, when the session ends without an answer, and when the application has not
//! polled for too long. Source: Kafka's `Heartbeat`.

use std::time::Duration;

use super::Settings;
use crate::base::Instant;

#[derive(Debug)]
pub(super) struct Heartbeat {
    interval: Duration,
    session_timeout: Duration,
    max_poll_interval: Duration,
    /// When the next one is due.
    next: Instant,
    session_ends: Instant,
    patience_ends: Instant,
    failures: u32,
}

impl Heartbeat {
    pub(super) fn new(settings: &Settings, now: Instant) -> Self {
        let mut heartbeat = Self {
            interval: settings.heartbeat_interval,
            session_timeout: settings.session_timeout,
            max_poll_interval: settings.max_poll_interval,
            next: now,
            session_ends: now,
            patience_ends: now,
            failures: 0,
        };
        heartbeat.reset(now);
        heartbeat
    }

    /// A generation begins.
    pub(super) fn reset(&mut self, now: Instant) {
        self.next = now + self.interval;
        self.failures = 0;
        self.renew(now);
        self.polled(now);
    }

    /// The session lasts from now on: the coordinator answered, or another one was found.
    pub(super) fn renew(&mut self, now: Instant) {
        self.session_ends = now + self.session_timeout;
    }

    pub(super) fn polled(&mut self, now: Instant) {
        self.patience_ends = now + self.max_poll_interval;
    }

    pub(super) fn sent(&mut self, now: Instant) {
        self.next = now + self.interval;
    }

    pub(super) fn answered(&mut self, now: Instant) {
        self.failures = 0;
        self.renew(now);
    }

    pub(super) fn failed(&mut self, now: Instant, mut pause: impl FnMut(u32) -> Duration) {
        self.failures = self.failures.saturating_add(1);
        self.next = now + pause(self.failures);
    }

    pub(super) fn next(&self) -> Instant {
        self.next
    }

    pub(super) fn session_ends(&self) -> Instant {
        self.session_ends
    }

    /// When the application has not polled for `max.poll.interval.ms`.
    pub(super) fn patience_ends(&self) -> Instant {
        self.patience_ends
    }
}
