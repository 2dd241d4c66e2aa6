//! In whole runs, the ghost's reading of the metadata log agrees with the controller.

use super::*;
use crate::base::{ControllerProbe, Probe};
use crate::check::{Ghost, Violation};
use crate::sim::{Observation, Shot, What};

/// Compares every decision that a controller reports with the bytes of the log.
#[derive(Default)]
struct Comparison {
    partitions: usize,
    others: usize,
    lanes: usize,
}

impl Observer for Comparison {
    fn see(&mut self, seen: &Observation, ghost: &Ghost) {
        let What::Probe(Probe::Controller(probe)) = &seen.what else { return };
        let image = ghost.metadata().image();
        assert_eq!((image.unreadable(), image.contradicts(probe)), (None, None));
        match probe {
            ControllerProbe::PartitionCommitted(_) => self.partitions += 1,
            _ => self.others += 1,
        }
    }

    fn lanes(&self) -> usize {
        self.lanes
    }
    fn hosts(&mut self, hosts: Vec<Lane>) {
        self.lanes = hosts.len();
    }
    fn began(&mut self, _: Instant) {}
    fn healed(&mut self, _: Instant) {}
    fn roll(&mut self, _: Instant, _: Vec<Shot>) {}
    fn judged(&mut self, _: &[Violation]) {}
}

const KILLS: &str = "name = \"kills\"\nduration = \"20s\"\n[cluster]\nbrokers = 3\n\
    broker.session.timeout.ms = 3000\nbroker.heartbeat.interval.ms = 500\n\
    [topic]\npartitions = 3\nreplication.factor = 3\n\
    [[load]]\nkind = \"producer\"\nrate = \"5/s\"\nacks = \"all\"\n\
    [[schedule]]\nat = \"2s\"\nkind = \"kill\"\ntarget = \"leader\"\ndown = \"6s\"\n\
    [[schedule]]\nat = \"10s\"\nkind = \"power-loss\"\ntarget = \"controller\"\ndown = \"1s\"\n\
    [expect]\nholds = [\"*\"]\n";

#[test]
fn log_bytes_agree_with_the_controller_through_elections_and_a_restart() {
    let scenario = Scenario::parse("kills.toml", KILLS).unwrap();
    let mut seen = Comparison::default();
    let observers = Observers { recorder: Some(&mut seen), ..Observers::default() };
    let outcome = watched(&scenario, 1, EngineKind::Leap, observers);
    assert!(outcome.broken.is_empty(), "{:?}", outcome.broken);
    // Three creations, elections, and all of them again after the controller's restart.
    assert!(seen.partitions > 12 && seen.others > 12, "{} {}", seen.partitions, seen.others);
}
