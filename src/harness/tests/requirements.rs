//! Requirements against tests that test nothing.

use super::*;
use crate::run::outcome::REQUIRES;

fn said(simulation: Simulation) -> String {
    let ran = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| simulation.assert_holds()));
    ran.expect_err("refused").downcast_ref::<String>().expect("with words").clone()
}

#[test]
fn run_that_lacks_what_is_required_fails_with_count_and_remedy() {
    let line = line!() + 3;
    let short = small("short")
        .client("shop", |host| shop(host, 3))
        .require(acknowledged("orders").at_least(50));
    let report = short.run();
    let (invariant, what) = worst(&report);
    assert_eq!((report.verdict, invariant), (Verdict::Broke, REQUIRES));
    let expected = format!(
        "3 records of `orders` were acknowledged, at least 50 are required \
         (src/harness/tests/requirements.rs:{line}:10): let a program send more, or require less"
    );
    assert_eq!(what, expected);
}

#[test]
fn each_count_says_what_it_found_and_how_to_get_more() {
    for (requirement, expected) in [
        (read("orders").at_least(1), "0 records of `orders` were read, at least 1 is required"),
        (stored("orders").at_least(2), "1 record is stored in `orders`, at least 2 are required"),
        (
            super::super::struck("shop").at_least(1),
            "0 faults struck `shop`, at least 1 is required",
        ),
        (super::super::struck("b1").at_least(1), "more often (`every`) or for longer (`duration`)"),
        (faults().at_least(1), "0 faults struck, at least 1 is required"),
        (noted("shop").at_least(1), "0 remarks were made by `shop`, at least 1 is required"),
        (assigned("audit").at_least(1), "0 assignments of group `audit` were made"),
    ] {
        let simulation = small("lacking").client("shop", |host| shop(host, 1));
        let report = simulation.require(requirement).run();
        let (invariant, what) = worst(&report);
        assert_eq!(invariant, REQUIRES);
        assert!(what.contains(expected), "{what}");
    }
}

#[test]
fn requirement_that_is_met_changes_nothing() {
    small("enough")
        .client("shop", |host| shop(host, 3))
        .client("reader", |host| reader(host, 3))
        .fault(Fault::pause("shop").at(SECOND / 100).down(SECOND))
        .require(acknowledged("orders").at_least(3))
        .require(read("orders").at_least(3))
        .require(stored("orders").at_least(3))
        .require(noted("reader").at_least(1))
        .require(super::super::struck("shop").at_least(1))
        .require(faults().at_least(1))
        .assert_holds();
}

#[test]
fn link_that_is_cut_counts_for_the_hosts_at_its_ends() {
    small("cut")
        .client("shop", |host| shop(host, 3))
        .fault(Fault::partition("shop", "b2").at(SECOND / 10).down(SECOND))
        .require(super::super::struck("shop").at_least(1))
        .require(super::super::struck("b2").at_least(1))
        .assert_holds();
}

#[test]
fn requirement_over_all_seeds_adds_them_up() {
    let orders = |least| {
        let simulation = small("sum").client("shop", |host| shop(host, 3)).seeds(0..2);
        simulation.require(acknowledged("orders").at_least(least).over_all_seeds())
    };
    orders(6).assert_holds();
    let said = said(orders(7));
    let expected = "6 records of `orders` were acknowledged in all runs together, at least 7 are";
    assert!(said.contains(expected), "{said}");
}

#[test]
fn requirement_of_an_unknown_name_is_refused() {
    let shop = || small("x").client("shop", |host| shop(host, 1));
    for (requirement, expected) in [
        (acknowledged("order").at_least(1), "no such topic; did you mean `orders`?"),
        (
            super::super::struck("shopp").at_least(1),
            "no such host or program; did you mean `shop`?",
        ),
        (noted("b1").at_least(1), "no such program"),
    ] {
        let said = said(shop().require(requirement));
        assert!(said.contains(expected), "{said}");
        assert!(said.contains("src/harness/tests/requirements.rs:"), "{said}");
    }
}

#[test]
fn violation_is_reported_before_what_is_missing() {
    let report = small("both")
        .client("shop", |host| shop(host, 1))
        .check("two-orders", |history: &History| match history.topic("orders").count() {
            2 => Ok(()),
            other => Err(format!("{other} orders")),
        })
        .require(acknowledged("orders").at_least(50))
        .run();
    assert_eq!(worst(&report), ("two-orders", "1 orders"));
}
