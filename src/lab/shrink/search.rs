//! The search for the smallest scenario that still has a property, whatever the property is.

use std::collections::BTreeSet;
use std::time::Duration;

use super::steps::{self, STEPS};
use crate::scenario::Fault;
use crate::scenario::Scenario;

/// Says whether a smaller scenario still has the property, and by when it is seen, counted from the
/// beginning of the run. Asked once for each text.
pub(super) type Shows<'a> = &'a mut dyn FnMut(&Scenario) -> Option<Duration>;

/// A schedule in at most this many parts: few parts are a bold step, whose candidates are
/// tried at other times too.
const BOLD: usize = 4;

/// Where a search stands.
pub(super) struct Search<'a> {
    /// The smallest so far that has the property.
    pub best: Scenario,
    /// By when it is seen there.
    seen: Duration,
    /// Questions that may still be asked.
    left: usize,
    shows: Shows<'a>,
    /// Texts of what has been asked about: the property is a function of the text.
    asked: BTreeSet<String>,
}

impl<'a> Search<'a> {
    /// `whole` has its schedule spelled out, and has the property.
    pub fn new(whole: Scenario, budget: usize, shows: Shows<'a>) -> Self {
        let seen = whole.duration;
        Self { best: whole, seen, left: budget, shows, asked: BTreeSet::new() }
    }

    /// Shrinks until nothing more can go. False when the budget ended first.
    pub fn run(&mut self) -> bool {
        loop {
            let before = self.best.clone();
            // A shorter run is a cheaper question, so that comes before everything else.
            self.end_when_seen();
            self.descend(steps::shorter);
            self.faults();
            self.end_when_seen();
            for step in STEPS {
                self.descend(*step);
            }
            if self.left == 0 {
                return false;
            }
            if self.best == before {
                return true;
            }
        }
    }

    /// Asks about one candidate, and keeps it if it has the property.
    fn accept(&mut self, candidate: Scenario) -> bool {
        // What is judged is what the file will say: a candidate that can't be read back is none.
        let Ok(candidate) = steps::as_written(&candidate) else { return false };
        if self.left == 0 || !self.asked.insert(steps::text(&candidate)) {
            return false;
        }
        self.left -= 1;
        let Some(seen) = (self.shows)(&candidate) else { return false };
        self.seen = seen;
        self.best = candidate;
        true
    }

    /// What comes after the property was seen goes first: nothing before it changes.
    fn end_when_seen(&mut self) {
        if self.seen < self.best.duration {
            let ended = steps::ended(&self.best, self.seen);
            self.accept(ended);
        }
    }

    /// Takes one kind of step as often as that works, the boldest first.
    fn descend(&mut self, step: fn(&Scenario) -> Vec<Scenario>) {
        while step(&self.best).into_iter().any(|candidate| self.accept(candidate)) {}
    }

    /// Delta debugging (Zeller and Hildebrandt's ddmin) over the list of faults: in the end no
    /// single one of them can go.
    fn faults(&mut self) {
        let mut parts = 1;
        loop {
            let faults = self.best.schedule.clone().unwrap_or_default();
            if faults.is_empty() || self.left == 0 {
                return;
            }
            parts = parts.clamp(1, faults.len());
            if self.without_one_of(&faults, parts) {
                // The rest in as many parts as are left keeps the size of a part.
                parts = parts.saturating_sub(1).max(2);
            } else if parts == faults.len() {
                return;
            } else {
                parts *= 2;
            }
        }
    }

    /// Tries each of `parts` equal parts of the list alone, and the list without each of them. The
    /// last part goes first: what comes late is most often not needed, and what it leaves is
    /// unchanged up to there.
    fn without_one_of(&mut self, faults: &[Fault], parts: usize) -> bool {
        let bounds = |part: usize| part * faults.len() / parts..(part + 1) * faults.len() / parts;
        let kept = |search: &Self, keeps: &dyn Fn(usize) -> bool| {
            let kept = faults.iter().enumerate().filter(|(at, _)| keeps(*at));
            let kept = kept.map(|(_, fault)| fault.clone()).collect();
            Scenario { schedule: Some(kept), ..search.best.clone() }
        };
        let bold = (2..=BOLD).contains(&parts);
        let alone = bold
            && (0..parts).rev().any(|part| {
                let candidate = kept(self, &|at| bounds(part).contains(&at));
                self.accept_at_some_time(candidate)
            });
        alone
            || (0..parts).rev().any(|part| {
                let candidate = kept(self, &|at| !bounds(part).contains(&at));
                if bold { self.accept_at_some_time(candidate) } else { self.accept(candidate) }
            })
    }

    /// A fault that has to hit an instant may miss it when others go: also tries a few times close
    /// by.
    fn accept_at_some_time(&mut self, candidate: Scenario) -> bool {
        steps::at_times_close_by(candidate).into_iter().any(|candidate| self.accept(candidate))
    }
}
