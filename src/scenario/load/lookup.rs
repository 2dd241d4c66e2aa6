//! `lookup`: clients that ask where partitions end, and which record comes first from a time on.

use std::time::Duration;

use rand::RngExt;

use super::super::document::{Problems, Section};
use super::super::writer::Writer;
use super::{Kind, Promise, Seats, Settings, SharedSignals, Side, boot};
use crate::base::config::AdminConfig;
use crate::base::{Stream, Timestamp, TopicPartition};
use crate::client::{Admin, OffsetSpec};
use crate::scenario::Rate;
use crate::sim::{Boot, ConsumerEvent, Lookup, SimWorld};

#[derive(Clone, Debug, PartialEq)]
pub(super) struct LookingUp {
    /// Questions of all clients together.
    rate: Rate,
    settings: Settings<AdminConfig>,
}

impl Kind for LookingUp {
    const NAME: &'static str = "lookup";
    const SIDE: Side = Side::Consumes;

    fn parse(section: &mut Section, problems: &mut Problems) -> Self {
        let rate = section.value::<Rate>("rate", problems).map(|rate| rate.value);
        let rate = rate.unwrap_or(Rate { count: 5, per: Duration::from_secs(1) });
        Self { rate, settings: Settings::parse(section, problems) }
    }

    fn write(&self, out: &mut Writer) {
        out.value("rate", &self.rate);
        self.settings.write(out);
    }

    fn promise(&self) -> Promise {
        Promise::default()
    }

    fn hosts<W: SimWorld>(&self, seats: &Seats<'_>) -> Vec<Boot<W>> {
        let host = |number| {
            let mut config = self.settings.config.as_ref().clone();
            config.bootstrap_servers.clone_from(&seats.servers);
            config.client_id = format!("{}{number}", Self::SIDE.letter());
            let interval = self.rate.interval(seats.clients.into());
            let partitions = seats.topic.partition_names();
            program(number, (partitions, interval), config, seats.signals.clone())
        };
        seats.numbers().map(host).collect()
    }

    #[cfg(test)]
    fn any() -> proptest::strategy::BoxedStrategy<Self> {
        use proptest::prelude::*;
        let rate = (1..100_000u64, proptest::sample::select(vec![1u64, 60, 3600]));
        let rate = rate.prop_map(|(count, per)| Rate { count, per: Duration::from_secs(per) });
        rate.prop_map(|rate| Self { rate, settings: Settings::of(Vec::new()) }).boxed()
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
