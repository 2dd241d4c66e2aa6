//! Future events: one heap, ordered by time and then by the order of scheduling.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::task::Waker;

use super::conn::ConnKey;
use super::side::Side;
use crate::base::Instant;
use crate::sim::HostId;
use crate::sim::trace::kind;
use crate::sim::witness::Witness;

/// A future event.
#[derive(Clone, Copy, Debug)]
pub(super) enum Event {
    /// A task's wait ends.
    Timer(TimerKey),
    /// The first segment of a direction arrives.
    Arrival(ConnKey, Side),
    /// The sender of a direction learns that the receiver has read.
    Window(ConnKey, Side),
}

/// A pending timer; void after it fired or was cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TimerKey {
    slot: u32,
    generation: u32,
}

struct Timer {
    generation: u32,
    host: HostId,
    waker: Option<Waker>,
}

struct Entry {
    at: u64,
    sequence: u64,
    event: Event,
}

impl Ord for Entry {
    /// Reversed: `BinaryHeap` pops the greatest element.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.sequence).cmp(&(self.at, self.sequence))
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Entry {}

/// Cancelled timers that may stay in the heap before it is swept.
const STALE: usize = 256;

/// All future events of a simulation.
pub(super) struct Agenda {
    pub now: Instant,
    pub witness: Witness,
    heap: BinaryHeap<Entry>,
    sequence: u64,
    timers: Vec<Timer>,
    free: Vec<u32>,
    stale: usize,
}

impl Agenda {
    pub fn new(witness: Witness) -> Self {
        Self {
            now: Instant::START,
            witness,
            heap: BinaryHeap::new(),
            sequence: 0,
            timers: Vec::new(),
            free: Vec::new(),
            stale: 0,
        }
    }

    /// Schedules `event` at `at`, after the events already scheduled for that time.
    pub fn schedule(&mut self, at: u64, event: Event) {
        self.sequence += 1;
        self.heap.push(Entry { at: at.max(self.now.0), sequence: self.sequence, event });
    }

    /// Number of entries, including void ones.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.heap.len()
    }

    /// Time of the next event.
    pub fn next_at(&self) -> Option<u64> {
        self.heap.peek().map(|entry| entry.at)
    }

    /// Removes the next event at or before `at`.
    pub fn pop(&mut self, at: u64) -> Option<Event> {
        (self.next_at()? <= at).then(|| self.heap.pop()).flatten().map(|entry| entry.event)
    }

    /// Wakes a task of `host` at `at`.
    pub fn set_timer(&mut self, at: Instant, host: HostId, waker: &Waker) -> TimerKey {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.timers.push(Timer { generation: 0, host, waker: None });
            (self.timers.len() - 1) as u32
        });
        let timer = &mut self.timers[slot as usize];
        timer.host = host;
        timer.waker = Some(waker.clone());
        let key = TimerKey { slot, generation: timer.generation };
        self.schedule(at.0, Event::Timer(key));
        key
    }

    /// Whether the timer is still pending; if so, it wakes `waker` from now on.
    pub fn renew_timer(&mut self, key: TimerKey, waker: &Waker) -> bool {
        let timer = &mut self.timers[key.slot as usize];
        let set = timer.generation == key.generation;
        if set && !timer.waker.as_ref().is_some_and(|old| old.will_wake(waker)) {
            timer.waker = Some(waker.clone());
        }
        set
    }

    /// Removes a timer, if it is still pending.
    pub fn cancel_timer(&mut self, key: TimerKey) {
        if self.take_timer(key).is_some() {
            self.stale += 1;
            if self.stale > STALE && self.stale * 2 > self.heap.len() {
                self.sweep();
            }
        }
    }

    /// The timer expired.
    pub fn fire_timer(&mut self, key: TimerKey) {
        let Some((host, waker)) = self.take_timer(key) else {
            self.stale = self.stale.saturating_sub(1);
            return;
        };
        self.witness.trace(self.now, kind::TIMER, host, 0, &[], || "timer".to_string());
        waker.wake();
    }

    /// Wakes all tasks that wait on `host`: its clock was changed, so deadlines moved.
    pub fn wake_timers_of(&self, host: HostId) {
        for timer in self.timers.iter().filter(|timer| timer.host == host) {
            if let Some(waker) = &timer.waker {
                waker.wake_by_ref();
            }
        }
    }

    fn take_timer(&mut self, key: TimerKey) -> Option<(HostId, Waker)> {
        let timer = self.timers.get_mut(key.slot as usize)?;
        if timer.generation != key.generation {
            return None;
        }
        timer.generation = timer.generation.wrapping_add(1);
        self.free.push(key.slot);
        timer.waker.take().map(|waker| (timer.host, waker))
    }

    /// Removes cancelled timers from the heap, so that it does not grow with every deadline that
    /// was met.
    fn sweep(&mut self) {
        let timers = &self.timers;
        self.heap.retain(|entry| match entry.event {
            Event::Timer(key) => timers[key.slot as usize].generation == key.generation,
            Event::Arrival(..) | Event::Window(..) => true,
        });
        self.stale = 0;
    }
}
