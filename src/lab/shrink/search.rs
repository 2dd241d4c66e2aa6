//! The search for the smallest scenario that still has a property, whatever the property is.

use std::collections::BTreeSet;

use super::steps::{self, STEPS};
use crate::lab::Scenario;
use crate::lab::schedule::Fault;

/// Says whether a smaller scenario still has the property. Asked once for each text.
pub(super) type Shows<'a> = &'a mut dyn FnMut(&Scenario) -> bool;

/// Where a search stands.
pub(super) struct Search<'a> {
    /// The smallest so far that has the property.
    pub best: Scenario,
    /// Questions that may still be asked.
    left: usize,
    shows: Shows<'a>,
    /// Texts of what has been asked about: the property is a function of the text.
    asked: BTreeSet<String>,
}

impl<'a> Search<'a> {
    /// `whole` has its schedule spelled out, and has the property.
    pub fn new(whole: Scenario, budget: usize, shows: Shows<'a>) -> Self {
        Self { best: whole, left: budget, shows, asked: BTreeSet::new() }
    }

    /// Goes on until nothing more can go. False when the budget ended first.
    pub fn run(&mut self) -> bool {
        loop {
            let before = self.best.clone();
            // A shorter run is a cheaper question, so that comes before everything else.
            self.descend(steps::shorter);
            self.faults();
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
        let shows = (self.shows)(&candidate);
        if shows {
            self.best = candidate;
        }
        shows
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

    /// Tries the list without each of `parts` equal parts. The last part goes first: what comes
    /// late is most often not needed, and what it leaves is unchanged up to there.
    fn without_one_of(&mut self, faults: &[Fault], parts: usize) -> bool {
        let bounds = |part: usize| part * faults.len() / parts;
        (0..parts).rev().any(|part| {
            let (from, to) = (bounds(part), bounds(part + 1));
            let kept = faults.iter().enumerate().filter(|(at, _)| !(from..to).contains(at));
            let kept = kept.map(|(_, fault)| fault.clone()).collect();
            self.accept(Scenario { schedule: Some(kept), ..self.best.clone() })
        })
    }
}
