//! Suites that talk to a running broker over real sockets. One binary for both, as in `scenarios`.

#[path = "../clients.rs"]
mod clients;
#[path = "../hostile.rs"]
mod hostile;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
