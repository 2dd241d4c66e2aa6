//! `disk-corruption`: the platter does not hold what was written.

use super::super::document::{Problems, Section};
use super::super::known::Known;
use super::super::writer::Writer;
use super::{
    Begins, Cost, Drawn, Draws, Fits, Hit, Kind, Nature, Scene, Shape, Stage, Strike, Usual, keys,
};
use crate::scenario::entries::bounded;
use crate::scenario::{Range, Roles};
use crate::sim::Unsupported;
use crate::sim::disk::{Corruption, Place};

/// Words of `what`, and for the report.
const CORRUPTIONS: [(&str, Corruption, &str); 5] = [
    ("bit-rot", Corruption::BitRot, "rotten pages"),
    ("latent-error", Corruption::LatentError, "unreadable pages"),
    ("misdirected-write", Corruption::MisdirectedWrite, "misdirected writes"),
    ("lost-write", Corruption::LostWrite, "lost writes"),
    ("stale-read", Corruption::StaleRead, "stale reads"),
];

/// Words of `place`.
const PLACES: [(&str, Place); 3] =
    [("disk", Place::Disk), ("log", Place::Log), ("cold", Place::Cold)];

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct DiskCorruption {
    target: Roles,
    what: Corruption,
    pages: Range<u64>,
    place: Place,
    /// This many brokers are never corrupted, whatever strikes: where data must survive, a copy has
    /// to be left.
    intact: u64,
}

impl DiskCorruption {
    fn words(&self) -> (&'static str, &'static str) {
        let found = CORRUPTIONS.iter().find(|(_, what, _)| *what == self.what);
        found.map_or(("bit-rot", "rotten pages"), |(word, _, words)| (*word, *words))
    }
}

impl Kind for DiskCorruption {
    const NAME: &'static str = "disk-corruption";
    const WEIGHT: u64 = 8;
    const DISTURBS: bool = false;
    const NEEDS_COLD_SEGMENTS: bool = true;
    const ONCE: bool = true;

    fn parse(section: &mut Section, known: &Known<'_>, problems: &mut Problems) -> Option<Self> {
        let target = keys::nodes(section, known, problems)?;
        let words = CORRUPTIONS.map(|(word, what, _)| (word, what));
        let what = section.word("what", &words, problems);
        let what = what.map_or(Corruption::BitRot, |what| what.value);
        let line = section.line;
        let place = section.word("place", &PLACES, problems);
        let place = place.map_or(Place::Disk, |place| place.value);
        let lies_there = matches!(what, Corruption::BitRot | Corruption::LatentError);
        if place == Place::Cold && !lies_there {
            problems.add(
                line,
                "a `cold` segment is never written to: use `bit-rot` or `latent-error`, or another \
                 `place`",
            );
        }
        Some(Self {
            what,
            place,
            pages: keys::number(section, "pages", (1, 10_000), (1, 3), problems),
            intact: bounded(section, "intact", (0, 100), 1, problems),
            target,
        })
    }

    fn write(&self, out: &mut Writer) {
        out.roles("target", &self.target);
        out.text("what", self.words().0);
        out.range("pages", &self.pages);
        if let Some((word, _)) = PLACES.iter().skip(1).find(|(_, place)| *place == self.place) {
            out.text("place", word);
        }
        out.plain("intact", self.intact);
    }

    fn nature(&self) -> Nature<'_> {
        Nature::Strike(self)
    }

    fn ranges(&mut self) -> Vec<Drawn<'_>> {
        vec![Drawn::Number("pages", &mut self.pages)]
    }

    /// One broker's disk rots, the others keep what they have; of a single broker nothing is left.
    fn sample(_: Usual, shape: &Shape, draws: &mut Draws) -> String {
        format!(
            "{}what = \"bit-rot\"\nplace = \"cold\"\npages = \"1..{}\"\nintact = {}\n",
            shape.broker(draws),
            draws.number(1, 5),
            shape.brokers.saturating_sub(1)
        )
    }

    #[cfg(test)]
    fn any() -> proptest::strategy::BoxedStrategy<Self> {
        use super::any;
        use proptest::prelude::*;
        let what = proptest::sample::select(CORRUPTIONS.map(|(_, what, _)| what).to_vec());
        let place = proptest::sample::select(PLACES.map(|(_, place)| place).to_vec());
        let parts = (any::nodes(), what, any::numbers(1..=10_000), place, 0..=100u64);
        let rot = parts.prop_map(|(target, what, pages, place, intact)| {
            let lies_there = matches!(what, Corruption::BitRot | Corruption::LatentError);
            let place = if lies_there { place } else { Place::Log };
            Self { target, what, pages, place, intact }
        });
        rot.boxed()
    }
}

impl Strike for DiskCorruption {
    fn aim(&self, scene: &dyn Scene) -> Hit {
        // What a paused process was about to send was verified before.
        let hosts = scene.hosts(&self.target, Fits::Corruptible { intact: self.intact });
        let of = match self.place {
            Place::Disk => "disk".to_owned(),
            Place::Log => format!("log of {}", scene.partition()),
            Place::Cold => format!("cold segments of {}", scene.partition()),
        };
        let (pages, what) = (self.pages.low, self.words().1);
        let what = format!("{pages} {what}, {of} of {}", scene.describe(&hosts));
        Hit::hosts(scene, hosts, what)
    }

    fn strike(&self, stage: &mut dyn Stage, hit: &Hit) -> Result<Begins, Unsupported> {
        let (pages, log) = (keys::count(self.pages.low), hit.partition.to_string());
        for host in &hit.hosts {
            stage.corrupt_disk(*host, self.what, pages, (self.place, &log));
        }
        Ok(Begins::Now)
    }

    /// What is corrupt stays so; a process that gave up because of it is started again.
    fn end(&self, stage: &mut dyn Stage, hit: &Hit, _begun: bool) {
        hit.hosts.iter().for_each(|host| stage.revive(*host));
    }

    fn may_cost(&self) -> Cost {
        let rots_all_but = Some(self.intact);
        Cost { spoils_syncs: true, rots_all_but, ..Cost::of_hosts(&self.target) }
    }
}
