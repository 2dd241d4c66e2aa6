//! What members say that they own. Of two that own a partition, the one with the newer generation
//! is right; in the same generation, neither is.

use std::collections::{BTreeMap, BTreeSet};

use super::super::{Member, Topics, userdata};
use crate::base::TopicPartition;
use crate::group::MemberId;

/// The generation of a member that does not say.
const NO_GENERATION: i32 = -1;

/// What a member remembers of its last assignment.
#[derive(Debug, Default)]
pub(super) struct Memory {
    pub(super) owned: Vec<TopicPartition>,
    pub(super) generation: Option<i32>,
}

impl Memory {
    /// A member of an eager group has revoked everything: its user data tell what it had.
    pub(super) fn of_sticky(member: &Member) -> Self {
        let Some(data) = member.user_data.as_deref().filter(|data| !data.is_empty()) else {
            return Self::default();
        };
        match userdata::read(data) {
            Some((owned, generation)) => Self { owned, generation },
            None => Self { owned: Vec::new(), generation: Some(NO_GENERATION) },
        }
    }

    /// Before version 2 of the subscription, the generation is in the user data.
    pub(super) fn of_cooperative(member: &Member) -> Self {
        let generation = member.generation.or_else(|| {
            let data = member.user_data.as_deref()?;
            Some(userdata::read_generation(data).unwrap_or(NO_GENERATION))
        });
        Self { owned: member.owned.clone(), generation }
    }

    fn number(&self) -> i32 {
        self.generation.unwrap_or(NO_GENERATION)
    }
}

/// Who owns what, without conflicts.
pub(super) struct Claims {
    /// Every member has an entry.
    pub(super) owned: BTreeMap<MemberId, BTreeSet<TopicPartition>>,
    /// Partitions that two members claim in one generation.
    pub(super) disputed: BTreeSet<TopicPartition>,
    /// Of a partition, the member that owned it in the newest of the older generations.
    pub(super) previous: BTreeMap<TopicPartition, MemberId>,
}

impl Claims {
    pub(super) fn new(topics: &Topics, memories: &BTreeMap<MemberId, Memory>) -> Self {
        let exists = |partition: &TopicPartition| {
            let count = topics.get(&partition.topic).map_or(0, Vec::len);
            usize::try_from(partition.partition).is_ok_and(|index| index < count)
        };
        let mut owned: BTreeMap<MemberId, BTreeSet<_>> = BTreeMap::new();
        let mut owners: BTreeMap<TopicPartition, &MemberId> = BTreeMap::new();
        let mut disputed = BTreeSet::new();
        for (member, memory) in memories {
            owned.entry(member.clone()).or_default();
            let claimed: BTreeSet<_> = memory.owned.iter().filter(|p| exists(p)).collect();
            for partition in claimed {
                let other = owners.get(partition).copied();
                let older = other.and_then(|other| memories.get(other)).map(Memory::number);
                if older.is_some_and(|older| memory.number() < older) {
                    continue;
                }
                if let Some(other) = other.and_then(|other| owned.get_mut(other)) {
                    other.remove(partition);
                }
                owners.insert(partition.clone(), member);
                if older == Some(memory.number()) {
                    disputed.insert(partition.clone());
                } else {
                    owned.entry(member.clone()).or_default().insert(partition.clone());
                }
            }
        }
        Self { owned, disputed, previous: previous(memories) }
    }
}

fn previous(memories: &BTreeMap<MemberId, Memory>) -> BTreeMap<TopicPartition, MemberId> {
    let newest = memories.values().map(Memory::number).max().unwrap_or(NO_GENERATION);
    let mut previous: BTreeMap<TopicPartition, (i32, &MemberId)> = BTreeMap::new();
    for (member, memory) in memories.iter().filter(|(_, memory)| memory.number() < newest) {
        for partition in &memory.owned {
            let known = previous.get(partition).map(|(generation, _)| *generation);
            if known.is_none_or(|known| memory.number() > known) {
                previous.insert(partition.clone(), (memory.number(), member));
            }
        }
    }
    previous.into_iter().map(|(partition, (_, member))| (partition, member.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::super::super::tests::topics;
    use super::*;

    fn memory(generation: Option<i32>, owned: &[i32]) -> Memory {
        let owned = owned.iter().map(|index| TopicPartition::new("a", *index)).collect();
        Memory { owned, generation }
    }

    fn owned(claims: &Claims, member: &str) -> Vec<i32> {
        claims.owned[member].iter().map(|partition| partition.partition).collect()
    }

    #[test]
    fn claim_of_an_older_generation_is_void() {
        for swapped in [false, true] {
            let (old, new) = if swapped { ("m2", "m1") } else { ("m1", "m2") };
            let memories = BTreeMap::from([
                (old.into(), memory(Some(4), &[0, 1])),
                (new.into(), memory(Some(5), &[1, 2])),
            ]);
            let claims = Claims::new(&topics(&[("a", 3)]), &memories);
            assert_eq!((owned(&claims, old), owned(&claims, new)), (vec![0], vec![1, 2]));
            assert!(claims.disputed.is_empty());
            assert_eq!(claims.previous[&TopicPartition::new("a", 1)].as_str(), old);
        }
    }

    #[test]
    fn partition_with_two_owners_in_one_generation_belongs_to_neither() {
        let memories = BTreeMap::from([
            ("m1".into(), memory(Some(4), &[0, 1])),
            ("m2".into(), memory(Some(4), &[1])),
            ("m3".into(), memory(Some(4), &[1])),
        ]);
        let claims = Claims::new(&topics(&[("a", 3)]), &memories);
        assert_eq!(owned(&claims, "m1"), [0]);
        assert!(owned(&claims, "m2").is_empty() && owned(&claims, "m3").is_empty());
        assert_eq!(claims.disputed.len(), 1);
    }

    #[test]
    fn partitions_that_do_not_exist_are_not_owned() {
        let memories = BTreeMap::from([("m1".into(), memory(Some(4), &[-1, 2, 3]))]);
        let claims = Claims::new(&topics(&[("a", 3)]), &memories);
        assert_eq!(owned(&claims, "m1"), [2]);
    }
}
