//! Suites about files and disks, simulated and real. One binary for all of them, as in
//! `scenarios`.
#![allow(
    clippy::module_inception,
    reason = "a suite's file has its helpers in a directory of the same name"
)]

#[path = "../conformance.rs"]
mod conformance;
#[path = "../damage.rs"]
mod damage;
#[path = "../fuzzed.rs"]
mod fuzzed;
#[path = "../kafka_logs.rs"]
mod kafka_logs;
#[path = "../models.rs"]
mod models;
#[path = "../storage.rs"]
mod storage;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
