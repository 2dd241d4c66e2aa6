//! `clock-jump`: the date jumps.

use std::time::Duration;

use super::super::document::{Problems, Section};
use super::super::known::Known;
use super::super::writer::Writer;
use super::{
    Begins, ClockError, Cost, Drawn, Draws, Fits, Hit, Kind, Nature, Scene, Shape, Stage, Strike,
    Usual, keys,
};
use crate::scenario::{Notation, Range, Roles};
use crate::sim::Unsupported;

/// How far, unless the file says otherwise.
const JUMP: Range<Duration> = Range { low: Duration::from_secs(1), high: Duration::from_secs(600) };

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ClockJump {
    target: Roles,
    /// How far.
    by: Range<Duration>,
    /// Into the past.
    back: bool,
}

impl Kind for ClockJump {
    const NAME: &'static str = "clock-jump";
    const WEIGHT: u64 = 2;
    const DISTURBS: bool = false;

    fn parse(section: &mut Section, known: &Known<'_>, problems: &mut Problems) -> Option<Self> {
        Some(Self {
            by: section.range("by", problems).map_or(JUMP, |by| by.value),
            back: section.boolean("back", problems).unwrap_or(false),
            target: keys::nodes(section, known, problems)?,
        })
    }

    fn write(&self, out: &mut Writer) {
        out.roles("target", &self.target);
        out.range("by", &self.by);
        out.plain("back", self.back);
    }

    fn nature(&self) -> Nature<'_> {
        Nature::Strike(self)
    }

    fn ranges(&mut self) -> Vec<Drawn<'_>> {
        vec![Drawn::Time("by", &mut self.by)]
    }

    fn retarget(&mut self, roles: Roles) {
        self.target = roles;
    }

    fn sample(usual: Usual, _shape: &Shape, draws: &mut Draws) -> String {
        format!("{}by = \"1s..1h\"\nback = {}\n", usual.target, draws.chance(50))
    }

    #[cfg(test)]
    fn any() -> proptest::strategy::BoxedStrategy<Self> {
        use proptest::prelude::*;
        let parts = (super::any::nodes(), super::any::times(), any::<bool>());
        parts.prop_map(|(target, by, back)| Self { target, by, back }).boxed()
    }
}

impl Strike for ClockJump {
    fn aim(&self, scene: &dyn Scene) -> Hit {
        let hosts = scene.hosts(&self.target, Fits::Up);
        let what = {
            let (by, way) = (self.by.low.show(), if self.back { "back" } else { "ahead" });
            format!("clock of {} jumps {by} {way}", scene.describe(&hosts))
        };
        Hit::hosts(scene, hosts, what)
    }

    fn strike(&self, stage: &mut dyn Stage, hit: &Hit) -> Result<Begins, Unsupported> {
        hit.hosts.iter().try_for_each(|host| stage.refit_clock(*host))?;
        Ok(Begins::Now)
    }

    fn end(&self, stage: &mut dyn Stage, hit: &Hit, _begun: bool) {
        for host in &hit.hosts {
            // It could be changed when the fault struck.
            let _ = stage.refit_clock(*host);
        }
    }

    fn clock(&self) -> ClockError {
        let ms = i64::try_from(self.by.low.as_millis()).unwrap_or(i64::MAX);
        ClockError { offset_ms: if self.back { -ms } else { ms }, ppm: 0 }
    }

    fn may_cost(&self) -> Cost {
        // No session is counted by the date.
        Cost { moves_leaders: false, ..Cost::of_hosts(&self.target) }
    }
}
