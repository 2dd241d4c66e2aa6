//! Programs that reach around their host: what gives them away, and what they have instead.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;

use crate::io::real::Mark;
use crate::run::caught;

/// What Tokio says where there is no runtime.
const NO_RUNTIME: [&str; 2] = ["there is no reactor running", "there is no timer running"];
/// An allocator may look at a setting of the kernel, one byte long.
const ALLOWED: u64 = 1;

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
        let read = before.and_then(|before| Some(before.read_until(Mark::now()?)));
        if let Some(bytes) = read.filter(|bytes| *bytes > ALLOWED)
            && let Some(misused) = misused.take()
        {
            misused(format!(
                "read {bytes} bytes from files of the machine that runs the test: a program has \
                 `host.load`, `host.save` and `host.disk()` instead of `std::fs`"
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
