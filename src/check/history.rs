//! What clients did and saw as a file: one JSON object per line, so that the black-box invariants
//! can be judged later, elsewhere, or for another cluster.
//!
//! ```json
//! {"history":1,"scenario":"leader-power-loss","seed":3053,"enable.idempotence":true,"acks":["all"],"min.insync.replicas":{"orders":2},"within_ms":60000}
//! {"at":12410000000,"host":9,"event":"sent","producer":3,"op":17,"partition":"orders-2","value":71,"acks":"all","idempotent":true}
//! {"at":12415000000,"host":9,"event":"ok","producer":3,"op":17,"offset":4118}
//! {"at":21007000000,"host":12,"event":"polled","consumer":0,"partition":"orders-2","records":[[4117,70],[4118,71]]}
//! {"at":22000000000,"host":0,"event":"over"}
//! ```
//!
//! # The header
//! The first line. `history` is the version of this format, 1. `enable.idempotence`: whether any
//! producer was idempotent, without which records may be doubled and reordered. `within_ms`: how
//! long after the heal (and after the final reads began) liveness may take. `scenario`, `seed`,
//! `acks` and `min.insync.replicas` say what ran; they may be left out, and nothing is judged by
//! them. `compacted.keys` names the topics that are compacted, with the number of keys `n`: the key
//! of a record is the lowest 39 bits of its `value`, modulo `n`, and bit 39 says that it is a
//! tombstone. What a later record of its key made old need not be read.
//!
//! # Events
//! In the order of time. `at` is in nanoseconds from any beginning; `host` is the client's process:
//! any number that it alone has. Whole numbers are below 2^63, `value`s below 2^64.
//!
//! | event | fields | says |
//! |---|---|---|
//! | `sent` | `producer`, `op`, `partition`, `value`, `acks`, `idempotent`, `txn` (in a transaction: its number) | about to send; no two sends have one `value`, nor one `producer` and `op` |
//! | `ok` | `producer`, `op`, `offset` (not with acks=0) | acknowledged |
//! | `fail` | `producer`, `op`, `error` | refused before it could be appended, in every attempt |
//! | `unknown` | `producer`, `op`, `error` | anything may have happened, as after a timeout |
//! | `misbehaved` | `producer`, `partition`, `value`, `misdeed`, `repeats` (of a `repeated` one: the offset of the other record) | about to send a record that must be refused; `misdeed` is one of `base-offset`, `control-bit`, `transactional-bit`, `record-count`, `checksum`, `size`, `two-batches`, `half-batch`, `acks`, `sequence-gap`, `old-epoch`, `repeated` |
//! | `answered` | `producer`, `value`, `error`, `offset` (not with an error) | the answer to that |
//! | `polled` | `consumer`, `partition`, `records`: `[offset, value]` each, `epochs` (if known): `[offset, leader epoch]` each, the epoch of the batches from there on | what one poll returned of one partition |
//! | `positioned` | `consumer`, `partition`, `offset` | the next offset was set: assigned, sought, reset |
//! | `reached-end` | `consumer`, `partition`, `end` | a final read reached the end offset |
//! | `asked` | `consumer`, `partition` | about to ask ListOffsets |
//! | `listed` | `consumer`, `partition`, `lookup`: `"latest"`, `"earliest"` or `{"at": ms}`, `offset` (not if none matches) | the answer |
//! | `subscribed` | `consumer`, `group`, `topics`, `is_static`, `protocol`: `classic` or `consumer`, `session_ms` | a member is about to join its group, as a new process or after it left |
//! | `joined` | `consumer`, `generation`, `member` (its id), `owned`: partitions | it took its share of a generation over |
//! | `revoked` | `consumer`, `partitions` | it gives them up, as a member |
//! | `lost` | `consumer`, `partitions` | it learned that others may own them already |
//! | `left` | `consumer` | it leaves its group |
//! | `committing` | `consumer`, `op`, `generation`, `offsets`: `[partition, offset]` each | about to commit |
//! | `committed` | `consumer`, `op`, `generation` (by now), `outcome`: `ok`, `fail` or `unknown`, `error` | the outcome |
//! | `recalling` | `consumer` | about to ask what its group has committed |
//! | `recalled` | `consumer`, `offsets`: `[partition, offset or null]` each | the answer |
//! | `processed` | `consumer`, `partition`, `offset`, `value` | it processed a record |
//! | `isolated` | `consumer`, `isolation`: `read_committed` or `read_uncommitted` | how it reads from now on; `read_uncommitted` until then |
//! | `identified` | `producer`, `transactional_id` (not if only idempotent), `producer_id`, `epoch` | what InitProducerId gave it |
//! | `bumped` | `producer`, `producer_id`, `epoch` | what EndTxn gave it for its next transaction |
//! | `transaction-began` | `producer`, `txn`: counts its transactions | it begins one |
//! | `transformed` | `producer`, `txn` (in a transaction), `group`, `partition`, `offset`, `value`, `key` (if it has one), `outputs`: values | about to send what it made of one input |
//! | `sending-offsets` | `producer`, `txn`, `group`, `generation` (-1: unknown), `offsets`: `[partition, offset]` each | about to send offsets in its transaction |
//! | `sent-offsets` | `producer`, `txn`, `group`, `outcome`: `ok`, `fail` or `unknown`, `error` | the outcome |
//! | `transaction-ending` | `producer`, `txn`, `commit`: `true`, or `false` for an abort | about to ask for it |
//! | `transaction-ended` | `producer`, `txn`, `outcome`: `committed`, `aborted`, `unknown` or `fenced`, `error` | the outcome |
//! | `noted` | `text` | a program's own remark; nothing is judged by it |
//! | `ended` | | that host's process ended; the next one there is another client |
//! | `healed` | | the last fault ended: liveness is owed from now on |
//! | `reading` | | the final reads begin |
//! | `over` | | the run is over |
//!
//! # Transactions
//! A record of a transaction counts as acknowledged when its transaction is `committed`, and must not be
//! read by a `read_committed` consumer when it is `aborted`, or when no commit was asked for. After a
//! commit was asked for, `unknown`, `fenced` or no outcome at all leave both open. All records of a
//! transaction are visible to such consumers, or none is. Jepsen's names for what is found: lost write
//! is `acked-write-lost`, G1a (aborted read) is `aborted-read`, G0, G1b and G1c are `g0`, `g1b` and
//! `g1c`. Cycles that Kafka permits, because records of several producers may interleave in a partition,
//! are notes.
//!
//! A send that was never answered simply has no second line. `partition` is topic, `-`, number.
//! What topics lost by deletion or retention a history can't say: leave such topics out.

mod event;
mod judged;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufRead, Read, Write};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use self::event::{Line, Said, heard, said};
use super::{Judge, Setup, TopicPromise, Verdicts};
use crate::base::config::{Acks, Setting};
use crate::base::{Instant, Offset};
use crate::sim::{
    ClientEvent, ConsumerEvent, Ended, HostId, Observation, ProducerEvent, TransactionEvent, What,
};

pub use judged::{Heard, Judged};

/// The version of the format.
const VERSION: u32 = 1;
/// No poll that a client makes is as long as this.
const LONGEST_LINE: u64 = 64 * 1024 * 1024;

/// Why a history can't be read.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The file can't be read.
    #[error("can't read the history after line {line}: {error}")]
    Io {
        /// The last line that was read; 0 before the first.
        line: usize,
        /// Why not.
        error: io::Error,
    },
    /// A line is not an event, or an impossible one.
    #[error("history line {line}: {problem}")]
    Line {
        /// Counted from 1.
        line: usize,
        /// What is wrong with it.
        problem: String,
    },
}

impl HistoryError {
    /// The error as one of a file.
    pub fn of_file(&self, file: &str) -> String {
        match self {
            Self::Io { line, error } => format!("{file}:{line}: can't read on: {error}"),
            Self::Line { line, problem } => format!("{file}:{line}: {problem}"),
        }
    }
}

/// The first line of a history: what ran, and what it promised.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// The version of the format.
    history: u32,
    /// What ran.
    #[serde(default)]
    pub scenario: String,
    /// Which run of it.
    #[serde(default)]
    pub seed: u64,
    /// Whether any producer was idempotent.
    #[serde(rename = "enable.idempotence")]
    pub idempotence: bool,
    /// What producers waited for.
    #[serde(default)]
    pub acks: BTreeSet<String>,
    /// By topic.
    #[serde(default, rename = "min.insync.replicas")]
    pub min_insync_replicas: BTreeMap<String, usize>,
    /// Of topics that are compacted: how many keys their records have.
    #[serde(default, rename = "compacted.keys", skip_serializing_if = "BTreeMap::is_empty")]
    pub compacted_keys: BTreeMap<String, u64>,
    /// How long liveness may take.
    pub within_ms: u64,
}

impl Header {
    /// The header of a run's history.
    pub fn new(
        setup: &Setup,
        scenario: &str,
        seed: u64,
        acks: impl IntoIterator<Item = Acks>,
    ) -> Self {
        let topics = setup.topics.iter();
        let least = topics.map(|(name, promise)| (name.to_string(), promise.min_insync_replicas));
        let compacted = setup.topics.iter().filter(|(_, promise)| promise.compacted);
        let compacted = compacted.map(|(name, promise)| (name.to_string(), promise.keys));
        Self {
            history: VERSION,
            scenario: scenario.into(),
            seed,
            idempotence: setup.idempotence,
            acks: acks.into_iter().map(|acks| acks.show()).collect(),
            min_insync_replicas: least.collect(),
            compacted_keys: compacted.collect(),
            within_ms: u64::try_from(setup.within.as_millis()).unwrap_or(u64::MAX),
        }
    }

    fn read(text: &[u8]) -> Result<Self, String> {
        let header: Self = serde_json::from_slice(text).map_err(|error| {
            format!(
                "{}; the first line of a history is its header, such as \
                 {{\"history\":1,\"enable.idempotence\":true,\"within_ms\":60000}}",
                said_of_one_line(&error)
            )
        })?;
        if header.history != VERSION {
            let other = header.history;
            return Err(format!("this is a history of version {other}; only {VERSION} is known"));
        }
        Ok(header)
    }

    fn setup(&self) -> Setup {
        let promised = self.min_insync_replicas.iter();
        let promised = promised.map(|(topic, least)| {
            let keys = self.compacted_keys.get(topic).copied();
            let promise = TopicPromise {
                min_insync_replicas: *least,
                compacted: keys.is_some(),
                keys: keys.unwrap_or(0),
                ..TopicPromise::default()
            };
            (topic.as_str().into(), promise)
        });
        Setup {
            topics: promised.collect(),
            idempotence: self.idempotence,
            within: Duration::from_millis(self.within_ms),
            ..Setup::default()
        }
    }
}

/// A problem of JSON whose every document is one line.
fn said_of_one_line(error: &serde_json::Error) -> String {
    let (said, column) = (error.to_string(), error.column());
    let said = said.split(" at line ").next().unwrap_or_default();
    format!("{said} (column {column})")
}

/// Writes the events of clients, and leaves everything else out.
pub struct Writer<W> {
    to: W,
    /// Hosts on which clients run.
    clients: BTreeSet<HostId>,
}

impl<W: Write> Writer<W> {
    /// Begins a history in `to`, which should be buffered.
    pub fn new(mut to: W, header: &Header) -> io::Result<Self> {
        serde_json::to_writer(&mut to, header)?;
        to.write_all(b"\n")?;
        Ok(Self { to, clients: BTreeSet::new() })
    }

    /// Writes what happened, if it belongs in a history.
    pub fn observe(&mut self, seen: &Observation) -> io::Result<()> {
        let said = match &seen.what {
            What::Client(event) => {
                self.clients.insert(seen.host);
                said(event)
            }
            What::Killed | What::PowerLost { .. } | What::Ended
                if self.clients.contains(&seen.host) =>
            {
                Said::Ended
            }
            _ => return Ok(()),
        };
        self.line(seen.at, seen.host, said)
    }

    /// The last fault ended.
    pub fn healed(&mut self, at: Instant) -> io::Result<()> {
        self.line(at, HostId(0), Said::Healed)
    }

    /// The final reads begin.
    pub fn reading(&mut self, at: Instant) -> io::Result<()> {
        self.line(at, HostId(0), Said::Reading)
    }

    /// The run is over; gives the file back.
    pub fn finish(mut self, at: Instant) -> io::Result<W> {
        self.line(at, HostId(0), Said::Over)?;
        self.to.flush()?;
        Ok(self.to)
    }

    fn line(&mut self, at: Instant, host: HostId, said: Said) -> io::Result<()> {
        serde_json::to_writer(&mut self.to, &Line { at, host, said })?;
        self.to.write_all(b"\n")
    }
}

/// Judges a history by what clients saw alone.
pub fn judge(from: impl BufRead) -> Result<(Header, Verdicts), HistoryError> {
    let Judged { header, verdicts, .. } = judge_counted(from)?;
    Ok((header, verdicts))
}

/// Like [`judge`], and counts what there was to judge.
pub fn judge_counted(from: impl BufRead) -> Result<Judged, HistoryError> {
    let mut lines = Lines { from, number: 0, text: Vec::new() };
    let header = if lines.next()? { Header::read(&lines.text) } else { Header::read(b"") };
    let header = header.map_err(|problem| lines.wrong(problem))?;
    let mut hearing = Hearing {
        judge: Judge::new(header.setup()),
        now: Instant::START,
        over: false,
        values: BTreeSet::new(),
        heard: Heard::default(),
    };
    while lines.next()? {
        let line = serde_json::from_slice(&lines.text);
        let heard = line.map_err(|error| said_of_one_line(&error));
        heard.and_then(|line| hearing.hear(line)).map_err(|problem| lines.wrong(problem))?;
    }
    let Hearing { judge, now, heard, .. } = hearing;
    Ok(Judged { header, verdicts: judge.finish(now), heard })
}

/// A file line by line, empty ones left out.
struct Lines<R> {
    from: R,
    number: usize,
    text: Vec<u8>,
}

impl<R: BufRead> Lines<R> {
    /// Reads the next line; `false` at the end.
    fn next(&mut self) -> Result<bool, HistoryError> {
        loop {
            self.text.clear();
            let line = self.number;
            let read = self.from.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut self.text);
            let read = read.map_err(|error| HistoryError::Io { line, error })?;
            if read == 0 {
                return Ok(false);
            }
            self.number += 1;
            if !self.text.trim_ascii().is_empty() {
                return Ok(true);
            }
        }
    }

    fn wrong(&self, problem: String) -> HistoryError {
        HistoryError::Line { line: self.number.max(1), problem }
    }
}

/// A history while it is read.
struct Hearing {
    judge: Judge,
    now: Instant,
    over: bool,
    values: BTreeSet<u64>,
    heard: Heard,
}

impl Hearing {
    fn hear(&mut self, line: Line) -> Result<(), String> {
        let Line { at, host, said } = line;
        let now = std::mem::replace(&mut self.now, at);
        if at < now {
            let (at, now) = (at.0, now.0);
            return Err(format!("`at` {at} is before {now} of the line above: sort by time"));
        }
        if self.over {
            return Err("a line after `over`: one history is one run".into());
        }
        match said {
            Said::Healed => self.judge.healed(at),
            Said::Reading => self.judge.reading(at),
            Said::Over => self.over = true,
            Said::Ended => self.judge.observe(&Observation { at, host, what: What::Ended }),
            said => {
                let event = heard(said)?;
                self.make_sense(&event)?;
                self.heard.count(&event);
                self.judge.observe(&Observation { at, host, what: What::Client(event) });
            }
        }
        Ok(())
    }

    /// Refuses events that no client can have made: mistakes of the history's author.
    fn make_sense(&mut self, event: &ClientEvent) -> Result<(), String> {
        let clients = self.judge.ghost().clients();
        match event {
            ClientEvent::Producer(ProducerEvent::Sent { producer, op, .. })
                if clients.send(*producer, *op).is_some() =>
            {
                Err(format!("send {op} of producer {producer} is there twice: count `op` up"))
            }
            ClientEvent::Producer(
                ProducerEvent::Sent { value, .. } | ProducerEvent::Misbehaved { value, .. },
            ) if !self.values.insert(*value) => {
                Err(format!("value {value} was sent before: give each record a value of its own"))
            }
            ClientEvent::Producer(ProducerEvent::Told { producer, op, .. }) => {
                match clients.send(*producer, *op) {
                    None => Err(format!("no line above sends {op} of producer {producer}: add it")),
                    Some(send) if send.told.is_some() => Err(format!(
                        "send {op} of producer {producer} has been answered: leave one answer"
                    )),
                    Some(_) => Ok(()),
                }
            }
            ClientEvent::Producer(ProducerEvent::Sent { producer, txn: Some(txn), .. }) => {
                self.is_begun(*producer, *txn)
            }
            ClientEvent::Transaction(event) => self.make_sense_of(event),
            ClientEvent::Consumer(ConsumerEvent::Polled { records, .. }) => {
                records.iter().try_for_each(|(offset, _)| check_offset(*offset))
            }
            ClientEvent::Consumer(
                ConsumerEvent::Positioned { offset, .. }
                | ConsumerEvent::Unreadable { offset, .. }
                | ConsumerEvent::Skipped { offset, .. }
                | ConsumerEvent::ReachedEnd { end: offset, .. },
            ) => check_offset(*offset),
            _ => Ok(()),
        }
    }
}

impl Hearing {
    /// A transaction must have begun before anything happens in it.
    fn is_begun(&self, producer: u32, txn: u64) -> Result<(), String> {
        match self.judge.ghost().transactions().get(producer, txn) {
            Some(_) => Ok(()),
            None => Err(format!(
                "no line above begins transaction {txn} of producer {producer}: add \
                 `transaction-began`"
            )),
        }
    }

    fn make_sense_of(&self, event: &TransactionEvent) -> Result<(), String> {
        let transactions = self.judge.ghost().transactions();
        match event {
            TransactionEvent::Began { producer, txn } => match transactions.get(*producer, *txn) {
                None => Ok(()),
                Some(_) => Err(format!(
                    "transaction {txn} of producer {producer} began before: count `txn` up"
                )),
            },
            TransactionEvent::Ended { producer, txn, outcome: Ended::Committed } => {
                self.is_begun(*producer, *txn)?;
                let asked = transactions.get(*producer, *txn).and_then(|one| one.commit_asked);
                match asked {
                    Some(_) => Ok(()),
                    None => Err(format!(
                        "transaction {txn} of producer {producer} is committed, and no line above \
                         asks for that: add `transaction-ending`"
                    )),
                }
            }
            TransactionEvent::Transformed { producer, txn: Some(txn), offset, .. } => {
                check_offset(*offset)?;
                self.is_begun(*producer, *txn)
            }
            TransactionEvent::Transformed { txn: None, offset, .. } => check_offset(*offset),
            TransactionEvent::SendingOffsets { producer, txn, .. }
            | TransactionEvent::SentOffsets { producer, txn, .. }
            | TransactionEvent::Ending { producer, txn, .. }
            | TransactionEvent::Ended { producer, txn, .. } => self.is_begun(*producer, *txn),
            TransactionEvent::Identified { .. } | TransactionEvent::Bumped { .. } => Ok(()),
        }
    }
}

/// A record's offset, and the one after it, can be counted.
fn check_offset(offset: Offset) -> Result<(), String> {
    match (0..i64::MAX).contains(&offset.0) {
        true => Ok(()),
        false => Err(format!("{offset} is not an offset: expected 0 or more")),
    }
}

#[cfg(test)]
mod tests;
