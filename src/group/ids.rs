//! Names of groups and members: strings that are cheap to clone.

use crate::base::name;

name! {
    /// The id of a group (`group.id`).
    GroupId
}
name! {
    /// The id of a member of a group. Empty: the coordinator has not given one yet.
    MemberId
}
