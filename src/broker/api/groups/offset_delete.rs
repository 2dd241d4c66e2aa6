//! OffsetDelete: offsets of topics that a group does not subscribe to are deleted (KIP-496).

use std::sync::Arc;

use crate::broker::context::Broker;
use crate::broker::serve::handler::{Context, Handler};
use crate::controller::Image;
use crate::io::World;
use crate::wire::ErrorCode;
use crate::wire::messages::offset_delete_request::{
    OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use crate::wire::messages::offset_delete_response::{
    OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};
use crate::wire::messages::{OffsetDeleteRequest, OffsetDeleteResponse, message};

pub(in crate::broker) struct OffsetDelete;

impl<W: World> Handler<Broker<W>> for OffsetDelete {
    type Request = OffsetDeleteRequest;
    type Response = OffsetDeleteResponse;

    async fn handle(
        broker: &Arc<Broker<W>>,
        mut request: OffsetDeleteRequest,
        _: Context<'_>,
    ) -> OffsetDeleteResponse {
        let unknown = without_unknown(&broker.image(), &mut request);
        let deleted = match request.group_id.is_empty() {
            true => Err(ErrorCode::InvalidGroupId),
            false => {
                let delete = broker.groups.decide(&request.group_id, |machine, now, _| {
                    machine.delete_offsets(now, &request)
                });
                delete.await
            }
        };
        let mut response = match deleted {
            Ok(response) if response.error_code == 0 => response,
            // An error of the group is all that is answered.
            Ok(response) => return response,
            Err(error) => return message!(OffsetDeleteResponse { error_code: error.code() }),
        };
        // What was refused here comes first, as in Kafka, and only then are topics merged.
        if unknown.is_empty() {
            return response;
        }
        let mut topics = unknown;
        for topic in std::mem::take(&mut response.topics) {
            match topics.iter_mut().find(|known| known.name == topic.name) {
                Some(known) => known.partitions.extend(topic.partitions),
                None => topics.push(topic),
            }
        }
        response.topics = topics;
        response
    }
}

/// Takes out of a request what the metadata do not have, and answers it.
fn without_unknown(
    image: &Image,
    request: &mut OffsetDeleteRequest,
) -> Vec<OffsetDeleteResponseTopic> {
    let mut unknown = Vec::new();
    request.topics.retain_mut(|topic: &mut OffsetDeleteRequestTopic| {
        let found = image.topic(&topic.name);
        let exists = |partition: &OffsetDeleteRequestPartition| {
            found.is_some_and(|found| found.partitions.contains_key(&partition.partition_index))
        };
        let (known, missing): (Vec<_>, Vec<_>) =
            std::mem::take(&mut topic.partitions).into_iter().partition(exists);
        let missing = missing.into_iter().map(|partition| {
            message!(OffsetDeleteResponsePartition {
                partition_index: partition.partition_index,
                error_code: ErrorCode::UnknownTopicOrPartition.code(),
            })
        });
        let missing: Vec<_> = missing.collect();
        if !missing.is_empty() {
            unknown.push(message!(OffsetDeleteResponseTopic {
                name: topic.name.clone(),
                partitions: missing,
            }));
        }
        topic.partitions = known;
        !topic.partitions.is_empty()
    });
    unknown
}
