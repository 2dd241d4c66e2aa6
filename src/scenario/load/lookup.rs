//! `lookup`: clients that ask where partitions end, and which record comes first from a time on.

use std::time::Duration;

use rand::RngExt;

use super::super::document::{Problems, Section};
use super::super::writer::Writer;
use super::paced::Paced;
use super::{Kind, Promise, Seats, SharedSignals, Side, boot};
use crate::base::config::AdminConfig;
use crate::base::{Stream, Timestamp, TopicPartition};
use crate::client::{Admin, OffsetSpec};
use crate::sim::{Boot, ConsumerEvent, Lookup, SimWorld};

/// With the rate of its questions.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct LookingUp(Paced<AdminConfig>);

impl Kind for LookingUp {
    const NAME: &'static str = "lookup";
    const SIDE: Side = Side::Consumes;

    fn parse(section: &mut Section, problems: &mut Problems) -> Self {
        Self(Paced::parse(section, problems, 5))
    }

    fn write(&self, out: &mut Writer) {
        self.0.write(out);
    }

    fn promise(&self) -> Promise {
        Promise::default()
    }

    fn hosts<W: SimWorld>(&self, seats: &Seats<'_>) -> Vec<Boot<W>> {
        let host = |number| {
            let mut config = self.0.settings.config.as_ref().clone();
            config.bootstrap_servers.clone_from(&seats.servers);
            config.client_id = format!("{}{number}", Self::SIDE.letter());
            let interval = self.0.interval(seats);
            let partitions = seats.topic.partition_names();
            program(number, (partitions, interval), config, seats.signals.clone())
        };
        seats.numbers().map(host).collect()
    }

    #[cfg(test)]
    fn any() -> proptest::strategy::BoxedStrategy<Self> {
        use proptest::prelude::*;
        Paced::any().prop_map(Self).boxed()
    }
}

/// Asks until it is told to stop.
fn program<W: SimWorld>(
    number: u32,
    (partitions, interval): (Vec<TopicPartition>, Duration),
    config: AdminConfig,
    signals: SharedSignals,
) -> Boot<W> {
    boot(move |world: W| {
        let (partitions, config, signals) = (partitions.clone(), config.clone(), signals.clone());
        async move {
            let Ok(admin) = Admin::new(world.clone(), config) else { return };
            let mut random = world.random(Stream::named("lookup load"));
            let began = world.wall_clock();
            let mut due = world.now();
            while !signals.lock().stop_consuming {
                due = (due + interval).max(world.now());
                world.sleep_until(due).await;
                let partition = &partitions[random.random_range(0..partitions.len())];
                let (lookup, spec) = match random.random_range(0..2) {
                    0 => (Lookup::Latest, OffsetSpec::Latest),
                    _ => {
                        let latest = world.wall_clock().0.max(began.0);
                        let at = Timestamp(random.random_range(began.0..=latest));
                        (Lookup::At(at.0), OffsetSpec::At(at))
                    }
                };
                ask(&world, &admin, number, partition, (lookup, spec)).await;
            }
        }
    })
}

async fn ask<W: SimWorld>(
    world: &W,
    admin: &Admin<W>,
    consumer: u32,
    partition: &TopicPartition,
    (lookup, spec): (Lookup, OffsetSpec),
) {
    world.observe(ConsumerEvent::Asked { consumer, partition: partition.clone() });
    let answer = admin.list_offsets(&[(partition.clone(), spec)]).await;
    let Some(listed) = answer.ok().and_then(|answers| answers.get(partition).copied()) else {
        return;
    };
    let (partition, offset) = (partition.clone(), listed.offset);
    world.observe(ConsumerEvent::Listed { consumer, partition, lookup, offset });
}
