//! What an application is told about its partitions while its group rebalances.

use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;

use super::Consumer;
use crate::base::TopicPartition;
use crate::io::World;

/// A call of a listener, which ends when the future does.
pub type Told<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// Is told which partitions a consumer gets and has to give up. Calls come from inside
/// [`Consumer::poll`], [`Consumer::unsubscribe`] and [`Consumer::close`], and a rebalance waits for
/// them. If the call that they come from is dropped half-way, the next poll repeats them.
///
/// Source: Kafka's `ConsumerRebalanceListener`.
pub trait RebalanceListener<W: World, K = Bytes, V = Bytes>: Send + Sync {
    /// These partitions will have other owners: the last chance to commit what was read of them.
    fn revoked<'a>(
        &'a self,
        consumer: &'a mut Consumer<W, K, V>,
        partitions: &'a [TopicPartition],
    ) -> Told<'a> {
        let _ = (consumer, partitions);
        Box::pin(std::future::ready(()))
    }

    /// These partitions are read from now on, besides those that were kept.
    fn assigned<'a>(
        &'a self,
        consumer: &'a mut Consumer<W, K, V>,
        partitions: &'a [TopicPartition],
    ) -> Told<'a> {
        let _ = (consumer, partitions);
        Box::pin(std::future::ready(()))
    }

    /// These partitions may have other owners already: offsets can't be committed any more. Unless it
    /// is written, the same as `revoked`.
    fn lost<'a>(
        &'a self,
        consumer: &'a mut Consumer<W, K, V>,
        partitions: &'a [TopicPartition],
    ) -> Told<'a> {
        self.revoked(consumer, partitions)
    }
}
