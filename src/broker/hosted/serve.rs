//! Decisions, commits, deadlines, and the end.

use std::sync::Arc;

use bytes::BytesMut;
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use super::batch;
use super::journal::{AppendFailure, Journal, Written};
use super::load::{self, LoadError};
use crate::base::{Instant, Offset, ProducerEpoch, ProducerId};
use crate::decide::{Active, Decision, ErrorOf, Loading, Machine, RecordOf, State};
use crate::io::{World, timeout};

/// Fulfilled when a decision is committed; refused when that will never be known here.
type Waiter = oneshot::Sender<Result<(), Arc<str>>>;

/// A decision that can be made.
pub(crate) type DecisionOf<M, T> = Decision<RecordOf<M>, T, <M as Machine>::Effect>;

/// A machine on its log, for one leader epoch.
pub(crate) struct Hosted<W: World, M: Machine, J: Journal> {
    world: W,
    journal: J,
    phase: Mutex<Phase<M>>,
    /// Notified when the deadline has come closer, and when the phase changed.
    stirred: Notify,
}

/// Transitions consume the former phase: see `decide`.
enum Phase<M: Machine> {
    Loading,
    Active {
        active: Active<M, Waiter>,
        /// The deadline for which the shell waits.
        armed: Instant,
    },
    Failed {
        reason: Arc<str>,
    },
}

/// Why a decision is not answered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    /// Nothing was decided: the log is not loaded yet. The client should ask again.
    #[error("still loading its log")]
    Loading,
    /// Nothing was decided: this node does not lead any more.
    #[error("no longer active: {0}")]
    Failed(Arc<str>),
    /// Decided and not appended: nothing has changed.
    #[error("can't append: {0}")]
    NotAppended(Arc<str>),
    /// Decided and not appended, nor will it ever be: the log takes no batch of this size.
    #[error("can't append: {0}")]
    TooLarge(Arc<str>),
    /// Appended, and unknown whether it will be committed.
    #[error("outcome unknown: {0}")]
    Unknown(Arc<str>),
}

/// Why a machine is not driven any more.
#[derive(Debug)]
pub(crate) enum Stopped<M: Machine, E> {
    /// The log can't be used any more.
    Journal(E),
    /// A committed record contradicts the state.
    Replay(ErrorOf<M>),
    /// It was refused a decision about its deadlines.
    Refused(Refused),
}

/// Completed once the records of a decision are committed, or will not be.
pub(super) type Committed = oneshot::Receiver<Result<(), Arc<str>>>;

/// Waits for the commit of a decision.
pub(super) async fn committed(waiter: Committed) -> Result<(), Refused> {
    match waiter.await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(reason)) => Err(Refused::Unknown(reason)),
        // The sender only goes when the node does.
        Err(_) => std::future::pending().await,
    }
}

impl<W: World, M: Machine, J: Journal> Hosted<W, M, J> {
    pub(crate) fn new(world: W, journal: J) -> Arc<Self> {
        let phase = Mutex::new(Phase::Loading);
        Arc::new(Self { world, journal, phase, stirred: Notify::new() })
    }

    pub(crate) fn world(&self) -> &W {
        &self.world
    }

    pub(crate) fn journal(&self) -> &J {
        &self.journal
    }

    /// Replays the log. Afterwards, `activate`.
    pub(crate) async fn load(&self, machine: M) -> Result<Loading<M>, LoadError<M, J::Error>> {
        load::load(&self.world, &self.journal, machine).await
    }

    /// The machine decides from now on.
    pub(crate) fn activate(&self, loading: Loading<M>, now: Instant) {
        let mut phase = self.phase.lock();
        if let Phase::Loading = *phase {
            *phase = Phase::Active { active: loading.activate(now), armed: Instant::NEVER };
            self.stirred.notify_one();
        }
    }

    /// Decides, appends what was decided, and answers once it is committed. A decision without
    /// records may rest on records that are not committed yet: it waits for them as well.
    ///
    /// The handler is given the time and the offset of its first record.
    pub(crate) async fn decide<T>(
        &self,
        handler: impl FnOnce(&M, Instant, Offset) -> DecisionOf<M, T>,
    ) -> Result<T, Refused> {
        let (response, waiter) = self.decide_now(handler)?;
        committed(waiter).await.map(|()| response)
    }

    /// The same without waiting for the commit.
    pub(crate) fn decide_unwatched<T>(
        &self,
        handler: impl FnOnce(&M, Instant, Offset) -> DecisionOf<M, T>,
    ) -> Result<T, Refused> {
        self.decide_now(handler).map(|(response, _)| response)
    }

    /// The same while nothing else takes up commits, before `serve`.
    pub(crate) async fn decide_alone<T>(
        &self,
        handler: impl FnOnce(&M, Instant, Offset) -> DecisionOf<M, T>,
    ) -> Result<T, Stopped<M, J::Error>> {
        tokio::select! {
            biased;
            decided = self.decide(handler) => decided.map_err(Stopped::Refused),
            stopped = self.follow_commits() => Err(stopped),
        }
    }

    fn decide_now<T>(
        &self,
        handler: impl FnOnce(&M, Instant, Offset) -> DecisionOf<M, T>,
    ) -> Result<(T, Committed), Refused> {
        self.decide_by(None, |journal, batch| journal.append(batch), handler)
    }

    /// The same, as part of this producer's transaction, if there is one. `append` is called with the
    /// batch, if there is anything to append.
    pub(super) fn decide_by<T>(
        &self,
        producer: Option<(ProducerId, ProducerEpoch)>,
        append: impl FnOnce(&J, BytesMut) -> Result<Written, AppendFailure<J::Error>>,
        handler: impl FnOnce(&M, Instant, Offset) -> DecisionOf<M, T>,
    ) -> Result<(T, Committed), Refused> {
        let mut phase = self.phase.lock();
        let Phase::Active { active, armed } = &mut *phase else { return Err(phase.refused()) };
        let now = self.world.now();
        let Decision { records, response, effects, after } =
            handler(active.machine(), now, active.end());
        if !records.is_empty() {
            let wall = self.world.wall_clock();
            let batch = match producer {
                None => batch::encode(&records, wall),
                Some(producer) => batch::encode_in_transaction(&records, producer, wall),
            };
            let appended = match append(&self.journal, batch) {
                Ok(written) => {
                    let replayed = match producer {
                        None => active.appended(written.base, records),
                        Some((id, _)) => active.appended_in_transaction(written.base, id, records),
                    };
                    replayed.map_err(|e| e.to_string())
                }
                Err(AppendFailure::Refused(error)) => {
                    return Err(Refused::NotAppended(error.to_string().into()));
                }
                Err(AppendFailure::TooLarge(error)) => {
                    return Err(Refused::TooLarge(error.to_string().into()));
                }
                Err(AppendFailure::Broken(error)) => Err(error.to_string()),
            };
            if let Err(reason) = appended {
                let reason: Arc<str> = reason.into();
                self.fail(&mut phase, &reason);
                return Err(Refused::Unknown(reason));
            }
        }
        active.carry_out(now, effects);
        active.defer(now, after);
        if active.deadline().is_some_and(|deadline| deadline < *armed) {
            self.stirred.notify_one();
        }
        let (waiter, answered) = oneshot::channel();
        if let Some(waiter) = active.hold(waiter) {
            let _ = waiter.send(Ok(()));
        }
        Ok((response, answered))
    }

    /// Ends a producer's transaction: `append` appends its marker, in order with the decisions.
    pub(super) fn end_by(
        &self,
        producer: ProducerId,
        is_committed: bool,
        append: impl FnOnce(&J) -> Result<Written, AppendFailure<J::Error>>,
    ) -> Result<Committed, Refused> {
        let mut phase = self.phase.lock();
        let Phase::Active { active, .. } = &mut *phase else { return Err(phase.refused()) };
        match append(&self.journal) {
            Ok(written) => active.transaction_ended(written.end, producer, is_committed),
            Err(AppendFailure::Refused(error)) => {
                return Err(Refused::NotAppended(error.to_string().into()));
            }
            Err(AppendFailure::TooLarge(error)) => {
                return Err(Refused::TooLarge(error.to_string().into()));
            }
            Err(AppendFailure::Broken(error)) => {
                let reason: Arc<str> = error.to_string().into();
                self.fail(&mut phase, &reason);
                return Err(Refused::Unknown(reason));
            }
        }
        let (waiter, answered) = oneshot::channel();
        if let Some(waiter) = active.hold(waiter) {
            let _ = waiter.send(Ok(()));
        }
        Ok(answered)
    }

    /// Carries an effect out that no decision asked for.
    pub(crate) fn affect(&self, effect: M::Effect) -> Result<(), Refused> {
        let mut phase = self.phase.lock();
        let Phase::Active { active, .. } = &mut *phase else { return Err(phase.refused()) };
        active.carry_out(self.world.now(), [effect]);
        self.stirred.notify_one();
        Ok(())
    }

    /// Reads the committed state: nothing of it will be taken back.
    pub(crate) fn read<T>(&self, see: impl FnOnce(&M::State) -> T) -> Result<T, Refused> {
        match &*self.phase.lock() {
            Phase::Active { active, .. } => Ok(see(active.committed())),
            other => Err(other.refused()),
        }
    }

    /// Asks the machine for what it holds, committed or not.
    pub(crate) fn see<T>(&self, see: impl FnOnce(&M) -> T) -> Result<T, Refused> {
        match &*self.phase.lock() {
            Phase::Active { active, .. } => Ok(see(active.machine())),
            other => Err(other.refused()),
        }
    }

    /// Takes up commits and keeps deadlines until the log can't be used any more. Whatever the
    /// reason, the machine has resigned when this returns.
    pub(crate) async fn serve(&self) -> Stopped<M, J::Error> {
        let stopped = tokio::select! {
            biased;
            stopped = self.follow_commits() => stopped,
            stopped = self.keep_deadlines() => stopped,
        };
        self.resign(&match &stopped {
            Stopped::Journal(error) => error.to_string(),
            Stopped::Replay(error) => error.to_string(),
            Stopped::Refused(refused) => refused.to_string(),
        });
        stopped
    }

    async fn follow_commits(&self) -> Stopped<M, J::Error> {
        let mut seen = match self.committed_end() {
            Ok(end) => end,
            Err(refused) => return Stopped::Refused(refused),
        };
        loop {
            match self.commit_next(seen).await {
                Ok(end) => seen = end,
                Err(stopped) => return stopped,
            }
        }
    }

    fn committed_end(&self) -> Result<Offset, Refused> {
        match &*self.phase.lock() {
            Phase::Active { active, .. } => Ok(active.committed_end()),
            other => Err(other.refused()),
        }
    }

    /// Waits until more than what is below `beyond` is committed, and takes that up. Returns up to
    /// where the log is committed, which may be beyond what the machine appended.
    pub(crate) async fn commit_next(&self, beyond: Offset) -> Result<Offset, Stopped<M, J::Error>> {
        let end = self.journal.committed(beyond).await.map_err(Stopped::Journal)?;
        self.committed(end).map_err(Stopped::Replay)?;
        Ok(end)
    }

    /// Everything below `end` is committed: publishes it, then answers.
    pub(crate) fn committed(&self, end: Offset) -> Result<(), ErrorOf<M>> {
        let mut phase = self.phase.lock();
        let Phase::Active { active, armed } = &mut *phase else { return Ok(()) };
        let commit = active.commit(end)?;
        for probe in commit.changes.iter().filter_map(M::State::probe) {
            self.world.probe(probe);
        }
        active.carry_out(self.world.now(), commit.after);
        if active.deadline().is_some_and(|deadline| deadline < *armed) {
            self.stirred.notify_one();
        }
        for waiter in commit.released {
            // A client that gave up has dropped its end.
            let _ = waiter.send(Ok(()));
        }
        self.journal.published();
        Ok(())
    }

    async fn keep_deadlines(&self) -> Stopped<M, J::Error> {
        loop {
            let deadline = match &mut *self.phase.lock() {
                Phase::Loading => Instant::NEVER,
                Phase::Active { active, armed } => {
                    *armed = active.deadline().unwrap_or(Instant::NEVER);
                    *armed
                }
                failed @ Phase::Failed { .. } => return Stopped::Refused(failed.refused()),
            };
            if deadline <= self.world.now() {
                let wall = self.world.wall_clock();
                match self.decide(|machine, now, _| machine.expire(now, wall)).await {
                    Ok(()) => {}
                    Err(refused @ (Refused::NotAppended(_) | Refused::TooLarge(_))) => {
                        let Some(pause) = self.journal.retry_after() else {
                            return Stopped::Refused(refused);
                        };
                        self.world.sleep_until(self.world.now() + pause).await;
                    }
                    Err(refused) => return Stopped::Refused(refused),
                }
                continue;
            }
            timeout(&self.world, deadline, self.stirred.notified()).await;
        }
    }

    /// Leadership is lost: nothing is decided any more, and what is not committed is not answered.
    pub(crate) fn resign(&self, reason: &str) {
        self.fail(&mut self.phase.lock(), &reason.into());
    }

    fn fail(&self, phase: &mut Phase<M>, reason: &Arc<str>) {
        if let Phase::Failed { .. } = phase {
            return;
        }
        let failed = Phase::Failed { reason: reason.clone() };
        if let Phase::Active { active, .. } = std::mem::replace(phase, failed) {
            // The next leader loads the log again.
            let (_, refused) = active.resign();
            for waiter in refused {
                let _ = waiter.send(Err(reason.clone()));
            }
        }
        self.stirred.notify_one();
    }
}

impl<M: Machine> Phase<M> {
    fn refused(&self) -> Refused {
        match self {
            Self::Loading => Refused::Loading,
            Self::Active { .. } => Refused::Failed("active".into()),
            Self::Failed { reason, .. } => Refused::Failed(reason.clone()),
        }
    }
}
