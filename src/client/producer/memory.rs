//! `buffer.memory`, and the senders that wait for it.
//!
//! A batch takes as much as it may grow to, from its first record to its verdict: `batch.size`, or
//! what its first record needs if that is more. A record whose partition is not known yet takes what
//! it needs by itself.
//!
//! A batch that is to be compressed takes what it is expected to have on the wire, but holds its
//! records uncompressed until it first leaves: up to 8 times as many bytes. So `buffer.memory`
//! bounds the process's memory only up to that factor. Kafka compresses while it appends.
//!
//! Source: Kafka's `BufferPool`. There a sender that finds memory may overtake one that waits; here
//! it never does.

use std::collections::VecDeque;

use tokio::sync::oneshot;

/// Bytes for batches, granted in the order of asking.
#[derive(Debug)]
pub(super) struct Memory {
    limit: u64,
    /// Bytes of batches and records that the producer has.
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

    pub(super) fn limit(&self) -> u64 {
        self.limit
    }

    pub(super) fn available(&self) -> u64 {
        self.limit.saturating_sub(self.held.saturating_add(self.reserved))
    }

    /// Senders that wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.iter().filter(|waiter| !waiter.granted.is_closed()).count()
    }

    /// Takes memory now, or not at all. Never before senders that already wait.
    pub(super) fn try_take(&mut self, bytes: u64) -> bool {
        let there = self.waiting.is_empty() && bytes <= self.available();
        if there {
            self.held += bytes;
        }
        there
    }

    /// Turns memory that is held into up to `wanted` bytes, as far as no send waits for them, and never
    /// into less than it is. Returns the new size.
    pub(super) fn grow(&mut self, held: u64, wanted: u64) -> u64 {
        let more = wanted.saturating_sub(held).min(self.available());
        let more = if self.waiting.is_empty() { more } else { 0 };
        self.held += more;
        held + more
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

    /// Takes what was reserved.
    pub(super) fn take_reserved(&mut self, bytes: u64) {
        self.reserved = self.reserved.saturating_sub(bytes);
        self.held += bytes;
    }

    /// Gives back what was reserved.
    pub(super) fn give_back(&mut self, bytes: u64) {
        self.reserved = self.reserved.saturating_sub(bytes);
        self.grant();
    }

    /// Releases the memory of a batch or record that has its verdict.
    pub(super) fn release(&mut self, bytes: u64) {
        let held = self.held;
        assert!(self.closed || held >= bytes, "{bytes} bytes are released of {held}");
        self.held = held.saturating_sub(bytes);
        self.grant();
    }

    /// Grants what there is to senders that wait, and forgets those that no longer do.
    pub(super) fn grant(&mut self) {
        while let Some(first) = self.waiting.front() {
            if !first.granted.is_closed() && first.bytes > self.available() {
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

    /// Panics unless the batches and records that the producer has take what is accounted for them.
    pub(super) fn check(&self, of_records: u64) {
        let Self { limit, held, reserved, .. } = self;
        assert_eq!(*held, of_records, "bytes held: {held}, but the records take {of_records}");
        let used = held + reserved;
        assert!(used <= *limit, "buffer.memory is {limit}, but {used} bytes are used");
        if let Some(first) = self.waiting.front().filter(|first| !first.granted.is_closed()) {
            let (wanted, available) = (first.bytes, self.available());
            assert!(wanted > available, "a sender waits for {wanted} bytes of {available}");
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn memory_is_granted_in_the_order_of_asking() {
        let mut memory = Memory::new(100);
        assert!(memory.try_take(90));
        assert!(!memory.try_take(20));
        let mut first = memory.wait_for(20);
        let mut second = memory.wait_for(1);
        assert!(!memory.try_take(1), "not before those who wait");
        assert_eq!(memory.grow(90, 95), 90, "nor by growing");
        assert!(second.try_recv().is_err());
        memory.release(30);
        assert!(first.try_recv().is_ok() && second.try_recv().is_ok());
        memory.take_reserved(20);
        memory.give_back(1);
        memory.check(80);
        assert_eq!(memory.grow(20, 200), 40);
        memory.check(100);
        assert!(!memory.try_take(1));
    }

    #[test]
    fn sender_that_gave_up_is_skipped() {
        let mut memory = Memory::new(100);
        assert!(memory.try_take(100));
        drop(memory.wait_for(100));
        let mut second = memory.wait_for(10);
        assert_eq!(memory.waiting(), 1);
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

    #[derive(Clone, Debug)]
    enum Operation {
        Take(u64),
        Wait(u64),
        /// The nth sender that waits gives up.
        GiveUp(usize),
        /// The nth sender with memory uses it, or gives it back.
        Use(usize),
        GiveBack(usize),
        Release(usize),
        Grow(usize, u64),
    }

    fn operations() -> impl Strategy<Value = Vec<Operation>> {
        let one = prop_oneof![
            3 => (0..60u64).prop_map(Operation::Take),
            3 => (0..=100u64).prop_map(Operation::Wait),
            1 => any::<usize>().prop_map(Operation::GiveUp),
            3 => any::<usize>().prop_map(Operation::Use),
            1 => any::<usize>().prop_map(Operation::GiveBack),
            4 => any::<usize>().prop_map(Operation::Release),
            1 => (any::<usize>(), 0..=120u64).prop_map(|(nth, size)| Operation::Grow(nth, size)),
        ];
        prop::collection::vec(one, 0..200)
    }

    fn remove<T>(list: &mut Vec<T>, nth: usize) -> Option<T> {
        (!list.is_empty()).then(|| list.remove(nth % list.len()))
    }

    /// Who has memory, and who waits for it.
    struct Model {
        memory: Memory,
        held: Vec<u64>,
        granted: Vec<u64>,
        waiting: Vec<(u64, oneshot::Receiver<()>)>,
    }

    impl Model {
        fn carry_out(&mut self, operation: Operation) {
            let Self { memory, held, granted, waiting } = self;
            match operation {
                Operation::Take(bytes) => {
                    let used: u64 = held.iter().chain(&*granted).sum();
                    let fits = waiting.is_empty() && used + bytes <= 100;
                    assert_eq!(memory.try_take(bytes), fits);
                    held.extend(fits.then_some(bytes));
                }
                Operation::Wait(bytes) => waiting.push((bytes, memory.wait_for(bytes))),
                Operation::GiveUp(nth) => {
                    drop(remove(waiting, nth));
                    memory.grant();
                }
                Operation::Use(nth) => {
                    if let Some(bytes) = remove(granted, nth) {
                        memory.take_reserved(bytes);
                        held.push(bytes);
                    }
                }
                Operation::GiveBack(nth) => {
                    if let Some(bytes) = remove(granted, nth) {
                        memory.give_back(bytes);
                    }
                }
                Operation::Release(nth) => {
                    if let Some(bytes) = remove(held, nth) {
                        memory.release(bytes);
                    }
                }
                Operation::Grow(nth, size) => {
                    if let Some(bytes) = remove(held, nth) {
                        let grown = memory.grow(bytes, size);
                        assert!(bytes <= grown && grown <= size.max(bytes));
                        held.push(grown);
                    }
                }
            }
        }

        /// Who got memory, which must be those who have waited longest.
        fn collect(&mut self) {
            while let Some((bytes, first)) = self.waiting.first_mut() {
                if first.try_recv().is_err() {
                    break;
                }
                self.granted.push(*bytes);
                self.waiting.remove(0);
            }
            let overtook = self.waiting.iter_mut().any(|(_, waiter)| waiter.try_recv().is_ok());
            assert!(!overtook, "a sender got memory before one that waited longer");
        }
    }

    proptest! {
        #[test]
        fn memory_never_leaks_and_never_exceeds_its_limit(operations in operations()) {
            let memory = Memory::new(100);
            let (held, granted, waiting) = (Vec::new(), Vec::new(), Vec::new());
            let mut model = Model { memory, held, granted, waiting };
            for operation in operations {
                model.carry_out(operation);
                model.collect();
                model.memory.check(model.held.iter().sum());
            }
            model.waiting.clear();
            model.granted.drain(..).for_each(|bytes| model.memory.give_back(bytes));
            model.held.drain(..).for_each(|bytes| model.memory.release(bytes));
            model.memory.check(0);
            prop_assert_eq!((model.memory.available(), model.memory.waiting()), (100, 0));
        }
    }
}
