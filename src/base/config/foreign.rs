//! Keys that Kafka knows and this code does not have: which may be passed over, and which may not.
//!
//! A `server.properties` that serves a Kafka broker should be readable here. A key that only tunes
//! threads, buffers or metrics changes no promise and is passed over, with a word to the user. One
//! that promises something (TLS, a quota) must not be passed over by a node that would serve
//! without it. Source of the names: `AbstractKafkaConfig` and `ProducerConfig` of Kafka 4.3.

/// What becomes of a key of Kafka's that this code does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Foreign {
    /// It changes nothing that a client was promised.
    Harmless,
    /// Whoever sets it relies on this, which is not here.
    Relied(&'static str),
}

const TLS: Foreign = Foreign::Relied("TLS");
const SASL: Foreign = Foreign::Relied("SASL");
const TIERED: Foreign = Foreign::Relied("tiered storage");
const QUOTAS: Foreign = Foreign::Relied("quotas");
const AUTHORIZATION: Foreign = Foreign::Relied("authorization");
const POLICIES: Foreign = Foreign::Relied("a policy class of Java's");

/// Families of keys by their first words; the first that fits counts.
const FAMILIES: &[(&str, Foreign)] = &[
    ("authorizer.", AUTHORIZATION),
    ("super.users", AUTHORIZATION),
    ("allow.everyone.if.no.acl.found", AUTHORIZATION),
    ("principal.builder.", AUTHORIZATION),
    ("delegation.token.", SASL),
    ("sasl.", SASL),
    ("ssl.", TLS),
    ("security.", TLS),
    ("listener.name.", TLS),
    ("connections.max.reauth.ms", SASL),
    ("connection.failed.authentication.delay.ms", Foreign::Harmless),
    ("remote.", TIERED),
    ("log.local.retention.", TIERED),
    ("client.quota.", QUOTAS),
    ("max.connection.creation.rate", QUOTAS),
    ("alter.config.policy.", POLICIES),
    ("create.topic.policy.", POLICIES),
    ("replica.selector.class", POLICIES),
    ("config.providers", POLICIES),
    ("interceptor.classes", POLICIES),
    ("partitioner.class", POLICIES),
    ("alter.log.dirs.replication.quota.", Foreign::Harmless),
    ("controller.quota.", Foreign::Harmless),
    ("quota.", Foreign::Harmless),
    ("replication.quota.", Foreign::Harmless),
    ("add.partitions.to.txn.", Foreign::Harmless),
    ("compression.", Foreign::Harmless),
    ("controller.performance.", Foreign::Harmless),
    ("controller.quorum.", Foreign::Harmless),
    ("group.", Foreign::Harmless),
    ("kafka.metrics.", Foreign::Harmless),
    ("leader.imbalance.", Foreign::Harmless),
    ("metadata.", Foreign::Harmless),
    ("metric", Foreign::Harmless),
    ("offsets.", Foreign::Harmless),
    ("partitioner.", Foreign::Harmless),
    ("producer.id.expiration.", Foreign::Harmless),
    ("queued.max.", Foreign::Harmless),
    ("reconnect.backoff.", Foreign::Harmless),
    ("share.", Foreign::Harmless),
    ("socket.", Foreign::Harmless),
    ("telemetry.", Foreign::Harmless),
    ("transaction.", Foreign::Harmless),
    ("transactional.id.expiration.ms", Foreign::Harmless),
    ("transactional.id", Foreign::Relied("transactions")),
];

/// Keys that belong to no family, or part from it. None of them changes a promise.
const HARMLESS: &[&str] = &[
    "auto.leader.rebalance.enable",
    "background.threads",
    "client.dns.lookup",
    "controlled.shutdown.enable",
    "delete.records.purgatory.purge.interval.requests",
    "delete.topic.enable",
    "early.start.listeners",
    "enable.metrics.push",
    "fetch.max.bytes",
    "fetch.purgatory.purge.interval.requests",
    "inter.broker.listener.name",
    "key.serializer",
    "log.cleaner.io.buffer.size",
    "log.deletion.max.segments.per.run",
    "log.initial.task.delay.ms",
    "log.preallocate",
    "log.roll.jitter.hours",
    "max.incremental.fetch.session.cache.slots",
    "max.request.partition.size.limit",
    "num.io.threads",
    "num.network.threads",
    "num.replica.alter.log.dirs.threads",
    "num.replica.fetchers",
    "producer.purgatory.purge.interval.requests",
    "receive.buffer.bytes",
    "replica.socket.receive.buffer.bytes",
    "request.timeout.ms",
    "send.buffer.bytes",
    "unclean.leader.election.interval.ms",
    "value.serializer",
    "connections.max.idle.ms",
];

/// What to do about a key that this code does not have; `None` if Kafka has no such key either.
pub fn foreign(key: &str) -> Option<Foreign> {
    if HARMLESS.contains(&key) {
        return Some(Foreign::Harmless);
    }
    FAMILIES.iter().find(|(family, _)| key.starts_with(family)).map(|(_, what)| *what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_promises_something_is_no_mere_tuning() {
        assert_eq!(foreign("ssl.keystore.location"), Some(TLS));
        assert_eq!(foreign("remote.log.storage.system.enable"), Some(TIERED));
        assert_eq!(foreign("max.connection.creation.rate"), Some(QUOTAS));
        assert_eq!(foreign("authorizer.class.name"), Some(AUTHORIZATION));
    }

    #[test]
    fn threads_and_buffers_are() {
        for key in ["num.network.threads", "socket.send.buffer.bytes", "metric.reporters"] {
            assert_eq!(foreign(key), Some(Foreign::Harmless), "{key}");
        }
    }

    #[test]
    fn a_word_that_is_nobodys_stays_unknown() {
        assert_eq!(foreign("num.netwrk.threads"), None);
        assert_eq!(foreign("log.cleaner.thread"), None);
        assert_eq!(foreign("min.insync.replica"), None);
    }
}
