//! Decides whether a recovered log is valid.

use std::collections::BTreeMap;

use brokerquake::base::{Flaws, LeaderEpoch, Offset, Timestamp};
use brokerquake::io::{Disk, File};
use brokerquake::log::{Epochs, Log};
use brokerquake::sim::Survival;
use brokerquake::sim::crash::{Found, lay_out};
use brokerquake::sim::disk::SimDisk;
use brokerquake::wire::batch::{self, BatchBuilder, BatchHeader};
use bytes::BytesMut;

use super::keys;
use super::workload::{Content, NOW, Recording, block_on, boot, machine, recover, root};

/// Recovers the log from a state that a crash after `calls` calls left, and judges it. With
/// `goes_on`, the log is also written to, loses power again, and is recovered again.
pub fn judge(
    recording: &Recording,
    calls: usize,
    found: &Found,
    flaws: Flaws,
    goes_on: bool,
) -> Result<(), String> {
    let machine = machine();
    let disk = boot(&machine);
    lay_out(&disk, root(), found).map_err(|error| error.to_string())?;
    let disk = if goes_on {
        machine.power_loss(&Survival::Everything);
        boot(&machine)
    } else {
        disk
    };
    block_on(async {
        let compacted = recording.is_compacted();
        let Some((dir, mut log)) = recover(&disk, flaws, compacted).await? else {
            return match recording.is_there_after(calls) {
                true => Err("the partition is gone".to_owned()),
                false => Ok(()),
            };
        };
        let content = check(recording, calls, &log)?;
        if !goes_on {
            return Ok(());
        }
        let written = go_on(&mut log, recording.newest_epoch()).await?;
        // The recovered part is now below the recovery point, and must not change.
        drop((dir, log));
        machine.power_loss(&Survival::Nothing);
        let disk = boot(&machine);
        let again = recover(&disk, flaws, compacted).await;
        let again = again.map_err(|why| format!("the next time: {why}"))?;
        let (_, log) = again.ok_or("the partition is gone after the next power loss")?;
        let mut expected = content;
        expected.batches.push(written);
        match read(&log)? == expected.batches {
            true => Ok(()),
            false => Err("what was recovered and flushed changed with the next crash".to_owned()),
        }
    })
}

/// Recovers a machine after a power loss, and judges it by what was recorded before.
pub fn judge_machine(recording: &Recording, disk: &SimDisk) -> Result<Option<Content>, String> {
    block_on(async {
        match recover(disk, Flaws::default(), recording.is_compacted()).await? {
            Some((_, log)) => check(recording, recording.steps.len(), &log).map(Some),
            None if recording.is_there_after(recording.steps.len()) => Err("it is gone".to_owned()),
            None => Ok(None),
        }
    })
}

/// Appends a batch in a new epoch, and syncs it. Controllers never reuse an epoch, even if a log
/// has forgotten it.
async fn go_on<D: Disk>(log: &mut Log<D>, newest: i32) -> Result<BatchHeader, String> {
    let mut builder = BatchBuilder::new(brokerquake::base::config::Compression::None, NOW);
    builder.append(NOW, Some(b"z"), Some(b"after the crash"), &[]);
    let mut bytes = BytesMut::from(&*builder.finish_plain());
    let epoch = LeaderEpoch(log.latest_epoch().0.max(newest) + 1);
    let appended = log.append_as_leader(&mut bytes, epoch, NOW);
    appended.map_err(|error| format!("the recovered log accepts no batch: {error}"))?;
    let flushed = log.flush_plan().run().await.map_err(|error| error.to_string())?;
    log.flushed(&flushed);
    batch::check(&bytes).map_err(|error| error.to_string())
}

/// Checks all requirements on a recovered log. Returns its content.
fn check<D: Disk>(recording: &Recording, calls: usize, log: &Log<D>) -> Result<Content, String> {
    let (start, end) = (log.log_start(), log.log_end());
    let batches = read(log)?;
    let content = Content { batches };
    let readable = |batch: &&BatchHeader| batch.last_offset() >= start;
    let starts = |all: &Content| {
        let mut whole = all.batches.iter().filter(readable);
        content.batches.iter().all(|batch| Some(batch) == whole.next())
    };
    if !recording.may_after(calls).into_iter().any(starts) {
        return Err(format!("batches {:?} were never in the log together", ends(&content)));
    }
    let first = match &recording.keyed {
        Some(history) => {
            keys::check(recording, history, calls, log, &content)?;
            keys::first(history, start, &content)
        }
        None => {
            check_synced(recording.must_after(calls), start, &content)?;
            check_epochs(log, &content)?;
            content.batches.first().map(|batch| batch.base_offset.max(start))
        }
    };
    let least = recording.least_start_after(calls);
    if start < least {
        return Err(format!("the log starts at {start}, but records below {least} were deleted"));
    }
    let known = recording.starts_after(calls);
    if !known.contains(&start) && start > Offset::ZERO {
        return Err(format!("the log starts at {start}, where it never started before: {known:?}"));
    }
    if content.batches.last().is_some_and(|last| last.next_offset() != end) {
        return Err(format!("the log ends at {end}, but its batches do not"));
    }
    check_producers(log, &content)?;
    check_lookups(log, &content, first)?;
    Ok(content)
}

/// Checks that all synced batches are there.
fn check_synced(must: &Content, start: Offset, content: &Content) -> Result<(), String> {
    let mut have = content.batches.iter();
    let mut readable = must.batches.iter().filter(|batch| batch.last_offset() >= start);
    match readable.all(|batch| have.next() == Some(batch)) {
        true => Ok(()),
        false => Err(format!("synced batches {:?} are missing: {:?}", ends(must), ends(content))),
    }
}

/// All batches that can be read, with one read for each.
fn read<D: Disk>(log: &Log<D>) -> Result<Vec<BatchHeader>, String> {
    let (mut batches, mut at) = (Vec::new(), log.log_start());
    while at < log.log_end() {
        let fetched = log.read(at, 1, log.log_end(), true).map_err(|error| error.to_string())?;
        let slice = fetched.slice.ok_or_else(|| format!("nothing is read at {at}"))?;
        let mut bytes = vec![0; slice.len as usize];
        slice.file.read_exact_at(&mut bytes, slice.offset).map_err(|error| error.to_string())?;
        let header = batch::check(&bytes).map_err(|why| format!("offset {at}: {why}"))?;
        if header.next_offset() <= at || header.next_offset() != fetched.next {
            return Err(format!("a read at {at} gave a batch up to {}", header.last_offset()));
        }
        at = fetched.next;
        batches.push(header);
    }
    Ok(batches)
}

fn check_epochs<D: Disk>(log: &Log<D>, content: &Content) -> Result<(), String> {
    let mut expected = Epochs::new();
    for batch in &content.batches {
        expected.assign(batch.leader_epoch, batch.base_offset);
    }
    expected.truncate_from_start(log.log_start());
    if content.batches.is_empty() || *log.epochs() == expected {
        return Ok(());
    }
    Err(format!("epochs are {:?}, batches say {:?}", log.epochs(), expected))
}

/// The last sequence number of each producer is that of its last batch. Producers of batches below
/// the log start may be known too.
fn check_producers<D: Disk>(log: &Log<D>, content: &Content) -> Result<(), String> {
    let with_producer = content.batches.iter().filter(|batch| batch.has_producer());
    let last: BTreeMap<_, _> =
        with_producer.map(|batch| (batch.producer_id, batch.last_sequence())).collect();
    for (producer, sequence) in &last {
        let known = log.producers().get(*producer).and_then(|known| known.batches.back());
        if known.map(|known| known.last_sequence) != Some(*sequence) {
            return Err(format!("producer {producer:?} is known as {known:?}, not at {sequence}"));
        }
    }
    let above = log.producers().iter().find(|(_, known)| {
        known.batches.back().is_some_and(|last| last.last_offset >= log.log_end())
    });
    above.map_or(Ok(()), |(producer, _)| Err(format!("producer {producer:?} is ahead of the log")))
}

/// Every offset lookup finds its batch, and every time lookup the first batch that reaches it.
fn check_lookups<D: Disk>(
    log: &Log<D>,
    content: &Content,
    first: Option<Offset>,
) -> Result<(), String> {
    for batch in &content.batches {
        let at = batch.last_offset();
        let fetched = log.read(at, 1, log.log_end(), true).map_err(|error| error.to_string())?;
        if fetched.next != batch.next_offset() {
            return Err(format!("a lookup of {at} ended at {}", fetched.next));
        }
    }
    let found = log.offset_for_timestamp(NOW).map_err(|error| error.to_string())?;
    if found.map(|found| found.offset) != first {
        return Err(format!("a lookup by time found {found:?}, the first record is {first:?}"));
    }
    match log.offset_for_timestamp(Timestamp(NOW.0 + 1)) {
        Ok(None) => Ok(()),
        other => Err(format!("a lookup of a later time found {other:?}")),
    }
}

fn ends(content: &Content) -> Vec<(i64, i64, i32)> {
    let of =
        |batch: &BatchHeader| (batch.base_offset.0, batch.last_offset().0, batch.leader_epoch.0);
    content.batches.iter().map(of).collect()
}
