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
}

impl<R, T, E> Decision<R, T, E> {
    /// Appends records and answers.
    pub fn new(records: Vec<R>, response: T) -> Self {
        Self { records, response, effects: Vec::new() }
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
}
