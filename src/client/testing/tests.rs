//! Producer and consumer together: in order, nothing doubled, nothing lost, whatever goes wrong.

use std::time::Duration;

use proptest::prelude::*;

use super::{Bench, Faults, Model};
use crate::base::config::{Config, ConsumerConfig, ProducerConfig};
use crate::base::{Flaw, Flaws, Offset, TopicPartition};
use crate::client::Notice;

fn producer_config(settings: &[(&str, &str)]) -> ProducerConfig {
    let mut config = ProducerConfig::default();
    config.set_all([("bootstrap.servers", "b1:9092"), ("linger.ms", "0")]).unwrap();
    config.set_all(settings.iter().copied()).unwrap();
    config
}

fn consumer_config() -> ConsumerConfig {
    let mut config = ConsumerConfig::default();
    let settings = [("bootstrap.servers", "b2:9092"), ("auto.offset.reset", "earliest")];
    config.set_all(settings).unwrap();
    config
}

/// Three brokers, and so many records spread over the partitions and a few seconds.
fn bench(seed: u64, config: ProducerConfig, partitions: i32, records: usize) -> Bench {
    flawed_bench(seed, config, partitions, records, Flaws::default())
}

fn flawed_bench(
    seed: u64,
    config: ProducerConfig,
    partitions: i32,
    records: usize,
    flaws: Flaws,
) -> Bench {
    let leaders: Vec<i32> = (0..partitions).map(|index| 1 + index % 3).collect();
    let model = Model::new(3, &leaders);
    let mut bench = Bench::new(seed, model, config, consumer_config(), flaws);
    for n in 0..records {
        let time = bench.now + Duration::from_millis(n as u64 * 7);
        bench.send_at(time, n as i32 % partitions, &format!("{n:05}"));
    }
    bench.consume(partitions);
    bench
}

/// Runs with faults until all is sent, then without any until all is judged and read.
fn run(bench: &mut Bench, faults: Faults, records: usize) {
    bench.faults = faults;
    bench.run(Duration::from_secs(10), |bench| bench.sent.len() == records && bench.is_judged());
    assert_eq!(bench.sent.len(), records);
    bench.faults = Faults::default();
    let over = bench.run(Duration::from_secs(300), |bench| bench.is_judged() && bench.is_read());
    assert!(over, "without faults, every record is judged and read");
}

/// What is wrong with the verdicts, the logs and what was read; nothing, if all is well.
fn problem(bench: &Bench, partitions: i32) -> Option<String> {
    for index in 0..partitions {
        let stored = bench.model.log(index).values();
        for pair in stored.windows(2) {
            if pair[0].1 >= pair[1].1 {
                return Some(format!("partition {index} has {:?} before {:?}", pair[0], pair[1]));
            }
        }
        let stored: Vec<_> = stored.into_iter().map(|(at, value)| (at, value.to_vec())).collect();
        if bench.values_read(index) != stored {
            return Some(format!("partition {index} was read otherwise than it is stored"));
        }
    }
    for sent in &bench.sent {
        let places = (0..partitions).flat_map(|index| {
            let values = bench.model.log(index).values().into_iter();
            values.filter(|(_, value)| *value == sent.value).map(move |(offset, _)| (index, offset))
        });
        let places: Vec<(i32, Offset)> = places.collect();
        let well = match sent.verdict.as_ref()? {
            Ok(at) => at.offset.map_or(!places.is_empty(), |offset| {
                places.contains(&(at.partition.partition, offset))
            }),
            Err(error) => error.may_be_stored || places.is_empty(),
        };
        if !well {
            return Some(format!("{:?}, but it is at {places:?}", sent.verdict));
        }
    }
    None
}

fn faults() -> impl Strategy<Value = Faults> {
    (0..15u32, 0..15u32, 0..15u32, 0..5u32, 0..400u64).prop_map(
        |(lost_request, lost_response, refused, election, delay)| Faults {
            lost_request,
            lost_response,
            refused,
            election,
            delay: Duration::from_millis(delay),
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn delivery_is_ordered_and_free_of_duplicates_under_faults(
        seed in any::<u64>(),
        faults in faults(),
        partitions in 1..4i32,
        records in 20..160usize,
        batch_size in prop_oneof![Just("90"), Just("200"), Just("16384")],
        retries in prop_oneof![Just("2"), Just("2147483647")],
    ) {
        let config = producer_config(&[("batch.size", batch_size), ("retries", retries)]);
        let mut bench = bench(seed, config, partitions, records);
        run(&mut bench, faults, records);
        prop_assert_eq!(problem(&bench, partitions), None);
    }
}

#[test]
fn every_record_is_acknowledged_without_faults() {
    let mut bench = bench(1, producer_config(&[]), 3, 300);
    run(&mut bench, Faults::default(), 300);
    assert_eq!(problem(&bench, 3), None);
    assert!(bench.sent.iter().all(|sent| matches!(sent.verdict, Some(Ok(_)))));
}

#[cfg(debug_assertions)]
#[test]
fn flaw_that_renumbers_every_batch_doubles_records() {
    let faults = Faults {
        lost_request: 5,
        lost_response: 20,
        refused: 10,
        election: 0,
        delay: Duration::from_millis(50),
    };
    let found = (0..200).any(|seed| {
        let config = producer_config(&[("batch.size", "90")]);
        let flaws = Flaws::only(Flaw::OneBatchWindow);
        let mut bench = flawed_bench(seed, config, 1, 100, flaws);
        run(&mut bench, faults, 100);
        problem(&bench, 1).is_some()
    });
    assert!(found, "this bench finds a producer that doubles records");
}

#[cfg(debug_assertions)]
#[test]
fn flaw_that_resets_all_sequences_reorders_or_doubles_records() {
    let faults = Faults {
        lost_request: 10,
        lost_response: 15,
        refused: 10,
        election: 0,
        delay: Duration::from_millis(50),
    };
    let is_broken = |seed, flaws| {
        let settings = [
            ("batch.size", "90"),
            // Batches expire in doubt, so that the epoch is raised now and then.
            ("request.timeout.ms", "200"),
            ("delivery.timeout.ms", "300"),
        ];
        let mut bench = flawed_bench(seed, producer_config(&settings), 2, 100, flaws);
        run(&mut bench, faults, 100);
        problem(&bench, 2).is_some()
    };
    let found = (0..200).find(|seed| is_broken(*seed, Flaws::only(Flaw::ResetAllSequences)));
    let found = found.expect("this bench finds a producer that resets all sequences");
    assert!(!is_broken(found, Flaws::default()));
}

/// Elects a leader that lacks what follows offset 20, after all was read. Returns how far the log
/// reached before, and how far it reaches now.
fn lose_the_tail(bench: &mut Bench) -> (Offset, Offset) {
    run(bench, Faults::default(), 50);
    bench.notices.clear();
    let end = bench.model.log(0).end();
    bench.model.elect_unclean(0, 2, Offset(20));
    let kept = bench.model.log(0).end();
    assert!(kept < end && kept >= Offset(20));
    (end, kept)
}

#[test]
fn unclean_election_moves_the_consumer_back_with_a_notice() {
    let mut bench = bench(1, producer_config(&[("batch.size", "90")]), 1, 50);
    let (end, kept) = lose_the_tail(&mut bench);
    assert!(bench.run(Duration::from_secs(60), |bench| !bench.notices.is_empty()));
    let partition = TopicPartition::new("orders", 0);
    assert_eq!(bench.notices, [Notice::Truncated { partition, from: end, to: Some(kept) }]);
    assert!(bench.run(Duration::from_secs(60), Bench::is_read));
}

#[cfg(debug_assertions)]
#[test]
fn flaw_that_ignores_truncation_never_notices_it() {
    let flaws = Flaws::only(Flaw::ConsumerIgnoresTruncation);
    let config = producer_config(&[("batch.size", "90")]);
    let mut bench = flawed_bench(1, config, 1, 50, flaws);
    lose_the_tail(&mut bench);
    let is_truncated = |notice: &Notice| matches!(notice, Notice::Truncated { .. });
    assert!(!bench.run(Duration::from_secs(60), |bench| bench.notices.iter().any(is_truncated)));
}
