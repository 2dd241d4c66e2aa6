//! The settings of one group, over those that its coordinator has for all groups.

use std::collections::BTreeMap;
use std::time::Duration;

use super::bounds::Bounds::{AtLeast, Between};
use super::bounds::INT;
use super::foreign::{Foreign, harmless};
use super::{Bounds, Config, ConfigError, GroupConfig, Kind, settings};

settings! {
    /// The settings of one group. Source: Kafka's `GroupConfig`.
    pub struct OwnGroupConfig, foreign [FOREIGN] {
        session_timeout: Duration = "45000", "consumer.session.timeout.ms", Between(1, INT),
            "A member of the consumer protocol is removed after this time without a heartbeat";
        heartbeat_interval: Duration = "5000", "consumer.heartbeat.interval.ms", Between(1, INT),
            "The time between two heartbeats of a member of the consumer protocol";
        assignment_interval: Duration = "1000", "consumer.assignment.interval.ms", Between(0, INT),
            "The shortest time between two assignments of the group";
    }
}

/// The limits of a key: the least and the most, each with the broker's key for it.
type Limits = [(&'static str, Duration); 2];

impl OwnGroupConfig {
    /// What a group has that sets nothing itself.
    pub fn of(all: &GroupConfig) -> Self {
        Self {
            session_timeout: all.group_consumer_session_timeout,
            heartbeat_interval: all.group_consumer_heartbeat_interval,
            assignment_interval: all.group_consumer_assignment_interval,
        }
    }

    /// The broker's key for the default of a group's.
    pub fn synonym(key: &str) -> Option<&'static str> {
        Some(match key {
            "consumer.session.timeout.ms" => "group.consumer.session.timeout.ms",
            "consumer.heartbeat.interval.ms" => "group.consumer.heartbeat.interval.ms",
            "consumer.assignment.interval.ms" => "group.consumer.assignment.interval.ms",
            "share.assignment.interval.ms" => "group.share.assignment.interval.ms",
            "share.delivery.count.limit" => "group.share.delivery.count.limit",
            "share.heartbeat.interval.ms" => "group.share.heartbeat.interval.ms",
            "share.partition.max.record.locks" => "group.share.partition.max.record.locks",
            "share.record.lock.duration.ms" => "group.share.record.lock.duration.ms",
            "share.session.timeout.ms" => "group.share.session.timeout.ms",
            "streams.assignment.interval.ms" => "group.streams.assignment.interval.ms",
            "streams.heartbeat.interval.ms" => "group.streams.heartbeat.interval.ms",
            "streams.initial.rebalance.delay.ms" => "group.streams.initial.rebalance.delay.ms",
            "streams.num.standby.replicas" => "group.streams.num.standby.replicas",
            "streams.session.timeout.ms" => "group.streams.session.timeout.ms",
            _ => return None,
        })
    }

    fn limits(all: &GroupConfig) -> [(&'static str, Limits); 3] {
        [
            (
                "consumer.session.timeout.ms",
                [
                    (
                        "group.consumer.min.session.timeout.ms",
                        all.group_consumer_min_session_timeout,
                    ),
                    (
                        "group.consumer.max.session.timeout.ms",
                        all.group_consumer_max_session_timeout,
                    ),
                ],
            ),
            (
                "consumer.heartbeat.interval.ms",
                [
                    (
                        "group.consumer.min.heartbeat.interval.ms",
                        all.group_consumer_min_heartbeat_interval,
                    ),
                    (
                        "group.consumer.max.heartbeat.interval.ms",
                        all.group_consumer_max_heartbeat_interval,
                    ),
                ],
            ),
            (
                "consumer.assignment.interval.ms",
                [
                    (
                        "group.consumer.min.assignment.interval.ms",
                        all.group_consumer_min_assignment_interval,
                    ),
                    (
                        "group.consumer.max.assignment.interval.ms",
                        all.group_consumer_max_assignment_interval,
                    ),
                ],
            ),
        ]
    }

    fn value(&mut self, key: &str) -> Option<&mut Duration> {
        match key {
            "consumer.session.timeout.ms" => Some(&mut self.session_timeout),
            "consumer.heartbeat.interval.ms" => Some(&mut self.heartbeat_interval),
            "consumer.assignment.interval.ms" => Some(&mut self.assignment_interval),
            _ => None,
        }
    }

    /// Checks what a group is to set itself: each value alone, and against the limits of its
    /// coordinator. Source: Kafka's `GroupConfigManager.validate`.
    pub fn check(own: &BTreeMap<String, String>, all: &GroupConfig) -> Result<(), ConfigError> {
        let mut config = Self::of(all);
        for (key, value) in own {
            match config.set(key, value) {
                Ok(()) | Err(ConfigError::NoEffect { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        let refuse = |key: &str, value: Duration, problem: String| {
            let value = value.as_millis().to_string();
            Err(ConfigError::BadValue { key: key.to_owned(), value, problem })
        };
        for (key, [least, most]) in Self::limits(all) {
            let Some(value) = config.value(key).map(|value| *value) else { continue };
            if value < least.1 {
                let problem = format!("expected at least {}={}", least.0, least.1.as_millis());
                return refuse(key, value, problem);
            }
            if value > most.1 {
                let problem = format!("expected at most {}={}", most.0, most.1.as_millis());
                return refuse(key, value, problem);
            }
        }
        if config.heartbeat_interval >= config.session_timeout {
            let most = config.session_timeout.as_millis();
            let problem = format!(
                "members would be removed between heartbeats; expected less than \
                 consumer.session.timeout.ms={most}"
            );
            return refuse("consumer.heartbeat.interval.ms", config.heartbeat_interval, problem);
        }
        Ok(())
    }

    /// The settings of a group that sets these itself. What is beyond limits that have changed since
    /// is brought back to them.
    pub fn with(own: &BTreeMap<String, String>, all: &GroupConfig) -> Self {
        let mut config = Self::of(all);
        for (key, value) in own {
            let _ = config.set(key, value);
        }
        for (key, [least, most]) in Self::limits(all) {
            if let Some(value) = config.value(key) {
                *value = (*value).min(most.1).max(least.1);
            }
        }
        config
    }
}

/// Keys of Kafka for groups of other kinds.
const FOREIGN: &[Foreign] = &[
    harmless("share.session.timeout.ms", "45000").typed(Kind::Int, AtLeast(1)),
    harmless("share.heartbeat.interval.ms", "5000").typed(Kind::Int, AtLeast(1)),
    harmless("share.record.lock.duration.ms", "30000").typed(Kind::Int, AtLeast(1000)),
    harmless("share.delivery.count.limit", "5").typed(Kind::Int, AtLeast(2)),
    harmless("share.partition.max.record.locks", "2000").typed(Kind::Int, AtLeast(100)),
    harmless("share.auto.offset.reset", "latest"),
    harmless("share.isolation.level", "read_uncommitted")
        .typed(Kind::String, Bounds::OneOf(&["read_committed", "read_uncommitted"])),
    harmless("share.renew.acknowledge.enable", "true").typed(Kind::Boolean, Bounds::Any),
    harmless("share.assignment.interval.ms", "1000").typed(Kind::Int, AtLeast(0)),
    harmless("streams.session.timeout.ms", "45000").typed(Kind::Int, AtLeast(1)),
    harmless("streams.heartbeat.interval.ms", "5000").typed(Kind::Int, AtLeast(1)),
    harmless("streams.num.standby.replicas", "0").typed(Kind::Int, AtLeast(0)),
    harmless("streams.initial.rebalance.delay.ms", "3000").typed(Kind::Int, AtLeast(0)),
    harmless("streams.assignment.interval.ms", "1000").typed(Kind::Int, AtLeast(0)),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn own(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn refused(pairs: &[(&str, &str)]) -> String {
        let all = GroupConfig::default();
        OwnGroupConfig::check(&own(pairs), &all).unwrap_err().to_string()
    }

    #[test]
    fn group_without_settings_has_those_of_all_groups() {
        let all = GroupConfig::default();
        assert_eq!(OwnGroupConfig::with(&BTreeMap::new(), &all), OwnGroupConfig::of(&all));
        assert_eq!(OwnGroupConfig::default(), OwnGroupConfig::of(&all));
    }

    #[test]
    fn settings_of_a_group_stay_within_the_limits_of_its_coordinator() {
        assert_eq!(
            refused(&[("consumer.session.timeout.ms", "44999")]),
            "`consumer.session.timeout.ms=44999`: expected at least \
             group.consumer.min.session.timeout.ms=45000"
        );
        assert_eq!(
            refused(&[("consumer.heartbeat.interval.ms", "15001")]),
            "`consumer.heartbeat.interval.ms=15001`: expected at most \
             group.consumer.max.heartbeat.interval.ms=15000"
        );
        assert!(refused(&[("consumer.heartbeat.intervals.ms", "1")]).contains("did you mean"));
        let fits = own(&[("consumer.session.timeout.ms", "60000")]);
        assert_eq!(OwnGroupConfig::check(&fits, &GroupConfig::default()), Ok(()));
    }

    #[test]
    fn interval_that_outlasts_the_session_is_refused() {
        let mut all = GroupConfig::default();
        all.set("group.consumer.max.heartbeat.interval.ms", "90000").unwrap();
        let long = own(&[("consumer.heartbeat.interval.ms", "45000")]);
        let error = OwnGroupConfig::check(&long, &all).unwrap_err().to_string();
        assert!(error.ends_with("expected less than consumer.session.timeout.ms=45000"), "{error}");
    }

    #[test]
    fn setting_from_before_a_limit_was_changed_is_brought_back_to_it() {
        let mut all = GroupConfig::default();
        let set = own(&[("consumer.session.timeout.ms", "59000")]);
        assert_eq!(OwnGroupConfig::with(&set, &all).session_timeout, Duration::from_secs(59));
        all.set("group.consumer.max.session.timeout.ms", "50000").unwrap();
        assert_eq!(OwnGroupConfig::with(&set, &all).session_timeout, Duration::from_secs(50));
    }
}
