//! Arbitrary members, messages and failures: no partition ever has two owners, and once members
//! behave, the group stabilises.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// A client as it should be, except that its messages may be lost.
#[derive(Clone, Debug, Default)]
struct Consumer {
    id: String,
    instance: Option<String>,
    runs: bool,
    epoch: i32,
    /// What it uses.
    owns: Target,
    topics: u8,
    starts: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Loss {
    None,
    Request,
    Response,
}

#[derive(Clone, Debug)]
enum Step {
    Start(usize, bool),
    Crash(usize),
    Stop(usize),
    Beat(usize, Loss),
    Subscribe(usize, u8),
    Wait(u64),
    Grow,
    Stray(usize, i32),
    FailOver,
}

fn step() -> impl Strategy<Value = Step> {
    let loss =
        prop_oneof![4 => Just(Loss::None), 1 => Just(Loss::Request), 1 => Just(Loss::Response)];
    prop_oneof![
        4 => (0..5usize, any::<bool>()).prop_map(|(at, keeps)| Step::Start(at, keeps)),
        1 => (0..5usize).prop_map(Step::Crash),
        1 => (0..5usize).prop_map(Step::Stop),
        12 => (0..5usize, loss).prop_map(|(at, loss)| Step::Beat(at, loss)),
        2 => (0..5usize, 0..6u8).prop_map(|(at, topics)| Step::Subscribe(at, topics)),
        3 => prop_oneof![1..8u64, 20..50u64].prop_map(Step::Wait),
        1 => Just(Step::Grow),
        1 => (0..5usize, -3..12i32).prop_map(|(at, epoch)| Step::Stray(at, epoch)),
        1 => Just(Step::FailOver),
    ]
}

struct World {
    shell: Shell,
    consumers: Vec<Consumer>,
    partitions: i32,
}

impl World {
    fn new(interval: u64) -> Self {
        let mut shell = Shell::new(3, 2);
        shell.settings.assignment_interval = seconds(interval);
        let consumer = |at: usize| Consumer {
            // Two of five are static.
            instance: (at < 2).then(|| format!("i{at}")),
            ..Consumer::default()
        };
        Self { shell, consumers: (0..5).map(consumer).collect(), partitions: 3 }
    }

    fn request(&self, at: usize) -> Request {
        let consumer = &self.consumers[at];
        let mut request = beat(&consumer.id, consumer.epoch);
        request.instance_id = consumer.instance.as_deref().map(Into::into);
        let topics = consumer.owns.topics();
        let topics: Vec<(TopicId, Vec<i32>)> =
            topics.map(|(topic, list)| (topic, list.iter().copied().collect())).collect();
        let named: Vec<_> = topics.iter().map(|(topic, list)| (*topic, &list[..])).collect();
        request.topic_partitions = owned(&named);
        request.rebalance_timeout_ms = 30_000;
        let (names, pattern): (&[&str], &str) = match consumer.topics {
            0 => (&["orders"], ""),
            1 => (&["orders", "payments"], ""),
            2 => (&["payments"], ""),
            3 => (&[], "order.*"),
            4 => (&["orders"], ".*s"),
            _ => (&[], ""),
        };
        request.subscribed_topic_names = Some(names.iter().map(|name| (*name).into()).collect());
        request.subscribed_topic_regex = Some(pattern.into());
        request
    }

    fn beat(&mut self, at: usize, loss: Loss) {
        if !self.consumers[at].runs || loss == Loss::Request {
            return;
        }
        let request = self.request(at);
        let response = self.shell.send(1, &request);
        if loss == Loss::None {
            self.hear(at, &response);
        }
    }

    fn hear(&mut self, at: usize, response: &Response) {
        let consumer = &mut self.consumers[at];
        match ErrorCode::from_code(response.error_code) {
            ErrorCode::None => {
                consumer.epoch = response.member_epoch;
                if let Some(list) = assigned(response) {
                    let partitions = list.into_iter().flat_map(|(topic, list)| {
                        list.into_iter().map(move |partition| (topic, partition))
                    });
                    consumer.owns = partitions.collect();
                }
            }
            ErrorCode::UnreleasedInstanceId => {}
            ErrorCode::UnknownMemberId
            | ErrorCode::FencedMemberEpoch
            | ErrorCode::FencedInstanceId
            | ErrorCode::GroupIdNotFound => {
                (consumer.epoch, consumer.owns) = (0, Target::default());
            }
            other => panic!("a correct client was refused: {other:?} {response:?}"),
        }
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Start(at, keeps) => {
                let consumer = &mut self.consumers[at];
                if !consumer.runs {
                    consumer.starts += u32::from(!keeps || consumer.starts == 0);
                    consumer.id = format!("m{at}-{}", consumer.starts);
                    (consumer.runs, consumer.epoch) = (true, 0);
                    consumer.owns = Target::default();
                    self.beat(at, Loss::None);
                }
            }
            Step::Crash(at) => {
                self.consumers[at].runs = false;
                self.consumers[at].owns = Target::default();
            }
            Step::Stop(at) => {
                let consumer = &mut self.consumers[at];
                if std::mem::take(&mut consumer.runs) {
                    consumer.owns = Target::default();
                    let mut request = beat(&consumer.id, -1);
                    if consumer.instance.is_some() {
                        request.member_epoch = -2;
                        request.instance_id = consumer.instance.as_deref().map(Into::into);
                    }
                    self.shell.send(1, &request);
                }
            }
            Step::Beat(at, loss) => self.beat(at, loss),
            Step::Subscribe(at, topics) => self.consumers[at].topics = topics,
            Step::Wait(time) => self.shell.wait(seconds(time)),
            Step::Grow => {
                self.shell.create_partitions(ORDERS, self.partitions..self.partitions + 1);
                self.partitions += 1;
            }
            // Someone else sends what this member may or may not send; it sees no response.
            Step::Stray(at, epoch) if epoch != 0 => {
                let request = beat(&self.consumers[at].id, epoch);
                self.shell.send(1, &request);
            }
            Step::Stray(..) => {}
            Step::FailOver => self.shell.fail_over(usize::MAX),
        }
    }

    /// Those that are members use nothing that belongs to another member.
    fn check(&self) -> Result<(), TestCaseError> {
        let Some(group) = &self.shell.group else { return Ok(()) };
        let running = self.consumers.iter().filter(|consumer| consumer.runs);
        for consumer in running.filter(|consumer| consumer.epoch > 0) {
            let Some(member) = group.member(&consumer.id) else { continue };
            for (topic, partition) in consumer.owns.iter() {
                let may = member.assigned.contains(topic, partition)
                    || member.pending.contains(topic, partition);
                prop_assert!(may, "{} uses {topic}-{partition}, but does not own it", consumer.id);
            }
        }
        Ok(())
    }

    fn behave(&mut self, rounds: usize) -> Result<(), TestCaseError> {
        for _ in 0..rounds {
            self.shell.wait(seconds(5));
            for at in 0..self.consumers.len() {
                self.beat(at, Loss::None);
                self.check()?;
            }
        }
        Ok(())
    }

    fn check_stable(&mut self) -> Result<(), TestCaseError> {
        let running = self.consumers.iter().filter(|consumer| consumer.runs);
        let Some(group) = &self.shell.group else {
            prop_assert_eq!(running.count(), 0, "no member is in a group");
            return Ok(());
        };
        let expected = if group.is_empty() { GroupState::Empty } else { GroupState::Stable };
        prop_assert_eq!(group.state(), expected);
        prop_assert_eq!(group.len(), running.clone().count(), "others are gone");
        let mut used: BTreeMap<(TopicId, i32), usize> = BTreeMap::new();
        for consumer in running.clone() {
            let target = group.target(&consumer.id).cloned().unwrap_or_default();
            prop_assert_eq!(&consumer.owns, &target);
            for partition in consumer.owns.iter() {
                *used.entry(partition).or_default() += 1;
            }
        }
        let wants = |topics: &[u8]| running.clone().any(|c| topics.contains(&c.topics));
        let orders = if wants(&[0, 1, 3, 4]) { self.partitions } else { 0 };
        let payments = if wants(&[1, 2, 4]) { 2 } else { 0 };
        let all = (0..orders).map(|p| (ORDERS, p)).chain((0..payments).map(|p| (PAYMENTS, p)));
        prop_assert!(used.into_iter().eq(all.map(|partition| (partition, 1))));
        let end = self.shell.log.len();
        self.behave(3)?;
        prop_assert_eq!(self.shell.log.len(), end, "a stable group writes nothing");
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn group_stabilises_once_members_behave_and_never_has_two_owners(
        interval in 0..2u64,
        steps in proptest::collection::vec(step(), 1..80),
    ) {
        let mut world = World::new(interval);
        for step in steps {
            world.take(step);
            world.check()?;
        }
        world.behave(30)?;
        world.check_stable()?;
    }
}

fn any_request() -> impl Strategy<Value = (Request, i16)> {
    let partitions = proptest::collection::vec((0..3u128, -1..4i32), 0..4);
    let pattern =
        proptest::option::of(prop_oneof![Just(""), Just("ord.*"), Just("("), Just("p|o")]);
    let names =
        proptest::collection::vec(prop_oneof![Just("orders"), Just("payments"), Just("x")], 0..3);
    let fields = (
        -3..6i32,
        prop_oneof![Just(""), Just("a"), Just("b"), Just("c")],
        proptest::option::of(prop_oneof![Just("one"), Just("two"), Just("")]),
        prop_oneof![Just(-1), Just(-7), Just(0), Just(i32::MAX), Just(5_000)],
        proptest::option::of(names),
        pattern,
        proptest::option::of(partitions),
        proptest::option::weighted(0.1, prop_oneof![Just("range"), Just("uniform"), Just("mine")]),
        0..2i16,
    );
    fields.prop_map(
        |(epoch, member, instance, timeout, names, pattern, owned, assignor, version)| {
            let mut request = beat(member, epoch);
            request.instance_id = instance.map(Into::into);
            request.rebalance_timeout_ms = timeout;
            request.subscribed_topic_names =
                names.map(|names| names.into_iter().map(Into::into).collect());
            request.subscribed_topic_regex = pattern.map(Into::into);
            request.server_assignor = assignor.map(Into::into);
            request.topic_partitions = owned.map(|list| {
                let topic = |(topic, partition): (u128, i32)| {
                    message!(TopicPartitions {
                        topic_id: topic_id(topic).into(),
                        partitions: vec![partition],
                    })
                };
                list.into_iter().map(topic).collect()
            });
            (request, version)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn no_message_breaks_the_group(
        steps in proptest::collection::vec((any_request(), 0..20u64, 0..12u8), 1..60),
    ) {
        let mut shell = Shell::new(3, 2);
        shell.settings.max_size = 3;
        for ((request, version), time, what) in steps {
            let (group, log) = (shell.group.clone(), shell.log.len());
            let response = shell.send(version, &request);
            if response.error_code != 0 {
                prop_assert_eq!((&shell.group, shell.log.len()), (&group, log));
                prop_assert!(response.error_message.is_some());
            }
            if let Some(group) = &shell.group {
                let described = group.describe(&shell.image, &shell.settings);
                prop_assert_eq!(described.members.len(), group.len());
                prop_assert!(group.len() <= 3);
            }
            match what {
                0 => shell.fail_over(usize::MAX),
                1 => shell.create_partitions(ORDERS, shell_partitions(&shell)..shell_partitions(&shell) + 1),
                2..5 => shell.wait(seconds(time)),
                _ => {}
            }
        }
        let rebuilt = shell.log.iter().fold(None, replayed);
        prop_assert_eq!(&rebuilt, &shell.group, "the log is the group");
    }
}

fn shell_partitions(shell: &Shell) -> i32 {
    shell.image.topic("orders").map_or(0, |topic| topic.partitions.len() as i32)
}
