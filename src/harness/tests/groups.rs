//! Programs that are members of consumer groups.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::base::Offset;
use crate::client::{CommittedOffset, Told};

const ORDERS: u64 = 40;

/// Reads a share of `orders` until it is asked to end, commits, and notes what it read.
async fn member(host: Host, protocol: &'static str) -> Result<(), Failure> {
    let mut consumer = host.consumer(&[
        ("group.id", "audit"),
        ("group.protocol", protocol),
        ("auto.offset.reset", "earliest"),
        ("enable.auto.commit", "false"),
    ])?;
    consumer.subscribe(["orders"])?;
    while let Some(polled) = host.unless_terminated(consumer.poll(SECOND)).await {
        let records = polled?;
        for record in &records {
            assert!(record.headers.is_empty(), "the number is taken off");
            host.note(String::from_utf8_lossy(record.value.as_ref().unwrap()));
        }
        if !records.is_empty() {
            consumer.commit_sync(5 * SECOND).await?;
        }
    }
    consumer.close(5 * SECOND).await;
    Ok(())
}

/// Sends orders, and ends once the group had time to read them.
async fn slow_shop(host: Host) -> Result<(), Failure> {
    shop(host.clone(), ORDERS).await?;
    host.sleep(20 * SECOND).await;
    Ok(())
}

fn owners(history: &History) -> BTreeSet<String> {
    let events = history.events().iter();
    let owners = events.filter_map(|event| match &event.what {
        Happening::Assigned { group, partitions } if **group == *"audit" => {
            (!partitions.is_empty()).then(|| event.host.to_string())
        }
        _ => None,
    });
    owners.collect()
}

#[test]
fn members_of_a_group_share_topics_and_commit_in_both_protocols() {
    for protocol in ["classic", "consumer"] {
        let report = small("shared")
            .client("shop", slow_shop)
            .service("audit", move |host| member(host, protocol))
            .instances(2)
            .check("all-read", every_record_read("orders", "audit"))
            .check("shared", |history: &History| {
                let committed = history.events().iter().filter_map(|event| match &event.what {
                    Happening::Committed { offsets, .. } => Some(offsets),
                    _ => None,
                });
                let ends = committed.flatten().fold([0; 2], |mut ends, (name, offset)| {
                    let end = &mut ends[usize::try_from(name.partition).unwrap()];
                    *end = offset.0.max(*end);
                    ends
                });
                let stored = history.topic("orders").count();
                let (owners, read) = (owners(history), history.notes("audit").count());
                match (owners.len(), ends.iter().sum::<i64>(), stored, read) {
                    (2, 40, 40, 40..) => Ok(()),
                    other => Err(format!("{other:?}: {owners:?}")),
                }
            })
            .require(assigned("audit").at_least(2))
            .run();
        assert_eq!(report.verdict, Verdict::Held, "{protocol}: {:?}", report.worst());
    }
}

#[test]
fn program_that_restarts_continues_at_its_committed_offset() {
    let report = small("resumed")
        .client("shop", slow_shop)
        .client("audit", |host| async move {
            let mut consumer = host.consumer(&[
                ("group.id", "audit"),
                ("group.instance.id", host.name()),
                ("auto.offset.reset", "earliest"),
                ("enable.auto.commit", "false"),
                ("max.poll.records", "1"),
            ])?;
            consumer.subscribe(["orders"])?;
            let mut committed = BTreeMap::new();
            while committed.values().map(|offset: &Offset| offset.0).sum::<i64>() < 40 {
                for record in consumer.poll(SECOND).await? {
                    host.sleep(SECOND / 10).await;
                    let next = CommittedOffset::at(record.offset.next());
                    consumer.commit_offsets([(record.partition, next)], 30 * SECOND).await?;
                    host.note("read");
                }
                let found = consumer.committed(&all(), 30 * SECOND).await?;
                let found = found.into_iter().filter_map(|(name, at)| Some((name, at?.offset)));
                committed = found.collect();
            }
            consumer.close(SECOND).await;
            Ok::<(), Failure>(())
        })
        .fault(Fault::kill("audit").every(SECOND..2 * SECOND).down(SECOND / 10))
        .check("once-but-for-the-kills", |history: &History| {
            let read = history.notes("audit").count();
            let kills = history.struck("audit");
            // A kill may come between a commit and the remark; nothing else is read twice or skipped.
            if read <= 40 && read + kills >= 40 && kills > 1 {
                Ok(())
            } else {
                Err(format!("{read} read, {kills} kills"))
            }
        })
        .duration("10s")
        .seeds(0..3)
        .run();
    assert_eq!(report.verdict, Verdict::Held, "{:?}", report.worst());
}

#[test]
fn commits_in_the_background_take_effect_in_their_order() {
    let report = small("ordered")
        .client("shop", slow_shop)
        .client("audit", |host| async move {
            // All records are there, so that polls, and commits, follow each other at one instant.
            host.sleep(8 * SECOND).await;
            let mut consumer = host.consumer(&[
                ("group.id", "audit"),
                ("auto.offset.reset", "earliest"),
                ("enable.auto.commit", "false"),
                ("max.poll.records", "1"),
            ])?;
            consumer.subscribe(["orders"])?;
            let mut read = 0;
            while read < ORDERS {
                read += consumer.poll(SECOND).await?.len() as u64;
                consumer.commit_async();
            }
            host.sleep(SECOND).await;
            let found = consumer.committed(&all(), 5 * SECOND).await?;
            let committed = found.into_values().flatten().map(|next| next.offset.0);
            host.note(committed.sum::<i64>().to_string());
            consumer.close(SECOND).await;
            Ok::<(), Failure>(())
        })
        .check("all-committed", |history: &History| {
            let notes: Vec<_> = history.notes("audit").map(|(_, note)| note).collect();
            if notes == ["40"] { Ok(()) } else { Err(format!("{notes:?}")) }
        })
        .duration("10s")
        .seeds(0..3)
        .run();
    assert_eq!(report.verdict, Verdict::Held, "{:?}", report.worst());
}

/// Commits in the last moment, and counts what it hears.
struct Hears {
    assigned: Arc<AtomicU64>,
    revoked: Arc<AtomicU64>,
}

impl RebalanceListener for Hears {
    fn assigned<'a>(&'a self, member: Member<'a>, gained: &'a [TopicPartition]) -> Told<'a> {
        Box::pin(async move {
            assert!(gained.iter().all(|partition| member.assignment().contains(partition)));
            self.assigned.fetch_add(gained.len() as u64, Ordering::Relaxed);
        })
    }

    fn revoked<'a>(&'a self, mut member: Member<'a>, gone: &'a [TopicPartition]) -> Told<'a> {
        Box::pin(async move {
            self.revoked.fetch_add(gone.len() as u64, Ordering::Relaxed);
            let _ = member.commit_sync(5 * SECOND).await;
        })
    }
}

#[test]
fn listener_commits_before_another_member_gets_the_partition() {
    let report = small("handed-over")
        .client("shop", |host| shop(host, 20))
        .client("first", |host| async move {
            let mut consumer = host.consumer(&[
                ("group.id", "audit"),
                ("auto.offset.reset", "earliest"),
                ("enable.auto.commit", "false"),
            ])?;
            let (assigned, revoked) = <(Arc<AtomicU64>, Arc<AtomicU64>)>::default();
            let hears = Hears { assigned: assigned.clone(), revoked: revoked.clone() };
            consumer.set_listener(hears);
            consumer.subscribe(["orders"])?;
            let end = host.now() + 25 * SECOND;
            while host.now() < end {
                consumer.poll(SECOND).await?;
            }
            let heard = (assigned.load(Ordering::Relaxed), revoked.load(Ordering::Relaxed));
            consumer.unsubscribe().await;
            host.note(format!("{heard:?}"));
            Ok::<(), Failure>(())
        })
        .client("second", |host| async move {
            host.sleep(10 * SECOND).await;
            let settings = [("group.id", "audit"), ("auto.offset.reset", "earliest")];
            let mut consumer = host.consumer(&settings)?;
            consumer.subscribe_pattern("ord.*")?;
            let end = host.now() + 10 * SECOND;
            while host.now() < end {
                for record in consumer.poll(SECOND).await? {
                    host.note(format!("{} again", record.offset));
                }
            }
            consumer.close(SECOND).await;
            Ok::<(), Failure>(())
        })
        .check("handed-over", |history: &History| {
            let again = history.notes("second").count();
            let heard = history.notes("first").map(|(_, note)| note.to_owned()).next();
            let owned = owners(history);
            // Two partitions at first; one or both are given up when the second member joins, and come
            // back when it leaves.
            match heard.as_deref() {
                Some("(3, 1)" | "(4, 2)" | "(5, 3)" | "(5, 4)")
                    if again == 0 && owned.len() == 2 =>
                {
                    Ok(())
                }
                _ => Err(format!("{heard:?}, {again} read again, {owned:?}")),
            }
        })
        .run();
    assert_eq!(report.verdict, Verdict::Held, "{:?}", report.worst());
}

#[test]
fn member_that_waits_is_reported_with_its_group() {
    let report = small("idle")
        .client("idle", |host| async move {
            let mut consumer = host.consumer(&[("group.id", "audit")])?;
            consumer.subscribe(["orders"])?;
            while consumer.poll(600 * SECOND).await?.is_empty() {}
            Ok::<(), Failure>(())
        })
        .run();
    let (invariant, what) = worst(&report);
    assert_eq!(invariant, ENDS);
    let expected = "waits for records of orders as a member of `audit`, which owns orders-0";
    assert!(what.contains(expected) || what.contains("owns nothing yet"), "{what}");
}

#[test]
fn subscription_without_a_group_is_refused_with_a_remedy() {
    let report = small("groupless")
        .client("groupless", |host| async move {
            host.consumer(&[])?.subscribe(["orders"])?;
            Ok::<(), Failure>(())
        })
        .run();
    let (invariant, what) = worst(&report);
    assert_eq!(invariant, SUCCEEDS);
    assert!(what.contains("group.id"), "{what}");
}

#[test]
fn coordinator_of_a_group_can_be_struck_by_role() {
    let report = small("coordinated")
        .client("shop", slow_shop)
        .service("audit", |host| member(host, "classic"))
        .driver(|cluster| async move {
            let kill = Fault::kill("coordinator of audit").down(SECOND);
            cluster.host().sleep(3 * SECOND).await;
            let struck = cluster.strike(kill).await?;
            assert!(struck.contains("kill of b"), "{struck}");
            Ok::<(), FaultError>(())
        })
        .run();
    assert_eq!(report.verdict, Verdict::Held, "{:?}", report.worst());
}
