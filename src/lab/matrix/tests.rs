//! Cells and answers built by hand, and by simulation the law that stronger settings never lose
//! more.

use std::num::NonZeroUsize;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::*;
use crate::base::Instant;
use crate::base::config::Acks;
use crate::lab::cells::Runs;
use crate::lab::report::Report;
use crate::lab::verdict::Tally;
use crate::run::EngineKind;
use crate::run::outcome::{Broken, Counts, Outcome};
use crate::sim::TraceHash;

fn settings(acks: Acks, copies: i16, min: i32, flush: Flush) -> Settings {
    Settings { acks, replication_factor: copies, min_insync: min, flush, unclean: false }
}

fn cell(settings: Settings, misfortune: Misfortune) -> Cell {
    Cell::new(settings, misfortune).unwrap()
}

/// A result in which each of these seeds lost `records` records.
fn seen(cell: Cell, lost: &[u64]) -> CellResult {
    let scenario = cell.scenario().unwrap();
    let mut tally = Tally::new(&scenario.expect);
    for (seed, lost) in (0..).zip(lost) {
        let what = "orders-0 offset 7 (p1's record 7) acked at 3.000 s; absent";
        let broken = Broken::new("acked-write-unseen", Instant::from_secs(9), what);
        tally.add(Outcome {
            untested: None,
            difference: None,
            seed,
            trace: TraceHash(seed),
            simulated: Duration::from_secs(20),
            broken: if *lost > 0 { vec![broken] } else { Vec::new() },
            notes: Vec::new(),
            story: Vec::new(),
            counts: Counts { acked: 2000, lost: *lost, ..Counts::default() },
            outages: Vec::new(),
            disks: Vec::new(),
            differs: None,
            reached: crate::run::coverage::Reached::default(),
        });
    }
    let report = Report::new(&scenario, EngineKind::Leap, tally);
    CellResult::new(cell, &report, EngineKind::Leap, Path::new(REPORTS))
}

fn simulated(cells: &[Cell], seeds: Range<u64>) -> Table {
    let (jobs, engine, reports) = (NonZeroUsize::MIN, EngineKind::Leap, PathBuf::from(REPORTS));
    let runs = Runs { seeds, jobs, engine, reports };
    run(cells, &runs, &mut ()).unwrap()
}

fn server(text: &str) -> Result<Settings, String> {
    let asked = read(Some(Named { file: "server.properties", text }), None, None);
    asked.map(|asked| asked.settings).map_err(|e| e.to_string())
}

fn producer(text: &str) -> Result<Settings, String> {
    let asked = read(None, Some(Named { file: "producer.properties", text }), None);
    asked.map(|asked| asked.settings).map_err(|e| e.to_string())
}

#[test]
fn every_cell_is_a_valid_scenario_with_a_unique_name() {
    let cells = cells(&rows());
    let names: std::collections::BTreeSet<_> = cells.iter().map(Cell::name).collect();
    assert_eq!(names.len(), cells.len());
    for cell in &cells {
        let scenario = cell.scenario().unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(find(&cell.name()), Ok(cell.to_toml()));
        assert_eq!(
            i32::from(scenario.topics[0].replication_factor),
            i32::from(cell.settings.replication_factor)
        );
    }
}

#[test]
fn impossible_cells_are_left_out() {
    assert!(rows().iter().all(|row| row.min_insync <= i32::from(row.replication_factor)));
    assert!(rows().iter().all(|row| row.acks == Acks::All || row.min_insync == 1));
    let single = settings(Acks::All, 1, 1, Flush::NEVER);
    assert_eq!(Cell::new(single, Misfortune::AlonePower), None);
    assert!(Cell::new(single, Misfortune::AllPower).is_some());
}

#[test]
fn mistyped_cell_names_the_nearest() {
    let error = find("acks-all-rf3-min2-cache-clean-all-powr").unwrap_err();
    assert!(error.contains("did you mean `acks-all-rf3-min2-cache-clean-all-power`?"), "{error}");
}

#[test]
fn stronger_setting_promises_at_least_as_much() {
    let promised =
        |settings, misfortune| Cell::new(settings, misfortune).is_some_and(|cell| cell.promised());
    for cell in cells(&rows()).into_iter().filter(Cell::promised) {
        let weaker = cell.settings;
        let mut stronger = vec![Settings { flush: Flush::BEFORE_ACK, ..weaker }];
        stronger.push(Settings { unclean: false, ..weaker });
        if weaker.min_insync < i32::from(weaker.replication_factor) {
            stronger.push(Settings { min_insync: weaker.min_insync + 1, ..weaker });
        }
        stronger.push(Settings { acks: Acks::All, ..weaker });
        for settings in stronger {
            assert!(promised(settings, cell.misfortune), "{} but not {settings:?}", cell.name());
        }
    }
}

#[test]
fn acks_all_survives_one_power_loss_and_acks_1_does_not() {
    let strong = settings(Acks::All, 3, 2, Flush::NEVER);
    let weak = settings(Acks::Leader, 3, 1, Flush::NEVER);
    let one = [Misfortune::LeaderPower, Misfortune::AlonePower];
    let table = simulated(&one.map(|misfortune| cell(strong, misfortune)), 0..3);
    for result in &table.cells {
        assert_eq!((result.status, result.found.lost), (Status::Kept, 0), "{}", result.text());
        assert!(result.acked > 1000, "{}: too little was acknowledged", result.acked);
    }
    let table = simulated(&one.map(|misfortune| cell(weak, misfortune)), 0..3);
    for result in &table.cells {
        assert_eq!(result.status, Status::Failed, "{}", result.text());
    }
}

#[test]
fn stronger_setting_never_loses_what_a_weaker_one_kept() {
    let chain = [
        settings(Acks::None, 3, 1, Flush::NEVER),
        settings(Acks::Leader, 3, 1, Flush::NEVER),
        settings(Acks::All, 3, 1, Flush::NEVER),
        settings(Acks::All, 3, 2, Flush::NEVER),
        settings(Acks::All, 3, 2, Flush::EACH),
    ];
    for misfortune in [Misfortune::LeaderKill, Misfortune::AlonePower, Misfortune::AllPower] {
        let table = simulated(&chain.map(|row| cell(row, misfortune)), 0..2);
        let statuses: Vec<_> = table.cells.iter().map(|result| result.status).collect();
        let safe = statuses.iter().position(|status| *status == Status::Kept);
        let safe = safe.unwrap_or_else(|| panic!("{misfortune:?}: nothing survives: {statuses:?}"));
        assert!(safe > 0, "{misfortune:?}: the weakest settings lose nothing: {statuses:?}");
        let (weak, strong) = statuses.split_at(safe);
        assert!(
            weak.iter().all(|status| *status == Status::Failed),
            "{misfortune:?}: {statuses:?}"
        );
        assert!(
            strong.iter().all(|status| *status == Status::Kept),
            "{misfortune:?}: {statuses:?}"
        );
    }
}

#[test]
fn losing_all_power_loses_and_keeps_what_kafka_does() {
    let rows = [Flush::NEVER, Flush::EACH].map(|flush| settings(Acks::All, 3, 2, flush));
    let table = simulated(&rows.map(|row| cell(row, Misfortune::AllPower)), 0..2);
    let lost: Vec<_> = table.beside.beside_kafka.iter().map(|beside| beside.lost > 0).collect();
    assert_eq!(lost, [true, false]);
    assert!(table.beside.beside_kafka.iter().all(|beside| beside.agrees));
    assert_eq!((table.exit_code(false), table.exit_code(true)), (0, 1));
}

#[test]
fn table_marks_cells_where_kafka_behaved_differently() {
    let row = settings(Acks::All, 3, 2, Flush::NEVER);
    let kept = seen(cell(row, Misfortune::AllPower), &[0, 0]);
    let table = Table::new(vec![kept], &(0..2), EngineKind::Leap);
    assert!(!table.beside.beside_kafka[0].agrees);
    assert_eq!(table.exit_code(false), 1);
    assert!(terminal(&table).contains("DISAGREES"));
    assert!(markdown(&table).contains("DISAGREES"));
}

#[test]
fn loss_of_promised_records_is_reported_as_a_defect() {
    let promised =
        seen(cell(settings(Acks::All, 3, 2, Flush::NEVER), Misfortune::LeaderPower), &[0, 4]);
    assert_eq!(promised.text(), "BROKE, seed 1");
    let table = Table::new(vec![promised], &(0..2), EngineKind::Leap);
    assert_eq!(table.exit_code(false), 1);
    let told = answer(&table);
    assert!(told.contains("A bug in the broker"), "{told}");
    assert!(!told.contains("It does not survive"), "{told}");
}

#[test]
fn answer_names_what_survives_and_the_seeds_that_show_losses() {
    let row = settings(Acks::All, 3, 2, Flush::NEVER);
    let results = vec![
        seen(cell(row, Misfortune::LeaderPower), &[0, 0]),
        seen(cell(row, Misfortune::TwoPower), &[0, 0]),
        seen(cell(row, Misfortune::AllPower), &[0, 312]),
    ];
    let told = answer(&Table::new(results, &(0..2), EngineKind::Leap));
    golden(|| insta::assert_snapshot!("matrix-answer.txt", told));
}

#[test]
fn table_is_printed_for_terminals_and_as_markdown() {
    let rows = [
        settings(Acks::Leader, 1, 1, Flush::NEVER),
        settings(Acks::All, 3, 1, Flush::NEVER),
        settings(Acks::All, 3, 2, Flush::NEVER),
        settings(Acks::All, 3, 2, Flush::EACH),
    ];
    let table = simulated(&cells(&rows), 0..2);
    golden(|| insta::assert_snapshot!("durability-matrix.terminal.txt", terminal(&table)));
    golden(|| insta::assert_snapshot!("durability-matrix.md", markdown(&table)));
}

#[test]
fn server_file_sets_topic_defaults() {
    let text = "node.id=4\nlisteners=PLAINTEXT://kafka4:9092\nlog.dirs=/var/kafka\n\
                default.replication.factor=3\nmin.insync.replicas=2\n\
                log.flush.interval.messages=1\nunclean.leader.election.enable=true\n";
    let expected = Settings { unclean: true, ..settings(Acks::All, 3, 2, Flush::EACH) };
    assert_eq!(server(text), Ok(expected));
    assert_eq!(producer("acks=1\nlinger.ms=5\n").unwrap().acks, Acks::Leader);
}

#[test]
fn invalid_settings_are_reported_with_file_and_remedy() {
    let error = server("min.insync.replica=2\n").unwrap_err();
    assert_eq!(
        error,
        "server.properties: line 1: unknown key `min.insync.replica`; did you mean `min.insync.replicas`?"
    );
    let error = producer("acks=all\nack=1\n").unwrap_err();
    assert!(error.contains("producer.properties: line 2: unknown key `ack`"), "{error}");
    assert!(error.contains("did you mean `acks`?"), "{error}");
    let error = producer("acks=1\nenable.idempotence=true\n").unwrap_err();
    assert!(error.contains("producer.properties: `acks=1`: Must set acks to all"), "{error}");
    for copies in ["0", "10", "100000"] {
        let error = server(&format!("default.replication.factor={copies}\n")).unwrap_err();
        assert!(error.contains("expected 1 to 9"), "{error}");
    }
    assert!(server("min.insync.replicas=0\n").unwrap_err().contains("expected at least 1"));
}

#[test]
fn min_insync_replicas_count_at_most_as_the_replication_factor() {
    // Kafka's Partition.effectiveMinIsr.
    let row = server("min.insync.replicas=2\ndefault.replication.factor=1\n").unwrap();
    assert_eq!((row.min_insync, row.effective_min_insync()), (2, 1));
    assert!(!cell(row, Misfortune::LeaderPower).promised(), "the only copy loses power");
    assert!(cell(row, Misfortune::LeaderKill).promised());
    let said = "min.insync.replicas=2 (1 in effect: never more than the replication factor)";
    assert!(row.sentence().contains(said), "{}", row.sentence());
    let kept = seen(cell(row, Misfortune::LeaderKill), &[0]);
    let table = Table::new(vec![kept], &(0..1), EngineKind::Leap);
    assert!(terminal(&table).contains("Kafka takes it for the replication factor"));
}

#[test]
fn foreign_keys_are_ignored_with_a_warning_and_mistyped_ones_refused() {
    let text = "acks=1\nschema.registry.url=http://registry:8081\n";
    let asked = read(None, Some(Named { file: "producer.properties", text }), None).unwrap();
    assert_eq!(asked.settings.acks, Acks::Leader);
    assert_eq!(
        asked.warnings,
        ["producer.properties: line 2: `schema.registry.url` is not a key of Kafka's: ignored"]
    );
    let text = "min.insync.replicas=2\nconfluent.license.topic=x\n";
    let asked = read(Some(Named { file: "server.properties", text }), None, Some(3)).unwrap();
    assert_eq!(asked.settings.min_insync, 2);
    assert!(asked.warnings[0].starts_with("server.properties: line 2: `confluent.license.topic`"));
    assert!(producer("bacth.size=1\n").unwrap_err().contains("did you mean `batch.size`?"));
}

#[test]
fn assumptions_name_what_every_cell_sets() {
    let said = Cell::assumptions();
    let strong = settings(Acks::All, 3, 2, Flush::NEVER);
    for misfortune in Misfortune::ALL {
        let text = cell(strong, misfortune).to_toml();
        let (_, cluster) = text.split_once("[cluster]\n").unwrap();
        let (cluster, _) = cluster.split_once("\n\n").unwrap();
        for line in cluster.lines().filter(|line| !line.starts_with("brokers")) {
            assert!(said.contains(&line.replace(" = ", "=")), "{line}: {said}");
        }
    }
    let table =
        Table::new(vec![seen(cell(strong, Misfortune::AllPower), &[1])], &(0..1), EngineKind::Leap);
    for text in [terminal(&table), markdown(&table), answer(&table), table.to_json()] {
        assert!(text.contains("replica.fetch.min.bytes=16384"), "{text}");
    }
}

#[test]
fn witnesses_are_in_the_directory_of_the_reports() {
    let strong = cell(settings(Acks::All, 3, 2, Flush::NEVER), Misfortune::AllPower);
    let scenario = strong.scenario_in(Path::new("/tmp/mine")).unwrap();
    let file = "/tmp/mine/matrix/acks-all-rf3-min2-cache-clean-all-power.toml";
    assert_eq!(scenario.file, file);
    assert_eq!(strong.file(Path::new("/tmp/mine")), file);
}

#[test]
fn cut_off_leader_loses_what_only_it_acknowledged() {
    let rows = [settings(Acks::Leader, 3, 1, Flush::EACH), settings(Acks::All, 3, 2, Flush::NEVER)];
    let table = simulated(&rows.map(|row| cell(row, Misfortune::LeaderCut)), 0..2);
    let statuses: Vec<_> = table.cells.iter().map(|result| result.status).collect();
    assert_eq!(statuses, [Status::Failed, Status::Kept]);
}

#[test]
fn lost_rack_loses_what_only_its_two_replicas_promised() {
    let strong = settings(Acks::All, 3, 3, Flush::NEVER);
    let rows = [settings(Acks::Leader, 3, 1, Flush::EACH), strong];
    let cells = rows.map(|row| cell(row, Misfortune::RackLost));
    assert_eq!(cells.map(|cell| cell.promised()), [false, true]);
    let two = cell(settings(Acks::All, 3, 2, Flush::EACH), Misfortune::RackLost);
    assert!(!two.promised(), "flushing does not help");
    assert_eq!(Cell::new(settings(Acks::All, 2, 2, Flush::NEVER), Misfortune::RackLost), None);
    let table = simulated(&cells, 0..2);
    let statuses: Vec<_> = table.cells.iter().map(|result| result.status).collect();
    assert_eq!(statuses, [Status::Failed, Status::Kept]);
}

#[test]
fn flush_by_time_sets_the_flush_scheduler_too() {
    let text = "log.flush.interval.ms=1000\nlog.flush.scheduler.interval.ms=500\n";
    let row = server(text).unwrap();
    assert_eq!(row.flush.name(), "flush.ms=1000");
    assert!(!row.flush.covers_acks());
    let cell = cell(row, Misfortune::LeaderPower);
    assert!(!cell.promised());
    let scenario = cell.scenario().unwrap();
    assert_eq!(
        scenario.cluster.config.node.log_flush_scheduler_interval,
        Some(Duration::from_millis(500))
    );
    assert!(scenario.topics[0].config.contains(&("flush.ms".into(), "1000".into())));
}

/// Snapshots are in `reports/golden`, where readers of the repository look for reports.
fn golden(test: impl FnOnce()) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(concat!(env!("CARGO_MANIFEST_DIR"), "/reports/golden"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(test);
}
