//! The producer's id and epoch, and how it gets them (KIP-98).

use crate::base::{Instant, ProducerEpoch, ProducerId};
use crate::client::kernel::Kernel;
use crate::io::Address;

/// Producer id and epoch, as a broker granted them.
pub(super) type Granted = (ProducerId, ProducerEpoch);

/// The identity of an idempotent producer; other producers have none.
#[derive(Debug)]
pub(super) struct Identity {
    idempotent: bool,
    current: Option<Granted>,
    /// A batch waits for it.
    wanted: bool,
    outstanding: bool,
    not_before: Instant,
    failures: u32,
}

impl Identity {
    pub(super) fn new(idempotent: bool) -> Self {
        Self {
            idempotent,
            current: None,
            wanted: false,
            outstanding: false,
            not_before: Instant::START,
            failures: 0,
        }
    }

    pub(super) fn is_idempotent(&self) -> bool {
        self.idempotent
    }

    pub(super) fn current(&self) -> Option<Granted> {
        self.current
    }

    /// The current identity; if there is none, it is asked for.
    pub(super) fn require(&mut self) -> Option<Granted> {
        self.wanted |= self.current.is_none();
        self.current
    }

    /// The broker to ask now, if an identity is needed.
    pub(super) fn begin_due(&mut self, now: Instant, kernel: &mut Kernel) -> Option<Address> {
        if !self.wanted || self.outstanding || now < self.not_before {
            return None;
        }
        if let Some(until) = kernel.contacts_muted_until(now) {
            self.not_before = until;
            return None;
        }
        self.outstanding = true;
        Some(kernel.next_contact(now))
    }

    /// When to ask again.
    pub(super) fn deadline(&self) -> Instant {
        if self.wanted && !self.outstanding { self.not_before } else { Instant::NEVER }
    }

    pub(super) fn granted(&mut self, granted: Granted) {
        self.current = Some(granted);
        self.wanted = false;
        self.outstanding = false;
        self.failures = 0;
    }

    pub(super) fn failed(&mut self, now: Instant, kernel: &mut Kernel) {
        self.outstanding = false;
        self.failures = self.failures.saturating_add(1);
        self.not_before = now + kernel.pause(self.failures);
    }

    /// Raises the epoch (KIP-360); after the last one, the producer needs another id.
    pub(super) fn raise(&mut self) {
        self.current = self.current.and_then(|(id, epoch)| {
            epoch.0.checked_add(1).filter(|e| *e < i16::MAX).map(|e| (id, ProducerEpoch(e)))
        });
    }

    /// Panics if an invariant is broken.
    pub(super) fn check(&self) {
        let Self { idempotent, current, wanted, outstanding, .. } = self;
        assert!(*idempotent || current.is_none(), "not idempotent, but has {current:?}");
        assert!(*idempotent || !wanted, "not idempotent, but asks for an id");
        assert!(!outstanding || *wanted, "an id is asked for that is not wanted");
        if let Some((id, epoch)) = current {
            assert!(id.0 >= 0 && epoch.0 >= 0, "brokers granted {id:?} in {epoch:?}");
        }
    }
}
