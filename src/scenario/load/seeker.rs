//! `seeker`: consumers that set their position: to the beginning, the end, any offset between, or a time.
//!
//! What they are told and where they seek is recorded: from there on they have to read every record.

use std::time::Duration;

use rand::RngExt;
use rand_chacha::ChaCha12Rng;

use super::super::document::{Problems, Section};
use super::super::writer::Writer;
use super::paced::Paced;
use super::reading::Reader;
use super::{Kind, Promise, Seats, SharedSignals, Side, boot, settle};
use crate::base::config::{AdminConfig, ConsumerConfig};
use crate::base::{Flaws, Offset, Stream, Timestamp, TopicPartition};
use crate::client::{Admin, OffsetSpec};
use crate::sim::{Boot, ConsumerEvent, Lookup, SimWorld};

/// Most polls after a seek, until the next is due.
const POLLS: u32 = 20;

/// With the rate of its seeks.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Seeker(Paced<ConsumerConfig>);

impl Kind for Seeker {
    const NAME: &'static str = "seeker";
    const SIDE: Side = Side::Consumes;

    fn parse(section: &mut Section, problems: &mut Problems) -> Self {
        Self(Paced::parse(section, problems, 2))
    }

    fn write(&self, out: &mut Writer) {
        self.0.write(out);
    }

    fn promise(&self) -> Promise {
        Promise::default()
    }

    fn hosts<W: SimWorld>(&self, seats: &Seats<'_>) -> Vec<Boot<W>> {
        let host = |number| {
            let config = settle(&self.0.settings.config, number, seats.servers.clone());
            let interval = self.0.interval(seats);
            let partitions = seats.topic.partition_names();
            let settings = (config, seats.flaws);
            program(number, (partitions, interval), settings, seats.signals.clone())
        };
        seats.numbers().map(host).collect()
    }

    #[cfg(test)]
    fn any() -> proptest::strategy::BoxedStrategy<Self> {
        use proptest::prelude::*;
        Paced::any().prop_map(Self).boxed()
    }
}

/// Seeks and reads on until it is told to stop.
fn program<W: SimWorld>(
    number: u32,
    (partitions, interval): (Vec<TopicPartition>, Duration),
    (config, flaws): (ConsumerConfig, Flaws),
    signals: SharedSignals,
) -> Boot<W> {
    boot(move |world: W| {
        let (partitions, config, signals) = (partitions.clone(), config.clone(), signals.clone());
        async move {
            let asking = AdminConfig {
                bootstrap_servers: config.bootstrap_servers.clone(),
                client_id: config.client_id.clone(),
                ..AdminConfig::default()
            };
            let Ok(admin) = Admin::new(world.clone(), asking) else { return };
            let all = partitions.clone();
            let reader = Reader::start(world.clone(), number, all, (config, flaws));
            let Some(reader) = reader else { return };
            let random = world.random(Stream::named("seeker load"));
            let began = Timestamp(world.wall_clock().0);
            let mut seeking = Seeking { world, admin, reader, number, random, began };
            let mut due = seeking.world.now();
            while !signals.lock().stop_consuming {
                due = (due + interval).max(seeking.world.now());
                let partition = seeking.one_of(&partitions);
                seeking.seek(&partition).await;
                for _ in 0..POLLS {
                    seeking.reader.poll().await;
                    if seeking.world.now() >= due || signals.lock().stop_consuming {
                        break;
                    }
                }
                seeking.world.sleep_until(due).await;
            }
        }
    })
}

/// Where to seek to.
#[derive(Clone, Copy)]
enum Whence {
    Beginning,
    End,
    Between,
    Time,
}

struct Seeking<W: SimWorld> {
    world: W,
    admin: Admin<W>,
    reader: Reader<W>,
    number: u32,
    random: ChaCha12Rng,
    began: Timestamp,
}

impl<W: SimWorld> Seeking<W> {
    fn one_of(&mut self, partitions: &[TopicPartition]) -> TopicPartition {
        partitions[self.random.random_range(0..partitions.len())].clone()
    }

    /// Sets the position of a partition; nothing happens if no broker says where that is.
    async fn seek(&mut self, partition: &TopicPartition) {
        let ways = [Whence::Beginning, Whence::End, Whence::Between, Whence::Time];
        let to = match ways[self.random.random_range(0..ways.len())] {
            Whence::Beginning => self.ask(partition, Lookup::Earliest, OffsetSpec::Earliest).await,
            Whence::End => self.ask(partition, Lookup::Latest, OffsetSpec::Latest).await,
            Whence::Between => self.between(partition).await,
            Whence::Time => {
                let latest = self.world.wall_clock().0.max(self.began.0);
                let at = self.random.random_range(self.began.0..=latest);
                self.ask(partition, Lookup::At(at), OffsetSpec::At(Timestamp(at))).await
            }
        };
        if let Some(to) = to {
            self.reader.seek(partition, to);
        }
    }

    /// A committed offset.
    async fn between(&mut self, partition: &TopicPartition) -> Option<Offset> {
        let first = self.ask(partition, Lookup::Earliest, OffsetSpec::Earliest).await?;
        let end = self.ask(partition, Lookup::Latest, OffsetSpec::Latest).await?;
        let last = (end.0 - 1).max(first.0);
        Some(Offset(self.random.random_range(first.0..=last)))
    }

    async fn ask(
        &self,
        partition: &TopicPartition,
        lookup: Lookup,
        spec: OffsetSpec,
    ) -> Option<Offset> {
        let (consumer, name) = (self.number, partition.clone());
        self.world.observe(ConsumerEvent::Asked { consumer, partition: name.clone() });
        let answer = self.admin.list_offsets(&[(name.clone(), spec)]).await.ok()?;
        let offset = answer.get(partition)?.offset;
        self.world.observe(ConsumerEvent::Listed { consumer, partition: name, lookup, offset });
        offset
    }
}
