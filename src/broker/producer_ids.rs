//! Producer ids that nobody has used, from blocks that the controller gives (KIP-730).
//!
//! Source: Kafka's `RPCProducerIdManager`.

use std::ops::Range;
use std::time::Duration;

use parking_lot::Mutex;

use super::context::Broker;
use crate::base::ProducerId;
use crate::io::World;
use crate::wire::ErrorCode;
use crate::wire::messages::{AllocateProducerIdsRequest, message};

/// How long the controller may take to give a block.
const PATIENCE: Duration = Duration::from_secs(5);

/// Ids left of the block that the controller gave last.
pub(crate) struct ProducerIds(Mutex<Range<i64>>);

impl Default for ProducerIds {
    fn default() -> Self {
        Self(Mutex::new(0..0))
    }
}

impl ProducerIds {
    fn take(&self) -> Option<ProducerId> {
        self.0.lock().next().map(ProducerId)
    }
}

/// A producer id that nobody has used. A client may ask again after an error.
pub(crate) async fn next<W: World>(broker: &Broker<W>) -> Result<ProducerId, ErrorCode> {
    if let Some(id) = broker.producer_ids.take() {
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
    // Another request may have brought a block meanwhile: the ids left in it are not needed.
    *broker.producer_ids.0.lock() = block.producer_id_start..end;
    broker.producer_ids.take().ok_or(ErrorCode::CoordinatorLoadInProgress)
}
