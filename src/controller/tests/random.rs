//! Invariants of partitions under random requests in any order.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    /// Time passes, and some brokers send heartbeats.
    Wait {
        seconds: u64,
        heard: [bool; 4],
    },
    /// A broker registers a new process.
    Restart {
        id: i32,
        clean: bool,
    },
    Heartbeat {
        id: i32,
        want_fence: bool,
        want_shut_down: bool,
        behind: bool,
    },
    /// The leader of a partition proposes an ISR, perhaps with wrong epochs.
    Alter {
        topic: usize,
        isr: [bool; 4],
        off: (i32, i32, i64),
    },
    Create {
        name: usize,
        copies: i16,
        min_insync: usize,
        unclean: bool,
    },
    Delete {
        name: usize,
    },
}

const NAMES: [&str; 3] = ["a", "b", "c"];

fn step() -> impl Strategy<Value = Step> {
    let rarely = || proptest::bool::weighted(0.15);
    let off = || prop_oneof![6 => Just(0), 1 => -1..=1];
    prop_oneof![
        4 => (0..8u64, any::<[bool; 4]>()).prop_map(|(seconds, heard)| Step::Wait { seconds, heard }),
        2 => (1..=4i32, any::<bool>()).prop_map(|(id, clean)| Step::Restart { id, clean }),
        4 => (1..=4i32, rarely(), rarely(), rarely()).prop_map(
            |(id, want_fence, want_shut_down, behind)| Step::Heartbeat {
                id, want_fence, want_shut_down, behind,
            }
        ),
        4 => (0..3usize, any::<[bool; 4]>(), (off(), off(), off())).prop_map(
            |(topic, isr, (leader, version, broker))| {
                Step::Alter { topic, isr, off: (leader, version, i64::from(broker)) }
            }
        ),
        2 => (0..3usize, 1..=4i16, 1..=3usize, rarely()).prop_map(
            |(name, copies, min_insync, unclean)| Step::Create { name, copies, min_insync, unclean }
        ),
        1 => (0..3usize).prop_map(|name| Step::Delete { name }),
    ]
}

fn take(cluster: &mut Cluster, step: Step) {
    match step {
        Step::Wait { seconds, heard } => {
            for id in (1..=4).filter(|id| heard[*id as usize - 1]) {
                let standing = cluster.image().broker(BrokerId(id));
                if standing.is_some_and(|broker| broker.is_active()) {
                    cluster.heartbeat(id);
                }
            }
            cluster.after(seconds).tick();
        }
        Step::Restart { id, clean } => {
            let previous = if clean { cluster.epoch(id) } else { BrokerEpoch::NONE };
            let request = cluster.registration(id, previous);
            let _ = cluster.register(&request);
        }
        Step::Heartbeat { id, want_fence, want_shut_down, behind } => {
            let mut request = cluster.request(id);
            request.want_fence = want_fence;
            request.want_shut_down = want_shut_down;
            if behind {
                request.current_metadata_offset -= 5;
            }
            cluster.beat(&request);
        }
        Step::Alter { topic, isr, off } => alter(cluster, topic, isr, off),
        Step::Create { name, copies, min_insync, unclean } => {
            let mut topic = topic(NAMES[name], 2, copies);
            topic.configs = settings(&[
                ("min.insync.replicas", ["1", "2", "3"][min_insync - 1]),
                ("unclean.leader.election.enable", if unclean { "true" } else { "false" }),
            ]);
            let _ = cluster.create(topic);
        }
        Step::Delete { name } => {
            let mut request = crate::wire::messages::DeleteTopicsRequest::default();
            request.topic_names = vec![NAMES[name].into()];
            let decision = cluster.controller.delete_topics(cluster.now, &request);
            cluster.commit(decision);
        }
    }
}

fn alter(cluster: &mut Cluster, topic: usize, isr: [bool; 4], off: (i32, i32, i64)) {
    let Some(topic) = cluster.image().topic(NAMES[topic]) else { return };
    let (id, state) = (topic.id, topic.partitions[&0].clone());
    let Some(leader) = state.leader else { return };
    let chosen = |id: &&BrokerId| **id == leader || isr[id.0 as usize - 1];
    let member = |id: &BrokerId| {
        let mut member = alter_partition_request::BrokerState::default();
        member.broker_id = id.0;
        member.broker_epoch = cluster.epoch(id.0).0 + off.2;
        member
    };
    let mut partition = alter_partition_request::PartitionData::default();
    partition.leader_epoch = state.leader_epoch.0 + off.0;
    partition.partition_epoch = state.partition_epoch.0 + off.1;
    partition.new_isr_with_epochs = state.replicas.iter().filter(chosen).map(member).collect();
    let mut topic_data = alter_partition_request::TopicData::default();
    topic_data.topic_id = id.into();
    topic_data.partitions = vec![partition];
    let mut request = AlterPartitionRequest::default();
    request.broker_id = leader.0;
    request.broker_epoch = cluster.epoch(leader.0).0;
    request.topics = vec![topic_data];
    let _ = cluster.alter(&request);
}

/// Compares the index with a search through all partitions.
fn check_index(image: &Image) -> Result<(), TestCaseError> {
    let having = |has: &dyn Fn(&PartitionState) -> bool| {
        let all = image.partitions().filter(|(_, _, state)| has(state));
        all.map(|(topic, index, _)| (topic.id, index)).collect::<Vec<_>>()
    };
    for id in (1..=4).map(BrokerId) {
        prop_assert!(image.led_by(Some(id)).eq(having(&|state| state.leader == Some(id))));
        prop_assert!(image.in_sync_on(id).eq(having(&|state| state.isr.contains(&id))));
        prop_assert!(image.eligible_on(id).eq(having(&|state| state.elr.contains(&id))));
    }
    prop_assert!(image.led_by(None).eq(having(&|state| state.leader.is_none())));
    Ok(())
}

fn is_creation(change: &Change) -> bool {
    matches!(
        change,
        Change::TopicCreated { .. } | Change::Partition { .. } | Change::TopicConfig { .. }
    )
}

type States = BTreeMap<(TopicId, i32), PartitionState>;

fn states(image: &Image) -> States {
    image.partitions().map(|(t, index, state)| ((t.id, index), state.clone())).collect()
}

fn check(image: &Image, state: &PartitionState) -> Result<(), TestCaseError> {
    let members = state.isr.iter().chain(&state.elr);
    prop_assert!(members.clone().all(|id| state.replicas.contains(id)), "not a replica: {state:?}");
    let mut distinct: Vec<_> = members.clone().collect();
    distinct.sort_unstable();
    distinct.dedup();
    prop_assert_eq!(distinct.len(), members.count(), "twice: {:?}", state);
    if let Some(leader) = state.leader {
        prop_assert!(state.isr.contains(&leader), "leader not in the ISR: {state:?}");
        prop_assert!(image.is_active(leader), "leader fenced or shutting down: {state:?}");
        let out = state.isr.iter().find(|id| !image.is_active(**id));
        prop_assert!(out.is_none(), "ISR member fenced or shutting down: {state:?}");
        prop_assert!(state.last_known_elr.is_empty());
    } else {
        prop_assert!(state.isr.len() <= 1, "more than the last member: {state:?}");
        prop_assert!(
            state.isr.iter().chain(&state.elr).all(|id| !image.is_active(*id)),
            "an eligible replica, but no leader: {state:?}"
        );
        // Empty only after all ISR members have come back without their data.
        prop_assert!(!state.isr.is_empty() || state.last_known_elr.len() == 1);
    }
    Ok(())
}

fn check_change(
    before: &PartitionState,
    after: &PartitionState,
    unclean: bool,
) -> Result<(), TestCaseError> {
    prop_assert!(after.partition_epoch > before.partition_epoch);
    prop_assert!(after.leader_epoch >= before.leader_epoch);
    if after.leader != before.leader {
        prop_assert!(after.leader_epoch > before.leader_epoch);
    } else {
        prop_assert_eq!(after.leader_epoch, before.leader_epoch);
    }
    if let Some(leader) = after.leader.filter(|_| after.leader != before.leader) {
        let eligible = before.isr.contains(&leader) || before.elr.contains(&leader);
        prop_assert_eq!(!eligible, unclean, "{:?} then {:?}", before, after);
    }
    Ok(())
}

proptest! {
    #[test]
    fn partitions_stay_valid_under_random_requests(
        steps in proptest::collection::vec(step(), 1..80),
    ) {
        let mut cluster = Cluster::of(&[1, 2, 3, 4]);
        cluster.create(topic("a", 2, 3)).unwrap();
        for change in &cluster.changes {
            prop_assert!(is_creation(change));
        }
        cluster.history.clear();
        let mut last = states(cluster.image());
        for step in steps {
            take(&mut cluster, step);
            let image = cluster.image();
            prop_assert_eq!(image.offset(), Some(Offset(cluster.next.0 - 1)));
            for (_, _, state) in image.partitions() {
                check(image, state)?;
            }
            for change in std::mem::take(&mut cluster.history) {
                let Change::Partition { topic_id, partition, state, unclean, .. } = change else {
                    continue;
                };
                if let Some(earlier) = last.insert((topic_id, partition), (*state).clone()) {
                    check_change(&earlier, &state, unclean)?;
                }
            }
        }
        // Another controller, or a broker, replays the log to the same image.
        let mut again = Image::default();
        for (offset, record) in (0..).zip(&cluster.log) {
            prop_assert_eq!(again.replay(Offset(offset), record, &mut Vec::new()), Ok(()));
        }
        prop_assert_eq!(&again, cluster.image());
        check_index(&again)?;
    }
}
