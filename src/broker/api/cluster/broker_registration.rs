//! BrokerRegistration: a broker that has started asks to join the cluster (KIP-631).

use std::sync::Arc;

use crate::broker::controller::ControllerShell;
use crate::broker::serve::handler::{Context, Handler, Outcome};
use crate::io::World;
use crate::wire::messages::{BrokerRegistrationRequest, BrokerRegistrationResponse};

pub(in crate::broker) struct BrokerRegistration;

impl<W: World> Handler<ControllerShell<W>> for BrokerRegistration {
    type Request = BrokerRegistrationRequest;
    type Response = Outcome<BrokerRegistrationResponse>;

    async fn handle(
        controller: &Arc<ControllerShell<W>>,
        request: BrokerRegistrationRequest,
        _: Context<'_>,
    ) -> Outcome<BrokerRegistrationResponse> {
        controller
            .decide(|machine, now, next| machine.register_broker(now, next, &request))
            .await
            .into()
    }
}
