//! Offsets that the application asks for, beside what it reads.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::position::Whence;
use crate::base::{Instant, Offset, TopicPartition};
use crate::client::kernel::RequestId;

/// One question of the application.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct LookupId(pub(super) u64);

/// How far it is answered.
#[derive(Debug)]
pub(super) struct Lookup {
    pub(super) whence: Whence,
    /// Not answered yet.
    pub(super) missing: BTreeMap<TopicPartition, Missing>,
    pub(super) found: BTreeMap<TopicPartition, Offset>,
}

/// A partition of which the answer is missing.
#[derive(Debug, Default)]
pub(super) struct Missing {
    pub(super) asked: Option<RequestId>,
    pub(super) not_before: Instant,
    pub(super) failures: u32,
}

impl Lookup {
    pub(super) fn new(whence: Whence, partitions: &[TopicPartition]) -> Self {
        let missing = partitions.iter().map(|p| (p.clone(), Missing::default())).collect();
        Self { whence, missing, found: BTreeMap::new() }
    }

    pub(super) fn topics(&self) -> impl Iterator<Item = Arc<str>> + '_ {
        self.missing.keys().map(|partition| partition.topic.clone())
    }
}
