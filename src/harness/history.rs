//! What happened in a run, as a checker reads it: in the programs' own terms.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use crate::base::{Instant, Offset, TopicPartition};
use crate::client::ConsumerRecord;
use crate::run::guests::Book;
use crate::sim::{
    ClientEvent, ConsumerEvent, Ended, MemberEvent, Observation, Outcome, ProducerEvent,
    TransactionEvent, What,
};

/// Something that happened to a host, or that a program did or saw.
#[derive(Clone, Debug)]
pub struct Event {
    /// When, in true simulated time.
    pub at: Instant,
    /// On which host: `b1`, or as the program was called.
    pub host: Arc<str>,
    /// What.
    pub what: Happening,
}

/// Kinds of things that happen.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Happening {
    /// The host boots: its program restarts.
    Booted,
    /// Its program ended by itself.
    Ended,
    /// Its process died.
    Killed,
    /// Its power failed.
    PowerLost,
    /// It is paused, without knowing.
    Paused,
    /// It continues after a pause.
    Resumed,
    /// A record is about to be sent.
    Sent(Arc<Sent>),
    /// The producer was told that the record is stored; with acks=0 not where.
    Acknowledged(Arc<Sent>, Option<Offset>),
    /// The producer was told that the record is not stored.
    Refused(Arc<Sent>, String),
    /// The outcome of the send is unknown: the record may be stored.
    InDoubt(Arc<Sent>, String),
    /// A poll returned the record.
    Read(Read),
    /// A member of a group took over its share: it reads exactly these partitions.
    Assigned {
        /// `group.id`.
        group: Arc<str>,
        /// All that it reads now.
        partitions: Vec<TopicPartition>,
    },
    /// A member of a group gave partitions up, or learned that others may have them already.
    Revoked {
        /// `group.id`.
        group: Arc<str>,
        /// Those that it no longer reads.
        partitions: Vec<TopicPartition>,
    },
    /// A commit was acknowledged.
    Committed {
        /// `group.id`.
        group: Arc<str>,
        /// The next offset to be read of each partition.
        offsets: Vec<(TopicPartition, Offset)>,
    },
    /// The producer with this `transactional.id` began a transaction.
    TransactionBegan(Arc<str>),
    /// A transaction was committed: what it sent counts as acknowledged from now on.
    TransactionCommitted(Arc<str>),
    /// A transaction was aborted: no reader of committed records gets what it sent.
    TransactionAborted(Arc<str>),
    /// The program was not told what became of a transaction, or not yet.
    TransactionInDoubt(Arc<str>, String),
    /// The program's own remark: [`Host::note`](super::Host::note).
    Noted(Arc<str>),
}

/// A record that a program sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Where to.
    pub partition: TopicPartition,
    /// Its key.
    pub key: Option<Bytes>,
    /// Its value.
    pub value: Option<Bytes>,
}

/// A record that a program read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    /// Where from.
    pub partition: TopicPartition,
    /// Its place there.
    pub offset: Offset,
    /// What was sent; `None` for a record of one of the simulation's own loads.
    pub record: Option<Arc<Sent>>,
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3} s {} ", self.at.as_secs_f64(), self.host)?;
        match &self.what {
            Happening::Booted => f.write_str("boots"),
            Happening::Ended => f.write_str("ended"),
            Happening::Killed => f.write_str("was killed"),
            Happening::PowerLost => f.write_str("lost power"),
            Happening::Paused => f.write_str("was paused"),
            Happening::Resumed => f.write_str("resumes"),
            Happening::Sent(sent) => write!(f, "sends {sent}"),
            Happening::Acknowledged(sent, Some(at)) => write!(f, "is told: {sent} is at {at}"),
            Happening::Acknowledged(sent, None) => write!(f, "is told: {sent} is stored"),
            Happening::Refused(sent, error) => write!(f, "is told {error} about {sent}"),
            Happening::InDoubt(sent, error) => {
                write!(f, "is told {error} about {sent}, perhaps stored")
            }
            Happening::Read(read) => write!(f, "reads {read}"),
            Happening::Assigned { group, partitions } => {
                write!(f, "owns {} of group {group}", list(partitions))
            }
            Happening::Revoked { group, partitions } => {
                write!(f, "no longer owns {} of group {group}", list(partitions))
            }
            Happening::Committed { group, offsets } => {
                let ends: Vec<_> =
                    offsets.iter().map(|(name, at)| format!("{name} {at}")).collect();
                write!(f, "is told: group {group} committed {}", ends.join(", "))
            }
            Happening::TransactionBegan(id) => write!(f, "begins a transaction of {id}"),
            Happening::TransactionCommitted(id) => {
                write!(f, "is told: the transaction of {id} is committed")
            }
            Happening::TransactionAborted(id) => {
                write!(f, "is told: the transaction of {id} is aborted")
            }
            Happening::TransactionInDoubt(id, error) => {
                write!(f, "is told {error} about the transaction of {id}")
            }
            Happening::Noted(text) => write!(f, "notes: {text}"),
        }
    }
}

impl fmt::Display for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { partition, key, value } = self;
        write!(f, "{}={} to {partition}", text(key.as_ref()), text(value.as_ref()))
    }
}

impl fmt::Display for Read {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { partition, offset, record } = self;
        match record {
            Some(sent) => write!(
                f,
                "{}={} at offset {offset} of {partition}",
                text(sent.key.as_ref()),
                text(sent.value.as_ref())
            ),
            None => write!(f, "offset {offset} of {partition}"),
        }
    }
}

fn list(partitions: &[TopicPartition]) -> String {
    let names: Vec<_> = partitions.iter().map(ToString::to_string).collect();
    if names.is_empty() { "nothing".into() } else { names.join(", ") }
}

/// Longest piece of a record that is shown.
const SHOWN: usize = 40;

pub(super) fn text(bytes: Option<&Bytes>) -> String {
    let Some(bytes) = bytes else { return "-".into() };
    let text = String::from_utf8_lossy(bytes);
    let mut shown: String = text.chars().take(SHOWN).flat_map(char::escape_default).collect();
    if text.chars().nth(SHOWN).is_some() {
        shown.push('…');
    }
    shown
}

/// What happened in a run.
#[derive(Clone, Debug, Default)]
pub struct History {
    events: Vec<Event>,
    /// In the order of being told; those of a transaction once it is committed.
    acknowledged: Vec<Arc<Sent>>,
    read_last: Vec<ConsumerRecord>,
    /// The program of each host that runs one.
    programs: BTreeMap<String, String>,
    topics: Vec<String>,
    /// The hosts that each fault struck.
    struck: Vec<Vec<String>>,
}

impl History {
    /// Everything, in order.
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// What a topic holds in the end, when everything has healed: all partitions, each in the order
    /// of its offsets.
    pub fn topic(&self, name: &str) -> impl Iterator<Item = &ConsumerRecord> {
        self.read_last.iter().filter(move |record| *record.partition.topic == *name)
    }

    /// What happened to a program, or one of its instances, and what it did and saw, in order.
    pub fn of(&self, program: &str) -> impl Iterator<Item = &Event> {
        self.events.iter().filter(move |event| self.is_of(&event.host, program))
    }

    /// The remarks of a program, of all its instances, in order.
    pub fn notes(&self, program: &str) -> impl Iterator<Item = (Instant, &str)> {
        self.of(program).filter_map(|event| match &event.what {
            Happening::Noted(text) => Some((event.at, &**text)),
            _ => None,
        })
    }

    /// The number of faults that struck a host, any instance of a program, or a link to either.
    pub fn struck(&self, host: &str) -> usize {
        let hits = self.struck.iter();
        hits.filter(|hosts| hosts.iter().any(|one| self.is_of(one, host))).count()
    }

    /// The number of faults that struck.
    pub fn faults(&self) -> usize {
        self.struck.len()
    }

    /// The topics that the simulation declares.
    pub fn topics(&self) -> impl Iterator<Item = &str> {
        self.topics.iter().map(String::as_str)
    }

    /// Whether a host runs a program of the test, and no load of a scenario or reader of the run.
    pub(super) fn is_program(&self, host: &str) -> bool {
        self.programs.contains_key(host)
    }

    fn is_of(&self, host: &str, program: &str) -> bool {
        host == program || self.programs.get(host).is_some_and(|of| of == program)
    }

    /// Every record of a topic of which a program was told that it is stored, in the order of
    /// being told. A record that was sent in a transaction is one of them if the program was told that
    /// the transaction is committed.
    pub fn acknowledged(&self, topic: &str) -> impl Iterator<Item = &Sent> {
        let of_topic = move |sent: &&Arc<Sent>| *sent.partition.topic == *topic;
        self.acknowledged.iter().filter(of_topic).map(|sent| &**sent)
    }
}

/// Writes a history while it happens.
#[derive(Default)]
pub(super) struct Historian {
    pub history: History,
    names: BTreeMap<u16, Arc<str>>,
    /// By the number of producer and send; each with its transaction.
    sends: BTreeMap<(u32, u64), (Arc<Sent>, Option<u64>)>,
    /// Stored records of transactions that are not committed, by producer and transaction.
    stored: BTreeMap<(u32, u64), Vec<Arc<Sent>>>,
    /// Committed transactions. A producer may hear of one before it hears of its last records.
    committed: BTreeSet<(u32, u64)>,
    /// By the number of the producer.
    transactional_ids: BTreeMap<u32, Arc<str>>,
    by_value: BTreeMap<u64, Arc<Sent>>,
    /// By the number of the consumer.
    groups: BTreeMap<u32, Arc<str>>,
    /// By the number of the consumer and the commit.
    commits: BTreeMap<(u32, u64), Vec<(TopicPartition, Offset)>>,
}

impl Historian {
    pub fn new(topics: Vec<String>, programs: BTreeMap<String, String>) -> Self {
        let history = History { topics, programs, ..History::default() };
        Self { history, ..Self::default() }
    }

    /// Writes down what happened; gives what was written.
    pub fn see(&mut self, seen: &Observation, host: &str, book: &Book) -> &[Event] {
        let from = self.history.events.len();
        let one = match &seen.what {
            What::Booted => Some(Happening::Booted),
            What::Ended => Some(Happening::Ended),
            What::Killed => Some(Happening::Killed),
            What::PowerLost { .. } => Some(Happening::PowerLost),
            What::Paused => Some(Happening::Paused),
            What::Resumed => Some(Happening::Resumed),
            What::Client(ClientEvent::Consumer(ConsumerEvent::Polled {
                partition,
                records,
                ..
            })) => {
                for (offset, value) in records {
                    let record = self.by_value.get(value).cloned();
                    let read = Read { partition: partition.clone(), offset: *offset, record };
                    self.add(seen, host, Happening::Read(read));
                }
                None
            }
            What::Client(event) => self.client(event, book),
            _ => None,
        };
        if let Some(what) = one {
            self.add(seen, host, what);
        }
        self.history.events.get(from..).unwrap_or_default()
    }

    fn client(&mut self, event: &ClientEvent, book: &Book) -> Option<Happening> {
        match event {
            ClientEvent::Producer(ProducerEvent::Sent {
                producer,
                op,
                partition,
                value,
                txn,
                ..
            }) => {
                let content = book.contents.get(value)?;
                let sent = Arc::new(Sent {
                    partition: partition.clone(),
                    key: content.key.clone(),
                    value: content.value.clone(),
                });
                self.sends.insert((*producer, *op), (Arc::clone(&sent), *txn));
                self.by_value.insert(*value, Arc::clone(&sent));
                Some(Happening::Sent(sent))
            }
            ClientEvent::Producer(ProducerEvent::Told { producer, op, outcome }) => {
                let (sent, txn) = self.sends.remove(&(*producer, *op))?;
                if matches!(outcome, Outcome::Ok { .. }) {
                    let open = txn.map(|txn| (*producer, txn));
                    let open = open.filter(|open| !self.committed.contains(open));
                    let told = match open {
                        Some(open) => self.stored.entry(open).or_default(),
                        None => &mut self.history.acknowledged,
                    };
                    told.push(Arc::clone(&sent));
                }
                Some(match outcome {
                    Outcome::Ok { offset } => Happening::Acknowledged(sent, *offset),
                    Outcome::Fail { error } => Happening::Refused(sent, error.clone()),
                    Outcome::Unknown { error } => Happening::InDoubt(sent, error.clone()),
                })
            }
            ClientEvent::Transaction(event) => self.transaction(event),
            ClientEvent::Member(event) => self.member(event),
            ClientEvent::Noted { text } => Some(Happening::Noted(Arc::clone(text))),
            _ => None,
        }
    }

    fn transaction(&mut self, event: &TransactionEvent) -> Option<Happening> {
        let producer = event.producer();
        if let TransactionEvent::Identified { transactional_id: Some(id), .. } = event {
            self.transactional_ids.insert(producer, Arc::clone(id));
        }
        let id = Arc::clone(self.transactional_ids.get(&producer)?);
        match event {
            TransactionEvent::Began { .. } => Some(Happening::TransactionBegan(id)),
            TransactionEvent::Ended { txn, outcome, .. } => Some(match outcome {
                Ended::Committed => {
                    self.committed.insert((producer, *txn));
                    let stored = self.stored.remove(&(producer, *txn)).unwrap_or_default();
                    self.history.acknowledged.extend(stored);
                    Happening::TransactionCommitted(id)
                }
                Ended::Aborted => Happening::TransactionAborted(id),
                Ended::Unknown { error } | Ended::Fenced { error } => {
                    Happening::TransactionInDoubt(id, error.clone())
                }
            }),
            _ => None,
        }
    }

    fn member(&mut self, event: &MemberEvent) -> Option<Happening> {
        let consumer = event.consumer();
        if let MemberEvent::Subscribed { group, .. } = event {
            self.groups.insert(consumer, Arc::clone(group));
        }
        let group = Arc::clone(self.groups.get(&consumer)?);
        match event {
            MemberEvent::Joined { owned, .. } => {
                Some(Happening::Assigned { group, partitions: owned.clone() })
            }
            MemberEvent::Revoked { partitions, .. } | MemberEvent::Lost { partitions, .. } => {
                Some(Happening::Revoked { group, partitions: partitions.clone() })
            }
            MemberEvent::Committing { op, offsets, .. } => {
                self.commits.insert((consumer, *op), offsets.clone());
                None
            }
            MemberEvent::Committed { op, outcome, .. } => {
                let offsets = self.commits.remove(&(consumer, *op))?;
                let stored = matches!(outcome, Outcome::Ok { .. });
                stored.then_some(Happening::Committed { group, offsets })
            }
            _ => None,
        }
    }

    fn add(&mut self, seen: &Observation, host: &str, what: Happening) {
        let name = self.names.entry(seen.host.0).or_insert_with(|| host.into());
        self.history.events.push(Event { at: seen.at, host: Arc::clone(name), what });
    }

    /// What the final reads found, and which hosts each fault struck.
    pub fn end(&mut self, mut read: Vec<ConsumerRecord>, struck: Vec<Vec<String>>) {
        self.history.struck = struck;
        read.sort_by(|one, other| {
            (&one.partition, one.offset).cmp(&(&other.partition, other.offset))
        });
        // A reader that had to begin again read some twice.
        read.dedup_by(|one, other| {
            (&one.partition, one.offset) == (&other.partition, other.offset)
        });
        self.history.read_last = read;
    }
}
