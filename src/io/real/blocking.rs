//! Calls of the kernel that block.

use std::io;

/// Runs a call that waits for the device on a thread where it does not hold up other tasks.
pub(super) async fn blocking(
    call: impl FnOnce() -> io::Result<()> + Send + 'static,
) -> io::Result<()> {
    tokio::task::spawn_blocking(call).await.map_err(io::Error::other)?
}
