//! Links between two sides: `from`, `to` and `one-way`.

use super::super::document::{Problems, Section};
use super::super::known::Known;
use super::super::writer::Writer;
use super::keys;
use super::stage::{Begins, Fits, Hit, Scene, Stage};
use crate::scenario::Roles;
use crate::sim::{HostId, Unsupported};

/// Two sides of the links that a fault strikes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Ends {
    pub from: Roles,
    pub to: Roles,
    /// Whether bytes from `to` to `from` still travel as ever.
    pub one_way: bool,
}

impl Ends {
    pub fn parse(
        section: &mut Section,
        known: &Known<'_>,
        problems: &mut Problems,
    ) -> Option<Self> {
        let one_way = section.boolean("one-way", problems).unwrap_or(false);
        let from = keys::roles(section, "from", known, false, problems);
        let to = keys::roles(section, "to", known, false, problems);
        Some(Self { from: from?, to: to?, one_way })
    }

    pub fn write(&self, out: &mut Writer) {
        out.roles("from", &self.from);
        out.roles("to", &self.to);
        out.plain("one-way", self.one_way);
    }

    /// The links, and how the report says it: `b1 cut off from and to b2`.
    pub fn aim(&self, scene: &dyn Scene, how: &str) -> Hit {
        let from = scene.hosts(&self.from, Fits::All);
        // A side is not cut off from itself: `from` against `everyone` means all others, and a
        // minority against a majority two halves of the cluster.
        let to = scene.others(&self.to, &from);
        let way = if self.one_way { "to" } else { "from and to" };
        let what = format!("{} {how} {way} {}", scene.describe(&from), scene.describe(&to));
        Hit::links(scene, pairs(&from, &to, self.one_way), what)
    }

    /// The same with one host on the far side, where there are several.
    pub fn smaller(&self) -> impl Iterator<Item = Self> {
        self.to.fewer().into_iter().map(|to| Self { to, ..self.clone() })
    }

    /// The same with the other direction cut or left.
    pub fn turned(&self) -> Self {
        Self { one_way: !self.one_way, ..self.clone() }
    }

    #[cfg(test)]
    pub fn any() -> impl proptest::strategy::Strategy<Value = Self> {
        use super::any;
        use proptest::prelude::*;
        (any::hosts(), any::hosts(), any::<bool>()).prop_map(|(from, to, one_way)| Self {
            from,
            to,
            one_way,
        })
    }
}

/// The links that were hit get their new properties.
pub fn refit(stage: &mut dyn Stage, hit: &Hit) -> Result<Begins, Unsupported> {
    hit.links.iter().try_for_each(|(from, to)| stage.refit_link(*from, *to))?;
    Ok(Begins::Now)
}

/// The links that were hit are as before.
pub fn restore(stage: &mut dyn Stage, hit: &Hit) {
    for (from, to) in &hit.links {
        // It could be changed when the fault struck.
        let _ = stage.refit_link(*from, *to);
    }
}

/// The directions between two sides.
fn pairs(from: &[HostId], to: &[HostId], one_way: bool) -> Vec<(HostId, HostId)> {
    let mut pairs = Vec::new();
    for one in from {
        for other in to {
            pairs.push((*one, *other));
            if !one_way {
                pairs.push((*other, *one));
            }
        }
    }
    pairs
}
