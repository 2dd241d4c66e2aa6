//! The simulation engines.

#![warn(missing_docs, reason = "in the prelude")]

/// The engines, by name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum EngineKind {
    /// Our own: one queue of events, idle time costs nothing.
    #[default]
    Leap,
    /// The referee: scheduler and TCP written by others. Needs the feature `referee`.
    #[cfg(feature = "referee")]
    Turmoil,
}

impl EngineKind {
    /// The name for `--engine NAME`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Leap => "leap",
            #[cfg(feature = "referee")]
            Self::Turmoil => "turmoil",
        }
    }

    /// How a command names the engine; empty for the default one.
    pub(crate) fn flag(self) -> String {
        if self == Self::default() { String::new() } else { format!(" --engine {}", self.name()) }
    }
}

/// The same expression with the engine of this name as the type `$engine`.
macro_rules! on_engine {
    ($kind:expr, $engine:ident => $does:expr) => {
        match $kind {
            $crate::run::EngineKind::Leap => {
                type $engine = $crate::sim::leap::Leap;
                $does
            }
            #[cfg(feature = "referee")]
            $crate::run::EngineKind::Turmoil => {
                type $engine = $crate::sim::turmoil::Referee;
                $does
            }
        }
    };
}

pub(super) use on_engine;
