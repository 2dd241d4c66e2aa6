//! A data directory from its first start to a clean end, and what a crash leaves of it.

use std::collections::BTreeMap;
use std::fs;

use crate::base::{BrokerEpoch, BrokerId, DirectoryId, Offset, TopicId, TopicPartition};
use crate::io::real::RealDisk;
use crate::log::testing::{NOW, RealLog, fill, tiny};
use crate::log::{DirError, Found, Identity, Log, LogDir, LogError};

const TOPIC: TopicId = TopicId([9; 16]);

fn identity(cluster: &str) -> Identity {
    Identity {
        node: BrokerId(1),
        cluster: Some(cluster.to_owned()),
        fresh_cluster: TopicId::ZERO,
        fresh_directory: DirectoryId([5; 16]),
        flaws: crate::base::Flaws::default(),
    }
}

async fn open(home: &tempfile::TempDir) -> (LogDir<RealDisk>, Found) {
    LogDir::open(RealDisk, home.path().join("data"), identity("us")).await.unwrap()
}

async fn open_log(dir: &LogDir<RealDisk>, found: &Found, partition: &TopicPartition) -> RealLog {
    let path = dir.create_partition(partition, TOPIC).await.unwrap();
    Log::open(RealDisk, path, tiny(), found.recovery(partition), NOW).await.unwrap().0
}

#[tokio::test]
async fn clean_end_is_noticed_once() {
    let home = tempfile::tempdir().unwrap();
    let partition = TopicPartition::new("orders", 2);
    let (dir, found) = open(&home).await;
    assert_eq!(found, Found::default());
    assert_eq!((dir.cluster_id(), dir.id()), ("us", DirectoryId([5; 16])));
    let mut log = open_log(&dir, &found, &partition).await;
    fill(&mut log, 5, 3, 1);
    let marks = BTreeMap::from([(partition.clone(), log.close().await.unwrap())]);
    dir.save_recovery_points(&marks).await.unwrap();
    let offsets = BTreeMap::from([(partition.clone(), Offset(12))]);
    dir.save_high_watermarks(&offsets).await.unwrap();
    dir.mark_clean(BrokerEpoch(77)).await.unwrap();
    let marker = fs::read_to_string(dir.path().join(".kafka_cleanshutdown")).unwrap();
    assert_eq!(marker, r#"{"version":0,"brokerEpoch":77}"#);
    let saved = fs::read_to_string(dir.path().join("recovery-point-offset-checkpoint")).unwrap();
    assert_eq!(saved, "0\n1\norders 2 15\n");

    let (_, found) = open(&home).await;
    assert!(found.clean);
    assert_eq!(found.previous_broker_epoch, Some(BrokerEpoch(77)));
    assert_eq!(found.partitions, BTreeMap::from([(partition.clone(), Some(TOPIC))]));
    assert_eq!(found.high_watermarks, offsets);
    assert_eq!(found.recovery(&partition).recovery_point, Offset(15));

    let (_, found) = open(&home).await;
    assert!(!found.clean, "the start before may have changed something");
}

#[tokio::test]
async fn empty_marker_of_an_older_kafka_counts() {
    let home = tempfile::tempdir().unwrap();
    let (dir, _) = open(&home).await;
    fs::write(dir.path().join(".kafka_cleanshutdown"), "").unwrap();
    let (_, found) = open(&home).await;
    assert!(found.clean && found.previous_broker_epoch.is_none());
}

#[tokio::test]
async fn directory_of_another_cluster_is_left_alone() {
    let home = tempfile::tempdir().unwrap();
    let (dir, _) = open(&home).await;
    dir.mark_clean(BrokerEpoch(1)).await.unwrap();
    let refused = LogDir::open(RealDisk, dir.path().to_owned(), identity("them")).await;
    assert!(matches!(refused, Err(DirError::OtherCluster { .. })));
    assert!(open(&home).await.1.clean, "not even its marker was touched");
}

#[tokio::test]
async fn deleted_partition_leaves_nothing_to_its_namesake() {
    let home = tempfile::tempdir().unwrap();
    let (old, other) = (TopicPartition::new("orders", 0), TopicPartition::new("orders", 1));
    let (dir, found) = open(&home).await;
    let mut marks = BTreeMap::new();
    for partition in [&old, &other] {
        let mut log = open_log(&dir, &found, partition).await;
        fill(&mut log, 5, 3, 1);
        marks.insert(partition.clone(), log.close().await.unwrap());
    }
    dir.save_recovery_points(&marks).await.unwrap();
    let starts = BTreeMap::from([(old.clone(), Offset(3)), (other.clone(), Offset(3))]);
    dir.save_log_starts(&starts).await.unwrap();

    let (dir, _) = open(&home).await;
    let deleted = || {
        fs::read_dir(dir.path())
            .unwrap()
            .any(|entry| entry.unwrap().file_name().to_str().unwrap().ends_with("-delete"))
    };
    let remove = dir.delete_partition(&old, TopicId([1; 16])).await.unwrap();
    assert!(deleted() && !dir.partition_dir(&old).exists(), "its files are there for a while");
    remove().unwrap();
    assert!(!deleted());
    let again = dir.delete_partition(&old, TopicId([1; 16])).await.unwrap();
    again().unwrap();
    // Someone had collected these before.
    dir.save_recovery_points(&marks).await.unwrap();
    dir.save_log_starts(&starts).await.unwrap();
    let (_, found) = open(&home).await;
    assert_eq!(found.partitions.keys().collect::<Vec<_>>(), [&other]);
    assert_eq!(found.recovery(&old).recovery_point, Offset(0));
    assert_eq!(found.recovery(&old).log_start, Offset(0));
    assert_eq!(found.recovery(&other).recovery_point, Offset(15));
}

#[tokio::test]
async fn deletion_that_was_begun_is_finished_at_the_next_start() {
    let home = tempfile::tempdir().unwrap();
    let (dir, _) = open(&home).await;
    let begun = dir.path().join("orders-0.0123456789abcdef0123456789abcdef-delete");
    fs::create_dir(&begun).unwrap();
    fs::write(begun.join("00000000000000000000.log"), "x").unwrap();
    fs::write(dir.path().join("replication-offset-checkpoint.4.tmp"), "x").unwrap();
    let (dir, found) = open(&home).await;
    assert!(found.partitions.is_empty() && !begun.exists());
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "only meta.properties");
}

#[tokio::test]
async fn older_recovery_point_never_replaces_a_newer_one() {
    let home = tempfile::tempdir().unwrap();
    let partition = TopicPartition::new("orders", 0);
    let (dir, found) = open(&home).await;
    let mut log = open_log(&dir, &found, &partition).await;
    fill(&mut log, 5, 3, 1);
    let flushed = log.flush_plan().run().await.unwrap();
    log.flushed(&flushed);
    let of = |mark| BTreeMap::from([(partition.clone(), mark)]);
    let high = of(log.mark_recovery_point());
    assert!(log.truncate_to(Offset(6)).is_err());
    let low = of(log.mark_recovery_point());
    let (saved_low, saved_high) = (dir.save_recovery_points(&low), dir.save_recovery_points(&high));
    saved_high.await.unwrap();
    saved_low.await.unwrap();
    let (_, found) = open(&home).await;
    assert_eq!(found.recovery(&partition).recovery_point, Offset(6));
}

#[tokio::test]
async fn log_is_not_called_clean_beyond_what_was_synced() {
    let home = tempfile::tempdir().unwrap();
    let partition = TopicPartition::new("orders", 2);
    let (dir, found) = open(&home).await;
    let mut log = open_log(&dir, &found, &partition).await;
    let clean = BTreeMap::from([(partition.clone(), Offset(12))]);
    let saved = || fs::read_to_string(dir.path().join("cleaner-offset-checkpoint")).unwrap();
    dir.save_cleaner_offsets(&clean).await.unwrap();
    assert_eq!(saved(), "0\n1\norders 2 0\n");
    fill(&mut log, 5, 3, 1);
    crate::log::testing::flush(&mut log).await;
    let mark = log.mark_recovery_point();
    dir.save_recovery_points(&BTreeMap::from([(partition.clone(), mark)])).await.unwrap();
    dir.save_cleaner_offsets(&clean).await.unwrap();
    assert_eq!(saved(), "0\n1\norders 2 12\n");
    log.recovery_point_saved(&mark);
    // What takes the place of what is truncated was never cleaned.
    assert!(log.truncate_to(Offset(6)).is_err(), "the checkpoints come first");
    let mark = log.mark_recovery_point();
    dir.save_recovery_points(&BTreeMap::from([(partition.clone(), mark)])).await.unwrap();
    assert_eq!(saved(), "0\n1\norders 2 6\n");
}

/// Writes a text into each checkpoint in turn: what it does to the directory.
async fn with_checkpoint(text: &str) -> Vec<Result<Found, String>> {
    let mut outcomes = Vec::new();
    for file in ["recovery-point", "replication", "log-start", "cleaner"] {
        let home = tempfile::tempdir().unwrap();
        let (dir, _) = open(&home).await;
        fs::write(dir.path().join(format!("{file}-offset-checkpoint")), text).unwrap();
        let opened = LogDir::open(RealDisk, dir.path().to_owned(), identity("us")).await;
        outcomes.push(opened.map(|(_, found)| found).map_err(|error| {
            assert!(matches!(error, DirError::Checkpoint(_)), "{error}");
            assert!(error.condemns_directory() && error.to_string().contains(file), "{error}");
            error.to_string()
        }));
    }
    outcomes
}

#[tokio::test]
async fn malformed_checkpoint_costs_its_directory() {
    for text in ["1\n0\n", "0\n2\norders 2 15\n", "0\n1\norders 2\n", "noise"] {
        for outcome in with_checkpoint(text).await {
            assert!(outcome.unwrap_err().contains("remove the file to have"), "{text:?}");
        }
    }
}

#[tokio::test]
async fn empty_checkpoint_is_accepted() {
    for outcome in with_checkpoint("").await {
        assert_eq!(outcome, Ok(Found::default()));
    }
}

#[tokio::test]
async fn recovery_point_or_log_start_that_is_not_a_number_is_reset() {
    let outcomes = with_checkpoint("0\n1\norders 2 1x\n").await;
    let [recovery_point, high_watermark, log_start, cleaner] = outcomes.try_into().unwrap();
    assert_eq!((recovery_point, log_start), (Ok(Found::default()), Ok(Found::default())));
    let line = ":3: `orders 2 1x` is not a partition and an offset";
    assert!(high_watermark.unwrap_err().contains(line));
    assert!(cleaner.unwrap_err().contains(line));
}

#[test]
fn permission_error_names_the_user_that_needs_access() {
    let denied = std::io::ErrorKind::PermissionDenied.into();
    let told = LogError::io("open", std::path::Path::new("/data/meta.properties"))(denied);
    assert_eq!(
        told.to_string(),
        "/data/meta.properties: can't open: permission denied; let the user of this process read \
         and write there, or name another directory"
    );
}
