//! Committed offsets that are asked for: by partitions that begin, and by the application.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::Settings;
use super::commits::CommittedOffset;
use super::request::Request;
use crate::base::{Instant, LeaderEpoch, Offset, TopicPartition};
use crate::client::ConsumeError;
use crate::client::kernel::RequestId;
use crate::wire::ErrorCode;
use crate::wire::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopics,
};
use crate::wire::messages::{OffsetFetchRequest, OffsetFetchResponse, message};

/// One question of the application.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::client) struct CommittedId(u64);

/// What is committed; `None`: nothing.
pub(in crate::client) type Found = BTreeMap<TopicPartition, Option<CommittedOffset>>;

#[derive(Debug)]
struct Lookup {
    missing: BTreeSet<TopicPartition>,
    found: Found,
    failed: Option<ConsumeError>,
}

/// The questions, one request at a time.
#[derive(Debug, Default)]
pub(in crate::client) struct Committed {
    asked: Option<(RequestId, BTreeSet<TopicPartition>)>,
    not_before: Instant,
    failures: u32,
    /// The application's last question: a new one replaces it.
    last: CommittedId,
    lookup: Option<Lookup>,
}

impl Committed {
    pub(in crate::client) fn begin(&mut self, partitions: &[TopicPartition]) -> CommittedId {
        let missing = partitions.iter().cloned().collect();
        self.lookup = Some(Lookup { missing, found: Found::new(), failed: None });
        self.last = CommittedId(self.last.0 + 1);
        self.last
    }

    /// Whether there is an answer by now.
    pub(in crate::client) fn is_complete(&self, id: CommittedId) -> bool {
        let lookup = self.lookup.as_ref().filter(|_| self.last == id);
        lookup.is_none_or(|lookup| lookup.missing.is_empty() || lookup.failed.is_some())
    }

    /// Ends a question.
    pub(in crate::client) fn finish(&mut self, id: CommittedId) -> Result<Found, ConsumeError> {
        let lookup = self.lookup.take().filter(|_| self.last == id);
        let Some(lookup) = lookup else { return Err(ConsumeError::TimedOut) };
        match lookup.failed {
            Some(error) => Err(error),
            None if lookup.missing.is_empty() => Ok(lookup.found),
            None => Err(ConsumeError::TimedOut),
        }
    }

    fn missing(&self) -> impl Iterator<Item = &TopicPartition> {
        let open = self.lookup.iter().filter(|lookup| lookup.failed.is_none());
        open.flat_map(|lookup| &lookup.missing)
    }

    /// Whether there is something to ask; `beginning`: partitions that wait for their position.
    pub(in crate::client) fn needs_coordinator(&self, beginning: bool) -> bool {
        self.asked.is_none() && (beginning || self.missing().next().is_some())
    }

    pub(in crate::client) fn deadline(&self, beginning: bool) -> Instant {
        if self.needs_coordinator(beginning) { self.not_before } else { Instant::NEVER }
    }

    /// Asks about these partitions and those of the application's question.
    pub(in crate::client) fn ask(
        &mut self,
        now: Instant,
        settings: &Settings,
        beginning: impl Iterator<Item = TopicPartition>,
        send: &mut dyn FnMut(Request) -> RequestId,
    ) {
        if self.asked.is_some() || now < self.not_before {
            return;
        }
        let partitions: BTreeSet<_> = beginning.chain(self.missing().cloned()).collect();
        if partitions.is_empty() {
            return;
        }
        let mut topics: Vec<OffsetFetchRequestTopics> = Vec::new();
        for partition in &partitions {
            match topics.last_mut().filter(|topic| topic.name.as_str() == &*partition.topic) {
                Some(topic) => topic.partition_indexes.push(partition.partition),
                None => topics.push(message!(OffsetFetchRequestTopics {
                    name: (&*partition.topic).into(),
                    partition_indexes: vec![partition.partition],
                })),
            }
        }
        let group = message!(OffsetFetchRequestGroup {
            group_id: (&*settings.group).into(),
            topics: Some(topics),
        });
        let request = message!(OffsetFetchRequest { groups: vec![group], require_stable: true });
        self.asked = Some((send(Request::Committed(request)), partitions));
    }

    /// Takes an answer: what is committed, or the error for the application to see. `None`: no
    /// question waits for this answer. The coordinator's error comes with it.
    pub(in crate::client) fn answered(
        &mut self,
        now: Instant,
        request: RequestId,
        answer: Result<&OffsetFetchResponse, ErrorCode>,
        settings: &Settings,
        pause: &mut dyn FnMut(u32) -> Duration,
    ) -> Option<(Found, ErrorCode, Option<ConsumeError>)> {
        let (_, partitions) = self.asked.take_if(|(asked, _)| *asked == request)?;
        let found = answer
            .map_err(|error| (error, None))
            .and_then(|answer| found(answer, settings, &partitions));
        match found {
            Ok(found) => {
                self.failures = 0;
                if let Some(lookup) = &mut self.lookup {
                    for (partition, committed) in &found {
                        if lookup.missing.remove(partition) {
                            lookup.found.insert(partition.clone(), committed.clone());
                        }
                    }
                }
                Some((found, ErrorCode::None, None))
            }
            Err((error, partition)) => {
                self.failures = self.failures.saturating_add(1);
                self.not_before = now + pause(self.failures);
                if error.is_retriable() {
                    return Some((Found::new(), error, None));
                }
                let problem = match partition {
                    Some(partition) => ConsumeError::Broker { partition, error },
                    None => ConsumeError::Group { group: settings.group.to_string(), error },
                };
                if let Some(lookup) = &mut self.lookup {
                    lookup.failed = Some(problem.clone());
                }
                Some((Found::new(), error, Some(problem)))
            }
        }
    }

    /// Panics if an invariant is broken.
    pub(in crate::client) fn check(&self) {
        if let Some(lookup) = &self.lookup {
            for partition in lookup.found.keys() {
                let missing = lookup.missing.contains(partition);
                assert!(!missing, "the committed offset of {partition} is found and missing");
            }
        }
    }
}

/// What an answer says, or its first error.
fn found(
    answer: &OffsetFetchResponse,
    settings: &Settings,
    partitions: &BTreeSet<TopicPartition>,
) -> Result<Found, (ErrorCode, Option<TopicPartition>)> {
    let mut groups = answer.groups.iter();
    let group = groups.find(|group| group.group_id.as_str() == &*settings.group);
    let group = group.ok_or((ErrorCode::UnknownServerError, None))?;
    ErrorCode::from_code(group.error_code).check().map_err(|error| (error, None))?;
    let mut found = Found::new();
    for partition in partitions {
        let mut topics = group.topics.iter();
        let topic = topics.find(|topic| topic.name.as_str() == &*partition.topic);
        let row = topic.and_then(|topic| {
            topic.partitions.iter().find(|row| row.partition_index == partition.partition)
        });
        let row = row.ok_or((ErrorCode::UnknownServerError, Some(partition.clone())))?;
        let error = ErrorCode::from_code(row.error_code);
        error.check().map_err(|error| (error, Some(partition.clone())))?;
        let metadata = row.metadata.as_ref().map_or(String::new(), |text| text.as_str().to_owned());
        let committed = (row.committed_offset >= 0).then_some(CommittedOffset {
            offset: Offset(row.committed_offset),
            leader_epoch: LeaderEpoch(row.committed_leader_epoch),
            metadata,
        });
        found.insert(partition.clone(), committed);
    }
    Ok(found)
}
