//! The same program on real sockets and files.

use std::future::Future;
use std::path::Path;
use std::sync::Arc;

use super::Host;
use super::host::Identity;
use super::world::AnyWorld;
use crate::io::real::RealWorld;

/// Runs a program of a simulation for real: against the cluster at `bootstrap_servers`, with its
/// files in the directory `dir`, on this machine's clock.
///
/// Nothing is recorded, records carry no header, faults are [`FaultError::Reality`]. It runs on a
/// runtime of its own, so it is not called from within one.
///
/// ```no_run
/// use brokerquake::prelude::*;
///
/// async fn greet(host: Host) -> Result<(), Box<dyn std::error::Error>> {
///     let producer = host.producer(&[("acks", "all")])?;
///     producer.send_and_wait(ProducerRecord::new("greetings", "hello")).await?;
///     Ok(())
/// }
///
/// fn main() -> Result<(), Box<dyn std::error::Error>> {
///     run_for_real("127.0.0.1:9092", "/var/lib/greeter", greet)?
/// }
/// ```
///
/// # Errors
/// When the operating system gives no runtime. What the program comes to is inside.
///
/// [`FaultError::Reality`]: super::FaultError::Reality
pub fn run_for_real<F: Future>(
    bootstrap_servers: &str,
    dir: impl AsRef<Path>,
    program: impl FnOnce(Host) -> F,
) -> std::io::Result<F::Output> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let world = AnyWorld::from(RealWorld::new());
    let dir = dir.as_ref().to_owned();
    let name: Arc<str> = "program".into();
    let identity = Identity { name: Arc::clone(&name), program: name, instance: 1 };
    let host = Host::new(world, identity, bootstrap_servers.to_owned(), dir, None);
    Ok(runtime.block_on(program(host)))
}
