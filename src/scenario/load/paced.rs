//! Loads that do one thing after the other at a rate, with a client's settings.

use std::fmt::Debug;
use std::time::Duration;

use super::super::document::{Problems, Section};
use super::super::writer::Writer;
use super::{Seats, Settings};
use crate::base::config::Config;
use crate::scenario::Rate;

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Paced<C> {
    /// Of all clients together.
    rate: Rate,
    pub(super) settings: Settings<C>,
}

impl<C: Config + Debug> Paced<C> {
    /// Reads the `rate`, or takes that many a second, and what is left of the section.
    pub(super) fn parse(section: &mut Section, problems: &mut Problems, count: u64) -> Self {
        let rate = section.value::<Rate>("rate", problems).map(|rate| rate.value);
        let rate = rate.unwrap_or(Rate { count, per: Duration::from_secs(1) });
        Self { rate, settings: Settings::parse(section, problems) }
    }

    pub(super) fn write(&self, out: &mut Writer) {
        out.value("rate", &self.rate);
        self.settings.write(out);
    }

    /// Between two of one client.
    pub(super) fn interval(&self, seats: &Seats<'_>) -> Duration {
        self.rate.interval(seats.clients.into())
    }

    #[cfg(test)]
    pub(super) fn any() -> impl proptest::strategy::Strategy<Value = Self> {
        use proptest::prelude::*;
        let rate = (1..100_000u64, proptest::sample::select(vec![1u64, 60, 3600]));
        let rate = rate.prop_map(|(count, per)| Rate { count, per: Duration::from_secs(per) });
        rate.prop_map(|rate| Self { rate, settings: Settings::of(Vec::new()) })
    }
}
