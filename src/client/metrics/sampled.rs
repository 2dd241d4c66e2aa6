//! Values over a window of time. Source: Kafka's `SampledStat`, `Rate`, `CumulativeSum`.

use std::time::Duration;

use crate::base::Instant;

/// Kafka's default of `metrics.sample.window.ms`.
const WINDOW: Duration = Duration::from_secs(30);

/// Kafka's default of `metrics.num.samples`.
const SAMPLES: usize = 2;

/// What one window saw.
#[derive(Clone, Copy, Debug)]
struct Sample {
    began: Instant,
    count: u64,
    sum: f64,
    min: f64,
    max: f64,
}

impl Sample {
    fn new(began: Instant) -> Self {
        Self { began, count: 0, sum: 0.0, min: f64::INFINITY, max: f64::NEG_INFINITY }
    }
}

/// The values of the last minute, in two samples of 30 s.
#[derive(Clone, Debug, Default)]
pub(in crate::client) struct Sampled {
    /// The newest last.
    samples: Vec<Sample>,
}

impl Sampled {
    pub(in crate::client) fn record(&mut self, now: Instant, value: f64) {
        let is_full = |sample: &Sample| now.since(sample.began) >= WINDOW;
        if self.samples.last().is_none_or(is_full) {
            if self.samples.len() == SAMPLES {
                self.samples.remove(0);
            }
            self.samples.push(Sample::new(now));
        }
        if let Some(sample) = self.samples.last_mut() {
            sample.count += 1;
            sample.sum += value;
            sample.min = sample.min.min(value);
            sample.max = sample.max.max(value);
        }
    }

    /// The samples that are not too old.
    fn current(&self, now: Instant) -> impl Iterator<Item = &Sample> {
        let length = WINDOW * SAMPLES as u32;
        self.samples.iter().filter(move |sample| now.since(sample.began) < length)
    }

    fn sum(&self, now: Instant) -> f64 {
        self.current(now).map(|sample| sample.sum).sum()
    }

    fn count(&self, now: Instant) -> f64 {
        self.current(now).map(|sample| sample.count).sum::<u64>() as f64
    }

    pub(in crate::client) fn avg(&self, now: Instant) -> f64 {
        let count = self.count(now);
        if count == 0.0 { f64::NAN } else { self.sum(now) / count }
    }

    pub(in crate::client) fn max(&self, now: Instant) -> f64 {
        self.current(now).map(|sample| sample.max).reduce(f64::max).unwrap_or(f64::NAN)
    }

    pub(in crate::client) fn min(&self, now: Instant) -> f64 {
        self.current(now).map(|sample| sample.min).reduce(f64::min).unwrap_or(f64::NAN)
    }

    /// The time over which a rate is taken: all windows but the last count in full, so that the first
    /// events do not look like a burst.
    fn span(&self, now: Instant) -> Duration {
        let oldest = self.current(now).map(|sample| sample.began).min().unwrap_or(now);
        let elapsed = now.since(oldest);
        if elapsed < WINDOW { elapsed + WINDOW } else { elapsed }
    }

    /// Values summed per second.
    pub(in crate::client) fn rate(&self, now: Instant) -> f64 {
        self.sum(now) / self.span(now).as_secs_f64()
    }

    /// Events per second.
    pub(in crate::client) fn event_rate(&self, now: Instant) -> f64 {
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
    pub(in crate::client) fn add(&mut self, now: Instant, value: f64) {
        self.total += value;
        self.recent.record(now, value);
    }

    /// The increase per second.
    pub(in crate::client) fn rate(&self, now: Instant) -> f64 {
        self.recent.rate(now)
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
    pub(in crate::client) fn record(&mut self, now: Instant, took: Duration) {
        let millis = took.as_secs_f64() * 1_000.0;
        self.count += 1;
        self.total_ms += millis;
        self.recent.record(now, millis);
    }

    pub(in crate::client) fn avg(&self, now: Instant) -> f64 {
        self.recent.avg(now)
    }

    pub(in crate::client) fn max(&self, now: Instant) -> f64 {
        self.recent.max(now)
    }

    /// Events per second.
    pub(in crate::client) fn rate(&self, now: Instant) -> f64 {
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
    pub(in crate::client) fn set(&mut self, now: Instant, value: f64) {
        self.last = value;
        self.recent.record(now, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::from_secs(seconds)
    }

    #[test]
    fn averages_and_maxima_forget_what_is_older_than_a_minute() {
        let mut sampled = Sampled::default();
        assert!(sampled.avg(at(1)).is_nan() && sampled.max(at(1)).is_nan());
        sampled.record(at(100), 10.0);
        sampled.record(at(120), 20.0);
        sampled.record(at(140), 60.0);
        assert_eq!((sampled.avg(at(141)), sampled.max(at(141))), (30.0, 60.0));
        assert_eq!(sampled.min(at(141)), 10.0);
        // The first sample began at 100 s, the second at 140 s.
        assert_eq!(sampled.avg(at(160)), 60.0);
        assert!(sampled.avg(at(200)).is_nan());
    }

    #[test]
    fn third_window_replaces_the_first() {
        let mut sampled = Sampled::default();
        for (second, value) in [(0, 1.0), (30, 2.0), (59, 3.0), (60, 4.0)] {
            sampled.record(at(second), value);
        }
        assert_eq!((sampled.min(at(60)), sampled.max(at(60))), (2.0, 4.0));
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
    fn latencies_are_counted_in_milliseconds() {
        let mut latency = Latency::default();
        latency.record(at(100), Duration::from_micros(1_500));
        latency.record(at(100), Duration::from_millis(3));
        assert_eq!((latency.count, latency.total_ms), (2, 4.5));
        assert_eq!((latency.avg(at(101)), latency.max(at(101))), (2.25, 3.0));
    }
}
