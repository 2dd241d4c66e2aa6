//! ElectLeaders: the controller decides; a broker passes the request on and the answer back.

use std::sync::Arc;

use crate::broker::api::forward::{pass_on, patience};
use crate::broker::context::Broker;
use crate::broker::controller::ControllerShell;
use crate::broker::serve::handler::{Context, Handler, Outcome};
use crate::io::World;
use crate::wire::messages::elect_leaders_response::{PartitionResult, ReplicaElectionResult};
use crate::wire::messages::{ElectLeadersRequest, ElectLeadersResponse, message};

pub(in crate::broker) struct ElectLeaders;

impl<W: World> Handler<Broker<W>> for ElectLeaders {
    type Request = ElectLeadersRequest;
    type Response = ElectLeadersResponse;

    async fn handle(
        broker: &Arc<Broker<W>>,
        request: ElectLeadersRequest,
        context: Context<'_>,
    ) -> ElectLeadersResponse {
        // Where all partitions are meant, only this says so; version 0 can't.
        let has_error = context.version >= 1;
        let patience = patience(request.timeout_ms);
        pass_on(broker, request, patience, |request, error_code, text| {
            let topics = request.topic_partitions.unwrap_or_default();
            let refused = topics.into_iter().map(|topic| {
                let each = topic.partitions.into_iter().map(|index| {
                    message!(PartitionResult {
                        partition_id: index,
                        error_code: error_code,
                        error_message: Some(text.clone()),
                    })
                });
                message!(ReplicaElectionResult {
                    topic: topic.topic,
                    partition_result: each.collect(),
                })
            });
            message!(ElectLeadersResponse {
                error_code: if has_error { error_code } else { 0 },
                replica_election_results: refused.collect(),
            })
        })
        .await
    }
}

impl<W: World> Handler<ControllerShell<W>> for ElectLeaders {
    type Request = ElectLeadersRequest;
    type Response = Outcome<ElectLeadersResponse>;

    async fn handle(
        controller: &Arc<ControllerShell<W>>,
        request: ElectLeadersRequest,
        _: Context<'_>,
    ) -> Outcome<ElectLeadersResponse> {
        controller.decide(|machine, now, _| machine.elect_leaders(now, &request)).await.into()
    }
}
