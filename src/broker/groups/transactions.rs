//! The groups' side of transactions: offsets that are committed with a transaction, and its end.

use std::sync::Arc;
use std::time::Duration;

use super::Groups;
use crate::base::{Flaw, Instant, Timestamp};
use crate::broker::hosted::InTransaction;
use crate::broker::partition::{Partition, Verifying};
use crate::group::{Decision, GroupCoordinator};
use crate::io::{World, timeout};
use crate::log::{TransactionEnd, TransactionalWrite};
use crate::wire::ErrorCode;

/// With [`Flaw::MarkersBeforeCache`]: how long after its marker the end of a transaction is heard of.
const LATE: Duration = Duration::from_secs(2);

impl<W: World> Groups<W> {
    /// Begins to verify that the partition of a group belongs to a transaction. `None` if it has offsets
    /// of the transaction already.
    pub(crate) fn begin_verification(
        &self,
        group: &str,
        write: &TransactionalWrite,
    ) -> Result<Option<Verifying>, ErrorCode> {
        let begun = self.host(group)?.begin_verification(write);
        begun.map_err(|error| match error {
            ErrorCode::NotLeaderOrFollower | ErrorCode::KafkaStorageError => {
                ErrorCode::NotCoordinator
            }
            other => other,
        })
    }

    /// Has the coordinator of a group decide as part of a transaction. Returns once that is committed.
    pub(crate) async fn decide_in_transaction<T>(
        &self,
        group: &str,
        of: InTransaction,
        handler: impl FnOnce(&GroupCoordinator, Instant, Timestamp) -> Decision<T>,
    ) -> Result<T, ErrorCode> {
        let host = self.host(group)?;
        let (wall, deadline) = (self.world.wall_clock(), self.world.now() + self.patience);
        let handler = |machine: &GroupCoordinator, now, _| handler(machine, now, wall);
        let decided = host.decide_in_transaction(of, handler);
        match timeout(&self.world, deadline, decided).await {
            Some(decided) => decided,
            None => Err(ErrorCode::CoordinatorNotAvailable),
        }
    }

    /// Ends a transaction in one partition of `__consumer_offsets`. Returns once its offsets are
    /// committed, or given up: a fetch that follows sees that (KAFKA-17507).
    pub(crate) async fn end_transaction(
        &self,
        partition: i32,
        end: &TransactionEnd,
        deadline: Instant,
    ) -> Result<(), ErrorCode> {
        let host = self.coordinators.find(partition).map_err(as_partition)?;
        if self.flaws().has(Flaw::MarkersBeforeCache) {
            let mut produced = host.append_marker(end).await.map_err(|refusal| refusal.code)?;
            let waited = Partition::<W>::acknowledged(&mut produced);
            let code = timeout(&self.world, deadline, waited).await;
            let (world, end, at) = (self.world.clone(), *end, self.world.now() + LATE);
            self.world.spawn("late end of a transaction", async move {
                world.sleep_until(at).await;
                Arc::clone(&host).note_end(&end);
            });
            return match code.unwrap_or(ErrorCode::RequestTimedOut) {
                ErrorCode::None => Ok(()),
                error => Err(error),
            };
        }
        match timeout(&self.world, deadline, host.end_transaction(end)).await {
            Some(ended) => ended.map_err(as_partition),
            None => Err(ErrorCode::RequestTimedOut),
        }
    }
}

/// A transaction coordinator expects the errors of a partition, and repeats its marker.
fn as_partition(error: ErrorCode) -> ErrorCode {
    match error {
        ErrorCode::CoordinatorNotAvailable
        | ErrorCode::CoordinatorLoadInProgress
        | ErrorCode::NotCoordinator => ErrorCode::NotLeaderOrFollower,
        other => other,
    }
}
