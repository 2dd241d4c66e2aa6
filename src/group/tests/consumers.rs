//! Consumers that follow the protocol, and what becomes of them at any failover.

use super::*;
use crate::group::testing::Answer;

/// A consumer as Kafka's: it joins, syncs, sends heartbeats, and starts over after errors.
pub(super) struct Consumer {
    pub(super) id: String,
    instance: Option<String>,
    generation: i32,
    phase: Phase,
}

enum Phase {
    Start,
    Joining(Waiter<JoinGroupResponse>),
    Syncing(Waiter<SyncGroupResponse>),
    Member,
}

impl Consumer {
    pub(super) fn new(instance: Option<&str>) -> Self {
        let instance = instance.map(str::to_owned);
        Self { id: String::new(), instance, generation: -1, phase: Phase::Start }
    }

    /// Starts over, as a new member after these errors.
    fn restart(&mut self, error: ErrorCode) {
        if matches!(
            error,
            ErrorCode::UnknownMemberId | ErrorCode::IllegalGeneration | ErrorCode::FencedInstanceId
        ) {
            self.id.clear();
        }
        self.phase = Phase::Start;
    }

    pub(super) fn step(&mut self, shell: &mut Shell) {
        match &mut self.phase {
            Phase::Start => {
                let mut request = join(&self.id);
                request.group_instance_id = self.instance.as_deref().map(Into::into);
                self.phase = Phase::Joining(shell.join(9, &request));
            }
            Phase::Joining(waiter) => match waiter.poll() {
                Answer::Waits => {}
                Answer::Dropped => self.phase = Phase::Start,
                Answer::Is(answer) => self.joined(shell, &answer),
            },
            Phase::Syncing(waiter) => match waiter.poll() {
                Answer::Waits => {}
                Answer::Dropped => self.phase = Phase::Start,
                Answer::Is(answer) => match ErrorCode::from_code(answer.error_code) {
                    ErrorCode::None => self.phase = Phase::Member,
                    error => self.restart(error),
                },
            },
            Phase::Member => {
                match shell.beat(&self.id, self.instance.as_deref(), self.generation) {
                    ErrorCode::None => {}
                    error => self.restart(error),
                }
            }
        }
    }

    fn joined(&mut self, shell: &mut Shell, answer: &JoinGroupResponse) {
        match ErrorCode::from_code(answer.error_code) {
            ErrorCode::None => {}
            ErrorCode::MemberIdRequired => {
                self.id = answer.member_id.as_str().to_owned();
                self.phase = Phase::Start;
                return;
            }
            error => return self.restart(error),
        }
        self.id = answer.member_id.as_str().to_owned();
        self.generation = answer.generation_id;
        let members: Vec<_> =
            answer.members.iter().map(|member| member.member_id.as_str().to_owned()).collect();
        let mut request = match answer.leader == answer.member_id && !answer.skip_assignment {
            true => assign(&self.id, self.generation, &members),
            false => sync(&self.id, self.generation),
        };
        request.group_instance_id = self.instance.as_deref().map(Into::into);
        self.phase = Phase::Syncing(shell.sync(&request));
    }

    fn is_member(&self) -> bool {
        matches!(self.phase, Phase::Member)
    }
}

/// Lets consumers act until they are the members of a stable group, and stay so.
pub(super) fn stabilise(shell: &mut Shell, consumers: &mut [Consumer]) {
    shell.refuses = false;
    shell.commits = true;
    shell.commit_all();
    for second in 0..4000 {
        for consumer in &mut *consumers {
            consumer.step(shell);
        }
        shell.pass_secs(1);
        if is_stable(shell, consumers) {
            let generation = consumers[0].generation;
            for _ in 0..30 {
                consumers.iter_mut().for_each(|consumer| consumer.step(shell));
                shell.pass_secs(1);
            }
            assert!(is_stable(shell, consumers), "it fell apart after {second} s");
            assert_eq!(generation, consumers[0].generation, "it rebalanced for no reason");
            return;
        }
    }
    let members: Vec<_> =
        consumers.iter().map(|consumer| (&consumer.id, consumer.is_member())).collect();
    panic!("{} with {:?} does not stabilise: {members:?}", shell.state(), shell.members());
}

fn is_stable(shell: &Shell, consumers: &[Consumer]) -> bool {
    let mut ids: Vec<_> = consumers.iter().map(|consumer| consumer.id.clone()).collect();
    ids.sort();
    let generation = consumers[0].generation;
    let agreed =
        consumers.iter().all(|consumer| consumer.is_member() && consumer.generation == generation);
    agreed && shell.state() == "Stable" && shell.members() == ids
}

/// Consumers come and go for 40 s, and commits lag behind. Returns at the end of a step.
fn storm(shell: &mut Shell, steps: usize) -> Vec<Consumer> {
    let mut consumers = vec![
        Consumer::new(None),
        Consumer::new(Some("a")),
        Consumer::new(Some("b")),
        Consumer::new(None),
    ];
    shell.commits = false;
    for step in 0..steps {
        let committed = shell.log.len();
        match step {
            24 => consumers.push(Consumer::new(None)),
            34 => {
                let first = consumers.remove(0);
                shell.leaves(&first.id);
            }
            44 => {
                // A static member restarts, and a dynamic one dies.
                consumers[0] = Consumer::new(Some("a"));
                consumers.pop();
            }
            _ => {}
        }
        for consumer in &mut consumers {
            consumer.step(shell);
        }
        shell.commit(committed);
        shell.pass(std::time::Duration::from_millis(500));
    }
    consumers
}

#[test]
fn consumers_stabilise_after_a_failover_at_any_step() {
    let mut states = std::collections::BTreeSet::new();
    for step in 0..80 {
        let mut shell = shell();
        storm(&mut shell, step);
        let survivors = shell.survivors();
        for kept in survivors {
            let mut shell = super::shell();
            let mut consumers = storm(&mut shell, step);
            states.insert(shell.state());
            shell.fail_over(kept);
            stabilise(&mut shell, &mut consumers);
        }
    }
    assert_eq!(states.len(), 4, "failovers in these states: {states:?}");
}

#[test]
fn consumers_of_one_instance_fence_each_other_and_one_survives() {
    let mut shell = shell();
    let mut consumers = [Consumer::new(Some("a")), Consumer::new(Some("b"))];
    stabilise(&mut shell, &mut consumers);
    let before = consumers[0].generation;
    consumers[0] = Consumer::new(Some("a"));
    stabilise(&mut shell, &mut consumers);
    assert_eq!(consumers[0].generation, before, "a restart is no rebalance");
}
