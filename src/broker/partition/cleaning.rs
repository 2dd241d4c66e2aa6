//! Old records of a partition: retention, DeleteRecords, compaction.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use super::{Partition, Role, State};
use crate::base::{BrokerId, Offset, ReplicaProbe};
use crate::io::{Disk, World};
use crate::log::{Keeper, Log, LogError, Pace, Retired};
use crate::wire::ErrorCode;

impl<W: World> Partition<W> {
    /// Raises the log start over segments that retention may delete, or that are below it already,
    /// and returns it. [`Self::retire_segments`] removes them once the new start is saved.
    pub(crate) fn expire(&self) -> Result<Option<Offset>, LogError> {
        let now = self.site.world.wall_clock();
        let Ok(mut state) = self.state() else { return Ok(None) };
        if state.is_offline() {
            return Ok(None);
        }
        let high_watermark = state.high_watermark;
        let expired = state.log.expire(high_watermark, now);
        state.check(&self.name);
        match expired {
            Ok(None) => Ok(None),
            Ok(Some((start, due))) => {
                tracing::info!(partition = %self.name, %start, ?due, "deleting old segments");
                let partition = self.name.clone();
                self.site.world.probe(ReplicaProbe::Expired { partition, start });
                Ok(Some(start))
            }
            Err(error) => {
                self.storage_failed(&mut state, &error);
                Err(error)
            }
        }
    }

    /// Removes segments below a saved log start from the log, and their files after
    /// `file.delete.delay.ms`.
    pub(crate) fn retire_segments(&self, start: Offset) -> Result<(), LogError> {
        let Ok(mut state) = self.state() else { return Ok(()) };
        let retired = state.log.retire_segments(start);
        let delay = state.config.file_delete_delay_ms;
        match retired {
            Ok(retired) => {
                self.remove_later(retired, delay);
                Ok(())
            }
            Err(error) => {
                self.storage_failed(&mut state, &error);
                Err(error)
            }
        }
    }

    /// Removes files in the background, once no reader has them open.
    fn remove_later(&self, retired: Retired, delay: Duration) {
        if retired.is_empty() {
            return;
        }
        let world = self.site.world.clone();
        self.site.world.spawn("file deletion", async move {
            world.sleep_until(world.now() + delay).await;
            retired.remove(world.disk());
            world.disk().settle().await;
        });
    }

    /// Deletes records below `offset` on behalf of a client; without an offset, all committed
    /// records. Returns the new log start.
    pub(crate) fn delete_records(&self, offset: Option<Offset>) -> Result<Offset, ErrorCode> {
        let mut state = self.state()?;
        state.leader()?;
        if !state.config.cleanup_policy.delete {
            return Err(ErrorCode::PolicyViolation);
        }
        let high_watermark = state.high_watermark;
        let offset = offset.unwrap_or(high_watermark);
        if offset < Offset::ZERO || offset > high_watermark {
            return Err(ErrorCode::OffsetOutOfRange);
        }
        state.log.advance_log_start(offset);
        // Followers learn of it from their next response.
        state.wake_readers();
        state.check(&self.name);
        Ok(offset)
    }

    /// The low watermark: the lowest log start of all live replicas. `bell` is rung at the next
    /// change.
    pub(crate) fn low_watermark(&self, bell: &Arc<Notify>) -> Result<Offset, ErrorCode> {
        let mut state = self.state()?;
        state.leader()?;
        let log_start = state.log.log_start();
        let Role::Leader(leads) = &state.role else { return Err(ErrorCode::NotLeaderOrFollower) };
        let low = state.starts.low_watermark(log_start, |id| leads.lives(id));
        state.delete.wait(bell);
        Ok(low)
    }

    /// A follower reported its log start.
    pub(super) fn heard_log_start(&self, state: &mut State<W>, follower: BrokerId, start: Offset) {
        if state.starts.heard(follower, start) {
            state.delete.wake();
        }
    }

    /// A follower's log starts no earlier than its leader's: records that the leader has deleted
    /// may go.
    pub(super) fn take_log_start(&self, state: &mut State<W>, leaders: Offset) {
        let start = leaders.min(state.high_watermark);
        state.log.advance_log_start(start);
    }

    /// How dirty the log is, if it is due for compaction.
    pub(crate) fn due_for_compaction(&self) -> Result<Option<f64>, LogError> {
        let now = self.site.world.wall_clock();
        let Ok(mut state) = self.state() else { return Ok(None) };
        if state.is_offline() || !state.config.cleanup_policy.compact {
            return Ok(None);
        }
        let high_watermark = state.high_watermark;
        let dirtiness = state.log.dirtiness(high_watermark, now)?;
        Ok(dirtiness.is_due(state.log.config()).then(|| dirtiness.ratio()))
    }

    /// Compacts the log once, with this much memory for keys; returns the offset below which it is
    /// clean.
    pub(crate) async fn compact(
        &self,
        memory: (usize, f64),
        pace: &mut impl Pace,
    ) -> Result<Option<Offset>, LogError> {
        let now = self.site.world.wall_clock();
        let cleaning = {
            let Ok(mut state) = self.state() else { return Ok(None) };
            let high_watermark = state.high_watermark;
            state.log.cleaning(high_watermark, now, memory)?
        };
        let Some(mut cleaning) = cleaning else { return Ok(None) };
        cleaning.carry_out(self, pace).await
    }

    /// Handles a failed compaction: a log with a batch that can't be unpacked is left alone; any
    /// other error is a storage failure.
    pub(crate) fn compaction_failed(&self, error: &LogError) {
        if matches!(error, LogError::Unclean { .. } | LogError::Corrupt { .. }) {
            tracing::error!(partition = %self.name, %error, "can't compact");
            self.found_damaged(error);
        } else if let Ok(mut state) = self.state() {
            self.storage_failed(&mut state, error);
        }
    }
}

/// The log is not locked between two steps of a cleaning.
impl<W: World> Keeper<W::Disk> for Partition<W> {
    fn lend<T>(&self, step: impl FnOnce(&mut Log<W::Disk>) -> T) -> Option<T> {
        self.state().ok().map(|mut state| step(&mut state.log))
    }

    fn retire(&self, retired: Retired) {
        let delay = self.state().map(|state| state.config.file_delete_delay_ms);
        self.remove_later(retired, delay.unwrap_or_default());
    }
}
