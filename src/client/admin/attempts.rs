//! How an operation is tried again: purely, by the clock that it is told.

use crate::base::Instant;
use crate::client::AdminError;
use crate::client::kernel::Kernel;
use crate::rpc::RpcError;
use crate::wire::ErrorCode;

/// What an answer means.
#[derive(Debug)]
pub(super) enum Verdict<T> {
    /// It is done.
    Done(T),
    /// It may work later, or elsewhere.
    Again(ErrorCode),
    /// It won't.
    Refused(AdminError),
}

impl<T> Verdict<T> {
    /// What an error means that no operation has its own word for.
    pub(super) fn from_error(error: ErrorCode, message: Option<String>) -> Self {
        // Brokers forward what is for the controller, and may not know it for a while.
        if error.is_retriable() || error == ErrorCode::BrokerNotAvailable {
            Self::Again(error)
        } else {
            Self::Refused(AdminError::Broker { error, message })
        }
    }
}

/// One operation, tried until it is done, refused, or out of time.
#[derive(Debug)]
pub(super) struct Attempts {
    deadline: Instant,
    failures: u32,
    last: String,
    /// An attempt without an answer may have had its effect.
    pub(super) in_doubt: bool,
}

impl Attempts {
    pub(super) fn new(deadline: Instant) -> Self {
        Self { deadline, failures: 0, last: "none".into(), in_doubt: false }
    }

    /// By when everything must be over.
    pub(super) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// A broker asked to try later.
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

    /// There was no answer.
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

    /// When to try again.
    fn failed(
        &mut self,
        now: Instant,
        why: String,
        kernel: &mut Kernel,
    ) -> Result<Instant, AdminError> {
        self.failures = self.failures.saturating_add(1);
        self.last = why;
        let again = now + kernel.pause(self.failures);
        if again < self.deadline {
            Ok(again)
        } else {
            Err(AdminError::TimedOut { last: self.last.clone() })
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::base::{Seed, Stream};
    use crate::client::kernel::Settings;
    use crate::io::Address;
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
    fn it_is_tried_again_until_time_is_out_and_then_says_what_stood_in_the_way() {
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
    fn only_an_attempt_that_may_have_arrived_leaves_a_doubt() {
        let (mut attempts, mut kernel) = attempts();
        let peer: Address = "b1:9092".parse().unwrap();
        let nobody = RpcError::Connect { to: peer.clone(), reason: "refused".into() };
        attempts.lost(Instant::START, nobody, &mut kernel).unwrap();
        attempts.postponed(Instant::START, ErrorCode::NotController, &mut kernel).unwrap();
        assert!(!attempts.in_doubt);
        let lost = RpcError::Disconnected { from: peer, reason: "gone".into(), sent: true };
        attempts.lost(Instant::START, lost, &mut kernel).unwrap();
        assert!(attempts.in_doubt);
    }

    #[test]
    fn a_broker_that_does_not_speak_it_is_not_asked_again() {
        let (mut attempts, mut kernel) = attempts();
        let error = RpcError::Unsupported { by: "b1:9092".parse().unwrap(), request: "Fetch" };
        assert!(attempts.lost(Instant::START, error, &mut kernel).is_err());
    }
}
