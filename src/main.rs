//! The commands. Only dispatches: each has its file in `cli`.

/// Simulations allocate a lot of small, short-lived objects.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    brokerquake::cli::main()
}
