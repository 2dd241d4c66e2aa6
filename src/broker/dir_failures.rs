//! What a broker does when one of its directories has failed. Source: Kafka's
//! `ReplicaManager.handleLogDirFailure`.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::context::Broker;
use crate::base::{DirectoryId, Flaw};
use crate::io::World;

/// Takes what is in a failed directory offline and lets the controller know, for as long as the
/// node lives.
pub(crate) async fn run<W: World>(
    broker: Arc<Broker<W>>,
    mut failures: mpsc::UnboundedReceiver<DirectoryId>,
) {
    while let Some(id) = failures.recv().await {
        if !broker.replicas.dirs().can_go_on(id) {
            broker.replicas.dirs().lost.notify_one();
            continue;
        }
        for partition in broker.replicas.all() {
            if partition.home().id() == id {
                partition.directory_failed();
            }
        }
        broker.replicas.followed_changed.notify_one();
        broker.heartbeat_due.notify_one();
        broker.world.spawn("directory", give_up(broker.clone(), id));
    }
}

/// A broker that can't tell its controller leads what it can't serve: it had better end.
async fn give_up<W: World>(broker: Arc<Broker<W>>, id: DirectoryId) {
    let patience = broker.config.node.log_dir_failure_timeout;
    broker.world.sleep_until(broker.world.now() + patience).await;
    let mut dirs = broker.replicas.dirs().of_replicas();
    if dirs.any(|home| home.id() == id && !home.is_reported()) {
        tracing::error!("the controller could not be told of a failed directory in time");
        broker.replicas.dirs().lost.notify_one();
    }
}

/// The failed directories that a heartbeat names.
pub(crate) fn to_report<W: World>(broker: &Broker<W>) -> Vec<DirectoryId> {
    let failed = broker.replicas.dirs().failed_ids();
    if broker.flaws.has(Flaw::DeadDirectoryStaysLeader) {
        reported(broker, &failed);
        return Vec::new();
    }
    failed
}

/// The controller has answered a heartbeat that named these.
pub(crate) fn reported<W: World>(broker: &Broker<W>, ids: &[DirectoryId]) {
    for home in broker.replicas.dirs().of_replicas().filter(|home| ids.contains(&home.id())) {
        home.set_reported();
    }
}
