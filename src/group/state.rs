//! What a group coordinator replicates: groups, and what they have committed.

use std::convert::Infallible;
use std::sync::Arc;

use super::record::ClassicGroupValue;
use super::{GroupId, Record};
use crate::base::Offset;
use crate::decide::{SharedMap, State};

/// A group as its records have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Group {
    /// A group of the classic protocol, as it was when its last assignment was stored.
    Classic(Arc<ClassicGroupValue>),
}

/// The groups of one partition of `__consumer_offsets`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Groups {
    groups: SharedMap<GroupId, Group>,
}

/// What a record changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A group was stored or deleted.
    Group(GroupId),
}

impl Groups {
    /// A group that has a record.
    pub fn get(&self, group: &str) -> Option<&Group> {
        self.groups.get(group)
    }

    /// All groups that have a record, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&GroupId, &Group)> {
        self.groups.iter()
    }

    /// A classic group as it was stored last.
    pub fn classic(&self, group: &str) -> Option<&Arc<ClassicGroupValue>> {
        match self.groups.get(group)? {
            Group::Classic(value) => Some(value),
        }
    }
}

impl State for Groups {
    type Record = Record;
    type Change = Change;
    /// Kafka's replay is tolerant: after compaction, records may come in any order.
    type Error = Infallible;

    fn replay(
        &mut self,
        _offset: Offset,
        record: &Record,
        changes: &mut Vec<Change>,
    ) -> Result<(), Infallible> {
        match record {
            Record::ClassicGroup { group, value: Some(value) } => {
                self.groups.insert(group.clone(), Group::Classic(Arc::new(value.clone())));
                changes.push(Change::Group(group.clone()));
            }
            Record::ClassicGroup { group, value: None } => {
                if self.classic(group.as_str()).is_some() {
                    self.groups.remove(group);
                    changes.push(Change::Group(group.clone()));
                }
            }
            _ => {}
        }
        Ok(())
    }
}
