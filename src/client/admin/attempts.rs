//! When an operation is retried, and what its answers mean for it; without a clock or a connection.
//!
//! # Calling contract
//!
//! The driver asks a broker, and hands what came back to [`Attempts::judge`] (or an error of one of
//! several brokers to [`Attempts::lost`] or [`Attempts::postponed`]). It asks again at the returned
//! time, and each answer is waited for until [`Attempts::deadline`] at the latest.

use crate::base::Instant;
use crate::client::AdminError;
use crate::client::kernel::Kernel;
use crate::io::Address;
use crate::rpc::RpcError;
use crate::wire::ErrorCode;

/// The meaning of an answer.
#[derive(Debug)]
pub(super) enum Verdict<T> {
    Done(T),
    /// It may work later, or elsewhere.
    Again(ErrorCode),
    /// It won't work.
    Refused(AdminError),
}

impl<T> Verdict<T> {
    /// The meaning of an error that the operation does not treat specially.
    pub(super) fn from_error(error: ErrorCode, message: Option<String>) -> Self {
        // Brokers forward requests to the controller, and may not know it for a while.
        if error.is_retriable() || error == ErrorCode::BrokerNotAvailable {
            Self::Again(error)
        } else {
            Self::Refused(AdminError::Broker { error, message })
        }
    }
}

/// How an operation continues.
#[derive(Debug)]
pub(super) enum Next<T> {
    Over(Result<T, AdminError>),
    /// Ask again at this time.
    Again(Instant),
}

/// One operation, tried until it is done, refused, or out of time.
#[derive(Debug)]
pub(super) struct Attempts {
    deadline: Instant,
    failures: u32,
    /// Why the last attempt failed.
    last: Option<String>,
    /// An attempt without an answer may have had its effect.
    in_doubt: bool,
}

impl Attempts {
    pub(super) fn new(deadline: Instant) -> Self {
        Self { deadline, failures: 0, last: None, in_doubt: false }
    }

    /// When the operation is given up.
    pub(super) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Whether an attempt without an answer may have had its effect.
    pub(super) fn is_in_doubt(&self) -> bool {
        self.in_doubt
    }

    /// Takes the verdict on a broker's answer, or the reason why there is none.
    pub(super) fn judge<T>(
        &mut self,
        now: Instant,
        from: &Address,
        verdict: Result<Verdict<T>, RpcError>,
        kernel: &mut Kernel,
    ) -> Next<T> {
        let again = match verdict {
            Ok(Verdict::Done(value)) => {
                kernel.contact_answered(from);
                return Next::Over(Ok(value));
            }
            Ok(Verdict::Refused(error)) => {
                kernel.contact_answered(from);
                return Next::Over(Err(error));
            }
            Ok(Verdict::Again(error)) => {
                kernel.contact_failed(now, from);
                self.postponed(now, error, kernel)
            }
            Err(error) => {
                kernel.contact_failed(now, from);
                self.lost(now, error, kernel)
            }
        };
        again.map_or_else(|error| Next::Over(Err(error)), Next::Again)
    }

    /// A broker asked to try later. Returns when.
    pub(super) fn postponed(
        &mut self,
        now: Instant,
        error: ErrorCode,
        kernel: &mut Kernel,
    ) -> Result<Instant, AdminError> {
        // The controller may have done what the broker did not hear of in time.
        self.in_doubt |= matches!(error, ErrorCode::RequestTimedOut | ErrorCode::NetworkException);
        self.failed(now, error.to_string(), kernel)
    }

    /// There was no answer. Returns when to try again.
    pub(super) fn lost(
        &mut self,
        now: Instant,
        error: RpcError,
        kernel: &mut Kernel,
    ) -> Result<Instant, AdminError> {
        self.in_doubt |= error.may_have_reached();
        match error {
            error if error.is_final() => Err(AdminError::UnsupportedVersion(error.to_string())),
            error => self.failed(now, error.to_string(), kernel),
        }
    }

    fn failed(
        &mut self,
        now: Instant,
        why: String,
        kernel: &mut Kernel,
    ) -> Result<Instant, AdminError> {
        self.failures = self.failures.saturating_add(1);
        let again = now + kernel.pause(self.failures);
        if again < self.deadline {
            self.last = Some(why);
            if cfg!(debug_assertions) {
                self.check();
                kernel.check();
            }
            Ok(again)
        } else {
            Err(AdminError::TimedOut { last: why })
        }
    }

    /// Panics if an invariant is broken.
    fn check(&self) {
        let Self { failures, last, in_doubt, .. } = self;
        assert_eq!(*failures > 0, last.is_some(), "{failures} failures, the last was {last:?}");
        assert!(!in_doubt || *failures > 0, "in doubt, but no attempt failed");
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::base::{Seed, Stream};
    use crate::client::kernel::Settings;
    use crate::rpc::Backoff;

    fn attempts() -> (Attempts, Kernel) {
        let settings = Settings {
            bootstrap_servers: &["b1:9092".to_owned()],
            backoff: Backoff::new(Duration::from_millis(100), Duration::from_secs(1)),
            metadata_max_age: Duration::from_secs(300),
            may_create: false,
        };
        let random = Seed(1).stream(Stream::named("test"));
        let kernel = Kernel::new(settings, Instant::START, random).unwrap();
        (Attempts::new(Instant::from_secs(60)), kernel)
    }

    #[test]
    fn operation_is_retried_until_its_deadline_and_names_the_obstacle() {
        let (mut attempts, mut kernel) = attempts();
        let mut now = Instant::START;
        let error = loop {
            match attempts.postponed(now, ErrorCode::NotController, &mut kernel) {
                Ok(again) => now = again,
                Err(error) => break error,
            }
        };
        assert!(now > Instant::from_secs(58));
        assert_eq!(error, AdminError::TimedOut { last: "NOT_CONTROLLER".into() });
    }

    #[test]
    fn only_a_request_that_may_have_arrived_leaves_a_doubt() {
        let (mut attempts, mut kernel) = attempts();
        let peer: Address = "b1:9092".parse().unwrap();
        let refused = RpcError::Connect { to: peer.clone(), reason: "refused".into() };
        attempts.lost(Instant::START, refused, &mut kernel).unwrap();
        attempts.postponed(Instant::START, ErrorCode::NotController, &mut kernel).unwrap();
        assert!(!attempts.is_in_doubt());
        let lost = RpcError::Disconnected { from: peer, reason: "gone".into(), sent: true };
        attempts.lost(Instant::START, lost, &mut kernel).unwrap();
        assert!(attempts.is_in_doubt());
    }

    #[test]
    fn unsupported_request_is_not_retried() {
        let (mut attempts, mut kernel) = attempts();
        let error = RpcError::Unsupported { by: "b1:9092".parse().unwrap(), request: "Fetch" };
        assert!(attempts.lost(Instant::START, error, &mut kernel).is_err());
    }
}
