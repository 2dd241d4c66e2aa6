//! Values that a fault takes: targets, times, numbers and moments, typed or in the words of scenario
//! files.

use std::ops::{Range, RangeInclusive};
use std::time::Duration;

use crate::scenario::{Event, Notation};

/// The target of a fault: a role, the name of a host or program, or several.
///
/// Roles are resolved when the fault strikes: `"leader"`, `"follower"`, `"followers"`,
/// `"isr-follower"`, `"out-of-sync"`, `"any"`, `"all"`, `"minority"`, `"majority"`, `"recovering"`,
/// `"controller"`, `"clients"`, `"everyone"`, `"leader of orders-0"`, `"coordinator of GROUP"`. Names:
/// `"b1"`, `"c1"`, or as a program was called: of several
/// [instances](crate::harness::Simulation::instances) the program's name means one, drawn from the
/// seed, `"app-2"` that one, and `"all of app"` all.
pub struct Target(pub(super) Vec<String>);

impl From<&str> for Target {
    fn from(one: &str) -> Self {
        Self(vec![one.to_owned()])
    }
}

impl From<String> for Target {
    fn from(one: String) -> Self {
        Self(vec![one])
    }
}

impl<const N: usize> From<[&str; N]> for Target {
    fn from(several: [&str; N]) -> Self {
        Self(several.map(str::to_owned).into())
    }
}

/// A time, or a range of which one is drawn from the seed: a [`Duration`], a range of durations with
/// both ends included, or as scenario files write it, `"500ms"` or `"1s..3s"`.
pub struct Times(pub(super) String);

impl From<&str> for Times {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl From<Duration> for Times {
    fn from(time: Duration) -> Self {
        Self(time.show())
    }
}

impl From<Range<Duration>> for Times {
    fn from(range: Range<Duration>) -> Self {
        Self(format!("{}..{}", range.start.show(), range.end.show()))
    }
}

impl From<RangeInclusive<Duration>> for Times {
    fn from(range: RangeInclusive<Duration>) -> Self {
        Self(format!("{}..{}", range.start().show(), range.end().show()))
    }
}

/// A whole number, or a range of which one is drawn from the seed: `3`, `0..40`, `0..=39`, or as
/// scenario files write it, `"0..39"`, where the end is included.
pub struct Numbers(pub(super) String);

impl From<&str> for Numbers {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

/// For each type that a literal may have.
macro_rules! numbers {
    ($($whole:ty)*) => {$(
        impl From<$whole> for Numbers {
            fn from(number: $whole) -> Self {
                Self(number.to_string())
            }
        }

        impl From<Range<$whole>> for Numbers {
            fn from(range: Range<$whole>) -> Self {
                // An empty range is written as one: reading it is refused.
                Self(format!("{}..{}", range.start, i128::from(range.end) - 1))
            }
        }

        impl From<RangeInclusive<$whole>> for Numbers {
            fn from(range: RangeInclusive<$whole>) -> Self {
                Self(format!("{}..{}", range.start(), range.end()))
            }
        }
    )*};
}

numbers!(i32 u32 u64);

/// Something that a fault can wait for, from when it is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Moment {
    /// The controller commits a new leader of the fault's partition.
    LeaderElected,
    /// The controller commits a smaller ISR of the fault's partition.
    IsrShrunk,
    /// The controller commits a larger ISR of the fault's partition.
    IsrGrown,
    /// A record of the fault's partition is acknowledged to its producer.
    Acknowledged,
    /// A broker or controller boots: until it answers, it recovers its logs.
    Recovery,
    /// A member of any group gives partitions up.
    Rebalance,
}

impl Moment {
    /// The key and the word of scenario files.
    pub(super) fn words(self) -> (&'static str, &'static str) {
        let event = match self {
            Self::LeaderElected => Event::LeaderElected,
            Self::IsrShrunk => Event::IsrShrunk,
            Self::IsrGrown => Event::IsrGrown,
            Self::Acknowledged => Event::Ack,
            Self::Recovery => Event::Recovery,
            Self::Rebalance => Event::Rebalance,
        };
        event.words()
    }
}

/// What a power loss leaves of the data that was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unsynced {
    /// Nothing.
    Lost,
    /// Each page and each change of a name is kept, lost or torn, as the seed draws.
    Drawn,
    /// Whatever a file system that keeps no order may leave.
    Weakest,
    /// Whatever ext4 may leave with `data=ordered`.
    Ext4Ordered,
    /// Everything: the process ends, and its host's page cache is written out.
    Kept,
}

impl Unsynced {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Lost => "nothing",
            Self::Drawn => "drawn",
            Self::Weakest => "weakest",
            Self::Ext4Ordered => "ext4-ordered",
            Self::Kept => "everything",
        }
    }
}
