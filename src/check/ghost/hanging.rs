//! Open transactions that no coordinator will end, within the contract, and clients that wait for the end
//! of one.
//!
//! A coordinator that calls a transaction complete, or has lost its entry, sends no marker again. If a
//! partition lost the marker since, the transaction stays open, as in Kafka. In `__consumer_offsets`, the
//! offsets that it holds stay pending: OffsetFetch with `require_stable`, which consumers use, is answered
//! UNSTABLE_OFFSET_COMMIT for ever (KIP-447).

use super::stability::Open;
use super::transaction_log::State;
use super::{Ghost, Transaction};
use crate::base::TopicPartition;
use crate::sim::HostId;

impl Ghost {
    /// Whether no coordinator will end an open transaction of a partition, within the contract.
    pub(crate) fn is_abandoned(&self, name: &TopicPartition, open: &Open) -> bool {
        let log = &self.transaction_log;
        let owner = log.owner(open.producer);
        if owner.is_some_and(|id| log.has_forgotten_since(id, open.written)) {
            return true;
        }
        // The coordinator knows a participant before it writes: one that is not named is of an earlier
        // transaction, which is complete.
        let is_known = owner.and_then(|id| log.logged(id)).is_some_and(|logged| {
            let is_open = matches!(logged.value.state, State::Ongoing | State::Prepared { .. });
            is_open && logged.value.partitions.contains(name)
        });
        let losses = self.partitions.get(name).map_or(&[][..], |partition| &partition.losses);
        !is_known && losses.iter().any(|loss| loss.at >= open.written)
    }

    /// Whether committed offsets of a group wait for the end of such a transaction.
    pub(crate) fn waits_in_vain(&self, group: &str) -> bool {
        let name = self.groups.coordinator(&self.view, group);
        let Some(partition) = self.partitions.get(&name) else { return false };
        let mut abandoned =
            partition.stability.open().filter(|open| self.is_abandoned(&name, open));
        abandoned.any(|open| {
            let owner = self.transaction_log.owner(open.producer);
            let sent = |one: &Transaction| {
                one.transactional_id() == owner
                    && one.offsets.iter().any(|sent| *sent.group == *group)
            };
            owner.is_some() && self.transactions.all().any(sent)
        })
    }

    /// Whether a process may never learn the outcome of a transaction: a coordinator lost entries of its
    /// transactional id within the contract. An earlier decision may be the last that is left, and
    /// partitions refuse its markers if they have had later ones: EndTxn and InitProducerId are answered
    /// CONCURRENT_TRANSACTIONS for ever, as in Kafka.
    pub(super) fn may_learn_no_outcome(&self, host: HostId) -> bool {
        let own = self.transactions.all().filter(|one| one.host == host);
        let mut ids = own.filter_map(Transaction::transactional_id);
        ids.any(|id| self.transaction_log.has_forgotten(id))
    }
}
