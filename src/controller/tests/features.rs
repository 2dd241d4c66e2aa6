//! Features: their levels in a new cluster, and changes.

use super::*;
use crate::wire::messages::update_features_request::FeatureUpdateKey;
use crate::wire::messages::{UpdateFeaturesRequest, message};

const TRANSACTIONS: &str = "transaction.version";
const UPGRADE: i8 = 1;
const DOWNGRADE: i8 = 2;

fn update(cluster: &mut Cluster, updates: &[(&str, i16, i8)]) -> ErrorCode {
    validate(cluster, updates, false)
}

fn validate(cluster: &mut Cluster, updates: &[(&str, i16, i8)], validate_only: bool) -> ErrorCode {
    let updates = updates.iter().map(|(feature, level, kind)| {
        message!(FeatureUpdateKey {
            feature: (*feature).into(),
            max_version_level: *level,
            upgrade_type: *kind,
        })
    });
    let request = message!(UpdateFeaturesRequest {
        feature_updates: updates.collect(),
        validate_only: validate_only,
    });
    let decision = cluster.controller.update_features(cluster.now, &request);
    ErrorCode::from_code(cluster.commit(decision).error_code)
}

#[test]
fn new_cluster_has_the_levels_of_kafka() {
    let cluster = Cluster::new();
    let image = cluster.controller.image();
    assert_eq!(image.feature("metadata.version"), 25);
    assert_eq!(image.feature("eligible.leader.replicas.version"), 1);
    assert_eq!(image.feature(TRANSACTIONS), 2);
}

#[test]
fn new_cluster_may_begin_at_another_level() {
    let cluster = Cluster::with_features([(TRANSACTIONS, 1), ("metadata.version", 99)].into());
    let image = cluster.controller.image();
    assert_eq!(image.feature(TRANSACTIONS), 1);
    assert_eq!(image.feature("metadata.version"), 25, "no higher than this code can read");
    assert_eq!(image.feature("eligible.leader.replicas.version"), 1);
}

#[test]
fn feature_is_downgraded_and_upgraded_when_that_is_what_is_asked() {
    let mut cluster = Cluster::new();
    let invalid = ErrorCode::InvalidUpdateVersion;
    assert_eq!(update(&mut cluster, &[(TRANSACTIONS, 1, UPGRADE)]), invalid);
    assert_eq!(update(&mut cluster, &[(TRANSACTIONS, 1, DOWNGRADE)]), ErrorCode::None);
    assert_eq!(cluster.controller.image().feature(TRANSACTIONS), 1);
    assert_eq!(update(&mut cluster, &[(TRANSACTIONS, 2, DOWNGRADE)]), invalid);
    assert_eq!(update(&mut cluster, &[(TRANSACTIONS, 2, UPGRADE)]), ErrorCode::None);
    assert_eq!(cluster.controller.image().feature(TRANSACTIONS), 2);
}

#[test]
fn updates_that_are_not_valid_change_nothing() {
    let mut cluster = Cluster::new();
    let before = cluster.log.len();
    for bad in [
        (TRANSACTIONS, 3, UPGRADE),
        (TRANSACTIONS, -1, DOWNGRADE),
        (TRANSACTIONS, 1, 0),
        (TRANSACTIONS, 1, 4),
        ("streams.version", 1, UPGRADE),
        ("metadata.version", 24, DOWNGRADE),
    ] {
        let updates = [(TRANSACTIONS, 1, DOWNGRADE), bad];
        assert_eq!(update(&mut cluster, &updates), ErrorCode::InvalidUpdateVersion, "{bad:?}");
    }
    assert_eq!(validate(&mut cluster, &[(TRANSACTIONS, 0, DOWNGRADE)], true), ErrorCode::None);
    assert_eq!(update(&mut cluster, &[(TRANSACTIONS, 2, UPGRADE)]), ErrorCode::None, "as it is");
    assert_eq!(cluster.log.len(), before);
}
