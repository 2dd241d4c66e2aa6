//! Arbitrary requests, ones that no client sends among them.

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::Index;

use super::consumers::{Consumer, stabilise};
use super::*;
use crate::group::testing::Answer;
use crate::wire::messages::OffsetCommitRequest;

/// Who a request claims to be from.
#[derive(Clone, Debug)]
enum Who {
    /// An id that the coordinator gave to someone.
    Known(Index),
    New,
    Stranger,
}

#[derive(Clone, Debug)]
enum Step {
    Join { version: i16, who: Who, instance: Option<u8>, protocols: u8, kind: u8, timeouts: u8 },
    Sync { version: i16, who: Who, instance: Option<u8>, generation: i32, assigns: bool },
    Beat { who: Who, instance: Option<u8>, generation: i32 },
    Leave { version: i16, who: Vec<(Who, Option<u8>)> },
    CommitOffset { who: Who, generation: i32 },
    DeleteGroup,
    Pass(u64),
    Commits(bool),
    Refuses(bool),
    FailOver(Index),
}

fn who() -> impl Strategy<Value = Who> {
    prop_oneof![
        8 => any::<Index>().prop_map(Who::Known),
        3 => Just(Who::New),
        1 => Just(Who::Stranger),
    ]
}

fn instance() -> impl Strategy<Value = Option<u8>> {
    prop_oneof![3 => Just(None), 1 => (0..3u8).prop_map(Some)]
}

/// Added to the newest generation.
fn generation() -> impl Strategy<Value = i32> {
    prop_oneof![6 => Just(0), 1 => Just(-1), 1 => Just(1), 1 => Just(i32::MIN / 2)]
}

fn step() -> impl Strategy<Value = Step> {
    let join = (0..=9i16, who(), instance(), 0..8u8, 0..12u8, 0..12u8);
    let sync = (0..=5i16, who(), instance(), generation(), any::<bool>());
    let leave = (0..=5i16, proptest::collection::vec((who(), instance()), 1..3));
    prop_oneof![
        10 => join.prop_map(|(version, who, instance, protocols, kind, timeouts)| {
            Step::Join { version, who, instance, protocols, kind, timeouts }
        }),
        8 => sync.prop_map(|(version, who, instance, generation, assigns)| {
            Step::Sync { version, who, instance, generation, assigns }
        }),
        3 => (who(), instance(), generation())
            .prop_map(|(who, instance, generation)| Step::Beat { who, instance, generation }),
        2 => leave.prop_map(|(version, who)| Step::Leave { version, who }),
        1 => (who(), generation())
            .prop_map(|(who, generation)| Step::CommitOffset { who, generation }),
        1 => Just(Step::DeleteGroup),
        6 => prop_oneof![Just(0), Just(1), Just(500), Just(3000), Just(9999), Just(60_000)]
            .prop_map(Step::Pass),
        2 => any::<bool>().prop_map(Step::Commits),
        1 => prop_oneof![1 => Just(true), 3 => Just(false)].prop_map(Step::Refuses),
        1 => any::<Index>().prop_map(Step::FailOver),
    ]
}

/// A world of requests without clients.
struct Chaos {
    shell: Shell,
    /// Ids that were given to anyone.
    ids: Vec<String>,
    generation: i32,
    joins: Vec<Waiter<JoinGroupResponse>>,
    /// With the id that asks.
    syncs: Vec<(String, Waiter<SyncGroupResponse>)>,
    /// Ids of each instance, to know who inherits from whom.
    instances: Vec<BTreeSet<String>>,
}

fn name(instance: Option<u8>) -> Option<String> {
    instance.map(|instance| format!("i{instance}"))
}

impl Chaos {
    fn new() -> Self {
        Self {
            shell: Shell::new(GroupSettings { max_size: 4, ..GroupSettings::default() }),
            ids: Vec::new(),
            generation: 0,
            joins: Vec::new(),
            syncs: Vec::new(),
            instances: vec![BTreeSet::new(); 3],
        }
    }

    fn id(&self, who: &Who) -> String {
        match who {
            Who::Known(index) if !self.ids.is_empty() => index.get(&self.ids).clone(),
            Who::Known(_) | Who::New => String::new(),
            Who::Stranger => "stranger".to_owned(),
        }
    }

    fn instance_of(id: &str) -> Option<usize> {
        id.strip_prefix('i')?.split('-').next()?.parse().ok()
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Join { version, who, instance, protocols, kind, timeouts } => {
                let names: Vec<_> = ["a", "b", "c"]
                    .into_iter()
                    .enumerate()
                    .filter(|(bit, _)| protocols >> bit & 1 == 1 || *protocols == 0)
                    .map(|(_, name)| name)
                    .collect();
                let mut request = with_protocols(join(&self.id(who)), &names);
                request.group_instance_id = name(*instance).map(Into::into);
                if *kind == 0 {
                    request.protocol_type = "connect".into();
                }
                match timeouts {
                    0 => request.session_timeout_ms = -1,
                    1 => request.rebalance_timeout_ms = -1,
                    2 => request.rebalance_timeout_ms = 0,
                    3 => request.session_timeout_ms = 60_000,
                    4 => request.rebalance_timeout_ms = 5_000,
                    _ => {}
                }
                let waiter = self.shell.join(*version, &request);
                self.joins.push(waiter);
            }
            Step::Sync { version, who, instance, generation, assigns } => {
                let id = self.id(who);
                let generation = self.generation.wrapping_add(*generation);
                let mut request = match assigns {
                    true => assign(&id, generation, &self.ids),
                    false => sync(&id, generation),
                };
                request.protocol_name = None;
                request.group_instance_id = name(*instance).map(Into::into);
                let (reply, waiter) = Waiter::new();
                self.shell.decide(|machine, now, wall| {
                    machine.sync(now, wall, *version, &request, reply)
                });
                self.syncs.push((id, waiter));
            }
            Step::Beat { who, instance, generation } => {
                let generation = self.generation.wrapping_add(*generation);
                let id = self.id(who);
                self.shell.beat(&id, name(*instance).as_deref(), generation);
            }
            Step::Leave { version, who } => {
                let members = who.iter().map(|(who, instance)| {
                    message!(MemberIdentity {
                        member_id: self.id(who).into(),
                        group_instance_id: name(*instance).map(Into::into),
                    })
                });
                let members: Vec<_> = members.collect();
                let mut request = message!(LeaveGroupRequest { group_id: GROUP.into() });
                request.member_id = members[0].member_id.clone();
                request.members = members;
                self.shell
                    .decide(|machine, now, wall| machine.leave(now, wall, *version, &request));
            }
            Step::CommitOffset { who, generation } => {
                let request = message!(OffsetCommitRequest {
                    group_id: GROUP.into(),
                    member_id: self.id(who).into(),
                    generation_id_or_member_epoch: self.generation.wrapping_add(*generation),
                });
                self.shell
                    .decide(|machine, now, wall| machine.commit_offsets(now, wall, 8, &request));
            }
            Step::DeleteGroup => {
                self.shell.decide(|machine, now, _| machine.delete_group(now, GROUP));
            }
            Step::Pass(millis) => self.shell.pass(Duration::from_millis(*millis)),
            Step::Commits(commits) => self.shell.commits = *commits,
            Step::Refuses(refuses) => self.shell.refuses = *refuses,
            Step::FailOver(index) => {
                let kept = *index.get(&self.shell.survivors());
                self.shell.fail_over(kept);
                self.generation =
                    self.shell.machine().state.classic(GROUP).map_or(0, |group| group.generation);
            }
        }
        self.listen();
        self.check();
    }

    /// Takes up answers.
    fn listen(&mut self) {
        let (ids, generation, instances) =
            (&mut self.ids, &mut self.generation, &mut self.instances);
        self.joins.retain_mut(|waiter| match waiter.poll() {
            Answer::Waits => true,
            Answer::Dropped => false,
            Answer::Is(answer) => {
                let id = answer.member_id.as_str().to_owned();
                let is_error = answer.error_code != 0;
                assert_eq!(is_error, answer.generation_id < 0, "{answer:?}");
                if !is_error {
                    assert!(!id.is_empty() && !answer.leader.is_empty(), "{answer:?}");
                    *generation = answer.generation_id;
                }
                if let Some(instance) = Self::instance_of(&id) {
                    instances[instance].insert(id.clone());
                }
                if !id.is_empty() && !ids.contains(&id) {
                    ids.push(id);
                }
                false
            }
        });
        self.syncs.retain_mut(|(id, waiter)| match waiter.poll() {
            Answer::Waits => true,
            Answer::Dropped => false,
            Answer::Is(answer) => {
                let assigned = String::from_utf8(answer.assignment.to_vec()).unwrap();
                let inherited = Self::instance_of(id)
                    .is_some_and(|instance| instances[instance].contains(&assigned));
                assert!(
                    assigned.is_empty() || assigned == *id || inherited,
                    "{id} was given what is assigned to {assigned}"
                );
                false
            }
        });
    }

    fn check(&self) {
        let described = self.shell.machine().describe(5, GROUP);
        if &*described.group_state != "PreparingRebalance" {
            // Static members that miss a rebalance keep their place beside those that came instead.
            let members = described.members.iter();
            let dynamic = members.filter(|member| member.group_instance_id.is_none()).count();
            let max = self.shell.machine().settings.max_size;
            assert!(dynamic <= max, "{dynamic} members in a group of {max}");
        }
        if &*described.group_state == "Stable" {
            let assigned = described.members.iter().map(|member| &member.member_assignment);
            let assigned: Vec<_> = assigned.filter(|assigned| !assigned.is_empty()).collect();
            let owners: BTreeSet<_> = assigned.iter().copied().collect();
            assert_eq!(owners.len(), assigned.len(), "one assignment has two owners");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    /// The invariants are checked by the shell after each step.
    #[test]
    fn arbitrary_requests_keep_the_invariants_and_clients_recover(
        steps in proptest::collection::vec(step(), 1..120),
        consumers in 1..4usize,
    ) {
        let mut chaos = Chaos::new();
        for step in &steps {
            chaos.step(step);
        }
        chaos.shell.refuses = false;
        chaos.shell.commits = true;
        chaos.shell.commit_all();
        let mut consumers: Vec<_> = (0..consumers)
            .map(|number| Consumer::new((number == 0).then_some("i0")))
            .collect();
        stabilise(&mut chaos.shell, &mut consumers);
        chaos.listen();
        prop_assert!(chaos.joins.is_empty(), "a JoinGroup is never answered");
        prop_assert!(chaos.syncs.is_empty(), "a SyncGroup is never answered");
    }
}
