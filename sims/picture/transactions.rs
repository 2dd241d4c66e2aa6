//! Transactions in the picture: a lane per producer, a row per partition, coordinators, and marks that
//! stay inside.

use super::look::{assert_readable, kinds, note_of};
use super::*;

#[test]
fn zombies_have_spans_that_end_fenced_and_every_mark_stays_inside() {
    let Some(browser) = browser() else { return };
    let dir = tempfile::tempdir().unwrap();
    let (file, _) = draw("scenarios/eos/zombie-producers.toml", 0, dir.path());
    let size = file.metadata().unwrap().len();
    assert!(size < LARGEST, "{size} bytes");
    let script = format!(
        "{} look(0, END); note('whole');\
         const zombie = TXNS.list.find((txn) => txn.told && txn.told[1] === 'fenced' && txn.fate === 2);\
         look(zombie.told[0] - 1.5e6, zombie.told[0] + 0.5e6); note('near');\
         const hit = state.marks.find((m) => m.kind === 'fenced');\
         set('asked', explain(hit.x + hit.w / 2, hit.y + hit.h / 2).text);\
         const committed = TXNS.list.find((txn) => txn.fate === 1 && txn.verified && txn.parts.length > 1);\
         look(committed.at - 2e4, committed.until + 2e4); note('one');\
         set('told', ofTxn(committed));",
        note_of("state.rows", "state.lanes.filter(Boolean)", "0")
    );
    let touched = with_script(&file, &script);
    for (width, theme) in [(1400, "light"), (600, "dark")] {
        let page =
            Page::open_wide(&browser, &touched, &format!("theme={theme}"), width, ALL_AT_ONCE);
        let says = page.ready();
        assert_eq!((says["group"].as_str(), says["theme"].as_str()), ("", theme));
        assert!(says["transactions"].parse::<u32>().unwrap() > 100, "{says:?}");
        assert_eq!(says["lanes"], "c1 b1 b2 b3 p1 p2 p3 k1 k2");
        for name in ["whole", "near", "one"] {
            assert_readable(&says, name, 15);
        }
        let whole = kinds(&says, "whole");
        for kind in
            ["txn", "fenced", "identified", "part", "part-aborted", "coordinator", "decided"]
        {
            assert!(whole[kind] > 0, "no {kind}: {whole:?}");
        }
        let one = kinds(&says, "one");
        assert!(one["verified"] > 0 && one["decided"] > 0 && one["completed"] > 0, "{one:?}");
        assert!(says["asked"].contains("told that it is fenced"), "{}", says["asked"]);
        assert!(says["told"].contains("commit prepared by b"), "{}", says["told"]);
        assert!(page.words().contains("Transactions of 1 transactional id in 3 partitions"));
    }
}

#[test]
fn decision_of_a_dead_coordinator_is_completed_by_another_and_told() {
    let Some(browser) = browser() else { return };
    let dir = tempfile::tempdir().unwrap();
    let moved = "txn.decided && txn.completed && txn.decided[1] !== txn.completed[1]";
    // What is drawn, against what must hold of every transaction.
    let script = format!(
        "set('moved', TXNS.list.filter((txn) => {moved}).length);\
         const late = TXNS.list.filter((txn) => txn.parts.some(([, from, until]) => until >= 0 && (until < from || txn.completed && until > txn.completed[0])));\
         const wrong = TXNS.list.filter((txn) => txn.parts.some((part) => part[3] !== 3 && part[2] >= 0 && txn.decided && part[3] !== (txn.decided[2] ? 1 : 2)));\
         set('wrong', late.length + ' ' + wrong.length);\
         const txn = TXNS.list.find((txn) => {moved});\
         set('fate', DATA.steps.filter((step) => step.text.includes(txn.name)).map((step) => step.title).join(';'));\
         show(PARTITIONS.findIndex((p) => p.name === 'payments-0'), null, false); draw();\
         set('stable', PARTITIONS[state.partition].stable.t.length);"
    );
    let draw =
        |seed| draw("scenarios/eos/coordinator-dies-while-completing.toml", seed, dir.path());
    let found = (0..5).find_map(|seed| {
        let (file, _) = draw(seed);
        let says = Page::open(&browser, &with_script(&file, &script), "", ALL_AT_ONCE).ready();
        (says["moved"] != "0").then_some(says)
    });
    let says = found.expect("no coordinator died between decision and completion");
    assert_eq!(says["wrong"], "0 0", "{says:?}");
    assert!(says["fate"].contains("Prepared to"), "{}", says["fate"]);
    assert!(says["fate"].contains("Completed"), "{}", says["fate"]);
    assert!(says["stable"].parse::<u32>().unwrap() > 10, "{says:?}");
}
