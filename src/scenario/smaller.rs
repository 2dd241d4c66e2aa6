//! Smaller numbers and earlier times, boldest first: the candidates of shrinking.

use std::time::Duration;

pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const TENTH: Duration = Duration::from_millis(100);
pub(crate) const MILLISECOND: Duration = Duration::from_millis(1);

/// Numbers from `low` on that are less than `value`: the smallest, and ever closer ones.
pub(crate) fn lower(value: u64, low: u64) -> Vec<u64> {
    let span = value.saturating_sub(low);
    let parts = [(0, 1), (1, 8), (1, 4), (1, 2), (3, 4), (7, 8)];
    let part =
        |(part, of): (u64, u64)| low + (u128::from(span) * u128::from(part) / of as u128) as u64;
    let mut values: Vec<u64> = parts.into_iter().map(part).collect();
    values.push(value.saturating_sub(1));
    values.retain(|other| (low..value).contains(other));
    values.dedup();
    values
}

/// Times from `low` on that are less than `value`, in whole multiples of `unit`.
pub(crate) fn earlier(value: Duration, low: Duration, unit: Duration) -> Vec<Duration> {
    let count = |time: Duration| {
        u64::try_from(time.as_nanos() / unit.as_nanos().max(1)).unwrap_or(u64::MAX)
    };
    // What lies between two multiples can still come down to the lower one.
    let whole = count(value) + u64::from(floor(value, unit) < value);
    let lowest = count(low) + u64::from(floor(low, unit) < low);
    let times = lower(whole, lowest).into_iter();
    times.map(|count| unit.saturating_mul(u32::try_from(count).unwrap_or(u32::MAX))).collect()
}

/// The multiple of `unit` at or below a time.
pub(crate) fn floor(time: Duration, unit: Duration) -> Duration {
    let over = time.as_nanos() % unit.as_nanos().max(1);
    time.saturating_sub(Duration::from_nanos(u64::try_from(over).unwrap_or(0)))
}
