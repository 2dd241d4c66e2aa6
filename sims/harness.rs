//! The harness as tests of other crates see it: a failure names its replay, the replay gives the
//! same run, and the same program runs on real sockets and files.
#![allow(
    clippy::disallowed_methods,
    reason = "tests and benchmarks look at the real world from outside"
)]

#[path = "clients/server.rs"]
mod server;

use std::process::Command;

use super::bookkeeper::app::{self, OneFile, bookkeeper, shop};
use brokerquake::prelude::*;

/// Set when this file's own tests are run by its tests.
const WITHIN: &str = "BROKERQUAKE_TEST_WITHIN";

/// A simulation that breaks from some seeds on.
fn throws() -> Simulation {
    Simulation::new("a die is thrown")
        .topic("throws", |topic| topic)
        .client("gambler", |host| async move { host.note(host.draw(1..7).to_string()) })
        .check("no-six", |history: &History| {
            let six = history.notes("gambler").any(|(_, thrown)| thrown == "6");
            if six { Err("a six was thrown") } else { Ok(()) }
        })
        .duration("1s")
        .seeds(0..30)
}

/// The line of the assertion below.
const ASSERTS: u32 = line!() + 5;

#[test]
fn a_six_is_thrown() {
    if std::env::var_os(WITHIN).is_some() {
        throws().assert_holds();
    }
}

/// Runs the test above; returns whether it passed, and its output.
fn within(variables: &[(&str, &str)]) -> (bool, String) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "harness::a_six_is_thrown", "--nocapture", "--test-threads=2"]);
    command.env(WITHIN, "1").envs(variables.iter().copied());
    let output = command.output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

#[test]
fn failure_names_a_replay_command_that_explains_it() {
    let (passed, said) = within(&[]);
    assert!(!passed, "{said}");
    let place = format!("panicked at {}:{ASSERTS}:18:", file!());
    assert!(said.contains(&place), "the test's own line, `{place}`:\n{said}");
    let line = |said: &str, start: &str| {
        let found = said.lines().find_map(|line| line.strip_prefix(start).map(str::to_owned));
        found.unwrap_or_else(|| panic!("no `{start}` in\n{said}"))
    };
    let replay = line(&said, "replay: BROKERQUAKE_SEED=");
    let (seed, command) = replay.split_once(' ').unwrap();
    assert_eq!(command, "cargo test harness::a_six_is_thrown");
    assert!(!said.contains("notes: 6"), "only a replay tells everything:\n{said}");

    let (passed, again) = within(&[("BROKERQUAKE_SEED", seed)]);
    assert!(!passed);
    assert_eq!(line(&again, "BROKE no-six"), line(&said, "BROKE no-six"), "seed and trace");
    assert_eq!(again.matches("gambler notes: 6").count(), 1, "{again}");

    let before = format!("0..{seed}");
    let (passed, said) = within(&[("BROKERQUAKE_SEEDS", &before)]);
    assert!(passed, "no seed before it throws a six:\n{said}");
    let (passed, said) = within(&[("BROKERQUAKE_SEED", "six")]);
    assert!(!passed && said.contains("BROKERQUAKE_SEED: `six` is no seed"), "{said}");
}

#[test]
fn bookkeeper_also_runs_against_a_real_broker() {
    let server = server::Server::start();
    let bootstrap = server.bootstrap();
    let dir = tempfile::tempdir().unwrap();
    let books = dir.path().join("books");
    let run = |host: Host| async move {
        let admin = host.admin(&[])?;
        admin.create_topic("payments", app::PARTITIONS, 1, &[]).await?;
        shop(host.clone()).await?;
        bookkeeper(host.clone(), OneFile).await?;
        let struck = host.cluster().strike(Fault::kill("b1")).await;
        assert_eq!(struck, Err(FaultError::Reality));
        Ok::<_, Box<dyn std::error::Error>>(host.load("books").await?.unwrap())
    };
    let written = run_for_real(&bootstrap, &books, run).unwrap().unwrap();
    let written = String::from_utf8(written).unwrap();
    assert!(written.contains("balance account-") && written.contains("closed 2"), "{written}");
    assert_eq!(std::fs::read_to_string(books.join("books")).unwrap(), written);
}
