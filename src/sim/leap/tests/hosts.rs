//! Tasks, time, clocks, determinism.

use std::time::Duration;

use super::*;
use crate::base::{NodeProbe, Probe, Stream};
use crate::sim::{HostId, Survival, What, run_to_end};
use rand_chacha::rand_core::Rng;

/// A small cluster under faults; returns its trace.
fn busy_run(seed: u64) -> (u64, Vec<String>) {
    let link = Link { loss: 0.05, ..Link::default() };
    let mut leap = Leap::new(Seed(seed), link);
    leap.record_trace();
    let servers: Vec<HostId> = ["a", "b"].map(|name| leap.add_host(name, echo())).into();
    for name in ["x", "y", "z"] {
        let client = boot(|world| async move {
            for round in 0u64.. {
                let server = if round % 2 == 0 { "a" } else { "b" };
                let deadline = world.now() + Duration::from_secs(1);
                let talk = async {
                    let to = Address::new(server, 1);
                    let mut stream = world.net().connect(&to).await?;
                    for _ in 0..20 {
                        ping(&mut stream).await?;
                    }
                    std::io::Result::Ok(())
                };
                crate::io::timeout(&world, deadline, talk).await;
                sleep(&world, ms(10)).await;
            }
        });
        leap.add_host(name, client);
    }
    let [a, b] = servers[..] else { unreachable!() };
    for second in 0..10 {
        leap.run_until(Instant::from_secs(second));
        match second {
            1 => leap.cut(a, HostId(2)),
            2 => leap.kill(b),
            3 => leap.boot(b),
            4 => leap.heal(a, HostId(2)),
            5 => leap.power_loss(a, Survival::Drawn),
            6 => leap.pause(b),
            7 => leap.boot(a),
            8 => leap.resume(b),
            _ => {}
        }
    }
    (leap.trace().0, leap.take_trace())
}

#[test]
fn the_same_seed_gives_the_same_trace_under_jitter_and_faults() {
    let (first, first_lines) = busy_run(1);
    let (again, again_lines) = busy_run(1);
    assert!(first_lines.len() > 1000, "too few events: {}", first_lines.len());
    if let Some(line) = first_lines.iter().zip(&again_lines).position(|(a, b)| a != b) {
        panic!("{} became {}", first_lines[line], again_lines[line]);
    }
    assert_eq!(first, again);
    assert_ne!(first, busy_run(2).0);
}

#[test]
fn recording_a_trace_does_not_change_its_hash() {
    let mut leap = leap();
    leap.add_host("a", boot(|world| async move { sleep(&world, ms(5)).await }));
    let mut recorded = self::leap();
    recorded.record_trace();
    recorded.add_host("a", boot(|world| async move { sleep(&world, ms(5)).await }));
    leap.run_until(at(10));
    recorded.run_until(at(10));
    assert_eq!(leap.trace(), recorded.trace());
    assert!(leap.take_trace().is_empty());
}

#[test]
fn idle_time_is_skipped_and_sleeps_end_exactly() {
    let diary = Diary::default();
    let mut leap = leap();
    let notes = diary.clone();
    leap.add_host(
        "a",
        boot(move |world| {
            let notes = notes.clone();
            async move {
                for _ in 0..3 {
                    let wake = world.now() + Duration::from_secs(1_000_000);
                    world.sleep_until(wake).await;
                    assert_eq!(world.now(), wake);
                }
                notes.note(&world, "done");
            }
        }),
    );
    leap.run_until(Instant::from_secs(2_999_999));
    assert_eq!(diary.when("done"), None);
    leap.run_until(Instant::from_secs(3_000_000));
    assert_eq!(diary.when("done"), Some(3_000_000_000));
}

#[test]
fn seed_draws_the_order_of_ready_tasks() {
    let order = |seed| {
        let diary = Diary::default();
        let notes = diary.clone();
        let host = boot(move |world| {
            let notes = notes.clone();
            async move {
                for number in 0..6 {
                    let (notes, inner) = (notes.clone(), world.clone());
                    world.spawn("note", async move { notes.note(&inner, format!("{number}")) });
                }
                std::future::pending().await
            }
        });
        let mut leap = Leap::new(Seed(seed), Link::default());
        leap.add_host("a", host);
        leap.run_until(at(1));
        diary.texts()
    };
    assert_eq!(order(1), order(1));
    assert!((2..20).any(|seed| order(seed) != order(1)));
}

#[test]
fn host_ends_with_its_first_task_and_can_boot_again() {
    let mut leap = leap();
    let a = leap.add_host(
        "a",
        boot(|world| async move {
            world.spawn("orphan", std::future::pending());
            world.terminated().await;
        }),
    );
    leap.run_until(at(10));
    assert!(leap.is_running(a));
    leap.terminate(a);
    leap.run_until(at(20));
    assert!(!leap.is_running(a));
    leap.boot(a);
    leap.run_until(at(30));
    assert!(leap.is_running(a));
    let seen: Vec<What> = leap.drain().into_iter().map(|seen| seen.what).collect();
    assert!(matches!(seen[..], [What::Booted, What::Ended, What::Booted]), "{seen:?}");
}

#[test]
fn clock_changes_move_pending_deadlines() {
    let diary = Diary::default();
    let mut leap = leap();
    let notes = diary.clone();
    let a = leap.add_host(
        "a",
        boot(move |world| {
            let notes = notes.clone();
            async move {
                world.sleep_until(at(2_000)).await;
                assert!(world.now() >= at(2_000));
                notes.note(&world, "woke");
            }
        }),
    );
    leap.run_until(at(1_000));
    leap.set_clock(a, 0, 1_000_000).unwrap();
    leap.run_until(at(1_499));
    assert_eq!(diary.when("woke"), None);
    leap.run_until(at(3_000));
    assert_eq!(diary.when("woke"), Some(1_500));
}

#[test]
fn a_wrong_wall_clock_moves_the_date_and_nothing_else() {
    let diary = Diary::default();
    let mut leap = leap();
    let notes = diary.clone();
    let a = leap.add_host(
        "a",
        boot(move |world| {
            let notes = notes.clone();
            async move {
                loop {
                    notes.note(&world, format!("{} {}", world.now(), world.wall_clock()));
                    sleep(&world, ms(1000)).await;
                }
            }
        }),
    );
    leap.run_until(at(500));
    leap.set_clock(a, -60_000, 0).unwrap();
    leap.run_until(at(1_500));
    assert_eq!(diary.texts(), ["0.000000 s 1700000000000", "1.000000 s 1699999941000"]);
}

#[test]
fn random_streams_differ_between_hosts_and_boots_and_repeat_between_runs() {
    let draws = || {
        let diary = Diary::default();
        let mut leap = leap();
        let draw = |diary: &Diary| {
            let notes = diary.clone();
            boot(move |world| {
                let notes = notes.clone();
                async move {
                    let draw = world.random(Stream::named("test")).next_u64();
                    notes.note(&world, draw.to_string());
                }
            })
        };
        let a = leap.add_host("a", draw(&diary));
        leap.add_host("b", draw(&diary));
        leap.run_until(at(1));
        leap.boot(a);
        leap.run_until(at(2));
        let mut draws = diary.texts();
        draws.sort();
        draws
    };
    let mut once = draws();
    assert_eq!(once, draws());
    once.dedup();
    assert_eq!(once.len(), 3);
}

#[test]
fn probes_are_observed_with_true_time() {
    let mut leap = leap();
    let a = leap.add_host(
        "a",
        boot(|world| async move {
            sleep(&world, ms(5)).await;
            world.probe(NodeProbe::Ready);
        }),
    );
    leap.run_until(at(10));
    let seen = leap.drain();
    let ready = seen
        .iter()
        .find(|seen| matches!(seen.what, What::Probe(Probe::Node(NodeProbe::Ready))))
        .unwrap();
    assert_eq!((ready.at, ready.host), (at(5), a));
    assert!(leap.drain().is_empty());
}

#[test]
fn met_deadlines_do_not_accumulate() {
    let mut leap = leap();
    leap.add_host(
        "a",
        boot(|world| async move {
            for _ in 0..100_000 {
                let deadline = world.now() + Duration::from_secs(100_000);
                crate::io::timeout(&world, deadline, sleep(&world, ms(1))).await;
            }
        }),
    );
    leap.run_until(Instant::from_secs(101));
    let waiting = leap.shared.state.lock().agenda.len();
    assert!(waiting < 20_000, "{waiting} entries");
}

#[test]
fn dropped_simulation_leaks_nothing() {
    let witness = std::sync::Arc::new(());
    let held = witness.clone();
    let mut leap = leap();
    leap.add_host(
        "a",
        boot(move |world| {
            let held = held.clone();
            async move {
                let inner = world.clone();
                world.spawn("sleeper", async move { sleep(&inner, ms(100_000)).await });
                sleep(&world, ms(100_000)).await;
                drop(held);
            }
        }),
    );
    leap.run_until(at(1));
    let shared = std::sync::Arc::downgrade(&leap.shared);
    drop(leap);
    assert_eq!(std::sync::Arc::strong_count(&witness), 1);
    assert!(shared.upgrade().is_none());
}

#[test]
fn run_to_end_names_hosts_that_still_run() {
    let short = boot(|world| async move { sleep(&world, ms(5)).await });
    run_to_end::<Leap>(Seed(1), [("a", short.clone())], ms(100)).ok().unwrap();
    let late = run_to_end::<Leap>(Seed(1), [("a", short), ("b", idle())], ms(100)).err().unwrap();
    assert!(late.ends_with(": b"), "{late}");
}

#[test]
fn tasks_that_spin_at_one_instant_freeze_the_simulation() {
    let yields = boot(|world| async move {
        world.sleep_until(Instant::from_secs(2)).await;
        loop {
            // Woken at once, and polled again.
            let mut yielded = false;
            std::future::poll_fn(|context| {
                if std::mem::replace(&mut yielded, true) {
                    return std::task::Poll::Ready(());
                }
                context.waker().wake_by_ref();
                std::task::Poll::Pending
            })
            .await;
        }
    });
    let waits = boot(|world| async move {
        world.sleep_until(Instant::from_secs(2)).await;
        // Over at once: it never leaves its poll.
        loop {
            world.sleep_until(Instant::from_secs(1)).await;
        }
    });
    for spinning in [yields, waits] {
        let mut leap = Leap::new(Seed(1), Link::default());
        leap.add_host("quiet", idle());
        leap.add_host("b2", spinning);
        leap.run_until(Instant::from_millis(1999));
        assert_eq!(leap.spin(), None);
        leap.run_until(Instant::from_secs(3));
        let spin = leap.spin().expect("it spins");
        assert!(
            spin.contains("at 2.000000 s") && spin.contains("b2's task `boot` (100 %)"),
            "{spin}"
        );
        leap.run_until(Instant::from_secs(60));
        assert_eq!(leap.now(), Instant::from_secs(60), "time passes, and nothing happens");
    }
}
