//! Kafka's error codes: number, name, and whether a retry can succeed.
//!
//! Source: Kafka's `Errors`, and which of its exception classes are retriable.

use std::fmt;

/// What a client should do about an error.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Remedy {
    /// Trying again does not help.
    Fatal,
    /// Trying again may help.
    Retry,
    /// A retry may succeed after a metadata refresh.
    Refresh,
}

macro_rules! errors {
    ($($variant:ident = $code:literal, $name:literal, $remedy:ident;)*) => {
        /// An error code of the protocol.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum ErrorCode {
            $(
                #[doc = concat!("`", $name, "`, code ", $code, ".")]
                $variant,
            )*
            /// A code that is not in the table: to be treated as `UNKNOWN_SERVER_ERROR`.
            Other(i16),
        }

        impl ErrorCode {
            /// Every error in the table, by code.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// As on the wire.
            pub const fn code(self) -> i16 {
                match self {
                    $(Self::$variant => $code,)*
                    Self::Other(code) => code,
                }
            }

            /// Kafka's name of the error.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                    Self::Other(_) => "UNKNOWN_SERVER_ERROR",
                }
            }

            /// The error with this code; [`ErrorCode::Other`] when the table has none.
            pub const fn from_code(code: i16) -> Self {
                match code {
                    $($code => Self::$variant,)*
                    other => Self::Other(other),
                }
            }

            const fn remedy(self) -> Remedy {
                match self {
                    $(Self::$variant => errors!(@$remedy),)*
                    Self::Other(_) => Remedy::Fatal,
                }
            }
        }
    };
    (@fatal) => { Remedy::Fatal };
    (@retry) => { Remedy::Retry };
    (@refresh) => { Remedy::Refresh };
}

errors! {
    UnknownServerError = -1, "UNKNOWN_SERVER_ERROR", fatal;
    None = 0, "NONE", fatal;
    OffsetOutOfRange = 1, "OFFSET_OUT_OF_RANGE", fatal;
    CorruptMessage = 2, "CORRUPT_MESSAGE", retry;
    UnknownTopicOrPartition = 3, "UNKNOWN_TOPIC_OR_PARTITION", refresh;
    InvalidFetchSize = 4, "INVALID_FETCH_SIZE", fatal;
    LeaderNotAvailable = 5, "LEADER_NOT_AVAILABLE", refresh;
    NotLeaderOrFollower = 6, "NOT_LEADER_OR_FOLLOWER", refresh;
    RequestTimedOut = 7, "REQUEST_TIMED_OUT", retry;
    BrokerNotAvailable = 8, "BROKER_NOT_AVAILABLE", fatal;
    ReplicaNotAvailable = 9, "REPLICA_NOT_AVAILABLE", refresh;
    MessageTooLarge = 10, "MESSAGE_TOO_LARGE", fatal;
    StaleControllerEpoch = 11, "STALE_CONTROLLER_EPOCH", fatal;
    OffsetMetadataTooLarge = 12, "OFFSET_METADATA_TOO_LARGE", fatal;
    NetworkException = 13, "NETWORK_EXCEPTION", refresh;
    CoordinatorLoadInProgress = 14, "COORDINATOR_LOAD_IN_PROGRESS", retry;
    CoordinatorNotAvailable = 15, "COORDINATOR_NOT_AVAILABLE", retry;
    NotCoordinator = 16, "NOT_COORDINATOR", retry;
    InvalidTopicException = 17, "INVALID_TOPIC_EXCEPTION", fatal;
    RecordListTooLarge = 18, "RECORD_LIST_TOO_LARGE", fatal;
    NotEnoughReplicas = 19, "NOT_ENOUGH_REPLICAS", retry;
    NotEnoughReplicasAfterAppend = 20, "NOT_ENOUGH_REPLICAS_AFTER_APPEND", retry;
    InvalidRequiredAcks = 21, "INVALID_REQUIRED_ACKS", fatal;
    IllegalGeneration = 22, "ILLEGAL_GENERATION", fatal;
    InconsistentGroupProtocol = 23, "INCONSISTENT_GROUP_PROTOCOL", fatal;
    InvalidGroupId = 24, "INVALID_GROUP_ID", fatal;
    UnknownMemberId = 25, "UNKNOWN_MEMBER_ID", fatal;
    InvalidSessionTimeout = 26, "INVALID_SESSION_TIMEOUT", fatal;
    RebalanceInProgress = 27, "REBALANCE_IN_PROGRESS", fatal;
    InvalidCommitOffsetSize = 28, "INVALID_COMMIT_OFFSET_SIZE", fatal;
    TopicAuthorizationFailed = 29, "TOPIC_AUTHORIZATION_FAILED", fatal;
    GroupAuthorizationFailed = 30, "GROUP_AUTHORIZATION_FAILED", fatal;
    ClusterAuthorizationFailed = 31, "CLUSTER_AUTHORIZATION_FAILED", fatal;
    InvalidTimestamp = 32, "INVALID_TIMESTAMP", fatal;
    UnsupportedSaslMechanism = 33, "UNSUPPORTED_SASL_MECHANISM", fatal;
    IllegalSaslState = 34, "ILLEGAL_SASL_STATE", fatal;
    UnsupportedVersion = 35, "UNSUPPORTED_VERSION", fatal;
    TopicAlreadyExists = 36, "TOPIC_ALREADY_EXISTS", fatal;
    InvalidPartitions = 37, "INVALID_PARTITIONS", fatal;
    InvalidReplicationFactor = 38, "INVALID_REPLICATION_FACTOR", fatal;
    InvalidReplicaAssignment = 39, "INVALID_REPLICA_ASSIGNMENT", fatal;
    InvalidConfig = 40, "INVALID_CONFIG", fatal;
    NotController = 41, "NOT_CONTROLLER", retry;
    InvalidRequest = 42, "INVALID_REQUEST", fatal;
    UnsupportedForMessageFormat = 43, "UNSUPPORTED_FOR_MESSAGE_FORMAT", fatal;
    PolicyViolation = 44, "POLICY_VIOLATION", fatal;
    OutOfOrderSequenceNumber = 45, "OUT_OF_ORDER_SEQUENCE_NUMBER", fatal;
    DuplicateSequenceNumber = 46, "DUPLICATE_SEQUENCE_NUMBER", fatal;
    InvalidProducerEpoch = 47, "INVALID_PRODUCER_EPOCH", fatal;
    InvalidTxnState = 48, "INVALID_TXN_STATE", fatal;
    InvalidProducerIdMapping = 49, "INVALID_PRODUCER_ID_MAPPING", fatal;
    InvalidTransactionTimeout = 50, "INVALID_TRANSACTION_TIMEOUT", fatal;
    ConcurrentTransactions = 51, "CONCURRENT_TRANSACTIONS", retry;
    TransactionCoordinatorFenced = 52, "TRANSACTION_COORDINATOR_FENCED", fatal;
    TransactionalIdAuthorizationFailed = 53, "TRANSACTIONAL_ID_AUTHORIZATION_FAILED", fatal;
    SecurityDisabled = 54, "SECURITY_DISABLED", fatal;
    OperationNotAttempted = 55, "OPERATION_NOT_ATTEMPTED", fatal;
    KafkaStorageError = 56, "KAFKA_STORAGE_ERROR", refresh;
    LogDirNotFound = 57, "LOG_DIR_NOT_FOUND", fatal;
    SaslAuthenticationFailed = 58, "SASL_AUTHENTICATION_FAILED", fatal;
    UnknownProducerId = 59, "UNKNOWN_PRODUCER_ID", fatal;
    ReassignmentInProgress = 60, "REASSIGNMENT_IN_PROGRESS", fatal;
    DelegationTokenAuthDisabled = 61, "DELEGATION_TOKEN_AUTH_DISABLED", fatal;
    DelegationTokenNotFound = 62, "DELEGATION_TOKEN_NOT_FOUND", fatal;
    DelegationTokenOwnerMismatch = 63, "DELEGATION_TOKEN_OWNER_MISMATCH", fatal;
    DelegationTokenRequestNotAllowed = 64, "DELEGATION_TOKEN_REQUEST_NOT_ALLOWED", fatal;
    DelegationTokenAuthorizationFailed = 65, "DELEGATION_TOKEN_AUTHORIZATION_FAILED", fatal;
    DelegationTokenExpired = 66, "DELEGATION_TOKEN_EXPIRED", fatal;
    InvalidPrincipalType = 67, "INVALID_PRINCIPAL_TYPE", fatal;
    NonEmptyGroup = 68, "NON_EMPTY_GROUP", fatal;
    GroupIdNotFound = 69, "GROUP_ID_NOT_FOUND", fatal;
    FetchSessionIdNotFound = 70, "FETCH_SESSION_ID_NOT_FOUND", retry;
    InvalidFetchSessionEpoch = 71, "INVALID_FETCH_SESSION_EPOCH", retry;
    ListenerNotFound = 72, "LISTENER_NOT_FOUND", refresh;
    TopicDeletionDisabled = 73, "TOPIC_DELETION_DISABLED", fatal;
    FencedLeaderEpoch = 74, "FENCED_LEADER_EPOCH", refresh;
    UnknownLeaderEpoch = 75, "UNKNOWN_LEADER_EPOCH", retry;
    UnsupportedCompressionType = 76, "UNSUPPORTED_COMPRESSION_TYPE", fatal;
    StaleBrokerEpoch = 77, "STALE_BROKER_EPOCH", fatal;
    OffsetNotAvailable = 78, "OFFSET_NOT_AVAILABLE", retry;
    MemberIdRequired = 79, "MEMBER_ID_REQUIRED", fatal;
    PreferredLeaderNotAvailable = 80, "PREFERRED_LEADER_NOT_AVAILABLE", refresh;
    GroupMaxSizeReached = 81, "GROUP_MAX_SIZE_REACHED", fatal;
    FencedInstanceId = 82, "FENCED_INSTANCE_ID", fatal;
    EligibleLeadersNotAvailable = 83, "ELIGIBLE_LEADERS_NOT_AVAILABLE", refresh;
    ElectionNotNeeded = 84, "ELECTION_NOT_NEEDED", refresh;
    NoReassignmentInProgress = 85, "NO_REASSIGNMENT_IN_PROGRESS", fatal;
    GroupSubscribedToTopic = 86, "GROUP_SUBSCRIBED_TO_TOPIC", fatal;
    InvalidRecord = 87, "INVALID_RECORD", fatal;
    UnstableOffsetCommit = 88, "UNSTABLE_OFFSET_COMMIT", retry;
    ThrottlingQuotaExceeded = 89, "THROTTLING_QUOTA_EXCEEDED", retry;
    ProducerFenced = 90, "PRODUCER_FENCED", fatal;
    ResourceNotFound = 91, "RESOURCE_NOT_FOUND", fatal;
    DuplicateResource = 92, "DUPLICATE_RESOURCE", fatal;
    UnacceptableCredential = 93, "UNACCEPTABLE_CREDENTIAL", fatal;
    InconsistentVoterSet = 94, "INCONSISTENT_VOTER_SET", fatal;
    InvalidUpdateVersion = 95, "INVALID_UPDATE_VERSION", fatal;
    FeatureUpdateFailed = 96, "FEATURE_UPDATE_FAILED", fatal;
    PrincipalDeserializationFailure = 97, "PRINCIPAL_DESERIALIZATION_FAILURE", fatal;
    SnapshotNotFound = 98, "SNAPSHOT_NOT_FOUND", fatal;
    PositionOutOfRange = 99, "POSITION_OUT_OF_RANGE", fatal;
    UnknownTopicId = 100, "UNKNOWN_TOPIC_ID", refresh;
    DuplicateBrokerRegistration = 101, "DUPLICATE_BROKER_REGISTRATION", fatal;
    BrokerIdNotRegistered = 102, "BROKER_ID_NOT_REGISTERED", fatal;
    InconsistentTopicId = 103, "INCONSISTENT_TOPIC_ID", refresh;
    InconsistentClusterId = 104, "INCONSISTENT_CLUSTER_ID", fatal;
    TransactionalIdNotFound = 105, "TRANSACTIONAL_ID_NOT_FOUND", fatal;
    FetchSessionTopicIdError = 106, "FETCH_SESSION_TOPIC_ID_ERROR", retry;
    IneligibleReplica = 107, "INELIGIBLE_REPLICA", fatal;
    NewLeaderElected = 108, "NEW_LEADER_ELECTED", fatal;
    OffsetMovedToTieredStorage = 109, "OFFSET_MOVED_TO_TIERED_STORAGE", fatal;
    FencedMemberEpoch = 110, "FENCED_MEMBER_EPOCH", fatal;
    UnreleasedInstanceId = 111, "UNRELEASED_INSTANCE_ID", fatal;
    UnsupportedAssignor = 112, "UNSUPPORTED_ASSIGNOR", fatal;
    StaleMemberEpoch = 113, "STALE_MEMBER_EPOCH", fatal;
    MismatchedEndpointType = 114, "MISMATCHED_ENDPOINT_TYPE", fatal;
    UnsupportedEndpointType = 115, "UNSUPPORTED_ENDPOINT_TYPE", fatal;
    UnknownControllerId = 116, "UNKNOWN_CONTROLLER_ID", fatal;
    UnknownSubscriptionId = 117, "UNKNOWN_SUBSCRIPTION_ID", fatal;
    TelemetryTooLarge = 118, "TELEMETRY_TOO_LARGE", fatal;
    InvalidRegistration = 119, "INVALID_REGISTRATION", fatal;
    TransactionAbortable = 120, "TRANSACTION_ABORTABLE", fatal;
    InvalidRecordState = 121, "INVALID_RECORD_STATE", fatal;
    ShareSessionNotFound = 122, "SHARE_SESSION_NOT_FOUND", retry;
    InvalidShareSessionEpoch = 123, "INVALID_SHARE_SESSION_EPOCH", retry;
    FencedStateEpoch = 124, "FENCED_STATE_EPOCH", fatal;
    InvalidVoterKey = 125, "INVALID_VOTER_KEY", fatal;
    DuplicateVoter = 126, "DUPLICATE_VOTER", fatal;
    VoterNotFound = 127, "VOTER_NOT_FOUND", fatal;
    InvalidRegularExpression = 128, "INVALID_REGULAR_EXPRESSION", fatal;
    RebootstrapRequired = 129, "REBOOTSTRAP_REQUIRED", fatal;
    StreamsInvalidTopology = 130, "STREAMS_INVALID_TOPOLOGY", fatal;
    StreamsInvalidTopologyEpoch = 131, "STREAMS_INVALID_TOPOLOGY_EPOCH", fatal;
    StreamsTopologyFenced = 132, "STREAMS_TOPOLOGY_FENCED", fatal;
    ShareSessionLimitReached = 133, "SHARE_SESSION_LIMIT_REACHED", retry;
}

impl ErrorCode {
    /// Whether the request succeeded.
    pub const fn is_none(self) -> bool {
        matches!(self, Self::None)
    }

    /// `Ok` for `NONE`, the error itself for everything else.
    pub const fn check(self) -> Result<(), Self> {
        if self.is_none() { Ok(()) } else { Err(self) }
    }

    /// Whether the same request may succeed later (Kafka's `RetriableException`).
    pub const fn is_retriable(self) -> bool {
        !matches!(self.remedy(), Remedy::Fatal)
    }

    /// Whether a fetch session has ended, so that the next fetch has to name everything (KIP-227).
    pub const fn is_about_fetch_session(self) -> bool {
        matches!(
            self,
            Self::FetchSessionIdNotFound
                | Self::InvalidFetchSessionEpoch
                | Self::FetchSessionTopicIdError
        )
    }

    /// Whether the error says that the client's metadata is old (Kafka's `InvalidMetadataException`).
    pub const fn is_stale_metadata(self) -> bool {
        matches!(self.remedy(), Remedy::Refresh)
    }
}

impl From<ErrorCode> for i16 {
    fn from(error: ErrorCode) -> Self {
        error.code()
    }
}

impl From<i16> for ErrorCode {
    fn from(code: i16) -> Self {
        Self::from_code(code)
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Other(code) => write!(f, "{} (code {code})", self.name()),
            known => f.write_str(known.name()),
        }
    }
}

impl std::error::Error for ErrorCode {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_read_back_as_itself_and_names_are_unique() {
        let mut names = std::collections::BTreeSet::new();
        for error in ErrorCode::ALL {
            assert_eq!(ErrorCode::from_code(error.code()), *error);
            assert!(names.insert(error.name()), "{error} twice");
        }
        assert!(ErrorCode::ALL.windows(2).all(|pair| pair[0].code() + 1 == pair[1].code()));
    }

    #[test]
    fn code_from_the_future_keeps_its_number_and_is_not_retried() {
        let error = ErrorCode::from_code(999);
        assert_eq!((error.code(), error.name()), (999, "UNKNOWN_SERVER_ERROR"));
        assert_eq!(error.to_string(), "UNKNOWN_SERVER_ERROR (code 999)");
        assert!(!error.is_retriable());
    }

    #[test]
    fn moved_leader_needs_new_metadata_and_a_slow_one_a_retry() {
        assert!(ErrorCode::NotLeaderOrFollower.is_retriable());
        assert!(ErrorCode::NotLeaderOrFollower.is_stale_metadata());
        assert!(ErrorCode::NotEnoughReplicas.is_retriable());
        assert!(!ErrorCode::NotEnoughReplicas.is_stale_metadata());
        assert!(!ErrorCode::OutOfOrderSequenceNumber.is_retriable());
        assert!(!ErrorCode::MessageTooLarge.is_retriable());
        assert!(!ErrorCode::None.is_retriable());
    }
}
