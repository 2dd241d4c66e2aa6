//! Partitions that moved from one member to another in this assignment.
//!
//! If a partition of a topic moved from one member to another, and another one of that topic is to
//! move back, the first is moved back instead: two moves less.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::base::TopicPartition;
use crate::group::MemberId;

/// From whom, to whom.
type Pair = (MemberId, MemberId);

#[derive(Debug, Default)]
pub(super) struct Movements {
    by_topic: BTreeMap<Arc<str>, BTreeMap<Pair, BTreeSet<TopicPartition>>>,
    by_partition: BTreeMap<TopicPartition, Pair>,
}

impl Movements {
    /// The partition to move instead of this one.
    pub(super) fn instead_of(
        &self,
        partition: &TopicPartition,
        from: &MemberId,
        to: &MemberId,
    ) -> TopicPartition {
        let origin = self.by_partition.get(partition).map_or(from, |(origin, _)| origin);
        let back = (to.clone(), origin.clone());
        let moved = self.by_topic.get(&partition.topic).and_then(|pairs| pairs.get(&back));
        moved.and_then(BTreeSet::first).unwrap_or(partition).clone()
    }

    pub(super) fn moved(&mut self, partition: &TopicPartition, from: &MemberId, to: &MemberId) {
        let origin = match self.forget(partition) {
            Some((origin, _)) if origin == *to => return,
            Some((origin, _)) => origin,
            None => from.clone(),
        };
        let pair = (origin, to.clone());
        self.by_partition.insert(partition.clone(), pair.clone());
        let pairs = self.by_topic.entry(partition.topic.clone()).or_default();
        pairs.entry(pair).or_default().insert(partition.clone());
    }

    fn forget(&mut self, partition: &TopicPartition) -> Option<Pair> {
        let pair = self.by_partition.remove(partition)?;
        let pairs = self.by_topic.get_mut(&partition.topic)?;
        if let Some(moved) = pairs.get_mut(&pair) {
            moved.remove(partition);
            if moved.is_empty() {
                pairs.remove(&pair);
            }
        }
        Some(pair)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn earlier_move_in_the_other_direction_is_undone_instead() {
        let (a, b, c) = ("a".into(), "b".into(), "c".into());
        let [first, second] = [0, 1].map(|index| TopicPartition::new("orders", index));
        let mut movements = Movements::default();
        movements.moved(&first, &a, &b);
        assert_eq!(movements.instead_of(&second, &b, &a), first);
        assert_eq!(movements.instead_of(&second, &b, &c), second);
        movements.moved(&first, &b, &c);
        assert_eq!(movements.instead_of(&second, &b, &a), second, "it moved on to c");
        assert_eq!(movements.instead_of(&second, &c, &a), first);
        movements.moved(&first, &c, &a);
        assert_eq!(movements.instead_of(&second, &c, &a), second, "it is back");
    }
}
