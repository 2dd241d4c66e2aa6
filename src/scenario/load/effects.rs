//! Options of loads that are to show in a run, and whether they did.
//!
//! An option without an effect makes a scenario test less than it says: a pause that was due after the
//! end, a member that keeps its partitions but is never asked for them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::Seats;

/// How a note ends its first half that names an option without an effect.
const HAD_NO_EFFECT: &str = "had no effect";

/// An option of a load that is to have an effect.
#[derive(Clone, Debug, Default)]
pub(super) struct Effect(Arc<AtomicBool>);

impl Effect {
    /// It had its effect.
    pub fn happened(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[derive(Debug)]
struct Expected {
    /// The option, and whose it is.
    what: String,
    effect: Effect,
    /// Why, if it had none.
    otherwise: String,
}

/// The options of all loads of a run.
#[derive(Debug, Default)]
pub(crate) struct Effects(Vec<Expected>);

impl Effects {
    /// One for each option that had no effect, with the reason.
    pub(crate) fn notes(&self) -> impl Iterator<Item = String> {
        let missing = self.0.iter().filter(|expected| !expected.effect.0.load(Ordering::Relaxed));
        missing
            .map(|Expected { what, otherwise, .. }| format!("{what} {HAD_NO_EFFECT}: {otherwise}"))
    }
}

impl Seats<'_> {
    /// Expects an option of this load to show in what at least one of its clients does.
    pub(super) fn expects(
        &self,
        letter: char,
        option: &str,
        otherwise: impl Into<String>,
    ) -> Effect {
        let effect = Effect::default();
        let clients = match self.clients {
            1 => format!("{letter}{}", self.first),
            more => format!("{letter}{} to {letter}{}", self.first, self.first + more - 1),
        };
        self.signals.lock().effects.0.push(Expected {
            what: format!("`{option}` of {clients}"),
            effect: effect.clone(),
            otherwise: otherwise.into(),
        });
        effect
    }
}
