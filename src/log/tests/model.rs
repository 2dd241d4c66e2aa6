//! The log against a plain list of batches: whatever happens to both, they agree.

use std::collections::BTreeMap;

use bytes::BytesMut;
use proptest::prelude::*;

use crate::base::{LeaderEpoch, Offset, ProducerId, Timestamp};
use crate::log::producers::REMEMBERED;
use crate::log::testing::{Home, NOW, RealLog, batch_at, batch_of, read_all, tiny};
use crate::log::{Epochs, LogConfig, LogError, Recovery, RecoveryMark};
use crate::wire::batch::{BatchHeader, assign, batches};

/// What may happen to a log.
#[derive(Clone, Debug)]
enum Step {
    /// A leader appends batches of plain records.
    Lead { batches: usize, records: usize, size: usize, time: i64 },
    /// A leader appends the next batch of an idempotent producer, or one of its last again.
    Produce { producer: i64, records: usize, again: usize },
    /// A follower appends batches of one epoch, which may be new.
    Follow { batches: usize, records: usize, new_epoch: bool },
    /// A new leader begins, and writes nothing yet.
    BeginEpoch,
    /// All above a share of the log is truncated.
    Truncate { share: u8 },
    /// The log is emptied and begins further on.
    StartOver { ahead: i64 },
    /// What is below a share of the log may not be read any more.
    AdvanceStart { share: u8 },
    /// Old segments expire, so that the others have at least this size.
    Expire { keep: u64 },
    /// Everything is synced; the checkpoint may be saved, too.
    Flush { save: bool },
    /// The process ends in order and starts again.
    Restart,
    /// The process dies, perhaps in the middle of an append, and starts again.
    Crash { torn: usize },
    /// The process ends in order, and indexes get lost before it starts again.
    LoseIndexes,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1..4usize, 1..5usize, 0..150usize, 0..50i64).prop_map(
            |(batches, records, size, time)| Step::Lead { batches, records, size, time }
        ),
        6 => (0..3i64, 1..4usize, 0..8usize)
            .prop_map(|(producer, records, again)| Step::Produce { producer, records, again }),
        4 => (1..4usize, 1..4usize, any::<bool>()).prop_map(
            |(batches, records, new_epoch)| Step::Follow { batches, records, new_epoch }
        ),
        1 => Just(Step::BeginEpoch),
        2 => any::<u8>().prop_map(|share| Step::Truncate { share }),
        1 => (0..9i64).prop_map(|ahead| Step::StartOver { ahead }),
        1 => any::<u8>().prop_map(|share| Step::AdvanceStart { share }),
        2 => (0..4000u64).prop_map(|keep| Step::Expire { keep }),
        2 => any::<bool>().prop_map(|save| Step::Flush { save }),
        2 => Just(Step::Restart),
        3 => (0..90usize).prop_map(|torn| Step::Crash { torn }),
        1 => Just(Step::LoseIndexes),
    ]
}

/// What the log should be.
#[derive(Clone, Debug, Default)]
struct Model {
    batches: Vec<BatchHeader>,
    /// Where its first segment begins.
    origin: i64,
    start: i64,
    end: i64,
    epochs: Vec<(i32, i64)>,
    epoch: i32,
}

impl Model {
    fn push(&mut self, bytes: &[u8]) {
        for each in batches(bytes) {
            let header = each.unwrap().0;
            self.epoch = header.leader_epoch.0;
            self.begin_epoch();
            self.end = header.next_offset().0;
            self.batches.push(header);
        }
    }

    fn begin_epoch(&mut self) {
        if self.epochs.last().is_none_or(|(epoch, _)| *epoch != self.epoch) {
            self.epochs.retain(|(_, start)| *start < self.end);
            self.epochs.push((self.epoch, self.end));
        }
    }

    fn truncate(&mut self, to: i64) {
        if to >= self.end {
            return self.forget_empty_epochs();
        }
        self.batches.retain(|header| header.next_offset().0 <= to);
        self.end = self.batches.last().map_or(self.origin, |last| last.next_offset().0);
        self.start = self.start.min(self.end);
        self.forget_empty_epochs();
    }

    /// At a start, too, an epoch without records is forgotten.
    fn forget_empty_epochs(&mut self) {
        self.epochs.retain(|(_, start)| *start < self.end);
    }

    fn advance(&mut self, to: i64) {
        self.start = self.start.max(to);
        let below = self.epochs.iter().rposition(|(_, start)| *start <= self.start);
        if let Some(spanning) = below {
            self.epochs.drain(..spanning);
            self.epochs[0].1 = self.start;
        }
    }

    /// All batches of each producer, of its newest epoch, with their last sequence numbers.
    fn sequences(&self) -> BTreeMap<i64, Vec<(i32, i64)>> {
        let mut all: BTreeMap<i64, Vec<(i32, i64)>> = BTreeMap::new();
        for header in self.batches.iter().filter(|header| header.has_producer()) {
            let known = all.entry(header.producer_id.0).or_default();
            known.push((header.last_sequence(), header.last_offset().0));
        }
        all
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

    async fn run(&mut self, step: &Step) {
        match *step {
            Step::Lead { batches, records, size, time } => {
                let mut bytes = BytesMut::new();
                for index in 0..batches {
                    bytes.extend_from_slice(&batch_at(records, size, time + index as i64));
                }
                self.lead(bytes);
            }
            Step::Produce { producer, records, again } => self.produce(producer, records, again),
            Step::Follow { batches, records, new_epoch } => {
                self.model.epoch += i32::from(new_epoch);
                let (mut bytes, mut next) = (BytesMut::new(), self.model.end);
                for _ in 0..batches {
                    let mut batch = batch_at(records, 30, 7);
                    assign(&mut batch, Offset(next), LeaderEpoch(self.model.epoch));
                    next += records as i64;
                    bytes.extend_from_slice(&batch);
                }
                // More than a segment holds is what no leader with these settings sends.
                if bytes.len() <= 1000 {
                    self.log().append_as_follower(&bytes, NOW).unwrap();
                    self.model.push(&bytes);
                }
            }
            Step::BeginEpoch => {
                self.model.epoch += 1;
                self.model.begin_epoch();
                let epoch = LeaderEpoch(self.model.epoch);
                assert!(self.log().begin_epoch(epoch));
            }
            Step::Truncate { share } => {
                let to = self.share(share);
                self.cut(|log| log.truncate_to(Offset(to)));
                self.model.truncate(to);
            }
            Step::StartOver { ahead } => {
                let to = self.model.end + ahead;
                self.cut(|log| log.truncate_fully_and_start_at(Offset(to)));
                let epoch = self.model.epoch;
                self.model = Model { origin: to, start: to, end: to, epoch, ..Model::default() };
            }
            Step::AdvanceStart { share } => {
                let to = self.share(share);
                if self.log().advance_log_start(Offset(to)) {
                    self.model.advance(to);
                }
            }
            Step::Expire { keep } => self.expire(keep),
            Step::Flush { save } => {
                let log = self.log();
                let plan = log.flush_plan();
                let flushed = plan.run().await.unwrap();
                log.flushed(&flushed);
                assert_eq!(log.recovery_point(), log.log_end());
                if save {
                    let mark = log.mark_recovery_point();
                    self.save(mark);
                }
            }
            Step::Restart => self.restart(|_| ()).await,
            Step::LoseIndexes => {
                self.restart(|home| {
                    for name in home.names().iter().filter(|name| name.ends_with("index")) {
                        std::fs::remove_file(home.file(name)).unwrap();
                    }
                })
                .await;
            }
            Step::Crash { torn } => {
                self.log = None;
                self.home.tear(&batch_at(3, 10, 1)[..torn]);
                self.open(false).await;
            }
        }
    }

    /// Between the start and the end of the log.
    fn share(&self, share: u8) -> i64 {
        let (start, end) = (self.model.start, self.model.end);
        start + (end - start) * i64::from(share) / 255
    }

    /// As many of the oldest segments go as may, and no record above.
    fn expire(&mut self, keep: u64) {
        let end = Offset(self.model.end);
        let log = self.log.as_mut().unwrap();
        log.set_config(LogConfig { retention_bytes: Some(keep), ..config() });
        let mut ends: Vec<Offset> = log.segment_bases().skip(1).collect();
        ends.push(end);
        let before = log.log_start();
        let Some((start, _)) = log.expire(end, NOW).unwrap() else { return };
        assert!(start > before && ends.contains(&start) || start == before, "{start} of {ends:?}");
        assert!(log.log_end() == end && start <= end);
        // The start is saved: every opening is told of it.
        log.retire_segments(start).unwrap().remove(&crate::io::real::RealDisk);
        let first = log.segment_bases().next().unwrap();
        assert!(first <= start && log.size() >= keep.min(log.size()));
        self.model.advance(start.0);
    }

    fn lead(&mut self, mut bytes: BytesMut) {
        self.model.epoch = self.model.epoch.max(0);
        let epoch = LeaderEpoch(self.model.epoch);
        let before = self.model.end;
        match self.log().append_as_leader(&mut bytes, epoch, NOW) {
            Ok(appended) => {
                assert_eq!((appended.base.0, appended.duplicate), (before, false));
                self.model.push(&bytes);
            }
            Err(error) => assert!(bytes.len() > 1000, "{error}"),
        }
    }

    fn produce(&mut self, producer: i64, records: usize, again: usize) {
        let sequences = self.model.sequences();
        let written = sequences.get(&producer).cloned().unwrap_or_default();
        let next = written.last().map_or(0, |(last, _)| last + 1);
        let repeated = again.checked_sub(1).and_then(|back| written.iter().rev().nth(back));
        let Some((_, last_offset)) = repeated.copied() else {
            return self.lead(batch_of(producer, 0, next, records));
        };
        let found = self.model.batches.iter().find(|h| h.last_offset().0 == last_offset);
        let header = *found.unwrap();
        let count = header.count as usize;
        let mut bytes = batch_of(producer, 0, header.base_sequence, count);
        let epoch = LeaderEpoch(self.model.epoch.max(0));
        let result = self.log().append_as_leader(&mut bytes, epoch, NOW);
        // What is below the log's start may have been forgotten.
        if again <= REMEMBERED && last_offset >= self.model.start {
            let appended = result.unwrap();
            assert!(appended.duplicate);
            assert_eq!((appended.base, appended.end), (header.base_offset, header.next_offset()));
        } else if let Ok(appended) = result
            && !appended.duplicate
        {
            self.model.push(&bytes);
        }
    }

    /// As a broker does: what is on disk is lowered first.
    fn cut<T>(&mut self, cut: impl Fn(&mut RealLog) -> Result<T, LogError>) {
        let before = self.log().log_end();
        match cut(self.log()) {
            Ok(_) => {}
            Err(LogError::CheckpointFirst { .. }) => {
                assert_eq!(self.log().log_end(), before, "nothing was cut");
                let mark = self.log().mark_recovery_point();
                self.save(mark);
                cut(self.log()).unwrap();
            }
            Err(error) => panic!("{error}"),
        }
    }

    fn save(&mut self, mark: RecoveryMark) {
        self.saved = mark.offset;
        self.log().recovery_point_saved(&mark);
    }

    async fn restart(&mut self, between: impl Fn(&Home)) {
        let mark = self.log.take().unwrap().close().await.unwrap();
        assert_eq!(mark.offset.0, self.model.end);
        self.saved = mark.offset;
        between(&self.home);
        self.open(true).await;
    }

    async fn open(&mut self, clean: bool) {
        let recovery_point = self.saved;
        let log_start = Offset(self.model.start);
        let recovery = Recovery { recovery_point, clean, log_start, ..Recovery::default() };
        let (log, report) = self.home.try_open(recovery).await.unwrap();
        assert!(!report.shorter_than_synced);
        self.log = Some(log);
        self.model.forget_empty_epochs();
    }

    fn compare(&mut self) {
        let model = &self.model;
        let log = self.log.as_ref().unwrap();
        assert_eq!((log.log_start().0, log.log_end().0), (model.start, model.end));
        let readable = |header: &&BatchHeader| header.last_offset().0 >= model.start;
        let expected: Vec<BatchHeader> = model.batches.iter().filter(readable).copied().collect();
        for max_bytes in [1, 333, 1 << 20] {
            assert_eq!(read_all(log, Offset(model.start), max_bytes), expected);
        }
        if let Some(middle) = expected.get(expected.len() / 2) {
            let until = middle.base_offset;
            let fetched = log.read(Offset(model.start), 1 << 20, until, false).unwrap();
            assert!(fetched.next.0 <= until.0.max(model.start));
            let found = log.offset_for_timestamp(middle.max_timestamp).unwrap().unwrap();
            let first = expected.iter().find(|h| h.max_timestamp >= middle.max_timestamp).unwrap();
            assert_eq!(found.offset.0, first.base_offset.0.max(model.start));
        }
        assert_eq!(log.offset_for_timestamp(Timestamp(i64::MAX)).unwrap(), None);
        let mut epochs = Epochs::new();
        for (epoch, start) in &model.epochs {
            epochs.assign(LeaderEpoch(*epoch), Offset(*start));
        }
        assert_eq!(log.epochs(), &epochs);
        self.compare_producers();
    }

    fn compare_producers(&self) {
        let log = self.log.as_ref().unwrap();
        for (producer, written) in self.model.sequences() {
            let last = written.len().saturating_sub(REMEMBERED);
            let sure = written[last..].iter().filter(|(_, last)| *last >= self.model.start);
            let sure = sure.count();
            let known = log.producers().get(ProducerId(producer));
            let known: Vec<(i32, i64)> = known.map_or_else(Vec::new, |known| {
                known.batches.iter().map(|b| (b.last_sequence, b.last_offset.0)).collect()
            });
            assert!(written.ends_with(&known), "{known:?} of {written:?}");
            assert!(known.len() >= sure, "{known:?} of {written:?}");
        }
    }
}

fn config() -> LogConfig {
    LogConfig { segment_index_bytes: 240, ..tiny() }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn log_is_a_list_of_batches_whatever_happens_to_it(
        steps in prop::collection::vec(step(), 1..40)
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let home = Home::new(config());
            let model = Model { epoch: -1, ..Model::default() };
            let mut bench = Bench { home, log: None, model, saved: Offset(0) };
            bench.open(false).await;
            for step in &steps {
                bench.run(step).await;
                bench.compare();
            }
        });
    }
}
