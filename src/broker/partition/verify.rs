//! A leader's side of verifying transactions: see [`crate::log::TransactionalWrite`].

use super::{Partition, Refusal};
use crate::base::LeaderEpoch;
use crate::io::World;
use crate::log::{Guard, TransactionalWrite};
use crate::wire::ErrorCode;

/// A verification that has begun: whether the transaction's coordinator knows of the partition is
/// being asked. Then it is appended with this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Verifying {
    guard: Guard,
    /// The epoch in which this replica leads.
    epoch: LeaderEpoch,
}

impl<W: World> Partition<W> {
    /// Begins to verify that a batch belongs to its producer's transaction, or joins the verification
    /// of the batch before it. `None` if the log has a batch of the transaction already.
    pub(crate) fn begin_verification(
        &self,
        write: &TransactionalWrite,
    ) -> Result<Option<Verifying>, ErrorCode> {
        let mut state = self.state()?;
        let epoch = state.leader()?.epoch();
        let begun = state.log.begin_verification(write, self.site.world.wall_clock());
        let begun = begun.map_err(|error| Refusal::from(error).code)?;
        self.note_producers(&mut state);
        Ok(begun.map(|guard| Verifying { guard, epoch }))
    }

    /// The guard to append with. A verification ends with the leader epoch in which it began: the
    /// client has to retry, for another leader may have ended the transaction.
    pub(super) fn guard_of(&self, verified: Option<Verifying>) -> Result<Guard, ErrorCode> {
        let Some(Verifying { guard, epoch }) = verified else { return Ok(Guard::NONE) };
        self.state()?.leader_in(epoch)?;
        Ok(guard)
    }
}
