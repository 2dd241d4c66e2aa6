//! Answers that leave later than the decision they belong to.

use tokio::sync::oneshot;

/// Who sent a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// `client.id`.
    pub id: String,
    /// Its address as Kafka shows it: `/127.0.0.1`.
    pub host: String,
}

/// The way of an answer to the one who waits for it. Dropped without an answer, it tells the waiter
/// that this coordinator will not answer any more: NOT_COORDINATOR.
#[derive(Debug)]
pub struct Reply<T>(oneshot::Sender<T>);

impl<T> Reply<T> {
    /// The reply, and where it arrives.
    pub fn new() -> (Self, oneshot::Receiver<T>) {
        let (sender, receiver) = oneshot::channel();
        (Self(sender), receiver)
    }

    /// Answers. One who has gone away does not hear it.
    pub fn send(self, answer: T) {
        drop(self.0.send(answer));
    }

    /// Whether no one waits any more.
    pub fn is_abandoned(&self) -> bool {
        self.0.is_closed()
    }
}
