//! Why faults did not strike, in words.

use std::collections::BTreeSet;
use std::time::Duration;

use super::stage::View;
use super::{Faults, Pending};
use crate::scenario::Notation;
use crate::scenario::fault::{Fits, Reach, Scene, Strike};
use crate::scenario::schedule::too_late;

/// Why a fault found no host or link.
pub(super) fn missed(strike: &dyn Strike, view: &View<'_>) -> String {
    match strike.may_cost().reach {
        Reach::Hosts(target) if view.hosts(&target, Fits::All).is_empty() => {
            format!("no host was `{target}`")
        }
        Reach::Hosts(target) => format!("no host that was `{target}` could be struck then"),
        Reach::Links(from, _) if view.hosts(&from, Fits::All).is_empty() => {
            format!("no host was `{from}`")
        }
        Reach::Links(_, to) if view.hosts(&to, Fits::All).is_empty() => {
            format!("no host was `{to}`")
        }
        Reach::Links(..) => "both sides were the same hosts".into(),
    }
}

impl Faults {
    /// Each fault that did not strike in a load of this length, and why.
    pub fn unstruck(&self, load: Duration) -> BTreeSet<String> {
        let late = self.late.iter().cloned();
        late.chain(self.to_come.iter().map(|pending| pending.excuse(load))).collect()
    }

    /// Why the run shows nothing about faults though it should: none of its faults struck.
    pub fn idle(&self, load: Duration) -> Option<String> {
        // What the engine can't do is left out, and said so.
        if self.struck > 0 || self.unable_count > 0 || self.skipped() == 0 {
            return None;
        }
        let first = self.unstruck(load).into_iter().next().unwrap_or_default();
        let remedy = "change when or whom they strike, or leave them out";
        Some(format!("none of its {} faults struck: {first}; {remedy}", self.skipped()))
    }
}

impl Pending {
    fn excuse(&self, load: Duration) -> String {
        let Self { fault, strikes, why } = self;
        let title = fault.action.title();
        if fault.at >= load {
            return too_late(&title, fault.at, load);
        }
        let due = format!("{title}: due at {}", fault.at.show());
        match (why, fault.moment) {
            (Some(why), _) => format!("{due}, and {why}"),
            (None, Some(_)) if strikes.is_some() => {
                format!("{due}, and its delay ended after the load did")
            }
            (None, Some(moment)) => {
                let (key, word) = moment.event.words();
                format!("{due}, and what it waits for did not happen: `{key} = \"{word}\"`")
            }
            (None, None) if fault.settled => {
                format!("{due}, and the cluster was never settled after that")
            }
            (None, None) => format!("{due}, and the run ended before"),
        }
    }
}
