//! A host's clocks: how true simulated time looks to the host.

use parking_lot::Mutex;

use crate::base::{Instant, Timestamp};

/// The date at which every simulation starts, in milliseconds since 1970.
pub(crate) const EPOCH_MS: i64 = 1_700_000_000_000;

const MILLION: i128 = 1_000_000;

/// A monotonic clock that may run fast or slow, and a wall clock that may be wrong.
#[derive(Debug, Default)]
pub(crate) struct HostClock {
    setting: Mutex<Setting>,
}

/// A clock setting, valid from the true time `truth`, at which the monotonic clock showed `local`.
#[derive(Clone, Copy, Debug, Default)]
struct Setting {
    truth: u64,
    local: u64,
    offset_ms: i64,
    drift_ppm: i32,
}

impl HostClock {
    /// The monotonic clock's reading at a true time.
    pub fn local(&self, truth: Instant) -> Instant {
        let setting = *self.setting.lock();
        if setting.drift_ppm == 0 {
            return Instant(setting.local + truth.0.saturating_sub(setting.truth));
        }
        let passed = i128::from(truth.0.saturating_sub(setting.truth));
        let shown = passed * (MILLION + i128::from(setting.drift_ppm)) / MILLION;
        Instant(clamp(i128::from(setting.local) + shown))
    }

    /// The first true time at which the monotonic clock shows `local`.
    pub fn truth(&self, local: Instant) -> Instant {
        if local == Instant::NEVER {
            return Instant::NEVER;
        }
        let setting = *self.setting.lock();
        let ahead = local.0.saturating_sub(setting.local);
        if setting.drift_ppm == 0 {
            return Instant(setting.truth.saturating_add(ahead));
        }
        let rate = MILLION + i128::from(setting.drift_ppm);
        let passes = (i128::from(ahead) * MILLION + rate - 1) / rate;
        Instant(clamp(i128::from(setting.truth) + passes))
    }

    /// The host's wall clock at a true time.
    pub fn wall(&self, truth: Instant) -> Timestamp {
        let offset_ms = self.setting.lock().offset_ms;
        let passed_ms = i64::try_from(truth.0 / 1_000_000).unwrap_or(i64::MAX);
        Timestamp(EPOCH_MS.saturating_add(passed_ms).saturating_add(offset_ms))
    }

    /// Changes both clocks from `now` on. The monotonic clock does not jump.
    pub fn set(&self, now: Instant, offset_ms: i64, drift_ppm: i32) {
        let local = self.local(now).0;
        // A clock that stops or runs backwards would make waiting meaningless.
        let drift_ppm = drift_ppm.clamp(-900_000, 9_000_000);
        *self.setting.lock() = Setting { truth: now.0, local, offset_ms, drift_ppm };
    }
}

fn clamp(nanos: i128) -> u64 {
    u64::try_from(nanos).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drifting_clock_never_jumps_and_meets_deadlines_exactly() {
        let clock = HostClock::default();
        assert_eq!(clock.local(Instant::from_secs(3)), Instant::from_secs(3));
        clock.set(Instant::from_secs(10), 0, 100_000);
        assert_eq!(clock.local(Instant::from_secs(10)), Instant::from_secs(10));
        assert_eq!(clock.local(Instant::from_secs(20)), Instant::from_secs(21));
        for nanos in [10_000_000_001, 12_345_678_901, 99_999_999_999] {
            let truth = clock.truth(Instant(nanos));
            assert!(clock.local(truth) >= Instant(nanos));
            assert!(clock.local(Instant(truth.0 - 1)) < Instant(nanos));
        }
        clock.set(Instant::from_secs(20), 0, 0);
        assert_eq!(clock.local(Instant::from_secs(21)), Instant::from_secs(22));
    }

    #[test]
    fn a_wrong_date_does_not_touch_the_monotonic_clock() {
        let clock = HostClock::default();
        clock.set(Instant::from_secs(1), -5_000, 0);
        assert_eq!(clock.local(Instant::from_secs(2)), Instant::from_secs(2));
        assert_eq!(clock.wall(Instant::from_secs(2)), Timestamp(EPOCH_MS - 3_000));
    }

    #[test]
    fn never_stays_never() {
        let clock = HostClock::default();
        clock.set(Instant::from_secs(1), 0, 5_000);
        assert_eq!(clock.truth(Instant::NEVER), Instant::NEVER);
    }
}
