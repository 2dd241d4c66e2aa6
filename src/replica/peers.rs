//! The brokers that may be in sync, from committed metadata.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::{BrokerEpoch, BrokerId};
use crate::controller::{Broker, Image};

/// The state of a registered broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    pub epoch: BrokerEpoch,
    pub fenced: bool,
    pub shutting_down: bool,
}

impl From<&Broker> for Peer {
    fn from(broker: &Broker) -> Self {
        Self {
            epoch: broker.epoch,
            fenced: broker.fenced,
            shutting_down: broker.shutting_down.is_some(),
        }
    }
}

/// Every registered broker. Cheap to clone: all partitions of a broker share one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peers(Arc<BTreeMap<BrokerId, Peer>>);

impl Peers {
    /// A broker's state; `None` if it is not registered.
    pub fn get(&self, id: BrokerId) -> Option<Peer> {
        self.0.get(&id).copied()
    }
}

impl FromIterator<(BrokerId, Peer)> for Peers {
    fn from_iter<I: IntoIterator<Item = (BrokerId, Peer)>>(peers: I) -> Self {
        Self(Arc::new(peers.into_iter().collect()))
    }
}

impl From<&Image> for Peers {
    fn from(image: &Image) -> Self {
        image.brokers().map(|(id, broker)| (id, broker.into())).collect()
    }
}
