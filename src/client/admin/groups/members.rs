//! Removing members from groups (KIP-345, KIP-800).

use super::super::attempts::Verdict;
use crate::client::{Admin, AdminError};
use crate::io::World;
use crate::wire::ErrorCode;
use crate::wire::messages::leave_group_request::MemberIdentity;
use crate::wire::messages::{LeaveGroupRequest, LeaveGroupResponse, message};

/// A member that is to be removed from its group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MemberToRemove {
    /// A static member, by its `group.instance.id`.
    Instance(String),
    /// Any member, by its id.
    Id(String),
}

impl<W: World> Admin<W> {
    /// Removes members from a group; their partitions are assigned to others. `None`: all members
    /// that the group has now.
    pub async fn remove_members_from_group(
        &self,
        group: &str,
        members: Option<&[MemberToRemove]>,
        reason: &str,
    ) -> Result<(), AdminError> {
        let members = match members {
            Some(members) => members.to_vec(),
            None => {
                let described = self.describe_group(group).await?.members.into_iter();
                let remove = described.map(|member| match member.instance {
                    Some(instance) => MemberToRemove::Instance(instance),
                    None => MemberToRemove::Id(member.id),
                });
                remove.collect()
            }
        };
        if members.is_empty() {
            return Ok(());
        }
        let request = question(group, &members, reason);
        self.ask_coordinator(group, &request, None, |answer| removed(answer, &members)).await
    }
}

fn question(group: &str, members: &[MemberToRemove], reason: &str) -> LeaveGroupRequest {
    let members = members.iter().map(|member| {
        let (id, instance) = match member {
            MemberToRemove::Instance(instance) => ("", Some(instance.as_str().into())),
            MemberToRemove::Id(id) => (id.as_str(), None),
        };
        message!(MemberIdentity {
            member_id: id.into(),
            group_instance_id: instance,
            reason: Some(reason.into()),
        })
    });
    message!(LeaveGroupRequest { group_id: group.into(), members: members.collect() })
}

fn removed(answer: &LeaveGroupResponse, asked: &[MemberToRemove]) -> Verdict<()> {
    match ErrorCode::from_code(answer.error_code) {
        ErrorCode::None => {}
        error => return Verdict::from_error(error, None),
    }
    if answer.members.len() < asked.len() {
        return Verdict::Refused(AdminError::Incomplete("members of a group".into()));
    }
    for member in &answer.members {
        match ErrorCode::from_code(member.error_code) {
            ErrorCode::None => {}
            error => {
                let instance = member.group_instance_id.as_ref().filter(|id| !id.is_empty());
                let name = instance.unwrap_or(&member.member_id);
                return Verdict::from_error(error, Some(format!("member `{}`", name.as_str())));
            }
        }
    }
    Verdict::Done(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::messages::leave_group_response::MemberResponse;

    #[test]
    fn static_members_are_named_by_instance_and_others_by_id() {
        let asked = [MemberToRemove::Instance("i".into()), MemberToRemove::Id("m".into())];
        let request = question("g", &asked, "maintenance");
        let named = request.members.iter().map(|member| {
            let instance = member.group_instance_id.as_ref().map(ToString::to_string);
            (member.member_id.to_string(), instance, member.reason.as_ref().map(|r| r.to_string()))
        });
        let reason = || Some("maintenance".to_owned());
        let expected =
            [(String::new(), Some("i".to_owned()), reason()), ("m".to_owned(), None, reason())];
        assert_eq!(named.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn unknown_member_is_an_error_that_names_it() {
        let told = message!(MemberResponse {
            member_id: "m".into(),
            error_code: ErrorCode::UnknownMemberId.code(),
        });
        let answer = message!(LeaveGroupResponse { members: vec![told] });
        let asked = [MemberToRemove::Id("m".into())];
        let Verdict::Refused(AdminError::Broker { error, message }) = removed(&answer, &asked)
        else {
            panic!("it is accepted")
        };
        let text = Some("member `m`".to_owned());
        assert_eq!((error, message), (ErrorCode::UnknownMemberId, text));
        assert!(matches!(
            removed(&LeaveGroupResponse::default(), &asked),
            Verdict::Refused(AdminError::Incomplete(_))
        ));
    }
}
