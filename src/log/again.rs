//! Makes the platter agree with the page cache after an unclean shutdown.

use super::{Log, LogError};
use crate::io::{Disk, File};

/// Bytes written at a time.
const CHUNK: u64 = 256 << 10;

impl<D: Disk> Log<D> {
    /// Rewrites the bytes above the recovery point, unchanged, so that the next sync writes them to
    /// disk.
    ///
    /// A failed sync leaves pages that count as clean but are not on the platter ("fsyncgate",
    /// ATC'20). A restarted process reads them from the cache like any others, and its own sync
    /// succeeds without writing them: then a power loss takes data that was acknowledged. Nor does the
    /// platter know then that the last page was truncated: what was there would come back once the log
    /// grows.
    pub fn write_again(&self) -> Result<(), LogError> {
        let from = self.recovery_point();
        let mut buffer = Vec::new();
        let last = self.segments.keys().next_back();
        for (base, segment) in &self.segments {
            let mut position = match segment.end > from {
                true => segment.locate(from)?.map_or(0, |found| found.position),
                // The last batch. One that can't be found is damaged, which is told when it is read.
                false if Some(base) == last => {
                    let found = segment.locate(segment.end.plus(-1)).ok().flatten();
                    found.map_or(segment.size, |found| found.position)
                }
                false => continue,
            };
            while position < segment.size {
                let len = CHUNK.min(segment.size - position);
                buffer.resize(usize::try_from(len).unwrap_or(0), 0);
                let read = segment.file.read_at(&mut buffer, position);
                let read = read.map_err(LogError::io("read", &segment.path))?;
                if read == 0 {
                    break;
                }
                let written = segment.file.write_at(&buffer[..read], position);
                written.map_err(LogError::io("write", &segment.path))?;
                position += read as u64;
            }
        }
        Ok(())
    }
}
