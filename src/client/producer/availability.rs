//! Which brokers take requests (KIP-794, `partitioner.availability.timeout.ms`).
//!
//! Kafka compares when a broker last had a request pending with when it last took one, so a broker
//! that had nothing to do for long counts as slow at once; here time counts from the first request
//! that it did not take.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::base::{BrokerId, Instant};

/// Since when brokers have taken no request, though batches for them were ready.
#[derive(Debug)]
pub(super) struct Availability {
    /// `partitioner.availability.timeout.ms`; zero: no broker is slow.
    timeout: Duration,
    blocked_since: BTreeMap<BrokerId, Instant>,
    /// Brokers whose last request had no response.
    silent: BTreeSet<BrokerId>,
}

impl Availability {
    pub(super) fn new(timeout: Duration) -> Self {
        Self { timeout, blocked_since: BTreeMap::new(), silent: BTreeSet::new() }
    }

    /// Batches for a broker are ready, and another request may be sent to it or not.
    pub(super) fn ready(&mut self, now: Instant, broker: BrokerId, may_send: bool) {
        if self.timeout.is_zero() {
            return;
        }
        if may_send && !self.silent.contains(&broker) {
            self.blocked_since.remove(&broker);
        } else {
            self.blocked_since.entry(broker).or_insert(now);
        }
    }

    /// A request to a broker is over, with or without a response.
    pub(super) fn ended(&mut self, broker: BrokerId, answered: bool) {
        if answered {
            self.silent.remove(&broker);
        } else if !self.timeout.is_zero() {
            self.silent.insert(broker);
        }
    }

    /// Whether a broker has taken no request for longer than the timeout.
    pub(super) fn is_slow(&self, now: Instant, broker: BrokerId) -> bool {
        let since = self.blocked_since.get(&broker);
        since.is_some_and(|since| now.since(*since) > self.timeout)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BROKER: BrokerId = BrokerId(1);

    #[test]
    fn broker_is_slow_from_the_timeout_until_it_takes_a_request() {
        let mut brokers = Availability::new(Duration::from_secs(2));
        let at = Instant::from_secs;
        brokers.ready(at(10), BROKER, false);
        brokers.ready(at(11), BROKER, false);
        assert!(!brokers.is_slow(at(12), BROKER));
        assert!(brokers.is_slow(at(13), BROKER));
        brokers.ready(at(13), BROKER, true);
        assert!(!brokers.is_slow(at(13), BROKER));
    }

    #[test]
    fn broker_that_does_not_answer_takes_no_request() {
        let mut brokers = Availability::new(Duration::from_secs(2));
        let at = Instant::from_secs;
        brokers.ended(BROKER, false);
        brokers.ready(at(10), BROKER, true);
        assert!(brokers.is_slow(at(13), BROKER));
        brokers.ended(BROKER, true);
        brokers.ready(at(13), BROKER, true);
        assert!(!brokers.is_slow(at(14), BROKER));
    }

    #[test]
    fn no_broker_is_slow_without_a_timeout() {
        let mut brokers = Availability::new(Duration::ZERO);
        brokers.ended(BROKER, false);
        brokers.ready(Instant::from_secs(1), BROKER, false);
        assert!(!brokers.is_slow(Instant::from_secs(1000), BROKER));
    }
}
