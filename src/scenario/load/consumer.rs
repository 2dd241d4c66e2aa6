//! `consumer`: clients that read all partitions of a topic, each its share.

use super::super::document::{Problems, Section};
use super::super::writer::Writer;
use super::reading::Reader;
use super::{Kind, Promise, Seats, Settings, SharedSignals, Side, boot};
use crate::base::config::{ConsumerConfig, OffsetReset};
use crate::base::{Flaws, TopicPartition};
use crate::sim::{Boot, SimWorld};

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Consumer {
    settings: Settings<ConsumerConfig>,
}

impl Kind for Consumer {
    const NAME: &'static str = "consumer";
    const SIDE: Side = Side::Consumes;

    fn parse(section: &mut Section, problems: &mut Problems) -> Self {
        Self { settings: Settings::parse(section, problems) }
    }

    fn write(&self, out: &mut Writer) {
        self.settings.write(out);
    }

    fn promise(&self) -> Promise {
        Promise::default()
    }

    fn hosts<W: SimWorld>(&self, seats: &Seats<'_>) -> Vec<Boot<W>> {
        let all = seats.topic.partition_names();
        let clients = usize::try_from(seats.clients).unwrap_or(1).max(1);
        let shares = (0..clients).map(|share| all.iter().skip(share).step_by(clients).cloned());
        let hosts = seats.numbers().zip(shares).map(|(number, share)| {
            let config = settle(&self.settings.config, number, seats.servers.clone());
            program(number, share.collect(), (config, seats.flaws), seats.signals.clone())
        });
        hosts.collect()
    }

    #[cfg(test)]
    fn any() -> proptest::strategy::BoxedStrategy<Self> {
        use proptest::prelude::*;
        let bytes = proptest::option::of(1..9999u32);
        let pairs =
            bytes.prop_map(|bytes| bytes.map(|n| ("fetch.min.bytes".into(), n.to_string())));
        pairs.prop_map(|pair| Self { settings: Settings::of(pair.into_iter().collect()) }).boxed()
    }
}

/// The settings of the consumer with this number, in this cluster.
pub(crate) fn settle(config: &ConsumerConfig, number: u32, servers: Vec<String>) -> ConsumerConfig {
    let mut config = config.clone();
    config.bootstrap_servers = servers;
    config.client_id = format!("{}{number}", Side::Consumes.letter());
    if config.auto_offset_reset == OffsetReset::Latest {
        // What is skipped can't be judged.
        config.auto_offset_reset = OffsetReset::Earliest;
    }
    config
}

/// Reads its partitions from the beginning until it is told to stop.
fn program<W: SimWorld>(
    number: u32,
    partitions: Vec<TopicPartition>,
    (config, flaws): (ConsumerConfig, Flaws),
    signals: SharedSignals,
) -> Boot<W> {
    boot(move |world: W| {
        let (partitions, config) = (partitions.clone(), config.clone());
        let signals = signals.clone();
        async move {
            let reader = Reader::start(world, number, partitions, (config, flaws));
            let Some(mut reader) = reader else { return };
            while !signals.lock().stop_consuming {
                reader.poll().await;
            }
        }
    })
}
