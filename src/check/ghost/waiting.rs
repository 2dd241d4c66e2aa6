//! The condition of a partition that makes no progress, in one clause for each broker and client.

use super::*;
use crate::base::BrokerId;
use crate::base::config::Acks;
use crate::check::violation::{Seconds, brokers};
use crate::sim::Outcome;

impl Ghost {
    /// The leader of a partition, its ISR, and what each other replica lacks. Empty where brokers
    /// are not observed.
    pub(crate) fn condition(&self, name: &TopicPartition) -> String {
        let Some(partition) = self.view.partition(name) else { return String::new() };
        let state = partition.state();
        let mut clauses = Vec::new();
        let leader_end = state.leader.and_then(|leader| {
            clauses.push(format!("leader b{leader} of epoch {}", state.leader_epoch));
            Some(self.hosts.replica(self.hosts.id_of(leader)?, name)?.end())
        });
        match leader_end {
            Some(end) => clauses.push(format!("log end {end}")),
            None => clauses.push(format!("no leader in epoch {}", state.leader_epoch)),
        }
        clauses.push(format!("ISR {}", brokers(&state.isr)));
        let head = clauses.join(", ");
        let others = state.replicas.iter().filter_map(|id| self.what_keeps(name, *id, leader_end));
        std::iter::once(head).chain(others).collect::<Vec<_>>().join("; ")
    }

    /// What a replica lacks to be in its place; `None` if nothing.
    fn what_keeps(
        &self,
        name: &TopicPartition,
        broker: BrokerId,
        leader_end: Option<Offset>,
    ) -> Option<String> {
        let state = self.view.partition(name)?.state();
        let (id, node) = self.view.node_of(broker)?;
        let mut clauses = Vec::new();
        if !node.up {
            clauses.push("is down".to_owned());
        } else if node.fenced {
            clauses.push("is fenced".to_owned());
        } else {
            let leads = state.leader == Some(broker);
            match self.view.role(id, name) {
                Some(role) if role.leads != leads || role.epoch != state.leader_epoch => {
                    let role_name = if role.leads { "leads" } else { "follows" };
                    clauses.push(format!("still {role_name} in epoch {}", role.epoch));
                }
                None => clauses.push("has taken up no role".to_owned()),
                Some(_) => {}
            }
        }
        let end = self.hosts.replica(id, name).map_or(Offset::ZERO, Replica::end);
        if leader_end != Some(end) {
            clauses.push(format!("ends at offset {end}"));
        }
        if !state.isr.contains(&broker) {
            clauses.push("is not in sync".to_owned());
        }
        (!clauses.is_empty()).then(|| format!("b{broker} {}", clauses.join(", ")))
    }

    /// The producers that wait for a partition, and its condition.
    pub(crate) fn who_waits_for(&self, name: &TopicPartition, since: Instant) -> String {
        join([self.unanswered(name, since), self.condition(name)])
    }

    /// How far consumers read in a partition, and its condition.
    pub(crate) fn who_reads(&self, name: &TopicPartition) -> String {
        let read = self.clients.last_pass(name).map_or_else(String::new, |pass| {
            let (reader, at) = (pass.consumer, Seconds(pass.at));
            format!(
                "consumer k{reader} read on to offset {} at {at}, the last to do so",
                pass.last()
            )
        });
        join([read, self.condition(name)])
    }

    /// The oldest send to a partition that still has no answer, or the latest answer.
    fn unanswered(&self, name: &TopicPartition, since: Instant) -> String {
        let asked = self
            .clients
            .sends()
            .filter(|send| send.partition == *name && send.acks != Acks::None && send.at >= since);
        let mut oldest: Option<&Send> = None;
        let mut latest: Option<(Instant, &Send, &String)> = None;
        for send in asked {
            match &send.told {
                None => oldest = oldest.or(Some(send)),
                Some((at, Outcome::Fail { error } | Outcome::Unknown { error })) => {
                    if latest.is_none_or(|(known, ..)| known <= *at) {
                        latest = Some((*at, send, error));
                    }
                }
                Some((_, Outcome::Ok { .. })) => {}
            }
        }
        let mut clauses = Vec::new();
        if let Some(send) = oldest {
            let (producer, op, at) = (send.producer, send.op, Seconds(send.at));
            clauses.push(format!("p{producer}'s record {op} waits since {at}"));
        }
        if let Some((at, send, error)) = latest {
            let (producer, at) = (send.producer, Seconds(at));
            clauses.push(format!("p{producer} was told {error} at {at}"));
        }
        clauses.join("; ")
    }
}

fn join(clauses: [String; 2]) -> String {
    let clauses: Vec<String> = clauses.into_iter().filter(|clause| !clause.is_empty()).collect();
    clauses.join("; ")
}
