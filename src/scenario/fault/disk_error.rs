//! `disk-error`: operations of one kind fail.

use super::super::document::{Problems, Section};
use super::super::known::Known;
use super::super::writer::Writer;
use super::{
    Begins, Cost, Drawn, Draws, Fits, Hit, Kind, Nature, Scene, Shape, Stage, Strike, Turned,
    Usual, keys,
};
use crate::scenario::{Range, Roles};
use crate::sim::Unsupported;
use crate::sim::disk::Failing;

/// Each key is how many operations of a kind fail; the last word is for the report.
const KEYS: [(&str, Failing, &str); 6] = [
    ("syncs", Failing::Sync, "failing syncs"),
    ("full-syncs", Failing::SyncFull, "syncs without space"),
    ("late-syncs", Failing::WriteBack, "errors reported late"),
    ("writes", Failing::Write, "short writes"),
    ("renames", Failing::Rename, "failing renames"),
    ("reads", Failing::Read, "failing reads"),
];

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct DiskError {
    target: Roles,
    what: Failing,
    /// How many operations fail.
    count: Range<u64>,
    /// Only those below this directory, one of `log.dirs`.
    dir: Option<String>,
    /// Whether the process is started again at the end, without which it does not use a directory
    /// that failed.
    restart: bool,
}

impl DiskError {
    fn words(&self) -> (&'static str, &'static str) {
        let found = KEYS.iter().find(|(_, what, _)| *what == self.what);
        found.map_or(("syncs", "failing syncs"), |(key, _, words)| (*key, *words))
    }
}

impl Kind for DiskError {
    const NAME: &'static str = "disk-error";
    const WEIGHT: u64 = 9;

    fn parse(section: &mut Section, known: &Known<'_>, problems: &mut Problems) -> Option<Self> {
        let given = section.has("dir");
        let dir = given.then(|| keys::log_dir(section, known, problems)).flatten();
        let target = keys::nodes(section, known, problems)?;
        let mut found = None;
        for (key, what, _) in KEYS {
            if section.has(key) {
                let count = keys::number(section, key, (1, 1_000_000), (1, 1), problems);
                if found.replace((what, count)).is_some() {
                    let one = "operations of one kind fail at a time: write two faults";
                    problems.add(section.line, one);
                }
            }
        }
        let (what, count) = found.unwrap_or((Failing::Sync, Range::just(1)));
        let restart = section.boolean("restart", problems).unwrap_or(false);
        Some(Self { target, what, count, dir, restart })
    }

    fn write(&self, out: &mut Writer) {
        out.roles("target", &self.target);
        out.range(self.words().0, &self.count);
        if let Some(dir) = &self.dir {
            out.text("dir", dir);
        }
        if self.restart {
            out.plain("restart", true);
        }
    }

    fn nature(&self) -> Nature<'_> {
        Nature::Strike(self)
    }

    fn ranges(&mut self) -> Vec<Drawn<'_>> {
        let key = self.words().0;
        vec![Drawn::Number(key, &mut self.count)]
    }

    fn retarget(&mut self, roles: Roles) {
        self.target = roles;
    }

    fn move_to(&mut self, dirs: &[String]) {
        keys::move_to(dirs, self.dir.as_mut(), &mut self.restart);
    }

    fn sample(usual: Usual, shape: &Shape, draws: &mut Draws) -> String {
        let (key, ..) = draws.one(&KEYS);
        let mut keys = format!("{}{key} = \"1..{}\"\n", usual.target, draws.number(1, 3));
        // A process with another directory continues without the one that failed.
        if shape.dirs.len() > 1 {
            keys.push_str("restart = true\n");
            if draws.chance(50) {
                keys.push_str(&format!("dir = \"{}\"\n", shape.dir(draws)));
            }
        }
        keys
    }

    #[cfg(test)]
    fn any() -> proptest::strategy::BoxedStrategy<Self> {
        use super::any;
        use proptest::prelude::*;
        let what = proptest::sample::select(KEYS.map(|(_, what, _)| what).to_vec());
        let dir = proptest::option::of(Just("/data".to_owned()));
        let count = any::numbers(1..=1_000_000);
        let parts = (any::nodes(), what, count, dir, proptest::bool::ANY);
        let error = parts.prop_map(|(target, what, count, dir, restart)| Self {
            target,
            what,
            count,
            dir,
            restart,
        });
        error.boxed()
    }
}

impl Strike for DiskError {
    fn aim(&self, scene: &dyn Scene) -> Hit {
        let hosts = scene.hosts(&self.target, Fits::Up);
        let (count, what) = (self.count.low, self.words().1);
        let place = self.dir.as_deref().unwrap_or("disk");
        let what = format!("{count} {what}, {place} of {}", scene.describe(&hosts));
        Hit::hosts(scene, hosts, what)
    }

    fn strike(&self, stage: &mut dyn Stage, hit: &Hit) -> Result<Begins, Unsupported> {
        let count = keys::count(self.count.low);
        for host in &hit.hosts {
            stage.fail_disk(*host, self.what, count, self.dir.as_deref());
        }
        Ok(Begins::Now)
    }

    fn end(&self, stage: &mut dyn Stage, hit: &Hit, _begun: bool) {
        for host in &hit.hosts {
            stage.fail_disk(*host, self.what, 0, None);
        }
        keys::start_again(stage, hit, self.restart);
    }

    fn may_cost(&self) -> Cost {
        // A process whose disk fails ends by itself. After EIO the pages are clean and the platter
        // has nothing (fsyncgate).
        Cost { ends_uncleanly: true, spoils_syncs: true, ..Cost::of_hosts(&self.target) }
    }

    fn turned(&self) -> Turned {
        Turned::Another(self.target.clone())
    }
}
