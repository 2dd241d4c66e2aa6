//! Enumerated crash states: work on a log is recorded, power is lost after every call, under each
//! order that a file system may keep, and every state recovers to a valid log.
#![allow(
    clippy::disallowed_methods,
    reason = "tests and benchmarks look at the real world from outside"
)]

#[path = "crashes/aging.rs"]
mod aging;
#[path = "crashes/operations.rs"]
mod operations;
#[path = "crashes/judge.rs"]
mod judge;
#[path = "crashes/keys.rs"]
mod keys;
#[path = "crashes/workload.rs"]
mod workload;

use std::collections::BTreeSet;

use brokerquake::base::Flaws;
use brokerquake::sim::Survival;
use brokerquake::sim::crash::{Bound, Found, History, Order, Step};
use proptest::prelude::*;
use xxhash_rust::xxh3::Xxh3;

use operations::Operation::{self, *};
use operations::{APPEND, BIG, drawn, workloads};
use workload::{Content, Recording, boot, go_on, machine, record};

fn digest(found: &Found) -> u128 {
    let mut hasher = Xxh3::new();
    for (path, bytes) in found {
        hasher.update(path.as_bytes());
        hasher.update(&[0, u8::from(bytes.is_some())]);
        let bytes = bytes.as_deref().unwrap_or_default();
        hasher.update(&(bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    }
    hasher.digest128()
}

#[derive(Debug, Default)]
struct Count {
    /// Number of places where power was lost, times orders.
    crashes: u64,
    /// Number of states shown.
    shown: u64,
    /// Distinct pairs of state and promises: each is recovered and judged.
    judged: u64,
    /// Distinct states.
    states: BTreeSet<u128>,
}

/// Checks every state after every call of a recording, in each order; returns the first wrong one.
fn enumerate(
    recording: &Recording,
    flaws: Flaws,
    bound: Bound,
    count: &mut Count,
) -> Result<(), String> {
    enumerate_from(0, recording, flaws, bound, count)
}

/// The same, with power losses only after this many calls.
fn enumerate_from(
    first: usize,
    recording: &Recording,
    flaws: Flaws,
    bound: Bound,
    count: &mut Count,
) -> Result<(), String> {
    let mut history = History::of(&Found::new());
    let mut judged = BTreeSet::new();
    let mut before = None;
    for calls in 0..=recording.steps.len() {
        let last = calls.checked_sub(1).map(|last| &recording.steps[last]);
        last.inspect(|step| history.step(step).unwrap());
        // With different promises, a state is judged again.
        let may = recording.may_after(calls);
        let must = recording.must_after(calls);
        let question = (
            (must.end(), must.batches.len(), may.len()),
            (recording.least_start_after(calls), recording.is_there_after(calls)),
        );
        // If nothing happened that a crash can show, all states were shown before.
        let began = last.is_some_and(Step::only_begins);
        if calls < first || before.replace(question) == Some(question) && began {
            continue;
        }
        for order in Order::ALL {
            count.crashes += 1;
            let mut wrong = None;
            history.states(order, bound, |found| {
                count.shown += 1;
                let digest = digest(&found);
                count.states.insert(digest);
                if wrong.is_some() || !judged.insert((digest, question)) {
                    return;
                }
                count.judged += 1;
                let goes_on = digest.is_multiple_of(8);
                let verdict = judge::judge(recording, calls, &found, flaws, goes_on);
                wrong = verdict.err().map(|why| tell(recording, calls, order, &found, &why));
            });
            wrong.map_or(Ok(()), Err)?;
        }
    }
    Ok(())
}

/// A report to reproduce the state.
fn tell(recording: &Recording, calls: usize, order: Order, found: &Found, why: &str) -> String {
    let mut text = format!("{why}\nafter {calls} calls, {order:?}:\n");
    for step in &recording.steps[calls.saturating_sub(12)..calls] {
        text.push_str(&format!("  {step}\n"));
    }
    text.push_str("left:\n");
    for (path, bytes) in found {
        let size =
            bytes.as_ref().map_or("directory".into(), |bytes| format!("{} bytes", bytes.len()));
        text.push_str(&format!("  {path}: {size}\n"));
    }
    text
}

#[test]
fn every_crash_state_recovers_to_a_valid_log() {
    let mut count = Count::default();
    let began = std::time::Instant::now();
    let all = workloads().into_iter().map(|(name, operations)| (name.to_owned(), operations));
    let only = std::env::var("BROKERQUAKE_SCENARIO").ok();
    for (name, operations) in all.chain((0..4).map(|seed| (format!("drawn {seed}"), drawn(seed)))) {
        if only.as_ref().is_some_and(|only| *only != name) {
            continue;
        }
        let recording = record(&operations, Flaws::default());
        let before = (count.shown, count.judged, count.states.len());
        let told = enumerate(&recording, Flaws::default(), Bound::default(), &mut count);
        eprintln!(
            "{name}: {} calls, {} states shown, {} judged, {} new, {:.1} s so far",
            recording.steps.len(),
            count.shown - before.0,
            count.judged - before.1,
            count.states.len() - before.2,
            began.elapsed().as_secs_f64(),
        );
        told.unwrap_or_else(|why| panic!("{name}: {why}"));
    }
    eprintln!(
        "{} crashes, {} states shown, {} judged, {} distinct, {:.1} s",
        count.crashes,
        count.shown,
        count.judged,
        count.states.len(),
        began.elapsed().as_secs_f64()
    );
    let enough = only.is_some() || count.states.len() >= 100_000;
    assert!(enough, "only {} distinct states were judged", count.states.len());
}

/// Whether some state of a log with a flaw is judged as wrong.
#[cfg(any(debug_assertions, feature = "mutants"))]
fn caught(flaw: brokerquake::base::Flaw, operations: &[Operation]) -> Result<(), String> {
    let bound = Bound { contents: 10, names: 12, combinations: 24 };
    let sound = record(operations, Flaws::default());
    let told = enumerate(&sound, Flaws::default(), bound, &mut Count::default());
    told.unwrap_or_else(|why| panic!("without {}: {why}", flaw.name()));
    let flaws = Flaws::only(flaw);
    enumerate(&record(operations, flaws), flaws, bound, &mut Count::default())
}

#[cfg(any(debug_assertions, feature = "mutants"))]
#[test]
fn stale_clean_shutdown_marker_is_caught() {
    let operations = [APPEND, CleanRestart, APPEND, BIG, APPEND];
    let why = caught(brokerquake::base::Flaw::TrustDirtyStart, &operations).unwrap_err();
    assert!(why.contains("can't be opened") || why.contains("offset"), "{why}");
}

#[cfg(any(debug_assertions, feature = "mutants"))]
#[test]
fn missing_directory_sync_is_caught() {
    let operations = [APPEND, BIG, APPEND, Flush, Checkpoint, APPEND];
    let why = caught(brokerquake::base::Flaw::NoDirectorySync, &operations).unwrap_err();
    let told = ["missing", "below its recovery point", "the log starts at"];
    assert!(told.iter().any(|told| why.contains(told)), "{why}");
}

#[cfg(any(debug_assertions, feature = "mutants"))]
#[test]
fn rename_before_sync_of_a_checkpoint_is_caught() {
    let operations = [APPEND, Flush, Checkpoint, APPEND];
    let why = caught(brokerquake::base::Flaw::RenameBeforeSync, &operations).unwrap_err();
    assert!(why.contains("recovery-point-offset-checkpoint") || why.contains("meta"), "{why}");
}

#[cfg(any(debug_assertions, feature = "mutants"))]
#[test]
fn recovery_without_checksums_is_caught() {
    let why = caught(brokerquake::base::Flaw::ServeBadCrc, &[APPEND, BIG, APPEND]).unwrap_err();
    assert!(why.contains("checksum") || why.contains("CRC"), "{why}");
}

/// The problem without one sync, for each sync of a recording from `last` on.
fn without_one_sync(operations: &[Operation], last: Operation) -> Vec<(String, Option<String>)> {
    let bound = Bound { contents: 10, names: 24, combinations: 24 };
    let before = record(operations, Flaws::default()).steps.len();
    let operations = [operations, &[last]].concat();
    let all = record(&operations, Flaws::default());
    let judge = |recording: &Recording| {
        enumerate_from(before, recording, Flaws::default(), bound, &mut Count::default())
    };
    judge(&all).unwrap();
    let began = all.steps[before..].iter().filter_map(|step| match step {
        Step::BeginSync { file, sync } => Some((all.name_of(*file), *sync)),
        Step::BeginSyncDir { path, sync } => Some((format!("/{path}"), *sync)),
        _ => None,
    });
    let judged = began.map(|(what, forgotten)| {
        let mut recording = record(&operations, Flaws::default());
        for step in &mut recording.steps {
            if let Step::BeginSync { sync, .. }
            | Step::BeginSyncDir { sync, .. }
            | Step::EndSync { sync } = step
                && *sync == forgotten
            {
                // Creates nothing, because the root exists.
                *step = Step::CreateDir { path: String::new() };
            }
        }
        (what, judge(&recording).err())
    });
    judged.collect()
}

/// The problems for the syncs whose name contains `what`.
fn needed<'a>(judged: &'a [(String, Option<String>)], what: &str) -> Vec<Option<&'a str>> {
    let of = judged.iter().filter(|(name, _)| name.ends_with(what));
    of.map(|(_, wrong)| wrong.as_deref().and_then(|why| why.lines().next())).collect()
}

#[test]
fn cleaning_without_a_sync_is_caught() {
    let put = |keys| Put { keys, size: 60 };
    // The second cleaning merges the two segments that the first one left.
    let mut operations: Vec<Operation> = ["abc", "abd", "abe", "ab", "afg"].map(put).into();
    operations.extend([Flush, Clean, put("abf"), put("abc"), Flush]);
    let judged = without_one_sync(&operations, Clean);
    let batches = needed(&judged, ".log.cleaned");
    assert_eq!(batches.len(), 2, "{judged:?}");
    assert!(batches.iter().all(|wrong| wrong.is_some_and(|why| why.contains("never in the log"))));
    let names = needed(&judged, "/t-0");
    assert!(names[2].is_some(), "old segments go only after the new one has its name: {names:?}");
}

#[test]
fn retention_without_a_durable_log_start_is_caught() {
    let judged = without_one_sync(&[APPEND, BIG, APPEND, BIG, Flush], Expire { keep: 600 });
    let names = needed(&judged, "/");
    assert!(names[0].is_some_and(|why| why.contains("were deleted")), "{judged:?}");
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        5 => (1..4usize, 1..120usize).prop_map(|(records, size)| Append { records, size }),
        2 => Just(BIG),
        4 => (1..3i64, 1..3usize).prop_map(|(producer, records)| Produce { producer, records }),
        1 => any::<bool>().prop_map(|saved| NewEpoch { saved }),
        1 => Just(FlushRolled),
        2 => Just(Flush),
        1 => Just(Checkpoint),
        1 => Just(Killed),
        1 => Just(CleanRestart),
        1 => Just(Recreate),
    ]
}

/// Operations on a compacted log.
fn keyed() -> impl Strategy<Value = Operation> {
    let keys = || prop::sample::select(vec!["a", "ab", "abc", "cd", "bde", "f", "ag"]);
    prop_oneof![
        6 => (keys(), 1..120usize).prop_map(|(keys, size)| Put { keys, size }),
        1 => keys().prop_map(|keys| Remove { keys }),
        2 => (0..4i64, keys()).prop_map(|(missing, keys)| Follow { missing, keys }),
        1 => any::<bool>().prop_map(|saved| NewEpoch { saved }),
        1 => Just(FlushRolled),
        2 => Just(Flush),
        1 => Just(Checkpoint),
        3 => Just(Clean),
        1 => (0..1500u64).prop_map(|keep| Expire { keep }),
        1 => Just(Killed),
        1 => Just(CleanRestart),
    ]
}

/// A truncation comes together with the epoch of the leader that causes it.
fn operations() -> impl Strategy<Value = Vec<Operation>> {
    let cut = (1..5usize, any::<bool>())
        .prop_map(|(batches, saved)| vec![Truncate { batches }, NewEpoch { saved }]);
    let some = prop_oneof![12 => operation().prop_map(|operation| vec![operation]), 2 => cut];
    prop::collection::vec(some, 1..14).prop_map(|some| some.concat())
}

fn survival() -> impl Strategy<Value = Survival> {
    prop_oneof![
        1 => Just(Survival::Nothing),
        3 => Just(Survival::Drawn),
        2 => Just(Survival::Weakest),
        2 => Just(Survival::Ext4Ordered),
        1 => Just(Survival::Everything),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..Default::default() })]

    #[test]
    fn power_loss_only_shortens_a_log(
        rounds in prop::collection::vec((operations(), survival()), 1..5),
    ) {
        let machine = machine();
        let (mut content, mut epoch) = (Content::default(), 0);
        for (operations, survival) in &rounds {
            let recording = go_on(&machine, operations, Flaws::default(), (&content, None, epoch));
            epoch = recording.epoch;
            machine.power_loss(survival);
            match judge::judge_machine(&recording, &boot(&machine)) {
                Ok(found) => content = found.unwrap_or_default(),
                Err(why) => panic!("{survival:?}: {why}"),
            }
        }
    }

    #[test]
    fn power_loss_takes_no_synced_key_of_a_compacted_log(
        rounds in prop::collection::vec((prop::collection::vec(keyed(), 1..14), survival()), 1..5),
    ) {
        let machine = machine();
        let (mut content, mut epoch) = (Content::default(), 0);
        let mut history = keys::History::default();
        for (operations, survival) in &rounds {
            let recording = go_on(&machine, operations, Flaws::default(), (&content, Some(history), epoch));
            epoch = recording.epoch;
            machine.power_loss(survival);
            match judge::judge_machine(&recording, &boot(&machine)) {
                Ok(found) => content = found.unwrap_or_default(),
                Err(why) => panic!("{survival:?}: {why}"),
            }
            history = recording.keyed.unwrap();
        }
    }
}
