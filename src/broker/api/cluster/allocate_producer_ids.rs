//! AllocateProducerIds: a broker gets a block of producer ids (KIP-730).

use std::sync::Arc;

use crate::broker::controller::ControllerShell;
use crate::broker::serve::handler::{Context, Handler, Outcome};
use crate::io::World;
use crate::wire::messages::{AllocateProducerIdsRequest, AllocateProducerIdsResponse};

pub(in crate::broker) struct AllocateProducerIds;

impl<W: World> Handler<ControllerShell<W>> for AllocateProducerIds {
    type Request = AllocateProducerIdsRequest;
    type Response = Outcome<AllocateProducerIdsResponse>;

    async fn handle(
        controller: &Arc<ControllerShell<W>>,
        request: AllocateProducerIdsRequest,
        _: Context<'_>,
    ) -> Outcome<AllocateProducerIdsResponse> {
        controller
            .decide(|machine, now, _| machine.allocate_producer_ids(now, &request))
            .await
            .into()
    }
}
