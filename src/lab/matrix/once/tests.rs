//! Cells by hand, and by simulation what each way of delivering records promises and fails to.

use std::num::NonZeroUsize;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::*;
use crate::base::Instant;
use crate::lab::Report;
use crate::lab::cells::Runs;
use crate::lab::matrix::{Misfortune, REPORTS, Status, find, markdown, run, terminal};
use crate::lab::verdict::Tally;
use crate::run::EngineKind;
use crate::run::outcome::{Broken, Counts, Outcome};
use crate::sim::TraceHash;

const ZOMBIE: Trouble = Trouble::Zombie;
const KILL: Trouble = Trouble::Brokers(Misfortune::LeaderKill);
const ALL_POWER: Trouble = Trouble::Brokers(Misfortune::AllPower);

fn cell(delivery: Delivery, trouble: Trouble) -> Cell {
    Cell::new(delivery, trouble).unwrap()
}

fn simulated(cells: &[Cell], seeds: Range<u64>) -> Table {
    let (jobs, engine, reports) = (NonZeroUsize::MIN, EngineKind::Leap, PathBuf::from(REPORTS));
    run(cells, &Runs { seeds, jobs, engine, reports }, &mut ()).unwrap()
}

/// A result of these runs: what each broke, and what it counted.
fn seen(cell: Cell, runs: &[(Option<(&str, &str)>, Counts)]) -> CellResult {
    let scenario = cell.scenario().unwrap();
    let mut tally = Tally::new(&scenario.expect);
    for (seed, (broken, counts)) in (0..).zip(runs) {
        let broken = broken.map(|(name, what)| Broken::new(name, Instant::from_secs(9), what));
        tally.add(Outcome {
            untested: None,
            difference: None,
            seed,
            trace: TraceHash(seed),
            simulated: Duration::from_secs(20),
            broken: broken.into_iter().collect(),
            notes: Vec::new(),
            story: Vec::new(),
            counts: *counts,
            outages: Vec::new(),
            disks: Vec::new(),
            differs: None,
            reached: crate::run::coverage::Reached::default(),
        });
    }
    let report = Report::new(&scenario, EngineKind::Leap, tally);
    CellResult::new(cell, &report, EngineKind::Leap, Path::new(REPORTS))
}

#[test]
fn broken_promise_is_a_defect_even_if_only_the_count_shows_it() {
    let counts = Counts { acked: 900, doubled: 2, ..Counts::default() };
    let doubled = seen(cell(Delivery::Idempotence, KILL), &[(None, counts)]);
    assert_eq!(doubled.text(), "BROKE, seed 0");
    let what = &doubled.witness.as_ref().unwrap().what;
    assert_eq!(what, "2 records found at more than one offset");
    let table = Table::new(vec![doubled], &(0..1), EngineKind::Leap);
    assert_eq!(table.exit_code(false), 1);
    let allowed = seen(cell(Delivery::Retries, KILL), &[(None, counts)]);
    assert_eq!(allowed.text(), "DOUBLES 1/1, seed 0");
}

#[test]
fn table_is_printed_for_terminals_and_as_markdown() {
    let clean = (None, Counts { acked: 1200, ..Counts::default() });
    let read = Counts { acked: 800, uncommitted: 31, ..Counts::default() };
    let twice = "payments-0 offset 7 (p1's record 7) has two visible outputs of group billing by \
                 20.000 s: p10001's record 3 and p10002's record 9";
    let none = "payments-0 offset 7 (p1's record 7) has no visible output of group billing by \
                20.000 s after 1 attempts, though the group committed offset 9";
    let mismatch = |what| (Some(("input-output-mismatch", what)), clean.1);
    let results = vec![
        seen(cell(Delivery::Idempotence, KILL), &[clean, clean]),
        seen(cell(Delivery::ReadUncommitted, ZOMBIE), &[(None, read), (None, read)]),
        seen(cell(Delivery::NoGeneration, ZOMBIE), &[clean, mismatch(twice)]),
        seen(cell(Delivery::Stage, ZOMBIE), &[clean, clean]),
        seen(cell(Delivery::Stage, KILL), &[clean, mismatch(twice)]),
        seen(cell(Delivery::Stage, ALL_POWER), &[mismatch(none), (None, read)]),
    ];
    let table = Table::new(results, &(0..2), EngineKind::Leap);
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(concat!(env!("CARGO_MANIFEST_DIR"), "/reports/golden"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| {
        insta::assert_snapshot!("exactly-once-matrix.terminal.txt", terminal(&table));
        insta::assert_snapshot!("exactly-once-matrix.md", markdown(&table));
    });
}

#[test]
fn every_cell_is_a_valid_scenario_with_a_unique_name() {
    let cells = cells();
    let names: std::collections::BTreeSet<_> = cells.iter().map(Cell::name).collect();
    assert_eq!(names.len(), cells.len());
    for cell in &cells {
        cell.scenario().unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(find(&cell.name()), Ok(cell.to_toml()));
    }
    let error = find("once-stage-zombi").unwrap_err();
    assert!(error.contains("did you mean `once-stage-zombie`?"), "{error}");
}

#[test]
fn producers_without_a_transactional_id_have_no_zombie() {
    assert_eq!(Cell::new(Delivery::Idempotence, ZOMBIE), None);
    assert!(Cell::new(Delivery::Idempotence, KILL).is_some());
    let zombies = cells().into_iter().filter(|cell| cell.trouble == ZOMBIE).count();
    assert_eq!(zombies, 6);
}

#[test]
fn exactly_once_is_promised_where_no_acknowledged_record_is_lost() {
    assert!(cell(Delivery::Stage, ZOMBIE).promised());
    assert!(cell(Delivery::Stage, KILL).promised());
    assert!(!cell(Delivery::Stage, ALL_POWER).promised());
    assert!(!cell(Delivery::NoGeneration, ZOMBIE).promised());
    for cell in cells() {
        let expect = cell.scenario().unwrap().expect;
        assert_eq!(expect.holds, ["*"]);
        assert!(!cell.promised() || expect.allows.is_empty(), "{}", cell.name());
    }
}

#[test]
fn what_is_promised_holds_and_all_else_fails_somewhere() {
    let columns = [ZOMBIE, Trouble::LostReplies, KILL];
    let cells: Vec<_> =
        cells().into_iter().filter(|cell| columns.contains(&cell.trouble)).collect();
    let table = simulated(&cells, 4..5);
    let shown = |delivery, trouble| {
        let wanted = cell(delivery, trouble);
        table.cells.iter().find(|result| result.cell == wanted).unwrap()
    };
    let text = |delivery, trouble| shown(delivery, trouble).text();
    // What is promised holds, and what is not fails somewhere.
    for row in Delivery::ALL {
        let of_row = || table.cells.iter().filter(|result| result.cell.delivery == row);
        let fails = of_row().any(|result| result.status == Status::Failed);
        let what = terminal(&table);
        assert!(of_row().all(|result| !result.status.is_defect()), "{what}");
        assert!(row == Delivery::CommitFirst || fails != row.is_exactly_once(), "{row:?}: {what}");
    }
    assert!(text(Delivery::Retries, Trouble::LostReplies).starts_with("DOUBLES 1/1"));
    assert!(text(Delivery::ReadUncommitted, ZOMBIE).starts_with("ABORTED 1/1"));
    assert!(!text(Delivery::CommitFirst, ZOMBIE).contains("DOUBLES"));
    assert!(text(Delivery::CommitAfter, ZOMBIE).starts_with("DOUBLES 1/1"));
    assert!(text(Delivery::NoGeneration, ZOMBIE).starts_with("DOUBLES 1/1"));
    let witness = shown(Delivery::NoGeneration, ZOMBIE).witness.as_ref().unwrap();
    assert!(witness.what.contains("has two visible outputs of group billing"), "{}", witness.what);
    assert!(table.cells.iter().all(|result| result.acked > 100), "{}", table.to_json());
    assert_eq!((table.exit_code(false), table.exit_code(true)), (0, 1));
}
