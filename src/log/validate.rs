//! What a leader makes sure of before it takes a client's batches, and what it changes in them.
//!
//! Source: Kafka's `LogValidator` and `UnifiedLog.analyzeAndValidateRecords`.

use super::{AppendError, LogConfig, RecordProblem};
use crate::base::config::{Compression, TimestampType};
use crate::base::{Flaw, Flaws, Offset, Timestamp};
use crate::wire::batch::{self, BatchError, BatchHeader, Glance};

/// Most records of which one answer says what is wrong with them.
const MOST_TOLD: usize = 100;

/// Who wrote what a leader appends. Source: Kafka's `AppendOrigin`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    Client,
    /// A coordinator of this broker. It may write markers, and its batches have no sequence
    /// numbers.
    Coordinator,
}

/// The header of the batch at the beginning of `bytes`, which is whole and has the right checksum.
pub(super) fn whole(bytes: &[u8], flaws: Flaws) -> Result<BatchHeader, BatchError> {
    if flaws.has(Flaw::UncheckedAppend)
        && let Some(first) = batch::batches(bytes).next()
    {
        return first.map(|(header, _)| header);
    }
    batch::check(bytes)
}

/// Batches that may be appended, and what is still to be done to them.
pub(super) struct Checked {
    pub(super) headers: Vec<BatchHeader>,
    /// The latest of each batch's own timestamps.
    latest: Vec<Timestamp>,
}

impl Checked {
    /// Checks everything; changes nothing.
    pub(super) fn new(
        batches: &[u8],
        config: &LogConfig,
        now: Timestamp,
        origin: Origin,
    ) -> Result<Self, AppendError> {
        let mut checked = Self { headers: Vec::with_capacity(1), latest: Vec::with_capacity(1) };
        let mut at = 0;
        while at < batches.len() {
            let rest = &batches[at..];
            let header = header(rest, at, origin)?;
            check_size(header.size(), config)?;
            whole(rest, config.flaws).map_err(|problem| AppendError::Invalid { at, problem })?;
            if let Some(problem) = refused(&header, origin) {
                return Err(AppendError::Refused { at, problem });
            }
            checked.latest.push(check_records(rest, at, &header, config, now)?);
            at += header.size();
            checked.headers.push(header);
        }
        Ok(checked)
    }

    /// The batches in the topic's codec, if any of them came in another.
    pub(super) fn recompress(
        &mut self,
        batches: &[u8],
        config: &LogConfig,
    ) -> Result<Option<Vec<u8>>, AppendError> {
        let target = |header: &BatchHeader| match header.is_control() {
            true => header.compression(),
            false => config.compression.target(header.compression()),
        };
        if self.headers.iter().all(|header| target(header) == header.compression()) {
            return Ok(None);
        }
        let (mut made, mut at) = (Vec::with_capacity(batches.len()), 0);
        for header in &mut self.headers {
            let (codec, from) = (target(header), made.len());
            let batch = &batches[at..at + header.size()];
            let size = header.size();
            if codec == header.compression() {
                made.extend_from_slice(batch);
            } else {
                let how = (codec, config.level_of(codec));
                let done = batch::recompress(batch, how, config.max_decompressed_bytes, &mut made);
                let parsed = done.and_then(|()| BatchHeader::parse(&made[from..]));
                *header = parsed.map_err(|problem| AppendError::Malformed { at, problem })?;
                check_size(header.size(), config)?;
            }
            at += size;
        }
        Ok(Some(made))
    }

    /// Sets the timestamps that `message.timestamp.type` asks for, whatever the producer's flags
    /// say: a batch with a delete horizon would lose its tombstones too early. Returns the append
    /// time, if the records got that.
    pub(super) fn stamp(
        &mut self,
        batches: &mut [u8],
        config: &LogConfig,
        now: Timestamp,
    ) -> Option<Timestamp> {
        let append_time = config.timestamp_type == TimestampType::LogAppendTime;
        let mut rest = batches;
        for (header, latest) in self.headers.iter_mut().zip(&self.latest) {
            let Some((batch, behind)) = rest.split_at_mut_checked(header.size()) else { break };
            rest = behind;
            let flagged = header.timestamp_type() == TimestampType::LogAppendTime
                || header.has_delete_horizon();
            if flagged {
                batch::clear_broker_flags(batch);
            }
            if append_time {
                batch::stamp_append_time(batch, now);
            } else if flagged || *latest != header.max_timestamp {
                batch::set_max_timestamp(batch, *latest);
            } else {
                continue;
            }
            // What was written is what was parsed, but for the times.
            *header = BatchHeader::parse(batch).unwrap_or(*header);
        }
        append_time.then_some(now)
    }
}

/// The header of the first batch. What is wrong with its bytes makes it invalid; what only a client
/// must not send, in a batch with the right checksum, is refused.
fn header(rest: &[u8], at: usize, origin: Origin) -> Result<BatchHeader, AppendError> {
    let invalid = |problem| AppendError::Invalid { at, problem };
    let read = BatchHeader::read(rest).map_err(invalid)?;
    let of_client = origin == Origin::Client && read.magic == batch::MAGIC;
    if of_client && read.base_offset != Offset::ZERO {
        return Err(AppendError::Refused { at, problem: "its base offset is not 0" });
    }
    BatchHeader::parse(rest).map_err(|problem| match of_client && !read.is_dense() {
        true if batch::is_intact(rest) => AppendError::Refused { at, problem: NOT_DENSE },
        _ => invalid(problem),
    })
}

const NOT_DENSE: &str = "its record count and its last offset disagree";

fn check_size(size: usize, config: &LogConfig) -> Result<(), AppendError> {
    let limit = config.max_message_bytes;
    if size > limit { Err(AppendError::TooLarge { size, limit }) } else { Ok(()) }
}

/// Looks at every record, and finds the latest timestamp.
fn check_records(
    bytes: &[u8],
    at: usize,
    header: &BatchHeader,
    config: &LogConfig,
    now: Timestamp,
) -> Result<Timestamp, AppendError> {
    let mut latest = Timestamp::NONE;
    let (mut problems, mut wrong_time) = (Vec::new(), false);
    let append_time = header.timestamp_type() == TimestampType::LogAppendTime;
    let seen = batch::glance_over(bytes, header, config.max_decompressed_bytes, |mut record| {
        if append_time {
            // All records of such a batch have one time.
            record.timestamp = header.max_timestamp;
        }
        latest = latest.max(record.timestamp);
        if problems.len() >= MOST_TOLD {
            return;
        }
        let (problem, of_time) = match record_problem(&record, config) {
            Some(problem) => (Some(problem), false),
            None => (time_problem(&record, append_time, config, now), true),
        };
        if let Some(problem) = problem {
            wrong_time |= of_time;
            problems.push(RecordProblem { index: record.index, problem });
        }
    });
    match seen {
        Err(problem) if problem.is_bomb() => {
            let limit = config.max_decompressed_bytes;
            return Err(AppendError::Bomb { at, limit });
        }
        Err(problem) => return Err(AppendError::Malformed { at, problem }),
        Ok(()) => {}
    }
    if problems.is_empty() {
        Ok(latest)
    } else {
        Err(AppendError::Records { wrong_time, problems })
    }
}

/// What is wrong with a record, whenever it is.
fn record_problem(record: &Glance, config: &LogConfig) -> Option<String> {
    if record.offset_delta != record.index {
        let (found, due) = (record.offset_delta, record.index);
        return Some(format!("it has the offset {found} in its batch where {due} is due"));
    }
    (config.compacted && !record.has_key)
        .then(|| "a compacted topic takes no record without a key".to_owned())
}

/// What is wrong with a record's time.
///
/// As in Kafka, a producer may claim LogAppendTime where the topic has CreateTime: then it only
/// says that its records have one time.
fn time_problem(
    record: &Glance,
    append_time: bool,
    config: &LogConfig,
    now: Timestamp,
) -> Option<String> {
    let time = record.timestamp;
    if config.timestamp_type == TimestampType::LogAppendTime || time == Timestamp::NONE {
        let problem = "a producer must not set the timestamp type LogAppendTime";
        return append_time.then(|| problem.to_owned());
    }
    let away = |limit: Option<std::time::Duration>| {
        limit.map_or(i64::MAX, |limit| i64::try_from(limit.as_millis()).unwrap_or(i64::MAX))
    };
    let (before, after) = (away(config.timestamp_before_max), away(config.timestamp_after_max));
    let (first, last) = (now.0.saturating_sub(before), now.0.saturating_add(after));
    (time.0 < first || time.0 > last)
        .then(|| format!("its timestamp {time} is outside {first} to {last}"))
}

/// Why a well-formed batch is not its writer's to write.
fn refused(header: &BatchHeader, origin: Origin) -> Option<&'static str> {
    if header.is_control() && origin == Origin::Client {
        return Some("control batches are the broker's own");
    }
    if header.count == 0 || !header.is_dense() {
        return Some(NOT_DENSE);
    }
    if header.has_producer() && header.base_sequence < 0 && origin == Origin::Client {
        return Some("it has a producer id, but no sequence number");
    }
    if header.is_transactional() && !header.has_producer() {
        return Some("it is transactional, but has no producer id");
    }
    None
}

impl LogConfig {
    fn level_of(&self, codec: Compression) -> i32 {
        self.compression_levels.get(codec as usize).copied().unwrap_or_default()
    }
}
