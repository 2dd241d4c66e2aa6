//! AssignReplicasToDirs: a broker with several directories tells the controller in which of them
//! each replica is, for only then can the controller know what a failed one takes away (KIP-858).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::context::Broker;
use super::outbox::Assignment;
use crate::base::{DirectoryId, TopicId};
use crate::io::World;
use crate::wire::ErrorCode;
use crate::wire::messages::assign_replicas_to_dirs_request::{
    DirectoryData, PartitionData, TopicData,
};
use crate::wire::messages::{AssignReplicasToDirsRequest, AssignReplicasToDirsResponse, message};

/// Most replicas in one request. Source: Kafka's `AssignmentsManager.MAX_ASSIGNMENTS_PER_REQUEST`.
const MOST_AT_ONCE: usize = 2250;
/// Pause after a request that came to nothing.
const PAUSE: Duration = Duration::from_millis(100);

type Waiting = BTreeMap<(TopicId, i32), DirectoryId>;

/// Sends assignments for as long as the node lives, one request at a time, each until the
/// controller has taken it.
pub(crate) async fn run<W: World>(
    broker: Arc<Broker<W>>,
    mut assignments: mpsc::UnboundedReceiver<Assignment>,
) {
    let (mut waiting, mut news) = (Waiting::new(), Vec::new());
    loop {
        if waiting.is_empty() && assignments.recv_many(&mut news, MOST_AT_ONCE).await == 0 {
            return;
        }
        while let Ok(more) = assignments.try_recv() {
            news.push(more);
        }
        waiting.extend(news.drain(..).map(|one| ((one.topic_id, one.partition), one.directory)));
        // Partitions that were deleted, and directories that the controller knows by now, are done.
        let image = broker.image();
        waiting.retain(|(topic, partition), directory| {
            let state = image.partition(*topic, *partition);
            state.is_some_and(|state| state.directory_of(broker.me) != *directory)
        });
        if waiting.is_empty() {
            continue;
        }
        let asked: Waiting = waiting.iter().take(MOST_AT_ONCE).map(|(k, v)| (*k, *v)).collect();
        let deadline = broker.world.now() + broker.config.node.controller_socket_timeout;
        let answer = broker.controller.call(&request(&broker, &asked), deadline).await;
        let settled = match answer {
            Ok(answer) => settled(&answer),
            Err(error) => {
                tracing::info!(%error, "AssignReplicasToDirs failed");
                Vec::new()
            }
        };
        if settled.is_empty() {
            broker.world.sleep_until(broker.world.now() + PAUSE).await;
        }
        for key in settled {
            if asked.get(&key) == waiting.get(&key) {
                waiting.remove(&key);
            }
        }
    }
}

fn request<W: World>(broker: &Broker<W>, asked: &Waiting) -> AssignReplicasToDirsRequest {
    let mut by_directory: BTreeMap<DirectoryId, BTreeMap<TopicId, Vec<i32>>> = BTreeMap::new();
    for ((topic, partition), directory) in asked {
        let topics = by_directory.entry(*directory).or_default();
        topics.entry(*topic).or_default().push(*partition);
    }
    let partitions = |indexes: Vec<i32>| {
        indexes
            .into_iter()
            .map(|index| message!(PartitionData { partition_index: index }))
            .collect()
    };
    let directories = by_directory.into_iter().map(|(id, topics)| {
        let topics = topics.into_iter().map(|(topic, indexes)| {
            message!(TopicData { topic_id: topic.into(), partitions: partitions(indexes) })
        });
        message!(DirectoryData { id: id.into(), topics: topics.collect() })
    });
    message!(AssignReplicasToDirsRequest {
        broker_id: broker.me.0,
        broker_epoch: broker.epoch().0,
        directories: directories.collect(),
    })
}

/// Replicas about which there is no more to say: taken, or of topics that are gone.
fn settled(answer: &AssignReplicasToDirsResponse) -> Vec<(TopicId, i32)> {
    if answer.error_code != 0 {
        let error = ErrorCode::from_code(answer.error_code);
        tracing::info!(%error, "AssignReplicasToDirs refused");
        return Vec::new();
    }
    let topics = answer.directories.iter().flat_map(|directory| &directory.topics);
    let told = topics.flat_map(|topic| topic.partitions.iter().map(|p| (topic.topic_id, p)));
    told.map(|(topic, partition)| (topic.into(), partition.partition_index)).collect()
}
