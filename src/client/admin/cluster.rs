//! The description of the cluster: messages built and read.

use super::attempts::Verdict;
use super::description::{BrokerDescription, ClusterDescription};
use crate::base::BrokerId;
use crate::io::Address;
use crate::wire::ErrorCode;
use crate::wire::messages::{DescribeClusterRequest, DescribeClusterResponse, message};

/// Asks for the brokers, not for the controllers (KIP-919).
pub(super) fn question() -> DescribeClusterRequest {
    message!(DescribeClusterRequest { endpoint_type: 1 })
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
