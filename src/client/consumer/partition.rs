//! One assigned partition: where it is read, and what is asked about it next.
//!
//! A partition of a group first asks for its *committed* offset. One without a position is *reset*: ListOffsets says where to begin. Then it is *fetched*,
//! until its leader changes: then it is *validated*, because what was read may be gone (KIP-320). If
//! only the application can decide how to go on, it is *stuck* until a seek.

use bytes::Bytes;

use super::Notice;
use super::aborted::Aborted;
use super::answers::Bounds;
use super::buffer::Buffered;
use super::position::{Position, Whence};
use crate::base::{BrokerId, Instant, LeaderEpoch, Offset, TopicPartition};
use crate::client::ConsumeError;
use crate::client::ConsumerRecord;
use crate::client::kernel::RequestId;
use crate::wire::batch::BatchError;

/// What is to be done about a partition.
#[derive(Clone, Debug, PartialEq)]
enum State {
    /// Find out what the group has committed.
    Committed,
    /// Find out where to read. `announce`: the application did not ask for it.
    Reset {
        whence: Whence,
        announce: bool,
    },
    /// Find out whether what was read is still there.
    Validate,
    Fetch,
    /// Wait for the application.
    Stuck(ConsumeError),
}

/// What to ask about a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Want {
    Offset(Whence),
    EpochEnd(Position),
    Records(Position),
    /// Nothing before this time; `NEVER`: nothing before something else happens.
    Nothing {
        before: Instant,
    },
}

/// How a partition finds its first position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// From the group's committed offset.
    Committed,
    /// As `auto.offset.reset` says; `None`: the application decides.
    Reset(Option<Whence>),
}

/// One assigned partition.
#[derive(Debug)]
pub(super) struct Assigned {
    name: TopicPartition,
    state: State,
    position: Option<Position>,
    /// Where the last read, seek, reset or truncation left the position: nothing else moves it back.
    floor: Offset,
    /// Epoch of the leader for which the position is known to be good.
    good_for: LeaderEpoch,
    /// The request that concerns it. An answer to any other is out of date.
    asked: Option<RequestId>,
    not_before: Instant,
    failures: u32,
    buffered: Option<Buffered>,
    /// The position before the last records were taken.
    taken_from: Option<Position>,
    /// The size of the last records that were taken.
    taken_bytes: usize,
    bounds: Bounds,
    /// The application does not want its records now.
    paused: bool,
    /// The replica that its leader has named to read from, and until when (KIP-392).
    preferred: Option<(BrokerId, Instant)>,
}

/// The state of a partition without any position.
fn initial(name: &TopicPartition, policy: Option<Whence>) -> State {
    match policy {
        Some(whence) => State::Reset { whence, announce: true },
        None => State::Stuck(ConsumeError::NoOffset(name.clone())),
    }
}

impl Assigned {
    pub(super) fn new(name: TopicPartition, start: Start) -> Self {
        let state = match start {
            Start::Committed => State::Committed,
            Start::Reset(policy) => initial(&name, policy),
        };
        Self {
            paused: false,
            name,
            state,
            position: None,
            floor: Offset::ZERO,
            good_for: LeaderEpoch::NONE,
            asked: None,
            not_before: Instant::START,
            failures: 0,
            buffered: None,
            taken_from: None,
            bounds: Bounds::default(),
            taken_bytes: 0,
            preferred: None,
        }
    }

    /// The replica to fetch from instead of the leader.
    pub(super) fn preferred_replica(&self) -> Option<BrokerId> {
        self.preferred.map(|(replica, _)| replica)
    }

    /// The leader prefers that this replica is read, until a time that is set when it is first named.
    pub(super) fn prefer(&mut self, replica: BrokerId, until: Instant) {
        if self.preferred_replica() != Some(replica) {
            self.preferred = Some((replica, until));
        }
    }

    /// Goes back to the leader if the time is over.
    pub(super) fn expire_preferred(&mut self, now: Instant) {
        self.preferred.take_if(|(_, until)| now > *until);
    }

    /// Goes back to the leader. Returns whether another replica was read.
    pub(super) fn return_to_leader(&mut self) -> bool {
        self.preferred.take().is_some()
    }

    pub(super) fn position(&self) -> Option<Offset> {
        self.position.map(|position| position.offset())
    }

    /// The position to commit, and the epoch of the record before it: it counts only while it is
    /// certain.
    pub(super) fn consumed(&self) -> Option<(Offset, LeaderEpoch)> {
        let is_certain = matches!(self.state, State::Fetch | State::Validate);
        let position = self.position.filter(|_| is_certain)?;
        Some((position.offset(), position.epoch()))
    }

    /// The end of the records that are buffered, if there are any.
    pub(super) fn fetched_end(&self) -> Option<Offset> {
        self.buffered.as_ref()?.end()
    }

    /// Whether it waits for the group's committed offset.
    pub(super) fn wants_committed(&self) -> bool {
        self.state == State::Committed
    }

    pub(super) fn pause(&mut self, paused: bool) {
        self.paused = paused;
    }

    pub(super) fn is_paused(&self) -> bool {
        self.paused
    }

    pub(super) fn high_watermark(&self) -> Option<Offset> {
        self.bounds.high_watermark
    }

    /// The number of offsets from the position to the last one that can be read.
    pub(super) fn lag(&self, read_committed: bool) -> Option<u64> {
        let Bounds { last_stable, high_watermark, .. } = self.bounds;
        let end = if read_committed { last_stable } else { high_watermark };
        Some(u64::try_from(end?.0 - self.position()?.0).unwrap_or(0))
    }

    /// The number of offsets from the log's start to the position.
    pub(super) fn lead(&self) -> Option<u64> {
        Some(u64::try_from(self.position()?.0 - self.bounds.start?.0).unwrap_or(0))
    }

    /// The size in bytes of what was taken last.
    pub(super) fn taken_bytes(&self) -> usize {
        self.taken_bytes
    }

    pub(super) fn has_buffered(&self) -> bool {
        self.buffered.is_some()
    }

    /// Why only the application can go on.
    pub(super) fn stuck(&self) -> Option<&ConsumeError> {
        match &self.state {
            State::Stuck(problem) => Some(problem),
            _ => None,
        }
    }

    /// What to ask about it now.
    pub(super) fn wants(&self, now: Instant) -> Want {
        if self.asked.is_some() {
            return Want::Nothing { before: Instant::NEVER };
        }
        let want = match (&self.state, self.position) {
            (State::Reset { whence, .. }, _) => Want::Offset(*whence),
            (State::Validate, Some(position)) => Want::EpochEnd(position),
            (State::Fetch, Some(position)) if self.buffered.is_none() && !self.paused => {
                Want::Records(position)
            }
            _ => return Want::Nothing { before: Instant::NEVER },
        };
        if self.not_before > now { Want::Nothing { before: self.not_before } } else { want }
    }

    /// It is asked about.
    pub(super) fn asked(&mut self, request: RequestId) {
        self.asked = Some(request);
    }

    /// The request is over. Returns whether its answer is still of interest.
    pub(super) fn settle(&mut self, request: RequestId) -> bool {
        self.asked.take_if(|asked| *asked == request).is_some()
    }

    /// The number of failures in a row, this one included: the pause follows from it.
    pub(super) fn failed(&mut self) -> u32 {
        self.failures = self.failures.saturating_add(1);
        self.failures
    }

    /// Nothing is asked before this time.
    pub(super) fn pause_until(&mut self, time: Instant) {
        self.not_before = time;
    }

    pub(super) fn seek(&mut self, offset: Offset) {
        self.turn(State::Fetch);
        self.place(Position::new(offset, LeaderEpoch::NONE));
    }

    pub(super) fn seek_to(&mut self, whence: Whence) {
        self.turn(State::Reset { whence, announce: false });
        self.position = None;
    }

    /// The group has committed this, or nothing.
    pub(super) fn begin(&mut self, at: Option<(Offset, LeaderEpoch)>, policy: Option<Whence>) {
        if self.state != State::Committed {
            return;
        }
        match at {
            Some((offset, epoch)) => {
                self.turn(State::Fetch);
                self.place(Position::new(offset, epoch));
            }
            None => self.turn(initial(&self.name, policy)),
        }
    }

    /// Another leader may lack what was read: a position is good only for the leader for which it
    /// was checked.
    pub(super) fn doubt(&mut self, epoch: LeaderEpoch, ignores_truncation: bool) {
        if epoch <= self.good_for || self.state != State::Fetch {
            return;
        }
        self.preferred = None;
        let was_read = self.position.is_some_and(|at| at.epoch() != LeaderEpoch::NONE);
        if was_read && !ignores_truncation {
            self.turn(State::Validate);
        } else {
            // Nothing was read yet, so there is nothing to validate. But what an earlier leader has
            // sent, or is about to, may be gone: it is fetched again.
            self.turn(State::Fetch);
            self.good_for = epoch;
        }
    }

    /// Buffers the records of a fetch.
    pub(super) fn fetched(
        &mut self,
        records: Option<Bytes>,
        bounds: Bounds,
        aborted: Aborted,
    ) -> Result<(), ConsumeError> {
        self.failures = 0;
        self.bounds = bounds;
        let Some(bytes) = records.filter(|bytes| !bytes.is_empty()) else { return Ok(()) };
        let problem = match Buffered::new(bytes, aborted) {
            Ok(Some(buffered)) => {
                self.buffered = Some(buffered);
                return Ok(());
            }
            Ok(None) => "no whole batch was returned".to_owned(),
            Err(error) => error.to_string(),
        };
        Err(self.corrupt(problem))
    }

    /// Moves up to `limit` buffered records into `into`, and the position past them.
    pub(super) fn take(
        &mut self,
        limit: usize,
        into: &mut Vec<ConsumerRecord>,
    ) -> Result<(), ConsumeError> {
        let (Some(buffered), Some(position)) = (&mut self.buffered, &mut self.position) else {
            return Ok(());
        };
        self.taken_from = Some(*position);
        let before = buffered.bytes_taken();
        let taken = buffered.take(&self.name, position, limit, into);
        self.taken_bytes = buffered.bytes_taken() - before;
        self.floor = position.offset();
        match taken {
            Ok(true) => Ok(()),
            Ok(false) => {
                self.buffered = None;
                Ok(())
            }
            Err(problem) => {
                self.buffered = None;
                Err(self.corrupt(BatchError::to_string(&problem)))
            }
        }
    }

    /// The application can't read what was taken last, except for the records that are `kept`: the
    /// position goes back behind those, and the rest is fetched again.
    pub(super) fn give_back(&mut self, kept: &mut dyn Iterator<Item = (Offset, LeaderEpoch)>) {
        let (Some(now), Some(mut position)) = (self.position, self.taken_from.take()) else {
            return;
        };
        for (offset, epoch) in kept {
            position.advance(offset, offset.next(), epoch);
        }
        // A seek, reset or truncation since then has moved it for another reason.
        let reads = matches!(self.state, State::Fetch | State::Validate);
        if reads && position.offset() < now.offset() {
            self.turn(self.state.clone());
            self.place(position);
        }
    }

    /// The batch at the position can't be read.
    fn corrupt(&self, problem: String) -> ConsumeError {
        let offset = self.position().unwrap_or(Offset::NONE);
        ConsumeError::Corrupt { partition: self.name.clone(), offset, problem }
    }

    /// The log no longer has the position, or does not have it yet.
    pub(super) fn out_of_range(&mut self, policy: Option<Whence>) {
        let Some(offset) = self.position() else { return };
        let partition = self.name.clone();
        self.turn(match policy {
            Some(whence) => State::Reset { whence, announce: true },
            None => State::Stuck(ConsumeError::OutOfRange { partition, offset }),
        });
    }

    /// ListOffsets says where to begin.
    pub(super) fn listed(
        &mut self,
        offset: Offset,
        epoch: LeaderEpoch,
        leader_epoch: LeaderEpoch,
    ) -> Option<Notice> {
        let State::Reset { announce, .. } = self.state else { return None };
        let from = self.position();
        self.good_for = leader_epoch;
        self.failures = 0;
        self.turn(State::Fetch);
        self.place(Position::new(offset, epoch));
        announce.then(|| Notice::Reset { partition: self.name.clone(), from, to: offset })
    }

    /// OffsetForLeaderEpoch says where the leader's log of the position's epoch ends; `None`: the
    /// leader has no such epoch and none before it.
    pub(super) fn validated(
        &mut self,
        end: Option<(LeaderEpoch, Offset)>,
        leader_epoch: LeaderEpoch,
        policy: Option<Whence>,
    ) -> Option<Notice> {
        let (State::Validate, Some(position)) = (&self.state, self.position) else { return None };
        self.failures = 0;
        let diverges_at = end.map(|(epoch, end)| match epoch < position.epoch() {
            // The leader has nothing of that epoch: all that was read of it is gone. Kafka's client
            // looks at the end only, and misses this if the older epoch extends past the position.
            true => end.min(position.epoch_began()),
            false => end,
        });
        if diverges_at.is_some_and(|offset| offset >= position.offset()) {
            self.good_for = leader_epoch;
            self.turn(State::Fetch);
            return None;
        }
        let (partition, from) = (self.name.clone(), position.offset());
        let Some(whence) = policy else {
            let problem = ConsumeError::Truncated { partition, offset: from, diverges_at };
            self.turn(State::Stuck(problem));
            return None;
        };
        match end.zip(diverges_at) {
            Some(((epoch, _), offset)) => {
                self.good_for = leader_epoch;
                self.turn(State::Fetch);
                self.place(Position::new(offset, epoch));
            }
            None => self.turn(State::Reset { whence, announce: true }),
        }
        Some(Notice::Truncated { partition, from, to: diverges_at })
    }

    /// Puts the position elsewhere, also backwards.
    fn place(&mut self, position: Position) {
        self.position = Some(position);
        self.floor = position.offset();
    }

    /// Turns to something else: what was asked for before no longer counts.
    fn turn(&mut self, state: State) {
        self.state = state;
        self.asked = None;
        self.buffered = None;
        self.not_before = Instant::START;
    }

    /// Panics if an invariant is broken.
    pub(super) fn check(&self) {
        let Self { name, state, position, floor, .. } = self;
        if let Some(position) = position {
            position.check();
            let at = position.offset();
            assert!(at >= *floor, "{name} fell to {at} from {floor} without a seek or reset");
        }
        let reads = matches!(state, State::Fetch | State::Validate);
        assert!(!reads || position.is_some(), "{name} is in {state:?} without a position");
        let buffers = self.buffered.is_some();
        assert!(!buffers || *state == State::Fetch, "{name} has records, but is in {state:?}");
        assert!(!buffers || self.asked.is_none(), "{name} has records, and asks for more");
        let waits = self.stuck().is_some() && self.asked.is_some();
        assert!(!waits, "{name} is stuck, and waits for an answer");
    }

    /// A flaw made by hand: the position moves, and no one knows why.
    #[cfg(test)]
    pub(super) fn misplace(&mut self, offset: Offset) {
        self.position = Some(Position::new(offset, LeaderEpoch::NONE));
    }
}
