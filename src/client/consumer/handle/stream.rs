//! Records one by one, beside [`Consumer::poll`].

use bytes::Bytes;

use super::Consumer;
use crate::base::Instant;
use crate::client::ConsumeError;
use crate::client::ConsumerRecord;
use crate::io::World;

/// The records of a consumer, one by one, without an end.
///
/// The position moves past a record when it is returned, so a commit covers exactly what was returned
/// before. Each call counts as a poll: the next one must follow within `max.poll.interval.ms`.
pub struct RecordStream<'a, W: World, K = Bytes, V = Bytes> {
    consumer: &'a mut Consumer<W, K, V>,
}

impl<'a, W: World, K, V> RecordStream<'a, W, K, V> {
    pub(super) fn new(consumer: &'a mut Consumer<W, K, V>) -> Self {
        Self { consumer }
    }

    /// Waits for the next record. An error does not end the stream: the next call continues. Dropped
    /// half-way, it loses nothing.
    pub async fn next(&mut self) -> Result<ConsumerRecord<K, V>, ConsumeError> {
        loop {
            let records = self.consumer.records(Some(1), Instant::NEVER).await?;
            // An interceptor may have removed it.
            if let Some(record) = records.into_iter().next() {
                return Ok(record);
            }
        }
    }

    /// The consumer, to commit, seek or pause between two records.
    pub fn consumer(&mut self) -> &mut Consumer<W, K, V> {
        self.consumer
    }
}
