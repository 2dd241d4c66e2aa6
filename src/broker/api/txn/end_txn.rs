//! EndTxn: a producer commits or aborts its transaction. Since version 5 the response has the producer
//! id and epoch of the next transaction (KIP-890).
//!
//! Source: Kafka's `KafkaApis.handleEndTxnRequest`.

use std::sync::Arc;

use super::known_to;
use crate::base::{ProducerEpoch, ProducerId};
use crate::broker::context::Broker;
use crate::broker::serve::handler::{Context, Handler};
use crate::io::World;
use crate::txn::{EndRequest, Outcome, TransactionVersion};
use crate::wire::ErrorCode;
use crate::wire::messages::{EndTxnRequest, EndTxnResponse, message};

/// From here on a client knows PRODUCER_FENCED.
const FENCED: i16 = 2;

pub(in crate::broker) struct EndTxn;

impl<W: World> Handler<Broker<W>> for EndTxn {
    type Request = EndTxnRequest;
    type Response = EndTxnResponse;

    async fn handle(
        broker: &Arc<Broker<W>>,
        request: EndTxnRequest,
        context: Context<'_>,
    ) -> EndTxnResponse {
        let version = TransactionVersion::of_end_txn(context.version);
        let id = &request.transactional_id;
        let end = EndRequest {
            id,
            producer: (ProducerId(request.producer_id), ProducerEpoch(request.producer_epoch)),
            outcome: Outcome::of(request.committed),
            version,
        };
        let fresh = async || broker.next_producer_id().await;
        let ended = broker
            .txns
            .ask(id, fresh, |machine, now, wall, fresh| machine.end(now, wall, end, fresh));
        let none = (ProducerId::NONE, ProducerEpoch::NONE);
        let (error, (id, epoch)) = match ended.await {
            Ok(next) if version.bumps_epoch() => (ErrorCode::None, next),
            Ok(_) => (ErrorCode::None, none),
            Err(error) => (known_to(context.version, FENCED, error), none),
        };
        message!(EndTxnResponse {
            error_code: error.code(),
            producer_id: id.0,
            producer_epoch: epoch.0,
        })
    }
}
