//! A partition of an internal topic as a journal, and the machines on such partitions.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use tokio::sync::mpsc;

use super::journal::{AppendFailure, Extent, Journal, Written};
use super::serve::{Hosted, Refused};
use crate::base::{LeaderEpoch, Offset};
use crate::broker::partition::{
    Commits, Leadership, Partition, Refusal, Verifying, Written as WrittenTo,
};
use crate::decide::Machine;
use crate::io::World;
use crate::log::TransactionEnd;
use crate::wire::ErrorCode;

/// Bytes that one read of the log returns, about. Source: Kafka's `offsets.load.buffer.size`.
const LOAD_BUFFER: usize = 5 * 1024 * 1024;

/// Source: Kafka's `CoordinatorRuntime`, the backoff of a timer whose write failed.
const RETRY: Duration = Duration::from_millis(500);

/// The log of one partition, as long as this replica leads it in one epoch.
pub(crate) struct PartitionJournal<W: World> {
    partition: Arc<Partition<W>>,
    epoch: LeaderEpoch,
    commits: Commits,
}

impl<W: World> PartitionJournal<W> {
    /// The journal of an election. Fails if its epoch is over already.
    pub(crate) fn new(partition: Arc<Partition<W>>, epoch: LeaderEpoch) -> Result<Self, ErrorCode> {
        let commits = partition.on_committed(epoch)?;
        Ok(Self { partition, epoch, commits })
    }

    pub(super) fn partition(&self) -> &Partition<W> {
        &self.partition
    }

    /// Appends a batch that is part of a transaction.
    pub(super) fn append_in_transaction(
        &self,
        batch: BytesMut,
        verified: Option<Verifying>,
    ) -> Result<Written, AppendFailure<ErrorCode>> {
        self.written(self.partition.append_in_transaction(self.epoch, batch, verified))
    }

    /// Appends the marker that ends a transaction.
    pub(super) fn append_marker(
        &self,
        end: &TransactionEnd,
    ) -> Result<Written, AppendFailure<ErrorCode>> {
        self.written(self.partition.append_decided_marker(self.epoch, end))
    }

    fn written(
        &self,
        appended: Result<WrittenTo, Refusal>,
    ) -> Result<Written, AppendFailure<ErrorCode>> {
        match appended {
            Ok(written) => Ok(Written { base: written.base, end: written.end }),
            Err(refusal) => Err(not_appended(refusal.code, self.extent().is_ok())),
        }
    }
}

impl<W: World> Journal for PartitionJournal<W> {
    type Error = ErrorCode;

    fn extent(&self) -> Result<Extent, ErrorCode> {
        let extent = self.partition.extent(self.epoch)?;
        Ok(Extent {
            start: extent.log_start,
            committed: extent.high_watermark,
            end: extent.log_end,
        })
    }

    fn read(&self, from: Offset) -> Result<Bytes, ErrorCode> {
        self.partition.read_decided(self.epoch, from, LOAD_BUFFER)
    }

    fn append(&self, batch: BytesMut) -> Result<Written, AppendFailure<ErrorCode>> {
        self.written(self.partition.append_decided(self.epoch, batch))
    }

    async fn committed(&self, beyond: Offset) -> Result<Offset, ErrorCode> {
        let deposed = |_| ErrorCode::NotLeaderOrFollower;
        self.commits.beyond(beyond).await.map_err(deposed)
    }

    fn retry_after(&self) -> Option<Duration> {
        Some(RETRY)
    }
}

/// What a refused append means to the machine; `leads`: whether this replica still leads in its epoch.
fn not_appended(code: ErrorCode, leads: bool) -> AppendFailure<ErrorCode> {
    match code {
        ErrorCode::MessageTooLarge | ErrorCode::RecordListTooLarge => AppendFailure::TooLarge(code),
        ErrorCode::NotLeaderOrFollower => AppendFailure::Broken(code),
        // A full disk leaves the log as it was, and no other replica is elected: there may be room
        // again later. After any other failure of its storage, a replica leads no longer.
        ErrorCode::KafkaStorageError if !leads => AppendFailure::Broken(code),
        _ => AppendFailure::Refused(code),
    }
}

impl Refused {
    /// The error that a coordinator answers with. Source: Kafka's `CoordinatorOperationExceptionHelper`.
    pub(crate) fn code(&self) -> ErrorCode {
        match self {
            Self::Loading => ErrorCode::CoordinatorLoadInProgress,
            Self::NotAppended(_) => ErrorCode::CoordinatorNotAvailable,
            Self::TooLarge(_) => ErrorCode::UnknownServerError,
            Self::Failed(_) | Self::Unknown(_) => ErrorCode::NotCoordinator,
        }
    }
}

/// A machine on one partition.
pub(crate) type OnPartition<W, M> = Hosted<W, M, PartitionJournal<W>>;

/// Machines by partition, each with the leader epoch in which it is hosted.
type Led<W, M> = BTreeMap<i32, (LeaderEpoch, Arc<OnPartition<W, M>>)>;

/// The machines of this broker on the partitions of one internal topic that it leads.
pub(crate) struct Coordinators<W: World, M: Machine> {
    world: W,
    /// An empty machine for a partition, elected in an epoch.
    create: Box<dyn Fn(i32, LeaderEpoch) -> M + Send + Sync>,
    loaded: Box<Loaded<W, M>>,
    hosted: Mutex<Led<W, M>>,
}

/// A partition with its leader epoch and its machine.
type LedOne<W, M> = (i32, LeaderEpoch, Arc<OnPartition<W, M>>);

/// Called as soon as the machine of a partition has loaded its log, and decides.
type Loaded<W, M> = dyn Fn(i32, &Arc<OnPartition<W, M>>) + Send + Sync;

impl<W: World, M: Machine> Coordinators<W, M> {
    pub(crate) fn new(
        world: W,
        create: impl Fn(i32, LeaderEpoch) -> M + Send + Sync + 'static,
        loaded: impl Fn(i32, &Arc<OnPartition<W, M>>) + Send + Sync + 'static,
    ) -> Arc<Self> {
        let (create, loaded) = (Box::new(create), Box::new(loaded));
        Arc::new(Self { world, create, loaded, hosted: Mutex::default() })
    }

    /// The machines of all partitions that this broker leads, each with its leader epoch, loaded or
    /// not.
    pub(crate) fn all(&self) -> Vec<LedOne<W, M>> {
        let hosted = self.hosted.lock();
        hosted.iter().map(|(of, (epoch, host))| (*of, *epoch, host.clone())).collect()
    }

    /// The machine of a partition that this broker leads, loaded or not.
    pub(crate) fn find(&self, partition: i32) -> Result<Arc<OnPartition<W, M>>, ErrorCode> {
        let hosted = self.hosted.lock();
        hosted.get(&partition).map(|(_, host)| host.clone()).ok_or(ErrorCode::NotCoordinator)
    }

    /// Follows elections for as long as the node lives. A log is loaded by a task of its own.
    pub(crate) async fn run(
        self: Arc<Self>,
        mut elections: mpsc::UnboundedReceiver<Leadership<W>>,
    ) {
        while let Some(event) = elections.recv().await {
            match event {
                Leadership::Elected { partition, epoch } => self.elected(partition, epoch),
                Leadership::Resigned { partition, epoch } => {
                    self.resigned(partition.name.partition, epoch);
                }
            }
        }
    }

    fn elected(self: &Arc<Self>, partition: Arc<Partition<W>>, epoch: LeaderEpoch) {
        let name = partition.name.clone();
        // Its resignation follows in the queue.
        let Ok(journal) = PartitionJournal::new(partition, epoch) else { return };
        let host = Hosted::new(self.world.clone(), journal);
        self.hosted.lock().insert(name.partition, (epoch, host.clone()));
        let machine = (self.create)(name.partition, epoch);
        let (world, coordinators) = (self.world.clone(), self.clone());
        self.world.spawn("coordinator", async move {
            match host.load(machine).await {
                Ok(loading) => {
                    host.activate(loading, world.now());
                    (coordinators.loaded)(name.partition, &host);
                    drop(host.serve().await);
                }
                Err(error) => {
                    tracing::error!(partition = %name, %error, "can't load a coordinator");
                    host.resign(&error.to_string());
                }
            }
        });
    }

    fn resigned(&self, partition: i32, epoch: LeaderEpoch) {
        let mut hosted = self.hosted.lock();
        if hosted.get(&partition).is_some_and(|(of, _)| *of == epoch)
            && let Some((_, host)) = hosted.remove(&partition)
        {
            host.resign("this replica leads no longer");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_disk_refuses_an_append_and_a_failed_one_ends_the_machine() {
        let failed = ErrorCode::KafkaStorageError;
        assert!(matches!(not_appended(failed, true), AppendFailure::Refused(_)));
        assert!(matches!(not_appended(failed, false), AppendFailure::Broken(_)));
        let deposed = not_appended(ErrorCode::NotLeaderOrFollower, false);
        assert!(matches!(deposed, AppendFailure::Broken(_)));
    }
}
