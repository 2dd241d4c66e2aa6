//! Which protocols the members of a group have in common.

use std::collections::BTreeMap;

use super::member::{Member, Name, Protocols};
use crate::decide::SharedMap;

/// How many members support each protocol.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Support(SharedMap<Name, usize>);

impl Support {
    pub(super) fn add(&mut self, protocols: &Protocols) {
        for name in protocols.names() {
            let count = self.of(name) + 1;
            self.0.insert(name.clone(), count);
        }
    }

    pub(super) fn remove(&mut self, protocols: &Protocols) {
        for name in protocols.names() {
            match self.of(name) {
                0 | 1 => self.0.remove(name),
                count => self.0.insert(name.clone(), count - 1),
            };
        }
    }

    /// The number of members that support a protocol.
    pub(super) fn of(&self, name: &str) -> usize {
        self.0.get(name).copied().unwrap_or(0)
    }

    /// Each member votes for the first of its protocols that all `members` support. The most votes
    /// win; of equals, the first by name.
    pub(super) fn select<'a>(
        &self,
        members: impl Iterator<Item = &'a Member>,
        count: usize,
    ) -> Option<Name> {
        let mut votes: BTreeMap<&Name, usize> = BTreeMap::new();
        for member in members {
            if let Some(vote) = member.protocols.names().find(|name| self.of(name) == count) {
                *votes.entry(vote).or_default() += 1;
            }
        }
        let most = votes.values().copied().max()?;
        votes.into_iter().find(|(_, votes)| *votes == most).map(|(name, _)| name.clone())
    }
}
