//! Expiry of offsets (KIP-211).

use std::time::Duration;

use super::state::{Committed, Offsets};
use super::subscriber::Subscriber;
use crate::base::Timestamp;
use crate::group::GroupId;
use crate::group::record::Record;

impl Offsets {
    /// Adds tombstones for the offsets of a group that have expired: those of topics that it does
    /// not subscribe to, committed or abandoned more than `retention` ago, as the group counts it
    /// (`offsets.retention.minutes`), or past the time that the client named.
    ///
    /// Returns whether the group has no offsets then. It is to be deleted if it also has no members.
    pub fn expire(
        &self,
        id: &GroupId,
        group: Option<&dyn Subscriber>,
        now: Timestamp,
        retention: Duration,
        records: &mut Vec<Record>,
    ) -> bool {
        let mut all_gone = !self.pending.has_group(id.as_str());
        for key in self.committed.keys_of(id) {
            let (topic, partition) = (key.topic.as_str(), key.partition);
            let subscribed = group.is_some_and(|group| group.subscribed_to(topic));
            let expired = !subscribed
                && !self.pending.contains(id.as_str(), topic, partition)
                && self
                    .get(id.as_str(), topic, partition)
                    .is_some_and(|committed| is_expired(committed, group, now, retention));
            if expired {
                records.push(Record::no_offset(key));
            } else {
                all_gone = false;
            }
        }
        all_gone
    }
}

fn is_expired(
    committed: &Committed,
    group: Option<&dyn Subscriber>,
    now: Timestamp,
    retention: Duration,
) -> bool {
    let value = &committed.value;
    // A simple group counts from the commit.
    let since = group.map_or(Some(value.committed), |group| group.expires_since(value.committed));
    match since {
        None => false,
        Some(_) if value.expires != Timestamp::NONE => now >= value.expires,
        Some(since) => {
            let age = now.0.saturating_sub(since.0);
            u64::try_from(age).is_ok_and(|age| Duration::from_millis(age) >= retention)
        }
    }
}
