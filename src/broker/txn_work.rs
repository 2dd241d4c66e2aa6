//! What the transaction coordinators of a broker ask for, carried out: markers, and producer ids for
//! transactions that time out in their last epoch.

use std::sync::Arc;
use std::time::Duration;

use super::context::Broker;
use crate::base::LeaderEpoch;
use crate::io::World;
use crate::txn::Outgoing;

/// The pause after the controller gave no producer id.
const RETRY: Duration = Duration::from_millis(500);

/// Runs for as long as the node lives.
pub(crate) async fn run<W: World>(broker: Arc<Broker<W>>) {
    let Some(mut asked) = broker.txns.asked() else { return };
    while let Some(outgoing) = asked.recv().await {
        match outgoing {
            Outgoing::Markers(markers) => broker.txns.send(markers),
            Outgoing::Resigned { partition, epoch } => broker.txns.resigned(partition, epoch),
            Outgoing::NeedsProducerId { partition, epoch } => {
                let brought = bring_producer_id(broker.clone(), partition, epoch);
                broker.world.spawn("producer id", brought);
            }
        }
    }
}

/// Brings a producer id to a coordinator, however long that takes, as long as it leads.
async fn bring_producer_id<W: World>(broker: Arc<Broker<W>>, partition: i32, epoch: LeaderEpoch) {
    while broker.txns.leads(partition, epoch) {
        match broker.next_producer_id().await {
            Ok(id) => return broker.txns.bring(partition, epoch, id),
            Err(_) => broker.world.sleep_until(broker.world.now() + RETRY).await,
        }
    }
}
