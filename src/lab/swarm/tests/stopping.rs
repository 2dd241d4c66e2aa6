//! What ends a swarm.

use super::*;

#[test]
fn stop_at_first_ends_the_swarm_at_the_first_failure_that_is_not_known() {
    // Runs 5, 9 and 20 fail.
    let runner = |_: &Scenario, seed: u64, _: EngineKind| {
        let mut outcome = run::caught::caught(seed, || panic!("replaced below"));
        outcome.broken = match seed {
            5 | 9 | 20 => {
                vec![run::outcome::Broken::new("isr-superset", Instant::START, seed.to_string())]
            }
            _ => Vec::new(),
        };
        outcome
    };
    let run = |stop_at_first, known: &str| {
        let swarm = Swarm {
            seeds: 0..32,
            jobs: NonZeroUsize::MIN,
            engine: EngineKind::Leap,
            limit: None,
            mutates: false,
            stop_at_first,
            known: Known::read(known).unwrap(),
            dir: DIR.into(),
        };
        let report = swarm.run_by(&runner, &mut ()).unwrap();
        let numbers = report.failures.iter().map(|failure| failure.number);
        (report.runs.len(), numbers.collect::<Vec<_>>(), report.known.len())
    };
    assert_eq!(run(true, ""), (6, vec![5], 0));
    assert_eq!(run(true, "isr-superset: 5"), (10, vec![9], 1));
    assert_eq!(run(true, "isr-superset"), (32, vec![], 3));
    assert_eq!(run(false, ""), (32, vec![5, 9, 20], 0));
}
