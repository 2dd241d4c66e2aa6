//! AlterPartition: leaders ask the controller to change their in-sync replicas (KIP-497).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::context::Broker;
use super::outbox::IsrChange;
use crate::base::{BrokerId, PartitionEpoch, ReplicaProbe, Request};
use crate::io::World;
use crate::replica::{LeaderInput, Refusal};
use crate::wire::ErrorCode;
use crate::wire::messages::alter_partition_request::{BrokerState, PartitionData, TopicData};
use crate::wire::messages::{AlterPartitionRequest, AlterPartitionResponse, message};

/// How many proposals go into one request.
const MOST_AT_ONCE: usize = 1000;

/// Sends proposals for as long as the node lives, one request at a time.
pub(crate) async fn run<W: World>(
    broker: Arc<Broker<W>>,
    mut proposals: mpsc::UnboundedReceiver<IsrChange>,
) {
    let mut waiting = Vec::new();
    while proposals.recv_many(&mut waiting, MOST_AT_ONCE).await > 0 {
        // The answer names partitions, not proposals: of several about one partition, the newest
        // counts, and the others are of an epoch that is over.
        let newest: BTreeMap<_, IsrChange> =
            waiting.drain(..).map(|c: IsrChange| ((c.topic_id, c.name.partition), c)).collect();
        waiting.extend(newest.into_values());
        let request = request(&broker, &waiting);
        let deadline = broker.world.now() + broker.config.node.controller_socket_timeout;
        let answer = broker.controller.call(&request, deadline).await;
        let pause = match &answer {
            Ok(answer) if answer.error_code == 0 => false,
            Ok(answer) => {
                let error = ErrorCode::from_code(answer.error_code);
                tracing::info!(%error, "AlterPartition refused");
                true
            }
            Err(error) => {
                tracing::info!(%error, "AlterPartition failed");
                true
            }
        };
        if pause {
            // What became of it is unknown. The leader proposes again after this pause, with the
            // partition epoch that it then knows: the compare-and-set makes that safe.
            broker.world.sleep_until(broker.world.now() + Duration::from_millis(50)).await;
        }
        let answer = answer.unwrap_or_default();
        for change in waiting.drain(..) {
            settle(&broker, &change, &answer);
        }
    }
}

fn request<W: World>(broker: &Broker<W>, changes: &[IsrChange]) -> AlterPartitionRequest {
    let topics = changes.iter().map(|change| {
        let proposal = &change.proposal;
        let isr = proposal
            .isr
            .iter()
            .map(|(id, epoch)| message!(BrokerState { broker_id: id.0, broker_epoch: epoch.0 }));
        message!(TopicData {
            topic_id: change.topic_id.into(),
            partitions: vec![message!(PartitionData {
                partition_index: change.name.partition,
                leader_epoch: proposal.leader_epoch.0,
                new_isr_with_epochs: isr.collect(),
                partition_epoch: proposal.partition_epoch.0,
            })],
        })
    });
    message!(AlterPartitionRequest {
        broker_id: broker.me.0,
        broker_epoch: broker.epoch().0,
        topics: topics.collect(),
    })
}

/// Tells the leader what became of its proposal.
fn settle<W: World>(broker: &Broker<W>, change: &IsrChange, answer: &AlterPartitionResponse) {
    let Some(partition) = broker.replicas.find(change.topic_id, change.name.partition) else {
        return;
    };
    let answered = answer
        .topics
        .iter()
        .filter(|topic| topic.topic_id == change.topic_id.into())
        .flat_map(|topic| &topic.partitions)
        .find(|answered| answered.partition_index == change.name.partition);
    let input = match answered {
        Some(answered) if answered.error_code == 0 => {
            if answered.leader_epoch != change.proposal.leader_epoch.0 {
                // Deposed meanwhile; the metadata log will say the rest.
                return;
            }
            LeaderInput::Committed {
                partition_epoch: PartitionEpoch(answered.partition_epoch),
                isr: answered.isr.iter().map(|id| BrokerId(*id)).collect(),
            }
        }
        Some(answered) => refused(broker, change, ErrorCode::from_code(answered.error_code)),
        None if answer.error_code != 0 => {
            refused(broker, change, ErrorCode::from_code(answer.error_code))
        }
        None => unanswered(change, Refusal::Unknown),
    };
    partition.isr_answered(change.proposal.leader_epoch, input);
}

fn refused<W: World>(broker: &Broker<W>, change: &IsrChange, error: ErrorCode) -> LeaderInput {
    broker.world.probe(ReplicaProbe::Refused {
        partition: change.name.clone(),
        request: Request::AlterPartition,
        error: error.name(),
    });
    unanswered(change, Refusal::from(error))
}

fn unanswered(change: &IsrChange, refusal: Refusal) -> LeaderInput {
    LeaderInput::Refused { partition_epoch: change.proposal.partition_epoch, refusal }
}
