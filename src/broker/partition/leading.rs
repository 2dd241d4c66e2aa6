//! What a leader does: takes records in, serves them, and moves the high watermark.

use std::sync::Arc;

use bytes::BytesMut;
use tokio::sync::{Notify, oneshot};

use super::{IsrChange, Partition, Refusal, Role, State};
use crate::base::config::{Acks, Compression, TopicCompression};
use crate::base::{BrokerEpoch, BrokerId, Flaw, LeaderEpoch, Offset, Probe, Request, Timestamp};
use crate::io::{Disk, Slice, World};
use crate::log::{AppendError, Log, LogError, ReadError};
use crate::replica::{
    EpochMismatch, Leader, LeaderEffect, LeaderInput, Peers, Progress, diverging,
};
use crate::wire::ErrorCode;

/// What became of a produce request's records for one partition.
pub(crate) struct Produced {
    /// Offset of the first record.
    pub(crate) base: Offset,
    /// Log end after the last one.
    end: Offset,
    epoch: LeaderEpoch,
    /// Set while `acks=all` is not reached.
    waiter: Option<oneshot::Receiver<ErrorCode>>,
    pub(crate) log_start: Offset,
    /// The time that the records got, if not their producer's.
    pub(crate) append_time: Option<Timestamp>,
}

/// Who reads, which decides how far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reader {
    /// Up to the high watermark.
    Consumer,
    /// Up to the log end; its position is news for the leader.
    Replica {
        /// Which broker.
        id: BrokerId,
        /// Of which registration (KIP-903); unknown before Fetch v15.
        epoch: Option<BrokerEpoch>,
    },
}

/// One partition of a fetch request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FetchRead {
    pub(crate) reader: Reader,
    /// The leader epoch that the reader believes in (KIP-320); `NONE` before v9.
    pub(crate) current_epoch: LeaderEpoch,
    pub(crate) offset: Offset,
    /// The epoch of the reader's last record (KIP-595); `NONE` where it is not checked.
    pub(crate) last_fetched_epoch: LeaderEpoch,
    /// Where a replica's log begins; -1 of others.
    pub(crate) log_start: Offset,
    pub(crate) max_bytes: usize,
    /// Whether a first batch larger than `max_bytes` is sent all the same (KIP-74).
    pub(crate) at_least_one: bool,
    /// Whether it can be sent zstd (KIP-110).
    pub(crate) knows_zstd: bool,
}

/// What a fetch gets of one partition.
pub(crate) struct FetchAnswer<W: World> {
    pub(crate) error: ErrorCode,
    pub(crate) high_watermark: Offset,
    pub(crate) log_start: Offset,
    pub(crate) slice: Option<Slice<<W::Disk as Disk>::File>>,
    /// Where the reader's log parts from this one.
    pub(crate) diverging: Option<(LeaderEpoch, Offset)>,
    /// Leader and epoch as known here, for a reader that believes otherwise.
    pub(crate) leader: Option<BrokerId>,
    pub(crate) leader_epoch: LeaderEpoch,
}

impl<W: World> FetchAnswer<W> {
    /// Nothing but an error.
    pub(crate) fn refusal(error: ErrorCode) -> Self {
        Self {
            error,
            high_watermark: Offset::NONE,
            log_start: Offset::NONE,
            slice: None,
            diverging: None,
            leader: None,
            leader_epoch: LeaderEpoch::NONE,
        }
    }
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
            let epoch = leader(&mut state)?.epoch();
            if acks == Acks::All {
                leader(&mut state)?.check_min_insync().map_err(|_| ErrorCode::NotEnoughReplicas)?;
            }
            let now = self.world.wall_clock();
            let appended = state.log.append_as_leader(&mut records, epoch, now);
            let appended = appended.map_err(|error| self.append_failed(&mut state, error))?;
            let mut produced = Produced {
                base: appended.base,
                end: appended.end,
                epoch,
                waiter: None,
                log_start: state.log.log_start(),
                append_time: appended.append_time,
            };
            // A duplicate of what is not synced yet is no safer than the original.
            let sync = state.sync_is_due() && state.log.recovery_point() < appended.end;
            self.world.probe(match appended.duplicate {
                true => Probe::Duplicate { partition: self.name.clone(), end: appended.end },
                false => Probe::LeaderAppended {
                    partition: self.name.clone(),
                    epoch,
                    base: appended.base,
                    end: appended.end,
                },
            });
            if !sync {
                self.appended(&mut state, &mut produced, acks)?;
            }
            if appended.rolled {
                self.sync_older_segments(&mut state);
            }
            (produced, sync)
        };
        if sync {
            self.sync_to(produced.end).await.map_err(|_| ErrorCode::KafkaStorageError)?;
            self.appended(&mut *self.state()?, &mut produced, acks)?;
        }
        Ok(produced)
    }

    /// Records are as safe here as the flush policy asks: they count for the high watermark now.
    fn appended(
        &self,
        state: &mut State<W>,
        produced: &mut Produced,
        acks: Acks,
    ) -> Result<(), ErrorCode> {
        if leader(state)?.epoch() != produced.epoch {
            return Err(ErrorCode::NotLeaderOrFollower);
        }
        self.step(state, LeaderInput::Appended { end: produced.end });
        state.fetch.wake();
        if acks == Acks::All {
            match leader(state)?.progress(produced.end) {
                Progress::Waiting => produced.waiter = Some(state.produce.wait(produced.end)),
                Progress::Acknowledged => self.acknowledge(produced.epoch, produced.end),
                Progress::NotEnoughAfterAppend => {
                    return Err(ErrorCode::NotEnoughReplicasAfterAppend);
                }
            }
        }
        Ok(())
    }

    /// Says that a request was refused.
    fn refused(&self, request: Request, error: ErrorCode) {
        let partition = self.name.clone();
        self.world.probe(Probe::Refused { partition, request, error: error.name() });
    }

    /// Says that a reader's log, or what it asks about, parts from this one.
    fn answers_epoch(&self, by_request: bool, asked: LeaderEpoch, answer: (LeaderEpoch, Offset)) {
        let (partition, (answered, end)) = (self.name.clone(), answer);
        self.world.probe(Probe::EpochAnswered { partition, by_request, asked, answered, end });
    }

    /// Waits until the records are committed, where `acks=all` asked for that.
    pub(crate) async fn acknowledged(produced: &mut Produced) -> ErrorCode {
        match produced.waiter.take() {
            None => ErrorCode::None,
            Some(waiter) => waiter.await.unwrap_or(ErrorCode::NotLeaderOrFollower),
        }
    }

    fn acknowledge(&self, epoch: LeaderEpoch, end: Offset) {
        self.world.probe(Probe::AcknowledgedAll { partition: self.name.clone(), epoch, end });
    }

    /// Reads for a fetch; `first` on the request's first look, when its position is news.
    /// When nothing is there, `fetch` is woken at the next change.
    pub(crate) fn read(
        &self,
        read: &FetchRead,
        first: bool,
        fetch: &Arc<Notify>,
    ) -> FetchAnswer<W> {
        let Ok(mut state) = self.state() else {
            return FetchAnswer::refusal(ErrorCode::NotLeaderOrFollower);
        };
        let answer = self.try_read(&mut state, read, first);
        let (leader, leader_epoch) = match &state.role {
            Role::Leader(leader) => (Some(self.me), leader.epoch()),
            Role::Follower(follower) => (follower.leader(), state.leader_epoch),
        };
        let mut result = FetchAnswer {
            error: ErrorCode::None,
            high_watermark: state.high_watermark,
            log_start: state.log.log_start(),
            slice: None,
            diverging: None,
            leader,
            leader_epoch,
        };
        match answer {
            Ok(Found::Records(slice)) => result.slice = slice,
            Ok(Found::Diverging(epoch, end)) => {
                self.answers_epoch(false, read.last_fetched_epoch, (epoch, end));
                result.diverging = Some((epoch, end));
            }
            Err(error) => {
                self.refused(Request::Fetch, error);
                result.error = error;
            }
        }
        if result.diverging.is_none() && result.error == ErrorCode::None {
            state.fetch.wait(fetch);
        }
        result
    }

    fn try_read(
        &self,
        state: &mut State<W>,
        read: &FetchRead,
        first: bool,
    ) -> Result<Found<W>, ErrorCode> {
        let flaws = state.config.flaws;
        let leads = leader(state)?;
        let of_this_epoch = check_epoch(leads, read.current_epoch);
        if read.reader == Reader::Consumer || !flaws.has(Flaw::UnfencedFetch) {
            of_this_epoch?;
        }
        if let Reader::Replica { id, .. } = read.reader
            && !leads.is_replica(id)
        {
            // The leader has not heard of this replica yet; it will, from the metadata log.
            return Err(ErrorCode::UnknownLeaderEpoch);
        }
        // Only with a flaw is one of another epoch taken: before KIP-320 its word was all there was.
        if read.last_fetched_epoch != LeaderEpoch::NONE && of_this_epoch.is_ok() {
            let unheard_of = read.last_fetched_epoch > state.log.latest_epoch();
            if unheard_of && flaws.has(Flaw::NoEpochEntryOnElection) {
                return Err(ErrorCode::OffsetOutOfRange);
            }
            let (epoch, end) = state.log.end_offset_for(read.last_fetched_epoch);
            if let Some((epoch, end)) =
                diverging(read.last_fetched_epoch, read.offset, (epoch, end))
            {
                if first && flaws.has(Flaw::IgnoreDivergingOffset) {
                    self.heard(state, read);
                }
                return Ok(Found::Diverging(epoch, end));
            }
        }
        let until = match read.reader {
            Reader::Consumer => state.high_watermark,
            Reader::Replica { .. } => state.log.log_end(),
        };
        if read.reader == Reader::Consumer && read.offset > until {
            // Above the high watermark but inside the log: nothing to see yet.
            return if read.offset > state.log.log_end() {
                Err(ErrorCode::OffsetOutOfRange)
            } else {
                Ok(Found::Records(None))
            };
        }
        let zstd = TopicCompression::Fixed(Compression::Zstd);
        if !read.knows_zstd && state.config.compression == zstd {
            return Err(ErrorCode::UnsupportedCompressionType);
        }
        let found = state.log.read(read.offset, read.max_bytes, until, read.at_least_one);
        let mut found = found.map_err(|error| match error {
            ReadError::OffsetOutOfRange { .. } => ErrorCode::OffsetOutOfRange,
            ReadError::Log(error) => {
                self.storage_failed(state, &error);
                match error {
                    LogError::Corrupt { .. } => Self::damage_told(state),
                    _ => ErrorCode::KafkaStorageError,
                }
            }
        })?;
        // Kafka looks at the topic's setting alone, and sends an old reader what a producer wrote in
        // zstd; KIP-110 has it refused, and what comes before it can be read.
        if !read.knows_zstd && found.slice.is_some() {
            let readable = found.without(Compression::Zstd);
            found = readable.map_err(|error| {
                let error = LogError::io("read", state.log.dir())(error);
                self.storage_failed(state, &error);
                ErrorCode::KafkaStorageError
            })?;
            if found.slice.is_none() {
                return Err(ErrorCode::UnsupportedCompressionType);
            }
        }
        if first {
            self.heard(state, read);
        }
        Ok(Found::Records(found.slice))
    }

    /// A follower's position is news for the leader.
    fn heard(&self, state: &mut State<W>, read: &FetchRead) {
        if let Reader::Replica { id, epoch } = read.reader {
            let input =
                LeaderInput::Fetched { replica: id, broker_epoch: epoch, position: read.offset };
            self.step(state, input);
            self.heard_log_start(state, id, read.log_start);
        }
    }

    /// Where an epoch ends on this leader (KIP-101, KIP-279).
    pub(crate) fn epoch_end(
        &self,
        current: LeaderEpoch,
        asked: LeaderEpoch,
    ) -> Result<(LeaderEpoch, Offset), ErrorCode> {
        let answer = self.state().map_err(ErrorCode::from).and_then(|mut state| {
            check_epoch(leader(&mut state)?, current)?;
            Ok(state.log.end_offset_for(asked))
        });
        match answer {
            Ok(answer) if answer.0 != asked => self.answers_epoch(true, asked, answer),
            Ok(_) => {}
            Err(error) => self.refused(Request::OffsetForLeaderEpoch, error),
        }
        answer
    }

    /// Asks a leader, for ListOffsets, something about its log and its high watermark.
    pub(crate) fn with_leader_log<T>(
        &self,
        current: LeaderEpoch,
        ask: impl FnOnce(&Log<W::Disk>, &Leader) -> Result<T, ErrorCode>,
    ) -> Result<T, ErrorCode> {
        let mut state = self.state()?;
        check_epoch(leader(&mut state)?, current)?;
        match &state.role {
            Role::Leader(leader) => ask(&state.log, leader),
            Role::Follower(_) => Err(ErrorCode::NotLeaderOrFollower),
        }
    }

    /// Time passes: replicas fall out of sync, proposals are repeated.
    pub(crate) fn tick(&self) {
        if let Ok(mut state) = self.state()
            && !state.is_offline()
        {
            self.step(&mut state, LeaderInput::Tick);
            self.step_aside(&mut state);
        }
    }

    /// Who may be in sync has changed.
    pub(crate) fn peers_changed(&self, peers: &Peers) {
        let Ok(mut state) = self.state() else { return };
        if matches!(state.role, Role::Leader(_)) {
            self.step(&mut state, LeaderInput::Peers(peers.clone()));
            state.delete.wake();
        }
    }

    /// The controller has answered a proposal of `epoch`.
    pub(crate) fn isr_answered(&self, epoch: LeaderEpoch, answer: LeaderInput) {
        let Ok(mut state) = self.state() else { return };
        if matches!(&state.role, Role::Leader(leader) if leader.epoch() == epoch) {
            self.step(&mut state, answer);
        }
    }

    /// Steps the leader, if this replica is one, and carries its effects out.
    pub(super) fn step(&self, state: &mut State<W>, input: LeaderInput) {
        let Role::Leader(leader) = &mut state.role else { return };
        let mut effects = Vec::new();
        let answered = matches!(input, LeaderInput::Committed { .. } | LeaderInput::Refused { .. });
        leader.step(self.world.now(), input, &mut effects);
        let epoch = leader.epoch();
        let proposes = effects.iter().any(|e| matches!(e, LeaderEffect::ProposeIsr(_)));
        if answered || proposes {
            self.say_who_may_be_in_sync(leader);
        }
        for effect in effects {
            match effect {
                LeaderEffect::HighWatermark(offset) => self.committed(state, epoch, offset),
                LeaderEffect::ProposeIsr(proposal) => {
                    let (topic_id, name) = (self.topic_id, self.name.clone());
                    // The receiver only ends with the node.
                    let _ = self.news.isr_changes.send(IsrChange { topic_id, name, proposal });
                }
            }
        }
    }

    /// Everyone whom this leader counts, because it may be in sync.
    pub(super) fn say_who_may_be_in_sync(&self, leader: &Leader) {
        self.world.probe(Probe::MayBeInSync {
            partition: self.name.clone(),
            epoch: leader.epoch(),
            isr: leader.maximal_isr().collect(),
        });
    }

    fn committed(&self, state: &mut State<W>, epoch: LeaderEpoch, offset: Offset) {
        state.high_watermark = offset;
        self.world.probe(Probe::HighWatermark {
            partition: self.name.clone(),
            epoch,
            leads: true,
            offset,
        });
        let Role::Leader(leader) = &state.role else { return };
        state.produce.complete(offset, |end| match leader.progress(end) {
            Progress::NotEnoughAfterAppend => {
                self.refused(Request::Produce, ErrorCode::NotEnoughReplicasAfterAppend);
                ErrorCode::NotEnoughReplicasAfterAppend
            }
            Progress::Acknowledged | Progress::Waiting => {
                self.acknowledge(epoch, end);
                ErrorCode::None
            }
        });
        state.fetch.wake();
    }

    fn append_failed(&self, state: &mut State<W>, error: AppendError) -> Refusal {
        if let AppendError::Log(error) = &error {
            self.storage_failed(state, error);
        }
        error.into()
    }
}

enum Found<W: World> {
    Records(Option<Slice<<W::Disk as Disk>::File>>),
    Diverging(LeaderEpoch, Offset),
}

pub(super) fn leader<W: World>(state: &mut State<W>) -> Result<&mut Leader, ErrorCode> {
    if state.is_offline() {
        return Err(ErrorCode::KafkaStorageError);
    }
    match &mut state.role {
        Role::Leader(leader) => Ok(leader),
        Role::Follower(_) => Err(ErrorCode::NotLeaderOrFollower),
    }
}

/// KIP-320: a request from another epoch is answered by an error that says which side is behind.
fn check_epoch(leader: &Leader, theirs: LeaderEpoch) -> Result<(), ErrorCode> {
    leader.check_epoch(theirs).map_err(|mismatch| match mismatch {
        EpochMismatch::Fenced => ErrorCode::FencedLeaderEpoch,
        EpochMismatch::Unknown => ErrorCode::UnknownLeaderEpoch,
    })
}
