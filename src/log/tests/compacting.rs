//! A compacted log against a plain list of records: whatever happens to both, of each key the latest
//! record is there.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::BytesMut;
use proptest::prelude::*;

use crate::base::config::Compression;
use crate::base::{LeaderEpoch, Offset, Timestamp};
use crate::io::real::RealDisk;
use crate::log::testing::{Home, NOW, RealLog, clean, flush, keyed, records_of, tiny};
use crate::log::{LogConfig, LogError, Recovery};
use crate::wire::batch::{Record, assign, records};

/// What may happen to a compacted log.
#[derive(Clone, Debug)]
enum Step {
    /// A leader appends a batch; `false` is a tombstone.
    Lead { records: Vec<(u8, bool)>, codec: usize },
    /// A follower appends one after a gap of `n` offsets: its leader was cleaned.
    Follow { records: Vec<(u8, bool)>, missing: i64, new_epoch: bool },
    /// A segment ends.
    Roll,
    /// The log is cleaned, with memory for `n` keys, after some time.
    Clean { keys: usize, later: i64 },
    /// All above a share of the log is truncated: another leader has something else.
    Truncate { share: u8 },
    /// What is below a share of the log is deleted, and its segments go.
    Delete { share: u8 },
    /// Old segments expire, so that the others have at least this size.
    Expire { keep: u64 },
    /// Everything is synced; the checkpoint may be saved, too.
    Flush { save: bool },
    /// The process ends in order and starts again.
    Restart,
    /// The process dies, perhaps in the middle of an append, and starts again.
    Crash { torn: usize },
}

fn step() -> impl Strategy<Value = Step> {
    let record = || (0..8u8, prop::bool::weighted(0.8));
    let batch = move || prop::collection::vec(record(), 1..6);
    prop_oneof![
        6 => (batch(), 0..5usize).prop_map(|(records, codec)| Step::Lead { records, codec }),
        3 => (batch(), 0..5i64, any::<bool>()).prop_map(
            |(records, missing, new_epoch)| Step::Follow { records, missing, new_epoch }
        ),
        2 => Just(Step::Roll),
        4 => (3..20usize, 0..2 * DAY).prop_map(|(keys, later)| Step::Clean { keys, later }),
        1 => any::<u8>().prop_map(|share| Step::Truncate { share }),
        1 => any::<u8>().prop_map(|share| Step::Delete { share }),
        1 => (0..4000u64).prop_map(|keep| Step::Expire { keep }),
        1 => any::<bool>().prop_map(|save| Step::Flush { save }),
        1 => Just(Step::Restart),
        2 => (0..90usize).prop_map(|torn| Step::Crash { torn }),
    ]
}

const DAY: i64 = 86_400_000;

fn config() -> LogConfig {
    LogConfig { compacted: true, delete_retention: Duration::from_secs(3600), ..tiny() }
}

/// What the log should be.
#[derive(Default)]
struct Model {
    /// All that was appended and not cut.
    records: Vec<Record>,
    start: Offset,
    end: Offset,
    /// Below this, what is not the latest of its key is gone.
    cleaned: Offset,
    /// A log is not cut below what was committed when it was cleaned or records were deleted.
    committed: Offset,
    epoch: i32,
}

impl Model {
    fn push(&mut self, bytes: &[u8], end: Offset) {
        self.records.extend(records(bytes, 1 << 20).unwrap());
        self.end = end;
    }

    fn truncate(&mut self, to: Offset) {
        self.records.retain(|record| record.offset < to);
        (self.start, self.end) = (self.start.min(to), to);
    }

    /// Whether these are what is left of the list when it is compacted.
    fn check(&self, left: &[Record]) {
        assert!(left.windows(2).all(|pair| pair[0].offset < pair[1].offset), "offsets rise");
        let mut latest = BTreeMap::new();
        for record in self.records.iter().filter(|record| record.offset < self.cleaned) {
            latest.insert(record.key.clone(), record);
        }
        let mut left = left.iter().peekable();
        for record in self.records.iter().filter(|record| record.offset >= self.start) {
            let is_latest =
                latest.get(&record.key).is_some_and(|last| last.offset == record.offset);
            let stays = record.offset >= self.cleaned || is_latest;
            if left.peek().is_some_and(|found| found.offset == record.offset) {
                assert_eq!(left.next(), Some(record), "as it was appended");
                assert!(stays, "offset {} was superseded", record.offset);
                continue;
            }
            // A tombstone goes after its time; and memory may have ended in the middle of the batch
            // that supersedes a record.
            let newer = |other: &&Record| other.key == record.key && other.offset > record.offset;
            let gone =
                is_latest && (record.value.is_none() || self.records.iter().any(|r| newer(&r)));
            assert!(!stays || gone, "offset {} is missing", record.offset);
        }
        assert_eq!(left.next(), None, "nothing else is there");
    }
}

struct Bench {
    home: Home,
    log: Option<RealLog>,
    model: Model,
    saved: Offset,
}

impl Bench {
    fn log(&mut self) -> &mut RealLog {
        self.log.as_mut().unwrap()
    }

    async fn run(&mut self, step: Step) {
        match step {
            Step::Lead { records, codec } => {
                let mut bytes = batch(&records, Compression::ALL[codec]);
                let epoch = LeaderEpoch(self.model.epoch);
                self.log().append_as_leader(&mut bytes, epoch, NOW).unwrap();
                let end = self.log().log_end();
                assert_eq!(end, self.model.end.plus(records.len() as i64));
                self.model.push(&bytes, end);
            }
            Step::Follow { records, missing, new_epoch } => {
                self.model.epoch += i32::from(new_epoch);
                let mut bytes = batch(&records, Compression::None);
                let base = self.model.end.plus(missing);
                assign(&mut bytes, base, LeaderEpoch(self.model.epoch));
                self.log().append_as_follower(&bytes, NOW).unwrap();
                self.model.push(&bytes, base.plus(records.len() as i64));
            }
            Step::Roll => {
                let end = self.log().log_end();
                if self.log().active().unwrap().size > 0 {
                    self.log().roll(end, NOW).unwrap();
                }
            }
            Step::Clean { keys, later } => {
                let now = Timestamp(NOW.0 + later);
                self.model.committed = self.model.end;
                if let Some(until) = clean(self.log(), now, keys * 24).await {
                    self.model.cleaned = self.model.cleaned.max(until);
                }
            }
            Step::Truncate { share } => {
                let to = self.share(share).max(self.model.committed);
                if let Err(LogError::CheckpointFirst { .. }) = self.log().truncate_to(to) {
                    self.save();
                    self.log().truncate_to(to).unwrap();
                }
                let end = self.log().log_end();
                assert!(end <= to, "cut at {to}, not at {end}");
                self.model.truncate(end);
            }
            Step::Delete { share } => {
                let to = self.share(share);
                self.log().advance_log_start(to);
                self.expire(u64::MAX);
            }
            Step::Expire { keep } => self.expire(keep),
            Step::Flush { save } => {
                flush(self.log()).await;
                if save {
                    self.save();
                }
            }
            Step::Restart => {
                self.saved = self.log.take().unwrap().close().await.unwrap().offset;
                self.open(true).await;
            }
            Step::Crash { torn } => {
                self.log = None;
                self.home.tear(&batch(&[(1, true), (2, true)], Compression::None)[..torn]);
                self.open(false).await;
            }
        }
        let log = self.log.as_ref().unwrap();
        assert_eq!((log.log_start(), log.log_end()), (self.model.start, self.model.end));
        self.model.check(&records_of(log));
    }

    /// Between the start and the end of the log.
    fn share(&self, share: u8) -> Offset {
        let (start, end) = (self.model.start, self.model.end);
        start.plus((end.0 - start.0) * i64::from(share) / 255)
    }

    fn expire(&mut self, keep: u64) {
        let end = self.model.end;
        self.model.committed = end;
        self.log().set_config(LogConfig { retention_bytes: Some(keep), ..config() });
        self.log().expire(end, NOW).unwrap();
        let start = self.log().log_start();
        self.log().retire_segments(start).unwrap().remove(&RealDisk);
        self.model.start = start;
    }

    fn save(&mut self) {
        let mark = self.log().mark_recovery_point();
        self.saved = mark.offset;
        self.log().recovery_point_saved(&mark);
    }

    async fn open(&mut self, clean: bool) {
        let (recovery_point, log_start) = (self.saved, self.model.start);
        let recovery = Recovery { recovery_point, clean, log_start, cleaned_to: Offset::ZERO };
        let (mut log, report) = self.home.try_open(recovery).await.unwrap();
        assert!(!report.shorter_than_synced);
        log.set_cleaned_to(self.model.cleaned);
        self.log = Some(log);
    }
}

fn batch(records: &[(u8, bool)], codec: Compression) -> BytesMut {
    let value = |alive: bool| alive.then_some(&b"a value"[..]);
    let records: Vec<_> = records.iter().map(|(key, alive)| (*key, value(*alive))).collect();
    keyed(&records, codec, NOW)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn compacted_log_behaves_like_a_list_without_superseded_records(
        steps in prop::collection::vec(step(), 1..40)
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let home = Home::new(config());
            let mut bench = Bench { home, log: None, model: Model::default(), saved: Offset::ZERO };
            bench.open(false).await;
            for step in steps {
                bench.run(step).await;
            }
        });
    }
}
