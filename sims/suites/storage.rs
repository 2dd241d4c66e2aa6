//! Suites about files and disks, simulated and real. One binary for all of them, as in
//! `scenarios`.

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
