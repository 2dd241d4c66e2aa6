//! `index-agrees`: each entry that is written to an index points at a batch: in the offset index, at
//! the batch that begins at its position and ends with its offset; in the time index, at a batch
//! that ends with its offset.
//!
//! Judged when an entry is written, which an index that is built anew does with all of them. What a
//! crash left of an index is not judged: the log treats it as a hint, and reads the batch before it
//! believes the entry.

use crate::base::{Offset, TopicPartition};
use crate::check::{Event, Ghost, Invariant, Violation, Witness};
use crate::sim::What;

pub(super) struct IndexAgrees;

/// Which index of which segment a path is.
fn read_path(path: &str) -> Option<(TopicPartition, i64, bool)> {
    let (directory, file) = path.rsplit_once('/')?;
    let (digits, of_time) = match file.strip_suffix(".index") {
        Some(digits) => (digits, false),
        None => (file.strip_suffix(".timeindex")?, true),
    };
    let base = (digits.len() == 20).then(|| digits.parse().ok()).flatten()?;
    let (_, directory) = directory.rsplit_once('/')?;
    Some((TopicPartition::from_directory(directory)?, base, of_time))
}

/// An entry's last offset, and its position if it has one.
fn read_entry(entry: &[u8], base: i64, of_time: bool) -> Option<(Offset, Option<u64>)> {
    let (relative, position) =
        if of_time { (entry.get(8..12)?, None) } else { (entry.get(..4)?, Some(entry.get(4..8)?)) };
    let number = |bytes: &[u8]| Some(u32::from_be_bytes(bytes.try_into().ok()?));
    let last = Offset(base.checked_add(i64::from(number(relative)?))?);
    Some((last, position.and_then(number).map(u64::from)))
}

impl Invariant for IndexAgrees {
    fn name(&self) -> &'static str {
        "index-agrees"
    }

    fn observe(&mut self, event: &Event<'_>, ghost: &Ghost) -> Result<(), Violation> {
        let What::Wrote { path, offset, bytes } = &event.seen.what else { return Ok(()) };
        if !path.ends_with("index") {
            return Ok(());
        }
        let Some((partition, base, of_time)) = read_path(path) else { return Ok(()) };
        let Some(host) = ghost.host(event.seen.host) else { return Ok(()) };
        let Some(log) = host.replicas.get(&partition) else { return Ok(()) };
        let size: usize = if of_time { 12 } else { 8 };
        for (index, entry) in (0..).zip(bytes.chunks_exact(size)) {
            let Some((last, position)) = read_entry(entry, base, of_time) else { continue };
            let found = match position {
                Some(position) => log.batch_at_position(base, position),
                None => log.batch_at(last),
            };
            let found = found.map(|batch| Offset(batch.next.0 - 1));
            if found == Some(last) {
                continue;
            }
            let says = match position {
                Some(at) => format!("the batch at position {at} ends with offset {last}"),
                None => format!("a batch ends with offset {last}"),
            };
            let file = path.rsplit_once('/').map_or(&**path, |(_, file)| file).to_owned();
            let entry = offset / size as u64 + index;
            let witness = Witness::IndexDisagrees { broker: host.broker, file, entry, says, found };
            return event.broke(self.name(), &partition, witness);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::check::testing::{Story, batch};

    fn written() -> (Story, u32) {
        let mut story = Story::judging("index-agrees");
        story.writes(1, 0, 0, &[1, 2]);
        story.writes(1, 2, 0, &[3, 4, 5]);
        (story, batch(0, 0, &[1, 2]).len() as u32)
    }

    #[test]
    fn silent_about_entries_that_are_right_in_both_indexes() {
        let (mut story, second) = written();
        story.indexes(1, 0, (4, second));
        story.indexes_time(1, 0, (1000, 4));
        story.silent();
    }

    #[test]
    fn silent_about_a_metadata_log_whose_batches_are_the_controllers() {
        let (mut story, _) = written();
        story.indexes(0, 0, (77, 77));
        story.silent();
    }

    #[test]
    fn fires_on_another_offset() {
        let (mut story, second) = written();
        story.indexes(1, 0, (2, second));
        let size = second;
        story.fired(&format!(
            "orders-0 entry 0 of 00000000000000000000.index on b1 says at 1.000 s that the batch at \
             position {size} ends with offset 2; the batch there ends with offset 4"
        ));
    }

    #[test]
    fn fires_on_a_position_between_batches_and_on_a_time_of_no_batch() {
        let (mut story, second) = written();
        story.indexes(1, 0, (4, second - 1));
        assert!(story.sentence().ends_with("no batch begins there"), "{}", story.sentence());
        let (mut story, _) = written();
        story.indexes_time(1, 0, (1000, 5));
        assert!(story.sentence().contains("a batch ends with offset 5"), "{}", story.sentence());
    }
}
