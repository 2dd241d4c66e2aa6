//! What becomes of a replica whose log is damaged: some batch is not what was once synced.
//!
//! It is never served, and never cut. Where another replica is in sync, this one steps aside: it
//! goes offline alone, and its broker reports it to be in no directory any more, `DirectoryId.LOST`,
//! for which Kafka's controller lets others lead (KIP-858). Once another leads and no election counts
//! on this copy, it is given up and fetched again (`Replicas::replace`). Where no other replica is in
//! sync, it keeps leading: intact batches can be read, and reads of the others are answered by
//! CORRUPT_MESSAGE, as Kafka's broker does where it meets what it can't parse.
//!
//! Kafka has no such way of its own: its broker does not look at what it serves, each consumer fails
//! at the batch (`check.crcs`), and leadership stays where it is until an operator moves it.

use std::time::Duration;

use super::{Partition, Role, State};
use crate::base::{BrokerId, DirectoryId, LeaderEpoch, StorageProbe, TopicPartition};
use crate::controller::PartitionState;
use crate::io::World;
use crate::log::LogError;
use crate::wire::ErrorCode;

/// How often a damaged replica looks for another one to lead.
const LOOK: Duration = Duration::from_millis(100);

/// A log with a batch that is not what was written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Damage {
    /// The leader epoch in which this replica went offline; what it fetched until then may still be
    /// on its way to that epoch's leader.
    aside_since: Option<LeaderEpoch>,
}

/// Says that a log is damaged, and where.
pub(crate) fn tell<W: World>(world: &W, partition: &TopicPartition, error: &LogError) {
    tracing::error!(%partition, %error, "a log is damaged");
    if let LogError::Corrupt { offset, .. } = error {
        world.probe(StorageProbe::Damaged { partition: partition.clone(), offset: *offset });
    }
}

/// Whether no election counts on a broker's copy: another replica leads, and this one is neither in sync
/// nor eligible. The leader has all that was ever committed.
pub(crate) fn is_expendable(told: &PartitionState, me: BrokerId) -> bool {
    let counts = told.isr.contains(&me) || told.elr.contains(&me);
    told.leader.is_some_and(|leader| leader != me) && !counts
}

impl<W: World> State<W> {
    /// This replica serves no requests: its storage has failed, or it has stepped aside.
    pub(super) fn is_offline(&self) -> bool {
        self.failed || self.damage.is_some_and(|damage| damage.aside_since.is_some())
    }
}

impl<W: World> Partition<W> {
    /// The log is damaged. Logs it once, and steps aside if another replica can lead.
    pub(super) fn damaged(&self, state: &mut State<W>, error: &LogError) {
        if !matches!(error, LogError::Corrupt { .. }) {
            return;
        }
        if state.damage.is_none() {
            tell(&self.site.world, &self.name, error);
            state.damage = Some(Damage { aside_since: None });
        }
        self.step_aside(state);
    }

    /// Goes offline, if the log is damaged and another replica can lead.
    pub(super) fn step_aside(&self, state: &mut State<W>) {
        let Some(damage) = &mut state.damage else { return };
        let others = match &state.role {
            Role::Leader(leader) => leader.has_successor(),
            Role::Follower(follower) => follower.leader().is_some(),
        };
        if damage.aside_since.is_some() {
            return;
        }
        if !others {
            let at = self.site.world.now() + LOOK;
            return self.wake_at(state, at);
        }
        tracing::error!(partition = %self.name, "a damaged replica steps aside");
        damage.aside_since = Some(state.leader_epoch);
        self.stop_serving(state);
        self.site.outbox.assign(self.topic_id, self.name.partition, DirectoryId::LOST);
    }

    /// What a reader is told that asked for what is damaged.
    pub(super) fn damage_told(state: &State<W>) -> ErrorCode {
        match state.is_offline() {
            // It will find who leads instead.
            true => ErrorCode::KafkaStorageError,
            false => ErrorCode::CorruptMessage,
        }
    }

    /// Whether this replica is damaged, and can be given up now: in a leader epoch that began since
    /// it last fetched.
    pub(crate) fn may_be_replaced(&self, told: &PartitionState) -> bool {
        let Ok(state) = self.state() else { return false };
        let Some(damage) = state.damage else { return false };
        let fetched_in = damage.aside_since.unwrap_or(state.leader_epoch);
        told.leader_epoch > fetched_in && is_expendable(told, self.site.me)
    }

    /// Comes back where no other replica can lead. Says whether this replica is
    /// where its directory is.
    pub(crate) fn comes_back(&self, told: &PartitionState) -> bool {
        let Ok(mut state) = self.state() else { return true };
        let Some(damage) = &mut state.damage else { return true };
        if damage.aside_since.is_some() && told.leader.is_none() && told.isr == [self.site.me] {
            damage.aside_since = None;
        }
        damage.aside_since.is_none()
    }

    /// A background task met damage in the log.
    pub(crate) fn found_damaged(&self, error: &LogError) {
        if let Ok(mut state) = self.state() {
            self.damaged(&mut state, error);
        }
    }
}
