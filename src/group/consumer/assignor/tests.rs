//! What every assignor promises, for arbitrary groups.

use proptest::prelude::*;

use super::*;

/// Topics with their numbers of partitions, and members with their subscriptions and what they held.
#[derive(Clone, Debug)]
struct Drawn {
    partitions: Vec<i32>,
    members: Vec<(BTreeSet<usize>, Target)>,
}

fn topic(index: usize) -> TopicId {
    TopicId((index as u128 + 1).to_be_bytes())
}

/// Held partitions may overlap, and may not exist: they are read from a log.
fn drawn(alike: bool) -> impl Strategy<Value = Drawn> {
    let partitions = proptest::collection::vec(0..9i32, 1..5);
    partitions.prop_flat_map(move |partitions| {
        let topics = partitions.len();
        let topics = proptest::collection::btree_set(0..topics, 0..=topics);
        let held = proptest::collection::vec((0..6usize, -1..11i32), 0..12);
        let member = (topics, held);
        proptest::collection::vec(member, 1..8).prop_map(move |members| {
            let all: BTreeSet<usize> =
                members.iter().flat_map(|(topics, _)| topics.clone()).collect();
            let members = members.into_iter().map(|(topics, held)| {
                let held = held.into_iter().map(|(index, partition)| (topic(index), partition));
                (if alike { all.clone() } else { topics }, held.collect())
            });
            Drawn { partitions: partitions.clone(), members: members.collect() }
        })
    })
}

impl Drawn {
    fn assign(&self, assignor: Assignor) -> Vec<Target> {
        let mut partitions = BTreeMap::new();
        let members = self.members.iter().map(|(topics, held)| {
            let topics: BTreeSet<_> = topics.iter().map(|index| topic(*index)).collect();
            Subscriber { topics: Arc::new(topics), held }
        });
        let members: Vec<_> = members.collect();
        for index in self.members.iter().flat_map(|(topics, _)| topics) {
            partitions.insert(topic(*index), self.partitions[*index]);
        }
        assignor.assign(&Subscribers { members, partitions })
    }

    fn with(&self, held: Vec<Target>) -> Self {
        let members = self.members.iter().zip(held);
        let members = members.map(|((topics, _), held)| (topics.clone(), held)).collect();
        Self { partitions: self.partitions.clone(), members }
    }

    fn subscribers(&self, index: usize) -> Vec<usize> {
        let members = self.members.iter().enumerate();
        members.filter(|(_, (topics, _))| topics.contains(&index)).map(|(at, _)| at).collect()
    }

    fn total(&self) -> usize {
        let topics =
            (0..self.partitions.len()).filter(|index| !self.subscribers(*index).is_empty());
        topics.map(|index| self.partitions[index] as usize).sum()
    }

    /// Every partition of a subscribed topic belongs to exactly one of its subscribers.
    fn check_complete(&self, targets: &[Target]) -> Result<(), TestCaseError> {
        let mut owners = BTreeMap::new();
        for (at, target) in targets.iter().enumerate() {
            for partition in target.iter() {
                prop_assert_eq!(
                    owners.insert(partition, at),
                    None,
                    "{:?} has two owners",
                    partition
                );
            }
        }
        for (index, count) in self.partitions.iter().enumerate() {
            let subscribers = self.subscribers(index);
            for partition in (0..*count).filter(|_| !subscribers.is_empty()) {
                let owner = owners.remove(&(topic(index), partition));
                prop_assert!(owner.is_some_and(|owner| subscribers.contains(&owner)));
            }
        }
        prop_assert!(owners.is_empty(), "assigned, though not subscribed: {owners:?}");
        Ok(())
    }
}

/// Partitions that both have.
fn shared(before: &Target, after: &Target) -> usize {
    before.iter().filter(|(topic, partition)| after.contains(*topic, *partition)).count()
}

proptest! {
    #[test]
    fn every_partition_has_exactly_one_owner_and_nothing_moves_twice(
        drawn in drawn(false),
        range in any::<bool>(),
    ) {
        let assignor = if range { Assignor::Range } else { Assignor::Uniform };
        let targets = drawn.assign(assignor);
        drawn.check_complete(&targets)?;
        let again = drawn.with(targets.clone());
        prop_assert_eq!(again.assign(assignor), targets, "an assignment is final");
    }

    #[test]
    fn uniform_is_balanced_and_keeps_what_balance_allows(drawn in drawn(true)) {
        let targets = drawn.assign(Assignor::Uniform);
        drawn.check_complete(&targets)?;
        let sizes = targets.iter().map(Target::len);
        let (least, most) = (sizes.clone().min().unwrap(), sizes.max().unwrap());
        prop_assert!(most - least <= 1, "{least} to {most}");
        // From a complete assignment, only what exceeds a share moves.
        let mut held = targets;
        let moved = held.remove(0);
        let mut smaller = drawn.with(Vec::new());
        smaller.members = drawn.members[1..].iter().zip(&held)
            .map(|((topics, _), held)| (topics.clone(), held.clone())).collect();
        prop_assume!(!smaller.members.is_empty());
        let after = smaller.assign(Assignor::Uniform);
        for (before, after) in held.iter().zip(&after) {
            prop_assert_eq!(shared(before, after), before.len(), "a departure revokes nothing");
        }
        let gained: usize = after.iter().map(Target::len).sum::<usize>()
            - held.iter().map(Target::len).sum::<usize>();
        prop_assert_eq!(gained, moved.len());
    }

    #[test]
    fn newcomer_takes_its_share_and_nothing_else_moves(drawn in drawn(true)) {
        let targets = drawn.assign(Assignor::Uniform);
        let mut larger = drawn.with(targets.clone());
        larger.members.push((drawn.members[0].0.clone(), Target::default()));
        let after = larger.assign(Assignor::Uniform);
        larger.check_complete(&after)?;
        let share = drawn.total() / larger.members.len();
        let kept: usize = targets.iter().zip(&after).map(|(b, a)| shared(b, a)).sum();
        prop_assert!(drawn.total() - kept <= share + 1);
        prop_assert_eq!(after.last().unwrap().len(), drawn.total() - kept);
    }

    #[test]
    fn uniform_with_different_subscriptions_has_no_move_that_evens_loads(drawn in drawn(false)) {
        let targets = drawn.assign(Assignor::Uniform);
        for (from, target) in targets.iter().enumerate() {
            for index in 0..drawn.partitions.len() {
                if target.of(topic(index)).next().is_none() {
                    continue;
                }
                for to in drawn.subscribers(index) {
                    let (more, less) = (target.len(), targets[to].len());
                    prop_assert!(more <= less + 1, "{from} has {more}, {to} has {less}");
                }
            }
        }
    }

    #[test]
    fn range_is_balanced_within_each_topic(drawn in drawn(false)) {
        let targets = drawn.assign(Assignor::Range);
        for index in 0..drawn.partitions.len() {
            let sizes = drawn.subscribers(index).into_iter()
                .map(|at| targets[at].of(topic(index)).count());
            let sizes: Vec<_> = sizes.collect();
            let (least, most) = (sizes.iter().min(), sizes.iter().max());
            prop_assert!(most.unwrap_or(&0) - least.unwrap_or(&0) <= 1, "{sizes:?}");
        }
    }

    #[test]
    fn range_gives_equal_partitions_of_equal_topics_to_one_member(
        partitions in 0..12i32,
        members in 1..6usize,
        leaving in 0..6usize,
    ) {
        let fresh = Drawn {
            partitions: vec![partitions; 3],
            members: vec![((0..3).collect(), Target::default()); members],
        };
        let mut targets = fresh.assign(Assignor::Range);
        let mut next = fresh.with(targets.clone());
        if members > 1 {
            next.members.remove(leaving % members);
            targets = next.assign(Assignor::Range);
        }
        for target in targets {
            let of = |index| target.of(topic(index)).collect::<Vec<_>>();
            prop_assert!(of(0) == of(1) && of(1) == of(2), "{target:?}");
        }
    }
}

#[test]
fn fresh_ranges_are_contiguous() {
    let drawn =
        Drawn { partitions: vec![7], members: vec![(BTreeSet::from([0]), Target::default()); 3] };
    let targets = drawn.assign(Assignor::Range);
    let ranges: Vec<Vec<i32>> =
        targets.iter().map(|target| target.of(topic(0)).collect()).collect();
    assert_eq!(ranges, [vec![0, 1, 2], vec![3, 4], vec![5, 6]]);
}
