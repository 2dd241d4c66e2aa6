//! Files of a log as lines of text: what Kafka's `DumpLogSegments` prints, in its words, so that
//! the two can be compared line by line. Reads only, believes nothing, and takes no more memory
//! than the largest batch there really is.

mod batches;
mod decoder;
mod indexes;
mod problems;
mod small;

use std::io::{self, Write};
use std::path::{Path, PathBuf};

pub use decoder::{Decoder, Plain};
pub use problems::Problems;

use super::names::{self, Kind};
use crate::io::File;

/// Kafka's default, `DumpLogSegments`: 5 MiB.
pub const MAX_MESSAGE_SIZE: u64 = 5 * 1024 * 1024;

/// What is to be shown.
#[derive(Clone, Debug)]
pub struct DumpOptions {
    /// Each record, not only each batch (`--deep-iteration`).
    pub deep: bool,
    /// Keys and values of records (`--print-data-log`); with `deep` only.
    pub contents: bool,
    /// How keys and values are understood.
    pub decoder: Decoder,
    /// Keys and values alone, without the records' own fields.
    pub skip_record_metadata: bool,
    /// Only as many bytes of a file of batches.
    pub max_bytes: Option<u64>,
    /// Indexes are compared with their log, but not printed.
    pub verify_index_only: bool,
    /// Indexes are looked at as at a start, and not printed.
    pub index_sanity_check: bool,
    /// How far from an index entry's position its batch may end.
    pub max_message_size: u64,
}

impl Default for DumpOptions {
    fn default() -> Self {
        Self {
            deep: false,
            contents: false,
            decoder: Decoder::default(),
            skip_record_metadata: false,
            max_bytes: None,
            verify_index_only: false,
            index_sanity_check: false,
            max_message_size: MAX_MESSAGE_SIZE,
        }
    }
}

/// Why a file can't be shown, or not to its end.
#[derive(Debug, thiserror::Error)]
pub enum DumpError {
    /// A file can't be read.
    #[error("{}: can't be read: {error}", .path.display())]
    Read {
        path: PathBuf,
        /// What the file system said.
        error: io::Error,
    },
    /// The reader of the output has gone, or its disk is full.
    #[error("can't write: {0}")]
    Write(io::Error),
    /// The file is not what its name says.
    #[error("{}: at byte {position}: {problem}", .path.display())]
    Corrupt { path: PathBuf, position: u64, problem: String },
}

impl DumpError {
    fn read(path: &Path) -> impl Fn(io::Error) -> Self {
        let path = path.to_owned();
        move |error| Self::Read { path: path.clone(), error }
    }

    fn corrupt(path: &Path, position: u64, problem: impl ToString) -> Self {
        Self::Corrupt { path: path.to_owned(), position, problem: problem.to_string() }
    }
}

/// Shows files, one after the other; remembers what does not fit together.
pub struct Dump<'a, O, W> {
    open: O,
    options: &'a DumpOptions,
    out: W,
    problems: Problems,
}

impl<'a, F: File, O: Fn(&Path) -> io::Result<F>, W: Write> Dump<'a, O, W> {
    /// `open` opens files to be read: those that are shown, and those beside them.
    pub fn new(open: O, options: &'a DumpOptions, out: W) -> Self {
        Self { open, options, out, problems: Problems::default() }
    }

    /// Shows one file, by what its name says it is.
    pub fn file(&mut self, path: &Path) -> Result<(), DumpError> {
        self.line(format_args!("Dumping {}", path.display()))?;
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        match names::kind(name) {
            Kind::Log(base) => {
                self.line(format_args!("Log starting offset: {base}"))?;
                self.batches(path)
            }
            Kind::Index(base) => self.index(path, base),
            Kind::TimeIndex(base) => self.time_index(path, base),
            Kind::TransactionIndex(_) => self.transaction_index(path),
            Kind::Snapshot(_) => self.snapshot(path),
            Kind::Swap | Kind::Temporary | Kind::Other => self.other(path, name),
        }
    }

    /// What did not fit together in the files so far.
    pub fn problems(&self) -> &Problems {
        &self.problems
    }

    fn other(&mut self, path: &Path, name: &str) -> Result<(), DumpError> {
        if name == "bootstrap.checkpoint" {
            self.line("KRaft bootstrap snapshot")?;
            return self.batches(path);
        }
        if let Some((offset, epoch)) = metadata_snapshot(name) {
            self.line(format_args!("Snapshot end offset: {offset}, epoch: {epoch}"))?;
            return self.batches(path);
        }
        if name.ends_with("-checkpoint") {
            return self.checkpoint(path, name == names::EPOCHS);
        }
        self.problems.ignored(path);
        Ok(())
    }

    fn line(&mut self, text: impl std::fmt::Display) -> Result<(), DumpError> {
        writeln!(self.out, "{text}").map_err(DumpError::Write)
    }

    fn opened(&self, path: &Path) -> Result<(F, u64), DumpError> {
        let file = (self.open)(path).map_err(DumpError::read(path))?;
        let len = file.len().map_err(DumpError::read(path))?;
        Ok((file, len))
    }
}

/// The end offset and the epoch in the name of a snapshot of the metadata log (KIP-630).
fn metadata_snapshot(name: &str) -> Option<(i64, i32)> {
    let (offset, epoch) = name.strip_suffix(".checkpoint")?.split_once('-')?;
    let digits = |text: &str, len| text.len() == len && text.bytes().all(|b| b.is_ascii_digit());
    (digits(offset, 20) && digits(epoch, 10)).then_some(())?;
    Some((offset.parse().ok()?, epoch.parse().ok()?))
}
