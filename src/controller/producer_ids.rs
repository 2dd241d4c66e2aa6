//! AllocateProducerIds: gives each broker blocks of producer ids of its own (KIP-730).

use super::machine::{Controller, Decision};
use super::record::{ProducerIds, Record};
use crate::base::{BrokerEpoch, BrokerId, Instant, ProducerId};
use crate::wire::ErrorCode;
use crate::wire::messages::{AllocateProducerIdsRequest, AllocateProducerIdsResponse};

/// Source: Kafka's `ProducerIdsBlock.PRODUCER_ID_BLOCK_SIZE`.
const BLOCK: i32 = 1000;

impl Controller {
    /// Gives the next block of producer ids to a broker.
    pub fn allocate_producer_ids(
        &self,
        _now: Instant,
        request: &AllocateProducerIdsRequest,
    ) -> Decision<AllocateProducerIdsResponse> {
        let mut response = AllocateProducerIdsResponse::default();
        let (broker, epoch) = (BrokerId(request.broker_id), BrokerEpoch(request.broker_epoch));
        if let Err(error) = self.check_broker_epoch(broker, epoch) {
            response.error_code = error.code();
            return Decision::only(response);
        }
        let first = self.image().next_producer_id();
        let Some(next) = first.0.checked_add(i64::from(BLOCK)) else {
            response.error_code = ErrorCode::UnknownServerError.code();
            return Decision::only(response);
        };
        response.producer_id_start = first.0;
        response.producer_id_len = BLOCK;
        let record = ProducerIds { broker, epoch, next: ProducerId(next) };
        Decision::new(vec![Record::ProducerIds(record)], response)
    }
}
