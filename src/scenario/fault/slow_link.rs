//! `slow-link`: bytes arrive late.

use std::time::Duration;

use super::super::document::{Problems, Section};
use super::super::known::Known;
use super::super::writer::Writer;
use super::{
    Begins, Cost, Drawn, Draws, Ends, Hit, Kind, Nature, Scene, Shape, Stage, Strike, Turned,
    Usual, ends, keys,
};
use crate::scenario::{Range, Roles};
use crate::sim::{Link, Unsupported};

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SlowLink {
    ends: Ends,
    /// One-way delay, drawn for each segment.
    latency: Range<Duration>,
    /// Bytes per second.
    bandwidth: Option<Range<u64>>,
    /// Percentage of segments that have to be sent again.
    loss: Option<Range<u64>>,
}

impl SlowLink {
    /// The first key that is still a range though it should be one value.
    pub fn undrawn(&self) -> Option<&'static str> {
        self.clone().ranges().into_iter().find_map(Drawn::open)
    }
}

impl Kind for SlowLink {
    const NAME: &'static str = "slow-link";
    const WEIGHT: u64 = 5;
    const DISTURBS: bool = false;

    fn parse(section: &mut Section, known: &Known<'_>, problems: &mut Problems) -> Option<Self> {
        let usual = Link::default().latency;
        let latency = section.range("latency", problems).map(|latency| latency.value);
        let has = ["bandwidth", "loss"].map(|key| section.has(key));
        // Read even if it is absent: a mistyped key is told what it is near to.
        let bandwidth =
            keys::number(section, "bandwidth", (1000, u64::MAX), (1000, 1000), problems);
        let loss = keys::number(section, "loss", (1, 90), (1, 1), problems);
        let (bandwidth, loss) = (has[0].then_some(bandwidth), has[1].then_some(loss));
        if latency.is_none() && bandwidth.is_none() && loss.is_none() {
            let keys =
                "`latency` (of a segment), `bandwidth` (bytes per second) or `loss` (percent)";
            problems.add(section.line, format!("what is slow about this link? Add {keys}"));
        }
        let latency = latency.unwrap_or(Range { low: *usual.start(), high: *usual.end() });
        Some(Self { ends: Ends::parse(section, known, problems)?, latency, bandwidth, loss })
    }

    fn write(&self, out: &mut Writer) {
        self.ends.write(out);
        out.range("latency", &self.latency);
        if let Some(bandwidth) = &self.bandwidth {
            out.range("bandwidth", bandwidth);
        }
        if let Some(loss) = &self.loss {
            out.range("loss", loss);
        }
    }

    fn nature(&self) -> Nature<'_> {
        Nature::Strike(self)
    }

    fn ranges(&mut self) -> Vec<Drawn<'_>> {
        let bandwidth = self.bandwidth.as_mut().map(|range| Drawn::Number("bandwidth", range));
        let loss = self.loss.as_mut().map(|range| Drawn::Number("loss", range));
        bandwidth.into_iter().chain(loss).collect()
    }

    fn retarget(&mut self, roles: Roles) {
        self.ends.from = roles;
    }

    fn sample(usual: Usual, _shape: &Shape, draws: &mut Draws) -> String {
        // Longer than it takes to elect a leader where sessions are short.
        let (low, high) = draws.weighted(&[(70, (10, 800)), (30, (1000, 4000))]);
        let latency = draws.number(low, high);
        let lossy = format!("loss = \"1..{}\"\n", draws.number(1, 25));
        let narrow = format!("bandwidth = \"{}..200000\"\n", draws.number(10_000, 100_000));
        let more = draws.weighted(&[(40, ""), (30, lossy.as_str()), (30, narrow.as_str())]);
        format!("{}latency = \"1ms..{latency}ms\"\n{more}", usual.link)
    }

    #[cfg(test)]
    fn any() -> proptest::strategy::BoxedStrategy<Self> {
        use super::any;
        use proptest::prelude::*;
        let bandwidth = proptest::option::of(any::numbers(1000..=1 << 40));
        let loss = proptest::option::of(any::numbers(1..=90));
        let parts = (Ends::any(), any::times(), bandwidth, loss);
        let slow = parts.prop_map(|(ends, latency, bandwidth, loss)| Self {
            ends,
            latency,
            bandwidth,
            loss,
        });
        slow.boxed()
    }
}

impl Strike for SlowLink {
    fn aim(&self, scene: &dyn Scene) -> Hit {
        self.ends.aim(scene, "slow")
    }

    fn strike(&self, stage: &mut dyn Stage, hit: &Hit) -> Result<Begins, Unsupported> {
        ends::refit(stage, hit)
    }

    fn end(&self, stage: &mut dyn Stage, hit: &Hit, _begun: bool) {
        ends::restore(stage, hit);
    }

    fn link(&self) -> Option<Link> {
        Some(Link {
            latency: self.latency.low..=self.latency.high,
            bandwidth: self.bandwidth.map(|bytes| bytes.low),
            loss: self.loss.map_or(0.0, |percent| percent.low as f64 / 100.0),
            damage: None,
            mishaps: Vec::new(),
        })
    }

    fn may_cost(&self) -> Cost {
        Cost::of_links(&self.ends.from, &self.ends.to)
    }

    fn turned(&self) -> Turned {
        Turned::Into(Self { ends: self.ends.turned(), ..self.clone() }.into())
    }
}
