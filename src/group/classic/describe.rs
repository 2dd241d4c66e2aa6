//! DescribeGroups and ListGroups.

use super::group::{ClassicGroup, Phase};
use super::member::Member;
use crate::wire::ErrorCode;
use crate::wire::messages::describe_groups_response::{DescribedGroup, DescribedGroupMember};
use crate::wire::messages::list_groups_response::ListedGroup;
use crate::wire::messages::{StrBytes, message};

/// From this version on a group that is not there is an error (KIP-1043).
const REPORTS_ABSENCE: i16 = 6;

/// The answer for a group that is not there, or is no classic group.
pub(in crate::group) fn describe_absent(version: i16, group: &str) -> DescribedGroup {
    let mut described =
        message!(DescribedGroup { group_id: group.into(), group_state: "Dead".into() });
    if version >= REPORTS_ABSENCE {
        described.error_code = ErrorCode::GroupIdNotFound.code();
        described.error_message = Some(format!("Group {group} not found.").into());
    }
    described
}

impl ClassicGroup {
    pub(in crate::group) fn describe(&self) -> DescribedGroup {
        let protocol = self.protocol.as_deref().filter(|_| self.phase == Phase::Stable);
        let members = self.members.values().map(|member| describe_member(member, protocol));
        message!(DescribedGroup {
            group_id: self.id.as_str().into(),
            group_state: self.state_name().into(),
            protocol_type: self.protocol_type.as_deref().unwrap_or_default().into(),
            protocol_data: protocol.unwrap_or_default().into(),
            members: members.collect(),
        })
    }

    pub(in crate::group) fn list(&self) -> ListedGroup {
        message!(ListedGroup {
            group_id: self.id.as_str().into(),
            protocol_type: self.protocol_type.as_deref().unwrap_or_default().into(),
            group_state: self.state_name().into(),
            group_type: "classic".into(),
        })
    }
}

/// Subscriptions are shown under the protocol that a stable group has chosen.
fn describe_member(member: &Member, protocol: Option<&str>) -> DescribedGroupMember {
    let metadata = protocol.and_then(|protocol| member.protocols.metadata(protocol));
    message!(DescribedGroupMember {
        member_id: member.id.as_str().into(),
        group_instance_id: member.instance.as_deref().map(StrBytes::from),
        client_id: member.client.id.as_str().into(),
        client_host: member.client.host.as_str().into(),
        member_metadata: metadata.cloned().unwrap_or_default(),
        member_assignment: member.assignment.clone().unwrap_or_default(),
    })
}
