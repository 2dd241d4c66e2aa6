//! What a response says about one partition.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::aborted::Aborted;
use crate::base::{BrokerId, LeaderEpoch, Offset, Timestamp, TopicPartition};
use crate::client::group;
use crate::client::kernel::Cluster;
use crate::wire::ErrorCode;
use crate::wire::messages::fetch_response::PartitionData;
use crate::wire::messages::{FetchResponse, ListOffsetsResponse, OffsetForLeaderEpochResponse};

/// A response, or why there is none.
#[derive(Debug)]
pub(in crate::client) enum Answer {
    Fetch(Box<FetchResponse>),
    List(Box<ListOffsetsResponse>),
    Validate(Box<OffsetForLeaderEpochResponse>),
    /// Of the coordinator of the group.
    Group(Box<group::Response>),
    None(ErrorCode),
}

/// The bounds of a log, as far as a fetch knew them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Bounds {
    /// The offset of the oldest record.
    pub(super) start: Option<Offset>,
    /// Up to here `read_committed` reads.
    pub(super) last_stable: Option<Offset>,
    pub(super) high_watermark: Option<Offset>,
}

/// An offset; the protocol has -1 for an unknown one.
fn known(offset: i64) -> Option<Offset> {
    Some(Offset(offset)).filter(|offset| *offset >= Offset::ZERO)
}

/// What it says about one partition.
#[derive(Debug)]
pub(super) enum Reply {
    /// Nothing, or nothing useful: the question is asked again.
    Nothing,
    Refused(ErrorCode),
    /// A fetch was refused; perhaps another broker leads (KIP-951).
    FetchRefused {
        error: ErrorCode,
        leader: BrokerId,
        epoch: LeaderEpoch,
    },
    Fetched {
        records: Option<Bytes>,
        bounds: Bounds,
        aborted: Aborted,
        /// The replica to read from instead (KIP-392).
        preferred: Option<BrokerId>,
    },
    Listed {
        offset: Offset,
        timestamp: Timestamp,
        epoch: LeaderEpoch,
    },
    /// No record has the timestamp or a later one, or the leader does not know its own end yet.
    NotListed,
    /// Where the leader's log of an epoch ends; `None`: it has neither the epoch nor one before it.
    EpochEnd(Option<(LeaderEpoch, Offset)>),
}

/// A response by partition.
pub(super) struct Replies<'a> {
    answer: &'a Answer,
    /// The partitions that a fetch's answer names.
    fetched: BTreeMap<(&'a str, i32), &'a PartitionData>,
    /// The error of a whole fetch.
    refused: Option<ErrorCode>,
}

impl Answer {
    /// The answer to a fetch.
    pub(super) fn fetched(&self) -> Option<&FetchResponse> {
        match self {
            Self::Fetch(answer) => Some(answer),
            _ => None,
        }
    }

    /// The pause for which it asks before the next request.
    pub(super) fn throttle_ms(&self) -> i32 {
        match self {
            Self::Fetch(answer) => answer.throttle_time_ms,
            Self::List(answer) => answer.throttle_time_ms,
            Self::Validate(answer) => answer.throttle_time_ms,
            Self::Group(answer) => answer.throttle_ms(),
            Self::None(_) => 0,
        }
    }

    pub(super) fn by_partition<'a>(&'a self, cluster: &'a Cluster) -> Replies<'a> {
        let mut replies = Replies { answer: self, fetched: BTreeMap::new(), refused: None };
        let Self::Fetch(answer) = self else { return replies };
        let whole = ErrorCode::from_code(answer.error_code);
        // A session that has ended says nothing about its partitions.
        let fails = !whole.is_none() && !whole.is_about_fetch_session();
        replies.refused = fails.then_some(whole);
        for topic in &answer.responses {
            let named = topic.topic.as_str();
            let name = match named.is_empty() {
                true => cluster.name(topic.topic_id.into()).map(|name| &**name),
                false => Some(named),
            };
            let Some(name) = name else { continue };
            for data in &topic.partitions {
                replies.fetched.entry((name, data.partition_index)).or_insert(data);
            }
        }
        replies
    }
}

impl Replies<'_> {
    pub(super) fn about(&self, partition: &TopicPartition) -> Reply {
        let reply = match self.answer {
            Answer::Fetch(_) => match self.refused {
                Some(error) => Some(Reply::Refused(error)),
                None => {
                    let data = self.fetched.get(&(&*partition.topic, partition.partition));
                    data.map(|data| fetched(data))
                }
            },
            Answer::List(answer) => listed(answer, partition),
            Answer::Validate(answer) => validated(answer, partition),
            Answer::Group(_) => None,
            Answer::None(error) => Some(Reply::Refused(*error)),
        };
        reply.unwrap_or(Reply::Nothing)
    }
}

fn fetched(data: &PartitionData) -> Reply {
    match ErrorCode::from_code(data.error_code) {
        ErrorCode::None => Reply::Fetched {
            records: data.records.clone(),
            bounds: Bounds {
                start: known(data.log_start_offset),
                last_stable: known(data.last_stable_offset),
                high_watermark: known(data.high_watermark),
            },
            aborted: Aborted::of(data),
            preferred: Some(BrokerId(data.preferred_read_replica)).filter(|replica| replica.0 >= 0),
        },
        error => Reply::FetchRefused {
            error,
            leader: BrokerId(data.current_leader.leader_id),
            epoch: LeaderEpoch(data.current_leader.leader_epoch),
        },
    }
}

fn listed(answer: &ListOffsetsResponse, asked: &TopicPartition) -> Option<Reply> {
    let topic = answer.topics.iter().find(|topic| topic.name.as_str() == &*asked.topic)?;
    let mut partitions = topic.partitions.iter();
    let listed = partitions.find(|listed| listed.partition_index == asked.partition)?;
    Some(match ErrorCode::from_code(listed.error_code) {
        ErrorCode::None if listed.offset >= 0 => Reply::Listed {
            offset: Offset(listed.offset),
            timestamp: Timestamp(listed.timestamp),
            epoch: LeaderEpoch(listed.leader_epoch),
        },
        ErrorCode::None => Reply::NotListed,
        // A log in a format without timestamps has no record with one.
        ErrorCode::UnsupportedForMessageFormat => Reply::NotListed,
        error => Reply::Refused(error),
    })
}

fn validated(answer: &OffsetForLeaderEpochResponse, asked: &TopicPartition) -> Option<Reply> {
    let topic = answer.topics.iter().find(|topic| topic.topic.as_str() == &*asked.topic)?;
    let end = topic.partitions.iter().find(|end| end.partition == asked.partition)?;
    let (epoch, offset) = (LeaderEpoch(end.leader_epoch), Offset(end.end_offset));
    Some(match ErrorCode::from_code(end.error_code) {
        ErrorCode::None => {
            let known = epoch >= LeaderEpoch(0) && offset >= Offset::ZERO;
            Reply::EpochEnd(known.then_some((epoch, offset)))
        }
        error => Reply::Refused(error),
    })
}
