//! What a follower does: asks its leader, cuts where their logs part, appends what it gets.

use bytes::Bytes;

use super::{Partition, Role, State};
use crate::base::{BrokerId, Flaw, Instant, LeaderEpoch, Offset, ReplicaProbe};
use crate::io::World;
use crate::log::{AppendError, LogError};
use crate::replica::{Position, RangeRemedy};
use crate::wire::ErrorCode;
use crate::wire::batch::BatchHeader;

/// The next fetch of a follower.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FollowerFetch {
    pub(crate) leader: BrokerId,
    /// Sent as the current leader epoch; an answer is only taken while it is still current.
    pub(crate) epoch: LeaderEpoch,
    pub(crate) offset: Offset,
    /// Lets the leader see where the logs part (KIP-595).
    pub(crate) last_fetched_epoch: LeaderEpoch,
    pub(crate) log_start: Offset,
}

/// A leader's answer for one partition.
#[derive(Clone, Debug)]
pub(crate) struct LeaderAnswer {
    pub(crate) error: ErrorCode,
    pub(crate) high_watermark: Offset,
    pub(crate) log_start: Offset,
    pub(crate) diverging: Option<(LeaderEpoch, Offset)>,
    pub(crate) records: Option<Bytes>,
}

impl<W: World> Partition<W> {
    /// What to ask `leader` now, if this replica follows it and is not backing off.
    pub(crate) fn next_fetch(&self, leader: BrokerId) -> Option<FollowerFetch> {
        let state = self.state().ok()?;
        let Role::Follower(follower) = &state.role else { return None };
        let ready = follower.leader() == Some(leader)
            && !state.is_offline()
            && follower.retry_at().is_none_or(|at| at <= self.site.world.now());
        ready.then(|| FollowerFetch {
            leader,
            epoch: state.leader_epoch,
            offset: state.log.log_end(),
            last_fetched_epoch: match self.site.flaws.has(Flaw::TruncateToHighWatermark) {
                true => LeaderEpoch::NONE,
                false => state.log.latest_epoch(),
            },
            log_start: state.log.log_start(),
        })
    }

    /// Whom this replica follows, and until when it backs off.
    pub(crate) fn followed(&self) -> Option<(BrokerId, Option<Instant>)> {
        let state = self.state().ok()?;
        match &state.role {
            Role::Follower(follower) if !state.is_offline() => {
                Some((follower.leader()?, follower.retry_at()))
            }
            _ => None,
        }
    }

    /// Takes an answer to `asked` in. Whatever has changed since then makes it void: another epoch
    /// (KAFKA-9338), or another log end.
    pub(crate) async fn fetched(
        &self,
        asked: &FollowerFetch,
        answer: &LeaderAnswer,
        retry_at: Instant,
    ) -> Result<(), LogError> {
        let (sync, epochs, lower_start) = {
            let Ok(mut state) = self.state() else { return Ok(()) };
            let (log_start, log_end) = (state.log.log_start(), state.log.log_end());
            let Role::Follower(follower) = &mut state.role else { return Ok(()) };
            if !follower.accepts(Position { epoch: asked.epoch, log_end: asked.offset }, log_end) {
                return Ok(());
            }
            let refused = answer.error != ErrorCode::None;
            match refused {
                true => follower.back_off(retry_at),
                false => follower.answered(),
            }
            let (sync, new_epoch) = match answer.diverging {
                _ if refused => (None, self.out_of_range(&mut state, answer)?),
                Some((epoch, end)) => {
                    if self.site.flaws.has(Flaw::TruncateAfterHighWatermark) {
                        self.raise_high_watermark(&mut state, answer);
                    }
                    self.truncate(&mut state, (epoch, end), answer.log_start)?;
                    (None, true)
                }
                None => self.take_records(&mut state, answer, retry_at)?,
            };
            state.check(&self.name);
            let start = state.log.log_start();
            let lower_start = (start < log_start).then_some(start);
            (sync, new_epoch.then(|| state.log.save_epochs()), lower_start)
        };
        if let Some(start) = lower_start {
            // With the old one, the next start would take what is fetched from here on for deleted.
            self.home.dir.save_log_starts(&[(self.name.clone(), start)].into()).await?;
        }
        if let Some(save) = epochs {
            save.await?;
        }
        if let Some(end) = sync {
            self.sync_to(end).await?;
        }
        Ok(())
    }

    /// A fetch did not come back: nothing is known, so a while later the same is asked again.
    pub(crate) fn fetch_failed(&self, asked: &FollowerFetch, retry_at: Instant) {
        let Ok(mut state) = self.state() else { return };
        if let Role::Follower(follower) = &mut state.role
            && follower.epoch() == asked.epoch
        {
            follower.back_off(retry_at);
        }
    }

    /// The leader has nothing at this log's end. Says whether the log starts over.
    fn out_of_range(&self, state: &mut State<W>, answer: &LeaderAnswer) -> Result<bool, LogError> {
        if answer.error != ErrorCode::OffsetOutOfRange {
            return Ok(false);
        }
        if self.site.flaws.has(Flaw::NoEpochEntryOnElection) {
            self.cut_at_high_watermark(state)?;
            return Ok(false);
        }
        let Role::Follower(follower) = &mut state.role else { return Ok(false) };
        let log = state.log.log_start()..state.log.log_end();
        let end = log.end;
        let RangeRemedy::StartAt(start) = follower.out_of_range(log, answer.log_start) else {
            return Ok(false);
        };
        if start > end {
            // At once: retention may delete a record here faster than a pause passes.
            follower.answered();
        }
        self.start_over(state, start)?;
        Ok(true)
    }

    /// Removes all records, to fetch from `start` on.
    fn start_over(&self, state: &mut State<W>, start: Offset) -> Result<(), LogError> {
        state.log.truncate_fully_and_start_at(start)?;
        state.high_watermark = start;
        state.consume.wake();
        self.site.world.probe(ReplicaProbe::StartedOver { partition: self.name.clone(), start });
        Ok(())
    }

    /// Truncates where the leader's answer says that the logs diverge: its largest epoch that is not
    /// above ours, and its end there.
    fn truncate(
        &self,
        state: &mut State<W>,
        diverging: (LeaderEpoch, Offset),
        leader_start: Offset,
    ) -> Result<(), LogError> {
        let local = state.log.end_offset_for(diverging.0);
        let Role::Follower(follower) = &state.role else { return Ok(()) };
        let cut = follower.truncation(diverging, local, state.log.log_end());
        if let Some(start) = follower.begins_again(cut, state.log.log_start(), leader_start) {
            return self.start_over(state, start);
        }
        let cut = self.cut(state, cut)?;
        self.site.world.probe(ReplicaProbe::Truncated { partition: self.name.clone(), end: cut });
        Ok(())
    }

    /// Cuts the log, and returns where it ends now.
    fn cut(&self, state: &mut State<W>, at: Offset) -> Result<Offset, LogError> {
        let cut = state.log.truncate_to(at);
        // The high watermark moves only after the cut (KAFKA-14704), and never above the log end,
        // also where the cut failed midway.
        state.high_watermark = state.high_watermark.min(state.log.log_end());
        state.consume.wake();
        Ok(cut?.end)
    }

    /// Appends, and takes the leader's high watermark as far as the log reaches. Says what has to
    /// be synced or saved before the next fetch tells the leader of it.
    fn take_records(
        &self,
        state: &mut State<W>,
        answer: &LeaderAnswer,
        retry_at: Instant,
    ) -> Result<(Option<Offset>, bool), LogError> {
        let mut new_epoch = false;
        let mut sync = None;
        if let Some(records) = &answer.records {
            let now = self.site.world.wall_clock();
            let appended = match state.log.append_as_follower(records, now) {
                Ok(appended) => appended,
                Err(AppendError::Log(error)) => {
                    self.storage_failed(state, &error);
                    return Err(error);
                }
                // The leader knows our last epoch, and what it serves from here on is older: the epoch in
                // our last batch is not the one that was written.
                Err(AppendError::EpochFell { found, .. })
                    if BatchHeader::parse(records)
                        .is_ok_and(|first| first.leader_epoch == found) =>
                {
                    if let Some(error) = state.log.epoch_above(found) {
                        self.damaged(state, &error);
                    }
                    if let Role::Follower(follower) = &mut state.role {
                        follower.back_off(retry_at);
                    }
                    return Ok((None, false));
                }
                // What a leader serves is what it has checked: this is damage on the way, or a
                // leader of another mind. Asking again is right for both.
                Err(error) => {
                    tracing::error!(partition = %self.name, %error, "can't append what was fetched");
                    if let Role::Follower(follower) = &mut state.role {
                        follower.back_off(retry_at);
                    }
                    return Ok((None, false));
                }
            };
            self.note_producers(state);
            new_epoch = appended.new_epoch;
            sync = state.sync_is_due().then_some(appended.end);
            if appended.rolled {
                self.sync_older_segments(state);
            }
        }
        self.raise_high_watermark(state, answer);
        self.take_log_start(state, answer.log_start);
        Ok((sync, new_epoch))
    }

    /// Takes the leader's high watermark over, as far as the log reaches.
    fn raise_high_watermark(&self, state: &mut State<W>, answer: &LeaderAnswer) {
        let Role::Follower(follower) = &state.role else { return };
        let (known, log_end) = (state.high_watermark, state.log.log_end());
        let high_watermark = follower.high_watermark(known, answer.high_watermark, log_end);
        if high_watermark > state.high_watermark {
            state.high_watermark = high_watermark;
            state.log.committed(high_watermark);
            state.consume.wake();
            self.site.world.probe(ReplicaProbe::HighWatermark {
                partition: self.name.clone(),
                epoch: state.leader_epoch,
                leads: false,
                offset: high_watermark,
            });
        }
    }

    /// Before KIP-101, a new follower kept nothing that it did not know to be committed; and later
    /// still, where its leader did not know the epoch of its last record (KAFKA-7415).
    pub(super) fn cut_at_high_watermark(&self, state: &mut State<W>) -> Result<(), LogError> {
        if state.high_watermark < state.log.log_end() {
            let end = self.cut(state, state.high_watermark)?;
            self.site.world.probe(ReplicaProbe::Truncated { partition: self.name.clone(), end });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::config::{Compression, TopicConfig};
    use crate::broker::partition::tests::{ME, OTHER, Replica};
    use crate::io::real::RealWorld;
    use crate::wire::batch::BatchBuilder;

    impl Replica {
        /// Broker 2, the leader, answers the next fetch.
        async fn answered(&self, answer: LeaderAnswer) -> FollowerFetch {
            let asked = self.partition.next_fetch(OTHER).expect("this replica follows");
            self.partition.fetched(&asked, &answer, Instant(0)).await.unwrap();
            self.partition.next_fetch(OTHER).expect("this replica still follows")
        }
    }

    impl Replica {
        async fn saves_log_start(&self, start: i64) {
            let (name, dir) = (self.partition.name.clone(), &self.partition.home().dir);
            dir.save_log_starts(&[(name, Offset(start))].into()).await.unwrap();
        }

        fn saved_log_start(&self) -> String {
            let path = self.partition.home().dir.path().join("log-start-offset-checkpoint");
            let text = std::fs::read_to_string(path).unwrap();
            text.lines().last().unwrap_or_default().to_owned()
        }
    }

    /// The leader's log begins at `log_start`, and it has nothing to send.
    fn empty_answer(log_start: i64) -> LeaderAnswer {
        LeaderAnswer {
            error: ErrorCode::None,
            high_watermark: Offset(log_start),
            log_start: Offset(log_start),
            diverging: None,
            records: None,
        }
    }

    fn record_at(base: i64, epoch: i32) -> Bytes {
        let now = RealWorld::new().wall_clock();
        let mut builder = BatchBuilder::new(Compression::None, now);
        builder.append(now, Some(b"k"), Some(b"v"), &[]);
        let mut batch = builder.finish_plain().to_vec();
        // The checksum covers neither.
        batch[..8].copy_from_slice(&base.to_be_bytes());
        batch[12..16].copy_from_slice(&epoch.to_be_bytes());
        batch.into()
    }

    #[tokio::test]
    async fn follower_without_a_common_record_fetches_from_the_leaders_start() {
        let replica = Replica::new(TopicConfig::default()).await;
        replica.elect(OTHER, 0, &[ME, OTHER]).await;
        // Retention deleted everything below offset 395 here.
        replica.saves_log_start(395).await;
        let deleted = LeaderAnswer { error: ErrorCode::OffsetOutOfRange, ..empty_answer(395) };
        assert_eq!(replica.answered(deleted).await.offset, Offset(395));
        let records = Some(record_at(395, 0));
        let next = replica.answered(LeaderAnswer { records, ..empty_answer(395) }).await;
        assert_eq!((next.log_start, next.offset), (Offset(395), Offset(396)));
        // An unclean election: the new leader's log is shorter, and begins at 138.
        replica.elect(OTHER, 2, &[OTHER]).await;
        let diverging = Some((LeaderEpoch(0), Offset(202)));
        let next = replica.answered(LeaderAnswer { diverging, ..empty_answer(138) }).await;
        assert_eq!((next.log_start, next.offset), (Offset(138), Offset(138)));
        assert_eq!(replica.saved_log_start(), "orders 0 138");
    }

    #[tokio::test]
    async fn follower_that_starts_over_further_on_fetches_at_once() {
        let replica = Replica::new(TopicConfig::default()).await;
        replica.elect(OTHER, 0, &[ME, OTHER]).await;
        let deleted = LeaderAnswer { error: ErrorCode::OffsetOutOfRange, ..empty_answer(395) };
        let asked = replica.partition.next_fetch(OTHER).unwrap();
        replica.partition.fetched(&asked, &deleted, Instant::NEVER).await.unwrap();
        let asked = replica.partition.next_fetch(OTHER).expect("no pause");
        assert_eq!(asked.offset, Offset(395));
        // The same answer again is none that it can use: it asks later.
        replica.partition.fetched(&asked, &deleted, Instant::NEVER).await.unwrap();
        assert!(replica.partition.next_fetch(OTHER).is_none());
    }

    #[tokio::test]
    async fn empty_follower_starts_over_only_once_it_has_left_the_isr() {
        let replica = Replica::new(TopicConfig::default()).await;
        replica.elect(OTHER, 0, &[ME, OTHER]).await;
        let out_of_range = |log_start| LeaderAnswer {
            error: ErrorCode::OffsetOutOfRange,
            ..empty_answer(log_start)
        };
        assert_eq!(replica.answered(out_of_range(395)).await.offset, Offset(395));
        // The leader comes back with less than what was committed and deleted here.
        replica.elect(OTHER, 1, &[ME, OTHER]).await;
        assert_eq!(replica.answered(out_of_range(0)).await.offset, Offset(395));
        // The leader removes this replica from the ISR; the epoch stays.
        replica.elect(OTHER, 1, &[OTHER]).await;
        assert_eq!(replica.answered(out_of_range(0)).await.offset, Offset(0));
    }
}
