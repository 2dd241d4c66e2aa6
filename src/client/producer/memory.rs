//! `buffer.memory`, and those who wait for it.

use std::collections::VecDeque;

use tokio::sync::oneshot;

/// Bytes that records may take, given in the order of asking.
#[derive(Debug)]
pub(super) struct Memory {
    limit: u64,
    used: u64,
    waiting: VecDeque<Waiter>,
}

#[derive(Debug)]
struct Waiter {
    bytes: u64,
    granted: oneshot::Sender<()>,
}

impl Memory {
    pub(super) fn new(limit: u64) -> Self {
        Self { limit, used: 0, waiting: VecDeque::new() }
    }

    /// Whether that much could ever be given.
    pub(super) fn could_hold(&self, bytes: u64) -> bool {
        bytes <= self.limit
    }

    /// Somebody waits: batches go out as they are.
    pub(super) fn is_exhausted(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Takes it now, or not at all. Never before those who already wait.
    pub(super) fn try_take(&mut self, bytes: u64) -> bool {
        let there = self.waiting.is_empty() && self.used.saturating_add(bytes) <= self.limit;
        if there {
            self.used += bytes;
        }
        there
    }

    /// Takes it later: it is taken when the receiver hears so. One who no longer listens is passed
    /// over; one who heard and gives up must release it.
    pub(super) fn wait_for(&mut self, bytes: u64) -> oneshot::Receiver<()> {
        let (granted, receiver) = oneshot::channel();
        self.waiting.push_back(Waiter { bytes, granted });
        // Something may have come back since the last attempt to take it.
        self.grant();
        receiver
    }

    /// Gives it back, and on to those who wait.
    pub(super) fn release(&mut self, bytes: u64) {
        self.used = self.used.saturating_sub(bytes);
        self.grant();
    }

    /// Gives what there is to those who wait, and forgets those who no longer do.
    pub(super) fn grant(&mut self) {
        while let Some(first) = self.waiting.front() {
            if !first.granted.is_closed() && self.used.saturating_add(first.bytes) > self.limit {
                break;
            }
            let Some(first) = self.waiting.pop_front() else { break };
            if first.granted.send(()).is_ok() {
                self.used += first.bytes;
            }
        }
    }

    /// Nobody gets anything any more.
    pub(super) fn close(&mut self) {
        self.waiting.clear();
        self.used = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_given_in_the_order_of_asking() {
        let mut memory = Memory::new(100);
        assert!(memory.try_take(90));
        assert!(!memory.try_take(20));
        let mut first = memory.wait_for(20);
        let mut second = memory.wait_for(1);
        assert!(!memory.try_take(1), "not before those who wait");
        assert!(second.try_recv().is_err());
        memory.release(30);
        assert!(first.try_recv().is_ok() && second.try_recv().is_ok());
        assert!(memory.try_take(19) && !memory.try_take(1));
    }

    #[test]
    fn who_gave_up_waiting_is_passed_over() {
        let mut memory = Memory::new(100);
        assert!(memory.try_take(100));
        drop(memory.wait_for(100));
        let mut second = memory.wait_for(10);
        memory.release(10);
        assert!(second.try_recv().is_ok());
        assert!(!memory.is_exhausted());
    }
}
