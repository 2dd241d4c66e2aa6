//! What clients did and saw as a file: one JSON object per line, so that the black-box invariants
//! can be judged later, elsewhere, or for another cluster.
//!
//! ```json
//! {"at":12410000000,"host":9,"event":"sent","producer":3,"op":17,"partition":"orders-2","value":71,"acks":"all","idempotent":true}
//! {"at":12415000000,"host":9,"event":"ok","producer":3,"op":17,"offset":4118}
//! {"at":21007000000,"host":12,"event":"polled","consumer":0,"partition":"orders-2","records":[[4117,70],[4118,71]]}
//! ```
//! `at` is in nanoseconds of simulated time. `fail` and `unknown` carry the error's name;
//! `positioned` and `reached-end` an offset; `ended` says that a client's process did; `healed` and
//! `reading` mark when the last fault ended and when the final reads began.

use std::collections::BTreeSet;
use std::io::{self, BufRead, Read, Write};

use serde::{Deserialize, Serialize};

use super::{Judge, Setup, Verdicts};
use crate::base::config::{Acks, Setting};
use crate::base::{Instant, Offset, TopicPartition};
use crate::sim::{ClientEvent, HostId, Observation, Outcome, What};

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
    /// A line is no event.
    #[error("history line {line}: {problem}")]
    Line {
        /// Counted from 1.
        line: usize,
        /// What is wrong with it.
        problem: String,
    },
}

#[derive(Serialize, Deserialize)]
struct Line {
    at: Instant,
    host: HostId,
    #[serde(flatten)]
    said: Said,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
enum Said {
    Sent {
        producer: u32,
        op: u64,
        partition: String,
        value: u64,
        acks: String,
        idempotent: bool,
    },
    Ok {
        producer: u32,
        op: u64,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        offset: Option<Offset>,
    },
    Fail {
        producer: u32,
        op: u64,
        error: String,
    },
    Unknown {
        producer: u32,
        op: u64,
        error: String,
    },
    Polled {
        consumer: u32,
        partition: String,
        records: Vec<(Offset, u64)>,
    },
    Positioned {
        consumer: u32,
        partition: String,
        offset: Offset,
    },
    ReachedEnd {
        consumer: u32,
        partition: String,
        end: Offset,
    },
    Ended,
    Healed,
    Reading,
}

/// Writes the events of clients, and leaves everything else out.
pub struct Writer<W> {
    to: W,
    /// Hosts on which clients run.
    clients: BTreeSet<HostId>,
}

impl<W: Write> Writer<W> {
    /// Writes to `to`, which should be buffered.
    pub fn new(to: W) -> Self {
        Self { to, clients: BTreeSet::new() }
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

    /// Ends the history, and gives the file back.
    pub fn finish(mut self) -> io::Result<W> {
        self.to.flush()?;
        Ok(self.to)
    }

    fn line(&mut self, at: Instant, host: HostId, said: Said) -> io::Result<()> {
        serde_json::to_writer(&mut self.to, &Line { at, host, said })?;
        self.to.write_all(b"\n")
    }
}

/// Judges a history by what clients saw alone. The setup's brokers are not looked into.
pub fn judge(setup: Setup, mut from: impl BufRead) -> Result<Verdicts, HistoryError> {
    let mut judge = Judge::new(Setup { brokers: Default::default(), ..setup });
    let mut now = Instant::START;
    let mut text = Vec::new();
    for line in 1.. {
        text.clear();
        let io = |error| HistoryError::Io { line: line - 1, error };
        let read = from.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut text).map_err(io)?;
        if read == 0 {
            break;
        }
        if text.trim_ascii().is_empty() {
            continue;
        }
        let wrong = |problem: String| HistoryError::Line { line, problem };
        let Line { at, host, said } =
            serde_json::from_slice(&text).map_err(|error| wrong(error.to_string()))?;
        if at < now {
            return Err(wrong(format!("{at} is before the line above it, {now}")));
        }
        now = at;
        match said {
            Said::Healed => judge.healed(at),
            Said::Reading => judge.reading(at),
            Said::Ended => judge.observe(&Observation { at, host, what: What::Ended }),
            said => {
                let event = heard(said).map_err(wrong)?;
                judge.observe(&Observation { at, host, what: What::Client(event) });
            }
        }
    }
    Ok(judge.finish(now))
}

fn said(event: &ClientEvent) -> Said {
    match event.clone() {
        ClientEvent::Sent { producer, op, partition, value, acks, idempotent } => Said::Sent {
            producer,
            op,
            partition: partition.to_string(),
            value,
            acks: acks.show(),
            idempotent,
        },
        ClientEvent::Told { producer, op, outcome } => match outcome {
            Outcome::Ok { offset } => Said::Ok { producer, op, offset },
            Outcome::Fail { error } => Said::Fail { producer, op, error },
            Outcome::Unknown { error } => Said::Unknown { producer, op, error },
        },
        ClientEvent::Polled { consumer, partition, records } => {
            Said::Polled { consumer, partition: partition.to_string(), records }
        }
        ClientEvent::Positioned { consumer, partition, offset } => {
            Said::Positioned { consumer, partition: partition.to_string(), offset }
        }
        ClientEvent::ReachedEnd { consumer, partition, end } => {
            Said::ReachedEnd { consumer, partition: partition.to_string(), end }
        }
    }
}

fn heard(said: Said) -> Result<ClientEvent, String> {
    let told = |producer, op, outcome| ClientEvent::Told { producer, op, outcome };
    Ok(match said {
        Said::Sent { producer, op, partition, value, acks, idempotent } => ClientEvent::Sent {
            producer,
            op,
            partition: read_partition(&partition)?,
            value,
            acks: Acks::read(&acks).map_err(|problem| format!("`acks`: {problem}"))?,
            idempotent,
        },
        Said::Ok { producer, op, offset } => told(producer, op, Outcome::Ok { offset }),
        Said::Fail { producer, op, error } => told(producer, op, Outcome::Fail { error }),
        Said::Unknown { producer, op, error } => told(producer, op, Outcome::Unknown { error }),
        Said::Polled { consumer, partition, records } => {
            ClientEvent::Polled { consumer, partition: read_partition(&partition)?, records }
        }
        Said::Positioned { consumer, partition, offset } => {
            ClientEvent::Positioned { consumer, partition: read_partition(&partition)?, offset }
        }
        Said::ReachedEnd { consumer, partition, end } => {
            ClientEvent::ReachedEnd { consumer, partition: read_partition(&partition)?, end }
        }
        Said::Ended | Said::Healed | Said::Reading => return Err("not a client's event".into()),
    })
}

fn read_partition(name: &str) -> Result<TopicPartition, String> {
    TopicPartition::from_directory(name)
        .ok_or_else(|| format!("`{name}` is no partition: expected one such as `orders-2`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events() -> Vec<ClientEvent> {
        let partition = TopicPartition::new("eu-orders", 2);
        let told = |op, outcome| ClientEvent::Told { producer: 3, op, outcome };
        let mut events = Vec::new();
        for (op, acks) in [Acks::None, Acks::Leader, Acks::All, Acks::All].into_iter().enumerate() {
            let (partition, op) = (partition.clone(), op as u64);
            let (value, idempotent) = (u64::MAX - op, acks == Acks::All);
            events.push(ClientEvent::Sent { producer: 3, op, partition, value, acks, idempotent });
        }
        events.push(told(0, Outcome::Ok { offset: None }));
        events.push(told(1, Outcome::Ok { offset: Some(Offset(7)) }));
        events.push(told(2, Outcome::Fail { error: "NOT_ENOUGH_REPLICAS".into() }));
        events.push(told(3, Outcome::Unknown { error: "REQUEST_TIMED_OUT".into() }));
        let offset = Offset(6);
        events.push(ClientEvent::Positioned { consumer: 0, partition: partition.clone(), offset });
        let records = vec![(Offset(6), 5), (Offset(7), 99), (Offset(8), 6)];
        events.push(ClientEvent::Polled { consumer: 0, partition: partition.clone(), records });
        events.push(ClientEvent::ReachedEnd { consumer: 0, partition, end: Offset(9) });
        events
    }

    fn written() -> String {
        let mut writer = Writer::new(Vec::new());
        for (second, event) in (1..).zip(events()) {
            let (at, what) = (Instant::from_secs(second), What::Client(event));
            writer.observe(&Observation { at, host: HostId(9), what }).unwrap();
        }
        let at = Instant::from_secs(20);
        writer.observe(&Observation { at, host: HostId(1), what: What::Killed }).unwrap();
        writer.observe(&Observation { at, host: HostId(9), what: What::Killed }).unwrap();
        writer.healed(at).unwrap();
        writer.reading(at).unwrap();
        String::from_utf8(writer.finish().unwrap()).unwrap()
    }

    #[test]
    fn every_event_is_read_as_it_was_written() {
        let text = written();
        let read: Vec<ClientEvent> = text
            .lines()
            .filter_map(|line| heard(serde_json::from_str::<Line>(line).unwrap().said).ok())
            .collect();
        assert_eq!(read, events());
        assert_eq!(text.lines().count(), events().len() + 3, "{text}");
    }

    #[test]
    fn a_history_on_file_is_judged_as_it_was_when_it_happened() {
        let verdicts = judge(Setup::default(), written().as_bytes()).unwrap();
        let lost = verdicts.broke("acked-write-lost").unwrap().to_string();
        assert!(lost.starts_with("eu-orders-2 offset 7 acked to p3 at 6.000 s;"), "{lost}");
        assert!(verdicts.broke("inconsistent-offset").is_some());
        assert!(!verdicts.judged.contains(&"leader-completeness"));
    }

    #[test]
    fn a_line_that_is_no_event_is_named() {
        let problem =
            |text: &str| judge(Setup::default(), text.as_bytes()).unwrap_err().to_string();
        let said = problem("\n{\"at\":1,\"host\":0,\"event\":\"snet\"}\n");
        assert!(said.starts_with("history line 2: unknown variant `snet`"), "{said}");
        let said = problem(
            "{\"at\":1,\"host\":0,\"event\":\"positioned\",\"consumer\":0,\"partition\":\"x\",\"offset\":0}",
        );
        assert!(said.contains("`x` is no partition"), "{said}");
        let said = problem(
            "{\"at\":2,\"host\":0,\"event\":\"healed\"}\n{\"at\":1,\"host\":0,\"event\":\"healed\"}",
        );
        assert!(said.starts_with("history line 2: "), "{said}");
    }
}
