//! AlterPartition: a leader proposes another ISR (KIP-497).

use std::sync::Arc;

use crate::broker::controller::ControllerShell;
use crate::broker::serve::handler::{Context, Handler, Outcome};
use crate::io::World;
use crate::wire::messages::{AlterPartitionRequest, AlterPartitionResponse};

pub(in crate::broker) struct AlterPartition;

impl<W: World> Handler<ControllerShell<W>> for AlterPartition {
    type Request = AlterPartitionRequest;
    type Response = Outcome<AlterPartitionResponse>;

    async fn handle(
        controller: &Arc<ControllerShell<W>>,
        request: AlterPartitionRequest,
        _: Context<'_>,
    ) -> Outcome<AlterPartitionResponse> {
        controller.decide(|machine, now, _| machine.alter_partition(now, &request)).await.into()
    }
}
