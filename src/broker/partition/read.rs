//! Reading from a replica's log: fetches of consumers and replicas, and lookups of offsets.

use std::sync::Arc;

use super::{Partition, Role, State};
use crate::base::config::{Compression, TopicCompression};
use crate::base::{
    BrokerEpoch, BrokerId, Flaw, LeaderEpoch, Offset, ProducerId, ReplicaProbe, Request,
};
use crate::broker::purgatory::FetchWatch;
use crate::io::{Disk, Slice, World};
use crate::log::{Aborted, Available, Fetched, Log, LogError, Producer, ReadError};
use crate::replica::{EpochMismatch, Leader, LeaderInput, check_epoch, diverging, nearest};
use crate::wire::ErrorCode;

/// How far a consumer reads: `isolation.level`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Isolation {
    /// To the high watermark.
    ReadUncommitted,
    /// To the last stable offset, with a list of the aborted transactions to leave out.
    ReadCommitted,
}

impl Isolation {
    /// As requests have it: only 1 asks for `read_committed`.
    pub(crate) fn from_level(level: i8) -> Self {
        if level == 1 { Self::ReadCommitted } else { Self::ReadUncommitted }
    }
}

/// The reader of a partition, which decides how far it may read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reader {
    Consumer(Isolation),
    /// Reads to the log end. The leader takes note of its position.
    Replica {
        id: BrokerId,
        /// The broker's registration (KIP-903); unknown before Fetch v15.
        epoch: Option<BrokerEpoch>,
    },
}

/// One partition of a fetch request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FetchRead<'a> {
    pub(crate) reader: Reader,
    /// Whether a follower may answer (KIP-392).
    pub(crate) from_follower: bool,
    /// The live replicas in the reader's rack, if the leader may name one of them instead of answering.
    pub(crate) near: &'a [BrokerId],
    /// The leader epoch that the reader believes in (KIP-320); `NONE` before v9.
    pub(crate) current_epoch: LeaderEpoch,
    pub(crate) offset: Offset,
    /// The epoch of the reader's last record (KIP-595); `NONE` where it is not checked.
    pub(crate) last_fetched_epoch: LeaderEpoch,
    /// Where a replica's log begins; -1 of others.
    pub(crate) log_start: Offset,
    pub(crate) max_bytes: usize,
    /// Whether a first batch larger than `max_bytes` is sent anyway (KIP-74).
    pub(crate) at_least_one: bool,
    /// Whether it can be sent zstd (KIP-110).
    pub(crate) knows_zstd: bool,
}

/// The answer of one partition to a fetch.
pub(crate) struct FetchAnswer<W: World> {
    pub(crate) error: ErrorCode,
    pub(crate) high_watermark: Offset,
    /// Every transaction that begins below has ended, and its end is committed.
    pub(crate) last_stable: Offset,
    pub(crate) log_start: Offset,
    pub(crate) slice: Option<Slice<<W::Disk as Disk>::File>>,
    /// What the reader could have, which may be more than the slice.
    pub(crate) available: Available,
    /// The aborted transactions in the slice, for a `read_committed` consumer.
    pub(crate) aborted: Option<Vec<Aborted>>,
    /// Where the reader's log parts from this one.
    pub(crate) diverging: Option<(LeaderEpoch, Offset)>,
    /// The replica to read from instead (KIP-392).
    pub(crate) preferred: Option<BrokerId>,
    /// Leader and epoch as known here, for a reader that believes otherwise.
    pub(crate) leader: Option<BrokerId>,
    pub(crate) leader_epoch: LeaderEpoch,
    /// The reader is a replica outside of the ISR. Each of its requests may let it join, also one
    /// that does not name this partition.
    pub(crate) may_join: bool,
}

impl<W: World> FetchAnswer<W> {
    /// Nothing but an error.
    pub(crate) fn refusal(error: ErrorCode) -> Self {
        Self {
            error,
            high_watermark: Offset::NONE,
            last_stable: Offset::NONE,
            log_start: Offset::NONE,
            slice: None,
            available: Available::default(),
            aborted: None,
            diverging: None,
            preferred: None,
            leader: None,
            leader_epoch: LeaderEpoch::NONE,
            may_join: false,
        }
    }
}

impl<W: World> State<W> {
    /// Lets all fetches that wait here look again: not the log moved, but what it is to them.
    pub(super) fn wake_readers(&mut self) {
        self.fetch.wake();
        self.consume.wake();
    }
}

impl<W: World> Partition<W> {
    /// Says that a reader's log, or what it asks about, parts from this one.
    fn answers_epoch(&self, by_request: bool, asked: LeaderEpoch, answer: (LeaderEpoch, Offset)) {
        let (partition, (answered, end)) = (self.name.clone(), answer);
        self.site.world.probe(ReplicaProbe::EpochAnswered {
            partition,
            by_request,
            asked,
            answered,
            end,
        });
    }

    /// Reads for a fetch; `first` on the request's first look, when its position is news. From then
    /// on `watch` learns of each change, under the number `slot`.
    pub(crate) fn read(
        &self,
        read: &FetchRead<'_>,
        first: bool,
        watch: &Arc<FetchWatch>,
        slot: u32,
    ) -> FetchAnswer<W> {
        let Ok(mut state) = self.state() else {
            return FetchAnswer::refusal(ErrorCode::NotLeaderOrFollower);
        };
        let answer = self.try_read(&mut state, read, first);
        let (leader, leader_epoch) = match &state.role {
            Role::Leader(leader) => (Some(self.site.me), leader.epoch()),
            Role::Follower(follower) => (follower.leader(), state.leader_epoch),
        };
        let may_join = match (&state.role, read.reader) {
            (Role::Leader(leader), Reader::Replica { id, .. }) => leader.isr().all(|one| one != id),
            _ => false,
        };
        let mut result = FetchAnswer {
            error: ErrorCode::None,
            high_watermark: state.high_watermark,
            last_stable: state.last_stable(),
            log_start: state.log.log_start(),
            slice: None,
            available: Available::default(),
            aborted: None,
            diverging: None,
            preferred: None,
            leader,
            leader_epoch,
            may_join,
        };
        match answer {
            Ok(Found::Records { slice, available, aborted }) => {
                (result.slice, result.available, result.aborted) = (slice, available, aborted);
            }
            Ok(Found::Diverging(epoch, end)) => {
                self.answers_epoch(false, read.last_fetched_epoch, (epoch, end));
                result.diverging = Some((epoch, end));
            }
            Ok(Found::Nearer(replica)) => result.preferred = Some(replica),
            Err(error) => {
                self.refused(Request::Fetch, error);
                result.error = error;
            }
        }
        match read.reader {
            Reader::Consumer(_) => state.consume.add(watch, slot),
            Reader::Replica { .. } => state.fetch.add(watch, slot),
        }
        result
    }

    fn try_read(
        &self,
        state: &mut State<W>,
        read: &FetchRead<'_>,
        first: bool,
    ) -> Result<Found<W>, ErrorCode> {
        let flaws = self.site.flaws;
        let ours = match state.leader() {
            Err(ErrorCode::NotLeaderOrFollower) if read.from_follower => state.leader_epoch,
            leads => leads?.epoch(),
        };
        let of_this_epoch = check_leader_epoch(ours, read.current_epoch);
        if matches!(read.reader, Reader::Consumer(_)) || !flaws.has(Flaw::UnfencedFetch) {
            of_this_epoch?;
        }
        match (&state.role, read.reader) {
            // The leader has not heard of this replica yet; it will, from the metadata log.
            (Role::Leader(leader), Reader::Replica { id, .. }) if !leader.is_replica(id) => {
                return Err(ErrorCode::UnknownLeaderEpoch);
            }
            (Role::Leader(leader), Reader::Consumer(_)) if !read.near.is_empty() => {
                let begins = |id| state.starts.begins_before(id, read.offset);
                let readable = leader.readable_at(read.offset).filter(|one| begins(one.id));
                if let Some(replica) = nearest(self.site.me, readable, read.near) {
                    return Ok(Found::Nearer(replica));
                }
            }
            _ => {}
        }
        // Only with a flaw is one of another epoch taken: before KIP-320 its word was all there was.
        if read.last_fetched_epoch != LeaderEpoch::NONE && of_this_epoch.is_ok() {
            let unheard_of = read.last_fetched_epoch > state.log.latest_epoch();
            if unheard_of && flaws.has(Flaw::NoEpochEntryOnElection) {
                return Err(ErrorCode::OffsetOutOfRange);
            }
            let (epoch, end) = state.log.end_offset_for(read.last_fetched_epoch);
            if epoch == LeaderEpoch::NONE {
                // No leader has begun that epoch. Source: Kafka's `Partition.readRecords`.
                return Err(ErrorCode::OffsetOutOfRange);
            }
            if let Some((epoch, end)) =
                diverging(read.last_fetched_epoch, read.offset, (epoch, end))
            {
                if first && flaws.has(Flaw::IgnoreDivergingOffset) {
                    self.heard(state, read);
                }
                return Ok(Found::Diverging(epoch, end));
            }
        }
        let (until, read_committed) = match read.reader {
            Reader::Consumer(Isolation::ReadUncommitted) => (state.high_watermark, false),
            Reader::Consumer(Isolation::ReadCommitted) => (state.last_stable(), true),
            Reader::Replica { .. } => (state.log.log_end(), false),
        };
        if read.offset > until && read.offset <= state.log.log_end() {
            // Inside the log, but nothing to see yet.
            let (slice, aborted) = (None, read_committed.then(Vec::new));
            return Ok(Found::Records { slice, available: Available::default(), aborted });
        }
        let zstd = TopicCompression::Fixed(Compression::Zstd);
        if !read.knows_zstd && state.config.compression == zstd {
            return Err(ErrorCode::UnsupportedCompressionType);
        }
        let mut found = match state.log.read(read.offset, read.max_bytes, until, read.at_least_one)
        {
            Err(ReadError::Log(error @ LogError::Corrupt { .. })) => {
                self.read_beyond_hole(state, read, until, error)?
            }
            found => found.map_err(|error| self.read_failed(state, error))?,
        };
        // Kafka looks at the topic's setting alone, and sends an old reader what a producer wrote in
        // zstd; KIP-110 has it refused, and what comes before it can be read.
        if !read.knows_zstd && found.slice.is_some() {
            let readable = found.without(Compression::Zstd);
            found = readable.map_err(|error| {
                let error = LogError::io("read", state.log.dir())(error);
                self.read_failed(state, error.into())
            })?;
            if found.slice.is_none() {
                return Err(ErrorCode::UnsupportedCompressionType);
            }
        }
        let aborted = match (&found.slice, read_committed) {
            (_, false) => None,
            (None, true) => Some(Vec::new()),
            (Some(_), true) => {
                let aborted = state.log.aborted_transactions(read.offset, found.next);
                Some(aborted.map_err(|error| self.read_failed(state, error.into()))?)
            }
        };
        if first {
            self.heard(state, read);
        }
        Ok(Found::Records { slice: found.slice, available: found.available, aborted })
    }

    /// Reads what comes after a missing segment, as Kafka does, unless another replica may have it
    /// and leads instead. Followers don't skip: their logs would miss it, too; nor do consumers of a
    /// follower, whose leader has it.
    fn read_beyond_hole(
        &self,
        state: &mut State<W>,
        read: &FetchRead<'_>,
        until: Offset,
        error: LogError,
    ) -> Result<Fetched<<W::Disk as Disk>::File>, ErrorCode> {
        let refusal = self.read_failed(state, error.into());
        let follows = matches!(state.role, Role::Follower(_));
        if matches!(read.reader, Reader::Replica { .. }) || follows || state.is_offline() {
            return Err(refusal);
        }
        let next = state.log.beyond_hole(read.offset).ok_or(refusal)?;
        let found = state.log.read(next, read.max_bytes, until, read.at_least_one);
        found.map_err(|error| self.read_failed(state, error))
    }

    /// The log can't be read: notes why, and returns what the reader is answered.
    pub(super) fn read_failed(&self, state: &mut State<W>, error: ReadError) -> ErrorCode {
        let error = match error {
            ReadError::OffsetOutOfRange { .. } => return ErrorCode::OffsetOutOfRange,
            ReadError::Log(error) => error,
        };
        self.storage_failed(state, &error);
        match error {
            LogError::Corrupt { .. } => Self::damage_told(state),
            _ => ErrorCode::KafkaStorageError,
        }
    }

    /// Lets the leader know a follower's position.
    fn heard(&self, state: &mut State<W>, read: &FetchRead<'_>) {
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
            check_leader_epoch(state.leader()?.epoch(), current)?;
            Ok(state.log.end_offset_for(asked))
        });
        match answer {
            Ok(answer) if answer.0 != asked => self.answers_epoch(true, asked, answer),
            Ok(_) => {}
            Err(error) => self.refused(Request::OffsetForLeaderEpoch, error),
        }
        answer
    }

    /// The producers that this replica remembers, by id.
    pub(crate) fn producers(&self) -> Result<Vec<(ProducerId, Producer)>, ErrorCode> {
        let state = self.state()?;
        if state.is_offline() {
            return Err(ErrorCode::KafkaStorageError);
        }
        let all = state.log.producers().iter();
        Ok(all.map(|(id, producer)| (id, producer.clone())).collect())
    }

    /// Looks something up in a leader's log, for ListOffsets. The closure gets the log, the leader
    /// and the last stable offset.
    pub(crate) fn with_leader_log<T>(
        &self,
        current: LeaderEpoch,
        ask: impl FnOnce(&Log<W::Disk>, &Leader, Offset) -> Result<T, ErrorCode>,
    ) -> Result<T, ErrorCode> {
        let mut state = self.state()?;
        let last_stable = state.last_stable();
        check_leader_epoch(state.leader()?.epoch(), current)?;
        match &state.role {
            Role::Leader(leader) => ask(&state.log, leader, last_stable),
            Role::Follower(_) => Err(ErrorCode::NotLeaderOrFollower),
        }
    }
}

impl<W: World> State<W> {
    /// Where `read_committed` consumers stop reading.
    fn last_stable(&mut self) -> Offset {
        self.log.last_stable_offset(self.high_watermark)
    }
}

enum Found<W: World> {
    Records {
        slice: Option<Slice<<W::Disk as Disk>::File>>,
        available: Available,
        aborted: Option<Vec<Aborted>>,
    },
    Diverging(LeaderEpoch, Offset),
    /// A replica in the reader's rack has it.
    Nearer(BrokerId),
}

/// KIP-320: a request from another epoch is answered by an error that says which side is behind.
fn check_leader_epoch(ours: LeaderEpoch, theirs: LeaderEpoch) -> Result<(), ErrorCode> {
    check_epoch(ours, theirs).map_err(|mismatch| match mismatch {
        EpochMismatch::Fenced => ErrorCode::FencedLeaderEpoch,
        EpochMismatch::Unknown => ErrorCode::UnknownLeaderEpoch,
    })
}
