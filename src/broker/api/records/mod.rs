//! Writing, reading and deleting records.

pub(in crate::broker) mod delete_records;
pub(in crate::broker) mod fetch;
pub(in crate::broker) mod init_producer_id;
pub(in crate::broker) mod list_offsets;
pub(in crate::broker) mod offset_for_leader_epoch;
pub(in crate::broker) mod produce;
