//! What a metadata log is refused for, and what is no more than the torn end of a crash.

use std::fs;

use crate::base::Offset;
use crate::io::real::RealDisk;
use crate::log::testing::{Home, batch, fill, flush, lead, tiny};
use crate::log::{LogError, Recovery, refuse_damage};
use crate::wire::batch::set_base_sequence;

/// A log as a controller writes it: 40 batches of one record in several segments. The last three
/// were in flight together when the process ended.
async fn written() -> (Home, Vec<(Offset, std::path::PathBuf, Vec<u8>)>) {
    let home = Home::new(tiny());
    let mut log = home.open().await;
    for number in 0..40 {
        let mut bytes = batch(1);
        let in_flight = log.log_end().0 - log.recovery_point().0;
        set_base_sequence(&mut bytes, in_flight as i32);
        lead(&mut log, bytes, 1);
        if number < 37 {
            flush(&mut log).await;
        }
    }
    let bases: Vec<Offset> = log.segment_bases().collect();
    assert!(bases.len() >= 4, "{bases:?}");
    drop(log);
    let read = |base: Offset| {
        let path = home.file(&format!("{:020}.log", base.0));
        let bytes = fs::read(&path).unwrap();
        (base, path, bytes)
    };
    let files = bases.into_iter().map(read).collect();
    (home, files)
}

fn check(home: &Home, recovery_point: i64, clean: bool) -> Result<(), LogError> {
    let recovery_point = Offset(recovery_point);
    let known = Recovery { recovery_point, clean, ..Recovery::default() };
    refuse_damage(&RealDisk, &home.path(), known)
}

fn refused_at(checked: Result<(), LogError>) -> i64 {
    match checked {
        Err(LogError::Corrupt { offset, .. }) => offset.0,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn every_damaged_batch_that_was_synced_is_refused_after_any_stop() {
    let (home, files) = written().await;
    let size = batch(1).len();
    for (base, path, bytes) in &files {
        for (index, at) in (0..bytes.len()).step_by(size).enumerate() {
            let offset = base.0 + index as i64;
            // The offset, the length, the magic, and what the checksum covers.
            for byte in [7, 11, 16, 20, 30, 55, size - 1] {
                let mut damaged = bytes.clone();
                damaged[at + byte] ^= 0x40;
                fs::write(path, &damaged).unwrap();
                let proven = offset < 37;
                let checked = check(&home, 0, false);
                match proven {
                    true => assert_eq!(refused_at(checked), offset, "byte {byte}"),
                    false => checked.unwrap(),
                }
                assert_eq!(refused_at(check(&home, 0, true)), offset, "after a clean stop");
                assert_eq!(refused_at(check(&home, 40, false)), offset, "below what is saved");
                assert_eq!(fs::read(path).unwrap(), damaged, "nothing is changed");
            }
        }
        fs::write(path, bytes).unwrap();
    }
    check(&home, 40, true).unwrap();
}

#[tokio::test]
async fn missing_segment_is_refused_unless_it_is_the_first() {
    let (home, files) = written().await;
    for (base, path, bytes) in &files[1..] {
        fs::remove_file(path).unwrap();
        assert_eq!(refused_at(check(&home, 40, false)), base.0);
        if *base != files.last().unwrap().0 {
            assert_eq!(refused_at(check(&home, 0, false)), base.0);
        }
        fs::write(path, bytes).unwrap();
    }
    for (_, path, _) in &files {
        fs::remove_file(path).unwrap();
    }
    let error = check(&home, 40, true).unwrap_err().to_string();
    assert!(error.ends_with("the log ends at offset 0, and 40 is due"), "{error}");
    check(&home, 0, true).unwrap();
}

#[tokio::test]
async fn shorter_log_is_refused_below_what_was_saved() {
    let (home, files) = written().await;
    let (base, path, bytes) = files.last().unwrap();
    let size = batch(1).len();
    for len in 0..bytes.len() {
        fs::write(path, &bytes[..len]).unwrap();
        assert_eq!(refused_at(check(&home, 40, false)), base.0 + (len / size) as i64);
        // A crash may leave it so.
        check(&home, 0, false).unwrap();
    }
}

#[tokio::test]
async fn batches_in_flight_together_may_be_lost_in_any_order() {
    let (home, files) = written().await;
    let (_, path, bytes) = files.last().unwrap();
    let size = batch(1).len();
    for lost in [&[3][..], &[2], &[1], &[2, 3], &[1, 3]] {
        let mut left = bytes.clone();
        for back in lost {
            let from = bytes.len() - back * size;
            left[from..from + size].fill(0);
        }
        fs::write(path, &left).unwrap();
        check(&home, 0, false).unwrap();
        // All before them was synced.
        let from = bytes.len() - 4 * size;
        left[from + 30] ^= 1;
        fs::write(path, &left).unwrap();
        let last = lost.contains(&1) && lost.contains(&2) && lost.contains(&3);
        if !last {
            assert_eq!(refused_at(check(&home, 0, false)), 36, "{lost:?}");
        }
    }
}

#[tokio::test]
async fn later_epoch_proves_that_all_before_it_was_synced() {
    let home = Home::new(tiny());
    let mut log = home.open().await;
    // As written before batches said what was in flight.
    fill(&mut log, 4, 1, 1);
    fill(&mut log, 2, 1, 2);
    drop(log);
    let (path, size) = (home.file("00000000000000000000.log"), batch(1).len());
    let bytes = fs::read(&path).unwrap();
    for (batch, proven) in [(0, true), (1, true), (3, true), (4, true), (5, false)] {
        let mut damaged = bytes.clone();
        damaged[batch * size + 30] ^= 1;
        fs::write(&path, damaged).unwrap();
        assert_eq!(check(&home, 0, false).is_err(), proven, "batch {batch}");
    }
}
