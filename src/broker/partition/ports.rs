//! The ports of a partition for the coordinators of this broker, which keep their decisions in an
//! internal topic, and for transaction markers.
//!
//! # Calling contract
//!
//! 1. Before the broker assumes roles, subscribe to the elections of the internal topic
//!    ([`Site::elections_of`](super::Site::elections_of)). `Elected` names a partition and a leader
//!    epoch. All ports take that epoch, and refuse with `NOT_LEADER_OR_FOLLOWER` in any other.
//! 2. Subscribe to the high watermark ([`Partition::on_committed`]), then load: read from
//!    [`Extent::log_start`] to [`Extent::log_end`], piece by piece ([`Partition::read_decided`]).
//!    Records at or above the high watermark are this leader's to keep, but not committed yet.
//! 3. Append each decision as one batch ([`Partition::append_decided`]). It is in the log when the
//!    call returns; its response leaves, and its effects happen, once the high watermark reaches
//!    [`Written::end`] ([`Commits::reach`]). Appends may follow each other without a wait. After a
//!    refused append nothing was written.
//! 4. After `Resigned`, or once [`Commits`] returns [`Deposed`](super::Deposed), forget the loaded
//!    state. What was not committed may be truncated or may survive: the next leader knows.
//!
//! File calls return at once and owe their time to the disk: settle it (`Disk::settle`) after
//! appends and reads, as every handler does.

use bytes::{Bytes, BytesMut};

use super::{Commits, Partition, Produced, Refusal, Role, Verifying};
use crate::base::config::Acks;
use crate::base::{LeaderEpoch, Offset};
use crate::io::{File, World};
use crate::log::{Guard, LogError, TransactionEnd, Writer};
use crate::wire::ErrorCode;

/// Where an appended decision is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Written {
    /// Offset of its first record.
    pub(crate) base: Offset,
    /// It is committed once the high watermark is here.
    pub(crate) end: Offset,
}

/// What of a leader's log there is to load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) log_start: Offset,
    pub(crate) high_watermark: Offset,
    pub(crate) log_end: Offset,
}

impl<W: World> Partition<W> {
    /// The epoch in which this replica leads, and can serve.
    pub(crate) fn leads_in(&self) -> Option<LeaderEpoch> {
        let state = self.state().ok()?;
        match &state.role {
            Role::Leader(leader) if !state.is_offline() => Some(leader.epoch()),
            _ => None,
        }
    }

    /// Appends what a coordinator decided in `epoch`, as one batch. The offset to wait for comes
    /// back at once: a sync that the flush policy asks for runs in the background, and the high
    /// watermark waits for it.
    pub(crate) fn append_decided(
        &self,
        epoch: LeaderEpoch,
        batch: BytesMut,
    ) -> Result<Written, Refusal> {
        self.append_in(epoch, batch, Writer::Coordinator(Guard::NONE))
    }

    /// Appends a decision that is part of a transaction, which was verified if it had to be.
    pub(crate) fn append_in_transaction(
        &self,
        epoch: LeaderEpoch,
        batch: BytesMut,
        verified: Option<Verifying>,
    ) -> Result<Written, Refusal> {
        let guard = self.guard_of(verified)?;
        self.append_in(epoch, batch, Writer::Coordinator(guard))
    }

    /// Ends a transaction in a coordinator's log, in order with its decisions.
    pub(crate) fn append_decided_marker(
        &self,
        epoch: LeaderEpoch,
        end: &TransactionEnd,
    ) -> Result<Written, Refusal> {
        let marker = end.batch(self.site.world.wall_clock());
        self.append_in(epoch, marker, Writer::Marker { version: end.version })
    }

    fn append_in(
        &self,
        epoch: LeaderEpoch,
        mut batch: BytesMut,
        writer: Writer,
    ) -> Result<Written, Refusal> {
        let mut state = self.state()?;
        state.leader_in(epoch)?;
        state.check_min_insync()?;
        // A coordinator watches the high watermark; it does not wait as a producer does.
        let (mut produced, sync) = self.write(&mut state, &mut batch, writer, Acks::Leader)?;
        let written = Written { base: produced.base, end: produced.end };
        match sync {
            true => self.count_once_synced(produced),
            false => self.count(&mut state, &mut produced)?,
        }
        Ok(written)
    }

    /// Syncs what a coordinator appended, then lets it count. If the sync fails, this replica goes
    /// offline, and its leadership is resigned.
    fn count_once_synced(&self, mut produced: Produced) {
        let Some(partition) = self.this.upgrade() else { return };
        self.site.world.spawn("decision sync", async move {
            if partition.sync_to(produced.end).await.is_ok()
                && let Ok(mut state) = partition.state()
            {
                // Another leader epoch has begun: the log's new end counts there.
                let _ = partition.count(&mut state, &mut produced);
            }
        });
    }

    /// Ends a transaction in this partition by appending its marker, as [`Self::produce`] does
    /// with `acks=all`: [`Self::acknowledged`] waits for the replicas.
    pub(crate) async fn append_marker(&self, end: &TransactionEnd) -> Result<Produced, Refusal> {
        let marker = end.batch(self.site.world.wall_clock());
        self.append(marker, Writer::Marker { version: end.version }, Acks::All).await
    }

    /// Subscribes to the high watermark, for as long as this replica leads in `epoch`.
    pub(crate) fn on_committed(&self, epoch: LeaderEpoch) -> Result<Commits, ErrorCode> {
        let mut state = self.state()?;
        state.leader_in(epoch)?;
        Ok(state.watch())
    }

    /// Where the log begins and ends now, and how much of it is committed.
    pub(crate) fn extent(&self, epoch: LeaderEpoch) -> Result<Extent, ErrorCode> {
        let mut state = self.state()?;
        state.leader_in(epoch)?;
        Ok(Extent {
            log_start: state.log.log_start(),
            high_watermark: state.high_watermark,
            log_end: state.log.log_end(),
        })
    }

    /// Reads whole batches from `from` up to the log end, committed or not: one at least, and
    /// about `max_bytes`. Empty at the log end.
    pub(crate) fn read_decided(
        &self,
        epoch: LeaderEpoch,
        from: Offset,
        max_bytes: usize,
    ) -> Result<Bytes, ErrorCode> {
        let mut state = self.state()?;
        state.leader_in(epoch)?;
        let found = state.log.read(from, max_bytes, state.log.log_end(), true);
        let found = found.map_err(|error| self.read_failed(&mut state, error))?;
        let Some(slice) = found.slice else { return Ok(Bytes::new()) };
        let mut bytes = vec![0; usize::try_from(slice.len).unwrap_or(0)];
        let read = slice.file.read_exact_at(&mut bytes, slice.offset);
        read.map_err(|error| {
            let error = LogError::io("read", state.log.dir())(error);
            self.read_failed(&mut state, error.into())
        })?;
        Ok(bytes.into())
    }
}
