//! The same seed of the same scenario gives the same run in another process.
#![allow(
    clippy::disallowed_methods,
    reason = "tests and benchmarks look at the real world from outside"
)]

use std::num::NonZeroUsize;
use std::process::{Command, Stdio};

use brokerquake::lab::sweep::Sweep;
use brokerquake::run::{self, EngineKind};
use brokerquake::scenario::Scenario;
use brokerquake::scenario::files::load_all;

/// All that `.ci/slow` compares, reports and all, with `BROKERQUAKE_SEEDS`.
const ALL: [&str; 4] = ["scenarios/smoke", "scenarios/faults", "scenarios/groups", "scenarios/eos"];
/// Where the traces of one seed are compared otherwise, of every third scenario: one run takes up to twenty
/// seconds.
const ONCE: [&str; 3] = ["scenarios/faults", "scenarios/groups", "scenarios/eos/two-stages.toml"];

fn binary() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_brokerquake"));
    command.stdout(Stdio::piped()).stderr(Stdio::inherit());
    command
}

#[test]
fn scenarios_have_the_same_trace_in_another_process() {
    let asked = std::env::var("BROKERQUAKE_SEEDS").ok().and_then(|seeds| seeds.parse().ok());
    if let Some(seeds) = asked {
        ALL.iter().for_each(|path| compare(path, seeds));
        return;
    }
    compare("scenarios/smoke", 3);
    for scenario in load_all(&ONCE.map(str::to_owned)).unwrap().iter().step_by(3) {
        let seed = scenario.seed.unwrap_or(0);
        let replay = ["replay", &scenario.file, "--seed", &seed.to_string()];
        let other = binary().args(replay).spawn().unwrap();
        let here = run::run(scenario, seed, EngineKind::Leap, None).trace.to_string();
        let told = String::from_utf8(other.wait_with_output().unwrap().stdout).unwrap();
        let there = told.lines().find_map(|line| line.strip_prefix("trace:")).unwrap().trim();
        if here != there {
            let difference = first_difference(scenario, seed);
            panic!("{} seed {seed}: trace {here} here, {there} there\n{difference}", scenario.name);
        }
    }
}

#[test]
fn reports_do_not_depend_on_how_the_program_was_called() {
    let reports = tempfile::tempdir().unwrap();
    let files = |name: &str, by_cargo: bool| {
        let dir = reports.path().join(name);
        let mut command = binary();
        if by_cargo {
            command.env("CARGO", "cargo")
        } else {
            command.env_remove("CARGO")
        };
        let seeds = ["run", "smoke/smoke-all-lose-power", "--seeds", "1", "--reports"];
        let output = command.args(seeds).arg(&dir).output().unwrap();
        let mut texts = vec![String::from_utf8(output.stdout).unwrap()];
        for file in ["smoke-all-lose-power.json", "summary.md"] {
            texts.push(std::fs::read_to_string(dir.join(file)).unwrap());
        }
        texts
    };
    let (by_path, by_cargo) = (files("one", false), files("other", true));
    assert!(by_path[1].contains("cargo run --release -- replay "), "{}", by_path[1]);
    assert_eq!(by_path[1..], by_cargo[1..]);
}

/// Runs a scenario, or every one of a directory, here and in another process, at the same time.
fn compare(path: &str, seeds: u64) {
    let reports = tempfile::tempdir().unwrap();
    let half = std::thread::available_parallelism().map_or(1, |cores| cores.get().div_ceil(2));
    let jobs = NonZeroUsize::new(half).unwrap();
    let mut other = binary()
        .args(["run", path, "--seeds", &seeds.to_string(), "--jobs", &jobs.to_string()])
        .arg("--reports")
        .arg(reports.path())
        .spawn()
        .unwrap();
    let scenarios = load_all(&[path.into()]).unwrap();
    let sweep =
        Sweep { scenarios: scenarios.clone(), seeds: 0..seeds, jobs, engine: EngineKind::Leap };
    let here = sweep.run(&mut ());
    // Drained, so that the other process never waits for a reader.
    std::io::copy(other.stdout.as_mut().unwrap(), &mut std::io::sink()).unwrap();
    other.wait().unwrap();

    for (scenario, report) in scenarios.iter().zip(here) {
        let path = reports.path().join(format!("{}.json", scenario.name));
        let text = std::fs::read_to_string(&path).unwrap();
        let there: serde_json::Value = serde_json::from_str(&text).unwrap();
        let runs = there["runs"].as_array().unwrap();
        assert_eq!(runs.len(), report.runs.len());
        for (run, other) in report.runs.iter().zip(runs) {
            assert_eq!(Some(run.seed), other["seed"].as_u64());
            if other["trace"] != run.trace {
                let difference = first_difference(scenario, run.seed);
                panic!(
                    "{} seed {}: trace {} here, {} there\n{difference}",
                    scenario.name, run.seed, run.trace, other["trace"]
                );
            }
        }
        assert_eq!(text, report.to_json(), "reports are the same, byte for byte");
    }
}

/// Runs a seed in both processes again, and compares event by event.
fn first_difference(scenario: &Scenario, seed: u64) -> String {
    let mut here = Vec::new();
    let mut watch = |line: &str| here.push(line.to_owned());
    run::run(scenario, seed, EngineKind::Leap, Some(&mut watch));
    let other = binary()
        .args(["replay", &scenario.file, "--seed", &seed.to_string(), "--trace=events"])
        .output()
        .unwrap();
    let other = String::from_utf8_lossy(&other.stdout).into_owned();
    let difference = here.iter().zip(other.lines()).find(|(here, there)| here != there);
    difference.map_or_else(
        || "this time both runs were equal".into(),
        |(here, there)| format!("first event that differs:\n  here:  {here}\n  there: {there}"),
    )
}

#[test]
fn turmoil_gives_the_same_trace_twice_in_one_process() {
    for scenario in ["smoke/smoke-leader-cut-off", "smoke/smoke-one-power-loss"] {
        let scenario = Scenario::load(scenario).unwrap();
        let events = || {
            let mut events = Vec::new();
            let mut watch = |line: &str| events.push(line.to_owned());
            run::run(&scenario, 0, EngineKind::Turmoil, Some(&mut watch));
            events
        };
        let (first, second) = (events(), events());
        let differs = first.iter().zip(&second).position(|(first, second)| first != second);
        if let Some(at) = differs {
            let (before, from) = (at.saturating_sub(5), at.min(first.len() - 1));
            panic!(
                "{}: after\n  {}\nfirst  {}\nsecond {}",
                scenario.name,
                first[before..from].join("\n  "),
                first[at],
                second[at]
            );
        }
        assert_eq!(first.len(), second.len());
    }
}

#[test]
fn a_run_is_replayed_with_its_events_and_its_hash() {
    let replay = |trace: bool| {
        let mut command = binary();
        command.args(["replay", "smoke/smoke-calm", "--seed", "1"]);
        if trace {
            command.arg("--trace=events");
        }
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        String::from_utf8(output.stdout).unwrap()
    };
    let (short, long) = (replay(false), replay(true));
    let hash = short.lines().last().unwrap();
    assert!(hash.starts_with("trace:   "), "{hash}");
    assert_eq!(hash, long.lines().last().unwrap(), "watching changes nothing");
    assert!(long.lines().count() > 1000);
}

#[test]
fn observers_do_not_change_the_trace() {
    let dir = tempfile::tempdir().unwrap();
    let (page, written) = (dir.path().join("run.html"), dir.path().join("run.jsonl"));
    let mut command = binary();
    command.args(["replay", "smoke/smoke-calm", "--seed", "1", "--trace=events"]);
    command.arg("--history").arg(&written).arg(format!("--picture={}", page.display()));
    let output = command.output().unwrap();
    assert!(output.status.success());
    let told = String::from_utf8(output.stdout).unwrap();
    let hash = told.lines().last().unwrap().strip_prefix("trace:   ").unwrap();
    assert!(std::fs::read_to_string(&page).unwrap().contains(hash), "the picture shows this run");

    let histories = dir.path().join("histories");
    let mut command = binary();
    command.args(["run", "smoke/smoke-calm", "--seeds", "1..3", "--reports"]).arg(dir.path());
    assert!(command.arg("--history").arg(&histories).status().unwrap().success());
    let one = std::fs::read(histories.join("smoke-calm-seed-1.jsonl")).unwrap();
    assert_eq!(std::fs::read(&written).unwrap(), one);
    assert!(histories.join("smoke-calm-seed-2.jsonl").exists());
    let checked = binary().arg("check").arg(&written).status().unwrap();
    assert!(checked.success(), "nothing was broken, as `check` says too");
}

#[test]
fn unusable_scenario_exits_with_the_usage_code() {
    let dir = tempfile::tempdir().unwrap();
    let empty = dir.path().join("empty.toml");
    std::fs::write(&empty, "").unwrap();
    let (dir, empty) = (dir.path().to_str().unwrap(), empty.to_str().unwrap());
    let (none, wrong) = (format!("{dir}/none"), format!("{dir}/void"));
    std::fs::create_dir(&wrong).unwrap();
    for (arguments, said) in [
        (vec!["run", &none], "no such file or directory"),
        (vec!["run", &wrong], "no scenario (`*.toml`) in this directory"),
        (vec!["run", empty], "the file is empty"),
        (vec!["run", "smoke", "--seed", "3"], "--seeds"),
        (vec!["run", "smoke", "--seeds", "9..3"], "no seed at all"),
        (vec!["run", "smoke", "--jobs", "0"], "--jobs"),
        (vec!["run", "smoke", "--engine", "lepa"], "leap"),
        (vec!["run", "smoke", "--swarm"], "cannot be used with"),
        (vec!["run", "--swarm", "--for", "10"], "expected a duration such as `500ms`"),
        (vec!["run", "smoke", "--for", "0s"], "must be longer than zero"),
        (vec!["replay", "smoke/smoke-calm", "--seed", "18446744073709551615"], "the largest seed"),
        (vec!["rnu"], "'run'"),
        (vec!["replay", "smoke/smoke-clam", "--seed", "1"], "did you mean"),
        (vec!["replay", "smoke", "--seed", "1"], "it is a directory"),
    ] {
        let output = binary().args(&arguments).stderr(Stdio::piped()).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {error}");
        assert!(error.contains(said), "{arguments:?}: {error}");
    }
}
