//! Suites that run simulated clusters. One binary for all of them: each binary links the whole
//! crate, and the tests of one binary share its threads.
#![allow(
    clippy::module_inception,
    reason = "a suite's file has its helpers in a directory of the same name"
)]

#[path = "../examples/billing.rs"]
mod billing;
#[path = "../examples/bookkeeper/main.rs"]
mod bookkeeper;
#[path = "../examples/dead_letter/main.rs"]
mod dead_letter;
#[path = "../examples/delayed_delivery/main.rs"]
mod delayed_delivery;
#[path = "../determinism.rs"]
mod determinism;
#[path = "../eos.rs"]
mod eos;
#[path = "../guarantees.rs"]
mod guarantees;
#[path = "../harness.rs"]
mod harness;
#[path = "../mutants.rs"]
mod mutants;
#[path = "../picture.rs"]
mod picture;
#[path = "../readme.rs"]
mod readme;
#[path = "../scenarios.rs"]
mod scenarios;
#[path = "../seen.rs"]
mod seen;
#[path = "../storms.rs"]
mod storms;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
