//! OffsetFetch.

use super::state::{Committed, Offsets};
use super::store::Partitions;
use super::subscriber::Subscriber;
use crate::base::TopicId;
use crate::wire::ErrorCode;
use crate::wire::messages::message;
use crate::wire::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopics,
};
use crate::wire::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartitions, OffsetFetchResponseTopics,
};

impl Offsets {
    /// The offsets of a group that a client asks for: of the partitions that it names, or all.
    ///
    /// Without `stable` this is to be the committed state. With it, Kafka asks everything appended
    /// and answers once that is committed: ask the state of the machine, in a decision. A partition
    /// of which a transaction has an offset then has the error UNSTABLE_OFFSET_COMMIT (KIP-447).
    ///
    /// Topics that are named have their names, whatever the client named. Of all topics only the
    /// names are given, in order.
    pub fn fetch(
        &self,
        group: Option<&dyn Subscriber>,
        stable: bool,
        request: &OffsetFetchRequestGroup,
    ) -> OffsetFetchResponseGroup {
        let id = request.group_id.clone();
        if let Some(group) = group
            && let Err(error) =
                group.validate_fetch(request.member_id.as_deref(), request.member_epoch)
        {
            return message!(OffsetFetchResponseGroup { group_id: id, error_code: error.code() });
        }
        let topics = match &request.topics {
            Some(topics) => {
                topics.iter().map(|topic| self.fetch_topic(&id, stable, topic)).collect()
            }
            None => self.fetch_all(&id, stable),
        };
        message!(OffsetFetchResponseGroup { group_id: id, topics: topics })
    }

    fn fetch_topic(
        &self,
        group: &str,
        stable: bool,
        topic: &OffsetFetchRequestTopics,
    ) -> OffsetFetchResponseTopics {
        let (name, id) = (topic.name.as_str(), TopicId::from(topic.topic_id));
        let of_topic = self.committed.topics(group).and_then(|topics| topics.get(name));
        let partitions = topic.partition_indexes.iter().map(|partition| {
            if stable && self.pending.contains(group, name, *partition) {
                return unstable(*partition);
            }
            let committed = of_topic.and_then(|of| of.get(partition));
            match committed.filter(|committed| is_of(committed, id)) {
                Some(committed) => found(*partition, committed),
                None => missing(*partition),
            }
        });
        message!(OffsetFetchResponseTopics {
            name: topic.name.clone(),
            topic_id: topic.topic_id,
            partitions: partitions.collect(),
        })
    }

    fn fetch_all(&self, group: &str, stable: bool) -> Vec<OffsetFetchResponseTopics> {
        let Some(topics) = self.committed.topics(group) else { return Vec::new() };
        let all = |topic: &str, partitions: &Partitions<Committed>| {
            let partitions = partitions.iter().map(|(partition, committed)| {
                match stable && self.pending.contains(group, topic, *partition) {
                    true => unstable(*partition),
                    false => found(*partition, committed),
                }
            });
            partitions.collect()
        };
        let topics = topics.iter().map(|(topic, partitions)| {
            message!(OffsetFetchResponseTopics {
                name: (**topic).into(),
                partitions: all(topic, partitions),
            })
        });
        topics.collect()
    }
}

/// Whether an offset may be of this topic: it was deleted and created again if the ids differ.
fn is_of(committed: &Committed, topic: TopicId) -> bool {
    let id = committed.value.topic_id;
    id == topic || id == TopicId::ZERO || topic == TopicId::ZERO
}

fn found(partition: i32, committed: &Committed) -> OffsetFetchResponsePartitions {
    message!(OffsetFetchResponsePartitions {
        partition_index: partition,
        committed_offset: committed.value.offset.0,
        committed_leader_epoch: committed.value.leader_epoch,
        metadata: Some(committed.value.metadata.as_str().into()),
    })
}

fn missing(partition: i32) -> OffsetFetchResponsePartitions {
    message!(OffsetFetchResponsePartitions {
        partition_index: partition,
        committed_offset: -1,
        committed_leader_epoch: -1,
        metadata: Some("".into()),
    })
}

fn unstable(partition: i32) -> OffsetFetchResponsePartitions {
    let mut unstable = missing(partition);
    unstable.error_code = ErrorCode::UnstableOffsetCommit.code();
    unstable
}
