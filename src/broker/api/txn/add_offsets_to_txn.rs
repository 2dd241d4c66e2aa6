//! AddOffsetsToTxn: the transaction of a producer touches the offsets of a group.
//!
//! Source: Kafka's `KafkaApis.handleAddOffsetsToTxnRequest`.

use std::sync::Arc;

use super::known_to;
use crate::base::{ProducerEpoch, ProducerId, TopicPartition, topics};
use crate::broker::context::Broker;
use crate::broker::serve::handler::{Context, Handler};
use crate::io::World;
use crate::txn::{AddRequest, TransactionVersion};
use crate::wire::messages::{AddOffsetsToTxnRequest, AddOffsetsToTxnResponse, message};

/// From here on a client knows PRODUCER_FENCED.
const FENCED: i16 = 2;

pub(in crate::broker) struct AddOffsetsToTxn;

impl<W: World> Handler<Broker<W>> for AddOffsetsToTxn {
    type Request = AddOffsetsToTxnRequest;
    type Response = AddOffsetsToTxnResponse;

    async fn handle(
        broker: &Arc<Broker<W>>,
        request: AddOffsetsToTxnRequest,
        context: Context<'_>,
    ) -> AddOffsetsToTxnResponse {
        let partition = broker.groups.partition_of(&broker.image(), &request.group_id);
        let partitions = &[TopicPartition::new(topics::CONSUMER_OFFSETS, partition)].into();
        let id = &request.transactional_id;
        let add = AddRequest {
            id,
            producer: (ProducerId(request.producer_id), ProducerEpoch(request.producer_epoch)),
            partitions,
            version: TransactionVersion::V0,
        };
        let added =
            broker.txns.decide(id, |machine, now, wall| machine.add_partitions(now, wall, add));
        let error = added.await.unwrap_or_else(|error| error);
        let error = known_to(context.version, FENCED, error);
        message!(AddOffsetsToTxnResponse { error_code: error.code() })
    }
}
