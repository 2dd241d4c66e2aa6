//! Whether the segments that recovery trusts meet.
//!
//! What is below the recovery point is not examined, because it was synced. A disk that had only
//! said so has lost the ends of segments, or all of them, while later ones survived. Headers near
//! the end of each show it; the batches are verified when they are read.

use super::Log;
use super::recovery::Damaged;
use crate::base::Offset;
use crate::io::Disk;

impl<D: Disk> Log<D> {
    /// The first segment that ends before the next one begins, of those that begin below `first`
    /// and reach above the log's start. In a log with gaps a joint proves nothing.
    pub(super) fn missing_between(&self, log_start: Offset, first: Offset) -> Option<Damaged> {
        if self.config.may_have_gaps() {
            return None;
        }
        let followers = self.segments.keys().skip(1).copied();
        let joints = self.segments.values().zip(followers);
        let joints = joints.take_while(|(_, next)| *next <= first);
        joints.filter(|(_, next)| *next > log_start).find_map(|(segment, next)| {
            // A header that can't be read is found by its first reader.
            let end = segment.end_below(next).ok().filter(|end| *end < next)?;
            Some(Damaged {
                path: segment.path.clone(),
                position: segment.size,
                offset: end,
                problem: format!("the segment ends here, and the next one begins at {next}"),
            })
        })
    }
}
