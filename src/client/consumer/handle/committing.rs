//! A commit under way.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::sync::oneshot;

use crate::client::ConsumeError;

/// The outcome of a commit, as soon as there is one. Dropped, the commit continues.
#[derive(Debug)]
pub struct Committing(State);

#[derive(Debug)]
enum State {
    Waiting(oneshot::Receiver<Result<(), ConsumeError>>),
    Refused(ConsumeError),
}

impl Committing {
    pub(super) fn new(outcome: oneshot::Receiver<Result<(), ConsumeError>>) -> Self {
        Self(State::Waiting(outcome))
    }

    pub(super) fn refused(error: ConsumeError) -> Self {
        Self(State::Refused(error))
    }
}

impl Future for Committing {
    type Output = Result<(), ConsumeError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            State::Refused(error) => Poll::Ready(Err(error.clone())),
            // The consumer was dropped.
            State::Waiting(outcome) => Pin::new(outcome)
                .poll(context)
                .map(|outcome| outcome.unwrap_or(Err(ConsumeError::TimedOut))),
        }
    }
}
