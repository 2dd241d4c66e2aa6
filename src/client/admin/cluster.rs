//! The description of the cluster: messages built and read.

use super::attempts::Verdict;
use super::description::{BrokerDescription, ClusterDescription};
use crate::base::BrokerId;
use crate::io::Address;
use crate::wire::ErrorCode;
use crate::wire::messages::update_features_request::FeatureUpdateKey;
use crate::wire::messages::{
    DescribeClusterRequest, DescribeClusterResponse, UpdateFeaturesRequest, UpdateFeaturesResponse,
    message,
};

/// Kinds of updates, as on the wire.
const UPGRADE: i8 = 1;
const SAFE_DOWNGRADE: i8 = 2;

/// Asks for the brokers, not for the controllers (KIP-919).
pub(super) fn question() -> DescribeClusterRequest {
    message!(DescribeClusterRequest { endpoint_type: 1 })
}

/// Gives a feature a level. `upgrades`: the level is at least the one before.
pub(super) fn update(
    name: &str,
    level: i16,
    upgrades: bool,
    timeout_ms: i32,
) -> UpdateFeaturesRequest {
    let update = message!(FeatureUpdateKey {
        feature: name.into(),
        max_version_level: level,
        upgrade_type: if upgrades { UPGRADE } else { SAFE_DOWNGRADE },
    });
    message!(UpdateFeaturesRequest { timeout_ms: timeout_ms, feature_updates: vec![update] })
}

pub(super) fn updated(answer: &UpdateFeaturesResponse) -> Verdict<()> {
    let first = answer.results.first();
    let (code, text) = match first.filter(|_| answer.error_code == 0) {
        Some(result) => (result.error_code, &result.error_message),
        None => (answer.error_code, &answer.error_message),
    };
    let error = ErrorCode::from_code(code);
    if error.is_none() {
        return Verdict::Done(());
    }
    Verdict::from_error(error, text.as_ref().map(|text| text.to_string()))
}

pub(super) fn described(answer: &DescribeClusterResponse) -> Verdict<ClusterDescription> {
    let error = ErrorCode::from_code(answer.error_code);
    if !error.is_none() {
        let message = answer.error_message.as_ref().map(|message| message.to_string());
        return Verdict::from_error(error, message);
    }
    let brokers = answer.brokers.iter().map(|told| BrokerDescription {
        id: BrokerId(told.broker_id),
        address: Address::new(told.host.as_str(), u16::try_from(told.port).unwrap_or(0)),
        rack: told.rack.as_ref().map(|rack| rack.to_string()),
    });
    let mut brokers: Vec<_> = brokers.collect();
    brokers.sort_by_key(|broker| broker.id);
    Verdict::Done(ClusterDescription {
        cluster_id: answer.cluster_id.to_string(),
        controller: (answer.controller_id >= 0).then_some(BrokerId(answer.controller_id)),
        brokers,
    })
}
