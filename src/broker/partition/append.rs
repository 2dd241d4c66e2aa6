//! Appending to a leader's log, and the wait until what was appended counts.

use bytes::BytesMut;
use tokio::sync::oneshot;

use super::{Partition, Refusal, State, Verifying};
use crate::base::config::Acks;
use crate::base::{LeaderEpoch, Offset, ReplicaProbe, Request, Timestamp};
use crate::io::World;
use crate::log::{AppendError, Writer};
use crate::replica::{LeaderInput, Progress};
use crate::wire::ErrorCode;

/// Records that were appended to a partition.
pub(crate) struct Produced {
    /// Offset of the first record.
    pub(crate) base: Offset,
    /// Offset after the last record.
    pub(super) end: Offset,
    epoch: LeaderEpoch,
    acks: Acks,
    /// Set while `acks=all` is not reached.
    waiter: Option<oneshot::Receiver<ErrorCode>>,
    pub(crate) log_start: Offset,
    /// The time that the records got, if not their producer's.
    pub(crate) append_time: Option<Timestamp>,
}

impl<W: World> Partition<W> {
    /// Appends a client's records and waits for what `acks` asks short of replication: the sync
    /// that the topic's flush policy demands. Then [`Self::acknowledged`] waits for the replicas.
    /// `verified` is set for the first batch of a transaction.
    pub(crate) async fn produce(
        &self,
        records: BytesMut,
        acks: Acks,
        verified: Option<Verifying>,
    ) -> Result<Produced, Refusal> {
        let produced = match self.guard_of(verified) {
            Ok(guard) => self.append(records, Writer::Client(guard), acks).await,
            Err(error) => Err(error.into()),
        };
        produced.inspect_err(|refusal| self.refused(Request::Produce, refusal.code))
    }

    /// Appends, and waits for the sync that the flush policy demands.
    pub(super) async fn append(
        &self,
        mut records: BytesMut,
        writer: Writer,
        acks: Acks,
    ) -> Result<Produced, Refusal> {
        let (mut produced, sync) = {
            let mut state = self.state()?;
            if acks == Acks::All {
                state.check_min_insync()?;
            }
            let (mut produced, sync) = self.write(&mut state, &mut records, writer, acks)?;
            if !sync {
                self.count(&mut state, &mut produced)?;
            }
            (produced, sync)
        };
        if sync {
            self.sync_to(produced.end).await.map_err(|_| ErrorCode::KafkaStorageError)?;
            self.count(&mut *self.state()?, &mut produced)?;
        }
        Ok(produced)
    }

    /// Writes to the log. Returns whether the records count only once they are synced.
    pub(super) fn write(
        &self,
        state: &mut State<W>,
        records: &mut [u8],
        writer: Writer,
        acks: Acks,
    ) -> Result<(Produced, bool), Refusal> {
        let epoch = state.leader()?.epoch();
        let now = self.site.world.wall_clock();
        let appended = state.log.append_as(records, epoch, now, writer);
        let appended = appended.map_err(|error| self.append_failed(state, error))?;
        let (base, end) = (appended.base, appended.end);
        let partition = self.name.clone();
        self.site.world.probe(match appended.duplicate {
            true => ReplicaProbe::Duplicate { partition, end },
            false => ReplicaProbe::LeaderAppended { partition, epoch, base, end },
        });
        self.note_producers(state);
        if appended.rolled {
            self.sync_older_segments(state);
        }
        // A duplicate of what is not synced yet is no safer than the original.
        let sync = state.sync_is_due() && state.log.recovery_point() < end;
        let (log_start, append_time) = (state.log.log_start(), appended.append_time);
        let produced = Produced { base, end, epoch, acks, waiter: None, log_start, append_time };
        Ok((produced, sync))
    }

    /// Lets records count for the high watermark: they are as safe here as the flush policy asks.
    pub(super) fn count(
        &self,
        state: &mut State<W>,
        produced: &mut Produced,
    ) -> Result<(), ErrorCode> {
        state.leader_in(produced.epoch)?;
        // Until now these had everything, though they did not name this partition lately.
        let sessions = state.fetch.heard();
        if !sessions.is_empty() {
            self.step(state, LeaderInput::Alive { sessions });
        }
        self.step(state, LeaderInput::Appended { end: produced.end });
        state.fetch.wake();
        if produced.acks == Acks::All {
            match state.leader()?.progress(produced.end) {
                Progress::Waiting => produced.waiter = Some(state.produce.wait(produced.end)),
                Progress::Acknowledged => self.acknowledge(produced.epoch, produced.end),
                Progress::NotEnoughAfterAppend => {
                    return Err(ErrorCode::NotEnoughReplicasAfterAppend);
                }
            }
        }
        Ok(())
    }

    /// Waits until the records are committed, where `acks=all` asked for that.
    pub(crate) async fn acknowledged(produced: &mut Produced) -> ErrorCode {
        match produced.waiter.take() {
            None => ErrorCode::None,
            Some(waiter) => waiter.await.unwrap_or(ErrorCode::NotLeaderOrFollower),
        }
    }

    pub(super) fn acknowledge(&self, epoch: LeaderEpoch, end: Offset) {
        self.site.world.probe(ReplicaProbe::AcknowledgedAll {
            partition: self.name.clone(),
            epoch,
            end,
        });
    }

    fn append_failed(&self, state: &mut State<W>, error: AppendError) -> Refusal {
        if let AppendError::Log(error) = &error {
            self.storage_failed(state, error);
        }
        error.into()
    }
}
