//! Leaves of a schedule what can strike: a fault that no host ever fits, or that is due when there is
//! no time left for it, tests nothing.
//!
//! What remains may still find no host when it is due: who leads, and who is in sync, is known only
//! then.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::scenario::fault::{Reach, Strike};
use crate::scenario::{Event, Fault, Role, Roles, Scenario};

/// From the end of a fault until all replicas are in sync again, beyond the session of a broker.
const RECOVERY: Duration = Duration::from_millis(800);
/// A fault strikes at least this long before the end.
const LEAST: Duration = Duration::from_millis(300);

/// Removes faults that can't strike, and delays those that would wait for earlier ones.
pub(super) fn only(scenario: &Scenario, faults: &mut Vec<Fault>) {
    faults.retain(|fault| {
        fault.action.as_strike().is_some_and(|strike| has_hosts(scenario, fault, strike))
    });
    without_vain_moments(scenario, faults);
    faults.sort_by_key(|fault| fault.at);
    one_after_another(scenario, faults);
    let end = scenario.duration.saturating_sub(LEAST);
    faults.retain(|fault| fault.at < end);
    faults.sort_by_key(|fault| fault.at);
}

/// Whether any host may have the roles of a fault.
fn has_hosts(scenario: &Scenario, fault: &Fault, strike: &dyn Strike) -> bool {
    let followed = scenario.topic(fault.topic.as_deref()).replication_factor > 1;
    let exists = |role: &Role| match role {
        Role::Follower | Role::Followers | Role::IsrFollower | Role::OutOfSync => followed,
        _ => true,
    };
    let any = |roles: &Roles| roles.0.iter().any(exists);
    // A side that has no host of its own is not cut off from anything.
    let same = |from: &Roles, to: &Roles| to.0.iter().all(|role| from.0.contains(role));
    match strike.may_cost().reach {
        Reach::Hosts(target) => any(&target),
        Reach::Links(from, to) => any(&from) && any(&to) && !same(&from, &to),
    }
}

/// A fault strikes when it is due if nothing leads to what it waits for.
fn without_vain_moments(scenario: &Scenario, faults: &mut [Fault]) {
    let moves = |fault: &Fault| {
        fault.moment.is_none()
            && fault.action.as_strike().is_some_and(|s| s.may_cost().moves_leaders)
    };
    let ends = |fault: &Fault| {
        fault.moment.is_none() && fault.action.as_strike().is_some_and(Strike::holds_down)
    };
    let (moves, ends) = (faults.iter().any(moves), faults.iter().any(ends));
    for fault in faults {
        let followed = scenario.topic(fault.topic.as_deref()).replication_factor > 1;
        let comes = fault.moment.is_none_or(|moment| match moment.event {
            Event::Ack => true,
            Event::Rebalance | Event::Joining | Event::Syncing => scenario.coordinator().is_some(),
            Event::Commit => scenario.transaction_coordinator().is_some(),
            Event::Recovery => ends,
            Event::LeaderElected => moves,
            Event::IsrShrunk | Event::IsrGrown => moves && followed,
        });
        if !comes {
            fault.moment = None;
        }
    }
}

/// Delays faults that would wait: those that wait until all is settled, and those that would find
/// their hosts down because of an earlier fault of the same roles.
fn one_after_another(scenario: &Scenario, faults: &mut [Fault]) {
    let session = scenario.cluster.config.node.broker_session_timeout;
    let mut settled = Duration::ZERO;
    let mut up: BTreeMap<String, Duration> = BTreeMap::new();
    for fault in faults {
        let Some(strike) = fault.action.as_strike() else { continue };
        let down = fault.down.unwrap_or(scenario.duration);
        if fault.settled {
            fault.at = fault.at.max(settled);
            settled = fault.at.saturating_add(down.max(session)).saturating_add(RECOVERY);
        } else if let (true, Reach::Hosts(target)) = (strike.holds_down(), strike.may_cost().reach)
        {
            // Another broker has the role of one that is gone once its session is over.
            let stays = |role: &Role| matches!(role, Role::Host(..) | Role::All | Role::Controller);
            let gone = if target.0.iter().any(stays) { down } else { down.min(session) };
            let free = up.entry(target.to_string()).or_default();
            fault.at = fault.at.max(*free);
            *free = fault.at.saturating_add(gone);
        }
    }
}
