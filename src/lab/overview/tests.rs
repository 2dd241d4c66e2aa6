//! Overviews of good, foreign and broken reports.

use std::path::Path;

use super::*;

const SCENARIO: &str = r#"{
  "schema": 1, "scenario": "leader-power-loss", "file": "scenarios/faults/leader-power-loss.toml",
  "engine": "leap", "verdict": "broke", "replay": null, "simulated_ms": 143000,
  "counts": { "acked": 58000, "lost": 17 }, "not_guaranteed": [ "acks=1" ],
  "outages": [
    { "partition": "orders-1", "kind": "no-leader", "from_ms": 100, "until_ms": 1300, "seed": 7 },
    { "partition": "orders-2", "kind": "not-writable", "from_ms": 20210, "until_ms": 29140, "seed": 8 } ],
  "runs": [ { "seed": 7 }, { "seed": 8 } ],
  "witnesses": [ { "invariant": "acked-write-lost", "at_ms": 21007, "seed": 8, "seeds": 1,
    "trace": "9f03", "expected": "holds", "story": [],
    "what": "<script>alert(1)</script> & offset 4118 | acked" } ]
}"#;

const MATRIX: &str = r#"{ "kind": "durability-matrix", "schema": 1, "cells": [
  { "name": "a", "acks": "all", "replication_factor": 3, "min_insync_replicas": 2,
    "flush": "page cache", "unclean": false, "fault": "all-power", "status": "loses",
    "seeds": 20, "seeds_lost": 20, "acked": 4000, "lost": 1000 },
  { "name": "b", "acks": "all", "replication_factor": 3, "min_insync_replicas": 2,
    "flush": "flush.messages=1", "unclean": false, "fault": "all-power", "status": "survives",
    "seeds": 20, "seeds_lost": 0, "acked": 4000, "lost": 0 } ] }"#;

fn put(dir: &Path, name: &str, text: &str) {
    std::fs::write(dir.join(name), text).unwrap();
}

fn gathered(files: &[(&str, &str)]) -> Overview {
    let dir = tempfile::tempdir().unwrap();
    files.iter().for_each(|(name, text)| put(dir.path(), name, text));
    gather(dir.path()).unwrap()
}

#[test]
fn overview_links_witness_replay_command_and_picture() {
    let report = ("leader-power-loss.json", SCENARIO);
    let without = gathered(&[report]);
    let line = &without.scenarios[0];
    assert_eq!((line.seeds, line.acked, line.lost), (2, 58_000, 17));
    assert_eq!(line.longest_outage.as_deref(), Some("orders-2 not writable 20.2–29.1 s"));
    for text in [html(&without), markdown(&without)] {
        assert!(text.contains("orders-2 not writable 20.2–29.1 s"), "{text}");
    }
    let held = SCENARIO.replace("\"broke\"", "\"held\"");
    assert!(markdown(&gathered(&[("x.json", &held)])).contains("| held (not guaranteed) |"));
    let broken = &line.broken[0];
    assert_eq!(
        broken.replay,
        "cargo run --release -- replay scenarios/faults/leader-power-loss.toml --seed 8"
    );
    assert_eq!(broken.picture, None);
    let picture = "leader-power-loss-seed-8.html";
    let with = gathered(&[report, (picture, "")]);
    assert_eq!(with.scenarios[0].broken[0].picture.as_deref(), Some(picture));
    assert!(html(&with).contains(&format!("<a href=\"{picture}\">")));
    assert!(!html(&without).contains(picture));
    assert!(markdown(&with).contains(&format!("[picture]({picture})")));
}

#[test]
fn html_in_a_report_is_escaped() {
    let page = html(&gathered(&[("leader-power-loss.json", SCENARIO)]));
    assert!(!page.contains("<script"), "a report's text became a script");
    assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt; &amp; offset 4118"));
    let name = SCENARIO.replace("\"leader-power-loss\"", "\"<img src=x>\"");
    assert!(!html(&gathered(&[("x.json", &name)])).contains("<img"));
}

#[test]
fn the_page_needs_nothing_but_itself() {
    let timings =
        r#"{"kind":"timings","schema":1,"scenarios":{"s":{"wall_ms":9,"simulated_ms":9000}}}"#;
    let files = [("a.json", SCENARIO), ("durability-matrix.json", MATRIX), (TIMINGS, timings)];
    let page = html(&gathered(&files));
    for outside in ["http://", "https://", "src=", "<link", "@import", "url("] {
        assert!(!page.contains(outside), "{outside}");
    }
    assert!(page.contains("prefers-color-scheme:dark"));
    assert_eq!(page.matches("<svg").count(), 2);
    assert_eq!(page.matches("<svg").count(), page.matches("</svg>").count());
}

#[test]
fn unreadable_reports_are_named_and_the_rest_is_shown() {
    let torn = &SCENARIO[..SCENARIO.len() / 2];
    let newer = SCENARIO.replace("\"schema\": 1", "\"schema\": 2");
    let incomplete = r#"{"schema": 1, "scenario": "x"}"#;
    let overview = gathered(&[
        ("whole.json", SCENARIO),
        ("torn.json", torn),
        ("newer.json", &newer),
        ("incomplete.json", incomplete),
        ("package.json", r#"{"name": "left-pad"}"#),
        ("list.json", "[1, 2]"),
        ("notes.txt", "no report at all"),
    ]);
    assert_eq!(overview.scenarios.len(), 1);
    let skipped: Vec<_> = overview
        .skipped
        .iter()
        .map(|skipped| (skipped.file.as_str(), skipped.why.as_str()))
        .collect();
    let files: Vec<_> = skipped.iter().map(|(file, _)| *file).collect();
    assert_eq!(files, ["incomplete.json", "list.json", "newer.json", "package.json", "torn.json"]);
    assert!(skipped[0].1.contains("missing field `file`"), "{}", skipped[0].1);
    assert!(skipped[2].1.contains("schema 2"), "{}", skipped[2].1);
    assert!(skipped[3].1.contains("not one of our reports"), "{}", skipped[3].1);
    assert!(skipped[4].1.contains("not a whole report"), "{}", skipped[4].1);
    assert!(html(&overview).contains("torn.json"));
    assert!(markdown(&overview).contains("`torn.json`"));
}

#[test]
fn same_reports_give_the_same_overview_bytes() {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), "a.json", SCENARIO);
    put(dir.path(), "durability-matrix.json", MATRIX);
    let first = gather(dir.path()).unwrap();
    put(dir.path(), "index.json", &first.to_json());
    let second = gather(dir.path()).unwrap();
    assert_eq!(first, second);
    assert_eq!(first.to_json(), second.to_json());
    let matrix = first.matrix.unwrap();
    assert_eq!((matrix.survives, matrix.loses, matrix.other), (1, 1, 0));
}

#[test]
fn loss_is_drawn_as_a_share_of_acknowledged_records() {
    let page = html(&gathered(&[("durability-matrix.json", MATRIX)]));
    // A quarter of 420.
    assert!(page.contains("width=\"105.0\""), "{page}");
    assert!(page.contains("all-power: 1000 of 4000 records, 20 of 20 seeds"));
    assert_eq!(page.matches("class=\"loss\"").count(), 1, "what lost nothing has no bar");
}

#[test]
fn timings_accumulate_and_a_torn_file_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let one = |name: &str, wall_ms| {
        std::collections::BTreeMap::from([(name.to_owned(), Timing { wall_ms, simulated_ms: 1 })])
    };
    let known = || gather(dir.path()).unwrap().timings.scenarios;
    Timings::update(dir.path(), &one("a", 1)).unwrap();
    Timings::update(dir.path(), &one("b", 2)).unwrap();
    Timings::update(dir.path(), &one("a", 3)).unwrap();
    assert_eq!(
        known().iter().map(|(n, t)| (n.as_str(), t.wall_ms)).collect::<Vec<_>>(),
        [("a", 3), ("b", 2)]
    );
    put(dir.path(), TIMINGS, "{\"kind\":");
    Timings::update(dir.path(), &one("c", 4)).unwrap();
    assert_eq!(known().keys().collect::<Vec<_>>(), ["c"]);
}

#[test]
fn missing_reports_directory_names_the_commands_that_fill_it() {
    let error = gather(Path::new("no/such/place")).unwrap_err();
    assert!(error.contains("brokerquake run"), "{error}");
}

#[test]
fn reports_with_pages_of_their_own_are_not_named_as_foreign() {
    let kinds = ["exactly-once-matrix", "rebalances", "overview"];
    let files = kinds.map(|kind| (kind, format!("{{\"kind\": \"{kind}\", \"schema\": 1}}")));
    for (kind, text) in &files {
        let overview = gathered(&[(&format!("{kind}.json"), text)]);
        assert!(overview.skipped.is_empty(), "{:?}", overview.skipped);
    }
}

#[test]
fn overview_shows_the_swarms_coverage_and_gaps() {
    let report = r#"{ "kind": "swarm", "schema": 1, "verdict": "held", "runs": [1, 2, 3],
      "failures": [], "features": ["a", "b"], "rare_events": [
      { "name": "torn tail truncated", "runs": 2 }, { "name": "<empty> ISR", "runs": 0 } ] }"#;
    let overview = gathered(&[("swarm.json", report)]);
    assert!(overview.skipped.is_empty(), "{:?}", overview.skipped);
    let said = "held: 3 runs, 0 failed; 2 features, 1 situations; never reached: <empty> ISR";
    assert!(markdown(&overview).contains(&format!("{said}: [the swarm](swarm.md).")));
    assert!(html(&overview).contains("never reached: &lt;empty&gt; ISR"));
}
