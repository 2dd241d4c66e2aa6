//! Wraps every task: blocks it while its process is paused or dead, and reads true time.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::world::{Shared, Tenant};

/// A task, gated.
pub(super) struct Gate {
    shared: Arc<Shared>,
    tenant: Arc<Tenant>,
    id: u64,
    name: &'static str,
    /// Its waker is kept until the pause ends.
    parked: bool,
    task: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl Gate {
    pub fn new(
        shared: Arc<Shared>,
        tenant: Arc<Tenant>,
        name: &'static str,
        task: impl Future<Output = ()> + Send + 'static,
    ) -> Self {
        let id = shared.next_task();
        shared.witness.spawned(shared.now(), tenant.process.host, id, name);
        Self { shared, tenant, id, name, parked: false, task: Box::pin(task) }
    }
}

impl Future for Gate {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        let process = &this.tenant.process;
        if !process.alive() {
            return Poll::Pending;
        }
        if process.paused() {
            if !std::mem::replace(&mut this.parked, true) {
                this.tenant.parked.lock().push(context.waker().clone());
            }
            return Poll::Pending;
        }
        this.parked = false;
        // Time does not advance within a poll, and only tasks of a running host can read it.
        if let Some(elapsed) = turmoil::sim_elapsed() {
            this.shared.set_now(elapsed);
        }
        if !this.shared.watchdog.polls(this.shared.now(), process, this.id, this.name) {
            return Poll::Pending;
        }
        this.shared.witness.polls(this.shared.now(), process.host, this.id, this.name);
        // tokio would swallow the panic of a spawned task.
        let poll = catch_unwind(AssertUnwindSafe(|| this.task.as_mut().poll(context)));
        poll.unwrap_or_else(|panic| {
            tracing::error!(host = &*process.name, task = this.name, "a task panicked");
            process.die();
            this.shared.panicked.lock().get_or_insert(panic);
            Poll::Pending
        })
    }
}
