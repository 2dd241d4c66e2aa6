//! Mutates a schedule that reached something new: adds, drops, moves, repeats and alters faults.

use std::time::Duration;

use super::draw::{name, under_contract};
use super::{faults, possible};
use crate::base::{Seed, Stream};
use crate::scenario::fault::{Kill, Partition, Pause, PowerLoss, Restart, Strike, Turned};
use crate::scenario::seeds::MAX_SEED;
use crate::scenario::{Action, Draws, Event, Fault, Moment, Plan, Role, Roles, Scenario};
use crate::sim::Survival;

/// Maximum number of changes per mutation.
const MOST: u64 = 4;
/// Maximum number of faults of a mutated schedule, so that runs stay short.
const MOST_FAULTS: usize = 40;
/// Maximum shift of a fault, in milliseconds.
const FAR: u64 = 4000;

/// The mutation of `parent` for a run number; faults may be taken from `beside`. It has its own
/// name, a new contract, and a complete file. `None` if the result is invalid or equal to the
/// parent.
pub fn mutate(parent: &Scenario, beside: &Scenario, number: u64) -> Option<Scenario> {
    let seed = Seed(number);
    let mut draws = Draws::of(seed, Stream::named("swarm mutation"));
    let mut child = parent.clone();
    let mut faults = parent.schedule.clone().unwrap_or_default();
    for index in 0..draws.number(1, MOST) {
        change(&mut faults, &child, beside, (seed, index), &mut draws);
    }
    faults.retain(|fault| fault.at < child.duration);
    faults.truncate(MOST_FAULTS);
    possible::only(&child, &mut faults);
    // Either the schedule changes and the seed stays, or both change.
    if draws.chance(40) {
        child.seed = Some(number.min(MAX_SEED));
    }
    if Some(&faults) == parent.schedule.as_ref() && child.seed == parent.seed {
        return None;
    }
    child.schedule = Some(faults);
    child.story = format!("Mutated by the swarm, as its number {number}, from {}.", parent.name);
    child.name = name(number);
    child.file =
        parent.file.replace(&format!("{}.toml", parent.name), &format!("{}.toml", child.name));
    let child = under_contract(child);
    // Faults of another scenario may name hosts that do not exist here.
    let read = Scenario::parse(&child.file, &child.to_toml(&Plan::draw(&child, seed))).ok()?;
    let schedule = Some(read.schedule.unwrap_or_default());
    Some(Scenario { schedule, ..read })
}

fn change(
    faults: &mut Vec<Fault>,
    scenario: &Scenario,
    beside: &Scenario,
    (seed, index): (Seed, u64),
    draws: &mut Draws,
) {
    let millis = u64::try_from(scenario.duration.as_millis()).unwrap_or(u64::MAX);
    let kind = draws.number(0, 9);
    let at = Duration::from_millis(draws.number(0, millis.saturating_sub(1)));
    let chosen = pick(faults, draws);
    match (kind, chosen) {
        // The faults of one new rule.
        (0, _) | (_, None) => {
            let part = seed.split(Stream::numbered("swarm added", index));
            faults.extend(faults::more(scenario, part).unwrap_or_default());
        }
        // A fault of another useful scenario.
        (1 | 2, _) => {
            let theirs = beside.schedule.as_deref().unwrap_or_default();
            if let Some(at) = pick(theirs, draws) {
                let topic = theirs[at]
                    .topic
                    .clone()
                    .filter(|name| scenario.topics.iter().skip(1).any(|topic| topic.name == *name));
                let last = scenario.topic(topic.as_deref()).partitions - 1;
                let partition = theirs[at].partition.min(last);
                let mut fault = Fault { topic, partition, ..theirs[at].clone() };
                fault.action.move_to(&scenario.cluster.log_dirs());
                faults.push(fault);
            }
        }
        (3, Some(chosen)) => {
            faults.remove(chosen);
        }
        (4, Some(chosen)) => faults.push(Fault { at, ..faults[chosen].clone() }),
        (5, Some(chosen)) => {
            let by = Duration::from_millis(draws.number(0, FAR));
            let fault = &mut faults[chosen];
            let later = draws.chance(50);
            fault.at = if later { fault.at + by } else { fault.at.saturating_sub(by) };
        }
        // Two strike at once, or nearly so.
        (6, Some(chosen)) => {
            if let Some(other) = pick(faults, draws) {
                let near = Duration::from_millis(draws.number(0, 300));
                faults[chosen].at = faults[other].at + near;
            }
        }
        (_, Some(chosen)) => alter(&mut faults[chosen], scenario, draws),
    }
}

fn pick(faults: &[Fault], draws: &mut Draws) -> Option<usize> {
    let last = faults.len().checked_sub(1)?;
    usize::try_from(draws.number(0, last as u64)).ok()
}

/// Changes one value of a fault.
fn alter(fault: &mut Fault, scenario: &Scenario, draws: &mut Draws) {
    match draws.number(0, 6) {
        0 => fault.down = Some(Duration::from_millis(draws.number(20, 8000))),
        1 => fault.pick = draws.number(0, 999),
        2 => {
            let topic = scenario.topic(fault.topic.as_deref());
            let last = u64::try_from(topic.partitions - 1).unwrap_or(0);
            fault.partition = i32::try_from(draws.number(0, last)).unwrap_or(0);
        }
        3 => {
            fault.settled = !fault.settled;
            fault.moment = None;
        }
        4 => {
            let mut events = vec![
                Event::LeaderElected,
                Event::IsrShrunk,
                Event::IsrGrown,
                Event::Ack,
                Event::Recovery,
            ];
            events.extend(scenario.transacts().then_some(Event::Commit));
            let (event, delay) = (draws.one(&events), draws.one(&[0, 5, 50, 500]));
            let delay = Duration::from_millis(delay);
            fault.moment = draws.chance(70).then_some(Moment { event, delay });
            fault.settled = false;
        }
        5 => retarget(&mut fault.action, scenario.transacts(), draws),
        _ => transform(&mut fault.action, draws),
    }
}

/// Changes the target.
fn retarget(action: &mut Action, transacts: bool, draws: &mut Draws) {
    let role = draws.weighted(&[
        (if transacts { 4 } else { 0 }, "transaction-coordinator"),
        (4, "leader"),
        (2, "follower"),
        (2, "isr-follower"),
        (1, "out-of-sync"),
        (1, "recovering"),
        (1, "controller"),
    ]);
    let roles = Roles::one(Role::read(role).unwrap_or(Role::Leader));
    action.retarget(roles);
}

/// Changes the kind of fault for the same hosts.
fn transform(action: &mut Action, draws: &mut Draws) {
    let Some(turned) = action.as_strike().map(Strike::turned) else { return };
    let target = match turned {
        Turned::Stays => return,
        Turned::Into(other) => {
            *action = other;
            return;
        }
        Turned::Another(target) => target,
    };
    let survival = if draws.chance(50) { Survival::Nothing } else { Survival::Drawn };
    *action = match draws.number(0, 4) {
        0 => Kill { target }.into(),
        1 => PowerLoss { target, survival, operation: None, stagger: None }.into(),
        2 => Pause { target }.into(),
        3 => Restart { target }.into(),
        _ => {
            let everyone = Roles::one(Role::Everyone);
            Partition::between(target, everyone, draws.chance(30)).into()
        }
    };
}
