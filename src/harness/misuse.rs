//! Programs that reach around their host: what gives them away, and what they have instead.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::OnceLock;
use std::task::Poll;

use crate::io::real::Mark;
use crate::run::caught;

/// The panic message of Tokio outside a runtime.
const NO_RUNTIME: [&str; 2] = ["there is no reactor running", "there is no timer running"];
/// What reading the number of cores takes, which libraries may ask for: std reads files of the kernel.
static CORES: OnceLock<u64> = OnceLock::new();

/// Whether these bytes may have been read by a library: the number of cores any number of times, and a
/// byte by an allocator, which looks at a setting of the kernel.
fn is_excused(bytes: u64) -> bool {
    let measured = || {
        let before = Mark::now()?;
        let _ = std::thread::available_parallelism();
        Some(before.read_until(Mark::now()?))
    };
    let cores = *CORES.get_or_init(|| measured().unwrap_or(0));
    bytes <= 1 || bytes.checked_rem(cores).is_some_and(|rest| rest <= 1)
}

/// What a thread did with files between two moments, if anything. A file that was written outlives crashes
/// and runs, and the next one may find it.
fn reached_around(before: Mark, after: Mark) -> Option<String> {
    let (read, written) = (before.read_until(after), before.written_until(after));
    if !is_excused(read) {
        return Some(format!("read {read} bytes from"));
    }
    (written > 0).then(|| format!("wrote {written} bytes to"))
}

/// What a future comes to, or where it panicked and what it said. `misused` hears once, in words, that
/// it did what a simulated program can't do; a real one may.
pub(super) async fn caught<T>(
    future: impl Future<Output = T>,
    misused: Option<impl Fn(String)>,
) -> Result<T, String> {
    let mut future = pin!(future);
    let mut misused = misused;
    poll_fn(|context| {
        let before = misused.as_ref().and_then(|_| Mark::now());
        let poll = AssertUnwindSafe(|| future.as_mut().poll(context));
        let poll = match catch_unwind(poll) {
            Ok(poll) => poll.map(Ok),
            Err(_) => Poll::Ready(Err(explained(caught::said_by_panic()))),
        };
        if let Some(around) = before.and_then(|before| Some(reached_around(before, Mark::now()?)))
            && let Some(what) = around
            && let Some(misused) = misused.take()
        {
            misused(format!(
                "{what} files of the machine that runs the test: a program has `host.load`, \
                 `host.save` and `host.disk()` instead of `std::fs`"
            ));
        }
        poll
    })
    .await
}

/// A panic, with what to use instead where the program needs what a simulation does not have.
fn explained(panic: String) -> String {
    let remedy = if NO_RUNTIME.iter().any(|words| panic.contains(words)) {
        "; a simulated program runs without Tokio's runtime: it has `host.sleep` and `host.timeout` \
         instead of `tokio::time`, `host.spawn` instead of `tokio::spawn`, `host.load` and `host.save` \
         instead of `tokio::fs`, and `host.world().net()` instead of `tokio::net`"
    } else {
        ""
    };
    format!("panicked at {panic}{remedy}")
}
