//! What the judge of a run needs to know before it begins.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::WITHIN;
use super::roles::{Hosts, Kind};
use crate::base::config::{Config, TopicConfig};
use crate::base::topics;
use crate::check::{Setup, TopicPromise};
use crate::scenario::{Scenario, Topic};

/// Whether any producer of the scenario is idempotent.
fn idempotence(scenario: &Scenario) -> bool {
    scenario.loads.iter().any(|load| load.work.promise().idempotence)
}

/// How long a fault next to a partition may keep its writes waiting: until a dead broker's session
/// ends, a dead follower leaves the ISR, and a request to a dead broker times out, one after the other.
fn progress(scenario: &Scenario) -> Duration {
    let node = &scenario.cluster.config.node;
    let patience = scenario.loads.iter().filter_map(|load| load.work.promise().patience).max();
    let patience = patience.unwrap_or(Duration::from_secs(30));
    node.replica_lag_time_max + node.broker_session_timeout + patience + Duration::from_secs(10)
}

/// Whether a fault has leaders of a topic elected uncleanly, whatever the topic permits.
fn asks_for_unclean(scenario: &Scenario, topic: &Topic) -> bool {
    let rules = scenario.rules.iter().map(|rule| (&rule.action, &rule.topic));
    let scheduled = scenario.schedule.iter().flatten().map(|fault| (&fault.action, &fault.topic));
    rules.chain(scheduled).any(|(action, name)| {
        action.as_strike().is_some_and(|strike| strike.may_cost().elects_uncleanly)
            && name.as_ref().is_none_or(|name| *name == topic.name)
    })
}

/// The judge's configuration. `programs`: whether programs take part, which may do anything.
pub(super) fn setup(scenario: &Scenario, programs: bool, hosts: &Hosts) -> Setup {
    let brokers = hosts.all.iter().filter_map(|host| match host.kind {
        Kind::Broker(id) => Some((host.id, id)),
        _ => None,
    });
    let defaults = &scenario.cluster.config.topics;
    let promises = scenario.topics.iter().map(|topic| {
        let mut config: TopicConfig = scenario.cluster.config.topics.clone();
        for (key, value) in &topic.config {
            // The value was accepted when the scenario was read.
            let _ = config.set(key, value);
        }
        let deletes = config.cleanup_policy.delete;
        let bytes = config.retention_bytes.filter(|_| deletes);
        let promise = TopicPromise {
            min_insync_replicas: usize::try_from(config.min_insync_replicas).unwrap_or(1),
            unclean_election: config.unclean_leader_election || asks_for_unclean(scenario, topic),
            compacted: config.cleanup_policy.compact,
            keys: topic.keys,
            delete_retention: config.delete_retention_ms,
            retention: config.retention_ms.filter(|_| deletes),
            retention_bytes: bytes.and_then(|bytes| u64::try_from(bytes).ok()),
            index_interval: u64::try_from(config.index_interval_bytes).ok(),
        };
        (topic.name.as_str().into(), promise)
    });
    let mut by_topic: BTreeMap<Arc<str>, _> = promises.collect();
    let coordinates = scenario.coordinator().or_else(|| scenario.transaction_coordinator());
    if programs || coordinates.is_some() {
        let promise = TopicPromise {
            min_insync_replicas: usize::try_from(defaults.min_insync_replicas).unwrap_or(1),
            unclean_election: defaults.unclean_leader_election,
            compacted: true,
            delete_retention: defaults.delete_retention_ms,
            index_interval: u64::try_from(defaults.index_interval_bytes).ok(),
            ..TopicPromise::default()
        };
        by_topic.insert(topics::CONSUMER_OFFSETS.into(), promise);
        let least = scenario.txn_config().transaction_state_log_min_isr;
        // Kafka never elects uncleanly there, whatever the default of other topics.
        let promise = TopicPromise {
            min_insync_replicas: usize::try_from(least).unwrap_or(1),
            unclean_election: false,
            ..promise
        };
        by_topic.insert(topics::TRANSACTION_STATE.into(), promise);
    }
    Setup {
        brokers: brokers.collect(),
        topics: by_topic,
        // Whether a program is idempotent shows in its sends.
        idempotence: programs || idempotence(scenario),
        within: WITHIN,
        progress: progress(scenario),
    }
}
