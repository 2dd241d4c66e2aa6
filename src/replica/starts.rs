//! Log starts of the followers, as far as the leader knows them: no replica has records below the
//! lowest. DeleteRecords is answered when it is high enough (KIP-107).

use std::collections::BTreeMap;

use crate::base::{BrokerId, Offset};

/// The followers' log starts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogStarts {
    heard: BTreeMap<BrokerId, Offset>,
}

impl LogStarts {
    /// Followers that have not fetched in this leader epoch.
    pub fn of(followers: impl IntoIterator<Item = BrokerId>) -> Self {
        Self { heard: followers.into_iter().map(|id| (id, Offset::NONE)).collect() }
    }

    /// Records a follower's log start; returns whether it changed. Other brokers are ignored.
    pub fn heard(&mut self, follower: BrokerId, start: Offset) -> bool {
        self.heard.get_mut(&follower).is_some_and(|known| std::mem::replace(known, start) != start)
    }

    /// Whether a follower's log begins at `offset` or before, as far as is known.
    pub fn begins_before(&self, follower: BrokerId, offset: Offset) -> bool {
        self.heard.get(&follower).is_some_and(|start| *start <= offset)
    }

    /// The low watermark: the lowest of the leader's own start and those of live followers. A
    /// follower that is down can't be waited for; it learns of the deletion when it fetches again.
    pub fn low_watermark(&self, own: Offset, lives: impl Fn(BrokerId) -> bool) -> Offset {
        let living = self.heard.iter().filter(|(id, _)| lives(**id));
        living.map(|(_, start)| *start).fold(own, Offset::min)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn low_watermark_waits_for_every_live_follower() {
        let mut starts = LogStarts::of([BrokerId(2), BrokerId(3)]);
        let low =
            |starts: &LogStarts, dead: i32| starts.low_watermark(Offset(10), |id| id.0 != dead);
        assert_eq!(low(&starts, 0), Offset::NONE, "no follower has reported its log start");
        assert!(starts.heard(BrokerId(2), Offset(7)));
        assert!(!starts.heard(BrokerId(2), Offset(7)));
        assert_eq!(low(&starts, 0), Offset::NONE);
        assert_eq!(low(&starts, 3), Offset(7));
        assert!(starts.heard(BrokerId(3), Offset(12)));
        assert!(starts.heard(BrokerId(2), Offset(12)));
        assert_eq!(low(&starts, 0), Offset(10));
        assert!(!starts.heard(BrokerId(9), Offset(1)), "not a replica of this partition");
    }
}
