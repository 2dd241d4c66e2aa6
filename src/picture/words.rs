//! Plain words for the parts of a story.

use std::time::Duration;

use crate::base::Instant;
use crate::base::config::Acks;

/// The acknowledgement that a producer waits for.
pub(super) fn acks(acks: Acks) -> &'static str {
    match acks {
        Acks::None => "waits for no replica (acks=0)",
        Acks::Leader => "waits for the leader alone (acks=1)",
        Acks::All => "waits for every in-sync replica (acks=all)",
    }
}

/// `s` for one, nothing for several: `b1 loses`, `b1 and b2 lose`.
pub(super) fn s(count: usize) -> &'static str {
    if count == 1 { "s" } else { "" }
}

/// `copy` or `copies`.
pub(super) fn copies(count: usize) -> &'static str {
    if count == 1 { "copy" } else { "copies" }
}

/// A moment, as reports write it.
pub(super) fn seconds(at: Instant) -> String {
    format!("{:.3} s", at.as_secs_f64())
}

/// A time, with as many digits as matter: `12 ms`, `3.25 s`.
pub(super) fn lasting(time: Duration) -> String {
    match time.as_millis() {
        0..1000 => format!("{} ms", time.as_millis()),
        1000.. => format!("{:.2} s", time.as_secs_f64()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verbs_follow_the_number_of_names() {
        assert_eq!(format!("lose{}", s(1)), "loses");
        assert_eq!(format!("lose{}", s(2)), "lose");
    }

    #[test]
    fn durations_have_as_many_digits_as_matter() {
        assert_eq!(lasting(Duration::from_micros(12_900)), "12 ms");
        assert_eq!(lasting(Duration::from_millis(3_254)), "3.25 s");
    }
}
