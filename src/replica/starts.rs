//! Where the replicas' logs begin, as far as their leader has heard: what is below the least of
//! them is kept nowhere. DeleteRecords is answered when that has come far enough (KIP-107).

use std::collections::BTreeMap;

use crate::base::{BrokerId, Offset};

/// The beginnings of the followers' logs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogStarts {
    heard: BTreeMap<BrokerId, Offset>,
}

impl LogStarts {
    /// Of followers that have said nothing yet in this leader epoch.
    pub fn of(followers: impl IntoIterator<Item = BrokerId>) -> Self {
        Self { heard: followers.into_iter().map(|id| (id, Offset::NONE)).collect() }
    }

    /// A follower said where its log begins; whether that was news. Others are not counted.
    pub fn heard(&mut self, follower: BrokerId, start: Offset) -> bool {
        self.heard.get_mut(&follower).is_some_and(|known| std::mem::replace(known, start) != start)
    }

    /// The low watermark: the least of the leader's own start and those of followers that live.
    /// Who is down can't be waited for; it learns of the deletion when it fetches again.
    pub fn low_watermark(&self, own: Offset, lives: impl Fn(BrokerId) -> bool) -> Offset {
        let living = self.heard.iter().filter(|(id, _)| lives(**id));
        living.map(|(_, start)| *start).fold(own, Offset::min)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_low_watermark_waits_for_every_follower_that_lives() {
        let mut starts = LogStarts::of([BrokerId(2), BrokerId(3)]);
        let low =
            |starts: &LogStarts, dead: i32| starts.low_watermark(Offset(10), |id| id.0 != dead);
        assert_eq!(low(&starts, 0), Offset::NONE, "nobody has said anything");
        assert!(starts.heard(BrokerId(2), Offset(7)));
        assert!(!starts.heard(BrokerId(2), Offset(7)));
        assert_eq!(low(&starts, 0), Offset::NONE);
        assert_eq!(low(&starts, 3), Offset(7));
        assert!(starts.heard(BrokerId(3), Offset(12)));
        assert!(starts.heard(BrokerId(2), Offset(12)));
        assert_eq!(low(&starts, 0), Offset(10));
        assert!(!starts.heard(BrokerId(9), Offset(1)), "no replica of this partition");
    }
}
