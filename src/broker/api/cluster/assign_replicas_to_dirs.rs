//! AssignReplicasToDirs: a broker reports which log directory has which replica (KIP-858).

use std::sync::Arc;

use crate::broker::controller::ControllerShell;
use crate::broker::serve::handler::{Context, Handler, Outcome};
use crate::io::World;
use crate::wire::messages::{AssignReplicasToDirsRequest, AssignReplicasToDirsResponse};

pub(in crate::broker) struct AssignReplicasToDirs;

impl<W: World> Handler<ControllerShell<W>> for AssignReplicasToDirs {
    type Request = AssignReplicasToDirsRequest;
    type Response = Outcome<AssignReplicasToDirsResponse>;

    async fn handle(
        controller: &Arc<ControllerShell<W>>,
        request: AssignReplicasToDirsRequest,
        _: Context<'_>,
    ) -> Outcome<AssignReplicasToDirsResponse> {
        controller.decide(|machine, _, _| machine.assign_replicas_to_dirs(&request)).await.into()
    }
}
