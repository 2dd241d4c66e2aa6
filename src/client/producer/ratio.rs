//! How well the records of each topic compress, as far as batches have shown.
//!
//! Source: Kafka's `CompressionRatioEstimator` and `MemoryRecordsBuilder.estimatedBytesWritten`. Kafka
//! shares its estimates between the producers of a process, and keeps them by codec; a producer has
//! one codec.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::wire::batch::HEADER_LEN;

/// By how much an estimate falls at most when a batch compresses better than expected.
const IMPROVING_STEP: f64 = 0.005;
/// By how much it rises at least when a batch compresses worse than expected.
const DETERIORATE_STEP: f64 = 0.05;
/// The estimate of a batch's size is this much larger: a batch above `batch.size` costs more than one
/// below it.
const FACTOR: f64 = 1.05;

/// The size of a batch on the wire as a share of its size before compression; without the header.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Ratio(f64);

impl Ratio {
    /// Nothing is known yet, or nothing is compressed.
    pub(super) const NONE: Self = Self(1.0);

    /// What a batch shows, from its sizes with the header.
    pub(super) fn observed(compressed: usize, uncompressed: usize) -> Self {
        let records = |size: usize| size.saturating_sub(HEADER_LEN).max(1) as f64;
        Self(records(compressed) / records(uncompressed))
    }

    pub(super) fn as_f64(self) -> f64 {
        self.0
    }

    /// The size that a batch of `uncompressed` bytes probably has.
    pub(super) fn of(self, uncompressed: usize) -> usize {
        let records = uncompressed.saturating_sub(HEADER_LEN);
        HEADER_LEN + (records as f64 * self.0 * FACTOR) as usize
    }
}

/// The estimates by topic.
#[derive(Debug, Default)]
pub(super) struct Ratios {
    by_topic: BTreeMap<Arc<str>, Ratio>,
}

impl Ratios {
    /// What a new batch of a topic is expected to have.
    pub(super) fn estimate(&self, topic: &str) -> Ratio {
        self.by_topic.get(topic).copied().unwrap_or(Ratio::NONE)
    }

    /// A batch was compressed.
    pub(super) fn observed(&mut self, topic: &Arc<str>, Ratio(observed): Ratio) {
        let Ratio(estimate) = self.by_topic.entry(Arc::clone(topic)).or_insert(Ratio::NONE);
        if observed > *estimate {
            *estimate = observed.max(*estimate + DETERIORATE_STEP);
        } else {
            *estimate = observed.max(*estimate - IMPROVING_STEP);
        }
    }

    /// A batch was too large for its topic: the next ones are expected to compress as badly, or not at
    /// all.
    pub(super) fn too_large(&mut self, topic: &Arc<str>, Ratio(observed): Ratio) {
        self.by_topic.insert(Arc::clone(topic), Ratio(observed.max(1.0)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn estimate_falls_slowly_and_rises_fast() {
        let (topic, mut ratios): (Arc<str>, _) = ("orders".into(), Ratios::default());
        for _ in 0..10 {
            ratios.observed(&topic, Ratio(0.2));
        }
        assert!((ratios.estimate("orders").0 - 0.95).abs() < 1e-4);
        for _ in 0..200 {
            ratios.observed(&topic, Ratio(0.2));
        }
        assert_eq!(ratios.estimate("orders"), Ratio(0.2), "no lower than what was seen");
        ratios.observed(&topic, Ratio(0.21));
        assert_eq!(ratios.estimate("orders"), Ratio(0.25));
        ratios.observed(&topic, Ratio(0.9));
        assert_eq!(ratios.estimate("orders"), Ratio(0.9));
        assert_eq!(ratios.estimate("others"), Ratio::NONE);
    }

    #[test]
    fn batch_that_was_too_large_resets_the_estimate() {
        let (topic, mut ratios): (Arc<str>, _) = ("orders".into(), Ratios::default());
        ratios.observed(&topic, Ratio(0.2));
        ratios.too_large(&topic, Ratio(0.2));
        assert_eq!(ratios.estimate("orders"), Ratio::NONE);
        ratios.too_large(&topic, Ratio(1.1));
        assert_eq!(ratios.estimate("orders"), Ratio(1.1));
    }

    #[test]
    fn estimated_size_has_the_header_and_a_reserve() {
        assert_eq!(Ratio(0.5).of(HEADER_LEN + 1000), HEADER_LEN + 525);
        assert_eq!(Ratio::observed(HEADER_LEN + 250, HEADER_LEN + 1000), Ratio(0.25));
    }
}
