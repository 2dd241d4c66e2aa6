//! Roles: how committed metadata makes this replica lead or follow.

use super::{Partition, Role, State};
use crate::base::{BrokerId, Flaw, ReplicaProbe};
use crate::controller::PartitionState;
use crate::io::World;
use crate::log::LogError;
use crate::replica::{Follower, Leader, LeaderInput, LeaderStart, LogStarts, Peers};
use crate::wire::ErrorCode;

impl<W: World> Partition<W> {
    /// Assumes the role that committed metadata gives to this replica.
    pub(crate) async fn assume(
        &self,
        told: &PartitionState,
        peers: &Peers,
    ) -> Result<(), LogError> {
        while self.must_sync_before(told) {
            self.sync_if_due().await?;
        }
        let epochs = {
            let Ok(mut state) = self.state() else { return Ok(()) };
            if told.leader_epoch < state.leader_epoch {
                return Ok(());
            }
            if told.leader_epoch == state.leader_epoch {
                self.refresh(&mut state, told);
                return Ok(());
            }
            self.announce_resignation(&mut state);
            state.leader_epoch = told.leader_epoch;
            state.log.abandon_verifications();
            state.produce.fail(ErrorCode::NotLeaderOrFollower);
            let damage = state.log.epoch_above(told.leader_epoch);
            let new_epoch = if told.leader == Some(self.site.me) {
                self.lead(&mut state, told, peers)
            } else {
                self.follow(&mut state, told);
                if self.site.flaws.has(Flaw::TruncateToHighWatermark) {
                    self.cut_at_high_watermark(&mut state)?;
                }
                false
            };
            if let Some(error) = damage {
                self.damaged(&mut state, &error);
            }
            state.check(&self.name);
            new_epoch.then(|| state.log.save_epochs())
        };
        if let Some(save) = epochs {
            save.await?;
        }
        Ok(())
    }

    /// Whether this replica has to sync its log before it assumes a leadership: from then on the whole log
    /// counts, so it has to be as durable as the flush policy asks. If it leads already, its old epoch
    /// ends here: what it appended during the sync would count unsynced.
    fn must_sync_before(&self, told: &PartitionState) -> bool {
        let Ok(mut state) = self.state() else { return false };
        if told.leader != Some(self.site.me) || told.leader_epoch <= state.leader_epoch {
            return false;
        }
        let flushes = state.config.flush_before_ack || state.config.flush_messages.is_some();
        if flushes && matches!(state.role, Role::Leader(_)) {
            self.announce_resignation(&mut state);
            state.produce.fail(ErrorCode::NotLeaderOrFollower);
            let mut resigned = Follower::new(state.leader_epoch, None);
            resigned.set_eligible(true);
            state.role = Role::Follower(resigned);
            state.wake_readers();
        }
        state.sync_is_due() && state.log.recovery_point() < state.log.log_end()
    }

    /// The leader epoch is the same; the ISR may be another.
    fn refresh(&self, state: &mut State<W>, told: &PartitionState) {
        match &mut state.role {
            Role::Leader(_) => {
                let input = LeaderInput::Committed {
                    partition_epoch: told.partition_epoch,
                    isr: told.isr.clone(),
                };
                self.step(state, input);
            }
            Role::Follower(follower) => follower.set_eligible(is_eligible(told, self.site.me)),
        }
    }

    /// Begins to lead. Returns whether the log has a new epoch to save.
    fn lead(&self, state: &mut State<W>, told: &PartitionState, peers: &Peers) -> bool {
        let log_end = state.log.log_end();
        let noted = !self.site.flaws.has(Flaw::NoEpochEntryOnElection);
        let new_epoch = noted && state.log.begin_epoch(told.leader_epoch);
        let start = LeaderStart {
            me: self.site.me,
            epoch: told.leader_epoch,
            partition_epoch: told.partition_epoch,
            replicas: told.replicas.clone(),
            isr: told.isr.clone(),
            log_end,
            high_watermark: state.high_watermark,
            min_insync: usize::try_from(state.config.min_insync_replicas).unwrap_or(1),
            lag_time_max: self.site.lag_time_max,
            flaws: self.site.flaws,
        };
        let leader = Leader::new(self.site.world.now(), start, peers.clone());
        state.role = Role::Leader(Box::new(leader));
        let others = told.replicas.iter().copied().filter(|id| *id != self.site.me);
        state.starts = LogStarts::of(others);
        // Consumers that read from it as a follower have to learn of the new epoch.
        state.consume.wake();
        self.site.world.probe(ReplicaProbe::BecameLeader {
            partition: self.name.clone(),
            topic_id: self.topic_id,
            epoch: told.leader_epoch,
            log_end,
        });
        if let Role::Leader(leader) = &state.role {
            self.report_maximal_isr(leader);
        }
        // A single in-sync replica commits by itself.
        self.step(state, LeaderInput::Appended { end: log_end });
        self.announce_election(state);
        new_epoch
    }

    fn follow(&self, state: &mut State<W>, told: &PartitionState) {
        let mut follower = Follower::new(told.leader_epoch, told.leader);
        follower.set_eligible(is_eligible(told, self.site.me));
        state.role = Role::Follower(follower);
        // Fetches of a deposed leader end here, with an error that makes their clients look again.
        state.wake_readers();
        state.delete.wake();
        self.site.world.probe(ReplicaProbe::BecameFollower {
            partition: self.name.clone(),
            topic_id: self.topic_id,
            epoch: told.leader_epoch,
            leader: told.leader,
        });
    }
}

fn is_eligible(told: &PartitionState, replica: BrokerId) -> bool {
    told.isr.contains(&replica) || told.elr.contains(&replica)
}
