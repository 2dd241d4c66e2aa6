//! BrokerHeartbeat: liveness, unfencing and controlled shutdown of brokers (KIP-631).
//!
//! Source: Kafka's `BrokerHeartbeatManager` and `ReplicationControlManager`.

use super::election::Cause;
use super::image::Broker;
use super::machine::{Controller, Decision, Effect};
use super::plan::Plan;
use super::record::{BrokerChange, Record};
use crate::base::{BrokerEpoch, BrokerId, DirectoryId, Instant, Offset, TopicId};
use crate::wire::messages::{BrokerHeartbeatRequest, BrokerHeartbeatResponse};

/// The state of a broker, as Kafka's `BrokerControlState`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Fenced,
    Active,
    ShuttingDown,
    /// It may stop now.
    Gone,
}

impl Controller {
    /// Answers a heartbeat. Its effect notes that the broker was heard of.
    pub fn heartbeat(&self, request: &BrokerHeartbeatRequest) -> Decision<BrokerHeartbeatResponse> {
        let mut response = BrokerHeartbeatResponse::default();
        response.is_fenced = true;
        let (id, epoch) = (BrokerId(request.broker_id), BrokerEpoch(request.broker_epoch));
        if let Err(error) = self.check_broker_epoch(id, epoch) {
            response.error_code = error.code();
            return Decision::only(response);
        }
        let Some(broker) = self.image().broker(id) else { return Decision::only(response) };
        let caught_up = request.current_metadata_offset >= broker.registered_at.0;
        let (before, after) =
            (standing(broker), self.next_standing(id, broker, request, caught_up));
        let mut plan = self.plan();
        if before != after {
            self.move_to(&mut plan, id, epoch, after);
        }
        let offline: Vec<_> = request.offline_log_dirs.iter().map(|id| (*id).into()).collect();
        self.lose_directories(&mut plan, id, &offline);
        response.is_caught_up = caught_up;
        response.is_fenced = matches!(after, Standing::Fenced | Standing::Gone);
        response.should_shut_down = after == Standing::Gone;
        let metadata = Offset(request.current_metadata_offset);
        let heard = Effect::Heard { broker: id, epoch, metadata };
        let decision = Decision::new(plan.into_records(), response).with(heard);
        match after {
            // Its next start need not wait until the session would have ended.
            Standing::Gone => decision.with(Effect::SessionEnded(id)),
            _ => decision,
        }
    }

    /// Fences brokers that were silent for too long; their partitions get other leaders.
    pub(super) fn fence_overdue(&self, now: Instant) -> Decision<()> {
        let mut plan = self.plan();
        let overdue = self.sessions().overdue(now);
        for id in &overdue {
            if let Some(broker) = self.image().broker(*id).filter(|broker| !broker.fenced)
                && !self.has_session(now, *id)
            {
                self.fence(&mut plan, *id, broker.epoch);
            }
        }
        let mut decision = Decision::new(plan.into_records(), ());
        decision.effects = overdue.into_iter().map(Effect::SessionExpired).collect();
        decision
    }

    /// Whether another start of this broker is alive. A fenced one is if it was heard of lately:
    /// it may be about to be unfenced, and a registration that was long under way must not depose it.
    pub(super) fn lives(&self, now: Instant, id: BrokerId) -> bool {
        let Some(broker) = self.image().broker(id) else { return false };
        match broker.fenced {
            true => self.sessions().is_heard_of(now, id, broker.epoch),
            false => self.sessions().lasts(now, id, broker.epoch),
        }
    }

    /// Whether a broker that takes part was heard of lately. A fenced one has no session.
    pub(super) fn has_session(&self, now: Instant, id: BrokerId) -> bool {
        let broker = self.image().broker(id).filter(|broker| !broker.fenced);
        broker.is_some_and(|broker| self.sessions().lasts(now, id, broker.epoch))
    }

    fn next_standing(
        &self,
        id: BrokerId,
        broker: &Broker,
        request: &BrokerHeartbeatRequest,
        caught_up: bool,
    ) -> Standing {
        match standing(broker) {
            Standing::Fenced if request.want_shut_down => Standing::Gone,
            // A broker is unfenced once it has read its own registration, and so everything that
            // was decided about it before.
            Standing::Fenced if !request.want_fence && caught_up => Standing::Active,
            Standing::Fenced => Standing::Fenced,
            Standing::Active if request.want_fence && request.want_shut_down => Standing::Gone,
            Standing::Active if request.want_fence => Standing::Fenced,
            Standing::Active if !request.want_shut_down => Standing::Active,
            Standing::Active if self.leads_something(id) => Standing::ShuttingDown,
            Standing::Active => Standing::Gone,
            Standing::ShuttingDown => match self.may_leave(id, broker) {
                true => Standing::Gone,
                false => Standing::ShuttingDown,
            },
            Standing::Gone => Standing::Gone,
        }
    }

    fn leads_something(&self, id: BrokerId) -> bool {
        self.image().led_by(Some(id)).next().is_some()
    }

    /// A broker that shuts down may stop once it leads nothing and all active brokers know that.
    fn may_leave(&self, id: BrokerId, broker: &Broker) -> bool {
        let Some(since) = broker.shutting_down else { return false };
        let mut active = self.image().brokers().filter(|(_, other)| other.is_active());
        !self.leads_something(id)
            && active.all(|(other, broker)| {
                self.sessions().metadata(other, broker.epoch).is_some_and(|read| read >= since)
            })
    }

    fn move_to(&self, plan: &mut Plan, id: BrokerId, epoch: BrokerEpoch, standing: Standing) {
        match standing {
            Standing::Fenced | Standing::Gone => self.fence(plan, id, epoch),
            Standing::Active => {
                let change = BrokerChange { fenced: Some(false), ..BrokerChange::of(id, epoch) };
                plan.push(Record::BrokerChange(change));
                plan.reelect(self.settings(), Cause::default(), self.image().led_by(None));
            }
            Standing::ShuttingDown => {
                let change =
                    BrokerChange { in_controlled_shutdown: true, ..BrokerChange::of(id, epoch) };
                plan.push(Record::BrokerChange(change));
                let cause = Cause { leaving: Some(id), lost: None };
                plan.reelect(self.settings(), cause, self.image().in_sync_on(id));
            }
        }
    }

    /// Removes a broker from every ISR, then fences it.
    fn fence(&self, plan: &mut Plan, id: BrokerId, epoch: BrokerEpoch) {
        if plan.image().broker(id).is_none_or(|broker| broker.fenced) {
            return;
        }
        let cause = Cause { leaving: Some(id), lost: None };
        let in_sync: Vec<_> = plan.image().in_sync_on(id).collect();
        plan.reelect(self.settings(), cause, in_sync);
        let change = BrokerChange { fenced: Some(true), ..BrokerChange::of(id, epoch) };
        plan.push(Record::BrokerChange(change));
    }

    /// KIP-858: a replica in a failed log directory can neither lead nor be in sync, although its
    /// broker still sends heartbeats.
    fn lose_directories(&self, plan: &mut Plan, id: BrokerId, offline: &[DirectoryId]) {
        let Some(broker) = plan.image().broker(id) else { return };
        let (lost, left): (Vec<_>, Vec<_>) =
            broker.log_dirs.iter().partition(|dir| offline.contains(dir));
        // A broker stops by itself when its last directory fails.
        if lost.is_empty() || left.is_empty() {
            return;
        }
        let epoch = broker.epoch;
        let cause = Cause { leaving: Some(id), lost: None };
        let image = plan.image();
        let is_lost = |(topic, index): &(TopicId, i32)| {
            let partition = image.partition(*topic, *index);
            partition.is_some_and(|partition| lost.contains(&partition.directory_of(id)))
        };
        let concerned: Vec<_> = image.in_sync_on(id).filter(is_lost).collect();
        plan.reelect(self.settings(), cause, concerned);
        let change = BrokerChange { log_dirs: Some(left), ..BrokerChange::of(id, epoch) };
        plan.push(Record::BrokerChange(change));
    }
}

fn standing(broker: &Broker) -> Standing {
    if broker.fenced {
        Standing::Fenced
    } else if broker.shutting_down.is_some() {
        Standing::ShuttingDown
    } else {
        Standing::Active
    }
}
