//! Small files: producer snapshots and checkpoints.

use std::io::{self, Write};
use std::path::Path;

use super::batches::optional;
use super::{Dump, DumpError};
use crate::io::File;
use crate::log::snapshot;
use crate::wire::batch::add_to_sequence;

/// No such file is larger; more is refused before memory is taken.
const LARGEST: u64 = 256 << 20;

impl<F: File, O: Fn(&Path) -> io::Result<F>, W: Write> Dump<'_, O, W> {
    fn whole(&self, path: &Path) -> Result<Vec<u8>, DumpError> {
        let (file, len) = self.opened(path)?;
        if len > LARGEST {
            let problem = format!("{len} bytes are more than any such file has ({LARGEST})");
            return Err(DumpError::corrupt(path, LARGEST, problem));
        }
        let mut bytes = vec![0; len as usize];
        file.read_exact_at(&mut bytes, 0).map_err(DumpError::read(path))?;
        Ok(bytes)
    }

    /// Shows a producer snapshot. A corrupt one is a problem, not an error, as for a start.
    pub(super) fn snapshot(&mut self, path: &Path) -> Result<(), DumpError> {
        let bytes = self.whole(path)?;
        let producers = match snapshot::entries(&bytes) {
            Ok(producers) => producers,
            Err(problem) => {
                self.problems.bad_snapshot(path, problem);
                return Ok(());
            }
        };
        for (id, producer) in producers {
            let mut line = format!(
                "producerId: {id} producerEpoch: {} coordinatorEpoch: {} \
                 currentTxnFirstOffset: {} lastTimestamp: {}",
                producer.epoch,
                producer.coordinator_epoch,
                optional(producer.transaction_start.map(|offset| offset.0)),
                producer.last_timestamp.0,
            );
            if let Some(last) = producer.batches.back() {
                let first = add_to_sequence(last.last_sequence, last.offset_delta.wrapping_neg());
                line.push_str(&format!(
                    " firstSequence: {first} lastSequence: {} lastOffset: {} offsetDelta: {} \
                     timestamp: {}",
                    last.last_sequence, last.last_offset, last.offset_delta, last.timestamp.0,
                ));
            }
            self.line(line)?;
        }
        Ok(())
    }

    /// Shows a checkpoint, which Kafka's tool does not: it is text already, so its lines are only
    /// given names, after it was seen to be whole.
    pub(super) fn checkpoint(&mut self, path: &Path, epochs: bool) -> Result<(), DumpError> {
        let bytes = self.whole(path)?;
        let wrong = |problem: &str| DumpError::corrupt(path, 0, problem);
        let text = str::from_utf8(&bytes).map_err(|_| wrong("not UTF-8 text"))?;
        let mut lines = text.lines();
        if lines.next().map(str::trim) != Some("0") {
            return Err(wrong("its version is unknown"));
        }
        let count = lines.next().and_then(|line| line.trim().parse::<usize>().ok());
        let count = count.ok_or_else(|| wrong("the second line is not a number"))?;
        let mut shown = 0;
        for line in lines {
            let words: Vec<&str> = line.split_whitespace().collect();
            match words[..] {
                [epoch, offset] if epochs => {
                    self.line(format_args!("epoch: {epoch} startOffset: {offset}"))?;
                }
                [topic, partition, offset] if !epochs => self
                    .line(format_args!("topic: {topic} partition: {partition} offset: {offset}"))?,
                _ => return Err(wrong(&format!("`{line}` is not an entry"))),
            }
            shown += 1;
        }
        if shown != count {
            return Err(wrong(&format!("{count} entries announced, {shown} found")));
        }
        Ok(())
    }
}
