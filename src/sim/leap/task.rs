//! Tasks, and the queue of those that are ready.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use parking_lot::Mutex;
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::Rng;

use crate::sim::process::Process;

type BoxFuture = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A future and the process that it belongs to.
pub(super) struct Task {
    pub id: u64,
    pub name: &'static str,
    pub process: Arc<Process>,
    queued: AtomicBool,
    future: Mutex<Option<BoxFuture>>,
    ready: Arc<Ready>,
}

impl Task {
    /// A task that is ready to be polled for the first time.
    pub fn start(
        id: u64,
        name: &'static str,
        process: Arc<Process>,
        ready: &Arc<Ready>,
        future: impl Future<Output = ()> + Send + 'static,
    ) -> Arc<Self> {
        let task = Arc::new(Self {
            id,
            name,
            process,
            queued: AtomicBool::new(true),
            future: Mutex::new(Some(Box::pin(future))),
            ready: ready.clone(),
        });
        ready.queue.lock().push_back(task.clone());
        task
    }

    /// Polls the future; returns whether it has ended.
    pub fn poll(self: &Arc<Self>) -> bool {
        self.queued.store(false, Ordering::Relaxed);
        let waker = Waker::from(self.clone());
        let mut slot = self.future.lock();
        let Some(future) = slot.as_mut() else { return true };
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Pending => false,
            Poll::Ready(()) => {
                *slot = None;
                true
            }
        }
    }

    /// Drops the future.
    pub fn cancel(&self) {
        let future = self.future.lock().take();
        drop(future);
    }
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        if !self.queued.swap(true, Ordering::Relaxed) {
            let ready = self.ready.clone();
            ready.queue.lock().push_back(self);
        }
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.queued.swap(true, Ordering::Relaxed) {
            self.ready.queue.lock().push_back(self.clone());
        }
    }
}

/// The next task is drawn from this many at the head of the queue.
const JITTER: u64 = 4;

/// Ready tasks, in the order in which they were woken.
#[derive(Default)]
pub(super) struct Ready {
    queue: Mutex<VecDeque<Arc<Task>>>,
}

impl Ready {
    /// One of the first few: a real scheduler promises no order either.
    pub fn next(&self, jitter: &mut ChaCha12Rng) -> Option<Arc<Task>> {
        let mut queue = self.queue.lock();
        let choice = (queue.len() as u64).min(JITTER);
        if choice > 1 {
            let pick = (u64::from(jitter.next_u32()) * choice) >> 32;
            queue.swap(0, pick as usize);
        }
        queue.pop_front()
    }

    /// Puts back tasks that were parked while their host was paused.
    pub fn unpark(&self, tasks: Vec<Arc<Task>>) {
        self.queue.lock().extend(tasks);
    }

    /// Removes all tasks, at the end of a simulation.
    pub fn clear(&self) {
        let all = std::mem::take(&mut *self.queue.lock());
        drop(all);
    }
}
