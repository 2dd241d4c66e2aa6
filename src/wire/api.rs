//! APIs by key: their names, and the versions in which they are served or asked.

use super::ErrorCode;
use super::messages::api_versions_response::{FinalizedFeatureKey, SupportedFeatureKey};
use super::messages::{
    API_DESCRIPTORS, ApiVersionsResponse, KafkaRequest, api_versions_response, message,
};

/// One API that a node serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Api {
    /// Its number on the wire.
    pub key: i16,
    /// Kafka's name of it, for example `Produce`.
    pub name: &'static str,
    /// The oldest version that is served.
    pub min: i16,
    /// The newest version that is served.
    pub max: i16,
    /// The oldest version that is advertised.
    pub advertised_min: i16,
}

impl Api {
    /// Serves the versions from `min` to `max`. Panics if the codec does not know one of them.
    pub const fn of<R: KafkaRequest>(min: i16, max: i16) -> Self {
        let known = R::SUPPORTED_VERSIONS;
        assert!(known.min().value() <= min && min <= max && max <= known.max().value());
        Self { key: R::API_KEY.value(), name: short(R::NAME), min, max, advertised_min: min }
    }

    /// Whether this version is served.
    pub const fn serves(&self, version: i16) -> bool {
        self.min <= version && version <= self.max
    }
}

/// Numbers of APIs, for code that tells messages apart without handling them: pictures and tests.
/// A handler needs none of them; its request type has the number.
#[allow(missing_docs, reason = "each is the number of the API that it names")]
pub mod key {
    use crate::wire::messages::*;

    pub const PRODUCE: i16 = ProduceRequest::API_KEY.value();
    pub const FETCH: i16 = FetchRequest::API_KEY.value();
    pub const LIST_OFFSETS: i16 = ListOffsetsRequest::API_KEY.value();
    pub const METADATA: i16 = MetadataRequest::API_KEY.value();
    pub const OFFSET_COMMIT: i16 = OffsetCommitRequest::API_KEY.value();
    pub const OFFSET_FETCH: i16 = OffsetFetchRequest::API_KEY.value();
    pub const FIND_COORDINATOR: i16 = FindCoordinatorRequest::API_KEY.value();
    pub const JOIN_GROUP: i16 = JoinGroupRequest::API_KEY.value();
    pub const HEARTBEAT: i16 = HeartbeatRequest::API_KEY.value();
    pub const LEAVE_GROUP: i16 = LeaveGroupRequest::API_KEY.value();
    pub const SYNC_GROUP: i16 = SyncGroupRequest::API_KEY.value();
    pub const DESCRIBE_GROUPS: i16 = DescribeGroupsRequest::API_KEY.value();
    pub const LIST_GROUPS: i16 = ListGroupsRequest::API_KEY.value();
    pub const API_VERSIONS: i16 = ApiVersionsRequest::API_KEY.value();
    pub const CREATE_TOPICS: i16 = CreateTopicsRequest::API_KEY.value();
    pub const DELETE_TOPICS: i16 = DeleteTopicsRequest::API_KEY.value();
    pub const DELETE_RECORDS: i16 = DeleteRecordsRequest::API_KEY.value();
    pub const INIT_PRODUCER_ID: i16 = InitProducerIdRequest::API_KEY.value();
    pub const OFFSET_FOR_LEADER_EPOCH: i16 = OffsetForLeaderEpochRequest::API_KEY.value();
    pub const WRITE_TXN_MARKERS: i16 = WriteTxnMarkersRequest::API_KEY.value();
    pub const TXN_OFFSET_COMMIT: i16 = TxnOffsetCommitRequest::API_KEY.value();
    pub const DESCRIBE_PRODUCERS: i16 = DescribeProducersRequest::API_KEY.value();
    pub const ADD_PARTITIONS_TO_TXN: i16 = AddPartitionsToTxnRequest::API_KEY.value();
    pub const ADD_OFFSETS_TO_TXN: i16 = AddOffsetsToTxnRequest::API_KEY.value();
    pub const END_TXN: i16 = EndTxnRequest::API_KEY.value();
    pub const DESCRIBE_CONFIGS: i16 = DescribeConfigsRequest::API_KEY.value();
    pub const ALTER_CONFIGS: i16 = AlterConfigsRequest::API_KEY.value();
    pub const DESCRIBE_LOG_DIRS: i16 = DescribeLogDirsRequest::API_KEY.value();
    pub const CREATE_PARTITIONS: i16 = CreatePartitionsRequest::API_KEY.value();
    pub const DELETE_GROUPS: i16 = DeleteGroupsRequest::API_KEY.value();
    pub const ELECT_LEADERS: i16 = ElectLeadersRequest::API_KEY.value();
    pub const INCREMENTAL_ALTER_CONFIGS: i16 = IncrementalAlterConfigsRequest::API_KEY.value();
    pub const OFFSET_DELETE: i16 = OffsetDeleteRequest::API_KEY.value();
    pub const CONSUMER_GROUP_HEARTBEAT: i16 = ConsumerGroupHeartbeatRequest::API_KEY.value();
    pub const CONSUMER_GROUP_DESCRIBE: i16 = ConsumerGroupDescribeRequest::API_KEY.value();
    pub const ALTER_PARTITION: i16 = AlterPartitionRequest::API_KEY.value();
    pub const UPDATE_FEATURES: i16 = UpdateFeaturesRequest::API_KEY.value();
    pub const DESCRIBE_CLUSTER: i16 = DescribeClusterRequest::API_KEY.value();
    pub const BROKER_REGISTRATION: i16 = BrokerRegistrationRequest::API_KEY.value();
    pub const BROKER_HEARTBEAT: i16 = BrokerHeartbeatRequest::API_KEY.value();
    pub const DESCRIBE_TRANSACTIONS: i16 = DescribeTransactionsRequest::API_KEY.value();
    pub const LIST_TRANSACTIONS: i16 = ListTransactionsRequest::API_KEY.value();
    pub const ALLOCATE_PRODUCER_IDS: i16 = AllocateProducerIdsRequest::API_KEY.value();
    pub const ASSIGN_REPLICAS_TO_DIRS: i16 = AssignReplicasToDirsRequest::API_KEY.value();
    pub const DESCRIBE_TOPIC_PARTITIONS: i16 = DescribeTopicPartitionsRequest::API_KEY.value();
}

/// `Produce` for `ProduceRequest`.
const fn short(name: &'static str) -> &'static str {
    name.split_at(name.len() - "Request".len()).0
}

/// Kafka's name of an API; `None` if the codec does not know the key.
pub fn name(key: i16) -> Option<&'static str> {
    let found = API_DESCRIPTORS.iter().find(|api| api.api_key.value() == key);
    found.map(|api| short(api.request.name))
}

/// Kafka's names of all APIs, with their keys.
pub fn names() -> Vec<(&'static str, i16)> {
    API_DESCRIPTORS.iter().map(|api| (short(api.request.name), api.api_key.value())).collect()
}

/// The versions of `R` that both this code and a peer's ApiVersions know, as a range.
pub fn common_versions<R: KafkaRequest>(theirs: (i16, i16)) -> Option<(i16, i16)> {
    let supported = R::SUPPORTED_VERSIONS;
    let stable = R::API_DESCRIPTOR.latest_stable_version().unwrap_or(supported.max());
    let range = (supported.min().value().max(theirs.0), stable.value().min(theirs.1));
    (range.0 <= range.1).then_some(range)
}

/// The response to ApiVersions, without features: so it has no tags, which librdkafka before 2.2
/// can't skip.
pub fn versions<'a>(served: impl IntoIterator<Item = &'a Api>) -> ApiVersionsResponse {
    let mut response = ApiVersionsResponse::default();
    response.api_keys = served.into_iter().map(advertised).collect();
    response
}

/// Adds features to a response to ApiVersions (KIP-584): the levels that this node supports, and those
/// that the cluster uses as of `epoch`, the offset of its metadata. A feature at level 0 is off, and
/// not named.
pub fn add_features<'a>(
    response: &mut ApiVersionsResponse,
    supported: impl IntoIterator<Item = (&'a str, i16, i16)>,
    finalized: impl IntoIterator<Item = (&'a str, i16)>,
    epoch: i64,
) {
    let supported = supported.into_iter().map(|(name, min, max)| {
        message!(SupportedFeatureKey { name: name.into(), min_version: min, max_version: max })
    });
    let finalized = finalized.into_iter().filter(|(_, level)| *level != 0).map(|(name, level)| {
        message!(FinalizedFeatureKey {
            name: name.into(),
            min_version_level: level,
            max_version_level: level,
        })
    });
    response.supported_features = supported.collect();
    response.finalized_features = finalized.collect();
    response.finalized_features_epoch = epoch;
}

/// The response to a version of ApiVersions that is not served: the versions that are. It is
/// always written in version 0 (KIP-511).
pub fn unsupported_versions(api_versions: &Api) -> ApiVersionsResponse {
    let mut response = versions([api_versions]);
    response.error_code = ErrorCode::UnsupportedVersion.code();
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
    use crate::wire::messages::{ApiVersionsRequest, InitProducerIdRequest, ProduceRequest};

    #[test]
    fn api_has_the_key_and_name_of_its_request() {
        let api = Api::of::<ApiVersionsRequest>(0, 4);
        assert_eq!((api.key, api.name), (18, "ApiVersions"));
        assert_eq!(name(18), Some("ApiVersions"));
        assert_eq!(name(9999), None);
        assert!(API_DESCRIPTORS.iter().all(|api| api.request.name.ends_with("Request")));
    }

    #[test]
    fn version_is_agreed_on_only_where_both_sides_know_it() {
        assert_eq!(common_versions::<ProduceRequest>((0, 9)), Some((3, 9)));
        assert_eq!(common_versions::<ProduceRequest>((0, 2)), None);
        assert_eq!(common_versions::<InitProducerIdRequest>((0, 100)), Some((0, 5)));
    }
}
