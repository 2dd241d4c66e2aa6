//! ApiVersions: what a listener serves, and which features the cluster runs with (KIP-35, KIP-584).

use crate::broker::serve::listeners::Purpose;
use crate::wire::api;
use crate::wire::messages::ApiVersionsResponse;

/// Handles a request. Features are left out: librdkafka before 2.2 trips over tagged fields here,
/// and no client needs them yet.
pub(in crate::broker) fn handle(purpose: Purpose) -> ApiVersionsResponse {
    api::versions(match purpose {
        Purpose::Broker => api::Listener::Broker,
        Purpose::Controller => api::Listener::Controller,
    })
}
