//! Pictures agree with the runs that they show.

use super::*;
use crate::sim::TraceHash;

fn scenario(name: &str) -> Scenario {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios");
    Scenario::load(&format!("{dir}/{name}.toml")).unwrap()
}

fn trace(scenario: &Scenario, seed: u64) -> TraceHash {
    run::run(scenario, seed, EngineKind::Leap, None).trace
}

#[test]
fn a_run_that_is_recorded_goes_the_same_way_and_is_drawn_the_same_way_twice() {
    let scenario = scenario("smoke/smoke-all-lose-power");
    let first = Picture::draw(&scenario, 0, EngineKind::Leap);
    assert_eq!(first.outcome.trace, trace(&scenario, 0));
    let second = Picture::draw(&scenario, 0, EngineKind::Leap);
    assert!(first.html() == second.html(), "two pictures of one seed differ");
    let other = Picture::draw(&scenario, 1, EngineKind::Leap);
    assert!(first.html() != other.html(), "two seeds look the same");
}

#[cfg(feature = "referee")]
#[test]
fn the_referee_is_drawn_too_without_its_messages() {
    let scenario = scenario("smoke/smoke-leader-cut-off");
    let picture = Picture::draw(&scenario, 0, EngineKind::Turmoil);
    let json = serde_json::to_value(&picture.data).unwrap();
    assert_eq!(json["tells_messages"], false);
    assert!(json["faults"].as_array().unwrap().iter().any(|fault| fault["kind"] == "cut"));
}

#[test]
fn the_fate_of_a_record_that_every_replica_lost_is_told_from_send_to_verdict() {
    let scenario = scenario("smoke/smoke-all-lose-power");
    let picture = Picture::draw(&scenario, 0, EngineKind::Leap);
    insta::assert_snapshot!("fate_of_a_record_that_all_replicas_lost", picture.story().join("\n"));
}

#[test]
fn the_fate_of_a_record_that_only_the_dead_leader_had_is_told_from_send_to_verdict() {
    let scenario = scenario("smoke/smoke-acks-1-leader-kill");
    let seed = (0..20).find(|seed| {
        let outcome = run::run(&scenario, *seed, EngineKind::Leap, None);
        outcome.broken.iter().any(|broken| broken.invariant == "acked-write-lost")
    });
    let picture = Picture::draw(&scenario, seed.unwrap(), EngineKind::Leap);
    insta::assert_snapshot!(
        "fate_of_a_record_that_only_the_leader_had",
        picture.story().join("\n")
    );
}

#[test]
fn a_run_in_which_nothing_broke_tells_its_faults() {
    let scenario = scenario("smoke/smoke-one-power-loss");
    let picture = Picture::draw(&scenario, 0, EngineKind::Leap);
    let story = picture.story();
    assert!(story.iter().any(|line| line.contains("Power lost")), "{story:#?}");
    assert!(story.last().unwrap().contains("Nothing broke"), "{story:#?}");
}

#[test]
fn messages_have_names_and_directions() {
    let scenario = scenario("smoke/smoke-all-lose-power");
    let picture = Picture::draw(&scenario, 0, EngineKind::Leap);
    let json = serde_json::to_value(&picture.data).unwrap();
    let names: Vec<_> =
        json["apis"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    for name in ["Produce", "Fetch", "BrokerHeartbeat", "InitProducerId"] {
        assert!(names.contains(&name), "{names:?}");
    }
    assert!(!names.iter().any(|name| name.starts_with("API ")), "{names:?}");
    let flat = json["messages"].as_array().unwrap();
    let hosts = json["hosts"].as_array().unwrap().len() as i64;
    assert!(flat.len() > 6 * 1000 && flat.len().is_multiple_of(6));
    for message in flat.chunks_exact(6) {
        let number = |index: usize| message[index].as_i64().unwrap();
        assert!(number(1) > 0 && number(2) < hosts && number(3) < hosts && number(2) != number(3));
    }
}

#[test]
fn columns_fit_into_any_width_that_holds_them_and_are_refused_below() {
    let scenario = scenario("smoke/smoke-all-lose-power");
    let picture = Picture::draw(&scenario, 0, EngineKind::Leap);
    for width in [72, 80, 100, 140, 250] {
        let lines = picture.columns(Some(width)).unwrap();
        let longest = lines.iter().map(|line| line.chars().count()).max().unwrap();
        assert!(longest <= width, "{longest} in {width}");
    }
    assert!(picture.columns(Some(60)).is_none());
    let wide = picture.columns(None).unwrap();
    let head: Vec<_> = wide[0].split_whitespace().collect();
    assert_eq!(head, ["time", "c1", "b1", "b2", "b3", "p1", "p2", "k1", "k2", "k3"]);
    let row = wide.iter().find(|line| line.contains("POWER LOST")).unwrap();
    assert_eq!(row.matches("POWER LOST").count(), 3, "{row}");
    assert!(wide.iter().any(|line| line.contains(">>") && line.contains("Power lost")));
}

/// The titles of a group's story about the first record that breaks this invariant.
fn group_story(name: &str, invariant: &str) -> Vec<String> {
    let scenario = scenario(name);
    let seed = (0..10).find(|seed| {
        let outcome = run::run(&scenario, *seed, EngineKind::Leap, None);
        outcome.broken.iter().any(|broken| broken.invariant == invariant)
    });
    Picture::draw(&scenario, seed.unwrap(), EngineKind::Leap).story()
}

/// Whether lines with these texts follow each other in this order, with others between them.
fn tells(story: &[String], texts: &[&str]) {
    let mut lines = story.iter();
    for text in texts {
        assert!(lines.any(|line| line.contains(text)), "no {text:?} in order: {story:#?}");
    }
}

#[test]
fn record_that_was_processed_twice_is_told_from_owner_to_owner() {
    let story = group_story("groups/auto-commit-crashes", "processed-at-most-once");
    tells(
        &story,
        &["Sent:", "Polled:", "Processed:", "Taken over:", "Processed again:", "broken:"],
    );
    tells(&story, &["Ended:", "The committed offset is", "Polled:"]);
}

#[test]
fn record_that_was_never_processed_is_told_up_to_the_next_owner() {
    let story = group_story("groups/commit-before-processing", "processed-at-least-once");
    tells(&story, &["Sent:", "Polled:", "Committed: k", "Taken over:", "broken:"]);
    tells(&story, &["starts behind the record"]);
    assert!(!story.iter().any(|line| line.contains("Processed:")), "{story:#?}");
}
