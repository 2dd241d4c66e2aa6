//! The topics that an application subscribes to: by name, or those that match a pattern.

use std::collections::BTreeSet;
use std::sync::Arc;

use regex::Regex;

/// A subscription.
#[derive(Clone, Debug)]
pub(in crate::client) struct Subscription {
    pattern: Option<Regex>,
    /// A pattern that the coordinator evaluates (KIP-848): an RE2J expression.
    regex: Option<Arc<str>>,
    topics: BTreeSet<Arc<str>>,
    /// Whether the topics are known: those of a pattern are not before the first metadata.
    is_known: bool,
}

impl Subscription {
    pub(in crate::client) fn to(topics: impl IntoIterator<Item = Arc<str>>) -> Self {
        let topics = topics.into_iter().collect();
        Self { pattern: None, regex: None, topics, is_known: true }
    }

    /// All topics whose whole name matches.
    pub(in crate::client) fn matching(pattern: &str) -> Result<Self, regex::Error> {
        let whole = Regex::new(&format!("^(?:{pattern})$"))?;
        let topics = BTreeSet::new();
        Ok(Self { pattern: Some(whole), regex: None, topics, is_known: false })
    }

    /// All topics whose whole name matches, as the coordinator sees it.
    pub(in crate::client) fn evaluated_by_coordinator(regex: &str) -> Self {
        let regex = Some(regex.into());
        Self { pattern: None, regex, topics: BTreeSet::new(), is_known: true }
    }

    /// The pattern for the coordinator.
    pub(super) fn regex(&self) -> Option<&Arc<str>> {
        self.regex.as_ref()
    }

    /// Whether metadata of all topics are needed: names that match are not known before.
    pub(in crate::client) fn needs_all_topics(&self) -> bool {
        self.pattern.is_some() || self.regex.is_some()
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
