//! `clock-drift`: time passes at another rate.

use super::super::document::{Problems, Section};
use super::super::known::Known;
use super::super::writer::Writer;
use super::{
    Begins, ClockError, Cost, Drawn, Draws, Fits, Hit, Kind, Nature, Scene, Shape, Stage, Strike,
    Usual, keys,
};
use crate::scenario::{Range, Roles};
use crate::sim::Unsupported;

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ClockDrift {
    target: Roles,
    /// By how many millionths.
    ppm: Range<u64>,
    /// Slower, not faster.
    slow: bool,
}

impl Kind for ClockDrift {
    const NAME: &'static str = "clock-drift";
    const WEIGHT: u64 = 2;
    const DISTURBS: bool = false;

    fn parse(section: &mut Section, known: &Known<'_>, problems: &mut Problems) -> Option<Self> {
        Some(Self {
            ppm: keys::number(section, "ppm", (1, 900_000), (100, 100_000), problems),
            slow: section.boolean("slow", problems).unwrap_or(false),
            target: keys::nodes(section, known, problems)?,
        })
    }

    fn write(&self, out: &mut Writer) {
        out.roles("target", &self.target);
        out.range("ppm", &self.ppm);
        out.plain("slow", self.slow);
    }

    fn nature(&self) -> Nature<'_> {
        Nature::Strike(self)
    }

    fn ranges(&mut self) -> Vec<Drawn<'_>> {
        vec![Drawn::Number("ppm", &mut self.ppm)]
    }

    fn retarget(&mut self, roles: Roles) {
        self.target = roles;
    }

    fn sample(usual: Usual, _shape: &Shape, draws: &mut Draws) -> String {
        let ppm = draws.number(2000, 400_000);
        format!("{}ppm = \"1000..{ppm}\"\nslow = {}\n", usual.target, draws.chance(50))
    }

    #[cfg(test)]
    fn any() -> proptest::strategy::BoxedStrategy<Self> {
        use proptest::prelude::*;
        let parts = (super::any::nodes(), super::any::numbers(1..=900_000), any::<bool>());
        parts.prop_map(|(target, ppm, slow)| Self { target, ppm, slow }).boxed()
    }
}

impl Strike for ClockDrift {
    fn aim(&self, scene: &dyn Scene) -> Hit {
        let hosts = scene.hosts(&self.target, Fits::Up);
        let what = {
            let way = if self.slow { "slow" } else { "fast" };
            format!("clock of {} runs {} ppm {way}", scene.describe(&hosts), self.ppm.low)
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
        let ppm = i32::try_from(self.ppm.low).unwrap_or(i32::MAX);
        ClockError { offset_ms: 0, ppm: if self.slow { -ppm } else { ppm } }
    }

    fn may_cost(&self) -> Cost {
        Cost::of_hosts(&self.target)
    }
}
