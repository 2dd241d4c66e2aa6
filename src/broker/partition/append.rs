//! Appending to a leader's log, and the wait until what was appended counts.

use bytes::BytesMut;
use tokio::sync::oneshot;

use super::{Partition, Refusal, State};
use crate::base::config::Acks;
use crate::base::{LeaderEpoch, Offset, ReplicaProbe, Request, Timestamp};
use crate::io::World;
use crate::log::AppendError;
use crate::replica::{LeaderInput, Progress};
use crate::wire::ErrorCode;

/// The records of a produce request for one partition, after they were appended.
pub(crate) struct Produced {
    /// Offset of the first record.
    pub(crate) base: Offset,
    /// Offset after the last record.
    end: Offset,
    epoch: LeaderEpoch,
    /// Set while `acks=all` is not reached.
    waiter: Option<oneshot::Receiver<ErrorCode>>,
    pub(crate) log_start: Offset,
    /// The time that the records got, if not their producer's.
    pub(crate) append_time: Option<Timestamp>,
}

impl<W: World> Partition<W> {
    /// Appends a client's records and waits for what `acks` asks short of replication: the sync
    /// that the topic's flush policy demands. Then [`Self::acknowledged`] waits for the replicas.
    pub(crate) async fn produce(&self, records: BytesMut, acks: Acks) -> Result<Produced, Refusal> {
        let produced = self.try_produce(records, acks).await;
        produced.inspect_err(|refusal| self.refused(Request::Produce, refusal.code))
    }

    async fn try_produce(&self, mut records: BytesMut, acks: Acks) -> Result<Produced, Refusal> {
        let (mut produced, sync) = {
            let mut state = self.state()?;
            let (mut produced, sync) = self.write(&mut state, &mut records, acks)?;
            if !sync {
                self.count(&mut state, &mut produced, acks)?;
            }
            (produced, sync)
        };
        if sync {
            self.sync_to(produced.end).await.map_err(|_| ErrorCode::KafkaStorageError)?;
            self.count(&mut *self.state()?, &mut produced, acks)?;
        }
        Ok(produced)
    }

    /// Writes to the log. Returns whether the records count only once they are synced.
    fn write(
        &self,
        state: &mut State<W>,
        records: &mut [u8],
        acks: Acks,
    ) -> Result<(Produced, bool), Refusal> {
        let leader = state.leader()?;
        let epoch = leader.epoch();
        if acks == Acks::All {
            leader.check_min_insync().map_err(|_| ErrorCode::NotEnoughReplicas)?;
        }
        let now = self.site.world.wall_clock();
        let appended = state.log.append_as_leader(records, epoch, now);
        let appended = appended.map_err(|error| self.append_failed(state, error))?;
        let (base, end) = (appended.base, appended.end);
        let partition = self.name.clone();
        self.site.world.probe(match appended.duplicate {
            true => ReplicaProbe::Duplicate { partition, end },
            false => ReplicaProbe::LeaderAppended { partition, epoch, base, end },
        });
        if appended.rolled {
            self.sync_older_segments(state);
        }
        // A duplicate of what is not synced yet is no safer than the original.
        let sync = state.sync_is_due() && state.log.recovery_point() < end;
        let log_start = state.log.log_start();
        let append_time = appended.append_time;
        Ok((Produced { base, end, epoch, waiter: None, log_start, append_time }, sync))
    }

    /// Lets records count for the high watermark: they are as safe here as the flush policy asks.
    fn count(
        &self,
        state: &mut State<W>,
        produced: &mut Produced,
        acks: Acks,
    ) -> Result<(), ErrorCode> {
        if state.leader()?.epoch() != produced.epoch {
            return Err(ErrorCode::NotLeaderOrFollower);
        }
        self.step(state, LeaderInput::Appended { end: produced.end });
        state.fetch.wake();
        if acks == Acks::All {
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
