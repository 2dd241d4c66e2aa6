//! Which requests are served, in which versions, and on which listener.

use super::ErrorCode;
use super::messages::{ApiVersionsResponse, KafkaRequest, api_versions_response};

/// Who a request is addressed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Listener {
    /// Clients and other brokers connect here.
    Broker,
    /// Brokers connect here.
    Controller,
}

/// One request that is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Api {
    /// Its number.
    pub key: i16,
    /// Its name, as Kafka has it.
    pub name: &'static str,
    /// The oldest version that is served.
    pub min: i16,
    /// The newest version that is served.
    pub max: i16,
    /// The oldest version that is advertised.
    pub advertised_min: i16,
    listeners: Served,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Served {
    Brokers,
    Controllers,
    Both,
}

impl Api {
    const fn new(key: i16, name: &'static str, min: i16, max: i16, listeners: Served) -> Self {
        Self { key, name, min, max, advertised_min: min, listeners }
    }

    /// Whether this version is served.
    pub const fn serves(&self, version: i16) -> bool {
        self.min <= version && version <= self.max
    }

    /// Whether it is served on this listener.
    pub const fn is_on(&self, listener: Listener) -> bool {
        match self.listeners {
            Served::Both => true,
            Served::Brokers => matches!(listener, Listener::Broker),
            Served::Controllers => matches!(listener, Listener::Controller),
        }
    }
}

/// Numbers of the requests in the table.
pub mod key {
    /// Produce.
    pub const PRODUCE: i16 = 0;
    /// Fetch.
    pub const FETCH: i16 = 1;
    /// ListOffsets.
    pub const LIST_OFFSETS: i16 = 2;
    /// Metadata.
    pub const METADATA: i16 = 3;
    /// ApiVersions.
    pub const API_VERSIONS: i16 = 18;
    /// CreateTopics.
    pub const CREATE_TOPICS: i16 = 19;
    /// DeleteTopics.
    pub const DELETE_TOPICS: i16 = 20;
    /// DeleteRecords.
    pub const DELETE_RECORDS: i16 = 21;
    /// InitProducerId.
    pub const INIT_PRODUCER_ID: i16 = 22;
    /// OffsetForLeaderEpoch.
    pub const OFFSET_FOR_LEADER_EPOCH: i16 = 23;
    /// DescribeConfigs.
    pub const DESCRIBE_CONFIGS: i16 = 32;
    /// DescribeLogDirs.
    pub const DESCRIBE_LOG_DIRS: i16 = 35;
    /// AlterPartition.
    pub const ALTER_PARTITION: i16 = 56;
    /// DescribeCluster.
    pub const DESCRIBE_CLUSTER: i16 = 60;
    /// BrokerRegistration.
    pub const BROKER_REGISTRATION: i16 = 62;
    /// BrokerHeartbeat.
    pub const BROKER_HEARTBEAT: i16 = 63;
    /// AllocateProducerIds.
    pub const ALLOCATE_PRODUCER_IDS: i16 = 67;
    /// AssignReplicasToDirs.
    pub const ASSIGN_REPLICAS_TO_DIRS: i16 = 73;
}

/// Everything that is served, by key.
///
/// CreateTopics and DeleteTopics reach a controller from brokers, which pass their clients' on.
pub const SERVED: &[Api] = &[
    // librdkafka before 2.11.1 takes a missing Produce v0 for "no compression" (KAFKA-18659), so
    // it is advertised, as Apache Kafka does, and not served.
    Api { advertised_min: 0, ..Api::new(key::PRODUCE, "Produce", 3, 13, Served::Brokers) },
    Api::new(key::FETCH, "Fetch", 4, 18, Served::Both),
    Api::new(key::LIST_OFFSETS, "ListOffsets", 1, 11, Served::Brokers),
    Api::new(key::METADATA, "Metadata", 0, 13, Served::Brokers),
    Api::new(key::API_VERSIONS, "ApiVersions", 0, 4, Served::Both),
    Api::new(key::CREATE_TOPICS, "CreateTopics", 2, 7, Served::Both),
    Api::new(key::DELETE_TOPICS, "DeleteTopics", 1, 6, Served::Both),
    Api::new(key::DELETE_RECORDS, "DeleteRecords", 0, 2, Served::Brokers),
    Api::new(key::INIT_PRODUCER_ID, "InitProducerId", 0, 5, Served::Brokers),
    Api::new(key::OFFSET_FOR_LEADER_EPOCH, "OffsetForLeaderEpoch", 2, 4, Served::Brokers),
    Api::new(key::DESCRIBE_CONFIGS, "DescribeConfigs", 1, 4, Served::Brokers),
    Api::new(key::DESCRIBE_LOG_DIRS, "DescribeLogDirs", 1, 4, Served::Brokers),
    Api::new(key::ALTER_PARTITION, "AlterPartition", 2, 3, Served::Controllers),
    Api::new(key::DESCRIBE_CLUSTER, "DescribeCluster", 0, 2, Served::Both),
    Api::new(key::BROKER_REGISTRATION, "BrokerRegistration", 0, 4, Served::Controllers),
    Api::new(key::BROKER_HEARTBEAT, "BrokerHeartbeat", 0, 1, Served::Controllers),
    Api::new(key::ALLOCATE_PRODUCER_IDS, "AllocateProducerIds", 0, 0, Served::Controllers),
    Api::new(key::ASSIGN_REPLICAS_TO_DIRS, "AssignReplicasToDirs", 0, 0, Served::Controllers),
];

/// What is served under this key, on any listener.
pub fn find(key: i16) -> Option<&'static Api> {
    SERVED.iter().find(|api| api.key == key)
}

/// Whether this version of a request is served on this listener.
pub fn serves(listener: Listener, key: i16, version: i16) -> bool {
    find(key).is_some_and(|api| api.is_on(listener) && api.serves(version))
}

/// The versions of `R` that both this table and a peer's ApiVersions know, as a range.
pub fn common_versions<R: KafkaRequest>(theirs: (i16, i16)) -> Option<(i16, i16)> {
    let supported = R::SUPPORTED_VERSIONS;
    let api = find(R::API_KEY.value());
    // What is not served may still be asked of another broker, in any stable version.
    let stable = R::API_DESCRIPTOR.latest_stable_version().unwrap_or(supported.max()).value();
    let (min, max) = api.map_or((supported.min().value(), stable), |api| (api.min, api.max));
    let range = (min.max(theirs.0), max.min(theirs.1));
    (range.0 <= range.1).then_some(range)
}

/// The answer to ApiVersions: what this listener serves. No features and so no tags, which
/// librdkafka before 2.2 can't skip.
pub fn versions(listener: Listener) -> ApiVersionsResponse {
    let served = SERVED.iter().filter(|api| api.is_on(listener));
    let mut response = ApiVersionsResponse::default();
    response.api_keys = served.map(advertised).collect();
    response
}

/// The answer to a version of ApiVersions that is not served, always in version 0: which versions
/// of ApiVersions are (KIP-511).
pub fn unsupported_versions() -> ApiVersionsResponse {
    let mut response = ApiVersionsResponse::default();
    response.error_code = ErrorCode::UnsupportedVersion.code();
    response.api_keys = find(key::API_VERSIONS).map(advertised).into_iter().collect();
    response
}

fn advertised(api: &Api) -> api_versions_response::ApiVersion {
    let mut range = api_versions_response::ApiVersion::default();
    range.api_key = api.key;
    range.min_version = api.advertised_min;
    range.max_version = api.max;
    range
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::messages::{API_DESCRIPTORS, InitProducerIdRequest, ProduceRequest};

    #[test]
    fn everything_served_is_known_to_the_codec_under_this_name_and_in_order() {
        assert!(SERVED.windows(2).all(|pair| pair[0].key < pair[1].key));
        for api in SERVED {
            let codec = API_DESCRIPTORS.iter().find(|c| c.api_key.value() == api.key).unwrap();
            assert_eq!(codec.request.name, format!("{}Request", api.name));
            let known = codec.supported_versions;
            assert!(known.min().value() <= api.min && api.max <= known.max().value(), "{api:?}");
        }
    }

    #[test]
    fn each_listener_serves_its_own() {
        assert!(serves(Listener::Broker, key::PRODUCE, 3));
        assert!(!serves(Listener::Broker, key::PRODUCE, 2), "advertised, not served");
        assert!(!serves(Listener::Controller, key::PRODUCE, 9));
        assert!(serves(Listener::Controller, key::FETCH, 17));
        assert!(!serves(Listener::Broker, key::BROKER_HEARTBEAT, 0));
        assert!(!serves(Listener::Broker, 9999, 0));
    }

    #[test]
    fn produce_is_advertised_from_version_0_for_old_clients() {
        let answer = versions(Listener::Broker);
        let produce = answer.api_keys.iter().find(|range| range.api_key == key::PRODUCE).unwrap();
        assert_eq!((produce.min_version, produce.max_version), (0, 13));
        assert_eq!(answer.error_code, 0);
    }

    #[test]
    fn a_refusal_of_api_versions_says_which_versions_there_are() {
        let answer = unsupported_versions();
        assert_eq!(answer.error_code, 35);
        let ranges: Vec<_> =
            answer.api_keys.iter().map(|r| (r.api_key, r.min_version, r.max_version)).collect();
        assert_eq!(ranges, [(18, 0, 4)]);
    }

    #[test]
    fn a_version_is_agreed_on_only_where_both_sides_have_one() {
        assert_eq!(common_versions::<ProduceRequest>((0, 9)), Some((3, 9)));
        assert_eq!(common_versions::<ProduceRequest>((0, 2)), None);
        assert_eq!(common_versions::<InitProducerIdRequest>((0, 100)), Some((0, 5)));
    }
}
