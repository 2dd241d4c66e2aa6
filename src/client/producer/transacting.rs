//! Transactions as an application has them.

use std::collections::BTreeMap;

use tokio::sync::oneshot;

use super::Producer;
use super::metrics::Call;
use super::transactions::{Operation, Told, Transactions};
use crate::base::{Instant, ProducerEpoch, ProducerId, TopicPartition};
use crate::client::{CommittedOffset, GroupMetadata, TransactionError};
use crate::io::{World, timeout};

/// A call that waits for its outcome.
type Waiting = Result<oneshot::Receiver<Told>, TransactionError>;

/// For producers with a `transactional.id`. Each error has a [class](crate::client::ErrorClass): what to
/// do next.
///
/// A call that waits gives up after `max.block.ms`, and continues in the background. The same call has
/// to be made again for its outcome; so after its future was dropped. Any other is refused meanwhile.
impl<W: World> Producer<W> {
    /// Gets the producer id of the `transactional.id`. Fences every earlier producer that has it, and
    /// waits until what that left open is completed or aborted. To be called once, before any
    /// transaction.
    pub async fn init_transactions(&self) -> Result<(), TransactionError> {
        let begun = self.now();
        let told = self.operate(Operation::Init, Transactions::init).await;
        self.measure(&told, Call::Init, begun);
        told
    }

    /// Begins a transaction. Nothing is sent before its first record or offsets.
    pub fn begin_transaction(&self) -> Result<(), TransactionError> {
        let begun = self.now();
        let told = self.call("begin_transaction", Transactions::begin);
        self.measure(&told, Call::Begin, begun);
        told
    }

    /// Makes consumed offsets, each the next one to be read, part of the transaction: they are committed
    /// with it, if the consumer is still a member of its group in that generation (KIP-447). Take
    /// `group` after the poll that returned the records. The consumer must not commit them itself.
    pub async fn send_offsets_to_transaction(
        &self,
        offsets: impl IntoIterator<Item = (TopicPartition, CommittedOffset)>,
        group: GroupMetadata,
    ) -> Result<(), TransactionError> {
        const CALL: &str = "send_offsets_to_transaction";
        let begun = self.now();
        let offsets: BTreeMap<_, _> = offsets.into_iter().collect();
        let waiting = self.call(CALL, |transactions| transactions.send_offsets(offsets, group));
        let told = self.wait(CALL, waiting).await;
        self.measure(&told, Call::SendOffsets, begun);
        told
    }

    /// Waits until every record of the transaction is stored, and commits it. If a record failed, the
    /// error is abortable.
    pub async fn commit_transaction(&self) -> Result<(), TransactionError> {
        let begun = self.now();
        let told = self.operate(Operation::Commit, Transactions::commit).await;
        self.measure(&told, Call::Commit, begun);
        told
    }

    /// Gives up the records of the transaction that were not sent, waits for the others, and aborts it.
    pub async fn abort_transaction(&self) -> Result<(), TransactionError> {
        let begun = self.now();
        let told = self.operate(Operation::Abort, Transactions::abort).await;
        self.measure(&told, Call::Abort, begun);
        told
    }

    /// Producer id and epoch of the current transaction, or of the next one. `None` before it has an id,
    /// and when it is closed.
    pub(crate) fn identity(&self) -> Option<(ProducerId, ProducerEpoch)> {
        self.shared().core.lock().transactions("identity").ok()?.producer()
    }

    fn now(&self) -> Instant {
        self.shared().world.now()
    }

    /// Measures a call that succeeded, as Kafka does.
    fn measure(&self, told: &Told, call: Call, begun: Instant) {
        if told.is_ok() {
            self.shared().core.lock().transacted(call, self.now().since(begun));
        }
    }

    fn call<T>(
        &self,
        name: &'static str,
        call: impl FnOnce(&mut Transactions) -> Result<T, TransactionError>,
    ) -> Result<T, TransactionError> {
        let told = self.shared().core.lock().transactions(name).and_then(call);
        self.shared().wake.notify_one();
        told
    }

    async fn operate(
        &self,
        operation: Operation,
        call: impl FnOnce(&mut Transactions) -> Waiting,
    ) -> Told {
        let name = operation.call();
        let waiting = self.call(name, call);
        let told = self.wait(name, waiting).await;
        if !matches!(&told, Err(error) if error.is_retriable()) {
            // The outcome is known to the caller, and need not be kept.
            let _ = self.call(name, |transactions| {
                transactions.acknowledge(operation);
                Ok(())
            });
        }
        told
    }

    async fn wait(&self, name: &'static str, waiting: Waiting) -> Told {
        let shared = self.shared();
        let patience = shared.core.lock().max_block();
        match timeout(&shared.world, shared.world.now() + patience, waiting?).await {
            Some(Ok(told)) => told,
            Some(Err(_)) => Err(TransactionError::closed()),
            None => Err(TransactionError::timed_out(name)),
        }
    }
}
