//! Errors of logs and directories: one enum per concern; each names the file and the place.

use std::io;
use std::path::{Path, PathBuf};

use crate::base::{
    BrokerId, DirectoryId, LeaderEpoch, Offset, ProducerEpoch, ProducerId, TopicPartition,
};

/// The storage itself failed, or holds what it must not.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// A call on a file failed.
    #[error("{}: can't {action}: {source}{}", .path.display(), way_out(.source))]
    Io {
        action: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
    /// Synced bytes are not what was written: bit rot, or a change by another program.
    #[error("{}: corrupt at byte {position} (offset {offset}), below what was synced: {problem}", .path.display())]
    Corrupt {
        path: PathBuf,
        position: u64,
        /// Which offset was expected there.
        offset: Offset,
        problem: String,
    },
    /// A batch that a cleaner cannot decode. The log works on, and is not cleaned.
    #[error("{}: can't clean the batch at offset {offset}: {problem}", .path.display())]
    Unclean { path: PathBuf, offset: Offset, problem: String },
    /// A text file that can't be read.
    #[error("{}:{line}: {problem}", .path.display())]
    Malformed {
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What is wrong, and what would be right.
        problem: String,
    },
    /// A write or sync failed earlier: what is durable is unknown, so nothing more is done here.
    #[error("{}: offline since an earlier write or sync failed", .0.display())]
    Offline(PathBuf),
    /// The recovery point on disk is above where the log is to be truncated. It has to be lowered first
    /// ([`super::LogDir::save_recovery_points`]), or a power loss after the cut would make new,
    /// unsynced data look corrupt.
    #[error("{}: save the recovery point, which may be {saved} on disk, before cutting at {to}", .dir.display())]
    CheckpointFirst {
        dir: PathBuf,
        /// What the checkpoint may say.
        saved: Offset,
        /// Where the log is to end.
        to: Offset,
    },
}

/// A small file of one partition that can't be read: it costs that partition alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    pub path: PathBuf,
    /// Counted from 1.
    pub line: usize,
    pub problem: String,
}

impl From<Unreadable> for LogError {
    fn from(unreadable: Unreadable) -> Self {
        let Unreadable { path, line, problem } = unreadable;
        Self::Malformed { path, line, problem }
    }
}

impl LogError {
    /// Names the call and the file of an I/O error.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }

    /// The same with what can be done about a file whose content is wrong.
    pub(crate) fn or_else(self, remedy: &str) -> Self {
        match self {
            Self::Malformed { path, line, problem } => {
                Self::Malformed { path, line, problem: format!("{problem}; {remedy}") }
            }
            Self::Corrupt { path, position, offset, problem } => {
                Self::Corrupt { path, position, offset, problem: format!("{problem}; {remedy}") }
            }
            other => other,
        }
    }

    /// The file system failed, and not for want of space: what is in this directory can't be
    /// relied upon from now on. Source: Kafka's `LogDirFailureChannel`, which any `IOException`
    /// reaches.
    pub fn condemns_directory(&self) -> bool {
        matches!(self, Self::Io { .. } | Self::Offline(_)) && !self.is_full()
    }

    /// A file does not have what was written: it costs the log that it belongs to.
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::Corrupt { .. } | Self::Malformed { .. })
    }

    /// The disk is full: the log is unchanged, and works again once there is space.
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull)
    }
}

/// What can be done about what the file system said, where that is not plain.
fn way_out(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            "; let the user of this process read and write there, or name another directory"
        }
        io::ErrorKind::ReadOnlyFilesystem => {
            "; mount it to be written to, or name another directory"
        }
        io::ErrorKind::NotADirectory => "; name a directory",
        _ => "",
    }
}

/// What is wrong with one record of a batch (KIP-467).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordProblem {
    /// Which record of the batch, from 0.
    pub index: i32,
    /// What is wrong with it.
    pub problem: String,
}

/// Batches were not appended; the log is as it was before.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// The bytes are not valid batches: wrong length, checksum, magic or counts.
    #[error("batch at byte {at}: {problem}")]
    Invalid {
        /// Where in the appended bytes.
        at: usize,
        problem: crate::wire::batch::BatchError,
    },
    /// A batch that is well formed, and still must not be in a log.
    #[error("batch at byte {at}: {problem}")]
    Refused {
        /// Where in the appended bytes.
        at: usize,
        problem: &'static str,
    },
    /// Its records are not what its header says, or can't be decompressed.
    #[error("batch at byte {at}: {problem}")]
    Malformed {
        /// Where in the appended bytes.
        at: usize,
        problem: crate::wire::batch::BatchError,
    },
    /// A few bytes that decompress to more than a client could send.
    #[error("batch at byte {at} decompresses to more than {limit} bytes")]
    Bomb {
        /// Where in the appended bytes.
        at: usize,
        limit: usize,
    },
    /// Some records must not be in this log.
    #[error("{}", told(.problems))]
    Records {
        /// At least one for its timestamp.
        wrong_time: bool,
        /// What is wrong with which: the first of them, one at least.
        problems: Vec<RecordProblem>,
    },
    /// Nothing was sent.
    #[error("no batch to append")]
    Empty,
    /// Larger than `max.message.bytes`.
    #[error("batch of {size} bytes is larger than max.message.bytes={limit}")]
    TooLarge { size: usize, limit: usize },
    /// Larger than a whole segment.
    #[error("{size} bytes are larger than segment.bytes={limit}")]
    LargerThanSegment { size: usize, limit: usize },
    /// A sequence number that does not follow the last one.
    #[error(
        "producer {producer} epoch {epoch}: sequence {found} out of order, expected {expected}"
    )]
    OutOfOrderSequence {
        producer: ProducerId,
        epoch: ProducerEpoch,
        /// What would follow.
        expected: i32,
        found: i32,
    },
    /// A newer instance of this producer has written already.
    #[error("producer {producer}: epoch {found} is fenced by {current}")]
    InvalidProducerEpoch { producer: ProducerId, current: ProducerEpoch, found: ProducerEpoch },
    /// A newer transaction coordinator has ended a transaction of this producer already.
    #[error("producer {producer}: coordinator epoch {found} is fenced by {current}")]
    CoordinatorFenced {
        /// Whose transaction was to end.
        producer: ProducerId,
        /// The newest coordinator epoch seen.
        current: i32,
        found: i32,
    },
    /// The first batch of a transaction, and its coordinator has not verified that this partition
    /// belongs to it (KIP-890).
    #[error("producer {producer}: the record is not part of an ongoing transaction")]
    NotInTransaction { producer: ProducerId },
    /// A batch outside of its producer's transaction, which is open.
    #[error("producer {producer}: a transaction is open, and the batch is not part of it")]
    OutsideTransaction { producer: ProducerId },
    /// Replicated batches do not begin where the log ends.
    #[error("batch begins at offset {found}, the log ends at {expected}")]
    NotContinuous {
        /// Where the log ends.
        expected: Offset,
        found: Offset,
    },
    /// A batch of an older epoch than the log's last.
    #[error("batch of leader epoch {found} after one of {current}")]
    EpochFell {
        /// The log's latest.
        current: LeaderEpoch,
        found: LeaderEpoch,
    },
    /// The storage failed.
    #[error(transparent)]
    Log(#[from] LogError),
}

fn told(problems: &[RecordProblem]) -> String {
    let told: Vec<_> =
        problems.iter().take(3).map(|p| format!("record {}: {}", p.index, p.problem)).collect();
    told.join("; ")
}

/// A read that can't be answered.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Below the log's start or above its end.
    #[error("offset {asked} is outside {start}..={end}")]
    OffsetOutOfRange { asked: Offset, start: Offset, end: Offset },
    /// The storage failed.
    #[error(transparent)]
    Log(#[from] LogError),
}

/// A data directory that this node may not use.
#[derive(Debug, thiserror::Error)]
pub enum DirError {
    /// It belongs to another cluster.
    #[error("{}: written by cluster `{found}`, this node belongs to `{expected}`; name a directory of its own", .path.display())]
    OtherCluster {
        /// Its `meta.properties`.
        path: PathBuf,
        expected: String,
        found: String,
    },
    /// It belongs to another node.
    #[error("{}: written by node {found}, this is node {expected}; set `node.id={found}`, or name another directory", .path.display())]
    OtherNode {
        /// Its `meta.properties`.
        path: PathBuf,
        expected: BrokerId,
        found: BrokerId,
    },
    /// It has no `meta.properties`, and is not empty.
    #[error(
        "{}: there is no meta.properties, but the directory is not empty: `{found}`; \
         name an empty directory, or put its meta.properties back", .path.display()
    )]
    Unmarked { path: PathBuf, found: String },
    /// Another process has locked it.
    #[error(
        "{}: {} is using this directory; stop it, or name another directory", .path.display(),
        .process.map_or("another process".to_owned(), |id| format!("process {id}"))
    )]
    Locked {
        path: PathBuf,
        /// Its id, where that is known.
        process: Option<u32>,
    },
    /// It is empty, and may be in the place of a directory that is missing.
    #[error(
        "{}: this directory is empty, but {}; put the former directory back, or give up what was in \
         it and start once with `--format` to use this one in its place", .path.display(),
        .missing.map_or(
            "other directories of this node have been used, and the metadata log should be here".to_owned(),
            |id| format!("this node also has a log directory with directory.id={id}, which is missing")
        )
    )]
    Replaced {
        path: PathBuf,
        /// The `directory.id` of the former one; `None` where it had the metadata log.
        missing: Option<DirectoryId>,
    },
    /// The metadata log is in another directory than the configured one.
    #[error(
        "{}: the metadata log is here, but is configured to be in {}; set `metadata.log.dir={}`",
        .found.display(), .configured.display(), .found.display()
    )]
    MetadataElsewhere { found: PathBuf, configured: PathBuf },
    /// Two directories have the same id: one is a copy of the other.
    #[error("{} and {} have the same directory.id; remove the copy", .first.display(), .second.display())]
    Copied { first: PathBuf, second: PathBuf },
    /// A partition is in two directories, and it is unknown which of them is right.
    #[error("{partition} is in {} and in {}; remove the older one", .first.display(), .second.display())]
    Twice { partition: TopicPartition, first: PathBuf, second: PathBuf },
    /// A checkpoint with an offset for each partition is malformed.
    #[error("{0}")]
    Checkpoint(LogError),
    /// The storage failed.
    #[error(transparent)]
    Log(#[from] LogError),
}

impl DirError {
    /// The directory goes offline, and its node continues with others. Source: Kafka's
    /// `CheckpointFileWithFailureHandler` and `LogDirFailureChannel`.
    pub fn condemns_directory(&self) -> bool {
        match self {
            Self::Checkpoint(_) => true,
            Self::Log(error) => error.condemns_directory(),
            _ => false,
        }
    }
}
