//! Groups that change their protocol while they are in use, one member after the other.

use std::collections::BTreeMap;

use bytes::BytesMut;
use proptest::prelude::*;

use super::protocols::{consume, shell as coordinator};
use super::*;
use crate::base::config::MigrationPolicy;
use crate::group::testing::Answer;
use crate::wire::messages::{
    ApiVersion, ConsumerProtocolAssignment, ConsumerProtocolSubscription, DecodeLimits,
    consumer_group_heartbeat_request, consumer_protocol_assignment, consumer_protocol_subscription,
    decode_consumer_protocol_assignment, decode_consumer_protocol_subscription,
    encode_consumer_protocol_assignment, encode_consumer_protocol_subscription,
};

const PARTITIONS: i32 = 6;

fn subscription(owned: &[i32]) -> Bytes {
    let owned = message!(consumer_protocol_subscription::TopicPartition {
        topic: "orders".into(),
        partitions: owned.to_vec(),
    });
    let subscription = message!(ConsumerProtocolSubscription {
        topics: vec!["orders".into()],
        owned_partitions: vec![owned],
    });
    let mut bytes = BytesMut::new();
    encode_consumer_protocol_subscription(&mut bytes, &subscription, ApiVersion::new(3)).unwrap();
    bytes.freeze()
}

fn owned(bytes: &Bytes) -> Vec<i32> {
    let limits = DecodeLimits::default();
    let (_, read) = decode_consumer_protocol_subscription(bytes.clone(), limits).unwrap();
    read.owned_partitions.into_iter().flat_map(|topic| topic.partitions).collect()
}

fn assignment(partitions: Vec<i32>) -> Bytes {
    let topic = message!(consumer_protocol_assignment::TopicPartition {
        topic: "orders".into(),
        partitions: partitions,
    });
    let assignment = message!(ConsumerProtocolAssignment { assigned_partitions: vec![topic] });
    let mut bytes = BytesMut::new();
    encode_consumer_protocol_assignment(&mut bytes, &assignment, ApiVersion::new(3)).unwrap();
    bytes.freeze()
}

fn partitions(bytes: &Bytes) -> Vec<i32> {
    if bytes.is_empty() {
        return Vec::new();
    }
    let limits = DecodeLimits::default();
    let (_, read) = decode_consumer_protocol_assignment(bytes.clone(), limits).unwrap();
    read.assigned_partitions.into_iter().flat_map(|topic| topic.partitions).collect()
}

/// A consumer of either protocol.
struct Consumer {
    id: String,
    /// Keeps its partitions while it joins (classic protocol).
    cooperates: bool,
    /// Its epoch or generation.
    epoch: i32,
    owns: Vec<i32>,
    phase: Phase,
}

enum Phase {
    Stopped,
    New,
    Join,
    Joining(Waiter<JoinGroupResponse>),
    Syncing(Waiter<SyncGroupResponse>),
    Member,
}

impl Consumer {
    fn new(cooperates: bool) -> Self {
        Self { id: String::new(), cooperates, epoch: 0, owns: Vec::new(), phase: Phase::Stopped }
    }

    fn start_classic(&mut self) {
        (self.id, self.epoch, self.owns) = (String::new(), -1, Vec::new());
        self.phase = Phase::Join;
    }

    fn start_new(&mut self, id: &str) {
        (self.id, self.epoch, self.owns) = (id.to_owned(), 0, Vec::new());
        self.phase = Phase::New;
    }

    fn is_running(&self) -> bool {
        !matches!(self.phase, Phase::Stopped)
    }

    /// Leaves the group.
    fn stop(&mut self, shell: &mut Shell) {
        self.owns.clear();
        match std::mem::replace(&mut self.phase, Phase::Stopped) {
            Phase::Stopped => {}
            Phase::New => drop(shell.consume(&consume(&self.id, -1))),
            _ => drop(shell.leaves(&self.id)),
        }
    }

    fn step(&mut self, shell: &mut Shell) {
        match &mut self.phase {
            Phase::Stopped => {}
            Phase::New => self.beat_new(shell),
            Phase::Join => {
                if !self.cooperates {
                    self.owns.clear();
                }
                let mut request = join(&self.id);
                request.protocols[0].metadata = subscription(&self.owns);
                self.phase = Phase::Joining(shell.join(9, &request));
            }
            Phase::Joining(waiter) => match waiter.poll() {
                Answer::Waits => {}
                Answer::Dropped => self.phase = Phase::Join,
                Answer::Is(answer) => self.joined(shell, &answer),
            },
            Phase::Syncing(waiter) => match waiter.poll() {
                Answer::Waits => {}
                Answer::Dropped => self.phase = Phase::Join,
                Answer::Is(answer) => self.synced(&answer),
            },
            Phase::Member => match shell.beat(&self.id, None, self.epoch) {
                ErrorCode::None => {}
                error => self.restart(error),
            },
        }
    }

    fn restart(&mut self, error: ErrorCode) {
        match error {
            ErrorCode::RebalanceInProgress => {}
            ErrorCode::UnknownMemberId | ErrorCode::IllegalGeneration => {
                self.owns.clear();
                self.id.clear();
            }
            other => panic!("{other:?}"),
        }
        self.phase = Phase::Join;
    }

    fn joined(&mut self, shell: &mut Shell, answer: &JoinGroupResponse) {
        match ErrorCode::from_code(answer.error_code) {
            ErrorCode::None => {}
            ErrorCode::MemberIdRequired => {
                self.id = answer.member_id.to_string();
                self.phase = Phase::Join;
                return;
            }
            error => return self.restart(error),
        }
        self.id = answer.member_id.to_string();
        self.epoch = answer.generation_id;
        let mut request = sync(&self.id, self.epoch);
        if answer.leader == answer.member_id {
            let members = answer.members.len() as i32;
            let owned: Vec<_> =
                answer.members.iter().map(|member| owned(&member.metadata)).collect();
            let assigned = answer.members.iter().zip(0..).map(|(member, at)| {
                let share = (0..PARTITIONS).filter(|partition| partition % members == at);
                // A cooperative leader leaves out what another member has to give up first.
                let is_free = |partition: &i32| {
                    let mut others = owned.iter().zip(0..).filter(|(_, other)| *other != at);
                    !self.cooperates || others.all(|(owned, _)| !owned.contains(partition))
                };
                message!(SyncGroupRequestAssignment {
                    member_id: member.member_id.clone(),
                    assignment: assignment(share.filter(is_free).collect()),
                })
            });
            request.assignments = assigned.collect();
        }
        self.phase = Phase::Syncing(shell.sync(&request));
    }

    fn synced(&mut self, answer: &SyncGroupResponse) {
        match ErrorCode::from_code(answer.error_code) {
            ErrorCode::None => {}
            error => return self.restart(error),
        }
        let assigned = partitions(&answer.assignment);
        let gives_up = self.owns.iter().any(|partition| !assigned.contains(partition));
        self.owns = assigned;
        // A cooperative consumer joins again once it has given partitions up.
        self.phase = if self.cooperates && gives_up { Phase::Join } else { Phase::Member };
    }

    fn beat_new(&mut self, shell: &mut Shell) {
        let mut request = consume(&self.id, self.epoch);
        if self.epoch > 0 {
            let owned = message!(consumer_group_heartbeat_request::TopicPartitions {
                topic_id: super::protocols::TOPIC.into(),
                partitions: self.owns.clone(),
            });
            request.topic_partitions = Some(vec![owned]);
        }
        let response = shell.consume(&request);
        match ErrorCode::from_code(response.error_code) {
            ErrorCode::None => {
                self.epoch = response.member_epoch;
                if let Some(assigned) = response.assignment {
                    let topics = assigned.topic_partitions.into_iter();
                    self.owns = topics.flat_map(|topic| topic.partitions).collect();
                }
            }
            ErrorCode::UnknownMemberId | ErrorCode::FencedMemberEpoch => {
                (self.epoch, self.owns) = (0, Vec::new());
            }
            other => panic!("{other:?}: {:?}", response.error_message),
        }
    }
}

/// A second passes; every consumer takes a step.
fn live(shell: &mut Shell, consumers: &mut [Consumer], seconds: u64) {
    for _ in 0..seconds {
        shell.pass_secs(1);
        for consumer in consumers.iter_mut() {
            consumer.step(shell);
        }
    }
}

/// In a consumer group, no two members use one partition. (The assignors of the classic protocol
/// are the clients' affair.)
fn check_owners(shell: &Shell, consumers: &[Consumer]) {
    let Some(group) = shell.machine().state.consumer(GROUP) else { return };
    let mut owners = BTreeMap::new();
    for consumer in consumers {
        if group.member(&consumer.id).is_none() {
            continue;
        }
        for partition in &consumer.owns {
            let other = owners.insert(*partition, &consumer.id);
            assert_eq!(other, None, "{partition} is used by {} too", consumer.id);
        }
    }
}

/// All partitions are used, each once, and members have their shares.
fn check_shared(consumers: &[Consumer]) {
    let running = || consumers.iter().filter(|consumer| consumer.is_running());
    let mut used: Vec<i32> = running().flat_map(|consumer| consumer.owns.clone()).collect();
    used.sort_unstable();
    assert_eq!(used, (0..PARTITIONS).collect::<Vec<_>>());
    let shares = running().map(|consumer| consumer.owns.len());
    assert!(shares.clone().max().unwrap() - shares.min().unwrap() <= 1);
}

fn kind(shell: &Shell) -> (String, String) {
    let none: [&str; 0] = [];
    let group = &shell.machine().list(&none, &none)[0];
    (group.group_type.to_string(), group.group_state.to_string())
}

/// Two members of the classic protocol share all partitions.
fn classic(cooperates: bool) -> (Shell, Vec<Consumer>) {
    let mut shell = coordinator(PARTITIONS);
    let mut consumers: Vec<_> = (0..3).map(|_| Consumer::new(cooperates)).collect();
    consumers[0].start_classic();
    consumers[1].start_classic();
    live(&mut shell, &mut consumers, 20);
    assert_eq!(kind(&shell), ("classic".to_owned(), "Stable".to_owned()));
    check_shared(&consumers);
    (shell, consumers)
}

#[test]
fn group_is_upgraded_and_downgraded_one_member_after_the_other() {
    for cooperates in [false, true] {
        let (mut shell, mut consumers) = classic(cooperates);
        let stages: [&dyn Fn(&mut Shell, &mut Vec<Consumer>); 5] = [
            &|_, all| all[2].start_new("n2"),
            &|shell, all| {
                all[0].stop(shell);
                all[0].start_new("n0");
            },
            &|shell, all| all[1].stop(shell),
            &|_, all| all[1].start_classic(),
            &|shell, all| all[2].stop(shell),
        ];
        for stage in stages {
            stage(&mut shell, &mut consumers);
            for _ in 0..40 {
                live(&mut shell, &mut consumers, 1);
                check_owners(&shell, &consumers);
            }
            assert_eq!(kind(&shell), ("consumer".to_owned(), "Stable".to_owned()));
            check_shared(&consumers);
        }
        // The last member of the new protocol leaves.
        consumers[0].stop(&mut shell);
        assert_eq!(kind(&shell).0, "classic");
        live(&mut shell, &mut consumers, 40);
        assert_eq!(kind(&shell), ("classic".to_owned(), "Stable".to_owned()));
        check_shared(&consumers);
    }
}

#[test]
fn group_is_upgraded_at_any_moment_of_a_rebalance() {
    // In the middle of one, a cooperative member uses more than its leader assigned last.
    for (cooperates, moment) in [false, true].into_iter().flat_map(|c| (0..16).map(move |m| (c, m)))
    {
        let mut shell = coordinator(PARTITIONS);
        let mut consumers: Vec<_> = (0..3).map(|_| Consumer::new(cooperates)).collect();
        consumers[0].start_classic();
        live(&mut shell, &mut consumers, 12);
        consumers[1].start_classic();
        live(&mut shell, &mut consumers, moment);
        consumers[2].start_new("n");
        for _ in 0..90 {
            live(&mut shell, &mut consumers, 1);
            check_owners(&shell, &consumers);
        }
        assert_eq!(kind(&shell), ("consumer".to_owned(), "Stable".to_owned()));
        check_shared(&consumers);
    }
}

#[test]
fn upgraded_group_survives_a_failover_at_once() {
    let (mut shell, mut consumers) = classic(true);
    consumers[2].start_new("n");
    consumers[2].step(&mut shell);
    assert_eq!(kind(&shell).0, "consumer");
    shell.fail_over(shell.log.len());
    live(&mut shell, &mut consumers, 60);
    assert_eq!(kind(&shell), ("consumer".to_owned(), "Stable".to_owned()));
    check_shared(&consumers);
    consumers[2].stop(&mut shell);
    shell.fail_over(shell.log.len());
    live(&mut shell, &mut consumers, 60);
    assert_eq!(kind(&shell), ("classic".to_owned(), "Stable".to_owned()));
    check_shared(&consumers);
}

#[test]
fn policy_decides_whether_a_group_in_use_changes_its_protocol() {
    for policy in [MigrationPolicy::Disabled, MigrationPolicy::Downgrade] {
        let (mut shell, _consumers) = classic(true);
        shell.set(|settings| settings.consumer.migration_policy = policy);
        let refused = shell.consume(&consume("n", 0));
        assert_eq!(refused.error_code, ErrorCode::GroupIdNotFound.code());
        assert_eq!(
            refused.error_message.as_deref(),
            Some(
                "Cannot upgrade classic group payments to consumer group because online upgrade \
                 is disabled."
            )
        );
        assert_eq!(kind(&shell).0, "classic");
    }
    let (mut shell, mut consumers) = classic(true);
    shell.set(|settings| settings.consumer.migration_policy = MigrationPolicy::Upgrade);
    consumers[2].start_new("n");
    live(&mut shell, &mut consumers, 40);
    consumers[2].stop(&mut shell);
    live(&mut shell, &mut consumers, 40);
    assert_eq!(kind(&shell), ("consumer".to_owned(), "Stable".to_owned()));
    check_shared(&consumers);
}

#[test]
fn each_member_of_the_classic_protocol_is_given_an_id_of_its_own() {
    let mut shell = coordinator(PARTITIONS);
    shell.consume(&consume("n", 0));
    assert_ne!(shell.given_id(), shell.given_id());
}

#[test]
fn group_whose_subscriptions_cannot_be_read_is_not_upgraded() {
    let mut shell = coordinator(PARTITIONS);
    shell.stable(1);
    let refused = shell.consume(&consume("n", 0));
    assert_eq!(refused.error_code, ErrorCode::GroupIdNotFound.code());
    let text = refused.error_message.unwrap();
    assert!(text.ends_with("because the embedded consumer protocol is malformed."), "{text}");
    assert_eq!(kind(&shell).0, "classic");
}

#[test]
fn member_of_the_classic_protocol_that_does_not_come_back_is_fenced() {
    let (mut shell, mut consumers) = classic(true);
    consumers[2].start_new("n");
    live(&mut shell, &mut consumers[2..], 8);
    // Both are told to join again, and only send heartbeats: a minute for that.
    for _ in 0..58 {
        shell.pass_secs(1);
        consumers[2].step(&mut shell);
        for at in 0..2 {
            let error = shell.beat(&consumers[at].id, None, consumers[at].epoch);
            assert_eq!(error, ErrorCode::RebalanceInProgress);
        }
    }
    for _ in 0..4 {
        shell.pass_secs(1);
        consumers[2].step(&mut shell);
    }
    assert_eq!(shell.beat(&consumers[0].id, None, 1), ErrorCode::UnknownMemberId);
    live(&mut shell, &mut consumers[2..], 10);
    check_shared(&consumers[2..]);
}

#[test]
fn requests_of_the_classic_protocol_are_checked_in_a_consumer_group() {
    let (mut shell, mut consumers) = classic(true);
    consumers[2].start_new("n");
    live(&mut shell, &mut consumers, 40);
    let (id, epoch) = (consumers[0].id.clone(), consumers[0].epoch);
    assert_eq!(shell.beat(&id, None, epoch + 1), ErrorCode::IllegalGeneration);
    assert_eq!(shell.beat("n", None, epoch), ErrorCode::UnknownMemberId);
    assert_eq!(shell.leaves("n"), ErrorCode::UnknownMemberId);
    let synced = |shell: &mut Shell, request: &SyncGroupRequest| {
        ErrorCode::from_code(shell.sync(request).get().error_code)
    };
    assert_eq!(synced(&mut shell, &sync(&id, epoch + 1)), ErrorCode::IllegalGeneration);
    assert_eq!(synced(&mut shell, &sync("n", epoch)), ErrorCode::UnknownMemberId);
    let mut other = sync(&id, epoch);
    other.protocol_name = Some("sticky".into());
    assert_eq!(synced(&mut shell, &other), ErrorCode::InconsistentGroupProtocol);
    let mut request = join(&id);
    request.protocol_type = "connect".into();
    let refused = shell.join(9, &request).get();
    assert_eq!(refused.error_code, ErrorCode::InconsistentGroupProtocol.code());
    request = with_protocols(join(&id), &["sticky"]);
    let refused = shell.join(9, &request).get();
    assert_eq!(refused.error_code, ErrorCode::InconsistentGroupProtocol.code());
    request = join(&id);
    request.session_timeout_ms = 1;
    let refused = shell.join(9, &request).get();
    assert_eq!(refused.error_code, ErrorCode::InvalidSessionTimeout.code());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn group_of_both_protocols_stabilises_and_never_has_two_owners(
        cooperates in any::<bool>(),
        steps in proptest::collection::vec((0..4usize, 0..6u8, 0..12u64), 1..30),
    ) {
        let mut shell = coordinator(PARTITIONS);
        let mut consumers: Vec<_> = (0..4).map(|_| Consumer::new(cooperates)).collect();
        let mut starts = 0;
        for (at, what, seconds) in steps {
            match what {
                0 | 1 if !consumers[at].is_running() => consumers[at].start_classic(),
                2 | 3 if !consumers[at].is_running() => {
                    starts += 1;
                    consumers[at].start_new(&format!("n{starts}"));
                }
                4 => consumers[at].stop(&mut shell),
                5 => shell.fail_over(shell.log.len()),
                _ => {}
            }
            for _ in 0..seconds {
                live(&mut shell, &mut consumers, 1);
                check_owners(&shell, &consumers);
            }
        }
        live(&mut shell, &mut consumers, 150);
        check_owners(&shell, &consumers);
        if consumers.iter().any(Consumer::is_running) {
            prop_assert_eq!(kind(&shell).1, "Stable");
            check_shared(&consumers);
        }
    }
}
