//! Values over a window of time. Source: Kafka's `SampledStat`, `Rate`, `CumulativeSum`.

use std::time::Duration;

use crate::base::Instant;

/// How values are sampled.
#[derive(Clone, Copy, Debug)]
pub(in crate::client) struct Sampling {
    /// `metrics.num.samples`: how many samples count.
    samples: usize,
    /// `metrics.sample.window.ms`: how long a sample collects values.
    window: Duration,
}

impl Sampling {
    pub(in crate::client) fn new(samples: usize, window: Duration) -> Self {
        Self { samples, window }
    }

    /// This time, for a client that samples so.
    pub(in crate::client) fn at(self, time: Instant) -> Now {
        Now { time, sampling: self }
    }

    /// A sample without a new value for this long no longer counts.
    fn expiry(self) -> Duration {
        self.window.saturating_mul(u32::try_from(self.samples).unwrap_or(u32::MAX))
    }
}

/// A time, and how values are sampled.
#[derive(Clone, Copy, Debug)]
pub(in crate::client) struct Now {
    pub(in crate::client) time: Instant,
    sampling: Sampling,
}

/// What one window saw.
#[derive(Clone, Copy, Debug)]
struct Sample {
    began: Instant,
    last: Instant,
    count: u64,
    sum: f64,
    min: f64,
    max: f64,
}

impl Sample {
    fn new(now: Instant) -> Self {
        let (min, max) = (f64::INFINITY, f64::NEG_INFINITY);
        Self { began: now, last: now, count: 0, sum: 0.0, min, max }
    }
}

/// The values of the last samples. One more than count is kept: it overlaps the beginning of the time
/// that is measured.
#[derive(Clone, Debug, Default)]
pub(in crate::client) struct Sampled {
    /// The newest last.
    samples: Vec<Sample>,
}

impl Sampled {
    pub(in crate::client) fn record(&mut self, now: Now, value: f64) {
        let Now { time, sampling } = now;
        let is_full = |sample: &Sample| time.since(sample.began) >= sampling.window;
        if self.samples.last().is_none_or(is_full) {
            if self.samples.len() > sampling.samples {
                self.samples.remove(0);
            }
            self.samples.push(Sample::new(time));
        }
        if let Some(sample) = self.samples.last_mut() {
            sample.last = time;
            sample.count += 1;
            sample.sum += value;
            sample.min = sample.min.min(value);
            sample.max = sample.max.max(value);
        }
    }

    /// The samples that are not too old.
    fn current(&self, now: Now) -> impl Iterator<Item = &Sample> {
        let expiry = now.sampling.expiry();
        self.samples.iter().filter(move |sample| now.time.since(sample.last) < expiry)
    }

    fn sum(&self, now: Now) -> f64 {
        self.current(now).map(|sample| sample.sum).sum()
    }

    fn count(&self, now: Now) -> f64 {
        self.current(now).map(|sample| sample.count).sum::<u64>() as f64
    }

    pub(in crate::client) fn avg(&self, now: Now) -> f64 {
        let count = self.count(now);
        if count == 0.0 { f64::NAN } else { self.sum(now) / count }
    }

    pub(in crate::client) fn max(&self, now: Now) -> f64 {
        self.current(now).map(|sample| sample.max).reduce(f64::max).unwrap_or(f64::NAN)
    }

    pub(in crate::client) fn min(&self, now: Now) -> f64 {
        self.current(now).map(|sample| sample.min).reduce(f64::min).unwrap_or(f64::NAN)
    }

    /// The time over which a rate is taken: all windows but the last count in full, so that the first
    /// events do not look like a burst.
    fn span(&self, now: Now) -> Duration {
        let Sampling { samples, window } = now.sampling;
        let oldest = self.current(now).map(|sample| sample.began).min().unwrap_or(now.time);
        let elapsed = now.time.since(oldest);
        let full = elapsed.as_nanos().checked_div(window.as_nanos()).unwrap_or(u128::MAX);
        let missing = (samples.saturating_sub(1) as u128).saturating_sub(full);
        let missing = window.saturating_mul(u32::try_from(missing).unwrap_or(u32::MAX));
        elapsed.saturating_add(missing).max(Duration::from_millis(1))
    }

    /// Values summed per second.
    pub(in crate::client) fn rate(&self, now: Now) -> f64 {
        self.sum(now) / self.span(now).as_secs_f64()
    }

    /// Events per second.
    pub(in crate::client) fn event_rate(&self, now: Now) -> f64 {
        self.count(now) / self.span(now).as_secs_f64()
    }
}

/// A total, and its rate.
#[derive(Clone, Debug, Default)]
pub(in crate::client) struct Count {
    pub(in crate::client) total: f64,
    recent: Sampled,
}

impl Count {
    pub(in crate::client) fn add(&mut self, now: Now, value: f64) {
        self.total += value;
        self.recent.record(now, value);
    }

    /// The increase per second.
    pub(in crate::client) fn rate(&self, now: Now) -> f64 {
        self.recent.rate(now)
    }

    /// The average increase at a time.
    pub(in crate::client) fn avg(&self, now: Now) -> f64 {
        self.recent.avg(now)
    }
}

/// Times that something took, in milliseconds, and how often it happened.
#[derive(Clone, Debug, Default)]
pub(in crate::client) struct Latency {
    pub(in crate::client) count: u64,
    pub(in crate::client) total_ms: f64,
    recent: Sampled,
}

impl Latency {
    pub(in crate::client) fn record(&mut self, now: Now, took: Duration) {
        let millis = took.as_secs_f64() * 1_000.0;
        self.count += 1;
        self.total_ms += millis;
        self.recent.record(now, millis);
    }

    pub(in crate::client) fn avg(&self, now: Now) -> f64 {
        self.recent.avg(now)
    }

    pub(in crate::client) fn max(&self, now: Now) -> f64 {
        self.recent.max(now)
    }

    /// Events per second.
    pub(in crate::client) fn rate(&self, now: Now) -> f64 {
        self.recent.event_rate(now)
    }
}

/// A value that goes up and down, and its recent past.
#[derive(Clone, Debug, Default)]
pub(in crate::client) struct Gauge {
    pub(in crate::client) last: f64,
    pub(in crate::client) recent: Sampled,
}

impl Gauge {
    pub(in crate::client) fn set(&mut self, now: Now, value: f64) {
        self.last = value;
        self.recent.record(now, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Now {
        Sampling { samples: 2, window: Duration::from_secs(30) }.at(Instant::from_secs(seconds))
    }

    #[test]
    fn averages_and_maxima_forget_a_sample_without_values_for_a_minute() {
        let mut sampled = Sampled::default();
        assert!(sampled.avg(at(1)).is_nan() && sampled.max(at(1)).is_nan());
        assert_eq!(sampled.rate(at(1)), 0.0);
        sampled.record(at(100), 10.0);
        sampled.record(at(110), 20.0);
        sampled.record(at(140), 60.0);
        assert_eq!((sampled.avg(at(141)), sampled.max(at(141))), (30.0, 60.0));
        assert_eq!(sampled.min(at(141)), 10.0);
        // The first sample had its last value at 110 s, the second at 140 s.
        assert_eq!(sampled.avg(at(169)), 30.0);
        assert_eq!(sampled.avg(at(170)), 60.0);
        assert!(sampled.avg(at(200)).is_nan());
    }

    #[test]
    fn one_sample_more_than_count_is_kept() {
        let mut sampled = Sampled::default();
        for second in [0, 30, 60, 90, 120] {
            sampled.record(at(second), second as f64);
        }
        assert_eq!(sampled.samples.len(), 3);
        assert_eq!((sampled.min(at(120)), sampled.max(at(120))), (90.0, 120.0));
    }

    #[test]
    fn rate_of_the_first_events_is_taken_over_a_whole_window_more() {
        let mut count = Count::default();
        count.add(at(100), 300.0);
        assert_eq!(count.rate(at(100)), 10.0);
        assert_eq!(count.rate(at(120)), 6.0);
        count.add(at(130), 300.0);
        assert_eq!(count.rate(at(140)), 15.0);
        assert_eq!(count.total, 600.0);
    }

    #[test]
    fn number_and_length_of_samples_are_settings() {
        let short = Sampling { samples: 3, window: Duration::from_secs(1) };
        let at = |seconds| short.at(Instant::from_secs(seconds));
        let mut sampled = Sampled::default();
        sampled.record(at(10), 6.0);
        assert_eq!(sampled.rate(at(10)), 3.0, "two windows count in full");
        assert_eq!(sampled.avg(at(12)), 6.0);
        assert!(sampled.avg(at(13)).is_nan());
        let none = Sampling { samples: 1, window: Duration::ZERO }.at(Instant::from_secs(10));
        sampled.record(none, 1.0);
        assert!(sampled.avg(none).is_nan() && sampled.rate(none) == 0.0);
    }

    #[test]
    fn longest_windows_do_not_overflow() {
        let window = Duration::from_millis(i64::MAX.unsigned_abs());
        let longest = Sampling { samples: 3000, window };
        let at = |seconds| longest.at(Instant::from_secs(seconds));
        let mut sampled = Sampled::default();
        sampled.record(at(10), 6.0);
        assert_eq!(sampled.avg(at(20)), 6.0);
        assert!((0.0..1e-9).contains(&sampled.rate(at(20))));
        assert!((0.0..1e-9).contains(&sampled.event_rate(at(20))));
    }

    #[test]
    fn latencies_are_counted_in_milliseconds() {
        let mut latency = Latency::default();
        latency.record(at(100), Duration::from_micros(1_500));
        latency.record(at(100), Duration::from_millis(3));
        assert_eq!((latency.count, latency.total_ms), (2, 4.5));
        assert_eq!((latency.avg(at(101)), latency.max(at(101))), (2.25, 3.0));
    }
}
