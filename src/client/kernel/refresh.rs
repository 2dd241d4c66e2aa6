//! When to ask for metadata.

use std::time::Duration;

use rand_chacha::ChaCha12Rng;

use crate::base::Instant;
use crate::rpc::Backoff;

/// Asks one question at a time, with a pause between them that grows while they do not help.
#[derive(Debug)]
pub(crate) struct Refresh {
    backoff: Backoff,
    max_age: Duration,
    outstanding: bool,
    /// Something is amiss that new metadata may explain.
    wanted: bool,
    /// It became wanted while an answer was on its way, which may not know of it.
    wanted_again: bool,
    not_before: Instant,
    /// When metadata is old though nothing is amiss.
    old_at: Instant,
    /// Questions in a row that were not followed by a quiet time.
    in_a_row: u32,
}

impl Refresh {
    pub(crate) fn new(backoff: Backoff, max_age: Duration, now: Instant) -> Self {
        Self {
            backoff,
            max_age,
            outstanding: false,
            wanted: false,
            wanted_again: false,
            not_before: now,
            old_at: now,
            in_a_row: 0,
        }
    }

    /// Something is amiss.
    pub(crate) fn want(&mut self) {
        if self.outstanding {
            self.wanted_again = true;
        } else {
            self.wanted = true;
        }
    }

    /// Something is amiss, and will be looked at again when an answer that is on its way has come.
    pub(crate) fn want_unless_asked(&mut self) {
        self.wanted |= !self.outstanding;
    }

    /// Whether to ask now.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        !self.outstanding && now >= self.next()
    }

    /// The time at which to ask; never while an answer is due.
    pub(crate) fn deadline(&self) -> Instant {
        if self.outstanding { Instant::NEVER } else { self.next() }
    }

    fn next(&self) -> Instant {
        if self.wanted { self.not_before } else { self.old_at.max(self.not_before) }
    }

    /// The question is on its way.
    pub(crate) fn began(&mut self) {
        self.outstanding = true;
        self.wanted_again = false;
    }

    /// It was answered.
    pub(crate) fn succeeded(&mut self, now: Instant, random: &mut ChaCha12Rng) {
        self.end(now, random);
        self.wanted = self.wanted_again;
        self.old_at = now + self.max_age;
    }

    /// It was not.
    pub(crate) fn failed(&mut self, now: Instant, random: &mut ChaCha12Rng) {
        self.end(now, random);
        self.wanted = true;
    }

    /// Panics if an invariant is broken.
    pub(crate) fn check(&self) {
        let again = self.wanted_again;
        assert!(!again || self.outstanding || self.wanted, "a wish for metadata was forgotten");
    }

    fn end(&mut self, now: Instant, random: &mut ChaCha12Rng) {
        self.outstanding = false;
        // A question long after the last one begins a new row.
        if now.since(self.not_before) > self.backoff.max() {
            self.in_a_row = 0;
        }
        self.in_a_row = self.in_a_row.saturating_add(1);
        self.not_before = now + self.backoff.pause(self.in_a_row, random);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Seed, Stream};

    const MAX_AGE: Duration = Duration::from_secs(300);

    fn refresh() -> (Refresh, ChaCha12Rng) {
        let backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));
        (Refresh::new(backoff, MAX_AGE, Instant::START), Seed(1).stream(Stream::named("test")))
    }

    #[test]
    fn metadata_is_asked_for_again_when_it_is_old() {
        let (mut refresh, mut random) = refresh();
        assert!(refresh.is_due(Instant::START));
        refresh.began();
        assert!(!refresh.is_due(Instant::from_secs(1000)));
        refresh.succeeded(Instant::from_secs(1), &mut random);
        assert_eq!(refresh.deadline(), Instant::from_secs(301));
    }

    #[test]
    fn pauses_between_questions_grow_while_they_do_not_help() {
        let (mut refresh, mut random) = refresh();
        let mut now = Instant::START;
        let mut pauses = Vec::new();
        for _ in 0..5 {
            refresh.began();
            refresh.succeeded(now, &mut random);
            refresh.want();
            pauses.push(refresh.deadline().since(now));
            now = refresh.deadline();
        }
        assert!(pauses[0] <= Duration::from_millis(120));
        assert!(pauses[4] >= Duration::from_millis(800));
        now = now + Duration::from_secs(60);
        refresh.want();
        assert!(refresh.is_due(now));
        refresh.began();
        refresh.succeeded(now, &mut random);
        refresh.want();
        assert!(
            refresh.deadline().since(now) <= Duration::from_millis(120),
            "a quiet time ends it"
        );
    }

    #[test]
    fn wish_during_a_question_outlives_its_answer() {
        let (mut refresh, mut random) = refresh();
        refresh.want();
        refresh.began();
        refresh.want();
        refresh.succeeded(Instant::START, &mut random);
        assert!(refresh.deadline() < Instant::from_secs(1));
    }
}
