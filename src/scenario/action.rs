//! What a fault does.

use std::time::Duration;

use rand_chacha::ChaCha12Rng;

use super::{Range, Roles};
use crate::sim::Survival;
use crate::sim::disk::{Corruption, Failing, Place};

/// What happens.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// The process dies; what it wrote stays in the page cache.
    Kill {
        /// Whose.
        target: Roles,
    },
    /// The machine loses power.
    PowerLoss {
        /// Whose.
        target: Roles,
        /// What becomes of unsynced data.
        survival: Survival,
        /// Just before which disk operation from then on; at once when absent.
        operation: Option<Range<u64>>,
        /// Of several, each comes back so long after the one before; all at once when absent.
        stagger: Option<Range<Duration>>,
    },
    /// The process stops and later goes on, without knowing.
    Pause {
        /// Whose.
        target: Roles,
    },
    /// Bytes don't arrive.
    Partition {
        /// Sent by these…
        from: Roles,
        /// …to these.
        to: Roles,
        /// Whether the other direction still works.
        one_way: bool,
    },
    /// The process is asked to end, and boots again.
    Restart {
        /// Whose.
        target: Roles,
    },
    /// Every broker is restarted, one after the other, each when the one before is back.
    RollingRestart,
    /// Killed again and again, also while it recovers from the time before.
    RestartStorm {
        /// Whose process.
        target: Roles,
        /// How often.
        burst: Burst,
    },
    /// Links that fail and mend and fail again.
    Flapping {
        /// Sent by these…
        from: Roles,
        /// …to these.
        to: Roles,
        /// Whether the other direction works all the time.
        one_way: bool,
        /// How often.
        burst: Burst,
    },
    /// Nodes of a drawn part of the cluster are cut off one after the other, and mended in another
    /// order (FoundationDB's swizzle-clogging).
    SwizzleClog {
        /// From one to the next.
        gap: Range<Duration>,
    },
    /// Bytes arrive late.
    SlowLink {
        /// Sent by these…
        from: Roles,
        /// …to these.
        to: Roles,
        /// Whether the other direction is as fast as ever.
        one_way: bool,
        /// One-way delay, drawn for each segment.
        latency: Range<Duration>,
        /// Bytes per second.
        bandwidth: Option<Range<u64>>,
        /// Percentage of segments that have to be sent again.
        loss: Option<Range<u64>>,
    },
    /// Everything that a disk does takes so many times as long.
    SlowDisk {
        /// Whose.
        target: Roles,
        /// How many times.
        factor: Range<u64>,
    },
    /// Every sync hangs.
    DiskStall {
        /// Whose disk.
        target: Roles,
        /// How long, drawn for each sync.
        stall: Range<Duration>,
    },
    /// Nothing more fits (`ENOSPC`).
    DiskFull {
        /// Whose disk.
        target: Roles,
    },
    /// Operations of one kind fail.
    DiskError {
        /// Whose disk.
        target: Roles,
        /// Which, and how.
        what: Failing,
        /// How many.
        count: Range<u64>,
        /// Only those below this directory, one of `log.dirs`.
        dir: Option<String>,
    },
    /// Syncs succeed, and make nothing durable.
    DiskLies {
        /// Whose disk.
        target: Roles,
    },
    /// Nothing works in one log directory any more (`EIO`).
    DirFailure {
        /// Whose disk.
        target: Roles,
        /// One of `log.dirs`.
        dir: String,
    },
    /// What the platter holds is not what was written.
    Corruption {
        /// Whose disk.
        target: Roles,
        /// In which way.
        what: Corruption,
        /// How many pages.
        pages: Range<u64>,
        /// Of which logs.
        place: Place,
        /// So many brokers are never corrupted, whatever strikes: where data must survive, a copy
        /// has to be left.
        intact: u64,
    },
    /// The date jumps.
    ClockJump {
        /// Whose.
        target: Roles,
        /// How far.
        by: Range<Duration>,
        /// Into the past.
        back: bool,
    },
    /// Time passes at another rate.
    ClockDrift {
        /// Whose.
        target: Roles,
        /// By so many millionths.
        ppm: Range<u64>,
        /// Slower, not faster.
        slow: bool,
    },
}

/// Several strikes in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Burst {
    /// How many.
    pub times: Range<u64>,
    /// From the end of one to the beginning of the next.
    pub gap: Range<Duration>,
}

impl Action {
    /// Of what a rule of this kind is made in a schedule, where that is another kind.
    pub(super) fn made_of(&self) -> Option<&'static str> {
        match self {
            Self::RollingRestart => Some("restart"),
            Self::RestartStorm { .. } => Some("kill"),
            Self::Flapping { .. } | Self::SwizzleClog { .. } => Some("partition"),
            _ => None,
        }
    }

    /// The numbers that a schedule draws before the run, by their keys.
    fn draws(&mut self) -> Vec<(&'static str, &mut Range<u64>)> {
        let one = match self {
            Self::PowerLoss { operation, .. } => {
                operation.as_mut().map(|range| ("operation", range))
            }
            Self::SlowDisk { factor, .. } => Some(("factor", factor)),
            Self::DiskError { count, .. } => Some(("syncs", count)),
            Self::Corruption { pages, .. } => Some(("pages", pages)),
            Self::ClockDrift { ppm, .. } => Some(("ppm", ppm)),
            Self::SlowLink { bandwidth, loss, .. } => {
                let bandwidth = bandwidth.as_mut().map(|range| ("bandwidth", range));
                let loss = loss.as_mut().map(|range| ("loss", range));
                return bandwidth.into_iter().chain(loss).collect();
            }
            _ => None,
        };
        one.into_iter().collect()
    }

    /// The first key that is still a range though a schedule should have drawn it.
    pub(super) fn undrawn(&self) -> Option<&'static str> {
        let mut action = self.clone();
        let numbers = action.draws().into_iter();
        let key = numbers.filter(|(_, range)| range.low != range.high).map(|(key, _)| key).next();
        let jumps = matches!(self, Self::ClockJump { by, .. } if by.low != by.high);
        let staggers = matches!(self, Self::PowerLoss { stagger: Some(s), .. } if s.low != s.high);
        key.or(jumps.then_some("by")).or(staggers.then_some("stagger"))
    }

    /// The same with one value in the place of each range that is drawn before the run.
    pub(crate) fn drawn(&self, random: &mut ChaCha12Rng) -> Self {
        let mut action = self.clone();
        for (_, range) in action.draws() {
            *range = Range::just(range.draw(random));
        }
        if let Self::ClockJump { by, .. } = &mut action {
            *by = Range::just(by.draw(random));
        }
        if let Self::PowerLoss { stagger: Some(stagger), .. } = &mut action {
            *stagger = Range::just(stagger.draw(random));
        }
        action
    }
}
