//! Several instances of one program.

use std::collections::BTreeSet;

use super::*;

/// Counts its boots on its own disk, and tells who it is.
async fn counter(host: Host) -> Result<(), Failure> {
    let boots = host.load("boots").await?.map_or(0, |boots| boots[0]) + 1;
    host.save("boots", &[boots]).await?;
    host.note(format!("{} {} {} {boots}", host.program(), host.instance(), host.name()));
    host.sleep(5 * SECOND).await;
    Ok(())
}

fn struck(target: &'static str) -> Vec<String> {
    let notes = std::sync::Arc::new(parking_lot::Mutex::new(Vec::new()));
    let written = notes.clone();
    let report = small("several")
        .client("app", counter)
        .instances(3)
        .fault(Fault::power_loss(target).at(SECOND).down(SECOND))
        .check("notes", move |history: &History| {
            let all = history.notes("app").map(|(_, note)| note.to_owned()).collect();
            let second = history.notes("app-2").map(|(_, note)| note.to_owned()).next();
            assert_eq!(second.as_deref(), Some("app 2 app-2 1"));
            assert_eq!(history.struck("app"), 1, "a fault that strikes all is one");
            *written.lock() = all;
            Ok::<(), String>(())
        })
        .require(super::super::struck("app").at_least(1))
        .seeds(1..2)
        .run();
    assert_eq!(report.verdict, Verdict::Held, "{:?}", report.worst());
    notes.lock().clone()
}

#[test]
fn instances_have_names_and_disks_of_their_own() {
    let first = ["app 1 app-1 1", "app 2 app-2 1", "app 3 app-3 1"];
    let again = |notes: &[String]| -> BTreeSet<String> {
        let mut before = notes[..3].to_vec();
        before.sort();
        assert_eq!(before, first);
        notes[3..].iter().cloned().collect()
    };
    let one = again(&struck("app"));
    assert_eq!(one.len(), 1, "one of them, drawn from the seed: {one:?}");
    assert_eq!(again(&struck("app-2")), ["app 2 app-2 2".to_owned()].into());
    let all = ["app 1 app-1 2", "app 2 app-2 2", "app 3 app-3 2"].map(str::to_owned);
    assert_eq!(again(&struck("all of app")), all.into());
}

#[test]
fn misplaced_instances_are_refused_with_a_remedy() {
    let said = |build: fn()| {
        let panic = std::panic::catch_unwind(build).expect_err("refused");
        let text = panic.downcast_ref::<String>().cloned();
        text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap()
    };
    let early = said(|| drop(small("x").instances(2)));
    assert!(early.contains("comes after the program that it is about"), "{early}");
    let none = said(|| drop(small("x").client("app", counter).instances(0)));
    assert_eq!(none, "`.instances(0)`: expected 1 to 1000");
    let twice = said(|| {
        let simulation = small("x").client("app", counter).instances(2);
        drop(simulation.client("app-2", counter).run());
    });
    assert!(twice.contains("two programs are called `app-2`"), "{twice}");
    let hidden = said(|| {
        let simulation = small("x").client("app", counter).instances(2);
        drop(simulation.client("app", counter).run());
    });
    assert!(hidden.contains("two programs are called `app`"), "{hidden}");
}
