//! Nodes that are sent nothing for a while, as their answers asked (KIP-219).
//!
//! Kafka's client asks which version the answer has: brokers before 2.0 held the answer itself back.
//! Those are not supported any more (KIP-896).

use std::collections::BTreeMap;
use std::time::Duration;

use crate::base::Instant;
use crate::io::Address;

/// Which of a broker's nodes is meant. As in Kafka, the connection to the coordinator of a group is
/// one of its own: its heartbeats continue while fetches are throttled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Node {
    Broker,
    Coordinator,
}

/// The nodes that are muted.
#[derive(Debug, Default)]
pub(crate) struct Throttles {
    until: BTreeMap<(Address, Node), Instant>,
}

impl Throttles {
    /// An answer has this `throttle_time_ms`.
    pub(crate) fn answered(&mut self, now: Instant, address: &Address, node: Node, millis: i32) {
        let Some(pause @ 1..) = u64::try_from(millis).ok() else { return };
        self.until.retain(|_, until| *until > now);
        let until = self.until.entry((address.clone(), node)).or_insert(now);
        *until = (*until).max(now + Duration::from_millis(pause));
    }

    /// Until when a node is muted, if it is now.
    pub(crate) fn until(&self, now: Instant, address: &Address, node: Node) -> Option<Instant> {
        if self.until.is_empty() {
            return None;
        }
        self.until.get(&(address.clone(), node)).copied().filter(|until| *until > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn node_is_muted_as_long_as_its_answer_asks_and_no_other_is() {
        let (b1, b2): (Address, Address) = ("b1:1".parse().unwrap(), "b2:1".parse().unwrap());
        let mut throttles = Throttles::default();
        let at = |millis| Instant::from_secs(1) + Duration::from_millis(millis);
        throttles.answered(at(0), &b1, Node::Broker, 0);
        assert_eq!(throttles.until(at(0), &b1, Node::Broker), None);
        throttles.answered(at(0), &b1, Node::Broker, 500);
        throttles.answered(at(100), &b1, Node::Broker, 100);
        assert_eq!(throttles.until(at(499), &b1, Node::Broker), Some(at(500)));
        assert_eq!(throttles.until(at(500), &b1, Node::Broker), None);
        assert_eq!(throttles.until(at(0), &b1, Node::Coordinator), None);
        assert_eq!(throttles.until(at(0), &b2, Node::Broker), None);
    }
}
