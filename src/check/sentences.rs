//! How violations of liveness, and those about nodes rather than records, say themselves.

use std::fmt;

use super::violation::{Seconds, Witness, brokers};

impl Witness {
    pub(super) fn say_of_liveness(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
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
            Self::EndNotReached { since, within, waits } => {
                write!(
                    f,
                    "no final read reached the end within {} s from {}",
                    within.as_secs_f64(),
                    Seconds(*since)
                )?;
                say_who_waits(f, waits)
            }
            Self::MetadataBehind { broker, end, committed, committed_at, up, since, within } => {
                let state = if *up { "" } else { ", which is down," };
                write!(
                    f,
                    "copy of b{broker}{state} ends at offset {end} {} s after {}, though what is below offset {committed} was committed by {}",
                    within.as_secs_f64(),
                    Seconds(*since),
                    Seconds(*committed_at)
                )
            }
            _ => Ok(()),
        }
    }

    pub(super) fn say_of_nodes(&self, f: &mut fmt::Formatter<'_>, at: Seconds) -> fmt::Result {
        match self {
            Self::Stale { broker, key, offset, why } => write!(
                f,
                "compaction on b{broker}: the record of key {key} at offset {offset} {why} at {at}"
            ),
            Self::MetadataDiffers { node, offset, epoch, committed_at, instead } => {
                let committed = Seconds(*committed_at);
                write!(
                    f,
                    "offset {offset} of epoch {epoch} was committed at {committed}; {node} "
                )?;
                match instead {
                    None => write!(f, "lacks it at {at}"),
                    Some(other) => write!(f, "has a record of epoch {other} there at {at}"),
                }
            }
            Self::MetadataUncommitted { broker, offset, epoch, committed } => write!(
                f,
                "offset {offset} of epoch {epoch} is in the copy of b{broker} at {at}; only what is below offset {committed} is committed"
            ),
            Self::TwoControllers { epoch, first, first_at, second } => write!(
                f,
                "epoch {epoch} was begun by controller {first} at {} and by controller {second} at {at}",
                Seconds(*first_at)
            ),
            Self::StaleController { controller, epoch, end, newer, newer_at } => write!(
                f,
                "controller {controller} of epoch {epoch} committed below offset {end} at {at}, though epoch {newer} began at {}",
                Seconds(*newer_at)
            ),
            Self::NotCounted { leader, epoch, counted, committed } => write!(
                f,
                "leader b{leader} of epoch {epoch} counts {} at {at}; {} are in sync for the controller",
                brokers(counted),
                brokers(committed)
            ),
            Self::TrustsUnsynced { broker, valid, position, claims, stale } => {
                write!(
                    f,
                    "log of b{broker} is valid below offset {valid} since the power failed; at {at} it was opened "
                )?;
                match (position, claims, stale) {
                    (_, Some(claims), _) => write!(f, "as one that ends at offset {claims}"),
                    (Some(at), ..) => write!(f, "with bytes that are no batch, at position {at}"),
                    (.., Some(at)) => write!(f, "with an older batch than the last at offset {at}"),
                    (None, None, None) => write!(f, "with what follows a gap"),
                }
            }
            Self::CalledDamaged { broker, offset } => write!(
                f,
                "b{broker} found its log damaged at offset {offset} at {at}, though its disk did nothing \
                 wrong: what a crash leaves is cut"
            ),
            Self::ServedDamaged { consumer, offset } => {
                write!(f, "consumer {consumer} was served bytes at offset {offset} by {at} that ")?;
                f.write_str("fail their checksum")
            }
            Self::HadToSkip { consumer, offset, intact_on } => write!(
                f,
                "consumer {consumer} was refused offset {offset} and read on to the end by {at}, though \
                 b{intact_on} holds it intact"
            ),
            Self::IndexDisagrees { broker, file, entry, says, instead } => {
                write!(
                    f,
                    "entry {entry} of {file} on b{broker} says at {at} that {says}; {instead}"
                )
            }
            _ => Ok(()),
        }
    }
}

fn say_who_waits(f: &mut fmt::Formatter<'_>, waits: &str) -> fmt::Result {
    if waits.is_empty() { Ok(()) } else { write!(f, " ({waits})") }
}
