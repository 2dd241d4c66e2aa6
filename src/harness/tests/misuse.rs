//! Programs that reach around their host, and tests that name what is not there: each gets a remedy.

#![allow(clippy::disallowed_methods, reason = "programs must not use them, which is shown here")]

use super::*;

/// The first line of the misuse, which fails the run with this.
fn fails<F, R>(run: impl Fn(Host) -> F + Send + Sync + 'static) -> (String, String)
where
    F: Future<Output = R> + Send + 'static,
    R: Ending,
{
    let report = small("misuse").client("app", run).patience(SECOND).run();
    let (invariant, what) = worst(&report);
    (invariant.to_owned(), what.to_owned())
}

#[test]
fn tokio_without_its_runtime_fails_at_the_line_that_needs_it() {
    let line = line!() + 2;
    let (invariant, what) = fails(|_| async {
        tokio::time::sleep(SECOND).await;
    });
    assert_eq!(invariant, PANICS);
    let place = format!("app panicked at src/harness/tests/misuse.rs:{line}:");
    assert!(what.starts_with(&place), "{what}");
    assert!(what.contains("`host.sleep` and `host.timeout` instead of `tokio::time`"), "{what}");

    let line = line!() + 2;
    let (invariant, what) = fails(|_| async {
        drop(tokio::spawn(async {}));
    });
    assert_eq!(invariant, PANICS);
    let place = format!("app panicked at src/harness/tests/misuse.rs:{line}:");
    assert!(what.starts_with(&place) && what.contains("`host.spawn` instead of"), "{what}");
}

#[test]
fn program_that_reads_real_files_fails_with_a_remedy() {
    if crate::io::real::Mark::now().is_none() {
        return;
    }
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("rustfmt.toml");
    let bytes = std::fs::metadata(&path).unwrap().len();
    let (invariant, what) = fails(move |host| {
        let path = path.clone();
        async move {
            host.save("own", b"its own file is fine").await?;
            host.load("own").await?;
            host.sleep(SECOND).await;
            std::fs::read(&path).map(drop)
        }
    });
    assert_eq!(invariant, SUCCEEDS);
    let expected = format!("app read {bytes} bytes from files of the machine that runs the test");
    assert!(what.starts_with(&expected), "{what}");
    assert!(what.contains("`host.load`, `host.save` and `host.disk()` instead of `std::fs`"));
}

#[test]
fn program_that_writes_real_files_fails_with_a_remedy() {
    let dir = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
    let Some(before) = crate::io::real::Mark::now() else { return };
    std::fs::write(dir.path().join("probe"), [7; 100]).unwrap();
    if before.written_until(crate::io::real::Mark::now().unwrap()) == 0 {
        return;
    }
    let path = dir.path().join("state");
    let (invariant, what) = fails(move |host| {
        let path = path.clone();
        async move {
            host.sleep(SECOND).await;
            std::fs::write(&path, b"offset 42")
        }
    });
    assert_eq!(invariant, SUCCEEDS);
    assert!(what.starts_with("app wrote 9 bytes to files of the machine that runs the"), "{what}");
    assert!(what.contains("`host.load`, `host.save` and `host.disk()` instead of `std::fs`"));
}

#[test]
fn undeclared_topic_fails_a_program_that_reads_it() {
    let (invariant, what) = fails(|host| async move {
        let mut consumer = host.consumer(&[("group.id", "audit")])?;
        consumer.subscribe(["order"])?;
        Ok::<(), Failure>(())
    });
    assert_eq!(invariant, SUCCEEDS);
    assert_eq!(what, "app subscribed to `order`, which is not declared; did you mean `orders`?");

    let (_, what) = fails(|host| async move {
        host.consumer(&[])?.assign([TopicPartition::new("invoices", 0)]);
        Ok::<(), Failure>(())
    });
    let expected = "app was assigned a partition of `invoices`, which is not declared; declare it: \
                    `.topic(\"invoices\", …)`";
    assert_eq!(what, expected);

    let (_, what) = fails(|host| async move {
        host.consumer(&[])?.assign([TopicPartition::new("orders", 2)]);
        Ok::<(), Failure>(())
    });
    let expected = "app was assigned orders-2, but `orders` has 2 partitions: declare more with \
                    `topic.partitions(…)` at ";
    assert!(what.starts_with(expected), "{what}");
}

#[test]
fn invalid_fault_is_reported_with_its_line_in_the_test() {
    let line = line!() + 1;
    let wrong = Fault::kill("laeder").every("1s");
    let simulation = small("x").fault(Fault::kill("leader").every("1s")).fault(wrong);
    let ran = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| simulation.run()));
    let panic = ran.expect_err("refused").downcast_ref::<String>().unwrap().clone();
    let expected = format!(
        "src/harness/tests/misuse.rs:{line}:17: unknown target `laeder`; did you mean `leader`?"
    );
    assert!(panic.contains(&expected), "{panic}");

    let line = line!() + 2;
    let set = || {
        let wrong = small("x").set("broker.sesion.timeout.ms", 1);
        wrong.run()
    };
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(set)).expect_err("refused");
    let panic = panic.downcast_ref::<String>().unwrap();
    assert!(panic.contains(&format!("src/harness/tests/misuse.rs:{line}:32: ")), "{panic}");
}

#[test]
fn draw_from_an_empty_range_panics_at_the_line_of_the_program() {
    let line = line!() + 2;
    let (invariant, what) = fails(|host| async move {
        host.draw(3..3);
    });
    assert_eq!(invariant, PANICS);
    let expected =
        format!("app panicked at src/harness/tests/misuse.rs:{line}:14: host.draw(3..3)");
    assert!(what.starts_with(&expected), "{what}");
}
