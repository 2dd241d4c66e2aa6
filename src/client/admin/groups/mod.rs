//! Groups, from their coordinators.
//!
//! | file | contents |
//! |---|---|
//! | `describe` | listing and describing groups of both protocols |
//! | `members` | removing members |
//! | `offsets` | offsets that groups have committed |

mod describe;
mod members;
mod offsets;

pub use describe::{GroupDescription, GroupListing, MemberDescription};
pub use members::MemberToRemove;
pub use offsets::GroupOffset;

use super::Admin;
use super::attempts::Verdict;
use super::throttle::Throttling;
use crate::client::AdminError;
use crate::io::{Address, World};
use crate::wire::ErrorCode;
use crate::wire::messages::{
    DeleteGroupsRequest, DeleteGroupsResponse, FindCoordinatorRequest, FindCoordinatorResponse,
    RequestResponsePair, message,
};

/// FindCoordinator: the key is a group.
const GROUP: i8 = 0;

impl<W: World> Admin<W> {
    /// Deletes a group without members, and its offsets.
    pub async fn delete_group(&self, group: &str) -> Result<(), AdminError> {
        let request = message!(DeleteGroupsRequest { groups_names: vec![group.into()] });
        self.ask_coordinator(group, &request, None, deleted).await
    }

    /// Asks the coordinator of a group, and finds it again when it has moved. `newest` is the newest
    /// version of the request that is asked.
    pub(super) async fn ask_coordinator<R, T>(
        &self,
        group: &str,
        request: &R,
        newest: Option<i16>,
        judge: impl Fn(&R::Response) -> Verdict<T>,
    ) -> Result<T, AdminError>
    where
        R: RequestResponsePair + Sync + 'static,
        R::Response: Throttling,
    {
        self.ask_coordinator_of((GROUP, group), request, newest, judge).await
    }

    /// The same, of a coordinator of another kind.
    pub(in crate::client::admin) async fn ask_coordinator_of<R, T>(
        &self,
        (key_type, id): (i8, &str),
        request: &R,
        newest: Option<i16>,
        judge: impl Fn(&R::Response) -> Verdict<T>,
    ) -> Result<T, AdminError>
    where
        R: RequestResponsePair + Sync + 'static,
        R::Response: Throttling,
    {
        let find = message!(FindCoordinatorRequest {
            key_type: key_type,
            coordinator_keys: vec![id.into()],
        });
        let mut attempts = self.attempts();
        loop {
            let to = self.ask(&mut attempts, None, &find, |answer, _| coordinator(answer)).await?;
            let answer = self.call(&to, request, newest, &attempts).await;
            let now = self.world.now();
            let again = match answer.map(|answer| judge(&answer)) {
                Ok(Verdict::Done(value)) => return Ok(value),
                Ok(Verdict::Refused(error)) => return Err(error),
                Ok(Verdict::Again(error)) => {
                    attempts.postponed(now, error, &mut self.kernel.lock())?
                }
                Err(error) => attempts.lost(now, error, &mut self.kernel.lock())?,
            };
            self.world.sleep_until(again).await;
        }
    }
}

fn coordinator(answer: &FindCoordinatorResponse) -> Verdict<Address> {
    let Some(found) = answer.coordinators.first() else {
        return Verdict::Refused(AdminError::Incomplete("a coordinator".into()));
    };
    match (ErrorCode::from_code(found.error_code), u16::try_from(found.port)) {
        (ErrorCode::None, Ok(port)) => Verdict::Done(Address::new(found.host.as_str(), port)),
        (ErrorCode::None, Err(_)) => {
            Verdict::Refused(AdminError::Incomplete("a coordinator's port".into()))
        }
        (error, _) => Verdict::from_error(error, None),
    }
}

fn deleted(answer: &DeleteGroupsResponse) -> Verdict<()> {
    match answer.results.first().map(|result| ErrorCode::from_code(result.error_code)) {
        None => Verdict::Refused(AdminError::Incomplete("the deletion of a group".into())),
        Some(ErrorCode::None) => Verdict::Done(()),
        Some(error) => Verdict::from_error(error, None),
    }
}
