//! Consumers that read from the replica in their rack (KIP-392).

use super::*;
use crate::base::Instant;

const SELECTOR: &str = "org.apache.kafka.common.replica.RackAwareReplicaSelector";

/// Reads a number of records, and returns the replicas from which it read.
async fn read_in(host: &Host, rack: &str, records: usize) -> Result<Vec<f64>, Failure> {
    let keys = [("auto.offset.reset", "earliest"), ("client.rack", rack)];
    let mut consumer = host.consumer(&keys)?;
    consumer.assign(all());
    let mut read = 0;
    while read < records {
        read += consumer.poll(SECOND).await?.len();
    }
    let metrics = consumer.metrics();
    let replica = |one| metrics.of_partition("preferred-read-replica", one).unwrap();
    Ok(all().iter().map(replica).collect())
}

fn racked(name: &str, selector: &str) -> Simulation {
    let simulation = small(name).set("racks", 3).set("replica.selector.class", selector);
    simulation.client("shop", |host| shop(host, 60))
}

#[test]
fn consumer_with_a_rack_reads_from_the_replica_there() {
    let report = racked("near", SELECTOR)
        .client("reader", |host| async move {
            for (rack, broker) in [("r1", 1.0), ("r2", 2.0), ("r3", 3.0)] {
                let replicas = read_in(&host, rack, 60).await?;
                // -1 is the leader, which is in the rack itself then.
                assert!(replicas.iter().all(|id| *id == broker || *id == -1.0), "{replicas:?}");
                host.note(format!("{replicas:?}"));
            }
            Ok::<(), Failure>(())
        })
        .check("not-the-leaders", |history: &History| {
            let followers =
                history.notes("reader").filter(|(_, note)| note.matches("-1.0").count() < 2);
            // Each of two partitions has two racks without its leader.
            if followers.count() < 2 { Err("only leaders were read") } else { Ok(()) }
        })
        .run();
    assert_eq!(report.verdict, Verdict::Held, "{:?}", report.worst());
}

#[test]
fn consumer_whose_nearest_replica_died_reads_on_from_the_leader() {
    let simulation = small("gone").set("racks", 3).set("replica.selector.class", SELECTOR);
    let report = simulation
        .duration("20s")
        .fault(Fault::kill("b3").at(Duration::from_secs(3)).down(Duration::from_secs(12)))
        .client("shop", |host| shop(host, 20))
        .client("reader", |host| async move {
            host.sleep(Duration::from_millis(3100)).await;
            // The leader still names the dead one. Nothing is written any more that would make it look
            // at the partitions again.
            read_in(&host, "r3", 20).await?;
            let took = host.now();
            assert!(took < Instant::from_secs(12), "it had read everything after {took:?}");
            Ok::<(), Failure>(())
        })
        .run();
    assert_eq!(report.verdict, Verdict::Held, "{:?}", report.worst());
}

#[test]
fn leader_serves_every_rack_without_a_selector() {
    let report = racked("far", "")
        .client("reader", |host| async move {
            assert_eq!(read_in(&host, "r2", 60).await?, [-1.0, -1.0]);
            Ok::<(), Failure>(())
        })
        .run();
    assert_eq!(report.verdict, Verdict::Held, "{:?}", report.worst());
}
