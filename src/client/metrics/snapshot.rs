//! What an application reads.

#![warn(missing_docs, reason = "in the prelude")]

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::TopicPartition;

/// A metric's name, as Kafka has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct MetricName {
    /// Its group, such as `consumer-fetch-manager-metrics`.
    pub group: &'static str,
    /// Its name, such as `records-lag-max`.
    pub name: &'static str,
    /// The topic that it is about, if it is about one.
    pub topic: Option<Arc<str>>,
    /// The partition of the topic that it is about, if it is about one.
    pub partition: Option<i32>,
    /// The broker that it is about, if it is about one: its id, or -1 and less for an address of
    /// `bootstrap.servers` whose broker is not known.
    pub node: Option<i32>,
}

/// The metrics of a client at one time. An average or maximum of nothing is not a number, as in Kafka.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    values: BTreeMap<MetricName, f64>,
}

impl Metrics {
    /// A metric of the whole client; `None` if it has none of that name.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.find(name, (None, None, None))
    }

    /// A metric of one topic.
    pub fn of_topic(&self, name: &str, topic: &str) -> Option<f64> {
        self.find(name, (Some(topic), None, None))
    }

    /// A metric of one partition.
    pub fn of_partition(&self, name: &str, partition: &TopicPartition) -> Option<f64> {
        self.find(name, (Some(&partition.topic), Some(partition.partition), None))
    }

    /// A metric of one broker.
    pub fn of_node(&self, name: &str, node: i32) -> Option<f64> {
        self.find(name, (None, None, Some(node)))
    }

    /// All metrics, by group, name, topic, partition and broker.
    pub fn iter(&self) -> impl Iterator<Item = (&MetricName, f64)> {
        self.values.iter().map(|(name, value)| (name, *value))
    }

    fn find(&self, name: &str, about: (Option<&str>, Option<i32>, Option<i32>)) -> Option<f64> {
        let is_wanted = |metric: &MetricName| {
            metric.name == name && (metric.topic.as_deref(), metric.partition, metric.node) == about
        };
        self.values.iter().find(|(metric, _)| is_wanted(metric)).map(|(_, value)| *value)
    }

    pub(in crate::client) fn add(&mut self, group: &'static str, name: &'static str, value: f64) {
        self.values.insert(MetricName { group, name, ..MetricName::default() }, value);
    }

    pub(in crate::client) fn add_of_topic(
        &mut self,
        group: &'static str,
        name: &'static str,
        topic: &Arc<str>,
        value: f64,
    ) {
        let topic = Some(topic.clone());
        self.values.insert(MetricName { group, name, topic, ..MetricName::default() }, value);
    }

    pub(in crate::client) fn add_of_partition(
        &mut self,
        group: &'static str,
        name: &'static str,
        partition: &TopicPartition,
        value: f64,
    ) {
        let (topic, index) = (partition.topic.clone(), partition.partition);
        let about = MetricName { topic: Some(topic), partition: Some(index), ..Default::default() };
        self.values.insert(MetricName { group, name, ..about }, value);
    }

    pub(in crate::client) fn add_of_node(
        &mut self,
        group: &'static str,
        name: &'static str,
        node: i32,
        value: f64,
    ) {
        let node = Some(node);
        self.values.insert(MetricName { group, name, node, ..MetricName::default() }, value);
    }
}
