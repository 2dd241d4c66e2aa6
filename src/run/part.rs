//! The part of a user's program in a run.

/// When a program is expected to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// It ends by itself.
    Client,
    /// It runs until it is asked to end.
    Service,
    /// Faults continue until it ends. It is outside the cluster: no fault strikes it.
    Driver,
}
