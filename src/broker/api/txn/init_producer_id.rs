//! InitProducerId: an id and an epoch for a producer. With a transactional id, its coordinator gives
//! them, and fences the producer before; without, any broker does.
//!
//! Source: Kafka's `KafkaApis.handleInitProducerIdRequest`.

use std::sync::Arc;

use super::known_to;
use crate::base::{ProducerEpoch, ProducerId};
use crate::broker::context::Broker;
use crate::broker::serve::handler::{Context, Handler};
use crate::io::World;
use crate::txn::{InitRequest, Initialised};
use crate::wire::ErrorCode;
use crate::wire::messages::{InitProducerIdRequest, InitProducerIdResponse, message};

/// From here on a client knows PRODUCER_FENCED.
const FENCED: i16 = 4;

pub(in crate::broker) struct InitProducerId;

impl<W: World> Handler<Broker<W>> for InitProducerId {
    type Request = InitProducerIdRequest;
    type Response = InitProducerIdResponse;

    async fn handle(
        broker: &Arc<Broker<W>>,
        request: InitProducerIdRequest,
        context: Context<'_>,
    ) -> InitProducerIdResponse {
        let none = (ProducerId::NONE, ProducerEpoch::NONE);
        let (error, (id, epoch)) = match init(broker, &request).await {
            Ok(given) => (ErrorCode::None, given),
            Err(error) => (known_to(context.version, FENCED, error), none),
        };
        message!(InitProducerIdResponse {
            error_code: error.code(),
            producer_id: id.0,
            producer_epoch: epoch.0,
        })
    }
}

async fn init<W: World>(
    broker: &Arc<Broker<W>>,
    request: &InitProducerIdRequest,
) -> Result<Initialised, ErrorCode> {
    let named = (ProducerId(request.producer_id), ProducerEpoch(request.producer_epoch));
    let expected = match named {
        (ProducerId::NONE, ProducerEpoch::NONE) => None,
        (ProducerId::NONE, _) | (_, ProducerEpoch::NONE) => return Err(ErrorCode::InvalidRequest),
        named => Some(named),
    };
    let Some(id) = request.transactional_id.as_deref() else {
        // Another id, even for one that names its own: such a producer bumps its epoch by itself.
        return broker.next_producer_id().await.map(|id| (id, ProducerEpoch(0)));
    };
    let request = InitRequest {
        id,
        timeout_ms: request.transaction_timeout_ms,
        expected,
        two_phase: request.enable2_pc,
        keep_prepared: request.keep_prepared_txn,
    };
    // Before its coordinator is looked for.
    request.check(broker.txns.settings().max_timeout)?;
    let decide = |machine: &crate::txn::TxnCoordinator, now, wall, fresh| {
        machine.init(now, wall, request, fresh)
    };
    broker.txns.ask(id, async || broker.next_producer_id().await, decide).await
}
