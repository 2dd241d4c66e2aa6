//! The simulation engines.

#![warn(missing_docs, reason = "in the prelude")]

/// The engines, by name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum EngineKind {
    /// Our own: one queue of events, idle time costs nothing.
    #[default]
    Leap,
    /// The referee: scheduler and TCP written by others.
    Turmoil,
}

impl EngineKind {
    /// The name for `--engine NAME`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Leap => "leap",
            Self::Turmoil => "turmoil",
        }
    }
}
