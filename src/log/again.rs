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
    /// succeeds without writing them: then a power loss takes data that was acknowledged.
    pub fn write_again(&self) -> Result<(), LogError> {
        let from = self.recovery_point();
        let mut buffer = Vec::new();
        for segment in self.segments.values().filter(|segment| segment.end > from) {
            let found = segment.locate(from)?;
            let mut position = found.map_or(0, |found| found.position);
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
