//! Producer ids that were never used, from blocks that the controller gives (KIP-730).
//!
//! Source: Kafka's `RPCProducerIdManager`.

use std::ops::Range;
use std::time::Duration;

use parking_lot::Mutex;

use super::channel::ControllerChannel;
use crate::base::{BrokerEpoch, BrokerId, ProducerId};
use crate::io::World;
use crate::wire::ErrorCode;
use crate::wire::messages::{AllocateProducerIdsRequest, message};

/// How long the controller may take to give a block.
const PATIENCE: Duration = Duration::from_secs(5);

/// Ids left of the block that the controller gave last.
pub(crate) struct ProducerIds<W: World> {
    world: W,
    me: BrokerId,
    left: Mutex<Range<i64>>,
}

impl<W: World> ProducerIds<W> {
    pub(crate) fn new(world: W, me: BrokerId) -> Self {
        Self { world, me, left: Mutex::new(0..0) }
    }

    /// A producer id that was never used. A client may ask again after an error.
    pub(crate) async fn next(
        &self,
        controller: &ControllerChannel<W>,
        epoch: BrokerEpoch,
    ) -> Result<ProducerId, ErrorCode> {
        if let Some(id) = self.take() {
            return Ok(id);
        }
        let request =
            message!(AllocateProducerIdsRequest { broker_id: self.me.0, broker_epoch: epoch.0 });
        let deadline = self.world.now() + PATIENCE;
        let answer = controller.call(&request, deadline).await;
        let block = answer.map_err(|_| ErrorCode::CoordinatorLoadInProgress)?;
        if block.error_code != 0 {
            tracing::warn!(error = %ErrorCode::from_code(block.error_code), "no producer ids");
            return Err(ErrorCode::CoordinatorLoadInProgress);
        }
        let end = block.producer_id_start.saturating_add(i64::from(block.producer_id_len));
        // Another request may have brought a block meanwhile: the ids left in it are not needed.
        *self.left.lock() = block.producer_id_start..end;
        self.take().ok_or(ErrorCode::CoordinatorLoadInProgress)
    }

    fn take(&self) -> Option<ProducerId> {
        self.left.lock().next().map(ProducerId)
    }
}
