//! The group coordinator of one partition of `__consumer_offsets`.

use std::sync::Arc;

use rand_chacha::ChaCha12Rng;

use super::record::Record;
use super::settings::GroupSettings;
use super::state::{Change, Groups};
use super::{Client, Reply};
use crate::base::{Instant, Offset, Timestamp};
use crate::controller::Image;
use crate::decide::{self, Machine};
use crate::wire::ErrorCode;
use crate::wire::messages::{
    HeartbeatRequest, HeartbeatResponse, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest,
    LeaveGroupResponse, SyncGroupRequest, SyncGroupResponse, describe_groups_response,
    list_groups_response, message,
};

/// A decision of the group coordinator.
pub type Decision<T> = decide::Decision<Record, T, Effect>;

/// A change of what is not replicated.
#[derive(Debug)]
pub enum Effect {
    /// The cluster's metadata changed.
    Image(Arc<Image>),
}

/// The group coordinator of one partition.
pub struct GroupCoordinator {
    state: Groups,
    settings: GroupSettings,
    image: Arc<Image>,
}

impl GroupCoordinator {
    /// A coordinator without groups. `random` decides member ids.
    pub fn new(
        _partition: i32,
        settings: GroupSettings,
        image: Arc<Image>,
        _random: ChaCha12Rng,
    ) -> Self {
        Self { state: Groups::default(), settings, image }
    }

    /// JoinGroup. Answers by `reply`, at once or when the rebalance is complete.
    pub fn join(
        &self,
        _now: Instant,
        _wall: Timestamp,
        _client: Client,
        _version: i16,
        _request: &JoinGroupRequest,
        _reply: Reply<JoinGroupResponse>,
    ) -> Decision<()> {
        Decision::only(())
    }

    /// SyncGroup. Answers by `reply`, at once or when the leader's assignment is committed.
    pub fn sync(
        &self,
        _now: Instant,
        _wall: Timestamp,
        _version: i16,
        _request: &SyncGroupRequest,
        _reply: Reply<SyncGroupResponse>,
    ) -> Decision<()> {
        Decision::only(())
    }

    /// Heartbeat.
    pub fn heartbeat(
        &self,
        _now: Instant,
        _request: &HeartbeatRequest,
    ) -> Decision<HeartbeatResponse> {
        Decision::only(message!(HeartbeatResponse {
            error_code: ErrorCode::UnknownMemberId.code()
        }))
    }

    /// LeaveGroup: of one member up to version 2, of several from version 3 on.
    pub fn leave(
        &self,
        _now: Instant,
        _wall: Timestamp,
        _version: i16,
        _request: &LeaveGroupRequest,
    ) -> Decision<LeaveGroupResponse> {
        Decision::only(LeaveGroupResponse::default())
    }

    /// DescribeGroups, for one group.
    pub fn describe(
        &self,
        _version: i16,
        _group: &str,
    ) -> describe_groups_response::DescribedGroup {
        Default::default()
    }

    /// ListGroups. Filters are compared regardless of case; without one, all groups are listed.
    pub fn list<S: AsRef<str>>(
        &self,
        _states: &[S],
        _types: &[S],
    ) -> Vec<list_groups_response::ListedGroup> {
        Vec::new()
    }

    /// DeleteGroups, for one group.
    pub fn delete_group(&self, _now: Instant, _group: &str) -> Decision<ErrorCode> {
        Decision::only(ErrorCode::GroupIdNotFound)
    }
}

impl Machine for GroupCoordinator {
    type State = Groups;
    type Effect = Effect;

    fn state(&self) -> &Groups {
        &self.state
    }

    fn replay(
        &mut self,
        offset: Offset,
        record: &Record,
        changes: &mut Vec<Change>,
    ) -> Result<(), std::convert::Infallible> {
        decide::State::replay(&mut self.state, offset, record, changes)
    }

    fn reached(&mut self, offset: Offset) {
        decide::State::reached(&mut self.state, offset);
    }

    fn restore(&mut self, committed: Groups) {
        self.state = committed;
    }

    fn activated(&mut self, _now: Instant) {}

    fn carry_out(&mut self, _now: Instant, effect: Effect) {
        match effect {
            Effect::Image(image) => self.image = image,
        }
    }

    fn deadline(&self) -> Option<Instant> {
        None
    }

    fn expire(&self, _now: Instant, _wall: Timestamp) -> Decision<()> {
        Decision::only(())
    }

    fn check(&self, _before: &Groups, _changes: &[Change]) {}
}
