//! Feeds every invariant, and collects the violations.

use super::ghost::{Change, Ghost};
use super::outages::Outages;
use super::{Ending, Event, Invariant, Note, Setup, Touched, Verdicts, Violation, invariants};
use crate::base::Instant;
use crate::sim::Observation;

/// Judges one run.
pub struct Judge {
    ghost: Ghost,
    /// Those that have not broken yet.
    invariants: Vec<Box<dyn Invariant>>,
    outages: Outages,
    verdicts: Verdicts,
    changes: Vec<Change>,
    healed: Option<Instant>,
    reading: Option<Instant>,
}

impl Judge {
    /// A judge of a run that has not begun.
    pub fn new(setup: Setup) -> Self {
        let invariants = invariants::of(&setup);
        Self::with(setup, invariants)
    }

    /// A judge with only these invariants.
    pub(super) fn with(setup: Setup, invariants: Vec<Box<dyn Invariant>>) -> Self {
        let judged = invariants.iter().map(|invariant| invariant.name()).collect();
        Self {
            ghost: Ghost::new(setup),
            invariants,
            outages: Outages::default(),
            verdicts: Verdicts { judged, ..Verdicts::default() },
            changes: Vec::new(),
            healed: None,
            reading: None,
        }
    }

    /// Takes the next observation in without judging it: only the view follows.
    pub fn fold(&mut self, seen: &Observation) {
        self.ghost.fold(seen);
    }

    /// Takes the next observation in, and judges it.
    pub fn observe(&mut self, seen: &Observation) {
        self.changes.clear();
        self.ghost.observe(seen, &mut self.changes);
        let (ghost, found) = (&self.ghost, &mut self.verdicts.violations);
        let event = Event { seen, folded: ghost.view().changes(), changes: &self.changes };
        self.invariants.retain_mut(|invariant| keep(found, invariant.observe(&event, ghost)));
        self.outages.observe(&event, ghost);
        self.ghost.forget_what_is_lost(seen.at, &self.changes);
    }

    /// From now on, faults touch these hosts and links.
    pub fn touched(&mut self, at: Instant, touched: Touched) {
        if self.ghost.touched(at, touched) {
            self.outages.touched(at, &self.ghost);
        }
    }

    /// The last fault ended: from now on liveness is owed.
    pub fn healed(&mut self, at: Instant) {
        self.healed = Some(at);
        self.ghost.healed(at);
    }

    /// The final reads begin. Without this call their time counts from the heal.
    pub fn reading(&mut self, at: Instant) {
        self.reading = Some(at);
        self.ghost.reading(at);
    }

    /// Why the cluster has not converged yet; `None` when every partition has its leader, a full
    /// ISR and equal logs, and every group its members in one generation and nothing left to read.
    pub fn unsettled(&self, now: Instant) -> Option<String> {
        let partition = self.ghost.unsettled(false);
        let partition = partition.map(|(partition, why)| format!("{partition} {why}"));
        let unstable = partition.or_else(|| {
            let unstable = self.ghost.unstable()?;
            Some(format!("group {}: {unstable}", unstable.group()))
        });
        unstable.or_else(|| {
            let lagging = self.ghost.lagging(now)?;
            Some(format!("group {}: {lagging}", lagging.group))
        })
    }

    /// Whether transactions are open or not complete that may yet be judged: their time is not over.
    pub fn awaits_transactions(&self, now: Instant) -> bool {
        let ending = Ending { now, healed: self.healed, reading: self.reading };
        let mut notes = self.invariants.iter().filter_map(|one| one.unjudged(ending, &self.ghost));
        let awaited = invariants::OF_OPEN_TRANSACTIONS;
        notes.any(
            |note| matches!(note, Note::EndedEarly { invariant } if awaited.contains(&invariant)),
        )
    }

    /// The first violation so far.
    pub fn broken(&self) -> Option<&Violation> {
        self.verdicts.violations.first()
    }

    /// The ghost, for pictures and reports.
    pub fn ghost(&self) -> &Ghost {
        &self.ghost
    }

    /// The run could not go on after `now`: what broke before, and nothing about what was still to
    /// come.
    pub fn cut_short(mut self, now: Instant) -> Verdicts {
        self.verdicts.notes = self.ghost.take_notes();
        self.verdicts.outages = self.outages.finish(now);
        self.verdicts
    }

    /// The run is over.
    pub fn finish(mut self, now: Instant) -> Verdicts {
        let ending = Ending { now, healed: self.healed, reading: self.reading };
        let (ghost, found) = (&self.ghost, &mut self.verdicts.violations);
        self.invariants.retain_mut(|invariant| keep(found, invariant.finish(ending, ghost)));
        let unseen = invariants::unseen(ending, &self.ghost).count();
        self.verdicts.lost = u64::try_from(unseen).unwrap_or(u64::MAX);
        let amiss = self.ghost.clients().read_amiss(self.ghost.transactions());
        self.verdicts.doubled = u64::try_from(amiss.0).unwrap_or(u64::MAX);
        self.verdicts.uncommitted = u64::try_from(amiss.1).unwrap_or(u64::MAX);
        self.verdicts.outages = self.outages.finish(now);
        self.verdicts.notes = self.ghost.take_notes();
        let unjudged = self.invariants.iter().filter_map(|i| i.unjudged(ending, &self.ghost));
        self.verdicts.notes.extend(unjudged);
        let remarks = self.invariants.iter().filter_map(|i| i.remark(ending, &self.ghost));
        self.verdicts.notes.extend(remarks);
        self.verdicts
    }
}

/// An invariant that broke once is not asked again: later violations are often the same.
fn keep(found: &mut Vec<Violation>, verdict: Result<(), Violation>) -> bool {
    match verdict {
        Ok(()) => true,
        Err(violation) => {
            found.push(violation);
            false
        }
    }
}
