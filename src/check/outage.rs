//! A period in which a partition could not be used.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::violation::name_of;
use crate::base::TopicPartition;

/// A period of at least a second in which a partition could not be used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Outage {
    /// The partition.
    #[serde(serialize_with = "name_of")]
    pub partition: TopicPartition,
    /// What was missing.
    pub kind: OutageKind,
    /// When it began, in simulated milliseconds.
    pub from_ms: u64,
    /// When it ended, in simulated milliseconds.
    pub until_ms: u64,
}

/// What a partition lacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OutageKind {
    /// Producers tried, and no write was acknowledged.
    NotWritable,
    /// The controller had no leader for it.
    NoLeader,
}

impl Outage {
    /// Its length in milliseconds.
    pub fn length_ms(&self) -> u64 {
        self.until_ms.saturating_sub(self.from_ms)
    }
}

impl fmt::Display for OutageKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotWritable => "not writable",
            Self::NoLeader => "without a leader",
        })
    }
}

impl fmt::Display for Outage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = |ms: u64| ms as f64 / 1000.0;
        let (from, until) = (seconds(self.from_ms), seconds(self.until_ms));
        write!(f, "{} {} {from:.1}–{until:.1} s", self.partition, self.kind)
    }
}

/// The longest outages, in the order of time, and how many others there are.
pub fn longest(outages: &[Outage], most: usize) -> (Vec<&Outage>, usize) {
    let mut chosen: Vec<&Outage> = outages.iter().collect();
    chosen.sort_by_key(|outage| std::cmp::Reverse(outage.length_ms()));
    chosen.truncate(most);
    chosen.sort_by(|one, other| {
        (one.from_ms, &one.partition, one.kind).cmp(&(other.from_ms, &other.partition, other.kind))
    });
    let others = outages.len() - chosen.len();
    (chosen, others)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn longest_outages_are_listed_in_the_order_of_time() {
        let outage = |partition, from_ms, until_ms| Outage {
            partition: TopicPartition::new("a", partition),
            kind: OutageKind::NotWritable,
            from_ms,
            until_ms,
        };
        let all = [outage(0, 9, 20), outage(1, 5, 7), outage(2, 1, 90)];
        let (chosen, others) = longest(&all, 2);
        assert_eq!((chosen, others), (vec![&all[2], &all[0]], 1));
    }
}
