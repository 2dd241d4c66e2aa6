//! When an append must be synced, and how several appends share a sync.

use std::task::Poll;
use std::time::Duration;

use super::{Partition, State};
use crate::base::{Offset, StorageProbe};
use crate::io::World;
use crate::log::{Flushed, LogError, RecoveryMark};
use crate::wire::ErrorCode;

impl<W: World> State<W> {
    /// Whether the flush policy requires a sync before the last append counts.
    pub(super) fn sync_is_due(&self) -> bool {
        let messages = self.config.flush_messages;
        self.config.flush_before_ack
            || messages.is_some_and(|limit| self.log.unflushed_messages() >= limit)
    }
}

/// Maximum number of times that a sync yields to other tasks.
const MOST_TURNS: u32 = 16;

/// Yields once to all other tasks that are ready.
async fn others_first() {
    let mut asked = false;
    std::future::poll_fn(|context| {
        if std::mem::replace(&mut asked, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// A sync in progress. Dropped early only if its caller was cancelled: then another may start.
struct Running<'a, W: World>(&'a Partition<W>);

impl<W: World> Drop for Running<'_, W> {
    fn drop(&mut self) {
        if let Ok(mut state) = self.0.state() {
            state.flush_running = false;
        }
        self.0.flush_ended.notify_waiters();
    }
}

impl<W: World> Partition<W> {
    /// Lets others append first, as long as the log grows: one sync covers all of them, and a later
    /// append has to wait for the next sync.
    async fn gather(&self) {
        let mut end = self.log_end();
        for _ in 0..MOST_TURNS {
            others_first().await;
            let before = std::mem::replace(&mut end, self.log_end());
            if before == end {
                return;
            }
        }
    }

    /// Returns once everything below `end` is durable. All callers that wait at the same time share
    /// one sync (group commit).
    pub(crate) async fn sync_to(&self, end: Offset) -> Result<(), LogError> {
        loop {
            let ended = self.flush_ended.notified();
            tokio::pin!(ended);
            let busy = {
                // A retired replica has no waiting requests.
                let Ok(mut state) = self.state() else { return Ok(()) };
                self.check_online(&state)?;
                // After a truncation of these records there is nothing to wait for.
                if state.log.recovery_point() >= end.min(state.log.log_end()) {
                    return Ok(());
                }
                // Registered before the lock is released, so that no notification is missed.
                ended.as_mut().enable();
                std::mem::replace(&mut state.flush_running, true)
            };
            if busy {
                ended.await;
                continue;
            }
            let running = Running(self);
            self.gather().await;
            let plan = {
                let Ok(state) = self.state() else { return Ok(()) };
                self.check_online(&state)?;
                state.log.flush_plan()
            };
            let result = plan.run().await;
            std::mem::forget(running);
            self.flush_finished(result)?;
        }
    }

    fn check_online(&self, state: &State<W>) -> Result<(), LogError> {
        if state.failed || !self.home.is_online() {
            return Err(LogError::Offline(state.log.dir().to_owned()));
        }
        Ok(())
    }

    fn flush_finished(&self, result: Result<Flushed, LogError>) -> Result<(), LogError> {
        let Ok(mut state) = self.state() else { return Ok(()) };
        state.flush_running = false;
        let result = self.flushed(&mut state, result);
        drop(state);
        self.flush_ended.notify_waiters();
        result
    }

    /// A new segment was rolled: syncs the older ones in the background, as Kafka does.
    pub(super) fn sync_older_segments(&self, state: &mut State<W>) {
        let plan = state.log.roll_flush_plan();
        let Some(partition) = self.this.upgrade() else { return };
        self.site.world.spawn("roll", async move {
            let result = plan.run().await;
            if let Ok(mut state) = partition.state() {
                // A failure is recorded in the state, and the next append reports it.
                let _ = partition.flushed(&mut state, result);
            }
        });
    }

    fn flushed(
        &self,
        state: &mut State<W>,
        result: Result<Flushed, LogError>,
    ) -> Result<(), LogError> {
        match result {
            Ok(flushed) => {
                state.log.flushed(&flushed);
                state.flushed_at = self.site.world.now();
                Ok(())
            }
            Err(error) => {
                self.storage_failed(state, &error);
                Err(error)
            }
        }
    }

    /// Syncs the whole log if the flush policy requires it by now.
    pub(crate) async fn sync_if_due(&self) -> Result<(), LogError> {
        let due = self.state().ok().filter(|state| state.sync_is_due()).map(|s| s.log.log_end());
        match due {
            Some(end) => self.sync_to(end).await,
            None => Ok(()),
        }
    }

    /// Handles a storage failure. Corruption costs this replica; a full disk may have room again
    /// later; after any other error it is unknown what is durable, so the directory goes offline.
    pub(super) fn storage_failed(&self, state: &mut State<W>, error: &LogError) {
        if matches!(error, LogError::Corrupt { .. }) {
            return self.damaged(state, error);
        }
        tracing::error!(partition = %self.name, %error, "storage failed");
        let full = error.is_full();
        self.site.world.probe(StorageProbe::Failed { partition: self.name.clone(), full });
        if self.home.failed(error) {
            self.go_offline(state);
        }
    }

    fn go_offline(&self, state: &mut State<W>) {
        state.failed = true;
        self.stop_serving(state);
    }

    /// Answers all waiting requests, so that their clients look for the next leader. A coordinator
    /// of this partition loses its log.
    pub(super) fn stop_serving(&self, state: &mut State<W>) {
        self.announce_resignation(state);
        state.produce.fail(ErrorCode::KafkaStorageError);
        state.wake_readers();
    }

    /// The directory of this replica has failed, and so has the replica.
    pub(crate) fn directory_failed(&self) {
        if let Ok(mut state) = self.state() {
            if !state.failed {
                let partition = self.name.clone();
                self.site.world.probe(StorageProbe::Failed { partition, full: false });
            }
            self.go_offline(&mut state);
        }
        self.flush_ended.notify_waiters();
    }

    /// The log end, for a sync of the whole log.
    pub(crate) fn log_end(&self) -> Offset {
        self.state().map_or(Offset::ZERO, |state| state.log.log_end())
    }

    /// Size of the log in bytes.
    pub(crate) fn size(&self) -> u64 {
        self.state().map_or(0, |state| state.log.size())
    }

    /// Whether unsynced records may have waited for `flush.ms`. Without `flush.ms`,
    /// `log.flush.scheduler.interval.ms` is the limit.
    pub(crate) fn flush_by_time_is_due(&self, interval: Duration) -> bool {
        let now = self.site.world.now();
        self.state().is_ok_and(|state| {
            let limit = state.config.flush_ms.unwrap_or(interval);
            now.since(state.flushed_at) >= limit && state.log.unflushed_messages() > 0
        })
    }

    /// High watermark and log start, for the checkpoints.
    pub(crate) fn marks(&self) -> Option<(Offset, Offset)> {
        let state = self.state().ok()?;
        Some((state.high_watermark, state.log.log_start()))
    }

    /// The recovery point, to be saved in the checkpoint.
    pub(crate) fn mark_recovery_point(&self) -> Option<RecoveryMark> {
        Some(self.state().ok()?.log.mark_recovery_point())
    }

    /// The checkpoint with this mark is durable.
    pub(crate) fn recovery_point_saved(&self, mark: &RecoveryMark) {
        if let Ok(mut state) = self.state() {
            state.log.recovery_point_saved(mark);
        }
    }
}
