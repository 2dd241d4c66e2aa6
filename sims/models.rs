//! Random histories: the simulated disk against an obviously correct model, against the real file
//! system, and against what the fault model permits after a crash.
#![allow(
    clippy::disallowed_methods,
    reason = "tests and benchmarks look at the real world from outside"
)]

#[path = "models/ghost.rs"]
mod ghost;
#[path = "models/operations.rs"]
mod operations;

use std::collections::BTreeMap;
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use brokerquake::base::{Instant, Seed};
use brokerquake::io::real::RealDisk;
use brokerquake::io::{Disk, File, Open};
use brokerquake::sim::disk::{SimDisk, Sleep};
use brokerquake::sim::{HostId, Observer, Survival, Trace};
use parking_lot::Mutex;
use proptest::prelude::*;

use ghost::{Begun, Found, Ghost};
use operations::{Op, drive};

/// The root of all files.
const ROOT: &str = "/data";

type Sync = Pin<Box<dyn Future<Output = std::io::Result<()>> + Send>>;

/// A simulated disk, one process at a time, and the model.
struct Machine {
    hardware: SimDisk,
    disk: SimDisk,
    files: Vec<<SimDisk as Disk>::File>,
    syncs: Vec<(Sync, Option<Begun>)>,
    ghost: Ghost,
}

impl Machine {
    fn new(seed: u64) -> Self {
        let trace = Arc::new(Mutex::new(Trace::default()));
        let now = Arc::new(|| Instant::START);
        let hardware = SimDisk::new(HostId(0), Seed(seed), now, Observer::default(), trace);
        let disk = boot(&hardware);
        disk.create_dir_all(Path::new(ROOT)).unwrap();
        block_on(disk.sync_dir(Path::new("/"))).unwrap();
        Self { hardware, disk, files: Vec::new(), syncs: Vec::new(), ghost: Ghost::default() }
    }

    /// Applies one operation to both; checks the result of a crash.
    fn step(&mut self, op: &Op) {
        match op {
            Op::Kill => self.kill(),
            Op::PowerLoss(survival) => {
                self.hardware.power_loss(survival);
                self.judge(survival);
            }
            Op::BeginSync(_) | Op::BeginSyncDir(_) => self.begin(op),
            Op::FinishSync(index) if !self.syncs.is_empty() => {
                let (sync, begun) = self.syncs.remove(index % self.syncs.len());
                let result = block_on(sync);
                assert_eq!(result.is_ok(), begun.is_some(), "{result:?}");
                begun.inspect(|begun| self.ghost.finish(begun));
            }
            Op::FinishSync(_) => {}
            _ => {
                let told = block_on(drive(&self.disk, Path::new(ROOT), &mut self.files, op));
                assert_eq!(told, self.ghost.apply(op), "{op:?}");
            }
        }
    }

    /// Applies one operation; power may fail just before any call in it.
    fn step_or_die(&mut self, op: &Op, survival: &Survival) -> bool {
        let told = block_on(drive(&self.disk, Path::new(ROOT), &mut self.files, op));
        if self.hardware.struck() {
            self.judge(survival);
            return false;
        }
        assert_eq!(told, self.ghost.apply(op), "{op:?}");
        true
    }

    fn begin(&mut self, op: &Op) {
        let begun = self.ghost.begin(op);
        let mut sync: Sync = match op {
            Op::BeginSync(index) if !self.files.is_empty() => {
                Box::pin(self.files[index % self.files.len()].sync())
            }
            Op::BeginSyncDir(place) => Box::pin(self.disk.sync_dir(&place.under(Path::new(ROOT)))),
            _ => return,
        };
        match sync.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Pending => self.syncs.push((sync, begun)),
            Poll::Ready(result) => assert!(result.is_err() && begun.is_none(), "{result:?}"),
        }
    }

    fn kill(&mut self) {
        self.hardware.kill();
        self.reboot();
        assert_eq!(self.found(), self.ghost.cached());
        self.ghost.forget_handles();
    }

    fn judge(&mut self, survival: &Survival) {
        self.reboot();
        let found = self.found();
        match survival {
            Survival::Nothing => assert_eq!(found, self.ghost.stable()),
            Survival::Everything => assert_eq!(found, self.ghost.cached()),
            _ => self.ghost.explain(&found),
        }
        // The ghost judges names by what they name, so it has to know which of them are one file.
        let root = Path::new(ROOT);
        let same = |one: &str, other: &str| {
            self.hardware.is_same(root.join(one), root.join(other)).unwrap()
        };
        self.ghost = Ghost::of(&found, same);
    }

    fn reboot(&mut self) {
        self.files.clear();
        self.syncs.clear();
        self.disk = boot(&self.hardware);
    }

    fn found(&self) -> Found {
        let mut found = Found::new();
        collect(&self.disk, Path::new(ROOT), "", &mut found);
        found
    }
}

fn boot(hardware: &SimDisk) -> SimDisk {
    // A sync waits for one poll, so that other operations can run during it.
    let sleep: Sleep = Arc::new(|_| {
        let mut waited = false;
        Box::pin(std::future::poll_fn(move |_| {
            if std::mem::replace(&mut waited, true) { Poll::Ready(()) } else { Poll::Pending }
        }))
    });
    hardware.boot(sleep, Arc::new(|| {}))
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    loop {
        let polled = future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        if let Poll::Ready(value) = polled {
            return value;
        }
    }
}

/// All files and directories below a directory, by path.
fn collect<D: Disk>(disk: &D, dir: &Path, prefix: &str, found: &mut Found) {
    for entry in disk.list(dir).unwrap() {
        let (path, name) = (dir.join(&entry.name), format!("{prefix}{}", entry.name));
        if entry.is_dir {
            found.insert(name.clone(), None);
            collect(disk, &path, &format!("{name}/"), found);
        } else {
            let file = disk.open(&path, Open::Existing).unwrap();
            let mut bytes = vec![0; file.len().unwrap() as usize];
            file.read_exact_at(&mut bytes, 0).unwrap();
            found.insert(name, Some(bytes));
        }
    }
}

fn some_survival() -> impl Strategy<Value = Survival> {
    prop_oneof![
        1 => Just(Survival::Nothing),
        3 => Just(Survival::Drawn),
        1 => Just(Survival::Weakest),
        1 => Just(Survival::Ext4Ordered),
        1 => Just(Survival::Everything),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..Default::default() })]

    #[test]
    fn without_a_crash_the_disk_is_a_plain_file_system(
        ops in prop::collection::vec(operations::calls(), 1..80),
    ) {
        let mut machine = Machine::new(0);
        ops.iter().for_each(|op| machine.step(op));
        prop_assert_eq!(machine.found(), machine.ghost.cached());
    }

    #[test]
    fn a_kill_keeps_everything_and_stores_into_maps_too(
        ops in prop::collection::vec(
            prop_oneof![12 => operations::calls(), 2 => operations::syncs(), 1 => Just(Op::Kill)],
            1..80,
        ),
    ) {
        let mut machine = Machine::new(0);
        ops.iter().for_each(|op| machine.step(op));
        machine.step(&Op::Kill);
    }

    #[test]
    fn every_byte_and_name_after_a_power_loss_is_explained(
        seed: u64,
        ops in prop::collection::vec(
            prop_oneof![
                12 => operations::calls(),
                4 => operations::syncs(),
                1 => some_survival().prop_map(Op::PowerLoss),
            ],
            1..100,
        ),
        last in some_survival(),
    ) {
        let mut machine = Machine::new(seed);
        ops.iter().for_each(|op| machine.step(op));
        machine.step(&Op::PowerLoss(last));
    }

    #[test]
    fn file_under_syncs_and_truncation_is_explained(
        seed: u64,
        ops in prop::collection::vec(
            prop_oneof![
                8 => operations::calls_on_one_file(),
                1 => some_survival().prop_map(Op::PowerLoss),
            ],
            1..100,
        ),
    ) {
        let mut machine = Machine::new(seed);
        ops.iter().for_each(|op| machine.step(op));
        prop_assert_eq!(machine.found(), machine.ghost.cached());
        machine.step(&Op::PowerLoss(Survival::Nothing));
    }

    #[test]
    fn power_loss_between_operations_is_explained_by_earlier_ones(
        seed: u64,
        before in prop::collection::vec(
            prop_oneof![6 => operations::calls(), 2 => operations::syncs()],
            0..40,
        ),
        after in prop::collection::vec(operations::calls(), 1..40),
        strike in 0u64..40,
        survival in some_survival(),
    ) {
        let mut machine = Machine::new(seed);
        before.iter().for_each(|op| machine.step(op));
        machine.hardware.power_loss_at(strike, survival.clone());
        for op in &after {
            if !machine.step_or_die(op, &survival) {
                return Ok(());
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..Default::default() })]

    #[test]
    fn without_a_crash_the_disk_is_the_real_file_system(
        ops in prop::collection::vec(operations::calls(), 1..60),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let mut machine = Machine::new(0);
        let mut files = Vec::new();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        for op in &ops {
            // The effect of a sync is not visible here, and a real one takes long.
            if matches!(op, Op::Sync(_) | Op::SyncDir(_)) {
                continue;
            }
            let told = block_on(drive(&machine.disk, Path::new(ROOT), &mut machine.files, op));
            let real = runtime.block_on(drive(&RealDisk, dir.path(), &mut files, op));
            prop_assert_eq!(told, real, "{:?}", op);
        }
        let mut found = BTreeMap::new();
        collect(&RealDisk, dir.path(), "", &mut found);
        prop_assert_eq!(machine.found(), found);
    }
}
