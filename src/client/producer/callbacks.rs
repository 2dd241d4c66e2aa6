//! Callbacks of applications, called outside of the producer's lock, so that they may send.

use std::collections::VecDeque;
use std::fmt;

use parking_lot::Mutex;

type Call = Box<dyn FnOnce() + Send>;

/// Callbacks that are due, in the order in which their records got their verdicts.
#[derive(Default)]
pub(super) struct Callbacks {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    due: VecDeque<Call>,
    /// A task calls them, or a callback is under way that led here: it will see what is due.
    running: bool,
}

impl fmt::Debug for Callbacks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Callbacks")
    }
}

impl Callbacks {
    /// A callback is due. It is called by the next [`Callbacks::run`].
    pub(super) fn push(&self, call: impl FnOnce() + Send + 'static) {
        self.state.lock().due.push_back(Box::new(call));
    }

    /// Calls what is due, one at a time and in order.
    pub(super) fn run(&self) {
        {
            let mut state = self.state.lock();
            if state.running || state.due.is_empty() {
                return;
            }
            state.running = true;
        }
        let mut running = Running { callbacks: self, ended: false };
        loop {
            let next = {
                let mut state = self.state.lock();
                let next = state.due.pop_front();
                // Set under the same lock: what is pushed afterwards finds it unset.
                state.running = next.is_some();
                next
            };
            match next {
                Some(call) => call(),
                None => {
                    running.ended = true;
                    return;
                }
            }
        }
    }
}

/// A callback that panics must not silence those after it.
struct Running<'a> {
    callbacks: &'a Callbacks,
    ended: bool,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if !self.ended {
            self.callbacks.state.lock().running = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn callback_may_make_another_due_which_is_called_after_those_before() {
        let callbacks = Arc::new(Callbacks::default());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let note = |number: u32| {
            let seen = Arc::clone(&seen);
            move || seen.lock().push(number)
        };
        let (inner, third) = (Arc::clone(&callbacks), note(3));
        let first = note(1);
        callbacks.push(move || {
            first();
            inner.push(third);
            inner.run();
        });
        callbacks.push(note(2));
        assert!(seen.lock().is_empty(), "nothing is called by a push");
        callbacks.run();
        assert_eq!(*seen.lock(), [1, 2, 3]);
        callbacks.push(note(4));
        callbacks.run();
        assert_eq!(*seen.lock(), [1, 2, 3, 4]);
    }

    #[test]
    fn panic_of_a_callback_does_not_silence_the_next() {
        let callbacks = Callbacks::default();
        callbacks.push(|| panic!("in a callback"));
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| callbacks.run()));
        assert!(caught.is_err());
        let seen = Arc::new(Mutex::new(false));
        let called = Arc::clone(&seen);
        callbacks.push(move || *called.lock() = true);
        callbacks.run();
        assert!(*seen.lock());
    }
}
