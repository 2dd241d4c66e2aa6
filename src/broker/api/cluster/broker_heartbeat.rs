//! BrokerHeartbeat: a broker reports that it is alive, and may ask to shut down (KIP-631).

use std::sync::Arc;

use crate::broker::controller::ControllerShell;
use crate::broker::serve::handler::{Context, Handler, Outcome};
use crate::io::World;
use crate::wire::messages::{BrokerHeartbeatRequest, BrokerHeartbeatResponse};

pub(in crate::broker) struct BrokerHeartbeat;

impl<W: World> Handler<ControllerShell<W>> for BrokerHeartbeat {
    type Request = BrokerHeartbeatRequest;
    type Response = Outcome<BrokerHeartbeatResponse>;

    async fn handle(
        controller: &Arc<ControllerShell<W>>,
        request: BrokerHeartbeatRequest,
        _: Context<'_>,
    ) -> Outcome<BrokerHeartbeatResponse> {
        controller.decide(|machine, _, _| machine.heartbeat(&request)).await.into()
    }
}
