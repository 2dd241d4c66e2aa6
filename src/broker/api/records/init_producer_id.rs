//! InitProducerId: an id for an idempotent producer, from a block that the controller gave.

use std::sync::Arc;
use std::time::Duration;

use crate::base::ProducerId;
use crate::broker::context::Broker;
use crate::broker::serve::handler::{Context, Handler};
use crate::io::World;
use crate::wire::ErrorCode;
use crate::wire::messages::{
    AllocateProducerIdsRequest, InitProducerIdRequest, InitProducerIdResponse, message,
};

/// How long the controller may take to give a block.
const PATIENCE: Duration = Duration::from_secs(5);

pub(in crate::broker) struct InitProducerId;

impl<W: World> Handler<Broker<W>> for InitProducerId {
    type Request = InitProducerIdRequest;
    type Response = InitProducerIdResponse;

    async fn handle(
        broker: &Arc<Broker<W>>,
        request: InitProducerIdRequest,
        _: Context<'_>,
    ) -> InitProducerIdResponse {
        let given = if request.transactional_id.is_some() {
            // There is no transaction coordinator yet.
            Err(ErrorCode::CoordinatorNotAvailable)
        } else if request.producer_id != ProducerId::NONE.0 && request.producer_epoch >= 0 {
            bump(&request)
        } else {
            next(broker).await.map(|id| (id, 0))
        };
        let (error, id, epoch) = match given {
            Ok((id, epoch)) => (ErrorCode::None, id, epoch),
            Err(error) => (error, -1, -1),
        };
        message!(InitProducerIdResponse {
            error_code: error.code(),
            producer_id: id,
            producer_epoch: epoch,
        })
    }
}

/// KIP-360: a producer that lost track begins a new epoch of the id it has.
fn bump(request: &InitProducerIdRequest) -> Result<(i64, i16), ErrorCode> {
    match request.producer_epoch.checked_add(1) {
        Some(epoch) if epoch < i16::MAX => Ok((request.producer_id, epoch)),
        _ => Err(ErrorCode::InvalidProducerEpoch),
    }
}

async fn next<W: World>(broker: &Arc<Broker<W>>) -> Result<i64, ErrorCode> {
    if let Some(id) = broker.producer_ids.lock().next() {
        return Ok(id);
    }
    let request = message!(AllocateProducerIdsRequest {
        broker_id: broker.me.0,
        broker_epoch: broker.epoch().0,
    });
    let deadline = broker.world.now() + PATIENCE;
    let answer = broker.controller.call(&request, deadline).await;
    let block = answer.map_err(|_| ErrorCode::CoordinatorLoadInProgress)?;
    if block.error_code != 0 {
        tracing::warn!(error = %ErrorCode::from_code(block.error_code), "no producer ids");
        return Err(ErrorCode::CoordinatorLoadInProgress);
    }
    let end = block.producer_id_start.saturating_add(i64::from(block.producer_id_len));
    let mut ids = broker.producer_ids.lock();
    // Another request may have brought a block meanwhile: the ids left in it are not needed.
    *ids = block.producer_id_start..end;
    ids.next().ok_or(ErrorCode::CoordinatorLoadInProgress)
}
