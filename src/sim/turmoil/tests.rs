//! Guarantees of the referee, and operations that it refuses.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Referee, TurmoilStream, TurmoilWorld};
use crate::base::{Instant, Seed};
use crate::io::{Address, Disk, File, Listener, Net, Open, World, timeout};
use crate::sim::{Boot, Engine, HostId, Link, SimWorld, Survival, What, block_on};

/// Notes of tasks, with the true millisecond of each.
#[derive(Clone, Default)]
struct Diary(Arc<Mutex<Vec<(u64, String)>>>);

impl Diary {
    fn note(&self, world: &TurmoilWorld, text: impl Into<String>) {
        self.0.lock().push((world.true_now().0 / 1_000_000, text.into()));
    }

    fn between(&self, from: u64, to: u64) -> Vec<String> {
        let notes = self.0.lock();
        let within = notes.iter().filter(|(at, _)| (from..to).contains(at));
        within.map(|(_, text)| text.clone()).collect()
    }
}

fn boot<F: Future<Output = ()> + Send + 'static>(
    body: impl Fn(TurmoilWorld) -> F + Send + Sync + 'static,
) -> Boot<TurmoilWorld> {
    Arc::new(move |world| Box::pin(body(world)))
}

fn at(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

fn referee() -> Referee {
    Referee::new(Seed(7), Link::default())
}

async fn sleep(world: &TurmoilWorld, millis: u64) {
    world.sleep_until(world.now() + Duration::from_millis(millis)).await;
}

/// Echoes all bytes.
fn echo() -> Boot<TurmoilWorld> {
    boot(|world| async move {
        let mut listener = world.net().bind(&Address::new("0.0.0.0", 1)).await.unwrap();
        while let Ok((mut stream, _)) = listener.accept().await {
            world.spawn("echo", async move {
                let mut buffer = [0; 4096];
                while let Ok(count) = stream.read(&mut buffer).await {
                    if count == 0 || stream.write_all(&buffer[..count]).await.is_err() {
                        return;
                    }
                }
            });
        }
    })
}

async fn ping(world: &TurmoilWorld, stream: &mut TurmoilStream) -> io::Result<()> {
    let echo = async {
        stream.write_all(b"!").await?;
        stream.read_exact(&mut [0]).await.map(|_| ())
    };
    let deadline = world.now() + Duration::from_millis(500);
    timeout(world, deadline, echo).await.unwrap_or(Err(io::ErrorKind::TimedOut.into()))
}

/// Notes each echo, every 10 ms; reconnects after an error.
fn pinger(diary: &Diary, to: &'static str) -> Boot<TurmoilWorld> {
    let notes = diary.clone();
    boot(move |world| {
        let notes = notes.clone();
        async move {
            loop {
                match world.net().connect(&Address::new(to, 1)).await {
                    Err(error) => notes.note(&world, format!("{:?}", error.kind())),
                    Ok(mut stream) => loop {
                        match ping(&world, &mut stream).await {
                            Ok(()) => notes.note(&world, "echo"),
                            Err(error) => {
                                notes.note(&world, format!("{:?}", error.kind()));
                                break;
                            }
                        }
                        sleep(&world, 10).await;
                    },
                }
                sleep(&world, 10).await;
            }
        }
    })
}

struct Pair {
    referee: Referee,
    server: HostId,
    client: HostId,
    diary: Diary,
}

/// An echo server and a pinger, one second after their start.
fn pair() -> Pair {
    let mut referee = referee();
    let diary = Diary::default();
    let server = referee.add_host("server", echo());
    let client = referee.add_host("client", pinger(&diary, "server"));
    referee.run_until(at(1_000));
    assert!(diary.between(0, 1_000).len() > 50);
    Pair { referee, server, client, diary }
}

fn text(text: &str) -> String {
    text.to_string()
}

#[test]
fn the_same_seed_gives_the_same_trace_under_faults() {
    let run = |seed| {
        let mut referee = Referee::new(Seed(seed), Link::default());
        referee.record_trace();
        let diary = Diary::default();
        let a = referee.add_host("a", echo());
        let clients = ["x", "y", "z"].map(|name| referee.add_host(name, pinger(&diary, "a")));
        for second in 0..8 {
            referee.run_until(Instant::from_secs(second));
            match second {
                1 => referee.cut(a, clients[0]),
                2 => referee.kill(a),
                3 => referee.boot(a),
                4 => referee.heal(a, clients[0]),
                5 => referee.power_loss(a, Survival::Drawn),
                6 => referee.boot(a),
                7 => referee.pause(a),
                _ => {}
            }
        }
        (referee.trace(), referee.take_trace())
    };
    let ((first, first_lines), (again, again_lines)) = (run(1), run(1));
    assert!(first_lines.len() > 1000);
    if let Some(line) = first_lines.iter().zip(&again_lines).position(|(a, b)| a != b) {
        panic!("{} became {}", first_lines[line], again_lines[line]);
    }
    assert_eq!(first, again);
    assert_ne!(first, run(2).0);
}

#[test]
fn a_killed_host_refuses_until_it_boots() {
    let Pair { mut referee, server, diary, .. } = pair();
    referee.kill(server);
    assert!(!referee.is_running(server));
    referee.run_until(at(2_000));
    assert!(diary.between(1_000, 2_000).contains(&text("ConnectionRefused")));
    assert!(!diary.between(1_010, 2_000).contains(&text("echo")));
    referee.boot(server);
    referee.run_until(at(3_000));
    assert!(diary.between(2_100, 3_000).iter().all(|text| text == "echo"));
    let seen: Vec<What> = referee.drain().into_iter().map(|seen| seen.what).collect();
    assert!(
        matches!(seen[..], [What::Booted, What::Booted, What::Killed, What::Booted]),
        "{seen:?}"
    );
}

#[test]
fn a_host_without_power_is_silent_until_it_is_back() {
    let Pair { mut referee, server, diary, .. } = pair();
    referee.power_loss(server, Survival::Nothing);
    referee.run_until(at(5_000));
    let silence = diary.between(1_010, 5_000);
    assert_eq!(silence, ["TimedOut"], "no FIN and no refusal arrives");
    referee.boot(server);
    referee.run_until(at(15_000));
    assert!(diary.between(5_000, 15_000).contains(&text("echo")));
}

#[test]
fn cut_in_either_direction_is_silent_until_healed() {
    for to_server in [true, false] {
        let Pair { mut referee, server, client, diary } = pair();
        let (from, to) = if to_server { (client, server) } else { (server, client) };
        referee.cut(from, to);
        referee.run_until(at(5_000));
        assert_eq!(diary.between(1_010, 5_000), ["TimedOut"]);
        referee.heal(from, to);
        referee.run_until(at(15_000));
        assert!(diary.between(5_000, 15_000).contains(&text("echo")));
    }
}

#[test]
fn healing_a_cut_does_not_restore_power() {
    let Pair { mut referee, server, client, diary } = pair();
    referee.cut(client, server);
    referee.power_loss(server, Survival::Nothing);
    referee.heal(client, server);
    referee.run_until(at(9_000));
    assert_eq!(diary.between(1_010, 9_000), ["TimedOut"]);
}

#[test]
fn a_paused_host_does_nothing_and_loses_nothing() {
    let Pair { mut referee, server, diary, .. } = pair();
    referee.pause(server);
    referee.run_until(at(1_400));
    assert!(referee.is_running(server));
    assert!(diary.between(1_010, 1_400).is_empty());
    referee.resume(server);
    referee.run_until(at(2_000));
    let after = diary.between(1_400, 2_000);
    assert!(after.len() > 20 && after.iter().all(|text| text == "echo"), "{after:?}");
}

#[test]
fn a_long_pause_does_not_overflow_the_queue_of_connections() {
    let diary = Diary::default();
    let mut referee = referee();
    let server = referee.add_host("server", echo());
    for name in ["a", "b", "c", "d", "e", "f"] {
        let notes = diary.clone();
        let impatient = boot(move |world| {
            let notes = notes.clone();
            async move {
                loop {
                    let to = Address::new("server", 1);
                    let deadline = world.now() + Duration::from_millis(20);
                    if let Some(Ok(mut stream)) =
                        timeout(&world, deadline, world.net().connect(&to)).await
                        && ping(&world, &mut stream).await.is_ok()
                    {
                        notes.note(&world, "echo");
                    }
                }
            }
        });
        referee.add_host(name, impatient);
    }
    referee.run_until(at(100));
    referee.pause(server);
    referee.run_until(at(20_000));
    referee.resume(server);
    referee.run_until(at(21_000));
    assert!(diary.between(20_500, 21_000).len() > 10);
}

#[test]
fn full_window_blocks_the_writer_and_fin_comes_last() {
    let mut referee = referee();
    let diary = Diary::default();
    let notes = diary.clone();
    referee.add_host(
        "reader",
        boot(move |world| {
            let notes = notes.clone();
            async move {
                let mut listener = world.net().bind(&Address::new("reader", 1)).await.unwrap();
                let (mut stream, from) = listener.accept().await.unwrap();
                assert_eq!(from.host, "writer");
                sleep(&world, 1_000).await;
                let mut all = Vec::new();
                stream.read_to_end(&mut all).await.unwrap();
                notes.note(&world, format!("read {}", all.len()));
            }
        }),
    );
    let notes = diary.clone();
    referee.add_host(
        "writer",
        boot(move |world| {
            let notes = notes.clone();
            async move {
                let mut stream = world.net().connect(&Address::new("reader", 1)).await.unwrap();
                for _ in 0..5_000 {
                    stream.write_all(&[1; 200]).await.unwrap();
                }
                notes.note(&world, "written");
                stream.shutdown().await.unwrap();
                let answer = stream.read(&mut [0]).await.unwrap();
                notes.note(&world, format!("answered {answer}"));
            }
        }),
    );
    referee.run_until(at(900));
    assert!(diary.between(0, 900).is_empty());
    referee.run_until(at(3_000));
    assert_eq!(diary.between(900, 3_000), ["written", "read 1000000", "answered 0"]);
}

#[test]
fn blocked_writer_fails_when_its_reader_is_dropped() {
    let mut referee = referee();
    referee.add_host(
        "reader",
        boot(|world| async move {
            let mut listener = world.net().bind(&Address::new("reader", 1)).await.unwrap();
            let (stream, _) = listener.accept().await.unwrap();
            sleep(&world, 100).await;
            drop(stream);
            sleep(&world, 1_000).await;
        }),
    );
    let writer = referee.add_host(
        "writer",
        boot(|world| async move {
            let mut stream = world.net().connect(&Address::new("reader", 1)).await.unwrap();
            while stream.write_all(&[1; 10_000]).await.is_ok() {
                sleep(&world, 1).await;
            }
        }),
    );
    referee.run_until(at(500));
    assert!(!referee.is_running(writer));
}

#[test]
fn bind_fails_for_a_used_port_and_a_foreign_address() {
    let kinds = block_on::<Referee, _, _>(Seed(1), Duration::from_secs(1), |world| async move {
        let kind = |result: Result<_, io::Error>| result.err().map(|error: io::Error| error.kind());
        let first = world.net().bind(&Address::new("host", 9)).await;
        let taken = world.net().bind(&Address::new("host", 9)).await.map(|_| ());
        let refused = world.net().connect(&Address::new("localhost", 10)).await.map(|_| ());
        let unknown = world.net().connect(&Address::new("nobody", 10)).await.map(|_| ());
        drop(first);
        [kind(taken), kind(refused), kind(unknown)]
    });
    let expected =
        [io::ErrorKind::AddrInUse, io::ErrorKind::ConnectionRefused, io::ErrorKind::NotFound];
    assert_eq!(kinds, Some(expected.map(Some)));
}

#[test]
fn clocks_drift_and_jump() {
    let diary = Diary::default();
    let mut referee = referee();
    let notes = diary.clone();
    let host = referee.add_host(
        "a",
        boot(move |world| {
            let notes = notes.clone();
            async move {
                notes.note(&world, world.wall_clock().to_string());
                world.sleep_until(at(2_000)).await;
                notes.note(&world, world.wall_clock().to_string());
            }
        }),
    );
    referee.run_until(at(1_000));
    referee.set_clock(host, -60_000, 1_000_000).unwrap();
    referee.run_until(at(3_000));
    assert_eq!(diary.between(0, 1), ["1700000000000"]);
    assert_eq!(diary.between(1_500, 1_502).len(), 1);
    assert!(diary.between(1_500, 1_502)[0].starts_with("16999"));
}

#[test]
fn end_of_a_host_is_observed_and_closes_its_connections() {
    let Pair { mut referee, diary, .. } = pair();
    let notes = diary.clone();
    let brief = referee.add_host(
        "brief",
        boot(move |world| {
            let notes = notes.clone();
            async move {
                let mut stream = world.net().connect(&Address::new("server", 1)).await.unwrap();
                world.spawn("orphan", async move {
                    let _ = stream.read(&mut [0]).await;
                });
                world.terminated().await;
                notes.note(&world, "terminated");
            }
        }),
    );
    referee.run_until(at(1_100));
    assert!(referee.is_running(brief));
    referee.terminate(brief);
    referee.run_until(at(1_200));
    assert!(!referee.is_running(brief));
    assert!(diary.between(1_100, 1_200).contains(&text("terminated")));
    assert!(referee.drain().iter().any(|seen| matches!(seen.what, What::Ended)));
}

#[test]
fn power_loss_inside_a_poll_voids_the_rest_of_it() {
    let diary = Diary::default();
    let mut referee = referee();
    let notes = diary.clone();
    let victim = referee.add_host(
        "victim",
        boot(move |world| {
            let notes = notes.clone();
            async move {
                let file = world.disk().open(Path::new("/0.log"), Open::OrCreate).unwrap();
                for round in 0..4u8 {
                    sleep(&world, 10).await;
                    let written = file.write_at(&[round; 100], file.len().unwrap());
                    sleep(&world, 0).await;
                    notes.note(&world, format!("{round} {}", written.is_ok()));
                }
            }
        }),
    );
    referee.run_until(at(5));
    referee.power_loss_at(victim, 2, Survival::Everything);
    referee.run_until(at(100));
    assert!(!referee.is_running(victim));
    assert_eq!(diary.between(0, 100), ["0 true", "1 true"]);
    assert_eq!(referee.disk(victim).peek("/0.log").unwrap().len(), 200);
    let seen = referee.drain();
    assert!(
        seen.iter()
            .any(|seen| matches!(&seen.what, What::Survived { bytes, .. } if bytes.len() == 200))
    );
    referee.boot(victim);
    referee.run_until(at(200));
    assert_eq!(referee.disk(victim).peek("/0.log").unwrap().len(), 600);
}

#[test]
fn disk_waits_are_whole_ms_and_small_debts_accumulate() {
    let took = block_on::<Referee, _, _>(Seed(1), Duration::from_secs(10), |world| async move {
        let file = world.disk().open(Path::new("/data"), Open::New).unwrap();
        let start = world.now();
        for _ in 0..1_000 {
            file.write_at(&[1; 4096], 0).unwrap();
            world.disk().settle().await;
        }
        let small = world.now().since(start);
        file.sync().await.unwrap();
        (small.as_millis(), world.now().since(start) - small >= Duration::from_millis(1))
    });
    assert!(matches!(took, Some((0..=2, true))), "{took:?}");
}

#[test]
fn task_panic_reaches_the_driver() {
    let mut referee = referee();
    let host = boot(|world| async move {
        world.spawn("careless", async { panic!("careless") });
        std::future::pending().await
    });
    referee.add_host("a", host);
    let run = std::panic::AssertUnwindSafe(|| referee.run_until(at(10)));
    let panic = std::panic::catch_unwind(run).unwrap_err();
    assert_eq!(panic.downcast_ref::<&str>(), Some(&"careless"));
}

#[test]
fn unsupported_operation_is_refused_with_its_reason() {
    let Pair { mut referee, server, client, .. } = pair();
    let refused = [
        referee.hold(server, client),
        referee.release(server, client),
        referee.set_link(server, client, Link::default()),
    ];
    for refused in refused {
        let refused = refused.unwrap_err().to_string();
        assert!(refused.starts_with("the engine `turmoil` can't do"), "{refused}");
    }
}

#[test]
fn tasks_that_spin_at_one_instant_freeze_the_simulation() {
    let yields = boot(|world| async move {
        world.sleep_until(at(2000)).await;
        loop {
            // Woken at once, and polled again.
            tokio::task::yield_now().await;
        }
    });
    let waits = boot(|world| async move {
        world.sleep_until(at(2000)).await;
        // Over at once: it never leaves its poll.
        loop {
            world.sleep_until(at(1000)).await;
        }
    });
    for spinning in [yields, waits] {
        let mut referee = referee();
        referee.add_host("b2", spinning);
        referee.run_until(at(1990));
        assert_eq!(referee.spin(), None);
        referee.run_until(at(2010));
        let spin = referee.spin().expect("it spins");
        assert!(spin.contains("at 2.00") && spin.contains("b2's task `boot` (100 %)"), "{spin}");
        referee.run_until(at(3000));
        assert!(referee.now() >= at(3000), "time passes, and nothing happens");
    }
}
