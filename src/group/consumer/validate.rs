//! Requests that no correct client sends.

use super::member::{LEAVE, LEAVE_STATIC};
use super::refusal::Refusal;
use crate::group::ConsumerSettings;
use crate::wire::messages::ConsumerGroupHeartbeatRequest;

/// Since this version the client makes the member id (KIP-1082).
const CLIENT_MAKES_MEMBER_ID: i16 = 1;

/// Checks a heartbeat as far as that does not depend on the group, in Kafka's order.
pub(super) fn validate(
    version: i16,
    request: &ConsumerGroupHeartbeatRequest,
    settings: &ConsumerSettings,
) -> Result<(), Refusal> {
    let epoch = request.member_epoch;
    let blank = |text: &str| text.trim().is_empty();
    let refuse = |message| Err(Refusal::InvalidRequest(message));
    let needs_member_id = version >= CLIENT_MAKES_MEMBER_ID || epoch > 0 || epoch == LEAVE;
    if needs_member_id && blank(&request.member_id) {
        return refuse("MemberId can't be empty.");
    }
    if blank(&request.group_id) {
        return refuse("GroupId can't be empty.");
    }
    if request.instance_id.as_deref().is_some_and(blank) {
        return refuse("InstanceId can't be empty.");
    }
    if request.rack_id.as_deref().is_some_and(blank) {
        return refuse("RackId can't be empty.");
    }
    match epoch {
        0 => validate_join(request)?,
        LEAVE_STATIC if request.instance_id.is_none() => {
            return refuse("InstanceId can't be null.");
        }
        ..LEAVE_STATIC => return refuse("MemberEpoch is invalid."),
        _ => {}
    }
    let Some(asked) = request.server_assignor.as_deref() else { return Ok(()) };
    if settings.assignors.iter().any(|name| name == asked) {
        return Ok(());
    }
    let supported = settings.assignors.join(", ");
    Err(Refusal::UnsupportedAssignor { asked: asked.to_owned(), supported })
}

fn validate_join(request: &ConsumerGroupHeartbeatRequest) -> Result<(), Refusal> {
    let refuse = |message| Err(Refusal::InvalidRequest(message));
    if request.rebalance_timeout_ms == -1 {
        return refuse("RebalanceTimeoutMs must be provided in first request.");
    }
    if request.topic_partitions.as_ref().is_none_or(|owned| !owned.is_empty()) {
        return refuse("TopicPartitions must be empty when (re-)joining.");
    }
    if request.subscribed_topic_names.is_none() && request.subscribed_topic_regex.is_none() {
        return refuse(
            "Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when \
             (re-)joining.",
        );
    }
    Ok(())
}
