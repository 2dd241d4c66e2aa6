//! The topics that an application subscribes to: by name, or those that match a pattern.

use std::collections::BTreeSet;
use std::sync::Arc;

use regex::Regex;

/// A subscription.
#[derive(Clone, Debug)]
pub(in crate::client) struct Subscription {
    pattern: Option<Regex>,
    topics: BTreeSet<Arc<str>>,
    /// Whether the topics are known: those of a pattern are not before the first metadata.
    is_known: bool,
}

impl Subscription {
    pub(in crate::client) fn to(topics: impl IntoIterator<Item = Arc<str>>) -> Self {
        Self { pattern: None, topics: topics.into_iter().collect(), is_known: true }
    }

    /// All topics whose whole name matches.
    pub(in crate::client) fn matching(pattern: &str) -> Result<Self, regex::Error> {
        let whole = Regex::new(&format!("^(?:{pattern})$"))?;
        Ok(Self { pattern: Some(whole), topics: BTreeSet::new(), is_known: false })
    }

    pub(in crate::client) fn has_pattern(&self) -> bool {
        self.pattern.is_some()
    }

    pub(super) fn is_known(&self) -> bool {
        self.is_known
    }

    /// The topics, as far as they are known.
    pub(in crate::client) fn topics(&self) -> &BTreeSet<Arc<str>> {
        &self.topics
    }

    /// Whether a topic may be assigned.
    pub(in crate::client) fn covers(&self, topic: &str) -> bool {
        match &self.pattern {
            Some(pattern) => pattern.is_match(topic),
            None => self.topics.contains(topic),
        }
    }

    /// All topics of the cluster: a pattern takes those that match.
    pub(super) fn match_all<'a>(&mut self, all: impl Iterator<Item = &'a Arc<str>>) {
        if let Some(pattern) = &self.pattern {
            self.topics = all.filter(|topic| pattern.is_match(topic)).cloned().collect();
            self.is_known = true;
        }
    }

    /// Topics that the leader of the group knew first.
    pub(super) fn add(&mut self, topics: impl IntoIterator<Item = Arc<str>>) {
        if self.has_pattern() {
            self.topics.extend(topics);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pattern_has_to_match_the_whole_name() {
        let mut subscription = Subscription::matching("orders|pay.*").unwrap();
        let all = ["orders", "orders-eu", "payments", "repay"].map(Arc::from);
        subscription.match_all(all.iter());
        let found: Vec<_> = subscription.topics().iter().map(|topic| &**topic).collect();
        assert_eq!(found, ["orders", "payments"]);
        assert!(subscription.covers("pay") && !subscription.covers("orders-eu"));
        assert!(Subscription::matching("(").is_err());
    }
}
