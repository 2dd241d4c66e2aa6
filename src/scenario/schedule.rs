//! The schedule: every fault of a run, spelled out before the run begins.
//!
//! A seed and a scenario's rules give a list that can be saved, edited, shrunk and replayed without
//! the generator. Roles stay roles: who the leader is at 12.4 s is known only then.

use std::time::Duration;

use rand::RngExt;
use rand_chacha::ChaCha12Rng;

use super::fault::{Fault, Nature};
use super::load::{Load, Side};
use super::{Moment, Notation, Range, Rule, Scenario};
use crate::base::{Seed, Stream};

/// Most faults of one rule, whatever it says.
pub(super) const MAX_STRIKES: u64 = 10_000;

/// Everything that is drawn before a run: loads and faults.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Clients of each load of the scenario, in its order.
    pub clients: Vec<u64>,
    /// In the order in which they are due.
    pub faults: Vec<Fault>,
    /// Rules that strike too late for the run: which, and when.
    pub late: Vec<String>,
}

impl Plan {
    /// Draws what a seed gives for a scenario. A schedule that is spelled out stays as it is.
    pub fn draw(scenario: &Scenario, seed: Seed) -> Self {
        let clients = scenario.loads.iter().zip(0..).map(|(load, index)| {
            load.clients.draw(&mut seed.stream(Stream::numbered("load", index)))
        });
        let clients = clients.collect();
        if let Some(faults) = &scenario.schedule {
            return Self { clients, faults: faults.clone(), late: Vec::new() };
        }
        let (mut faults, mut late) = (Vec::new(), Vec::new());
        for (rule, index) in scenario.rules.iter().zip(0..) {
            let mut random = seed.stream(Stream::numbered("fault", index));
            late.extend(expand(rule, scenario, &mut random, &mut faults));
        }
        // A burst that begins before the end may last longer.
        faults.retain(|fault| fault.at < scenario.duration);
        // Stable: what is due at one moment strikes in the order of the file.
        faults.sort_by_key(|fault| fault.at);
        Self { clients, faults, late }
    }

    /// How many producers there are.
    pub fn producers(&self, scenario: &Scenario) -> u64 {
        let produces = |load: &Load| load.work.side() == Side::Produces;
        let loads = scenario.loads.iter().zip(&self.clients);
        loads.filter(|(load, _)| produces(load)).map(|(_, clients)| clients).sum()
    }
}

/// The faults of a rule that a test orders during a run. The first one is due at once.
pub(crate) fn draw_now(rule: &Rule, scenario: &Scenario, random: &mut ChaCha12Rng) -> Vec<Fault> {
    let mut faults = Vec::new();
    strike(rule, scenario, Duration::ZERO, random, &mut faults);
    faults.sort_by_key(|fault| fault.at);
    faults
}

/// Draws the faults of a rule; gives it back in words if one of its strikes is due too late.
fn expand(
    rule: &Rule,
    scenario: &Scenario,
    random: &mut ChaCha12Rng,
    faults: &mut Vec<Fault>,
) -> Option<String> {
    let whole = Range { low: Duration::ZERO, high: scenario.duration };
    let repeats = rule.every.is_some();
    let most = match rule.count {
        Some(count) => count.draw(random),
        None if repeats => MAX_STRIKES,
        None => 1,
    };
    let first = rule.at.or(rule.every).unwrap_or(whole);
    let mut at = first.draw(random);
    let (before, mut late) = (faults.len(), None);
    for _ in 0..most.min(MAX_STRIKES) {
        if at >= scenario.duration {
            if faults.len() == before || !repeats {
                late.get_or_insert_with(|| too_late(&rule.action.title(), at, scenario.duration));
            }
            if repeats {
                break;
            }
        } else {
            strike(rule, scenario, at, random, faults);
        }
        at = match rule.every {
            Some(every) => at.saturating_add(every.draw(random)),
            None => first.draw(random),
        };
    }
    late
}

/// Says that a fault is due after the end.
pub(crate) fn too_late(title: &str, at: Duration, end: Duration) -> String {
    format!("{title}: due at {}, and the load ends at {}", at.show(), end.show())
}

/// Always the same draws in the same order, whatever the rule leaves to them.
fn strike(
    rule: &Rule,
    scenario: &Scenario,
    at: Duration,
    random: &mut ChaCha12Rng,
    faults: &mut Vec<Fault>,
) {
    let topic = rule.topic.clone();
    let partitions = u64::try_from(scenario.topic(topic.as_deref()).partitions).unwrap_or(1);
    let any = Range { low: 0, high: partitions.saturating_sub(1) };
    let partition = rule.partition.unwrap_or(any).draw(random);
    let partition = i32::try_from(partition).unwrap_or(0);
    let down = rule.down.map(|down| down.draw(random));
    // Small, so that a saved schedule stays readable; many times as many as there are hosts.
    let pick = random.random_range(0..1000);
    let action = rule.action.drawn(random);
    let delay = rule.moment.map(|(event, delay)| Moment { event, delay: delay.draw(random) });
    let settled = rule.settled;
    let fault = Fault { at, action, topic, partition, down, settled, moment: delay, pick };
    match rule.action.nature() {
        Nature::Strike(_) => faults.push(fault),
        Nature::Series(series) => {
            faults.extend(series.expand(&fault, &scenario.cluster, random));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::fault::Reach;

    fn scenario(faults: &str) -> Scenario {
        let text = format!(
            "name = \"x\"\nduration = \"60s\"\n[topic]\npartitions = 3\n{faults}\n\
             [expect]\nholds = [\"*\"]\n"
        );
        Scenario::parse("x.toml", &text).unwrap()
    }

    const KILL: &str =
        "[[fault]]\nkind = \"kill\"\ntarget = \"leader\"\nevery = \"5s..15s\"\ndown = \"1s..8s\"\n";

    #[test]
    fn seed_determines_the_schedule() {
        let scenario = scenario(KILL);
        assert_eq!(Plan::draw(&scenario, Seed(1)), Plan::draw(&scenario, Seed(1)));
        assert_ne!(Plan::draw(&scenario, Seed(1)), Plan::draw(&scenario, Seed(2)));
    }

    #[test]
    fn added_rule_does_not_shift_the_others() {
        let one = Plan::draw(&scenario(KILL), Seed(1)).faults;
        let pause = "[[fault]]\nkind = \"pause\"\ntarget = \"any\"\nevery = \"2s\"\n";
        let both = Plan::draw(&scenario(&format!("{KILL}{pause}")), Seed(1)).faults;
        let kills: Vec<_> = both.into_iter().filter(|f| f.action.kind() == "kill").collect();
        assert_eq!(kills, one);
    }

    #[test]
    fn faults_are_sorted_and_within_their_ranges() {
        for seed in 0..50 {
            let faults = Plan::draw(&scenario(KILL), Seed(seed)).faults;
            assert!((3..=12).contains(&faults.len()), "{}", faults.len());
            let mut before = Duration::ZERO;
            for fault in faults {
                assert!(fault.at - before >= Duration::from_secs(5));
                assert!(fault.at < Duration::from_secs(60));
                let down = fault.down.unwrap();
                assert!(down >= Duration::from_secs(1) && down <= Duration::from_secs(8));
                before = fault.at;
            }
        }
    }

    #[test]
    fn count_limits_strikes_and_each_draws_its_own_time() {
        let rule = "[[fault]]\nkind = \"kill\"\ntarget = \"any\"\ncount = 3\nat = \"10s..20s\"\n";
        let faults = Plan::draw(&scenario(rule), Seed(3)).faults;
        assert_eq!(faults.len(), 3);
        assert!(faults[0].at < faults[1].at && faults[1].at < faults[2].at);
        let once = rule.replace("count = 3\n", "");
        assert_eq!(Plan::draw(&scenario(&once), Seed(3)).faults.len(), 1);
    }

    #[test]
    fn rolling_restart_names_each_broker_in_turn() {
        let rule = "[[fault]]\nkind = \"rolling-restart\"\nat = \"10s\"\n";
        let faults = Plan::draw(&scenario(rule), Seed(3)).faults;
        let targets: Vec<_> = faults
            .iter()
            .map(|fault| match fault.action.as_strike().unwrap().may_cost().reach {
                Reach::Hosts(target) => target.to_string(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(targets, ["b1", "b2", "b3"]);
        assert!(
            faults.iter().all(|fault| fault.settled && fault.down == Some(Duration::from_secs(1)))
        );
    }

    #[test]
    fn restart_storm_kills_again_a_gap_after_each_boot() {
        let rule = "[[fault]]\nkind = \"restart-storm\"\ntarget = \"leader\"\nat = \"10s\"\n\
                    times = \"3..5\"\ngap = \"100ms..200ms\"\ndown = \"1s\"\n";
        let mut counts = std::collections::BTreeSet::new();
        for seed in 0..20 {
            let faults = Plan::draw(&scenario(rule), Seed(seed)).faults;
            counts.insert(faults.len());
            assert!(faults.iter().all(|fault| fault.action.kind() == "kill"));
            for pair in faults.windows(2) {
                let gap = (pair[1].at - pair[0].at).saturating_sub(pair[0].down.unwrap());
                assert!((100..=200).contains(&gap.as_millis()), "{gap:?}");
                assert_eq!(pair[0].pick, pair[1].pick, "the same host");
            }
        }
        assert_eq!(counts.into_iter().collect::<Vec<_>>(), [3, 4, 5]);
    }

    #[test]
    fn burst_is_cut_at_the_end_of_the_scenario() {
        let rule = "[[fault]]\nkind = \"flapping\"\nfrom = \"b1\"\nto = \"b2\"\nat = \"58s\"\n\
                    times = 50\ngap = \"1s\"\ndown = \"500ms\"\n";
        let faults = Plan::draw(&scenario(rule), Seed(1)).faults;
        let times: Vec<_> = faults.iter().map(|fault| fault.at.as_millis()).collect();
        assert_eq!(times, [58_000, 59_500]);
    }

    #[test]
    fn swizzle_clog_cuts_and_reconnects_in_different_orders() {
        let rule =
            "[[fault]]\nkind = \"swizzle-clog\"\nat = \"10s\"\ngap = \"1s\"\ndown = \"2s\"\n";
        let (mut sizes, mut reordered) = (std::collections::BTreeSet::new(), false);
        for seed in 0..40 {
            let faults = Plan::draw(&scenario(rule), Seed(seed)).faults;
            sizes.insert(faults.len());
            let ends: Vec<_> = faults.iter().map(|fault| fault.at + fault.down.unwrap()).collect();
            let last = faults.last().unwrap().at;
            assert!(ends.iter().all(|end| *end > last + Duration::from_secs(1)), "{faults:?}");
            reordered |= !ends.is_sorted();
            let targets: std::collections::BTreeSet<_> = faults
                .iter()
                .map(|fault| match fault.action.as_strike().unwrap().may_cost().reach {
                    Reach::Links(from, _) => from.to_string(),
                    other => panic!("{other:?}"),
                })
                .collect();
            assert_eq!(targets.len(), faults.len(), "each node once");
        }
        assert_eq!(sizes.into_iter().collect::<Vec<_>>(), [2, 3, 4]);
        assert!(reordered);
    }
}
