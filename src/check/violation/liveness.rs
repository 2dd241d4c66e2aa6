//! Evidence that nothing happened in time. `waits`: what waits for what.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::Seconds;
use crate::base::Instant;

/// Evidence that nothing happened in time. `waits`: what waits for what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum LivenessWitness {
    /// The replicas of a partition did not become equal.
    NotConverged { why: String, healed: Instant, within: Duration, waits: String },
    /// No write was acknowledged.
    NoWrite { attempts: u64, healed: Instant, within: Duration, waits: String },
    /// No write was acknowledged, though everything was there that it takes.
    NoProgress { since: Instant, within: Duration, waits: String },
    /// No final read reached the end.
    EndNotReached { since: Instant, within: Duration, waits: String },
}

impl LivenessWitness {
    /// Writes the rest of the sentence that begins with the subject. `at`: when it was found.
    pub(super) fn say(&self, f: &mut fmt::Formatter<'_>, _at: Seconds) -> fmt::Result {
        match self {
            Self::NotConverged { why, healed, within, waits } => {
                write!(
                    f,
                    "not converged {} s after the heal at {}: {why}",
                    within.as_secs_f64(),
                    Seconds(*healed)
                )?;
                say_who_waits(f, waits)
            }
            Self::NoWrite { attempts, healed, within, waits } => {
                write!(
                    f,
                    "none of {attempts} sends was acknowledged within {} s after the heal at {}",
                    within.as_secs_f64(),
                    Seconds(*healed)
                )?;
                say_who_waits(f, waits)
            }
            Self::NoProgress { since, within, waits } => {
                write!(
                    f,
                    "no acks=all send was acknowledged within {} s from {}, though its leader and \
                     min.insync.replicas are up and connected",
                    within.as_secs_f64(),
                    Seconds(*since)
                )?;
                say_who_waits(f, waits)
            }
            Self::EndNotReached { since, within, waits } => {
                write!(
                    f,
                    "no final read reached the end within {} s from {}",
                    within.as_secs_f64(),
                    Seconds(*since)
                )?;
                say_who_waits(f, waits)
            }
        }
    }
}

fn say_who_waits(f: &mut fmt::Formatter<'_>, waits: &str) -> fmt::Result {
    if waits.is_empty() { Ok(()) } else { write!(f, " ({waits})") }
}
