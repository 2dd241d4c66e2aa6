//! Committing: steps of the leader machine, and what a move of the high watermark brings about.

use super::{Partition, Role, State};
use crate::base::{Instant, LeaderEpoch, Offset, ReplicaProbe, Request};
use crate::broker::outbox::IsrChange;
use crate::io::World;
use crate::replica::{Leader, LeaderEffect, LeaderInput, Peers, Progress};
use crate::wire::ErrorCode;

impl<W: World> Partition<W> {
    /// The replica's deadline is reached: replicas fall out of sync, proposals are repeated, and a
    /// damaged replica looks for another one to lead.
    pub(crate) fn tick(&self) {
        let Ok(mut state) = self.state() else { return };
        state.due = None;
        if !state.is_offline() {
            self.step(&mut state, LeaderInput::Tick);
            self.step_aside(&mut state);
        }
    }

    /// Has this replica stepped at `at`, unless it is due before anyway.
    pub(super) fn wake_at(&self, state: &mut State<W>, at: Instant) {
        if state.due.is_none_or(|due| at < due) {
            let key = (self.topic_id, self.name.partition);
            self.site.timers.set(key, state.due, at);
            state.due = Some(at);
        }
    }

    /// A broker was registered, fenced or unfenced, or is shutting down.
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
        leader.step(self.site.world.now(), input, &mut effects);
        let epoch = leader.epoch();
        let proposes = effects.iter().any(|e| matches!(e, LeaderEffect::ProposeIsr(_)));
        if answered || proposes {
            self.report_maximal_isr(leader);
        }
        if answered {
            // A replica that has left the ISR is heard in its next request, though it has no news.
            state.fetch.note();
        }
        for effect in effects {
            match effect {
                LeaderEffect::HighWatermark(offset) => self.committed(state, epoch, offset),
                LeaderEffect::ProposeIsr(proposal) => {
                    let (topic_id, name) = (self.topic_id, self.name.clone());
                    self.site.outbox.propose(IsrChange { topic_id, name, proposal });
                }
            }
        }
        // A deadline that has become later is noticed when the earlier one is reached.
        let deadline = match &state.role {
            Role::Leader(leader) => leader.deadline(),
            Role::Follower(_) => None,
        };
        if let Some(at) = deadline {
            self.wake_at(state, at);
        }
        state.check(&self.name);
    }

    /// Reports the replicas that this leader counts because they may be in sync.
    pub(super) fn report_maximal_isr(&self, leader: &Leader) {
        self.site.world.probe(ReplicaProbe::MayBeInSync {
            partition: self.name.clone(),
            epoch: leader.epoch(),
            isr: leader.maximal_isr().collect(),
        });
    }

    /// The high watermark has moved: producers are answered, readers look again.
    fn committed(&self, state: &mut State<W>, epoch: LeaderEpoch, offset: Offset) {
        state.high_watermark = offset;
        self.site.world.probe(ReplicaProbe::HighWatermark {
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
        state.consume.wake();
        // Replicas do not wait for it, but their next answers bring it.
        state.fetch.note();
        state.watchers.moved(offset);
    }
}
