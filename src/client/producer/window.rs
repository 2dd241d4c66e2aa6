//! Averages, maxima and rates over the last minute, as Kafka's clients measure them.
//!
//! Source: Kafka's `SampledStat`, `Avg`, `Max`, `Rate`, and the defaults of `metrics.sample.window.ms`
//! and `metrics.num.samples`.

use std::time::Duration;

use crate::base::Instant;

/// How long a sample collects values.
const SAMPLE: Duration = Duration::from_secs(30);
/// How many samples count. One more is kept: it overlaps the begin of the time that is measured.
const SAMPLES: usize = 2;
/// A sample without a new value for this long no longer counts.
const EXPIRY: Duration = Duration::from_secs(30 * SAMPLES as u64);

#[derive(Clone, Copy, Debug)]
struct Sample {
    begun: Instant,
    last: Instant,
    count: u64,
    sum: f64,
    max: f64,
}

/// The values of the last samples.
#[derive(Clone, Debug, Default)]
pub(super) struct Window {
    samples: Vec<Sample>,
    current: usize,
}

impl Window {
    pub(super) fn record(&mut self, now: Instant, value: f64) {
        let empty = Sample { begun: now, last: now, count: 0, sum: 0.0, max: f64::NEG_INFINITY };
        match self.samples.get(self.current) {
            None => self.samples.push(empty),
            Some(current) if now.since(current.begun) >= SAMPLE => {
                self.current = (self.current + 1) % (SAMPLES + 1);
                match self.samples.get_mut(self.current) {
                    Some(oldest) => *oldest = empty,
                    None => self.samples.push(empty),
                }
            }
            Some(_) => {}
        }
        let sample = &mut self.samples[self.current];
        sample.last = now;
        sample.count += 1;
        sample.sum += value;
        sample.max = sample.max.max(value);
    }

    fn live(&self, now: Instant) -> impl Iterator<Item = &Sample> {
        self.samples.iter().filter(move |sample| now.since(sample.last) < EXPIRY)
    }

    fn sum(&self, now: Instant) -> f64 {
        self.live(now).map(|sample| sample.sum).sum()
    }

    /// The average; NaN without a value.
    pub(super) fn average(&self, now: Instant) -> f64 {
        let count: u64 = self.live(now).map(|sample| sample.count).sum();
        if count == 0 { f64::NAN } else { self.sum(now) / count as f64 }
    }

    /// The largest value; NaN without one.
    pub(super) fn max(&self, now: Instant) -> f64 {
        self.live(now).map(|sample| sample.max).fold(f64::NAN, f64::max)
    }

    /// The sum of the values per second. The time counts from the first value, but is at least one
    /// sample long.
    pub(super) fn rate(&self, now: Instant) -> f64 {
        let begun = self.live(now).map(|sample| sample.begun).min().unwrap_or(now);
        let elapsed = now.since(begun);
        let elapsed = if elapsed < SAMPLE { elapsed + SAMPLE } else { elapsed };
        self.sum(now) / elapsed.as_secs_f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::from_secs(1000 + seconds)
    }

    #[test]
    fn values_are_averaged_over_two_samples_and_expire() {
        let mut window = Window::default();
        assert!(window.average(at(0)).is_nan() && window.max(at(0)).is_nan());
        assert_eq!(window.rate(at(0)), 0.0);
        window.record(at(0), 10.0);
        window.record(at(10), 20.0);
        window.record(at(40), 60.0);
        assert_eq!((window.average(at(40)), window.max(at(40))), (30.0, 60.0));
        // The first sample had its last value at 10 s.
        assert_eq!((window.average(at(69)), window.max(at(69))), (30.0, 60.0));
        assert_eq!(window.average(at(70)), 60.0);
        assert!(window.average(at(100)).is_nan());
    }

    #[test]
    fn rate_counts_from_the_first_value_and_at_least_for_one_sample() {
        let mut window = Window::default();
        window.record(at(0), 90.0);
        // As in Kafka, a sample that is not complete counts as one more.
        assert_eq!(window.rate(at(0)), 3.0);
        assert_eq!(window.rate(at(15)), 2.0);
        window.record(at(30), 90.0);
        assert_eq!(window.rate(at(30)), 6.0);
        assert_eq!(window.rate(at(45)), 4.0);
    }

    #[test]
    fn oldest_sample_is_reused() {
        let mut window = Window::default();
        for sample in 0..5 {
            window.record(at(30 * sample), sample as f64);
        }
        assert_eq!(window.samples.len(), 3);
        assert_eq!(window.average(at(120)), 3.5, "the values of 90 s and 120 s");
    }
}
