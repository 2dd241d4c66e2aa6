//! The metadata log as a journal with one voter: what it has synced is committed.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use parking_lot::{MappedMutexGuard, Mutex, MutexGuard};
use tokio::sync::Notify;

use crate::base::{ControllerProbe, LeaderEpoch, Offset};
use crate::broker::error::NodeError;
use crate::broker::hosted::{AppendFailure, Extent, Journal, Written, encode};
use crate::broker::metadata_log;
use crate::broker::purgatory::DelayedFetch;
use crate::broker::serve::handler::FileOf;
use crate::controller::Record;
use crate::io::{Disk, Slice, World};
use crate::log::{AppendError, Log, RecoveryMark};
use crate::wire::ErrorCode;
use crate::wire::batch;
use crate::wire::messages::fetch_request::FetchPartition;
use crate::wire::messages::fetch_response::{EpochEndOffset, LeaderIdAndEpoch, PartitionData};
use crate::wire::messages::message;

/// The metadata log of the active controller.
pub(super) struct MetadataJournal<W: World> {
    world: W,
    /// Nothing once the log is closed.
    state: Mutex<Option<State<W>>>,
    /// Notified when records wait to be synced.
    appended: Notify,
}

struct State<W: World> {
    log: Log<W::Disk>,
    epoch: LeaderEpoch,
    /// Everything below is synced.
    committed: Offset,
    fetch: DelayedFetch,
}

/// The records of an answer, as a slice of the log.
type Records<W> = Option<Slice<FileOf<W>>>;

impl<W: World> MetadataJournal<W> {
    /// A log of which nothing is known to be synced yet.
    pub(super) fn new(world: W, log: Log<W::Disk>) -> Self {
        let (epoch, fetch) = (log.latest_epoch(), DelayedFetch::default());
        let state = State { log, epoch, committed: Offset::ZERO, fetch };
        Self { world, state: Mutex::new(Some(state)), appended: Notify::new() }
    }

    fn state(&self) -> Result<MappedMutexGuard<'_, State<W>>, NodeError> {
        MutexGuard::try_map(self.state.lock(), Option::as_mut).map_err(|_| NodeError::Ended)
    }

    /// Begins an epoch that no later start can begin again, durably, and returns it with the log's
    /// new end. A log forgets an epoch without records when it is opened after a crash, so the
    /// epoch begins with one, as that of a KRaft leader begins with a LeaderChangeMessage.
    pub(super) async fn begin_epoch(&self) -> Result<(LeaderEpoch, Offset), NodeError> {
        let save = {
            let mut state = self.state()?;
            state.epoch = LeaderEpoch(state.log.latest_epoch().0.max(0) + 1);
            let epoch = state.epoch;
            state.log.begin_epoch(epoch);
            state.log.save_epochs()
        };
        save.await?;
        let batch = encode(&[Record::NoOp], self.world.wall_clock());
        self.append(batch).map_err(|failure| match failure {
            AppendFailure::Refused(error)
            | AppendFailure::TooLarge(error)
            | AppendFailure::Broken(error) => error,
        })?;
        let plan = self.state()?.log.flush_plan();
        let flushed = plan.run().await?;
        self.world.disk().settle().await;
        let mut state = self.state()?;
        state.log.flushed(&flushed);
        Ok((state.epoch, state.log.log_end()))
    }

    /// Syncs everything appended, and returns up to where the log is committed. A failed sync is
    /// final: what is durable is unknown.
    pub(super) async fn sync(&self) -> Result<Offset, NodeError> {
        let plan = self.state()?.log.flush_plan();
        let flushed = plan.run().await?;
        self.world.disk().settle().await;
        let mut state = self.state()?;
        state.log.flushed(&flushed);
        let (epoch, end) = (state.epoch, flushed.upto);
        // Another sync, at close, may have got further meanwhile.
        if end > state.committed {
            state.committed = end;
            self.world.probe(ControllerProbe::MetadataCommitted { epoch, end });
        }
        Ok(state.committed)
    }

    /// Closes the log as a clean stop does, and returns its end, to be saved as its recovery point;
    /// `None` if it was closed before. Nothing can be appended or fetched any more.
    pub(super) async fn close(&self) -> Result<Option<RecoveryMark>, NodeError> {
        let Some(mut state) = self.state.lock().take() else { return Ok(None) };
        state.fetch.wake();
        let mark = state.log.close().await?;
        self.world.disk().settle().await;
        Ok(Some(mark))
    }

    /// Serves a follower. If there is nothing for it yet, `bell` is notified when there may be.
    pub(super) fn fetch(
        &self,
        me: i32,
        asked: &FetchPartition,
        limit: usize,
        bell: &Arc<Notify>,
    ) -> Result<(PartitionData, Records<W>), NodeError> {
        let mut state = self.state()?;
        let mut data = message!(PartitionData {
            high_watermark: state.committed.0,
            last_stable_offset: state.committed.0,
            log_start_offset: state.log.log_start().0,
            current_leader: message!(LeaderIdAndEpoch {
                leader_id: me,
                leader_epoch: state.epoch.0
            }),
        });
        let from = Offset(asked.fetch_offset);
        if asked.partition != 0 {
            data.error_code = ErrorCode::UnknownTopicOrPartition.code();
            return Ok((data, None));
        }
        if asked.last_fetched_epoch >= 0 {
            let (epoch, end) = state.log.end_offset_for(LeaderEpoch(asked.last_fetched_epoch));
            if epoch.0 < asked.last_fetched_epoch || end < from {
                data.diverging_epoch =
                    message!(EpochEndOffset { epoch: epoch.0, end_offset: end.0 });
                return Ok((data, None));
            }
        }
        // Only committed records are served: what a broker has seen is never taken back.
        match state.log.read(from, limit, state.committed, true) {
            Ok(found) if found.slice.is_some() => Ok((data, found.slice)),
            Ok(_) => {
                state.fetch.wait(bell);
                Ok((data, None))
            }
            Err(error) => {
                tracing::warn!(%error, "can't serve metadata");
                data.error_code = ErrorCode::OffsetOutOfRange.code();
                Ok((data, None))
            }
        }
    }
}

impl<W: World> Journal for MetadataJournal<W> {
    type Error = NodeError;

    fn extent(&self) -> Result<Extent, NodeError> {
        let state = self.state()?;
        let (start, end) = (metadata_log::start_of(&state.log)?, state.log.log_end());
        Ok(Extent { start, committed: state.committed, end })
    }

    fn read(&self, from: Offset) -> Result<Bytes, NodeError> {
        metadata_log::read_piece(&self.state()?.log, from)
    }

    fn append(&self, mut batch: BytesMut) -> Result<Written, AppendFailure<NodeError>> {
        let mut state = self.state().map_err(AppendFailure::Broken)?;
        let (now, epoch) = (self.world.wall_clock(), state.epoch);
        // The next start tells damage from a torn tail by it: see `log/torn`. Nothing else reads the
        // sequence of a batch without a producer.
        let in_flight = state.log.log_end().0 - state.log.recovery_point().0;
        batch::set_base_sequence(&mut batch, i32::try_from(in_flight).unwrap_or(i32::MAX));
        match state.log.append_as_leader(&mut batch, epoch, now) {
            Ok(appended) => {
                self.appended.notify_one();
                Ok(Written { base: appended.base, end: appended.end })
            }
            Err(error) => {
                let (offset, reason) = (state.log.log_end().0, error.to_string());
                let told = NodeError::Metadata { offset, reason };
                match error {
                    // What is in the file is unknown.
                    AppendError::Log(error) if error.condemns_directory() => {
                        Err(AppendFailure::Broken(told))
                    }
                    _ => Err(AppendFailure::Refused(told)),
                }
            }
        }
    }

    async fn committed(&self, beyond: Offset) -> Result<Offset, NodeError> {
        loop {
            let (committed, end) = {
                let state = self.state()?;
                (state.committed, state.log.log_end())
            };
            if committed > beyond {
                return Ok(committed);
            }
            if end > committed {
                self.sync().await?;
            } else {
                self.appended.notified().await;
            }
        }
    }

    fn published(&self) {
        if let Ok(mut state) = self.state() {
            state.fetch.wake();
        }
    }
}
