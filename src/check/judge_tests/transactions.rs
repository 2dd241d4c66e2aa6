//! Kafka's transactions in miniature (version 2: an epoch for each), driven at random: a correct protocol
//! must never be accused, however late its zombies are; and with one rule left out, an invariant must
//! fire.

use std::collections::BTreeSet;

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::Rng;

use crate::base::{Seed, Stream};
use crate::check::testing::Story;
use crate::sim::Ended;

/// The invariants of transactions, and those of clients. The model replicates nothing.
const JUDGED: &[&str] = &[
    "dirty-read",
    "commit-rewound",
    "producer-epoch-unique",
    "zombie-producer-fenced",
    "decision-durable",
    "markers-complete",
    "no-hanging-transaction",
    "transactions-complete",
    "torn-transaction",
    "input-output-mismatch",
    "g0",
    "g1b",
    "g1c",
    "acked-write-lost",
    "acked-write-unseen",
    "inconsistent-offset",
    "aborted-read",
    "poll-skip",
    "poll-backward",
    "duplicate",
    "send-reorder",
];

const PARTITIONS: i32 = 3;
const TOPIC: &str = "orders";
/// The reader of committed records, and the one that reads everything.
const READERS: [u32; 2] = [50, 51];

/// A rule left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    None,
    /// One participant of a commit gets an abort marker.
    OneMarkerWrong,
    /// A transaction is called complete before its last marker.
    CompleteEarly,
    /// A decision is forgotten: a prepared commit is aborted.
    DecideAgain,
    /// Readers of committed records get everything.
    ServeEverything,
    /// Epochs of records are not compared.
    TakeZombies,
    /// A commit is acknowledged and then aborted.
    AcknowledgeFirst,
    /// A new producer gets the epoch of the one before.
    EpochAgain,
    /// What a producer left behind is never aborted.
    NoTimeout,
}

#[derive(Clone, Debug)]
enum State {
    Idle,
    Ongoing(BTreeSet<i32>),
    Prepared { commit: bool, all: BTreeSet<i32>, waiting: BTreeSet<i32> },
}

/// A transactional id, as its coordinator has it.
struct Id {
    name: &'static str,
    producer_id: i64,
    epoch: i16,
    state: State,
}

struct Client {
    number: u32,
    id: usize,
    epoch: i16,
    transactions: u64,
    /// Whether it is in a transaction, and whether it sent anything.
    within: Option<bool>,
    /// It knows that it is fenced, or does not know how its last transaction ended.
    done: bool,
}

#[derive(Clone, Copy)]
enum Item {
    Record { producer_id: i64, value: u64 },
    Marker { producer_id: i64, commit: bool },
}

struct Model {
    story: Story,
    random: ChaCha12Rng,
    flaw: Flaw,
    ids: Vec<Id>,
    clients: Vec<Client>,
    logs: Vec<Vec<Item>>,
    /// Of each reader in each partition.
    positions: [Vec<usize>; 2],
    value: u64,
}

/// What breaks in a random run.
fn run(seed: u64, flaw: Flaw) -> Vec<&'static str> {
    let id = |(name, producer_id)| Id { name, producer_id, epoch: -1, state: State::Idle };
    let partitions = PARTITIONS as usize;
    let mut model = Model {
        story: Story::judging_all(),
        random: Seed(seed).stream(Stream::named("transactions")),
        flaw,
        ids: [("till", 7), ("desk", 8)].map(id).into(),
        clients: Vec::new(),
        logs: vec![Vec::new(); partitions],
        positions: [vec![0; partitions], vec![0; partitions]],
        value: 1000,
    };
    model.story.reads_committed(READERS[0]);
    (0..2).for_each(|id| model.take_over(id));
    (0..150).for_each(|_| model.step());
    model.end();
    let broken = model.story.finish().violations;
    let broken = broken.iter().map(|violation| violation.invariant);
    broken.filter(|name| JUDGED.contains(name)).collect()
}

impl Model {
    fn draw(&mut self, below: usize) -> usize {
        (self.random.next_u64() % below as u64) as usize
    }

    fn step(&mut self) {
        let client = self.draw(self.clients.len());
        let partition = self.draw(PARTITIONS as usize) as i32;
        match self.draw(20) {
            0..8 => self.send(client, partition),
            8..10 => self.finish(client),
            10..15 => {
                let id = self.draw(self.ids.len());
                self.mark(id, partition);
            }
            15 if self.draw(3) == 0 => {
                let id = self.draw(self.ids.len());
                self.take_over(id);
            }
            16 => self.story.later(),
            _ => {
                let reader = self.draw(2);
                self.poll(reader, partition as usize);
            }
        }
    }

    /// Writes the state of a transactional id.
    fn log(&mut self, id: usize, status: i8, partitions: &BTreeSet<i32>) {
        let Id { name, producer_id, epoch, .. } = self.ids[id];
        let named: Vec<_> = partitions.iter().map(|index| (TOPIC, *index)).collect();
        self.story.logs(name, (producer_id, epoch), status, &named);
    }

    /// InitProducerId of another client, which waits until the transaction of the one before is over.
    fn take_over(&mut self, id: usize) {
        if let State::Ongoing(all) = self.ids[id].state.clone() {
            self.prepare(id, false, all);
        }
        self.complete(id);
        let reused = self.flaw == Flaw::EpochAgain && self.ids[id].epoch >= 0;
        self.ids[id].epoch += i16::from(!reused);
        self.log(id, 0, &BTreeSet::new());
        let (number, epoch) = (self.clients.len() as u32, self.ids[id].epoch);
        self.story.later();
        self.story.identified(number, self.ids[id].name, self.ids[id].producer_id, epoch);
        let (transactions, within) = (0, None);
        self.clients.push(Client { number, id, epoch, transactions, within, done: false });
        self.story.later();
    }

    /// A record in a transaction, which begins with it if need be.
    fn send(&mut self, client: usize, partition: i32) {
        let Client { number, id, epoch, within, done, .. } = self.clients[client];
        let completing = matches!(self.ids[id].state, State::Prepared { .. });
        if done || completing {
            return;
        }
        if within.is_none() {
            self.clients[client].transactions += 1;
            self.story.begins(number, self.clients[client].transactions);
        }
        let txn = self.clients[client].transactions;
        self.clients[client].within = Some(true);
        self.value += 1;
        let value = self.value;
        self.story.turn_to(TOPIC, partition);
        self.story.sent_in(number, txn, value);
        let taken = epoch == self.ids[id].epoch || self.flaw == Flaw::TakeZombies;
        if !taken {
            self.story.told_fail(number, value, "INVALID_PRODUCER_EPOCH");
            return;
        }
        let mut all = match &self.ids[id].state {
            State::Ongoing(all) => all.clone(),
            _ => BTreeSet::new(),
        };
        if all.insert(partition) {
            self.ids[id].state = State::Ongoing(all.clone());
            self.log(id, 1, &all);
        }
        let producer_id = self.ids[id].producer_id;
        self.story.turn_to(TOPIC, partition);
        self.story.writes_in(producer_id, epoch, &[value]);
        let log = &mut self.logs[partition as usize];
        log.push(Item::Record { producer_id, value });
        let offset = log.len() as i64 - 1;
        self.story.told_ok(number, value, Some(offset));
    }

    /// A client ends its transaction; it may not hear of the outcome.
    fn finish(&mut self, client: usize) {
        let Client { number, id, epoch, transactions: txn, within, done } = self.clients[client];
        let commit = self.draw(3) > 0;
        let heard = self.draw(4) > 0;
        if done || within.is_none() {
            return;
        }
        self.story.ending(number, txn, commit);
        self.clients[client].within = None;
        let all = match self.ids[id].state.clone() {
            State::Ongoing(all) if epoch == self.ids[id].epoch => all,
            _ => {
                self.story.told_fenced(number, txn);
                self.clients[client].done = true;
                return;
            }
        };
        let aborts_after_all = commit && self.flaw == Flaw::AcknowledgeFirst && self.draw(4) == 0;
        self.prepare(id, commit && !aborts_after_all, all);
        match (heard, commit) {
            (false, _) => {
                let error = "REQUEST_TIMED_OUT".into();
                self.story.ended(number, txn, Ended::Unknown { error });
                self.clients[client].done = true;
                return;
            }
            (true, true) => self.story.ended(number, txn, Ended::Committed),
            (true, false) => self.story.ended(number, txn, Ended::Aborted),
        }
        let epoch = self.ids[id].epoch;
        self.clients[client].epoch = epoch;
        self.story.bumped(number, self.ids[id].producer_id, epoch);
    }

    /// A coordinator decides.
    fn prepare(&mut self, id: usize, commit: bool, all: BTreeSet<i32>) {
        self.ids[id].epoch += 1;
        self.log(id, if commit { 2 } else { 3 }, &all);
        self.ids[id].state = State::Prepared { commit, waiting: all.clone(), all };
    }

    /// A marker reaches a participant, or reaches it again; the last one completes the transaction.
    fn mark(&mut self, id: usize, partition: i32) {
        let State::Prepared { commit, mut waiting, all } = self.ids[id].state.clone() else {
            return;
        };
        if !all.contains(&partition) {
            return;
        }
        if self.flaw == Flaw::DecideAgain && commit && self.draw(4) == 0 {
            self.log(id, 3, &all);
            self.ids[id].state = State::Prepared { commit: false, waiting, all };
            return;
        }
        let wrong = self.flaw == Flaw::OneMarkerWrong && commit && self.draw(4) == 0;
        let (producer_id, epoch) = (self.ids[id].producer_id, self.ids[id].epoch);
        self.story.turn_to(TOPIC, partition);
        self.story.marks(producer_id, epoch, commit && !wrong);
        let marker = Item::Marker { producer_id, commit: commit && !wrong };
        self.logs[partition as usize].push(marker);
        waiting.remove(&partition);
        let early = self.flaw == Flaw::CompleteEarly && self.draw(3) == 0;
        if waiting.is_empty() || early {
            self.log(id, if commit { 4 } else { 5 }, &BTreeSet::new());
            self.ids[id].state = State::Idle;
        } else {
            self.ids[id].state = State::Prepared { commit, waiting, all };
        }
    }

    /// All markers that are due.
    fn complete(&mut self, id: usize) {
        while let State::Prepared { waiting, .. } = &self.ids[id].state {
            let Some(next) = waiting.first().copied() else { break };
            self.mark(id, next);
        }
    }

    /// What a reader may get of a partition now: where it ends, and the records.
    fn readable(&self, reader: usize, partition: usize) -> (usize, Vec<(i64, u64)>) {
        let log = &self.logs[partition];
        let everything = reader == 1 || self.flaw == Flaw::ServeEverything;
        let fate = |at: usize, of: i64| {
            log[at..].iter().find_map(|item| match item {
                Item::Marker { producer_id, commit } if *producer_id == of => Some(*commit),
                _ => None,
            })
        };
        let mut end = log.len();
        let mut records = Vec::new();
        for (at, item) in log.iter().enumerate() {
            let Item::Record { producer_id, value } = *item else { continue };
            match fate(at, producer_id) {
                None if !everything => {
                    end = at;
                    break;
                }
                Some(false) if !everything => {}
                _ => records.push((at as i64, value)),
            }
        }
        (end, records)
    }

    fn poll(&mut self, reader: usize, partition: usize) {
        let (end, records) = self.readable(reader, partition);
        let from = self.positions[reader][partition];
        let new: Vec<_> = records.into_iter().filter(|(at, _)| *at >= from as i64).collect();
        self.positions[reader][partition] = end.max(from);
        if !new.is_empty() {
            self.story.turn_to(TOPIC, partition as i32);
            self.story.polled(READERS[reader], &new);
        }
    }

    /// Faults are over: coordinators complete what is open, and everything is read.
    fn end(&mut self) {
        self.story.later();
        self.story.healed();
        self.story.later();
        for id in 0..self.ids.len() {
            if let State::Ongoing(all) = self.ids[id].state.clone()
                && self.flaw != Flaw::NoTimeout
            {
                self.prepare(id, false, all);
            }
            self.complete(id);
        }
        (0..3).for_each(|_| self.story.long_later());
        self.story.reading();
        self.story.reads_committed(52);
        for partition in 0..PARTITIONS as usize {
            let (end, records) = self.readable(0, partition);
            self.story.turn_to(TOPIC, partition as i32);
            self.story.positioned(52, 0);
            self.story.polled(52, &records);
            self.story.reached_end(52, end as i64);
        }
        self.story.later();
    }
}

#[test]
fn correct_transactions_are_never_accused() {
    for seed in 0..150 {
        assert_eq!(run(seed, Flaw::None), Vec::<&str>::new(), "seed {seed}");
    }
}

#[test]
fn transactions_with_a_rule_left_out_are_found_out() {
    for (flaw, breaks) in [
        (Flaw::OneMarkerWrong, "markers-complete"),
        (Flaw::OneMarkerWrong, "torn-transaction"),
        (Flaw::OneMarkerWrong, "acked-write-lost"),
        (Flaw::CompleteEarly, "markers-complete"),
        (Flaw::CompleteEarly, "no-hanging-transaction"),
        (Flaw::DecideAgain, "decision-durable"),
        (Flaw::DecideAgain, "torn-transaction"),
        (Flaw::ServeEverything, "aborted-read"),
        (Flaw::ServeEverything, "dirty-read"),
        (Flaw::ServeEverything, "g1b"),
        (Flaw::TakeZombies, "zombie-producer-fenced"),
        (Flaw::AcknowledgeFirst, "decision-durable"),
        (Flaw::AcknowledgeFirst, "acked-write-unseen"),
        (Flaw::EpochAgain, "producer-epoch-unique"),
        (Flaw::NoTimeout, "no-hanging-transaction"),
    ] {
        let found = (0..150).any(|seed| run(seed, flaw).contains(&breaks));
        assert!(found, "{flaw:?} breaks {breaks} in no seed");
    }
}
