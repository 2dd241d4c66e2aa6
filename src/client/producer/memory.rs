//! `buffer.memory`, and the senders that wait for it.

use std::collections::VecDeque;

use tokio::sync::oneshot;

/// Bytes of records that may be buffered, granted in the order of asking.
#[derive(Debug)]
pub(super) struct Memory {
    limit: u64,
    /// Bytes of records that the producer has.
    held: u64,
    /// Bytes granted to senders that have not handed their record over yet.
    reserved: u64,
    waiting: VecDeque<Waiter>,
    closed: bool,
}

#[derive(Debug)]
struct Waiter {
    bytes: u64,
    granted: oneshot::Sender<()>,
}

impl Memory {
    pub(super) fn new(limit: u64) -> Self {
        Self { limit, held: 0, reserved: 0, waiting: VecDeque::new(), closed: false }
    }

    /// Whether that much could ever be granted.
    pub(super) fn could_hold(&self, bytes: u64) -> bool {
        bytes <= self.limit
    }

    /// A sender waits: batches leave as they are.
    pub(super) fn is_exhausted(&self) -> bool {
        !self.waiting.is_empty()
    }

    fn has_room(&self, bytes: u64) -> bool {
        self.held.saturating_add(self.reserved).saturating_add(bytes) <= self.limit
    }

    /// Takes memory for a record now, or not at all. Never before senders that already wait.
    pub(super) fn try_take(&mut self, bytes: u64) -> bool {
        let there = self.waiting.is_empty() && self.has_room(bytes);
        if there {
            self.held += bytes;
        }
        there
    }

    /// Reserves memory later: when the receiver gets its message. A sender that no longer listens
    /// is skipped; one that got the message uses the memory or gives it back.
    pub(super) fn wait_for(&mut self, bytes: u64) -> oneshot::Receiver<()> {
        let (granted, receiver) = oneshot::channel();
        self.waiting.push_back(Waiter { bytes, granted });
        // Some may have been released since the last attempt to take it.
        self.grant();
        receiver
    }

    /// Takes what was reserved for a record.
    pub(super) fn take_reserved(&mut self, bytes: u64) {
        self.reserved = self.reserved.saturating_sub(bytes);
        self.held += bytes;
    }

    /// Gives back what was reserved.
    pub(super) fn give_back(&mut self, bytes: u64) {
        self.reserved = self.reserved.saturating_sub(bytes);
        self.grant();
    }

    /// Releases the memory of records that have their verdict.
    pub(super) fn release(&mut self, bytes: u64) {
        let held = self.held;
        assert!(self.closed || held >= bytes, "{bytes} bytes are released of {held}");
        self.held = held.saturating_sub(bytes);
        self.grant();
    }

    /// Grants what there is to senders that wait, and forgets those that no longer do.
    pub(super) fn grant(&mut self) {
        while let Some(first) = self.waiting.front() {
            if !first.granted.is_closed() && !self.has_room(first.bytes) {
                break;
            }
            let Some(first) = self.waiting.pop_front() else { break };
            if first.granted.send(()).is_ok() {
                self.reserved += first.bytes;
            }
        }
    }

    /// No sender gets anything any more.
    pub(super) fn close(&mut self) {
        self.waiting.clear();
        (self.held, self.reserved) = (0, 0);
        self.closed = true;
    }

    /// Panics unless the records that the producer has take what is accounted for them.
    pub(super) fn check(&self, of_records: u64) {
        let Self { limit, held, reserved, .. } = self;
        assert_eq!(*held, of_records, "bytes held: {held}, but the records take {of_records}");
        let used = held + reserved;
        assert!(used <= *limit, "buffer.memory is {limit}, but {used} bytes are used");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_granted_in_the_order_of_asking() {
        let mut memory = Memory::new(100);
        assert!(memory.try_take(90));
        assert!(!memory.try_take(20));
        let mut first = memory.wait_for(20);
        let mut second = memory.wait_for(1);
        assert!(!memory.try_take(1), "not before those who wait");
        assert!(second.try_recv().is_err());
        memory.release(30);
        assert!(first.try_recv().is_ok() && second.try_recv().is_ok());
        memory.take_reserved(20);
        memory.give_back(1);
        memory.check(80);
        assert!(memory.try_take(20) && !memory.try_take(1));
    }

    #[test]
    fn sender_that_gave_up_is_skipped() {
        let mut memory = Memory::new(100);
        assert!(memory.try_take(100));
        drop(memory.wait_for(100));
        let mut second = memory.wait_for(10);
        memory.release(10);
        assert!(second.try_recv().is_ok());
        assert!(!memory.is_exhausted());
    }
    #[test]
    #[should_panic(expected = "bytes held: 90, but the records take 80")]
    fn memory_that_leaks_trips_the_check() {
        let mut memory = Memory::new(100);
        assert!(memory.try_take(90));
        memory.check(80);
    }
}
