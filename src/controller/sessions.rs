//! Which brokers were heard of lately. Not in the log: heartbeats are too frequent for that.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::base::{BrokerEpoch, BrokerId, Instant, Offset};
use crate::decide::Timers;

/// What the last heartbeat of a registration left behind.
#[derive(Clone, Copy, Debug)]
struct Session {
    epoch: BrokerEpoch,
    end: Instant,
    /// How far the broker has read the metadata.
    metadata: Offset,
}

/// The sessions of brokers with the active controller.
#[derive(Debug)]
pub(super) struct Sessions {
    timeout: Duration,
    active_since: Instant,
    last: BTreeMap<BrokerId, Session>,
    /// When the session of each broker ends, until that has been dealt with.
    ends: Timers<BrokerId>,
}

impl Sessions {
    pub(super) fn new(now: Instant, timeout: Duration) -> Self {
        Self { timeout, active_since: now, last: BTreeMap::new(), ends: Timers::default() }
    }

    /// The controller became active. It knows nothing of earlier heartbeats, so each of these
    /// brokers has a whole session timeout to send one.
    pub(super) fn activated(&mut self, now: Instant, alive: impl Iterator<Item = BrokerId>) {
        self.clear();
        self.active_since = now;
        for broker in alive {
            self.ends.set(broker, now + self.timeout);
        }
    }

    pub(super) fn clear(&mut self) {
        self.last.clear();
        self.ends.clear();
    }

    /// A heartbeat of this registration arrived.
    pub(super) fn heard(
        &mut self,
        now: Instant,
        broker: BrokerId,
        epoch: BrokerEpoch,
        metadata: Offset,
    ) {
        let end = now + self.timeout;
        self.last.insert(broker, Session { epoch, end, metadata });
        self.ends.set(broker, end);
    }

    /// The session of this registration is over, whatever the clock says.
    pub(super) fn ended(&mut self, broker: BrokerId, epoch: BrokerEpoch) {
        let session = Session { epoch, end: Instant::START, metadata: Offset::NONE };
        self.last.insert(broker, session);
        self.ends.set(broker, session.end);
    }

    /// The end of a session was dealt with.
    pub(super) fn expired(&mut self, broker: BrokerId) {
        self.ends.cancel(&broker);
    }

    /// Whether the session of a registration continues.
    pub(super) fn lasts(&self, now: Instant, broker: BrokerId, epoch: BrokerEpoch) -> bool {
        let end = self.of(broker, epoch).map(|session| session.end);
        now < end.unwrap_or(self.active_since + self.timeout)
    }

    /// Whether a registration was heard of, and lately.
    pub(super) fn is_heard_of(&self, now: Instant, broker: BrokerId, epoch: BrokerEpoch) -> bool {
        self.of(broker, epoch).is_some_and(|session| now < session.end)
    }

    /// How far a registration has read the metadata, if it was heard of.
    pub(super) fn metadata(&self, broker: BrokerId, epoch: BrokerEpoch) -> Option<Offset> {
        self.of(broker, epoch).map(|session| session.metadata)
    }

    fn of(&self, broker: BrokerId, epoch: BrokerEpoch) -> Option<&Session> {
        self.last.get(&broker).filter(|session| session.epoch == epoch)
    }

    /// When the next session ends, unless its broker is heard of before.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.ends.deadline()
    }

    /// Brokers whose session has ended, in order of their ids.
    pub(super) fn overdue(&self, now: Instant) -> Vec<BrokerId> {
        let mut overdue: Vec<_> = self.ends.expired(now).copied().collect();
        overdue.sort_unstable();
        overdue
    }

    pub(super) fn check(&self) {
        self.ends.check();
        for (broker, session) in &self.last {
            let timer = self.ends.get(broker);
            assert!(
                timer.is_none_or(|timer| timer == session.end),
                "session of broker {broker} ends at {}, its timer is set to {timer:?}",
                session.end
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(9);
    const ONE: BrokerId = BrokerId(1);

    fn at(seconds: u64) -> Instant {
        Instant::from_secs(seconds)
    }

    #[test]
    fn broker_not_heard_of_since_takeover_has_one_whole_timeout() {
        let mut sessions = Sessions::new(at(0), TIMEOUT);
        sessions.activated(at(100), [ONE].into_iter());
        assert_eq!(sessions.deadline(), Some(at(109)));
        assert!(sessions.lasts(at(108), ONE, BrokerEpoch(5)));
        assert!(!sessions.lasts(at(109), ONE, BrokerEpoch(5)));
        assert_eq!(sessions.overdue(at(109)), [ONE]);
        sessions.expired(ONE);
        assert_eq!(sessions.deadline(), None);
    }

    #[test]
    fn heartbeat_moves_the_deadline_of_its_registration_only() {
        let mut sessions = Sessions::new(at(0), TIMEOUT);
        sessions.activated(at(100), [ONE].into_iter());
        sessions.heard(at(105), ONE, BrokerEpoch(5), Offset(7));
        sessions.check();
        assert_eq!(sessions.deadline(), Some(at(114)));
        assert!(sessions.lasts(at(113), ONE, BrokerEpoch(5)));
        assert!(!sessions.lasts(at(113), ONE, BrokerEpoch(6)), "another start of the broker");
        assert_eq!(sessions.metadata(ONE, BrokerEpoch(5)), Some(Offset(7)));
        assert_eq!(sessions.metadata(ONE, BrokerEpoch(6)), None);
        sessions.ended(ONE, BrokerEpoch(5));
        sessions.check();
        assert_eq!(sessions.overdue(at(105)), [ONE]);
    }
}
