//! What a handler returns.

/// The outcome of a request: what to append, what to answer, what to do besides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision<R, T, E> {
    /// Appended as one batch: all of them count, or none.
    pub records: Vec<R>,
    /// Leaves once the records are committed, and everything else that the handler saw.
    pub response: T,
    /// Carried out once the records are appended; they are not replicated.
    pub effects: Vec<E>,
    /// Carried out once the records are committed, before the response leaves.
    pub after: Vec<E>,
}

impl<R, T, E> Decision<R, T, E> {
    /// Appends records and answers.
    pub fn new(records: Vec<R>, response: T) -> Self {
        Self { records, response, effects: Vec::new(), after: Vec::new() }
    }

    /// Answers without changing anything.
    pub fn only(response: T) -> Self {
        Self::new(Vec::new(), response)
    }

    /// Adds an effect.
    #[must_use]
    pub fn with(mut self, effect: E) -> Self {
        self.effects.push(effect);
        self
    }

    /// Adds an effect that waits until the records are committed. A machine that resigns before
    /// drops it.
    #[must_use]
    pub fn then(mut self, effect: E) -> Self {
        self.after.push(effect);
        self
    }

    /// The same decision as one of a machine that is made of several parts.
    pub fn lift<F>(self, lift: impl Fn(E) -> F) -> Decision<R, T, F> {
        Decision {
            records: self.records,
            response: self.response,
            effects: self.effects.into_iter().map(&lift).collect(),
            after: self.after.into_iter().map(&lift).collect(),
        }
    }

    /// The same decision with its response as another message.
    pub fn map<U>(self, map: impl FnOnce(T) -> U) -> Decision<R, U, E> {
        let Self { records, response, effects, after } = self;
        Decision { records, response: map(response), effects, after }
    }

    /// The same decision with another response.
    pub fn answering<U>(self, response: U) -> Decision<R, U, E> {
        Decision { records: self.records, response, effects: self.effects, after: self.after }
    }
}
