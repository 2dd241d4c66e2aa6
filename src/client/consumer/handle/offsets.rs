//! Offsets that are looked up.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Consumer;
use crate::base::{Offset, Timestamp, TopicPartition};
use crate::client::ConsumeError;
use crate::client::consumer::OffsetAndTimestamp;
use crate::client::consumer::core::Input;
use crate::client::consumer::lookup::Places;
use crate::client::consumer::position::Whence;
use crate::io::World;

impl<W: World, K, V> Consumer<W, K, V> {
    /// The offset after the last record that can be read, of each.
    pub async fn end_offsets(
        &mut self,
        partitions: &[TopicPartition],
        timeout: impl Into<Option<Duration>>,
    ) -> Result<BTreeMap<TopicPartition, Offset>, ConsumeError> {
        self.bounds(Whence::Latest, partitions, timeout.into()).await
    }

    /// The offset of the oldest record, of each.
    pub async fn beginning_offsets(
        &mut self,
        partitions: &[TopicPartition],
        timeout: impl Into<Option<Duration>>,
    ) -> Result<BTreeMap<TopicPartition, Offset>, ConsumeError> {
        self.bounds(Whence::Earliest, partitions, timeout.into()).await
    }

    /// The first record of each partition that has this timestamp or a later one; `None`: there is
    /// none. A negative timestamp is an error.
    pub async fn offsets_for_times(
        &mut self,
        timestamps: &BTreeMap<TopicPartition, Timestamp>,
        timeout: impl Into<Option<Duration>>,
    ) -> Result<BTreeMap<TopicPartition, Option<OffsetAndTimestamp>>, ConsumeError> {
        // ListOffsets gives negative timestamps meanings of their own.
        if let Some((partition, time)) = timestamps.iter().find(|(_, time)| time.0 < 0) {
            let (partition, timestamp) = (partition.clone(), *time);
            return Err(ConsumeError::NegativeTimestamp { partition, timestamp });
        }
        let places = timestamps.iter().map(|(name, time)| (name.clone(), Whence::Time(*time)));
        self.look_up(places, timeout.into()).await
    }

    async fn bounds(
        &mut self,
        whence: Whence,
        partitions: &[TopicPartition],
        timeout: Option<Duration>,
    ) -> Result<BTreeMap<TopicPartition, Offset>, ConsumeError> {
        let places = partitions.iter().map(|name| (name.clone(), whence));
        let found = self.look_up(places, timeout).await?.into_iter();
        Ok(found.filter_map(|(name, place)| Some((name, place?.offset))).collect())
    }

    async fn look_up(
        &mut self,
        places: impl IntoIterator<Item = (TopicPartition, Whence)>,
        timeout: Option<Duration>,
    ) -> Result<Places, ConsumeError> {
        let deadline = self.deadline(timeout);
        let id = self.driver.with(|core| core.begin_lookup(places));
        self.driver.step(Input::Tick);
        while !self.driver.with(|core| core.is_looked_up(id)) && self.world.now() < deadline {
            self.driver.progress(deadline).await;
        }
        self.driver.with(|core| core.end_lookup(id))
    }
}
