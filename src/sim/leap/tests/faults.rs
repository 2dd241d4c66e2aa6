//! Effects of each fault, and their limits.

use std::path::Path;

use super::*;
use crate::io::{Disk, File, Open, timeout};
use crate::sim::{Fate, HostId, Mishap, Part, Survival, What};

/// A client that notes each echo, every 10 ms, and how its connection ended.
fn pinger(diary: &Diary, to: &'static str) -> Boot<LeapWorld> {
    let notes = diary.clone();
    boot(move |world| {
        let notes = notes.clone();
        async move {
            let mut stream = connect(&world, to).await;
            notes.note(&world, "connected");
            loop {
                match ping(&mut stream).await {
                    Ok(()) => notes.note(&world, "echo"),
                    Err(error) => notes.note(&world, format!("{:?}", error.kind())),
                }
                sleep(&world, ms(10)).await;
            }
        }
    })
}

impl Diary {
    /// Texts noted within these milliseconds.
    fn between(&self, from: u64, to: u64) -> Vec<String> {
        let notes = self.0.lock();
        let within = notes.iter().filter(|(at, _)| (from..to).contains(at));
        within.map(|(_, text)| text.clone()).collect()
    }
}

struct Pair {
    leap: Leap,
    server: HostId,
    client: HostId,
    diary: Diary,
}

/// An echo server and a pinger, one second after their start.
fn pair() -> Pair {
    let mut leap = leap();
    let diary = Diary::default();
    let server = leap.add_host("server", echo());
    let client = leap.add_host("client", pinger(&diary, "server"));
    leap.run_until(at(1_000));
    assert!(diary.texts().len() > 50);
    Pair { leap, server, client, diary }
}

#[test]
fn killed_host_closes_connections_and_refuses_until_boot() {
    let Pair { mut leap, server, client, diary } = pair();
    leap.kill(server);
    assert!(!leap.is_running(server));
    leap.run_until(at(1_100));
    let errors = diary.between(1_000, 1_100);
    let first = errors.iter().find(|text| *text != "echo").unwrap();
    assert!(
        ["UnexpectedEof", "ConnectionReset", "BrokenPipe"].contains(&first.as_str()),
        "{first}"
    );
    leap.kill(client);
    leap.boot(server);
    leap.run_until(at(1_200));
    leap.boot(client);
    leap.run_until(at(1_300));
    assert!(diary.between(1_200, 1_300).contains(&"echo".to_string()));
    let seen: Vec<What> = leap.drain().into_iter().map(|seen| seen.what).collect();
    let [What::Booted, What::Booted, What::Killed, What::Killed, What::Booted, What::Booted] =
        seen[..]
    else {
        panic!("{seen:?}")
    };
}

#[test]
fn host_without_power_is_silent_then_resets_after_reboot() {
    let Pair { mut leap, server, diary, .. } = pair();
    leap.power_loss(server, Survival::Nothing);
    leap.run_until(at(9_000));
    // An echo may have been in flight.
    assert!(diary.between(1_000, 9_000).len() <= 1);
    leap.boot(server);
    leap.run_until(at(9_001));
    assert!(diary.between(9_000, 9_001).is_empty(), "the peer learns it only from its next try");
    leap.run_until(at(16_000));
    assert!(diary.between(9_000, 16_000).contains(&"ConnectionReset".to_string()));
}

#[test]
fn connecting_to_a_host_without_power_waits_for_its_boot() {
    let mut leap = leap();
    let diary = Diary::default();
    let server = leap.add_host("server", echo());
    leap.run_until(at(1));
    leap.power_loss(server, Survival::Nothing);
    leap.add_host("client", pinger(&diary, "server"));
    leap.run_until(at(3_000));
    assert!(diary.texts().is_empty());
    leap.boot(server);
    leap.run_until(at(10_000));
    assert!(diary.when("connected").unwrap() > 3_000);
    assert!(diary.texts().contains(&"echo".to_string()));
}

#[test]
fn abandoned_connection_attempt_is_forgotten() {
    let mut leap = leap();
    let diary = Diary::default();
    let server = leap.add_host("server", idle());
    leap.power_loss(server, Survival::Nothing);
    let notes = diary.clone();
    let client = boot(move |world| {
        let notes = notes.clone();
        async move {
            let to = Address::new("server", 1);
            let connected = timeout(&world, at(500), world.net().connect(&to)).await;
            notes.note(&world, if connected.is_none() { "gave up" } else { "heard" });
        }
    });
    leap.add_host("client", client);
    leap.run_until(at(1_000));
    assert_eq!(diary.when("gave up"), Some(500));
    leap.boot(server);
    leap.run_until(at(10_000));
}

#[test]
fn cut_delays_one_direction_until_it_is_healed() {
    for (to_server, to_client) in [(true, false), (false, true), (true, true)] {
        let Pair { mut leap, server, client, diary } = pair();
        if to_server {
            leap.cut(client, server);
        }
        if to_client {
            leap.cut(server, client);
        }
        leap.run_until(at(3_000));
        assert!(diary.between(1_002, 3_000).is_empty());
        leap.heal(client, server);
        leap.heal(server, client);
        leap.run_until(at(3_001));
        leap.run_until(at(10_000));
        assert!(diary.between(3_000, 10_000).iter().all(|text| text == "echo"));
        let resumed = diary.0.lock().iter().find(|(at, _)| *at > 3_000).unwrap().0;
        assert!((3_001..3_000 + 6_400).contains(&resumed), "{resumed}");
        assert!(diary.between(resumed, 10_000).len() > 10);
    }
}

#[test]
fn cut_in_one_direction_leaves_the_other_open() {
    let diary = Diary::default();
    let notes = diary.clone();
    let sink = server(move |world, mut stream| {
        let notes = notes.clone();
        async move {
            while stream.read_exact(&mut [0]).await.is_ok() {
                notes.note(&world, "got");
            }
        }
    });
    let source = boot(|world| async move {
        let mut stream = connect(&world, "sink").await;
        loop {
            stream.write_all(b"!").await.unwrap();
            sleep(&world, ms(10)).await;
        }
    });
    let mut leap = leap();
    let sink = leap.add_host("sink", sink);
    let source = leap.add_host("source", source);
    leap.run_until(at(100));
    leap.cut(sink, source);
    leap.run_until(at(1_000));
    assert!(diary.between(200, 1_000).len() > 70);
    leap.cut(source, sink);
    leap.run_until(at(2_000));
    assert!(diary.between(1_010, 2_000).is_empty());
}

#[test]
fn no_window_updates_while_the_way_back_is_cut() {
    let sink = server(|_, mut stream| async move {
        while stream.read(&mut [0; 65_536]).await.is_ok_and(|count| count > 0) {}
    });
    let diary = Diary::default();
    let notes = diary.clone();
    let source = boot(move |world| {
        let notes = notes.clone();
        async move {
            let mut stream = connect(&world, "sink").await;
            sleep(&world, ms(100)).await;
            stream.write_all(&vec![0; 1_000_000]).await.unwrap();
            notes.note(&world, "written");
        }
    });
    let mut leap = leap();
    let sink = leap.add_host("sink", sink);
    let source = leap.add_host("source", source);
    leap.run_until(at(50));
    leap.cut(sink, source);
    leap.run_until(at(5_000));
    assert_eq!(diary.when("written"), None);
    leap.heal(sink, source);
    leap.run_until(at(6_000));
    assert!(diary.when("written").is_some());
}

#[test]
fn held_bytes_arrive_on_release() {
    let Pair { mut leap, server, client, diary } = pair();
    leap.hold(client, server).unwrap();
    leap.run_until(at(5_000));
    assert!(diary.between(1_002, 5_000).is_empty());
    leap.release(client, server).unwrap();
    leap.run_until(at(5_010));
    assert!(diary.between(5_000, 5_010).contains(&"echo".to_string()));
}

#[test]
fn a_paused_host_does_nothing_and_loses_nothing() {
    let Pair { mut leap, server, diary, .. } = pair();
    leap.pause(server);
    leap.run_until(at(5_000));
    assert!(leap.is_running(server));
    assert!(diary.between(1_002, 5_000).is_empty());
    leap.resume(server);
    leap.run_until(at(6_000));
    let after = diary.between(5_000, 6_000);
    assert!(after.len() > 50 && after.iter().all(|text| text == "echo"));
}

#[test]
fn killed_paused_host_boots_unpaused() {
    let Pair { mut leap, server, client, diary } = pair();
    leap.pause(server);
    leap.kill(server);
    leap.kill(client);
    leap.run_until(at(2_000));
    leap.boot(server);
    leap.run_until(at(2_100));
    leap.boot(client);
    leap.run_until(at(3_000));
    assert!(diary.between(2_100, 3_000).contains(&"echo".to_string()));
}

#[test]
fn a_link_can_become_slow_lossy_and_narrow() {
    let Pair { mut leap, server, client, diary } = pair();
    let slow = Link { latency: ms(300)..=ms(300), ..Link::default() };
    leap.set_link(client, server, slow).unwrap();
    leap.run_until(at(4_000));
    let echoes = diary.between(1_002, 4_000).len();
    assert!((9..=10).contains(&echoes), "{echoes}");
    leap.set_link(client, server, Link { loss: 0.5, ..Link::default() }).unwrap();
    leap.run_until(at(14_000));
    let lossy = diary.between(4_400, 14_000).len();
    assert!((10..400).contains(&lossy), "{lossy}");
    leap.set_link(client, server, Link { bandwidth: Some(5), ..Link::default() }).unwrap();
    leap.run_until(at(40_000));
    let narrow = diary.between(30_000, 40_000).len();
    assert!((45..50).contains(&narrow), "{narrow}");
}

/// Does something when it is dropped.
struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

#[test]
fn drops_of_a_dying_process_have_no_effect() {
    let diary = Diary::default();
    let notes = diary.clone();
    let victim = boot(move |world| {
        let (notes, inner) = (notes.clone(), world.clone());
        async move {
            let _last_will = OnDrop(|| {
                let path = Path::new("/will");
                notes.note(&inner, format!("{}", inner.disk().open(path, Open::New).is_err()));
                let (notes, world) = (notes.clone(), inner.clone());
                inner.spawn("ghost", async move { notes.note(&world, "ghost") });
                inner.probe(crate::base::NodeProbe::Ready);
            });
            world.spawn("other", std::future::pending());
            std::future::pending::<()>().await;
        }
    });
    for power in [false, true] {
        let mut leap = leap();
        let victim = leap.add_host("victim", victim.clone());
        leap.run_until(at(10));
        if power {
            leap.power_loss(victim, Survival::Everything);
        } else {
            leap.kill(victim);
        }
        leap.run_until(at(20));
        assert_eq!(diary.texts().last().unwrap(), "true");
        assert!(leap.disk(victim).files().is_empty());
        assert!(!leap.drain().iter().any(|seen| matches!(seen.what, What::Probe(_))));
    }
}

#[test]
fn power_loss_inside_a_poll_voids_the_rest_of_it() {
    let diary = Diary::default();
    let mut leap = leap();
    let server = leap.add_host("server", echo());
    let notes = diary.clone();
    let victim = leap.add_host(
        "victim",
        boot(move |world| {
            let notes = notes.clone();
            async move {
                let mut stream = connect(&world, "server").await;
                let file = world.disk().open(Path::new("/0.log"), Open::OrCreate).unwrap();
                for round in 0..4u8 {
                    sleep(&world, ms(10)).await;
                    let at = file.len().unwrap();
                    let written = file.write_at(&[round; 100], at);
                    // A dying process does not stop at an error: this must not reach the server.
                    let sent = stream.write(&[round]).await;
                    notes.note(&world, format!("{round} {}", written.is_ok() && sent.is_ok()));
                }
            }
        }),
    );
    leap.run_until(at(5));
    // The file is open: the next operations are its writes.
    leap.power_loss_at(victim, 2, Survival::Everything);
    leap.run_until(at(1_000));
    assert!(!leap.is_running(victim));
    assert!(leap.is_running(server));
    assert_eq!(diary.texts(), ["0 true", "1 true"]);
    let seen: Vec<What> = leap.drain().into_iter().map(|seen| seen.what).collect();
    let lost = seen.iter().position(|what| matches!(what, What::PowerLost { .. })).unwrap();
    let [What::Survived { path, bytes }] = &seen[lost + 1..] else { panic!("{seen:?}") };
    assert_eq!((&**path, bytes.len()), ("/0.log", 200));
    leap.boot(victim);
    leap.run_until(at(2_000));
    assert_eq!(leap.disk(victim).peek("/0.log").unwrap().len(), 600);
}

#[test]
fn unsynced_write_survives_a_kill_but_not_a_power_loss() {
    for (kill, sync, left) in [(true, false, 5), (false, false, 0), (false, true, 5)] {
        let mut leap = leap();
        let host = boot(move |world| async move {
            if world.disk().exists(Path::new("/data")).unwrap() {
                return;
            }
            let file = world.disk().open(Path::new("/data"), Open::New).unwrap();
            world.disk().sync_dir(Path::new("/")).await.unwrap();
            file.write_at(b"hello", 0).unwrap();
            if sync {
                file.sync().await.unwrap();
            }
            std::future::pending::<()>().await;
        });
        let host = leap.add_host("host", host);
        leap.run_until(at(1_000));
        if kill {
            leap.kill(host);
        } else {
            leap.power_loss(host, Survival::Nothing);
        }
        assert_eq!(leap.disk(host).peek("/data").unwrap().len(), left);
    }
}

#[test]
fn disk_operations_take_simulated_time() {
    let diary = Diary::default();
    let notes = diary.clone();
    let mut leap = leap();
    leap.add_host(
        "a",
        boot(move |world| {
            let notes = notes.clone();
            async move {
                let file = world.disk().open(Path::new("/data"), Open::New).unwrap();
                assert_eq!(world.now(), Instant::START);
                world.disk().settle().await;
                assert!(world.now() > Instant::START);
                let before = world.now();
                file.write_at(&[1; 4096], 0).unwrap();
                file.sync().await.unwrap();
                assert!(world.now() > before + Duration::from_micros(300));
                notes.note(&world, "done");
            }
        }),
    );
    leap.run_until(at(1_000));
    assert_eq!(diary.texts(), ["done"]);
}

#[test]
fn network_error_repeats_its_kind_on_later_calls() {
    let Pair { mut leap, server, diary, .. } = pair();
    leap.kill(server);
    leap.run_until(at(2_000));
    let errors = diary.between(1_100, 2_000);
    assert!(!errors.is_empty() && errors.iter().all(|text| text == "BrokenPipe"), "{errors:?}");
}

/// A client that asks once a second, with API key 26 and 27 in turn, and notes each answer.
fn asker(diary: &Diary) -> Boot<LeapWorld> {
    let notes = diary.clone();
    boot(move |world| {
        let notes = notes.clone();
        async move {
            for count in 0u8.. {
                let mut stream = connect(&world, "server").await;
                let key = 26 + count % 2;
                let frame = [0, 0, 0, 8, 0, key, 0, 4, 0, 0, 0, count];
                stream.write_all(&frame).await.unwrap();
                match stream.read_exact(&mut [0; 8]).await {
                    Ok(_) => notes.note(&world, format!("answer {key}")),
                    Err(error) => notes.note(&world, format!("{key} {:?}", error.kind())),
                }
                sleep(&world, ms(1_000)).await;
            }
        }
    })
}

/// Answers each request, and notes it.
fn answers(diary: &Diary) -> Boot<LeapWorld> {
    let notes = diary.clone();
    server(move |world, mut stream| {
        let notes = notes.clone();
        async move {
            let mut frame = [0; 12];
            while stream.read_exact(&mut frame).await.is_ok() {
                notes.note(&world, format!("request {}", frame[5]));
                let answer = [&[0, 0, 0, 4], &frame[8..]].concat();
                if let Err(error) = stream.write_all(&answer).await {
                    notes.note(&world, format!("server {:?}", error.kind()));
                }
            }
        }
    })
}

/// What a client and its server note in the four seconds in which this befalls messages with key 26.
fn with_mishap(part: Part, fate: Fate) -> (Vec<String>, Diary) {
    let (mut leap, diary) = (leap(), Diary::default());
    let server = leap.add_host("server", answers(&diary));
    let client = leap.add_host("client", asker(&diary));
    let mishaps = vec![Mishap { api: 26, part, fate, chance: 1.0 }];
    for (from, to) in [(client, server), (server, client)] {
        let link = Link { mishaps: mishaps.clone(), ..Link::default() };
        leap.set_link(from, to, link).unwrap();
    }
    leap.run_until(at(3_900));
    (diary.texts(), diary)
}

#[test]
fn late_messages_are_those_of_one_api_and_direction() {
    let late = || Fate::Late(ms(1_500)..=ms(1_500));
    let (told, diary) = with_mishap(Part::Requests, late());
    assert_eq!(told, ["request 26", "answer 26", "request 27", "answer 27"]);
    assert!((1_500..1_600).contains(&diary.when("request 26").unwrap()));
    assert!(diary.when("answer 26").unwrap() < diary.when("request 26").unwrap() + 10);
    assert!(diary.when("answer 27").unwrap() < diary.when("request 27").unwrap() + 10);
    let (told, diary) = with_mishap(Part::Answers, late());
    assert_eq!(told, ["request 26", "answer 26", "request 27", "answer 27", "request 26"]);
    assert!(diary.when("request 26").unwrap() < 10);
    assert!((1_500..1_600).contains(&diary.when("answer 26").unwrap()));
}

#[test]
fn lost_message_takes_its_connection_with_it() {
    let (told, _) = with_mishap(Part::Requests, Fate::Lost);
    assert_eq!(told[..3], ["26 ConnectionReset", "request 27", "answer 27"]);
    let (told, _) = with_mishap(Part::Answers, Fate::Lost);
    assert_eq!(told[..4], ["request 26", "26 ConnectionReset", "request 27", "answer 27"]);
}

/// What a server notes of three requests that its client sends in one segment, of which this befalls the
/// one in the middle.
fn with_mishap_in_the_middle(fate: Fate) -> Diary {
    let (mut leap, diary) = (leap(), Diary::default());
    let server = leap.add_host("server", answers(&diary));
    let client = leap.add_host(
        "client",
        boot(|world| async move {
            let mut stream = connect(&world, "server").await;
            let requests = [25, 26, 27].map(|key| [0, 0, 0, 8, 0, key, 0, 4, 0, 0, 0, key]);
            stream.write_all(&requests.concat()).await.unwrap();
            sleep(&world, ms(5_000)).await;
        }),
    );
    let mishaps = vec![Mishap { api: 26, part: Part::Requests, fate, chance: 1.0 }];
    leap.set_link(client, server, Link { mishaps, ..Link::default() }).unwrap();
    leap.run_until(at(3_900));
    diary
}

#[test]
fn messages_before_a_late_one_are_in_time_and_those_behind_it_are_not() {
    let diary = with_mishap_in_the_middle(Fate::Late(ms(1_500)..=ms(1_500)));
    assert_eq!(diary.texts(), ["request 25", "request 26", "request 27"]);
    assert!(diary.when("request 25").unwrap() < 10);
    assert!((1_500..1_600).contains(&diary.when("request 26").unwrap()));
    assert!((1_500..1_600).contains(&diary.when("request 27").unwrap()));
}

#[test]
fn messages_before_a_lost_one_arrive() {
    let told = with_mishap_in_the_middle(Fate::Lost).texts();
    assert!(told[0] == "request 25" && !told.contains(&"request 26".to_owned()), "{told:?}");
}
