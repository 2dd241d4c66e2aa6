//! The commands. Only dispatches: each has its file in `cli`.

fn main() -> std::process::ExitCode {
    brokerquake::cli::main()
}
