//! Small files that are replaced as a whole: written aside, synced, renamed, the directory synced.
//!
//! The text ones have Kafka's version 0: a line with the version, one with the number of entries,
//! then one line per entry. An empty file has no entries, as in Kafka's `CheckpointFile`, which
//! creates its file empty.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::str::{FromStr, SplitWhitespace};
use std::sync::Arc;

use parking_lot::Mutex;

use super::{Epochs, LogError};
use crate::base::{Flaw, Flaws, LeaderEpoch, Offset, TopicPartition};
use crate::io::{Disk, File, Open};

/// No checkpoint is larger; more is refused before memory is taken.
const LARGEST: u64 = 256 << 20;

/// The content of a file, `None` when there is none.
pub(crate) fn read_file<D: Disk>(disk: &D, path: &Path) -> Result<Option<Vec<u8>>, LogError> {
    let file = match disk.open(path, Open::Existing) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(LogError::io("open", path)(error)),
    };
    let len = file.len().map_err(LogError::io("measure", path))?;
    if len > LARGEST {
        let problem = format!("{len} bytes are more than any such file has ({LARGEST})");
        return Err(LogError::Malformed { path: path.to_owned(), line: 1, problem });
    }
    let mut bytes = vec![0; len as usize];
    file.read_exact_at(&mut bytes, 0).map_err(LogError::io("read", path))?;
    Ok(Some(bytes))
}

/// Replaces one file again and again. Saves may overlap: what was asked for last stays.
#[derive(Clone, Debug)]
pub(crate) struct Saver {
    path: Arc<Path>,
    state: Arc<Mutex<State>>,
    flaws: Flaws,
}

#[derive(Debug, Default)]
struct State {
    /// Saves asked for so far.
    asked: u64,
    /// The latest that has the file's name.
    renamed: u64,
}

impl Saver {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path: path.into(), state: Arc::default(), flaws: Flaws::default() }
    }

    /// The same with fixes switched off.
    pub(crate) fn with(self, flaws: Flaws) -> Self {
        Self { flaws, ..self }
    }

    /// Replaces the file. The order of calls counts, not that of completion.
    pub(crate) fn save<D: Disk>(
        &self,
        disk: &D,
        bytes: Vec<u8>,
    ) -> impl Future<Output = Result<(), LogError>> + Send + use<D> {
        let (saver, disk) = (self.clone(), disk.clone());
        let number = {
            let mut state = self.state.lock();
            state.asked += 1;
            state.asked
        };
        async move { saver.replace(&disk, &bytes, number).await }
    }

    async fn replace<D: Disk>(&self, disk: &D, bytes: &[u8], number: u64) -> Result<(), LogError> {
        let mut aside = self.path.as_os_str().to_owned();
        aside.push(format!(".{number}.tmp"));
        let aside = PathBuf::from(aside);
        let written = match self.flaws.has(Flaw::RenameBeforeSync) {
            true => write(disk, &aside, bytes).map(drop),
            false => write_synced(disk, &aside, bytes).await,
        };
        if written.is_err() {
            // It is removed at the next start at the latest.
            let _ = disk.remove(&aside);
            return written;
        }
        {
            let mut state = self.state.lock();
            if number > state.renamed {
                disk.rename(&aside, &self.path).map_err(LogError::io("rename to", &self.path))?;
                state.renamed = number;
            } else {
                disk.remove(&aside).map_err(LogError::io("remove", &aside))?;
            }
        }
        let dir = self.path.parent().unwrap_or(&self.path);
        disk.sync_dir(dir).await.map_err(LogError::io("sync", dir))
    }
}

/// Writes a whole file and syncs it; its name is not durable yet.
pub(crate) async fn write_synced<D: Disk>(
    disk: &D,
    path: &Path,
    bytes: &[u8],
) -> Result<(), LogError> {
    let file = write(disk, path, bytes)?;
    file.sync().await.map_err(LogError::io("sync", path))
}

fn write<D: Disk>(disk: &D, path: &Path, bytes: &[u8]) -> Result<D::File, LogError> {
    let file = disk.open(path, Open::OrCreate).map_err(LogError::io("create", path))?;
    file.set_len(0).map_err(LogError::io("empty", path))?;
    file.write_at(bytes, 0).map_err(LogError::io("write", path))?;
    Ok(file)
}

/// Reads a version 0 file; `None` when there is none, or an empty one.
fn read<D: Disk, T>(
    disk: &D,
    path: &Path,
    entry: impl Fn(&mut SplitWhitespace<'_>) -> Option<T>,
) -> Result<Option<Vec<T>>, LogError> {
    let Some(bytes) = read_file(disk, path)? else { return Ok(None) };
    let malformed =
        |line: usize, problem: String| LogError::Malformed { path: path.to_owned(), line, problem };
    let text =
        str::from_utf8(&bytes).map_err(|_| malformed(1, "it is not UTF-8 text".to_owned()))?;
    let mut lines = text.lines();
    match lines.next().map(str::trim) {
        None => return Ok(None),
        Some("0") => {}
        Some(found) => {
            return Err(malformed(1, format!("expected version `0`, found `{found}`")));
        }
    }
    let Some(count) = lines.next() else { return Ok(None) };
    let count: usize = count
        .trim()
        .parse()
        .map_err(|_| malformed(2, "expected the number of entries".to_owned()))?;
    let mut entries = Vec::new();
    for (index, line) in lines.enumerate() {
        let mut words = line.split_whitespace();
        match entry(&mut words).filter(|_| words.next().is_none()) {
            Some(entry) => entries.push(entry),
            None => return Err(malformed(index + 3, format!("`{line}` is not an entry"))),
        }
    }
    if entries.len() == count {
        Ok(Some(entries))
    } else {
        Err(malformed(2, format!("{count} entries announced, {} found", entries.len())))
    }
}

fn word<T: FromStr>(words: &mut SplitWhitespace<'_>) -> Option<T> {
    words.next()?.parse().ok()
}

/// Reads a `leader-epoch-checkpoint`.
pub(crate) fn read_epochs<D: Disk>(disk: &D, path: &Path) -> Result<Option<Epochs>, LogError> {
    let entries =
        read(disk, path, |words| Some((LeaderEpoch(word(words)?), Offset(word(words)?))))?;
    Ok(entries.map(|entries| {
        let mut epochs = Epochs::new();
        for (epoch, start) in entries {
            epochs.assign(epoch, start);
        }
        epochs
    }))
}

/// Reads a checkpoint with an offset for each partition; empty when there is none. The inner error
/// is an entry of three words that are not a partition and an offset: where Kafka's
/// `OffsetCheckpointFile` throws a `NumberFormatException`, which does not cost the directory.
pub(crate) fn read_offsets<D: Disk>(
    disk: &D,
    path: &Path,
) -> Result<Result<BTreeMap<TopicPartition, Offset>, LogError>, LogError> {
    let entries = read(disk, path, |words| {
        Some([words.next()?, words.next()?, words.next()?].map(str::to_owned))
    })?;
    let parse = |(index, [topic, partition, offset]): (usize, [String; 3])| -> Result<_, LogError> {
        let number = || Some((partition.parse().ok()?, offset.parse().ok()?));
        let (partition, offset) = number().ok_or_else(|| LogError::Malformed {
            path: path.to_owned(),
            line: index + 3,
            problem: format!("`{topic} {partition} {offset}` is not a partition and an offset"),
        })?;
        Ok((TopicPartition::new(topic, partition), Offset(offset)))
    };
    Ok(entries.unwrap_or_default().into_iter().enumerate().map(parse).collect())
}

/// The text of a checkpoint with an offset for each partition.
pub(crate) fn offsets_text<'a>(
    offsets: impl ExactSizeIterator<Item = (&'a TopicPartition, Offset)>,
) -> String {
    let mut text = format!("0\n{}\n", offsets.len());
    for (partition, offset) in offsets {
        let _ = writeln!(text, "{} {} {offset}", partition.topic, partition.partition);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::real::RealDisk;

    fn written(text: &str) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("checkpoint");
        std::fs::write(&path, text).unwrap();
        (dir, path)
    }

    #[test]
    fn offsets_are_read_as_they_were_written() {
        let offsets = BTreeMap::from([
            (TopicPartition::new("a", 1), Offset(7)),
            (TopicPartition::new("b", 0), Offset(0)),
        ]);
        let text = offsets_text(offsets.iter().map(|(partition, offset)| (partition, *offset)));
        assert_eq!(text, "0\n2\na 1 7\nb 0 0\n");
        let (_dir, path) = written(&text);
        assert_eq!(read_offsets(&RealDisk, &path).unwrap().unwrap(), offsets);
    }

    #[test]
    fn malformed_checkpoint_is_an_error_that_names_the_line() {
        let (_dir, path) = written("0\n2\n0 0\n5 x\n");
        let error = read_epochs(&RealDisk, &path).unwrap_err().to_string();
        assert!(error.ends_with("checkpoint:4: `5 x` is not an entry"), "{error}");
        assert!(read_epochs(&RealDisk, &path.with_extension("none")).unwrap().is_none());
        for text in ["\n", "1\n0\n", "0\nx\n", "0\n3\n0 0\n", "0\n1\n0 0 0\n"] {
            let (_dir, path) = written(text);
            assert!(read_epochs(&RealDisk, &path).is_err(), "{text:?}");
        }
    }

    #[test]
    fn checkpoint_that_ends_before_its_count_is_empty() {
        for text in ["", "0", "0\n"] {
            let (_dir, path) = written(text);
            assert!(read_epochs(&RealDisk, &path).unwrap().is_none(), "{text:?}");
            assert!(read_offsets(&RealDisk, &path).unwrap().unwrap().is_empty(), "{text:?}");
        }
    }

    #[tokio::test]
    async fn saves_that_overlap_leave_what_was_asked_for_last() {
        let (dir, path) = written("old");
        let saver = Saver::new(path.clone());
        let first = saver.save(&RealDisk, b"first".to_vec());
        let second = saver.save(&RealDisk, b"second".to_vec());
        second.await.unwrap();
        first.await.unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"second");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left aside");
    }
}
