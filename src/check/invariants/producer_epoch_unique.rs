//! `producer-epoch-unique`: a producer id and epoch belong to one client, a producer id to one
//! transactional id, and the epochs of a transactional id never fall. No client gets the last one, which
//! is left to fence it.
//!
//! Clients report what InitProducerId and EndTxn gave them; coordinators log it. A transactional id is
//! not judged after its coordinator lost entries of it within the contract.
//! Source: KIP-98, KIP-360, KIP-890.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::{Instant, ProducerEpoch, ProducerId};
use crate::check::ghost::{Change, Entry, Identity, Logged};
use crate::check::{Event, Ghost, Invariant, Subject, TransactionWitness, Violation};
use crate::sim::{ClientEvent, HostId, TransactionEvent, What};

/// A process of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Holder {
    producer: u32,
    host: HostId,
    incarnation: u32,
    since: Instant,
}

#[derive(Default)]
pub(super) struct ProducerEpochUnique {
    holders: BTreeMap<(ProducerId, ProducerEpoch), Holder>,
    /// The transactional id of each producer id, as clients know it.
    ids: BTreeMap<ProducerId, Option<Arc<str>>>,
}

impl Invariant for ProducerEpochUnique {
    fn name(&self) -> &'static str {
        "producer-epoch-unique"
    }

    fn observe(&mut self, event: &Event<'_>, ghost: &Ghost) -> Result<(), Violation> {
        for change in event.changes {
            if let Change::Logged { entry, before } = change
                && let Some(witness) = judge(ghost, entry, before.as_ref())
            {
                let subject = Subject::TransactionalId(entry.id.to_string());
                return event.broke(self.name(), subject, witness);
            }
        }
        match &event.seen.what {
            What::Client(ClientEvent::Transaction(
                TransactionEvent::Identified { producer, .. }
                | TransactionEvent::Bumped { producer, .. },
            )) => {
                let Some(identity) = ghost.transactions().identity(*producer) else {
                    return Ok(());
                };
                match self.hold(event, ghost, *producer, identity) {
                    Some(witness) => {
                        event.broke(self.name(), Subject::Producer(*producer), witness)
                    }
                    None => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }
}

impl ProducerEpochUnique {
    /// A client has an id and an epoch.
    fn hold(
        &mut self,
        event: &Event<'_>,
        ghost: &Ghost,
        producer: u32,
        identity: &Identity,
    ) -> Option<TransactionWitness> {
        let (producer_id, epoch) = (identity.id, identity.epoch);
        let (host, since) = (event.seen.host, event.seen.at);
        let incarnation = ghost.clients().incarnation(host);
        let holder = Holder { producer, host, incarnation, since };
        let first = *self.holders.entry((producer_id, epoch)).or_insert(holder);
        let of = |id: &Arc<str>| ghost.transaction_log().has_forgotten(id);
        if identity.transactional_id.as_ref().is_some_and(of) {
            return None;
        }
        if identity.transactional_id.is_some() && epoch == ProducerEpoch(i16::MAX) {
            return Some(TransactionWitness::FencingEpoch { producer_id, epoch });
        }
        let known =
            self.ids.entry(producer_id).or_insert_with(|| identity.transactional_id.clone());
        if *known != identity.transactional_id {
            let other = known.as_ref().map_or("none", |id| id).to_owned();
            return Some(TransactionWitness::IdTwice { producer_id, other });
        }
        let same = Holder { since, ..first } == holder;
        let (first, since) = (first.producer, first.since);
        (!same).then_some(TransactionWitness::EpochTwice { producer_id, epoch, first, since })
    }
}

/// Whether an entry contradicts those before it.
fn judge(ghost: &Ghost, entry: &Entry, before: Option<&Logged>) -> Option<TransactionWitness> {
    let (log, value) = (ghost.transaction_log(), entry.value.as_ref()?);
    let (producer_id, after) = (value.producer, value.epoch);
    let owner = log.owner(producer_id).filter(|owner| **owner != entry.id);
    if let Some(other) = owner.filter(|other| !log.has_forgotten(other)) {
        let other = other.to_string();
        return Some(TransactionWitness::IdTwice { producer_id, other });
    }
    let before = before.filter(|before| before.value.producer == producer_id)?.value.epoch;
    (after < before).then_some(TransactionWitness::EpochFell { producer_id, before, after })
}

#[cfg(test)]
mod tests {
    use crate::check::testing::Story;

    fn judging() -> Story {
        Story::judging("producer-epoch-unique")
    }

    #[test]
    fn silent_when_each_gets_the_next_epoch_and_hears_its_own_again() {
        let mut story = judging();
        story.identified(3, "till", 7, 0);
        story.bumped(3, 7, 1);
        story.bumped(3, 7, 1);
        story.identified(4, "till", 7, 2);
        story.identified(5, "desk", 8, 0);
        story.identified_plainly(6, 9, 0);
        for (id, epoch, status) in [("till", 0, 0), ("till", 0, 1), ("till", 1, 2), ("till", 1, 4)]
        {
            story.logs(id, (7, epoch), status, &[]);
        }
        // Its epochs are used up: another id.
        story.logs("till", (11, 0), 0, &[]);
        story.silent();
    }

    #[test]
    fn fires_when_two_clients_have_one_epoch() {
        let mut story = judging();
        story.identified(3, "till", 7, 1);
        story.later();
        story.identified(4, "till", 7, 1);
        story.fired("p4 got epoch 1 of producer id 7 at 2.000 s, which p3 has had since 1.000 s");
    }

    #[test]
    fn fires_when_the_next_process_gets_the_epoch_of_the_one_before() {
        let mut story = judging();
        story.identified(3, "till", 7, 1);
        story.client_killed();
        story.identified(3, "till", 7, 1);
        assert!(story.sentence().contains("which p3 has had"), "{}", story.sentence());
    }

    #[test]
    fn fires_when_two_transactional_ids_have_one_producer_id() {
        let mut story = judging();
        story.identified(3, "till", 7, 0);
        story.identified(4, "desk", 7, 1);
        story.fired("p4 got producer id 7 at 1.000 s, which belongs to transactional id till");
        let mut story = judging();
        story.logs("till", (7, 0), 0, &[]);
        story.logs("desk", (7, 1), 0, &[]);
        story.fired(
            "transactional id desk got producer id 7 at 1.000 s, which belongs to transactional id till",
        );
    }

    #[test]
    fn fires_when_a_client_gets_the_epoch_that_fences() {
        let mut story = judging();
        story.identified(3, "till", 7, i16::MAX - 1);
        story.identified_plainly(6, 9, i16::MAX);
        story.silent();
        story.bumped(3, 7, i16::MAX);
        story.fired(
            "p3 got epoch 32767 of producer id 7 at 1.000 s: the last one fences producers, and no \
             transaction can be ended with it",
        );
    }

    #[test]
    fn fires_when_a_logged_epoch_falls() {
        let mut story = judging();
        story.logs("till", (7, 3), 0, &[]);
        story.logs("till", (7, 2), 0, &[]);
        story.fired(
            "transactional id till fell from epoch 3 to epoch 2 of producer id 7 at 1.000 s",
        );
    }

    #[test]
    fn excused_only_for_the_transactional_id_whose_entries_were_lost() {
        for (lost, fires) in [("till", false), ("desk", true)] {
            let mut story = judging();
            story.identified(3, "till", 7, 1);
            story.logs(lost, (5, 1), 0, &[]);
            story.coordinator_loses(0);
            story.identified(4, "till", 7, 1);
            assert_eq!(!story.sentence().is_empty(), fires, "{}", story.sentence());
        }
    }
}
