//! What the configuration says about a group.

use std::sync::Arc;
use std::time::Duration;

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::Rng;

use crate::base::config::{Config, ConfigError, ConsumerConfig, GroupProtocol};
use crate::base::{Flaw, Flaws, Instant, TopicId, TopicPartition};
use crate::client::assignor::{Assignor, Rebalancing};
use crate::group::MemberId;

/// The settings of a member.
#[derive(Clone, Debug)]
pub(in crate::client) struct Settings {
    pub(in crate::client) group: Arc<str>,
    pub(in crate::client) protocol: GroupProtocol,
    /// `group.remote.assignor`: the coordinator's assignor that the member prefers.
    pub(in crate::client) remote_assignor: Option<Arc<str>>,
    /// `group.instance.id`: a static member, which keeps its place over a restart (KIP-345).
    pub(in crate::client) instance: Option<Arc<str>>,
    pub(in crate::client) rack: Option<Arc<str>>,
    pub(in crate::client) session_timeout: Duration,
    pub(in crate::client) heartbeat_interval: Duration,
    /// `max.poll.interval.ms`, which is also how long others wait for this member in a rebalance.
    pub(in crate::client) max_poll_interval: Duration,
    pub(in crate::client) request_timeout: Duration,
    /// In order of preference.
    pub(in crate::client) assignors: Vec<Assignor>,
    /// `exclude.internal.topics`: whether a pattern never matches topics such as `__consumer_offsets`.
    pub(in crate::client) excludes_internal: bool,
    /// `auto.commit.interval.ms`; `None`: the application commits.
    pub(in crate::client) auto_commit: Option<Duration>,
    /// Historical bugs of the member.
    pub(in crate::client) flaws: Flaws,
}

impl Settings {
    /// The settings of a consumer with a group; `None` without `group.id`.
    pub(in crate::client) fn new(config: &ConsumerConfig) -> Result<Option<Self>, ConfigError> {
        let refuse = |key: &str, problem: &str| {
            let value = config.get(key).unwrap_or_default();
            Err(ConfigError::BadValue { key: key.into(), value, problem: problem.into() })
        };
        let commits = config.enable_auto_commit;
        if config.group_id.is_empty() {
            if commits.set && commits.value {
                let problem =
                    "expected `false` without group.id: offsets are committed for a group";
                return refuse("enable.auto.commit", problem);
            }
            return Ok(None);
        }
        Self::check_protocol(config)?;
        if config.heartbeat_interval >= config.session_timeout {
            return refuse("heartbeat.interval.ms", "expected less than session.timeout.ms");
        }
        let instance = some(&config.group_instance_id);
        if instance.as_deref().is_some_and(|instance| !is_valid_name(instance)) {
            let problem = "expected up to 249 of `a-zA-Z0-9._-`, and neither `.` nor `..`";
            return refuse("group.instance.id", problem);
        }
        let mut assignors: Vec<Assignor> = Vec::new();
        for name in &config.partition_assignment_strategy {
            match Assignor::parse(name) {
                Some(assignor) if !assignors.contains(&assignor) => assignors.push(assignor),
                Some(_) => {
                    let problem = "expected each assignor once";
                    return refuse("partition.assignment.strategy", problem);
                }
                None => {
                    let problem = "expected a list of `range`, `roundrobin`, `sticky` and \
                                   `cooperative-sticky`, or Kafka's classes of them";
                    return refuse("partition.assignment.strategy", problem);
                }
            }
        }
        Ok(Some(Self {
            group: config.group_id.as_str().into(),
            protocol: config.group_protocol,
            remote_assignor: some(&config.group_remote_assignor),
            instance,
            rack: some(&config.client_rack),
            session_timeout: config.session_timeout,
            heartbeat_interval: config.heartbeat_interval,
            max_poll_interval: config.max_poll_interval,
            request_timeout: config.request_timeout,
            assignors,
            excludes_internal: config.exclude_internal_topics,
            auto_commit: commits.value.then_some(config.auto_commit_interval),
            flaws: Flaws::default(),
        }))
    }

    /// Refuses settings that the other protocol has. Source: Kafka's
    /// `ConsumerConfig.checkUnsupportedConfigsPostProcess`.
    fn check_protocol(config: &ConsumerConfig) -> Result<(), ConfigError> {
        let (others, name): (&[&str], _) = match config.group_protocol {
            GroupProtocol::Classic => (&["group.remote.assignor"], "classic"),
            GroupProtocol::Consumer => (
                &["partition.assignment.strategy", "session.timeout.ms", "heartbeat.interval.ms"],
                "consumer",
            ),
        };
        for key in others {
            let value = config.get(key).unwrap_or_default();
            if ConsumerConfig::default().get(key).as_ref() != Some(&value) {
                let problem = format!("can't be set with group.protocol={name}");
                return Err(ConfigError::BadValue { key: (*key).into(), value, problem });
            }
        }
        Ok(())
    }

    /// An id for the member, where members choose their own (KIP-1082). Consumers that one process
    /// starts one after the other may draw alike: the time tells them apart.
    pub(in crate::client) fn draw_member_id(
        &self,
        now: Instant,
        random: &mut ChaCha12Rng,
    ) -> MemberId {
        match self.protocol {
            GroupProtocol::Classic => MemberId::default(),
            GroupProtocol::Consumer => {
                let mut bytes = [0; 16];
                random.fill_bytes(&mut bytes);
                for (byte, of_time) in bytes.iter_mut().rev().zip(now.0.to_le_bytes()) {
                    *byte ^= of_time;
                }
                // Version 4, variant 1: Kafka prints any UUID as it prints a topic id.
                bytes[6] = bytes[6] & 0x0f | 0x40;
                bytes[8] = bytes[8] & 0x3f | 0x80;
                MemberId::from(TopicId(bytes).to_string())
            }
        }
    }

    /// How long the commit before a revocation may take from now on: no longer than others wait for
    /// this member (KAFKA-14024).
    pub(super) fn last_commit_ends(&self, now: Instant) -> Instant {
        match self.flaws.has(Flaw::SlowCommitExpels) {
            true => Instant::NEVER,
            false => now + self.max_poll_interval,
        }
    }

    /// When partitions are given up: cooperatively if all assignors can. Source: Kafka's
    /// `ConsumerCoordinator`, which takes the latest protocol that all assignors support.
    pub(in crate::client) fn rebalancing(&self) -> Rebalancing {
        match self.assignors.iter().all(|assignor| assignor.is_cooperative()) {
            true => Rebalancing::Cooperative,
            false => Rebalancing::Eager,
        }
    }
}

/// Refuses settings that contradict each other, as a consumer does when it starts.
pub fn check_consumer(config: &ConsumerConfig) -> Result<(), ConfigError> {
    Settings::new(config).map(drop)
}

fn some(text: &str) -> Option<Arc<str>> {
    (!text.is_empty()).then(|| text.into())
}

/// Whether a text may be a topic, and by the same rule an instance. Source: Kafka's `Topic.validate`.
fn is_valid_name(name: &str) -> bool {
    let is_legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let length = 1..=TopicPartition::MAX_NAME_LENGTH;
    length.contains(&name.len()) && name != "." && name != ".." && name.chars().all(is_legal)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(pairs: &[(&str, &str)]) -> Result<Option<Settings>, String> {
        let mut config = ConsumerConfig::default();
        config.set_all(pairs.iter().copied()).unwrap();
        Settings::new(&config).map_err(|error| error.to_string())
    }

    const GROUP: (&str, &str) = ("group.id", "shop");

    #[test]
    fn consumer_without_a_group_commits_nothing() {
        assert!(settings(&[]).unwrap().is_none());
        assert!(settings(&[("enable.auto.commit", "false")]).unwrap().is_none());
        let refused = settings(&[("enable.auto.commit", "true")]).unwrap_err();
        assert!(
            refused.starts_with("`enable.auto.commit=true`: expected `false` without group.id")
        );
    }

    #[test]
    fn group_is_cooperative_only_if_all_assignors_are() {
        let strategy = |names| settings(&[GROUP, ("partition.assignment.strategy", names)]);
        let rebalancing = |names| strategy(names).unwrap().unwrap().rebalancing();
        assert_eq!(settings(&[GROUP]).unwrap().unwrap().rebalancing(), Rebalancing::Eager);
        assert_eq!(rebalancing("cooperative-sticky"), Rebalancing::Cooperative);
        assert_eq!(rebalancing("cooperative-sticky,sticky"), Rebalancing::Eager);
        assert!(strategy("org.example.Mine").unwrap_err().contains("expected a list of `range`"));
        assert!(strategy("range,range").unwrap_err().contains("each assignor once"));
    }

    #[test]
    fn settings_of_the_other_protocol_are_refused() {
        let protocol =
            |name, key, value| settings(&[GROUP, ("group.protocol", name), (key, value)]);
        let refused = protocol("consumer", "session.timeout.ms", "1000").unwrap_err();
        assert_eq!(refused, "`session.timeout.ms=1000`: can't be set with group.protocol=consumer");
        assert!(protocol("classic", "group.remote.assignor", "uniform").is_err());
        assert!(protocol("Consumer", "group.remote.assignor", "uniform").is_ok());
    }

    #[test]
    fn settings_that_contradict_each_other_are_refused() {
        let late = settings(&[GROUP, ("heartbeat.interval.ms", "45000")]).unwrap_err();
        assert!(late.contains("less than session.timeout.ms"), "{late}");
        assert!(settings(&[GROUP, ("group.instance.id", "a b")]).is_err());
        assert!(settings(&[GROUP, ("group.instance.id", "a-1")]).is_ok());
    }
}
