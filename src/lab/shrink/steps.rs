//! The steps by which a scenario becomes smaller. Each only lowers something, so that a search
//! ends; the boldest come first, so that it ends soon.

use std::time::Duration;

use crate::base::Seed;
use crate::scenario::fault::Strike;
use crate::scenario::load::{Share, Smaller};
use crate::scenario::smaller::{MILLISECOND, SECOND, TENTH, earlier, floor, lower};
use crate::scenario::{Fault, Load, Moment, Plan, Range, Scenario, ScenarioError};

/// One kind of step: every way in which it can be taken.
pub(super) type Step = fn(&Scenario) -> Vec<Scenario>;

/// All but the removal of faults, in the order in which they are tried.
pub(super) const STEPS: &[Step] = &[
    fewer_loads,
    fewer_topics,
    fewer_clients,
    later_loads,
    fewer_records,
    lower_rates,
    fewer_partitions,
    fewer_brokers,
    equal_records,
    plainer_faults,
    closer_faults,
    briefer_faults,
    rounder_times,
    shorter,
];

/// Milliseconds by which faults strike earlier in candidates that are retimed, one after the other:
/// some tens of chances to hit what lasts a millisecond or so.
const RETIMINGS: u64 = 40;
/// Other times at which a bold candidate is tried.
const CLOSE_BY: u64 = 4;
/// Candidates that are retimed; each costs up to `RETIMINGS` runs.
const RETIMED: usize = 2;

/// The scenario as its file will say it.
pub(super) fn text(scenario: &Scenario) -> String {
    let seed = Seed(scenario.seed.unwrap_or(0));
    scenario.to_toml(&Plan::draw(scenario, seed))
}

/// The scenario as it is read from that file.
pub(super) fn as_written(scenario: &Scenario) -> Result<Scenario, ScenarioError> {
    let read = Scenario::parse(&scenario.file, &text(scenario))?;
    // A file that spells out no fault at all has no schedule to read.
    let schedule = Some(read.schedule.unwrap_or_default());
    let read = Scenario { schedule, story: scenario.story.clone(), ..read };
    // No file says that a fix is switched off.
    Ok(read.with_flaws(scenario.flaws()))
}

fn faults(scenario: &Scenario) -> &[Fault] {
    scenario.schedule.as_deref().unwrap_or_default()
}

fn with(scenario: &Scenario, change: impl FnOnce(&mut Scenario)) -> Scenario {
    let mut changed = scenario.clone();
    change(&mut changed);
    changed
}

/// Each fault changed in each of several ways.
fn each_fault(scenario: &Scenario, ways: impl Fn(&Fault) -> Vec<Fault>) -> Vec<Scenario> {
    let mut found = Vec::new();
    for (index, fault) in faults(scenario).iter().enumerate() {
        for changed in ways(fault) {
            let mut faults = faults(scenario).to_vec();
            faults[index] = changed;
            faults.sort_by_key(|fault| fault.at);
            found.push(Scenario { schedule: Some(faults), ..scenario.clone() });
        }
    }
    found
}

/// Load and faults end at a time; faults that would come later go.
pub(super) fn ended(scenario: &Scenario, duration: Duration) -> Scenario {
    with(scenario, |scenario| {
        scenario.duration = duration;
        scenario.schedule.iter_mut().for_each(|faults| faults.retain(|f| f.at < duration));
    })
}

/// The run ends sooner; faults that would come later go.
pub(super) fn shorter(scenario: &Scenario) -> Vec<Scenario> {
    let durations = earlier(scenario.duration, SECOND, SECOND).into_iter();
    durations.map(|duration| ended(scenario, duration)).collect()
}

fn fewer_loads(scenario: &Scenario) -> Vec<Scenario> {
    let without = |index| {
        with(scenario, |scenario| {
            scenario.loads.remove(index);
        })
    };
    (0..scenario.loads.len()).rev().map(without).collect()
}

fn fewer_clients(scenario: &Scenario) -> Vec<Scenario> {
    let mut found = Vec::new();
    for (index, load) in scenario.loads.iter().enumerate() {
        for clients in lower(load.clients.high, 1) {
            found.push(with(scenario, |scenario| {
                scenario.loads[index].clients = Range::just(clients);
            }));
        }
    }
    found
}

/// Each load made smaller in one way.
fn smaller_loads(scenario: &Scenario, way: Smaller) -> Vec<Scenario> {
    let mut found = Vec::new();
    for (index, load) in scenario.loads.iter().enumerate() {
        let share = Share { clients: load.clients.high, duration: scenario.duration };
        for work in load.work.smaller(way, share) {
            found.push(with(scenario, |scenario| scenario.loads[index].work = work));
        }
    }
    found
}

fn fewer_records(scenario: &Scenario) -> Vec<Scenario> {
    smaller_loads(scenario, Smaller::FewerRecords)
}

fn later_loads(scenario: &Scenario) -> Vec<Scenario> {
    smaller_loads(scenario, Smaller::Later)
}

fn lower_rates(scenario: &Scenario) -> Vec<Scenario> {
    also_retimed(smaller_loads(scenario, Smaller::LowerRate))
}

fn equal_records(scenario: &Scenario) -> Vec<Scenario> {
    smaller_loads(scenario, Smaller::EqualRecords)
}

/// A fault that has to hit an instant misses it when anything else changes: of the boldest
/// candidates, also those in which everything strikes a little earlier.
fn also_retimed(candidates: Vec<Scenario>) -> Vec<Scenario> {
    let mut found = Vec::new();
    for (index, candidate) in candidates.into_iter().enumerate() {
        let most = if index < RETIMED { RETIMINGS } else { 0 };
        let retimed: Vec<_> = (1..=most).filter_map(|ms| sooner(&candidate, ms)).collect();
        found.push(candidate);
        found.extend(retimed);
    }
    found
}

/// The same with each fault `ms` milliseconds sooner, if the first is not too early for that.
fn sooner(scenario: &Scenario, ms: u64) -> Option<Scenario> {
    let by = Duration::from_millis(ms);
    let possible = faults(scenario).first().is_some_and(|first| first.at >= by);
    possible.then(|| {
        with(scenario, |scenario| {
            for fault in scenario.schedule.iter_mut().flatten() {
                fault.at = fault.at.saturating_sub(by);
            }
        })
    })
}

/// A scenario, and the same with its faults a little sooner.
pub(super) fn at_times_close_by(scenario: Scenario) -> Vec<Scenario> {
    let sooner: Vec<_> = (1..=CLOSE_BY).filter_map(|ms| sooner(&scenario, 7 * ms)).collect();
    std::iter::once(scenario).chain(sooner).collect()
}

/// Without one of several topics, and what is about it; faults are then about the first.
fn fewer_topics(scenario: &Scenario) -> Vec<Scenario> {
    let without = |index: usize| {
        with(scenario, |scenario| {
            let gone = scenario.topics.remove(index).name;
            let uses = |load: &Load| load.topic == gone || load.work.output() == Some(&*gone);
            scenario.loads.retain(|load| !uses(load));
            let first = scenario.topic(None).name.clone();
            for fault in scenario.schedule.iter_mut().flatten() {
                fault.topic.take_if(|topic| *topic == gone || *topic == first);
            }
            clamp_partitions(scenario);
        })
    };
    let several = scenario.topics.len() > 1;
    (0..scenario.topics.len()).rev().filter(|_| several).map(without).collect()
}

fn fewer_partitions(scenario: &Scenario) -> Vec<Scenario> {
    let mut found = Vec::new();
    for (index, topic) in scenario.topics.iter().enumerate() {
        let before = u64::try_from(topic.partitions).unwrap_or(1);
        found.extend(lower(before, 1).into_iter().map(|partitions| {
            with(scenario, |scenario| {
                scenario.topics[index].partitions = i32::try_from(partitions).unwrap_or(1);
                clamp_partitions(scenario);
            })
        }));
    }
    found
}

/// Faults about a partition that is gone are about the last one.
fn clamp_partitions(scenario: &mut Scenario) {
    let mut faults = scenario.schedule.take();
    for fault in faults.iter_mut().flatten() {
        let last = scenario.topic(fault.topic.as_deref()).partitions - 1;
        fault.partition = fault.partition.min(last);
    }
    scenario.schedule = faults;
}

/// Down to one broker for each copy: fewer copies would be another promise.
fn fewer_brokers(scenario: &Scenario) -> Vec<Scenario> {
    let copies = scenario.topics.iter().map(|topic| topic.replication_factor).max();
    let copies = u64::try_from(copies.unwrap_or(1)).unwrap_or(1).max(1);
    let fewer = lower(scenario.cluster.brokers.into(), copies).into_iter().map(|brokers| {
        with(scenario, |scenario| {
            scenario.cluster.brokers = u16::try_from(brokers).unwrap_or(1);
        })
    });
    fewer.collect()
}

/// Faults that say less: drawn values that turn out not to matter.
fn plainer_faults(scenario: &Scenario) -> Vec<Scenario> {
    each_fault(scenario, |fault| {
        let smaller = fault.action.as_strike().map(Strike::smaller).unwrap_or_default();
        let mut ways: Vec<Fault> =
            smaller.into_iter().map(|action| Fault { action, ..fault.clone() }).collect();
        if let Some(Moment { event, delay }) = fault.moment {
            for delay in earlier(delay, Duration::ZERO, MILLISECOND) {
                ways.push(Fault { moment: Some(Moment { event, delay }), ..fault.clone() });
            }
        }
        if fault.settled {
            ways.push(Fault { settled: false, ..fault.clone() });
        }
        if fault.pick > 0 {
            ways.push(Fault { pick: 0, ..fault.clone() });
        }
        if fault.topic.is_some() {
            let last = scenario.topic(None).partitions - 1;
            let partition = fault.partition.min(last);
            ways.push(Fault { topic: None, partition, ..fault.clone() });
        }
        if fault.partition > 0 {
            ways.push(Fault { partition: 0, ..fault.clone() });
        }
        ways
    })
}

/// The quiet before a fault becomes shorter: it, all that come after it, what loads send, and the
/// end move together.
fn closer_faults(scenario: &Scenario) -> Vec<Scenario> {
    let mut found = Vec::new();
    for (index, fault) in faults(scenario).iter().enumerate() {
        let before = index.checked_sub(1).and_then(|before| faults(scenario).get(before));
        let since = before.map_or(Duration::ZERO, |before| before.at);
        for at in earlier(fault.at, since, TENTH) {
            let by = fault.at.saturating_sub(at);
            found.push(with(scenario, |scenario| {
                let least = SECOND.min(scenario.duration);
                scenario.duration = scenario.duration.saturating_sub(by).max(least);
                for later in scenario.schedule.iter_mut().flatten().skip(index) {
                    later.at = later.at.saturating_sub(by);
                }
                scenario.loads.iter_mut().for_each(|load| load.work.hasten(by));
            }));
        }
    }
    also_retimed(found)
}

fn briefer_faults(scenario: &Scenario) -> Vec<Scenario> {
    each_fault(scenario, |fault| {
        let Some(before) = fault.down else { return Vec::new() };
        let downs = earlier(before, TENTH.min(before), TENTH).into_iter();
        downs.map(|down| Fault { down: Some(down), ..fault.clone() }).collect()
    })
}

/// Times on whole seconds, or at least on tenths.
fn rounder_times(scenario: &Scenario) -> Vec<Scenario> {
    let mut found = each_fault(scenario, |fault| {
        let units = [SECOND, TENTH].into_iter();
        let rounder = units.map(|unit| Fault { at: floor(fault.at, unit), ..fault.clone() });
        rounder.filter(|rounder| rounder.at < fault.at).collect()
    });
    found.extend([SECOND, TENTH].into_iter().filter_map(|unit| {
        let duration = floor(scenario.duration, unit);
        let rounds = duration < scenario.duration && !duration.is_zero();
        rounds.then(|| Scenario { duration, ..scenario.clone() })
    }));
    found
}
