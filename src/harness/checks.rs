//! Ready-made checks of what programs do: one output per input, in order per key, nothing lost.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::History;
use super::draft::did_you_mean;
use super::history::{Happening, text};
use crate::base::{Offset, TopicPartition};
use crate::client::ConsumerRecord;

/// Why a ready-made check does not hold, in a sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Mismatch {
    /// The check names a topic that the simulation does not have.
    #[error("the check is about `{topic}`, which is not declared{hint}")]
    Undeclared {
        /// The topic.
        topic: String,
        /// A name that is near, or nothing.
        hint: String,
    },
    /// A record without a key, where records are told apart by key.
    #[error("offset {offset} of {partition} has no key, and the check counts records by key")]
    NoKey {
        /// Where it is.
        partition: TopicPartition,
        /// Its place there.
        offset: Offset,
    },
    /// A key has too few or too many outputs.
    #[error(
        "key `{key}` has {} in `{input}` and {} in `{output}`{excess}",
        records(*inputs),
        records(*outputs)
    )]
    Outputs {
        /// The key, shortened.
        key: String,
        /// The topic that is read.
        input: String,
        /// How many of its records have the key.
        inputs: usize,
        /// The topic that is written.
        output: String,
        /// How many of its records have the key.
        outputs: usize,
        /// Where the last of too many outputs is.
        excess: String,
    },
    /// Outputs of one key came in another order than their inputs.
    #[error(
        "key `{key}`: `{later}` is at offset {at} of {partition}, before `{earlier}`, which comes \
         first in `{input}`"
    )]
    Order {
        /// The key, shortened.
        key: String,
        /// The input that came first, and its output last.
        earlier: Box<str>,
        /// The input that came last, and its output first.
        later: Box<str>,
        /// The topic that is read.
        input: String,
        /// Where the early output is.
        partition: TopicPartition,
        /// Its place there.
        at: Offset,
    },
    /// An acknowledged record is not in its topic.
    #[error("`{record}` was acknowledged, and {partition} does not have it in the end")]
    Lost {
        /// Key and value, shortened.
        record: String,
        /// Where it was stored.
        partition: TopicPartition,
    },
    /// A record that no poll returned to the program.
    #[error("`{record}` at offset {offset} of {partition} was never read by `{program}`")]
    Unread {
        /// Key and value, shortened.
        record: String,
        /// Where it is.
        partition: TopicPartition,
        /// Its place there.
        offset: Offset,
        /// The program.
        program: String,
    },
}

/// A check holds for each key if `output` has exactly as many records with it as `input`, in the end:
/// exactly-once processing, by key.
///
/// ```
/// use brokerquake::prelude::*;
///
/// let report = Simulation::new("a receipt too many")
///     .topic("payments", |topic| topic.partitions(1).replication_factor(3))
///     .topic("receipts", |topic| topic.partitions(1).replication_factor(3))
///     .client("app", |host| async move {
///         let producer = host.producer(&[])?;
///         for topic in ["payments", "receipts", "receipts"] {
///             let record = ProducerRecord::new(topic, "10 €").with_key("payment 7");
///             producer.send_and_wait(record).await?;
///         }
///         Ok::<(), Box<dyn std::error::Error>>(())
///     })
///     .check("one-receipt-each", one_output_per_input("payments", "receipts"))
///     .duration("1s")
///     .seeds(0..1)
///     .run();
/// assert_eq!(
///     report.worst().unwrap().broken.what,
///     "key `payment 7` has 1 record in `payments` and 2 records in `receipts`; the last one is at \
///      offset 1 of receipts-0",
/// );
/// ```
pub fn one_output_per_input(
    input: &str,
    output: &str,
) -> impl Fn(&History) -> Result<(), Mismatch> + Send + Sync + 'static + use<> {
    by_key(input, output, |inputs, outputs| inputs == outputs)
}

/// A check holds for each key if `output` has at least as many records with it as `input`, in the end:
/// at-least-once processing, by key.
pub fn at_least_one_output_per_input(
    input: &str,
    output: &str,
) -> impl Fn(&History) -> Result<(), Mismatch> + Send + Sync + 'static + use<> {
    by_key(input, output, |inputs, outputs| inputs <= outputs)
}

fn by_key(
    input: &str,
    output: &str,
    fits: fn(usize, usize) -> bool,
) -> impl Fn(&History) -> Result<(), Mismatch> + Send + Sync + 'static + use<> {
    let (input, output) = (input.to_owned(), output.to_owned());
    move |history| {
        let (ins, outs) = (keyed(history, &input)?, keyed(history, &output)?);
        let keys: BTreeSet<_> = ins.keys().chain(outs.keys()).collect();
        for key in keys {
            let count = |of: &BTreeMap<Bytes, Vec<_>>| of.get(key).map_or(0, Vec::len);
            let (inputs, outputs) = (count(&ins), count(&outs));
            if fits(inputs, outputs) {
                continue;
            }
            let last: Option<&&ConsumerRecord> = outs.get(key).and_then(|records| records.last());
            let excess = last.filter(|_| outputs > inputs).map_or(String::new(), |last| {
                format!("; the last one is at offset {} of {}", last.offset, last.partition)
            });
            return Err(Mismatch::Outputs {
                key: text(Some(key)),
                input: input.clone(),
                inputs,
                output: output.clone(),
                outputs,
                excess,
            });
        }
        Ok(())
    }
}

/// A check holds if the records of each key are first stored in `output` in the order of `input`. A
/// record is recognised by its value; repetitions are left to [`one_output_per_input`].
pub fn in_order_per_key(
    input: &str,
    output: &str,
) -> impl Fn(&History) -> Result<(), Mismatch> + Send + Sync + 'static + use<> {
    let whole = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
    in_order_per_key_by(input, output, move |record| record.value.as_ref().map(whole))
}

/// Like [`in_order_per_key`], for outputs with other values than their inputs: `id` gives what a record
/// of either topic is recognised by, `None` for one that does not count.
pub fn in_order_per_key_by<I>(
    input: &str,
    output: &str,
    id: I,
) -> impl Fn(&History) -> Result<(), Mismatch> + Send + Sync + 'static + use<I>
where
    I: Fn(&ConsumerRecord) -> Option<String> + Send + Sync + 'static,
{
    let (input, output) = (input.to_owned(), output.to_owned());
    move |history| {
        let (ins, outs) = (keyed(history, &input)?, keyed(history, &output)?);
        for (key, records) in &ins {
            let mut place = BTreeMap::new();
            for id in records.iter().filter_map(|record| id(record)) {
                let next = place.len();
                place.entry(id).or_insert(next);
            }
            let mut seen = BTreeSet::new();
            let mut highest: Option<(usize, String, &ConsumerRecord)> = None;
            for record in outs.get(key).into_iter().flatten() {
                let Some(id) = id(record).filter(|id| seen.insert(id.clone())) else { continue };
                let Some(at) = place.get(&id) else { continue };
                if let Some((_, later, early)) = highest.as_ref().filter(|(last, ..)| last > at) {
                    return Err(Mismatch::Order {
                        key: text(Some(key)),
                        earlier: id.into(),
                        later: later.as_str().into(),
                        input: input.clone(),
                        partition: early.partition.clone(),
                        at: early.offset,
                    });
                }
                highest = Some((*at, id, *record));
            }
        }
        Ok(())
    }
}

/// A check holds if every record of `topic` that was acknowledged to a program is there in the end. Not
/// for topics whose records are deleted or compacted.
pub fn nothing_lost(
    topic: &str,
) -> impl Fn(&History) -> Result<(), Mismatch> + Send + Sync + 'static + use<> {
    let topic = topic.to_owned();
    move |history| {
        declared(history, &topic)?;
        let mut there: BTreeMap<_, usize> = BTreeMap::new();
        for record in history.topic(&topic) {
            let content = (&record.partition, record.key.as_ref(), record.value.as_ref());
            *there.entry(content).or_default() += 1;
        }
        for sent in history.acknowledged(&topic) {
            let content = (&sent.partition, sent.key.as_ref(), sent.value.as_ref());
            match there.get_mut(&content) {
                Some(left @ 1..) => *left -= 1,
                _ => {
                    let record = format!("{}={}", text(content.1), text(content.2));
                    return Err(Mismatch::Lost { record, partition: sent.partition.clone() });
                }
            }
        }
        Ok(())
    }
}

/// A check holds if every record that `topic` has in the end was returned by a poll of `program`, of any
/// of its instances.
pub fn every_record_read(
    topic: &str,
    program: &str,
) -> impl Fn(&History) -> Result<(), Mismatch> + Send + Sync + 'static + use<> {
    let (topic, program) = (topic.to_owned(), program.to_owned());
    move |history| {
        declared(history, &topic)?;
        let read = history.of(&program).filter_map(|event| match &event.what {
            Happening::Read(read) => Some((&read.partition, read.offset)),
            _ => None,
        });
        let read: BTreeSet<_> = read.collect();
        let mut all = history.topic(&topic);
        match all.find(|record| !read.contains(&(&record.partition, record.offset))) {
            None => Ok(()),
            Some(record) => Err(Mismatch::Unread {
                record: format!("{}={}", text(record.key.as_ref()), value(record)),
                partition: record.partition.clone(),
                offset: record.offset,
                program: program.clone(),
            }),
        }
    }
}

fn records(count: usize) -> String {
    if count == 1 { "1 record".into() } else { format!("{count} records") }
}

fn value(record: &ConsumerRecord) -> String {
    text(record.value.as_ref())
}

fn declared(history: &History, topic: &str) -> Result<(), Mismatch> {
    if history.topics().any(|declared| declared == topic) {
        return Ok(());
    }
    let hint = did_you_mean(topic, history.topics());
    Err(Mismatch::Undeclared { topic: topic.to_owned(), hint })
}

/// The records of a topic by key, each in the order of partitions and offsets.
fn keyed<'a>(
    history: &'a History,
    topic: &str,
) -> Result<BTreeMap<Bytes, Vec<&'a ConsumerRecord>>, Mismatch> {
    declared(history, topic)?;
    let mut by_key: BTreeMap<Bytes, Vec<_>> = BTreeMap::new();
    for record in history.topic(topic) {
        let Some(key) = record.key.clone() else {
            let (partition, offset) = (record.partition.clone(), record.offset);
            return Err(Mismatch::NoKey { partition, offset });
        };
        by_key.entry(key).or_default().push(record);
    }
    Ok(by_key)
}
