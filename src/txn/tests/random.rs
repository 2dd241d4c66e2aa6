//! Arbitrary requests, failovers and markers, ones that no client sends among them.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::sample::Index;

use super::*;

const IDS: [&str; 2] = ["transfers", "payments"];

/// Who a request claims to be from.
#[derive(Clone, Debug)]
enum Who {
    /// A producer that was given to someone.
    Known(Index),
    /// The same with another epoch.
    Beside(Index, i16),
    /// The newest.
    Current,
    Stranger,
}

#[derive(Clone, Debug)]
enum Step {
    Init { id: usize, expected: Option<Who> },
    Add { id: usize, who: Who, version: bool, partitions: u8 },
    Verify { id: usize, who: Who },
    End { id: usize, who: Who, version: bool, commits: bool },
    Write(Index, u8),
    WriteAll,
    Pass(u64),
    Commits(bool),
    Refuses(bool),
    HasProducers(bool),
    Level(i16),
    FailOver(Index),
}

fn who() -> impl Strategy<Value = Who> {
    prop_oneof![
        6 => Just(Who::Current),
        3 => any::<Index>().prop_map(Who::Known),
        1 => (any::<Index>(), -2..=2i16).prop_map(|(who, by)| Who::Beside(who, by)),
        1 => Just(Who::Stranger),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let id = || 0..IDS.len();
    prop_oneof![
        5 => (id(), proptest::option::weighted(0.4, who()))
            .prop_map(|(id, expected)| Step::Init { id, expected }),
        8 => (id(), who(), any::<bool>(), 0..16u8)
            .prop_map(|(id, who, version, partitions)| Step::Add { id, who, version, partitions }),
        1 => (id(), who()).prop_map(|(id, who)| Step::Verify { id, who }),
        8 => (id(), who(), any::<bool>(), any::<bool>())
            .prop_map(|(id, who, version, commits)| Step::End { id, who, version, commits }),
        4 => (any::<Index>(), any::<u8>()).prop_map(|(which, some)| Step::Write(which, some)),
        4 => Just(Step::WriteAll),
        3 => prop_oneof![Just(0), Just(1), Just(500), Just(61_000), Just(700_000_000)]
            .prop_map(Step::Pass),
        2 => any::<bool>().prop_map(Step::Commits),
        1 => prop_oneof![1 => Just(true), 3 => Just(false)].prop_map(Step::Refuses),
        1 => any::<bool>().prop_map(Step::HasProducers),
        1 => (0..=2i16).prop_map(Step::Level),
        2 => any::<Index>().prop_map(Step::FailOver),
    ]
}

/// Clients without sense, on one coordinator.
struct Chaos {
    shell: Shell,
    /// Producers that were given to anyone, the newest last, by transactional id.
    known: Vec<Vec<Producer>>,
    /// Producers that were given out as new ones.
    given: BTreeSet<Producer>,
    /// The same, with where the log ended: their answers leave once that is committed.
    waiting: Vec<(usize, usize, Producer, bool)>,
}

fn some_partitions(bits: u8) -> BTreeSet<crate::base::TopicPartition> {
    let names = ["orders-0", "orders-1", "pay-0", "__consumer_offsets-7"];
    let chosen = (0..).zip(names).filter(|(bit, _)| bits >> bit & 1 == 1);
    partitions(chosen.map(|(_, name)| name))
}

fn version(is_second: bool) -> TransactionVersion {
    if is_second { TransactionVersion::V2 } else { TransactionVersion::V0 }
}

impl Chaos {
    /// The first id begins with this epoch.
    fn new(epoch: i16) -> Self {
        let mut shell = Shell::new();
        stage(&mut shell, TransactionState::Empty, epoch);
        let (given, waiting) = Default::default();
        Self { shell, known: vec![vec![producer(7, epoch)], Vec::new()], given, waiting }
    }

    fn who(&self, id: usize, who: &Who) -> Producer {
        let known = &self.known[id];
        match who {
            _ if known.is_empty() => producer(1, 1),
            Who::Known(index) => *index.get(known),
            Who::Beside(index, by) => {
                let (id, epoch) = *index.get(known);
                (id, ProducerEpoch(epoch.0.saturating_add(*by)))
            }
            Who::Current => known[known.len() - 1],
            Who::Stranger => producer(999, 0),
        }
    }

    /// A producer was answered; `is_new`: no producer may have had it before.
    fn answered(&mut self, id: usize, who: Producer, is_new: bool) {
        self.waiting.push((self.shell.log.len(), id, who, is_new));
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Init { id, expected } => {
                let expected = expected.as_ref().map(|who| self.who(*id, who));
                let request = InitRequest { id: IDS[*id], expected, ..init() };
                if let Ok(who) = self.shell.init_as(request) {
                    self.answered(*id, who, expected.is_none());
                }
            }
            Step::Add { id, who, version: v, partitions } => {
                let producer = self.who(*id, who);
                let (id, partitions) = (IDS[*id], &some_partitions(*partitions));
                let request = AddRequest { id, producer, partitions, version: version(*v) };
                self.shell.decide(|machine, now, wall| machine.add_partitions(now, wall, request));
            }
            Step::Verify { id, who } => {
                let producer = self.who(*id, who);
                let (id, partitions) = (IDS[*id], &some_partitions(7));
                let request = AddRequest { id, producer, partitions, version: version(false) };
                self.shell.decide(|machine, _, _| machine.verify_partitions(request));
            }
            Step::End { id, who, version: v, commits } => {
                let producer = self.who(*id, who);
                let (outcome, version) = (Outcome::of(*commits), version(*v));
                let request = EndRequest { id: IDS[*id], producer, outcome, version };
                let before = self.shell.log.len();
                let ended = self
                    .shell
                    .ask(|machine, now, wall, fresh| machine.end(now, wall, request, fresh));
                if let Ok(next) = ended {
                    let stored = self.shell.log.len() > before;
                    self.answered(*id, next, stored && version.bumps_epoch());
                }
            }
            Step::Write(which, some) if !self.shell.markers.is_empty() => {
                let which = which.index(self.shell.markers.len());
                let markers = self.shell.markers[which].clone();
                self.shell.written(&markers, &some_partitions(*some));
            }
            Step::Write(..) => {}
            Step::WriteAll => self.shell.write_markers(),
            Step::Pass(millis) => self.shell.pass(Duration::from_millis(*millis)),
            Step::Commits(commits) => {
                self.shell.commits = *commits;
                if *commits {
                    self.shell.commit_all();
                }
            }
            Step::Refuses(refuses) => self.shell.refuses = *refuses,
            Step::HasProducers(has) => self.shell.set_producers(*has),
            Step::Level(level) => {
                let version = TransactionVersion::of(*level).unwrap();
                self.shell.configure(|settings| settings.version = version);
            }
            Step::FailOver(index) => {
                let kept = *index.get(&self.shell.survivors());
                self.waiting.retain(|(end, ..)| *end <= kept);
                self.shell.fail_over(kept);
            }
        }
        self.check();
    }

    fn check(&mut self) {
        let committed = self.shell.survivors()[0];
        let left = self.waiting.iter().position(|(end, ..)| *end > committed);
        let left = left.unwrap_or(self.waiting.len());
        for (_, id, who, is_new) in self.waiting.drain(..left) {
            let twice = is_new && !self.given.insert(who);
            assert!(!twice, "{who:?} was given out twice");
            self.known[id].push(who);
        }
        let machine = self.shell.machine();
        machine.soft.check();
        if committed == self.shell.log.len() {
            machine.soft.check_travelling(&machine.state);
        }
        machine.soft.check_timeouts(&machine.state);
    }

    /// Everything is committed and every partition writes its markers.
    fn settle(&mut self) {
        self.shell.refuses = false;
        self.shell.commits = true;
        self.shell.set_producers(true);
        self.shell.commit_all();
        self.shell.fail_over(self.shell.log.len());
        self.shell.write_markers();
        self.check();
        for (id, transaction) in self.shell.committed().transactions() {
            assert_eq!(transaction.state.pending(), None, "{id} is not complete");
        }
        self.check_log();
    }

    /// Each record of the log follows from the one before it: an outcome once decided is the one that
    /// is completed, and producers and epochs only go forward.
    fn check_log(&self) {
        let mut states: std::collections::BTreeMap<TransactionalId, Transaction> =
            Default::default();
        let mut used = BTreeSet::new();
        for record in &self.shell.log {
            match record {
                Record::Stored { id, transaction, .. } => {
                    let before = states.insert(id.clone(), transaction.clone());
                    let now = (transaction.producer, transaction.epoch);
                    let Some(before) = before else { continue };
                    assert!(
                        before.state.may_become(transaction.state),
                        "{before:?} {transaction:?}"
                    );
                    let was = (before.producer, before.epoch);
                    if was != now {
                        used.insert(was);
                    }
                    assert!(!used.contains(&now), "{now:?} is used again");
                }
                Record::Expired(id) => {
                    let before = states.remove(id).unwrap();
                    assert!(before.state.is_idle());
                    used.insert((before.producer, before.epoch));
                }
                other => panic!("{other:?}"),
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn no_sequence_of_requests_and_failovers_breaks_the_promises(
        epoch in prop_oneof![Just(0), LAST - 4..=LAST],
        steps in proptest::collection::vec(step(), 1..80),
    ) {
        let mut chaos = Chaos::new(epoch);
        for step in &steps {
            chaos.take(step);
        }
        chaos.settle();
    }
}
