//! All settings of a node, composed of one table per owner.

use std::collections::BTreeMap;

use super::foreign::{self, Foreign};
use super::{
    BrokerConfig, Config, ConfigError, GroupConfig, Key, QuorumConfig, SecurityConfig, TopicConfig,
    TxnConfig, broker, group, quorum, security, txn,
};
use crate::base::{mistyped, nearest};

/// All settings of a node: what a `server.properties` says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NodeConfig {
    pub node: BrokerConfig,
    /// The defaults of its topics.
    pub topics: TopicConfig,
    pub group: GroupConfig,
    pub txn: TxnConfig,
    pub quorum: QuorumConfig,
    pub security: SecurityConfig,
    /// What was set, as it was written.
    pub given: Given,
}

/// The pairs that were set, as they were written. They make no difference between two
/// configurations with the same values.
#[derive(Clone, Debug, Default)]
pub struct Given(BTreeMap<String, String>);

impl PartialEq for Given {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Given {
    /// The text that was set for a key.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    fn note(&mut self, key: &str, value: &str) {
        self.0.insert(key.to_owned(), value.trim().to_owned());
    }

    /// A key that was set stands for another one.
    pub(super) fn rename(&mut self, from: &str, to: &str, value: &str) {
        self.0.remove(from);
        self.note(to, value);
    }
}

/// Keys that have no default in Kafka: another key has it, or a node must set them.
const WITHOUT_DEFAULT: &[&str] = &[
    "process.roles",
    "node.id",
    "controller.listener.names",
    "broker.rack",
    "replica.selector.class",
    "metadata.log.dir",
    "advertised.listeners",
    "inter.broker.listener.name",
    "log.dirs",
    "log.roll.ms",
    "log.roll.jitter.ms",
    "log.retention.ms",
    "log.flush.interval.ms",
];

/// Keys that have no effect, by owner.
const FOREIGN: &[&[Foreign]] = &[
    broker::FOREIGN,
    group::FOREIGN,
    txn::FOREIGN,
    quorum::FOREIGN,
    security::FOREIGN,
    security::SHARED,
];

/// Calls one method of the table that has the key.
macro_rules! of_owner {
    ($self:ident, $key:expr, $call:ident($($argument:expr),*)) => {
        if BrokerConfig::knows($key) {
            Some($self.node.$call($($argument),*))
        } else if GroupConfig::knows($key) {
            Some($self.group.$call($($argument),*))
        } else if TxnConfig::knows($key) {
            Some($self.txn.$call($($argument),*))
        } else if QuorumConfig::knows($key) {
            Some($self.quorum.$call($($argument),*))
        } else if SecurityConfig::knows($key) {
            Some($self.security.$call($($argument),*))
        } else {
            None
        }
    };
}

impl NodeConfig {
    /// The node's own keys.
    fn own_keys() -> impl Iterator<Item = &'static Key> {
        let tables = [
            BrokerConfig::KEYS,
            GroupConfig::KEYS,
            TxnConfig::KEYS,
            QuorumConfig::KEYS,
            SecurityConfig::KEYS,
        ];
        tables.into_iter().flatten()
    }

    /// All keys: the node's own, and those for the defaults of topics.
    pub fn keys() -> impl Iterator<Item = Key> {
        let topics = TopicConfig::synonyms().filter_map(|(broker, topic)| {
            let own = TopicConfig::KEYS.iter().find(|key| key.name == topic)?;
            Some(Key { name: broker, ..*own })
        });
        Self::own_keys().copied().chain(topics)
    }

    /// Whether Kafka has a default for a key.
    pub fn has_default(key: &str) -> bool {
        !WITHOUT_DEFAULT.contains(&key)
    }

    /// Sets one key of `server.properties`: a node's own, or the default of a topic's.
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), ConfigError> {
        let set = match self.topics.set_default(key, value) {
            Some(set) => Some(set),
            None => of_owner!(self, key, set(key, value)),
        };
        set.unwrap_or_else(|| Err(Self::refusal(key, value)))?;
        self.given.note(key, value);
        Ok(())
    }

    /// The error for a key that no table has.
    fn refusal(key: &str, value: &str) -> ConfigError {
        foreign::refusal(FOREIGN, key, value).unwrap_or_else(|| {
            let known = Self::keys().map(|key| key.name);
            ConfigError::UnknownKey {
                key: key.to_owned(),
                nearest: nearest(key, known).map(str::to_owned),
            }
        })
    }

    /// The key of Kafka's that an unknown key is probably a mistyping of.
    pub fn mistyped(key: &str) -> Option<&'static str> {
        let known = Self::keys().map(|key| key.name);
        mistyped(key, known.chain(foreign::names(FOREIGN)))
    }

    /// Sets all pairs, in order.
    pub fn set_all<'a>(
        &mut self,
        pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<(), ConfigError> {
        pairs.into_iter().try_for_each(|(key, value)| self.set(key, value))
    }

    /// Returns the value of a key, as a file would have it.
    pub fn get(&self, key: &str) -> Option<String> {
        match TopicConfig::synonyms().find(|(broker, _)| *broker == key) {
            Some((_, topic)) => self.topics.get(topic),
            None => of_owner!(self, key, get(key)).flatten(),
        }
    }

    /// Checks the limits that depend on each other. Source: Kafka's `KafkaConfig.validateValues`.
    ///
    /// Two pairs need no check: a batch that is larger than `replica.fetch.max.bytes` or
    /// `replica.fetch.response.max.bytes` is still fetched whole (KIP-74).
    pub fn check(&self) -> Result<(), ConfigError> {
        let node = &self.node;
        let refuse = |key: &str, problem: String| {
            let value = self.get(key).unwrap_or_default();
            Err(ConfigError::BadValue { key: key.to_owned(), value, problem })
        };
        let wait = node.replica_fetch_wait_max;
        if wait > node.replica_socket_timeout {
            let most = node.replica_socket_timeout.as_millis();
            let problem = format!(
                "each fetch that finds no records would time out; expected at most \
                 replica.socket.timeout.ms={most}"
            );
            return refuse("replica.fetch.wait.max.ms", problem);
        }
        if wait > node.replica_lag_time_max {
            let most = node.replica_lag_time_max.as_millis();
            let problem = format!(
                "followers would leave the ISR while they wait; expected at most \
                 replica.lag.time.max.ms={most}"
            );
            return refuse("replica.fetch.wait.max.ms", problem);
        }
        // Kafka only logs this, and then fences the broker between any two heartbeats.
        if node.broker_heartbeat_interval >= node.broker_session_timeout {
            let most = node.broker_session_timeout.as_millis();
            let problem = format!(
                "the broker would be fenced before each heartbeat; expected less than \
                 broker.session.timeout.ms={most}"
            );
            return refuse("broker.heartbeat.interval.ms", problem);
        }
        if node.max_connections_per_ip == 0 && node.max_connections_per_ip_overrides.is_empty() {
            let problem = "no client could connect; expected max.connections.per.ip.overrides \
                           for those that may";
            return refuse("max.connections.per.ip", problem.to_owned());
        }
        self.check_cleaner()?;
        self.group.check()?;
        self.topics.check()?;
        self.security.check(&node.listeners)
    }

    /// Each cleaner needs more than 1 MiB of memory for keys.
    fn check_cleaner(&self) -> Result<(), ConfigError> {
        const LEAST: i64 = 1024 * 1024;
        let (threads, memory) =
            (self.node.log_cleaner_threads, self.node.log_cleaner_dedupe_buffer_size);
        if self.node.log_cleaner_enable && memory / i64::from(threads.max(1)) <= LEAST {
            return Err(ConfigError::BadValue {
                key: "log.cleaner.dedupe.buffer.size".into(),
                value: memory.to_string(),
                problem: format!(
                    "no more than 1 MiB for each of log.cleaner.threads={threads}; expected more \
                     than {}",
                    LEAST * i64::from(threads.max(1))
                ),
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(pairs: &[(&str, &str)]) -> Result<(), String> {
        let mut config = NodeConfig::default();
        config.set_all(pairs.iter().copied()).unwrap();
        config.check().map_err(|error| error.to_string())
    }

    #[test]
    fn a_limit_of_zero_per_address_needs_overrides() {
        let zero = ("max.connections.per.ip", "0");
        let error = checked(&[zero]).unwrap_err();
        assert!(error.contains("max.connections.per.ip.overrides"), "{error}");
        let overrides = ("max.connections.per.ip.overrides", "127.0.0.1:5");
        assert_eq!(checked(&[zero, overrides]), Ok(()));
    }

    #[test]
    fn each_key_reaches_the_table_of_its_owner() {
        let mut config = NodeConfig::default();
        let pairs = [
            ("node.id", "7"),
            ("log.segment.bytes", "2097152"),
            ("offsets.topic.num.partitions", "3"),
            ("transaction.state.log.min.isr", "1"),
            ("controller.quorum.voters", "1@c1:9093"),
            ("listener.security.protocol.map", "INSIDE:PLAINTEXT"),
        ];
        config.set_all(pairs).unwrap();
        assert_eq!(config.node.node_id, 7);
        assert_eq!(config.topics.segment_bytes, 2_097_152);
        assert_eq!(config.group.offsets_topic_num_partitions, 3);
        assert_eq!(config.txn.transaction_state_log_min_isr, 1);
        assert_eq!(config.quorum.controller_quorum_voters, ["1@c1:9093"]);
        for (key, value) in pairs {
            assert_eq!(config.get(key).as_deref(), Some(value));
        }
        config.set("message.max.bytes", "5000").unwrap();
        assert_eq!(config.topics.max_message_bytes, 5000);
    }

    #[test]
    fn no_two_tables_have_the_same_key() {
        let known = NodeConfig::keys().map(|key| key.name);
        let foreign = FOREIGN.iter().flat_map(|table| table.iter()).map(|row| row.name);
        let mut all: Vec<&str> = known.chain(foreign).collect();
        all.sort_unstable();
        let count = all.len();
        all.dedup();
        assert_eq!(all.len(), count);
    }

    #[test]
    fn defaults_fit_together() {
        assert_eq!(checked(&[]), Ok(()));
    }

    #[test]
    fn limits_that_contradict_each_other_are_refused() {
        let refused = |pairs: &[(&str, &str)]| checked(pairs).unwrap_err();
        assert_eq!(
            refused(&[("replica.fetch.wait.max.ms", "31000")]),
            "`replica.fetch.wait.max.ms=31000`: each fetch that finds no records would time out; \
             expected at most replica.socket.timeout.ms=30000"
        );
        let lag = [("replica.fetch.wait.max.ms", "600"), ("replica.lag.time.max.ms", "599")];
        assert!(refused(&lag).ends_with("expected at most replica.lag.time.max.ms=599"));
        let silence = [("broker.session.timeout.ms", "2000")];
        assert_eq!(
            refused(&silence),
            "`broker.heartbeat.interval.ms=2000`: the broker would be fenced before each \
             heartbeat; expected less than broker.session.timeout.ms=2000"
        );
        let ages = [
            ("log.cleaner.min.compaction.lag.ms", "8"),
            ("log.cleaner.max.compaction.lag.ms", "7"),
        ];
        assert!(refused(&ages).contains("max.compaction.lag.ms"));
    }

    #[test]
    fn consumer_groups_that_could_not_keep_their_sessions_are_refused() {
        let refused = |pairs: &[(&str, &str)]| checked(pairs).unwrap_err();
        assert_eq!(
            refused(&[("group.consumer.session.timeout.ms", "44999")]),
            "`group.consumer.min.session.timeout.ms=45000`: expected at most \
             group.consumer.session.timeout.ms=44999"
        );
        let slow = [
            ("group.consumer.heartbeat.interval.ms", "45000"),
            ("group.consumer.max.heartbeat.interval.ms", "45000"),
        ];
        assert!(
            refused(&slow).ends_with("expected less than group.consumer.session.timeout.ms=45000")
        );
        let short = [
            ("group.consumer.min.session.timeout.ms", "10000"),
            ("group.consumer.session.timeout.ms", "10000"),
        ];
        assert_eq!(checked(&short), Ok(()));
    }

    #[test]
    fn cleaner_without_memory_for_keys_is_refused() {
        assert_eq!(checked(&[("log.cleaner.threads", "127")]), Ok(()));
        assert_eq!(checked(&[("log.cleaner.threads", "0")]), Ok(()));
        assert_eq!(
            checked(&[("log.cleaner.threads", "128")]).unwrap_err(),
            "`log.cleaner.dedupe.buffer.size=134217728`: no more than 1 MiB for each of \
             log.cleaner.threads=128; expected more than 134217728"
        );
        let none = [("log.cleaner.enable", "false"), ("log.cleaner.dedupe.buffer.size", "0")];
        assert_eq!(checked(&none), Ok(()), "no cleaner needs any");
    }
}
