//! The features of the cluster, as a node names them when a connection is made (KIP-584).

use std::collections::BTreeMap;

use crate::wire::messages::ApiVersionsResponse;

/// The levels of the features that the cluster has finalized.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finalized {
    /// Grows with each change; -1 if the node knows none.
    epoch: i64,
    levels: BTreeMap<String, i16>,
}

impl Default for Finalized {
    fn default() -> Self {
        Self { epoch: -1, levels: BTreeMap::new() }
    }
}

impl Finalized {
    pub(crate) fn of(answer: &ApiVersionsResponse) -> Self {
        let features = answer.finalized_features.iter();
        let levels = features.map(|feature| (feature.name.to_string(), feature.max_version_level));
        Self { epoch: answer.finalized_features_epoch, levels: levels.collect() }
    }

    /// The level of a feature; 0 if it is not finalized.
    pub(crate) fn level(&self, feature: &str) -> i16 {
        self.levels.get(feature).copied().unwrap_or(0)
    }

    /// Takes over what another node knows, unless that is older.
    pub(crate) fn learn(&mut self, other: &Self) {
        if other.epoch > self.epoch {
            *self = other.clone();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::messages::{api_versions_response::FinalizedFeatureKey, message};

    fn named(epoch: i64, level: i16) -> Finalized {
        let feature = message!(FinalizedFeatureKey {
            name: "transaction.version".into(),
            max_version_level: level,
            min_version_level: level,
        });
        Finalized::of(&message!(ApiVersionsResponse {
            finalized_features_epoch: epoch,
            finalized_features: vec![feature],
        }))
    }

    #[test]
    fn older_features_never_replace_newer_ones() {
        let mut known = Finalized::default();
        assert_eq!(known.level("transaction.version"), 0);
        known.learn(&named(7, 2));
        known.learn(&named(3, 1));
        assert_eq!(known.level("transaction.version"), 2);
        known.learn(&named(8, 1));
        assert_eq!(known.level("transaction.version"), 1);
        assert_eq!(known.level("kraft.version"), 0);
    }
}
