//! Offsets that the application asks for.

use super::Core;
use crate::base::TopicPartition;
use crate::client::ConsumeError;
use crate::client::consumer::lookup::{LookupId, Places};
use crate::client::consumer::position::Whence;

impl Core {
    /// Asks for offsets besides what is read. Replaces the lookup before.
    pub(in crate::client::consumer) fn begin_lookup(
        &mut self,
        places: impl IntoIterator<Item = (TopicPartition, Whence)>,
    ) -> LookupId {
        self.lookups.begin(places)
    }

    /// Whether a lookup has found everything, or has failed.
    pub(in crate::client::consumer) fn is_looked_up(&self, id: LookupId) -> bool {
        self.lookups.is_complete(id)
    }

    /// Ends a lookup. Returns what it has found if nothing is missing.
    pub(in crate::client::consumer) fn end_lookup(
        &mut self,
        id: LookupId,
    ) -> Result<Places, ConsumeError> {
        self.lookups.finish(id)
    }
}
