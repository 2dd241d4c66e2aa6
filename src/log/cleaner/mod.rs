//! Compaction: only the latest record of each key stays (KIP-58, KIP-354, KIP-534).
//!
//! A cleaning has file handles of its own, so that the log can be used meanwhile. It reads the
//! latest offset of each key in the dirty part, as far as memory permits; then it rewrites the
//! segments group by group from the start. Each new segment replaces its group
//! ([`Cleaning::carry_out`]):
//!
//! 1. The new segment is written and synced under the suffix `.cleaned`; its indexes become `.swap`.
//! 2. Its batches become `.swap` ([`Log::swap_in`]). Once the directory is synced, the new segment
//!    counts: the next start completes the swap, whatever other files remain.
//! 3. They are renamed to `.log`, replacing the old file of that name ([`Log::place_swap`]). If a
//!    crash tore this rename, the old segments would still be there.
//! 4. The other old segments become `.deleted` ([`Log::settle_swap`]).
//! 5. Last, its indexes get their names ([`Log::finish_swap`]). Until then their suffix shows that
//!    old segments may remain.
//!
//! The directory is synced after each step, because a crash may undo any rename and keep a later
//! one. The last batch of a segment stays, even if empty, so that the segment shows where it ends.

mod filter;
mod map;
mod markers;
mod plan;
mod run;
mod swap;
#[cfg(test)]
mod tests;

use map::OffsetMap;
use markers::Transactions;
pub use plan::Dirtiness;
use plan::{Sealed, dirtiness, group};
pub use run::{Cleaning, Keeper, Pace};
pub use swap::Cleaned;
pub(crate) use swap::settle_leftovers;

use super::{Log, LogError};
use crate::base::{Offset, Timestamp};
use crate::io::Disk;

#[cfg(doc)]
use super::LogDir;

impl<D: Disk> Log<D> {
    /// Sets the offset below which the log is clean, from the checkpoint
    /// ([`LogDir::save_cleaner_offsets`]).
    pub fn set_cleaned_to(&mut self, offset: Offset) {
        self.cleaned_to = offset.min(self.log_end);
    }

    /// The offset below which the log is clean.
    pub fn cleaned_to(&self) -> Offset {
        self.cleaned_to
    }

    /// How dirty the log is.
    pub fn dirtiness(
        &mut self,
        high_watermark: Offset,
        now: Timestamp,
    ) -> Result<Dirtiness, LogError> {
        self.durability.check_online()?;
        let stable = self.cleanable(high_watermark);
        let sealed = self.sealed()?;
        Ok(dirtiness(&sealed, &self.config, self.cleaned_to, stable, now))
    }

    /// The offset below which the log may be cleaned: decided and durable. If a record were removed
    /// in favour of a later one that is not synced, a power loss would take both.
    fn cleanable(&mut self, high_watermark: Offset) -> Offset {
        self.last_stable_offset(high_watermark).min(self.recovery_point())
    }

    /// All segments except the active one, with the times that the decision needs.
    fn sealed(&self) -> Result<Vec<Sealed>, LogError> {
        let mut ends: Vec<Offset> = self.segments.keys().skip(1).copied().collect();
        let mut sealed = Vec::with_capacity(ends.len());
        for ((base, segment), end) in self.segments.iter().zip(ends.drain(..)) {
            let first = match self.config.max_compaction_lag {
                Some(_) => segment.first_timestamp()?.unwrap_or(segment.begun),
                None => segment.begun,
            };
            let latest = match self.config.min_compaction_lag.is_zero() {
                true => segment.begun,
                false => segment.latest()?.map_or(segment.begun, |latest| latest.timestamp),
            };
            sealed.push(Sealed { base: *base, end, bytes: segment.size, first, latest });
        }
        Ok(sealed)
    }
}
