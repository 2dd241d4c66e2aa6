//! Requests of groups: of members that no group knows, so that none has to wait for others.

use bytes::Bytes;

use super::super::wire::api::key;
use super::super::wire::messages::*;
use super::Sample;

/// A group's request; `None` for another key.
pub(super) fn request(key: i16, sample: Sample<'_>) -> Option<Bytes> {
    match key {
        key::OFFSET_COMMIT => sample.offset_commit(),
        key::OFFSET_FETCH => sample.offset_fetch(),
        key::FIND_COORDINATOR => sample.find_coordinator(),
        key::JOIN_GROUP => sample.join_group(),
        key::HEARTBEAT => sample.heartbeat(),
        key::LEAVE_GROUP => sample.leave_group(),
        key::SYNC_GROUP => sample.sync_group(),
        key::DESCRIBE_GROUPS => sample.describe_groups(),
        key::LIST_GROUPS => sample.list_groups(),
        key::DELETE_GROUPS => sample.delete_groups(),
        key::OFFSET_DELETE => sample.offset_delete(),
        key::CONSUMER_GROUP_HEARTBEAT => sample.consumer_group_heartbeat(),
        key::CONSUMER_GROUP_DESCRIBE => sample.consumer_group_describe(),
        _ => None,
    }
}

impl Sample<'_> {
    fn group(&mut self) -> StrBytes {
        self.text("workers")
    }

    fn member(&mut self) -> StrBytes {
        self.text("stranger")
    }

    fn instance(&mut self, since: i16) -> Option<StrBytes> {
        (self.version >= since && self.flag(false)).then(|| self.text("instance"))
    }

    fn offset_commit(mut self) -> Option<Bytes> {
        let mut request = OffsetCommitRequest::default();
        request.group_id = self.group();
        request.generation_id_or_member_epoch = self.int(-1);
        request.member_id = self.text("");
        request.group_instance_id = self.instance(7);
        if self.version <= 4 {
            request.retention_time_ms = self.long(-1);
        }
        request.topics = self.many(1, |sample| {
            let mut topic = offset_commit_request::OffsetCommitRequestTopic::default();
            if sample.version >= 10 {
                topic.topic_id = sample.target.topic_id;
            } else {
                topic.name = sample.topic();
            }
            topic.partitions = sample.many(2, |sample| {
                let mut partition = offset_commit_request::OffsetCommitRequestPartition::default();
                partition.partition_index = sample.int(0);
                partition.committed_offset = sample.long(1);
                if sample.version >= 6 {
                    partition.committed_leader_epoch = sample.int(-1);
                }
                partition.committed_metadata = Some(sample.text("m"));
                partition
            });
            topic
        });
        self.frame(&request)
    }

    fn offset_fetch(mut self) -> Option<Bytes> {
        let mut request = OffsetFetchRequest::default();
        if self.version >= 7 {
            request.require_stable = self.flag(true);
        }
        if self.version < 8 {
            request.group_id = self.group();
            request.topics = Some(self.many(1, |sample| {
                let mut topic = offset_fetch_request::OffsetFetchRequestTopic::default();
                topic.name = sample.topic();
                topic.partition_indexes = sample.many(2, |sample| sample.int(0));
                topic
            }));
            return self.frame(&request);
        }
        request.groups = self.many(2, |sample| {
            let mut group = offset_fetch_request::OffsetFetchRequestGroup::default();
            group.group_id = sample.group();
            if sample.version >= 9 {
                group.member_id = Some(sample.text(""));
                group.member_epoch = sample.int(-1);
            }
            group.topics = Some(sample.many(1, |sample| {
                let mut topic = offset_fetch_request::OffsetFetchRequestTopics::default();
                if sample.version >= 10 {
                    topic.topic_id = sample.target.topic_id;
                } else {
                    topic.name = sample.topic();
                }
                topic.partition_indexes = sample.many(2, |sample| sample.int(0));
                topic
            }));
            group
        });
        self.frame(&request)
    }

    fn find_coordinator(mut self) -> Option<Bytes> {
        let mut request = FindCoordinatorRequest::default();
        if self.version >= 1 {
            request.key_type = self.int(0) as i8;
        }
        if self.version < 4 {
            request.key = self.group();
        } else {
            request.coordinator_keys = self.many(2, Self::group);
        }
        self.frame(&request)
    }

    fn join_group(mut self) -> Option<Bytes> {
        let mut request = JoinGroupRequest::default();
        request.group_id = self.group();
        // Short, because the sender waits for answers.
        request.session_timeout_ms = self.int(6_000).min(6_000);
        if self.version >= 1 {
            request.rebalance_timeout_ms = self.int(50).min(50);
        }
        request.member_id = self.member();
        request.group_instance_id = self.instance(5);
        request.protocol_type = self.text("consumer");
        request.protocols = self.many(2, |sample| {
            let mut protocol = join_group_request::JoinGroupRequestProtocol::default();
            protocol.name = sample.text("range");
            protocol.metadata = sample.text("metadata").to_string().into();
            protocol
        });
        if self.version >= 8 {
            request.reason = Some(self.text("a reason"));
        }
        self.frame(&request)
    }

    fn heartbeat(mut self) -> Option<Bytes> {
        let mut request = HeartbeatRequest::default();
        request.group_id = self.group();
        request.generation_id = self.int(1);
        request.member_id = self.member();
        request.group_instance_id = self.instance(3);
        self.frame(&request)
    }

    fn leave_group(mut self) -> Option<Bytes> {
        let mut request = LeaveGroupRequest::default();
        request.group_id = self.group();
        if self.version < 3 {
            request.member_id = self.member();
        } else {
            request.members = self.many(2, |sample| {
                let mut member = leave_group_request::MemberIdentity::default();
                member.member_id = sample.member();
                member.group_instance_id = sample.instance(3);
                if sample.version >= 5 {
                    member.reason = Some(sample.text("a reason"));
                }
                member
            });
        }
        self.frame(&request)
    }

    fn sync_group(mut self) -> Option<Bytes> {
        let mut request = SyncGroupRequest::default();
        request.group_id = self.group();
        request.generation_id = self.int(1);
        request.member_id = self.member();
        request.group_instance_id = self.instance(3);
        if self.version >= 5 {
            request.protocol_type = Some(self.text("consumer"));
            request.protocol_name = Some(self.text("range"));
        }
        request.assignments = self.many(2, |sample| {
            let mut assignment = sync_group_request::SyncGroupRequestAssignment::default();
            assignment.member_id = sample.member();
            assignment.assignment = sample.text("assignment").to_string().into();
            assignment
        });
        self.frame(&request)
    }

    fn describe_groups(mut self) -> Option<Bytes> {
        let mut request = DescribeGroupsRequest::default();
        request.groups = self.many(2, Self::group);
        if self.version >= 3 {
            request.include_authorized_operations = self.flag(true);
        }
        self.frame(&request)
    }

    fn list_groups(mut self) -> Option<Bytes> {
        let mut request = ListGroupsRequest::default();
        if self.version >= 4 {
            request.states_filter = self.many(1, |sample| sample.text("Stable"));
        }
        if self.version >= 5 {
            request.types_filter = self.many(1, |sample| sample.text("classic"));
        }
        self.frame(&request)
    }

    fn delete_groups(mut self) -> Option<Bytes> {
        let mut request = DeleteGroupsRequest::default();
        request.groups_names = self.many(2, |sample| sample.text("nobody-has-this"));
        self.frame(&request)
    }

    fn offset_delete(mut self) -> Option<Bytes> {
        let mut request = OffsetDeleteRequest::default();
        request.group_id = self.group();
        request.topics = self.many(1, |sample| {
            let mut topic = offset_delete_request::OffsetDeleteRequestTopic::default();
            topic.name = sample.topic();
            topic.partitions = sample.many(2, |sample| {
                let mut partition = offset_delete_request::OffsetDeleteRequestPartition::default();
                partition.partition_index = sample.int(0);
                partition
            });
            topic
        });
        self.frame(&request)
    }

    fn consumer_group_heartbeat(mut self) -> Option<Bytes> {
        let mut request = ConsumerGroupHeartbeatRequest::default();
        request.group_id = self.text("modern");
        request.member_id = self.member();
        request.member_epoch = self.int(0);
        request.instance_id = self.instance(0);
        request.rack_id = self.flag(false).then(|| self.text("rack"));
        request.rebalance_timeout_ms = self.int(60_000);
        request.subscribed_topic_names = Some(self.many(1, Self::topic));
        if self.version >= 1 && self.flag(false) {
            request.subscribed_topic_regex = Some(self.text("ord.*"));
        }
        request.server_assignor = self.flag(true).then(|| self.text("range"));
        request.topic_partitions = Some(self.many(0, |sample| {
            let mut owned = consumer_group_heartbeat_request::TopicPartitions::default();
            owned.topic_id = sample.target.topic_id;
            owned.partitions = sample.many(2, |sample| sample.int(0));
            owned
        }));
        self.frame(&request)
    }

    fn consumer_group_describe(mut self) -> Option<Bytes> {
        let mut request = ConsumerGroupDescribeRequest::default();
        request.group_ids = self.many(2, Self::group);
        request.include_authorized_operations = self.flag(true);
        self.frame(&request)
    }
}
