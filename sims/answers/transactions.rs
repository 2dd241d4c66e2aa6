//! The transaction coordinator: each request in each state of a transactional id, at both levels of
//! `transaction.version`.

use std::fmt::Display;

use brokerquake::wire::messages::update_features_request::FeatureUpdateKey;
use brokerquake::wire::messages::{
    DescribeTransactionsRequest, FindCoordinatorRequest, InitProducerIdRequest,
    ListTransactionsRequest, UpdateFeaturesRequest,
};

use super::ask::{Node, message};
use super::groups::{Known, wait_for};
use super::transactional::{
    GROUP, Producer, TOPIC, Txns, UNKNOWN_ID, add_offsets, add_several, added, adding, end, init,
    init_of, of, offsets, plain,
};

pub const SETTINGS: &str = "offsets.topic.replication.factor=1\noffsets.topic.num.partitions=3\n\
                            group.initial.rebalance.delay.ms=0\n\
                            transaction.state.log.replication.factor=1\n\
                            transaction.state.log.min.isr=1\n\
                            transaction.state.log.num.partitions=3\n";

/// `transaction.version` 2, which a new cluster has.
pub fn ask(node: &mut Node) {
    let mut txns = ready(node, 2);
    txns.finds();
    txns.lists();
    txns.inits();
    txns.states();
    txns.actions();
}

/// The same after a downgrade to version 1.
pub fn ask_old(node: &mut Node) {
    let mut txns = ready(node, 1);
    txns.lists();
    txns.inits();
    txns.states();
    txns.actions();
}

/// Until the coordinators are there, and producer ids. Sets the level.
pub fn ready(node: &mut Node, level: i16) -> Txns<'_> {
    node.create(TOPIC, 3, &[]);
    wait_for(node, GROUP);
    wait_for(node, "group-none");
    let mut known = Known::default();
    let id = node.topics(&[TOPIC]).remove(0).topic_id;
    known.learn(&format!("{id:?}"), "id of the topic");
    if level != 2 {
        let update = message!(FeatureUpdateKey {
            feature: "transaction.version".into(),
            max_version_level: level,
            upgrade_type: 2,
        });
        let request =
            message!(UpdateFeaturesRequest { timeout_ms: 10_000, feature_updates: vec![update] });
        let answer = node.ask(1, &request);
        assert_eq!(answer.error_code, 0, "{answer:?}");
        // Until the broker has the level, too.
        std::thread::sleep(std::time::Duration::from_secs(2));
    }
    for _ in 0..300 {
        let found = message!(FindCoordinatorRequest { key: "first".into(), key_type: 1 });
        let found = node.ask(3, &found).error_code;
        let producer = node.ask(4, &plain()).error_code;
        // One id for each partition of the coordinator's topic.
        let ids = ["a", "b", "c", "d", "e", "f"].map(Into::into);
        let request = message!(DescribeTransactionsRequest { transactional_ids: ids.into() });
        let described = node.ask(0, &request).transaction_states;
        let loaded = described.iter().all(|state| state.error_code == 105);
        if found == 0 && producer == 0 && loaded {
            return Txns { node, known, level, topic: id };
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    panic!("no transaction coordinator");
}

/// What a transactional id went through. The first word is the protocol of its client.
const STATES: [(&str, &[Step]); 7] = [
    ("empty", &[]),
    ("1: ongoing", &[Step::Add(3)]),
    ("1: committed", &[Step::Add(3), Step::End(4, true)]),
    ("1: aborted", &[Step::Add(3), Step::End(4, false)]),
    ("2: ongoing", &[Step::Add(5)]),
    ("2: committed", &[Step::Add(5), Step::End(5, true)]),
    ("2: aborted", &[Step::Add(5), Step::End(5, false)]),
];

#[derive(Clone, Copy)]
enum Step {
    Add(i16),
    End(i16, bool),
}

impl Txns<'_> {
    fn finds(&mut self) {
        for version in 1..=6 {
            let request = match version {
                1..=3 => message!(FindCoordinatorRequest { key: "find".into(), key_type: 1 }),
                _ => {
                    let keys = ["find", ""].map(Into::into);
                    message!(FindCoordinatorRequest { coordinator_keys: keys.into(), key_type: 1 })
                }
            };
            let mut here = Known::default();
            let answer = self.node.ask(version, &request);
            here.learn(&format!("port: {}", answer.port), "its port");
            if let Some(first) = answer.coordinators.first() {
                here.learn(&format!("port: {}", first.port), "its port");
            }
            let shown = here.show(&answer);
            self.note(format_args!("find v{version}"), shown);
        }
        let topics = self.node.topics(&["__transaction_state"]);
        let shown = format!("{} {}", topics[0].is_internal, topics[0].partitions.len());
        self.note("internal topic", shown);
    }

    /// A transactional id in a state, and its producer.
    fn in_state(&mut self, id: &str, steps: &[Step]) -> Producer {
        let mut producer = self.begin(id);
        for step in steps {
            match *step {
                Step::Add(version) if version < 4 => {
                    let answer = self.node.ask(version, &adding(&producer, TOPIC, &[0]));
                    assert_eq!(added(&answer), 0, "{id}: {answer:?}");
                }
                Step::Add(version) => {
                    let request = add_several(&[(&producer, false, TOPIC, &[0])]);
                    let answer = self.node.ask(version, &request);
                    assert_eq!(added(&answer), 0, "{id}: {answer:?}");
                }
                Step::End(version, commits) => {
                    let answer = self.node.ask(version, &end(&producer, commits));
                    assert_eq!(answer.error_code, 0, "{id}: {answer:?}");
                    self.settle(id);
                    if version == 5 {
                        producer.id = answer.producer_id;
                        producer.epoch = answer.producer_epoch;
                    }
                }
            }
        }
        producer
    }

    fn lists(&mut self) {
        let mut last = 0;
        for (state, steps) in STATES {
            last = self.in_state(&format!("list {state}"), steps).id;
        }
        for version in 0..=2 {
            for states in [
                &[][..],
                &["Ongoing"],
                &["Empty", "CompleteCommit"],
                &["Dead"],
                &["PrepareAbort", "PrepareEpochFence"],
                &["ongoing"],
                &["nothing", "Ongoing", ""],
            ] {
                let request = message!(ListTransactionsRequest {
                    state_filters: states.iter().map(|state| (*state).into()).collect(),
                    duration_filter: -1,
                });
                self.list(format_args!("states {states:?}"), version, &request);
            }
            for (what, ids) in [
                ("of one", &[last][..]),
                ("unknown", &[987_654]),
                ("-1", &[-1]),
                ("one twice, unknown", &[last, last, 987_654]),
            ] {
                let request = message!(ListTransactionsRequest {
                    producer_id_filters: ids.to_vec(),
                    duration_filter: -1,
                });
                self.list(format_args!("producer id {what}"), version, &request);
            }
        }
        // Times are in milliseconds, and the last one may have begun in this one.
        std::thread::sleep(std::time::Duration::from_millis(2));
        for duration in [0, 3_600_000, -2, i64::MIN] {
            for version in 1..=2 {
                let request = message!(ListTransactionsRequest { duration_filter: duration });
                self.list(format_args!("duration {duration}"), version, &request);
            }
        }
        for pattern in ["", "list .*", "list 1", ".*ongoing", "[", "list e(mp)+ty"] {
            let request = message!(ListTransactionsRequest {
                duration_filter: -1,
                transactional_id_pattern: Some(pattern.into()),
            });
            self.list(format_args!("pattern {pattern:?}"), 2, &request);
        }
        let ids = ["list empty", "", "list none", "list 1: ongoing", "list empty"].map(Into::into);
        self.describe("several", &ids);
        self.describe("none", &[]);
    }

    fn list(&mut self, what: impl Display, version: i16, request: &ListTransactionsRequest) {
        let Some(mut answer) = self.node.try_ask(version, request) else {
            return self.note(format_args!("list: {what} v{version}"), "closed");
        };
        answer.transaction_states.sort_by(|a, b| a.transactional_id.cmp(&b.transactional_id));
        answer.unknown_state_filters.sort();
        let shown = self.known.show(&answer);
        self.note(format_args!("list: {what} v{version}"), shown);
    }

    fn inits(&mut self) {
        for version in 0..=5 {
            self.init("no transactional id", version, &plain());
            for timeout in [0, -1, i32::MIN, 1, 900_000, 900_001, i32::MAX] {
                let mut request = init(&format!("init {timeout} {version}"));
                request.transaction_timeout_ms = timeout;
                self.init(format_args!("timeout {timeout}"), version, &request);
            }
            self.init("empty transactional id", version, &init(""));
        }
        for version in 3..=5 {
            for (id, epoch) in [
                (-1, 0),
                (0, -1),
                (UNKNOWN_ID, 0),
                (UNKNOWN_ID, 32_765),
                (UNKNOWN_ID, 32_766),
                (UNKNOWN_ID, i16::MAX),
                (-2, 0),
                (-2, -2),
                (UNKNOWN_ID, -2),
                (-1, i16::MAX),
            ] {
                let what = format!("producer {id}, epoch {epoch}");
                let mut request = init(&format!("init {what} {version}"));
                (request.producer_id, request.producer_epoch) = (id, epoch);
                self.init(format_args!("{what}, transactional"), version, &request);
                request.transactional_id = None;
                self.init(format_args!("{what}, plain"), version, &request);
            }
        }
    }

    fn init(&mut self, what: impl Display, version: i16, request: &InitProducerIdRequest) {
        let Some(answer) = self.node.try_ask(version, request) else {
            return self.note(format_args!("init: {what} v{version}"), "closed");
        };
        if answer.producer_id != request.producer_id {
            self.learn(answer.producer_id, "a new producer");
        }
        let shown = self.known.show(&answer);
        self.note(format_args!("init: {what} v{version}"), shown);
    }

    /// Requests that change nothing, whatever the state is.
    fn states(&mut self) {
        for (state, steps) in STATES {
            let id = format!("state {state}");
            let producer = self.in_state(&id, steps);
            let wrong = [
                ("another producer", Producer { id: UNKNOWN_ID, ..producer.clone() }),
                ("epoch + 1", Producer { epoch: producer.epoch + 1, ..producer.clone() }),
                ("epoch -1", Producer { epoch: -1, ..producer.clone() }),
                ("producer -1", Producer { id: -1, epoch: -1, ..producer.clone() }),
                ("unknown id", Producer { name: "unknown".into(), ..producer.clone() }),
                ("empty id", Producer { name: String::new(), ..producer.clone() }),
            ];
            for (what, wrong) in &wrong {
                self.refused(&format!("{state}: {what}"), wrong);
            }
            let id = format!("verified {state}");
            let producer = self.in_state(&id, steps);
            self.verified(state, &producer);
            for (what, topic, partitions) in
                [("unknown topic", "unknown", &[0, 1][..]), ("unknown partition", TOPIC, &[0, 9])]
            {
                for version in [0, 3] {
                    let request = adding(&producer, topic, partitions);
                    self.ask(format_args!("{state}: add, {what}"), version, &request);
                }
            }
            self.describe(format_args!("{state}: after what was refused"), &[id.as_str().into()]);
        }
    }

    fn refused(&mut self, what: &str, wrong: &Producer) {
        for version in 0..=3 {
            self.ask(format_args!("{what}: add"), version, &adding(wrong, TOPIC, &[0, 1]));
        }
        for version in 4..=5 {
            for only in [true, false] {
                let request = add_several(&[(wrong, only, TOPIC, &[0, 1])]);
                self.ask(format_args!("{what}: add, verify only {only}"), version, &request);
            }
        }
        for version in 0..=4 {
            let request = add_offsets(wrong, GROUP);
            self.ask(format_args!("{what}: add offsets"), version, &request);
        }
        for version in 0..=5 {
            for commits in [true, false] {
                let how = if commits { "commit" } else { "abort" };
                self.ask(format_args!("{what}: {how}"), version, &end(wrong, commits));
            }
            self.ask(format_args!("{what}: offsets"), version, &offsets(wrong, GROUP, &[(0, 5)]));
        }
        let named = !wrong.name.is_empty() && wrong.name != "unknown";
        if named && wrong.id != -1 && wrong.epoch != -1 {
            for version in 3..=5 {
                // One with a later epoch aborts what is ongoing.
                self.init(format_args!("{what}: init"), version, &init_of(wrong));
                self.settle(&wrong.name);
            }
        }
    }

    /// Questions of brokers.
    fn verified(&mut self, state: &str, producer: &Producer) {
        let unknown = of("state none", 1, 0);
        for version in 4..=5 {
            for (what, transactions) in [
                ("its partition", vec![(producer, true, TOPIC, &[0][..])]),
                ("its and another", vec![(producer, true, TOPIC, &[0, 1][..])]),
                ("unknown topic", vec![(producer, true, "unknown", &[0][..])]),
                ("unknown partition", vec![(producer, true, TOPIC, &[0, 9][..])]),
                ("no partition", vec![(producer, true, TOPIC, &[][..])]),
                (
                    "one of two",
                    vec![(producer, true, TOPIC, &[0][..]), (&unknown, true, TOPIC, &[0][..])],
                ),
            ] {
                let what = format_args!("{state}: verify {what}");
                let Some(mut answer) = self.node.try_ask(version, &add_several(&transactions))
                else {
                    self.note(format_args!("{what} v{version}"), "closed");
                    continue;
                };
                answer
                    .results_by_transaction
                    .sort_by(|a, b| a.transactional_id.cmp(&b.transactional_id));
                let shown = self.known.show(&answer);
                self.note(format_args!("{what} v{version}"), shown);
            }
        }
    }

    /// Requests of the producer itself. Each finds the state as it is named.
    fn actions(&mut self) {
        for (state, steps) in STATES {
            for (action, act) in ACTIONS {
                let id = format!("{state}, {action}");
                let producer = self.in_state(&id, steps);
                act(self, &id, &producer);
                self.settle(&id);
                self.describe(format_args!("{id}: afterwards"), &[id.as_str().into()]);
            }
        }
    }
}

type Act = fn(&mut Txns<'_>, &str, &Producer);

/// The producer as it was before its last transaction under version 2.
fn before(producer: &Producer) -> Producer {
    Producer { epoch: producer.epoch - 1, ..producer.clone() }
}

/// The answer to the same request, twice: clients repeat what they got no answer to.
fn twice_ended(txns: &mut Txns<'_>, what: &str, version: i16, producer: &Producer, commits: bool) {
    for time in ["first", "second", "third"] {
        let request = end(producer, commits);
        txns.ask(format_args!("{what}, {time} time"), version, &request);
        txns.settle(&producer.name);
    }
    txns.ask(format_args!("{what}, then the other"), version, &end(producer, !commits));
}

fn inits(txns: &mut Txns<'_>, what: &str, version: i16, request: &InitProducerIdRequest) {
    for time in ["first", "second", "third"] {
        txns.init(format_args!("{what}, {time} time"), version, request);
        let id = request.transactional_id.as_ref().expect("a transactional id").to_string();
        txns.settle(&id);
    }
}

const ACTIONS: [(&str, Act); 21] = [
    ("init", |txns, what, _| inits(txns, what, 1, &init(what))),
    ("init 5", |txns, what, _| inits(txns, what, 5, &init(what))),
    ("init of its epoch", |txns, what, producer| inits(txns, what, 4, &init_of(producer))),
    ("init of its epoch, 5", |txns, what, producer| inits(txns, what, 5, &init_of(producer))),
    ("init of the epoch before", |txns, what, producer| {
        if producer.epoch > 0 {
            inits(txns, what, 4, &init_of(&before(producer)));
        }
    }),
    ("add 3", |txns, what, producer| {
        for partitions in [&[][..], &[1], &[1, 2]] {
            let what = format_args!("{what} {partitions:?}");
            txns.ask(what, 3, &adding(producer, TOPIC, partitions));
        }
    }),
    ("add 5", |txns, what, producer| {
        for partitions in [&[][..], &[1], &[1, 2]] {
            let request = add_several(&[(producer, false, TOPIC, partitions)]);
            txns.ask(format_args!("{what} {partitions:?}"), 5, &request);
        }
    }),
    ("add offsets", |txns, what, producer| {
        for group in [GROUP, "group-none", ""] {
            let what = format_args!("{what} of {group:?}");
            txns.ask(what, 4, &add_offsets(producer, group));
        }
    }),
    ("commit 0", |txns, what, producer| twice_ended(txns, what, 0, producer, true)),
    ("commit 4", |txns, what, producer| twice_ended(txns, what, 4, producer, true)),
    ("abort 4", |txns, what, producer| twice_ended(txns, what, 4, producer, false)),
    ("commit 5", |txns, what, producer| twice_ended(txns, what, 5, producer, true)),
    ("abort 5", |txns, what, producer| twice_ended(txns, what, 5, producer, false)),
    ("commit 4 of the epoch before", |txns, what, producer| {
        txns.ask(what, 4, &end(&before(producer), true));
    }),
    ("commit 5 of the epoch before", |txns, what, producer| {
        txns.ask(what, 5, &end(&before(producer), true));
    }),
    ("abort 5 of the epoch before", |txns, what, producer| {
        txns.ask(what, 5, &end(&before(producer), false));
    }),
    ("offsets 4", |txns, what, producer| {
        txns.ask(what, 4, &offsets(producer, GROUP, &[(0, 7), (9, 1)]));
    }),
    ("offsets 5", |txns, what, producer| {
        txns.ask(what, 5, &offsets(producer, GROUP, &[(0, 7), (9, 1)]));
    }),
    ("produce 11", |txns, what, producer| {
        txns.produces(what, 11, producer, 1);
    }),
    ("produce 12", |txns, what, producer| {
        txns.produces(what, 12, producer, 1);
    }),
    ("produce to its partition", |txns, what, producer| {
        txns.produces(what, 9, producer, 0);
    }),
];
