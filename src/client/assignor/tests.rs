//! What holds for every assignor, in whatever group.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

pub(super) fn topics(counts: &[(&str, usize)]) -> Topics {
    counts.iter().map(|(topic, count)| ((*topic).into(), vec![Racks::new(); *count])).collect()
}

pub(super) fn group(subscriptions: &[(&str, &[&str])]) -> Members {
    let member = |topics: &[&str]| Member {
        topics: topics.iter().map(|topic| (*topic).into()).collect(),
        ..Member::default()
    };
    subscriptions.iter().map(|(id, topics)| ((*id).into(), member(topics))).collect()
}

pub(super) fn racked(subscriptions: &[(&str, &str, &[&str])]) -> Members {
    let plain: Vec<_> = subscriptions.iter().map(|(id, _, topics)| (*id, *topics)).collect();
    let mut members = group(&plain);
    for (id, rack, _) in subscriptions {
        members.get_mut(*id).unwrap().rack = Some((*rack).into());
    }
    members
}

pub(super) fn share(shares: &Shares, member: &str) -> Vec<String> {
    shares[member].iter().map(ToString::to_string).collect()
}

/// The group after a rebalance: everyone owns its share in this generation.
fn after(assignor: Assignor, members: &Members, shares: &Shares, generation: i32) -> Members {
    let mut members = members.clone();
    for (id, member) in &mut members {
        let share = shares.get(id).cloned().unwrap_or_default();
        member.user_data = assignor.user_data(Some((&share, generation)));
        if assignor.is_cooperative() {
            (member.owned, member.generation) = (share, Some(generation));
        }
    }
    members
}

/// Rebalances until all partitions are assigned: cooperative groups need a second one.
fn settle(assignor: Assignor, all: &Topics, members: &Members, generation: i32) -> Shares {
    let first = assignor.assign(all, members);
    if !assignor.is_cooperative() {
        return first;
    }
    // Between the two, owners give up what they were not assigned.
    assignor.assign(all, &after(assignor, members, &first, generation))
}

fn moved(before: &Shares, now: &Shares) -> usize {
    let had = |id: &MemberId| before.get(id).into_iter().flatten().collect::<BTreeSet<_>>();
    now.iter().map(|(id, share)| share.iter().filter(|p| !had(id).contains(p)).count()).sum()
}

#[derive(Clone, Debug)]
struct Case {
    all: Topics,
    members: Members,
}

/// Topics and members; `alike`: all subscribe to the same topics.
fn case(alike: bool, racks: bool) -> impl Strategy<Value = Case> {
    const NAMES: [&str; 4] = ["a", "b", "c", "d"];
    let rack = prop::sample::select(vec!["x", "y", "z"]);
    let replicas = prop::collection::btree_set(rack.clone(), 0..3);
    let partitions = prop::collection::vec(replicas, 0..12);
    let all = prop::collection::vec(partitions, 1..=NAMES.len());
    let subscription = prop::sample::subsequence(NAMES.to_vec(), 1..=NAMES.len());
    let member = (subscription.clone(), prop::option::of(rack), prop::bool::ANY);
    let members = prop::collection::vec(member, 1..8);
    (all, members, subscription).prop_map(move |(all, members, same)| {
        let known = |near: BTreeSet<&str>| -> Racks {
            near.into_iter().filter(|_| racks).map(Into::into).collect()
        };
        let all = NAMES.iter().zip(all).map(|(name, partitions)| {
            ((*name).into(), partitions.into_iter().map(known).collect())
        });
        let members = members.into_iter().enumerate().map(|(n, (topics, rack, is_static))| {
            let topics = if alike { &same } else { &topics };
            let member = Member {
                topics: topics.iter().map(|topic| (*topic).into()).collect(),
                rack: rack.filter(|_| racks).map(Into::into),
                instance: is_static.then(|| format!("i{n}").into()),
                ..Member::default()
            };
            (MemberId::from(format!("m{n}")), member)
        });
        Case { all: all.collect(), members: members.collect() }
    })
}

fn any_case() -> impl Strategy<Value = Case> {
    (prop::bool::ANY, prop::bool::ANY).prop_flat_map(|(alike, racks)| case(alike, racks))
}

fn any_assignor() -> impl Strategy<Value = Assignor> {
    prop::sample::select(Assignor::ALL.to_vec())
}

/// Panics if a partition has two owners, or one that does not subscribe to it; returns those without.
fn unowned(case: &Case, shares: &Shares) -> BTreeSet<TopicPartition> {
    let mut left = BTreeSet::new();
    for (topic, racks) in &case.all {
        if case.members.values().any(|member| member.topics.contains(topic)) {
            left.extend(member::partitions(topic, racks));
        }
    }
    for (id, share) in shares {
        for partition in share {
            assert!(case.members[id].topics.contains(&partition.topic), "{id} got {partition}");
            assert!(left.remove(partition), "{partition} does not exist, or has two owners");
        }
    }
    left
}

fn sizes(shares: &Shares) -> (usize, usize) {
    let sizes = || shares.values().map(Vec::len);
    (sizes().min().unwrap_or(0), sizes().max().unwrap_or(0))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn every_partition_has_exactly_one_owner_who_subscribed(
        assignor in any_assignor(),
        case in any_case(),
    ) {
        let shares = assignor.assign(&case.all, &case.members);
        prop_assert_eq!(shares.len(), case.members.len());
        prop_assert!(unowned(&case, &shares).is_empty());
    }

    #[test]
    fn members_with_equal_subscriptions_get_equal_shares(case in case(true, true)) {
        for assignor in [Assignor::RoundRobin, Assignor::Sticky, Assignor::CooperativeSticky] {
            let (least, most) = sizes(&assignor.assign(&case.all, &case.members));
            prop_assert!(most - least <= 1, "{:?}: {} to {}", assignor, least, most);
        }
        let shares = Assignor::Range.assign(&case.all, &case.members);
        for topic in case.all.keys() {
            let of_topic = shares.iter().map(|(id, share)| {
                (id.clone(), share.iter().filter(|p| p.topic == *topic).cloned().collect())
            });
            let (least, most) = sizes(&of_topic.collect());
            prop_assert!(most - least <= 1, "{}: {} to {}", topic, least, most);
        }
    }

    #[test]
    fn sticky_shares_can_not_be_made_more_even_by_one_move(case in case(false, false)) {
        let shares = Assignor::Sticky.assign(&case.all, &case.members);
        for (giver, share) in &shares {
            for partition in share {
                for (taker, member) in &case.members {
                    let may = member.topics.contains(&partition.topic) && taker != giver;
                    let even = share.len() <= shares[taker].len() + 1;
                    prop_assert!(!may || even, "{} could go from {} to {}", partition, giver, taker);
                }
            }
        }
    }

    #[test]
    fn nothing_moves_if_nothing_changed(
        case in prop::bool::ANY.prop_flat_map(|alike| case(alike, false)),
        cooperative in prop::bool::ANY,
    ) {
        let assignor = if cooperative { Assignor::CooperativeSticky } else { Assignor::Sticky };
        let before = assignor.assign(&case.all, &case.members);
        let members = after(assignor, &case.members, &before, 1);
        let now = settle(assignor, &case.all, &members, 2);
        prop_assert_eq!(moved(&before, &now), 0);
    }

    #[test]
    fn leaving_member_moves_only_its_own_partitions(case in case(true, false)) {
        for assignor in [Assignor::Sticky, Assignor::CooperativeSticky] {
            let before = assignor.assign(&case.all, &case.members);
            let mut members = after(assignor, &case.members, &before, 1);
            let Some((gone, _)) = members.pop_last() else { unreachable!("never empty") };
            let now = settle(assignor, &case.all, &members, 2);
            let most = if members.is_empty() { 0 } else { before[&gone].len() };
            prop_assert!(moved(&before, &now) <= most);
        }
    }

    #[test]
    fn joining_member_gets_no_more_than_its_share_moved(case in case(true, false)) {
        for assignor in [Assignor::Sticky, Assignor::CooperativeSticky] {
            let mut old = case.members.clone();
            let Some((id, new)) = old.pop_last() else { unreachable!("never empty") };
            let before = settle(assignor, &case.all, &old, 1);
            let mut members = after(assignor, &old, &before, 1);
            members.insert(id.clone(), new);
            let now = settle(assignor, &case.all, &members, 2);
            prop_assert!(unowned(&case, &now).is_empty());
            prop_assert_eq!(moved(&before, &now), now[&id].len());
        }
    }

    #[test]
    fn cooperative_rebalance_never_hands_over_what_another_still_owns(
        case in any_case(),
        owned in prop::collection::vec((0..8usize, 0..4usize, 0..12i32), 0..40),
        generations in prop::collection::vec(prop::option::of(0..3i32), 8),
    ) {
        let mut members = case.members.clone();
        let names = ["a", "b", "c", "d"];
        for (n, member) in members.values_mut().enumerate() {
            let own = owned.iter().filter(|(owner, ..)| *owner == n);
            member.owned = own.map(|(_, t, p)| TopicPartition::new(names[*t], *p)).collect();
            member.generation = generations[n];
        }
        let shares = Assignor::CooperativeSticky.assign(&case.all, &members);
        let newest = members.values().filter_map(|member| member.generation).max();
        for (id, share) in &shares {
            for partition in share.iter().filter(|p| !members[id].owned.contains(p)) {
                let owner = members.iter().find(|(other, member)| {
                    *other != id && member.generation == newest && member.owned.contains(partition)
                        && member.topics.contains(&partition.topic)
                });
                prop_assert!(owner.is_none(), "{} goes from {:?} to {}", partition, owner, id);
            }
        }
        // Each time, owners give up what they were not assigned, and others get it the next time.
        let case = Case { all: case.all, members };
        // With racks and different subscriptions, Kafka's algorithm may go on for ever: it releases
        // what is far each time, and moves it back for the balance.
        let mut shares = shares;
        let mut rounds = 1;
        let ends = case.members.values().all(|member| member.rack.is_none());
        while ends && !unowned(&case, &shares).is_empty() {
            rounds += 1;
            prop_assert!(rounds < 10, "{:?} stay without an owner", unowned(&case, &shares));
            let members = after(Assignor::CooperativeSticky, &case.members, &shares, 8 + rounds);
            shares = Assignor::CooperativeSticky.assign(&case.all, &members);
        }
    }
}

#[test]
fn assignors_are_named_as_in_kafka() {
    for assignor in Assignor::ALL {
        assert_eq!(Assignor::parse(assignor.name()), Some(assignor));
        let class = format!("org.apache.kafka.clients.consumer.{}", assignor.class());
        assert_eq!(Assignor::parse(&class), Some(assignor));
        assert_eq!(Assignor::parse(&format!("class {class}")), Some(assignor));
    }
    assert_eq!(Assignor::parse("org.example.Mine"), None);
}

#[test]
fn sticky_keeps_partitions_where_round_robin_would_deal_anew() {
    // The example of KIP-54.
    let subscriptions: [(&str, &[&str]); 3] = [
        ("c0", &["a", "b", "c", "d"]),
        ("c1", &["a", "b", "c", "d"]),
        ("c2", &["a", "b", "c", "d"]),
    ];
    let (all, members) = (topics(&[("a", 2), ("b", 2), ("c", 2), ("d", 2)]), group(&subscriptions));
    let before = Assignor::Sticky.assign(&all, &members);
    assert_eq!(share(&before, "c0"), ["a-0", "b-1", "d-0"]);
    assert_eq!(share(&before, "c1"), ["a-1", "c-0", "d-1"]);
    assert_eq!(share(&before, "c2"), ["b-0", "c-1"]);
    let mut members = after(Assignor::Sticky, &members, &before, 1);
    members.remove("c1");
    let now = Assignor::Sticky.assign(&all, &members);
    assert_eq!(moved(&before, &now), 3);
    assert_eq!(share(&now, "c0"), ["a-0", "d-0", "b-1", "a-1"]);
    assert_eq!(share(&now, "c2"), ["b-0", "c-1", "c-0", "d-1"]);
}

#[test]
fn cooperative_rebalance_assigns_a_moving_partition_in_the_second_round() {
    let (all, old) = (topics(&[("a", 4)]), group(&[("c0", &["a"])]));
    let assignor = Assignor::CooperativeSticky;
    let before = assignor.assign(&all, &old);
    let mut members = after(assignor, &old, &before, 1);
    members.extend(group(&[("c1", &["a"])]));
    let first = assignor.assign(&all, &members);
    assert_eq!(
        (share(&first, "c0"), share(&first, "c1")),
        (vec!["a-0".into(), "a-1".into()], vec![])
    );
    let second = assignor.assign(&all, &after(assignor, &members, &first, 2));
    assert_eq!(share(&second, "c0"), ["a-0", "a-1"]);
    assert_eq!(share(&second, "c1"), ["a-2", "a-3"]);
}

#[test]
fn member_of_an_older_generation_loses_what_it_claims() {
    for assignor in [Assignor::Sticky, Assignor::CooperativeSticky] {
        let (all, members) = (topics(&[("a", 2)]), group(&[("c0", &["a"]), ("c1", &["a"])]));
        let both = [0, 1].map(|index| TopicPartition::new("a", index)).to_vec();
        let stale: BTreeMap<_, _> = [("c0".into(), both), ("c1".into(), vec![])].into();
        let mut members = after(assignor, &members, &stale, 1);
        let current: BTreeMap<_, _> = [("c1".into(), vec![TopicPartition::new("a", 0)])].into();
        let owner = after(assignor, &members, &current, 2).remove("c1").unwrap();
        members.insert("c1".into(), owner);
        let shares = assignor.assign(&all, &members);
        assert_eq!(
            (share(&shares, "c0"), share(&shares, "c1")),
            (vec!["a-1".into()], vec!["a-0".into()])
        );
    }
}
