//! `power-loss`: the machine loses power, and with it what was not synced.

use std::time::Duration;

use super::super::document::{Problems, Section};
use super::super::known::Known;
use super::super::writer::Writer;
use super::{
    Action, Begins, Cost, Drawn, Draws, Fits, Hit, Kind, Nature, Scene, Shape, Stage, Strike,
    Turned, Usual, keys,
};
use crate::base::Instant;
use crate::scenario::{Notation, Range, Roles};
use crate::sim::{Kept, Survival, Unsupported};

/// A host that does not reach the disk operation at which its power was to fail loses power after
/// this.
const ARMED: Duration = Duration::from_secs(1);

/// What a power loss leaves, unless a list says it.
const SURVIVALS: [(&str, Survival); 6] = [
    ("nothing", Survival::Nothing),
    ("drawn", Survival::Drawn),
    ("weakest", Survival::Weakest),
    ("ext4-ordered", Survival::Ext4Ordered),
    ("everything", Survival::Everything),
    ("everything-durable", Survival::Everything),
];

/// Changes of names, in a list of what survives.
const NAMES: &str = "names";

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PowerLoss {
    pub target: Roles,
    /// What becomes of unsynced data.
    pub survival: Survival,
    /// The power fails just before this disk operation, counted from now; at once when absent.
    pub operation: Option<Range<u64>>,
    /// Of several machines, each comes back this long after the one before; all at once when absent.
    pub stagger: Option<Range<Duration>>,
}

impl Kind for PowerLoss {
    const NAME: &'static str = "power-loss";
    const WEIGHT: u64 = 18;

    fn parse(section: &mut Section, known: &Known<'_>, problems: &mut Problems) -> Option<Self> {
        Some(Self {
            survival: survival(section, problems),
            operation: section.range("operation", problems).map(|range| range.value),
            stagger: section.range("stagger", problems).map(|range| range.value),
            target: keys::nodes(section, known, problems)?,
        })
    }

    fn write(&self, out: &mut Writer) {
        out.roles("target", &self.target);
        write_survival(&self.survival, out);
        if let Some(stagger) = &self.stagger {
            out.range("stagger", stagger);
        }
        if let Some(operation) = &self.operation {
            out.range("operation", operation);
        }
    }

    fn nature(&self) -> Nature<'_> {
        Nature::Strike(self)
    }

    fn ranges(&mut self) -> Vec<Drawn<'_>> {
        let operation = self.operation.as_mut().map(|range| Drawn::Number("operation", range));
        let stagger = self.stagger.as_mut().map(|range| Drawn::Time("stagger", range));
        operation.into_iter().chain(stagger).collect()
    }

    fn retarget(&mut self, roles: Roles) {
        self.target = roles;
    }

    fn sample(usual: Usual, _shape: &Shape, draws: &mut Draws) -> String {
        let survival = draws.weighted(&[(50, "nothing"), (50, "drawn")]);
        let operation = draws.chance(30);
        let range = format!("operation = \"0..{}\"\n", draws.number(1, 400));
        let operation = if operation { range } else { String::new() };
        format!("{}survival = \"{survival}\"\n{operation}", usual.target)
    }

    #[cfg(test)]
    fn any() -> proptest::strategy::BoxedStrategy<Self> {
        use super::any;
        use proptest::prelude::*;
        let operation = proptest::option::of(any::numbers(0..=10_000));
        let parts = (any::nodes(), any_survival(), operation, proptest::option::of(any::times()));
        let power = parts.prop_map(|(target, survival, operation, stagger)| Self {
            target,
            survival,
            operation,
            stagger,
        });
        power.boxed()
    }
}

impl Strike for PowerLoss {
    fn aim(&self, scene: &dyn Scene) -> Hit {
        let hosts = scene.hosts(&self.target, Fits::Running);
        let mut what = format!("power-loss of {}", scene.describe(&hosts));
        if let Some(operation) = self.operation_of(&hosts) {
            what = format!("{what} before its disk operation {operation}");
        } else if let (Some(stagger), true) = (self.stagger(), hosts.len() > 1) {
            what = format!("{what}, back {} apart", stagger.show());
        }
        Hit::hosts(scene, hosts, what)
    }

    fn strike(&self, stage: &mut dyn Stage, hit: &Hit) -> Result<Begins, Unsupported> {
        if let ([host], Some(operation)) = (&*hit.hosts, self.operation_of(&hit.hosts)) {
            stage.power_loss_at(*host, operation, &self.survival);
            return Ok(Begins::Later);
        }
        hit.hosts.iter().for_each(|host| stage.power_loss(*host, &self.survival));
        Ok(Begins::Now)
    }

    fn has_begun(&self, stage: &mut dyn Stage, hit: &Hit, struck: Instant) -> bool {
        for host in &hit.hosts {
            if stage.is_running(*host) {
                if stage.now() < struck + ARMED {
                    return false;
                }
                stage.power_loss(*host, &self.survival);
            }
        }
        true
    }

    /// If the end comes before the power failed, it fails now, and comes back at once.
    fn end(&self, stage: &mut dyn Stage, hit: &Hit, begun: bool) {
        for host in &hit.hosts {
            if !begun && stage.is_running(*host) {
                stage.power_loss(*host, &self.survival);
            }
            stage.boot(*host);
        }
    }

    fn stagger(&self) -> Option<Duration> {
        self.stagger.map(|stagger| stagger.low)
    }

    fn tears(&self) -> bool {
        !matches!(self.survival, Survival::Nothing | Survival::Everything)
    }

    fn holds_down(&self) -> bool {
        true
    }

    fn may_cost(&self) -> Cost {
        Cost { takes_power: true, ends_uncleanly: true, ..Cost::of_hosts(&self.target) }
    }

    fn smaller(&self) -> Vec<Action> {
        let mut ways = Vec::new();
        if self.operation.is_some() {
            ways.push(Self { operation: None, ..self.clone() });
        }
        if self.stagger.is_some() {
            ways.push(Self { stagger: None, ..self.clone() });
        }
        if !matches!(self.survival, Survival::Nothing | Survival::Everything) {
            ways.push(Self { survival: Survival::Nothing, ..self.clone() });
        }
        let fewer = self.target.fewer().into_iter();
        ways.extend(fewer.map(|target| Self { target, ..self.clone() }));
        ways.into_iter().map(Action::from).collect()
    }

    fn turned(&self) -> Turned {
        Turned::Another(self.target.clone())
    }
}

impl PowerLoss {
    /// The operation at which the power fails, if it hits a single host.
    fn operation_of<T>(&self, hosts: &[T]) -> Option<u64> {
        self.operation.filter(|_| hosts.len() == 1).map(|operation| operation.low)
    }
}

/// Reads what survives: a word, or a list of what is kept.
fn survival(section: &mut Section, problems: &mut Problems) -> Survival {
    let words: Vec<_> =
        SURVIVALS.iter().enumerate().map(|(index, (word, _))| (*word, index)).collect();
    let line = section.line;
    let word = section.word("survival", &words, problems);
    if !section.has("keep") {
        let chosen = word.and_then(|word| SURVIVALS.get(word.value));
        return chosen.map_or(Survival::Drawn, |(_, survival)| survival.clone());
    }
    if word.is_some() {
        problems.add(line, "a power loss has a `survival`, or a list of what to `keep`, not both");
    }
    let mut kept = Vec::new();
    for item in section.list("keep", problems) {
        match read_kept(&item.value) {
            Some(part) => kept.push(part),
            None => problems.add(
                item.line,
                format!(
                    "`{}`: expected `names`, the end of a path such as `.log`, or that and which \
                     of its unsynced pages, such as `.log 0..3`",
                    item.value
                ),
            ),
        }
    }
    Survival::Chosen(kept)
}

fn read_kept(text: &str) -> Option<Kept> {
    if text == NAMES {
        return Some(Kept::Names);
    }
    let Some((ending, pages)) = text.split_once(' ') else {
        return (!text.is_empty()).then(|| Kept::File { ending: text.to_owned(), pages: None });
    };
    let (first, end) = pages.trim().split_once("..")?;
    let pages = (first.parse().ok()?, end.parse().ok()?);
    (pages.0 <= pages.1 && !ending.is_empty())
        .then(|| Kept::File { ending: ending.to_owned(), pages: Some(pages) })
}

fn write_survival(survival: &Survival, out: &mut Writer) {
    let Survival::Chosen(kept) = survival else {
        let word = SURVIVALS.iter().find(|(_, known)| known == survival);
        out.text("survival", word.map_or("drawn", |(word, _)| *word));
        return;
    };
    let items = kept.iter().map(|kept| match kept {
        Kept::Names => NAMES.to_owned(),
        Kept::File { ending, pages: None } => ending.clone(),
        Kept::File { ending, pages: Some((first, end)) } => format!("{ending} {first}..{end}"),
    });
    out.list("keep", items);
}

#[cfg(test)]
fn any_survival() -> impl proptest::strategy::Strategy<Value = Survival> {
    use proptest::prelude::*;
    let word = proptest::sample::select(SURVIVALS.map(|(_, survival)| survival).to_vec());
    let pages = proptest::option::of((0..5u64, 5..9u64));
    let file = ("[.a-z]{1,9}", pages)
        .prop_filter("`names` means something else", |(ending, _)| ending != NAMES)
        .prop_map(|(ending, pages)| Kept::File { ending, pages });
    let kept = prop::collection::vec(prop_oneof![Just(Kept::Names), file], 0..4);
    prop_oneof![word, kept.prop_map(Survival::Chosen)]
}
