//! A decision in the making: records, and the image that they lead to.

use super::image::{Image, ReplayError};
use super::record::Record;
use crate::base::Offset;

/// Records decided so far. Each is replayed at once on a copy of the image, which is cheap, so
/// that the next decision sees its effect: fencing a second broker takes the first into account.
#[derive(Debug)]
pub(super) struct Plan {
    image: Image,
    next: Offset,
    records: Vec<Record>,
}

impl Plan {
    /// Begins with everything decided before, committed or not.
    pub(super) fn new(image: &Image) -> Self {
        let next = image.offset().map_or(Offset::ZERO, Offset::next);
        Self { image: image.clone(), next, records: Vec::new() }
    }

    /// The image with everything decided so far.
    pub(super) fn image(&self) -> &Image {
        &self.image
    }

    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    /// Adds a record.
    ///
    /// # Panics
    /// If the record contradicts the image: a bug in the handler.
    pub(super) fn push(&mut self, record: Record) {
        if let Err(error) = self.try_push(record) {
            panic!("a decision contradicts itself: {error}");
        }
    }

    fn try_push(&mut self, record: Record) -> Result<(), ReplayError> {
        self.image.replay(self.next, &record, &mut Vec::new())?;
        self.next = self.next.next();
        self.records.push(record);
        Ok(())
    }

    pub(super) fn into_records(self) -> Vec<Record> {
        self.records
    }
}
