//! Writing, reading and deleting records; the producers and transactions that wrote them.

mod delete_records;
mod describe_producers;
mod fetch;
mod list_offsets;
mod offset_for_leader_epoch;
mod produce;
mod produce_verified;
mod write_txn_markers;

pub(in crate::broker) use delete_records::DeleteRecords;
pub(in crate::broker) use describe_producers::DescribeProducers;
pub(in crate::broker) use fetch::Fetch;
pub(in crate::broker) use list_offsets::ListOffsets;
pub(in crate::broker) use offset_for_leader_epoch::OffsetForLeaderEpoch;
pub(in crate::broker) use produce::Produce;
pub(in crate::broker) use write_txn_markers::WriteTxnMarkers;
