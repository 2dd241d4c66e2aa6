//! Responses that ask for a pause (KIP-219).

use crate::wire::messages::*;

/// A response that may ask for a pause before the next request.
pub(super) trait Throttling {
    fn throttle_ms(&self) -> i32;
}

macro_rules! throttling {
    ($($response:ident)*) => {
        $(impl Throttling for $response {
            fn throttle_ms(&self) -> i32 {
                self.throttle_time_ms
            }
        })*
    };
}

throttling! {
    ConsumerGroupDescribeResponse
    CreatePartitionsResponse
    CreateTopicsResponse
    DeleteGroupsResponse
    DeleteRecordsResponse
    DeleteTopicsResponse
    DescribeClusterResponse
    DescribeConfigsResponse
    DescribeGroupsResponse
    DescribeProducersResponse
    DescribeTopicPartitionsResponse
    DescribeTransactionsResponse
    ElectLeadersResponse
    FindCoordinatorResponse
    IncrementalAlterConfigsResponse
    InitProducerIdResponse
    LeaveGroupResponse
    ListGroupsResponse
    ListOffsetsResponse
    ListTransactionsResponse
    MetadataResponse
    OffsetCommitResponse
    OffsetDeleteResponse
    OffsetFetchResponse
    UpdateFeaturesResponse
}

/// It has no such field: brokers send it to each other.
impl Throttling for WriteTxnMarkersResponse {
    fn throttle_ms(&self) -> i32 {
        0
    }
}
