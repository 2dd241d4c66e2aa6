//! Suites that talk to a running broker over real sockets. One binary for both, as in `scenarios`.
#![allow(
    clippy::module_inception,
    reason = "a suite's file has its helpers in a directory of the same name"
)]

#[path = "../administration.rs"]
mod administration;
#[path = "../alterations.rs"]
mod alterations;
#[path = "../answers.rs"]
mod answers;
#[path = "../clients.rs"]
mod clients;
#[path = "../damaged.rs"]
mod damaged;
#[path = "../groups.rs"]
mod groups;
#[path = "../hostile.rs"]
mod hostile;
#[path = "../java_transactions.rs"]
mod java_transactions;
#[path = "../peers.rs"]
mod peers;
#[path = "../transactions.rs"]
mod transactions;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
