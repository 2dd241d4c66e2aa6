//! The small notations of a scenario: durations, rates, and ranges that a seed draws from.

use std::fmt;
use std::time::Duration;

use rand::RngExt;
use rand_chacha::ChaCha12Rng;

/// A value of a scenario as a person writes it, and writes it back.
pub trait Notation: Sized {
    /// What is expected, for a message.
    const EXPECTED: &'static str;
    /// Reads it; `None` when it is something else.
    fn read(text: &str) -> Option<Self>;
    /// Writes it so that `read` gives it back.
    fn show(&self) -> String;
}

impl Notation for u64 {
    const EXPECTED: &'static str = "a whole number such as `3`";

    fn read(text: &str) -> Option<Self> {
        let digits = text.replace('_', "");
        digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

/// Units from the longest, so that writing picks the longest that divides.
const UNITS: [(&str, u64); 6] = [
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

impl Notation for Duration {
    const EXPECTED: &'static str = "a duration such as `500ms`, `1.5s` or `2m`";

    fn read(text: &str) -> Option<Self> {
        let unit_at = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, unit) = text.split_at(unit_at);
        let (_, nanos) = UNITS.iter().find(|(name, _)| *name == unit)?;
        let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
        let whole: u64 = whole.parse().ok()?;
        let digits = u32::try_from(fraction.len()).ok().filter(|d| (1..=9).contains(d))?;
        let fraction: u64 = fraction.parse().ok()?;
        let part = u128::from(fraction) * u128::from(*nanos) / 10u128.pow(digits);
        let total = u128::from(whole) * u128::from(*nanos) + part;
        u64::try_from(total).ok().map(Self::from_nanos)
    }

    fn show(&self) -> String {
        let nanos = u64::try_from(self.as_nanos()).unwrap_or(u64::MAX);
        if nanos == 0 {
            return "0s".into();
        }
        let (unit, size) = UNITS.iter().find(|(_, size)| nanos % size == 0).unwrap_or(&UNITS[5]);
        format!("{}{unit}", nanos / size)
    }
}

/// How often something is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rate {
    /// Times…
    pub count: u64,
    /// …in this long.
    pub per: Duration,
}

impl Rate {
    /// The time from one to the next, when `shares` do it together.
    pub fn interval(self, shares: u64) -> Duration {
        let nanos = self.per.as_nanos() * u128::from(shares.max(1));
        let each = nanos / u128::from(self.count.max(1));
        Duration::from_nanos(u64::try_from(each).unwrap_or(u64::MAX))
    }
}

impl Notation for Rate {
    const EXPECTED: &'static str = "a rate such as `500/s` or `30/m`";

    fn read(text: &str) -> Option<Self> {
        let (count, unit) = text.split_once('/')?;
        let count = u64::read(count.trim()).filter(|count| *count > 0)?;
        let (_, nanos) = UNITS.iter().find(|(name, _)| *name == unit.trim())?;
        Some(Self { count, per: Duration::from_nanos(*nanos) })
    }

    fn show(&self) -> String {
        let unit = UNITS.iter().find(|(_, size)| u128::from(*size) == self.per.as_nanos());
        format!("{}/{}", self.count, unit.map_or("s", |(name, _)| name))
    }
}

/// One value, or `low..high` with both ends included: drawn from the seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range<T> {
    /// The smallest.
    pub low: T,
    /// The largest.
    pub high: T,
}

impl<T: Copy> Range<T> {
    /// Exactly this.
    pub const fn just(value: T) -> Self {
        Self { low: value, high: value }
    }
}

impl<T: Notation + PartialOrd + Copy> Range<T> {
    /// Reads `value` or `low..high`; the error says what would be right.
    pub fn read(text: &str) -> Result<Self, String> {
        let expected = || format!("expected {}, or a range `low..high` of such", T::EXPECTED);
        let Some((low, high)) = text.split_once("..") else {
            return T::read(text.trim()).map(Self::just).ok_or_else(expected);
        };
        let low = T::read(low.trim()).ok_or_else(expected)?;
        let high = T::read(high.trim()).ok_or_else(expected)?;
        if high < low {
            return Err("a range begins with its smaller end".into());
        }
        Ok(Self { low, high })
    }
}

impl<T: Notation + PartialEq> fmt::Display for Range<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.low == self.high {
            f.write_str(&self.low.show())
        } else {
            write!(f, "{}..{}", self.low.show(), self.high.show())
        }
    }
}

impl Range<u64> {
    /// A value of the range. Always one draw, so that an edited range shifts nothing after it.
    pub fn draw(self, random: &mut ChaCha12Rng) -> u64 {
        random.random_range(self.low..=self.high)
    }
}

impl Range<Duration> {
    /// A value of the range, to the millisecond where the range is wide enough for that.
    pub fn draw(self, random: &mut ChaCha12Rng) -> Duration {
        let nanos = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let (low, high) = (nanos(self.low), nanos(self.high));
        let drawn = random.random_range(low..=high);
        let rounded = drawn - drawn % 1_000_000;
        Duration::from_nanos(if rounded >= low { rounded } else { drawn })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Seed, Stream};

    #[test]
    fn durations_round_trip() {
        for text in ["500ms", "60s", "2m", "1500us", "0s", "7ns", "3h"] {
            let read = Duration::read(text).unwrap();
            assert_eq!(Duration::read(&read.show()), Some(read), "{text}");
        }
        assert_eq!(Duration::read("1.5s"), Some(Duration::from_millis(1500)));
        assert_eq!(Duration::from_secs(90).show(), "90s");
        for wrong in ["", "5", "s", "5 s", "-5s", "1.s", ".5s", "5sec", "1.0000000001s"] {
            assert_eq!(Duration::read(wrong), None, "{wrong}");
        }
        assert_eq!(Duration::read("99999999999999h"), None);
    }

    #[test]
    fn rate_is_shared_among_clients() {
        let rate = Rate::read("500/s").unwrap();
        assert_eq!(rate.interval(4), Duration::from_millis(8));
        assert_eq!(rate.show(), "500/s");
        assert_eq!(Rate::read("0/s"), None);
        assert_eq!(Rate::read("500"), None);
        assert_eq!(Rate::read("5/x"), None);
    }

    #[test]
    fn range_draws_include_both_ends() {
        let range = Range::<u64>::read("3..5").unwrap();
        let mut random = Seed(1).stream(Stream::named("test"));
        let drawn: std::collections::BTreeSet<_> =
            (0..100).map(|_| range.draw(&mut random)).collect();
        assert_eq!(drawn.into_iter().collect::<Vec<_>>(), [3, 4, 5]);
        assert_eq!(Range::<Duration>::read("5s..15s").unwrap().to_string(), "5s..15s");
        assert!(Range::<u64>::read("5..3").unwrap_err().contains("smaller end"));
        assert!(Range::<Duration>::read("5..15s").unwrap_err().contains("`500ms`"));
    }
}
