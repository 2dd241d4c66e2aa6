//! A test's handle on the cluster: finds leaders, injects faults, heals.

use std::time::Duration;

use tokio::sync::oneshot;

use super::{Fault, Host};
use crate::base::TopicPartition;
use crate::run::faults::Refusal;
use crate::run::guests::Order;

/// Time between two looks at whether the cluster has settled.
const PAUSE: Duration = Duration::from_millis(50);

/// A handle on the simulated cluster from outside: finds leaders, injects faults, heals.
///
/// ```
/// use std::time::Duration;
/// use brokerquake::prelude::*;
///
/// Simulation::new("a new leader is found")
///     .topic("orders", |topic| topic.partitions(1).replication_factor(3))
///     .driver(|cluster| async move {
///         let old = cluster.leader("orders", 0).await?;
///         cluster.strike(Fault::kill("leader")).await?;
///         cluster.host().sleep(Duration::from_secs(12)).await;
///         assert_ne!(cluster.leader("orders", 0).await?, old);
///         cluster.heal().await
///     })
///     .seeds(0..1)
///     .assert_holds();
/// ```
#[derive(Clone)]
pub struct Cluster {
    host: Host,
}

/// Why a fault did not strike.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FaultError {
    /// No host fits its target now, or all that fit are down already.
    #[error("no host to strike: {0}")]
    NoHost(String),
    /// A word or a value of it is invalid.
    #[error("{fault}: {problem}")]
    Wrong {
        /// The fault.
        fault: String,
        /// What is wrong with it, and what would be right.
        problem: String,
    },
    /// The engine has no such fault.
    #[error("{0}")]
    Unsupported(String),
    /// Everything is being healed, so that the cluster can show that it recovers.
    #[error("faults are over: strike earlier, or make the simulation's `duration` longer")]
    Over,
    /// The program runs outside a simulation.
    #[error("the program runs for real: faults strike in a simulation only")]
    Reality,
}

impl Cluster {
    pub(super) fn new(host: Host) -> Self {
        if let Some(watched) = host.watched() {
            watched.book.lock().directed = true;
        }
        Self { host }
    }

    /// The host on which this handle is used: what has a clock, and remarks for the history.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// Lets a fault strike now, and says what struck. Of its times only `down` and `delay` count;
    /// without `down` it lasts until [`Cluster::heal`].
    pub async fn strike(&self, fault: Fault) -> Result<String, FaultError> {
        let table = fault.to_toml();
        let struck = self.order(|answer| Order::Strike(table, answer)).await?;
        struck.map_err(|refusal| match refusal {
            Refusal::NoHost => FaultError::NoHost(fault.to_string()),
            Refusal::Wrong(problem) => FaultError::Wrong { fault: fault.to_string(), problem },
            Refusal::Unsupported(why) => FaultError::Unsupported(why),
        })
    }

    /// Ends every lasting fault: hosts that are down boot, links that are cut work again.
    pub async fn heal(&self) -> Result<(), FaultError> {
        self.order(Order::Heal).await
    }

    /// The name of the host that leads a partition, as the controller last committed it; `None`
    /// while there is no leader.
    pub async fn leader(&self, topic: &str, partition: i32) -> Result<Option<String>, FaultError> {
        let partition = TopicPartition::new(topic, partition);
        self.order(|answer| Order::Leader(partition, answer)).await
    }

    /// Waits until all brokers answer and all replicas are in sync.
    pub async fn settled(&self) -> Result<(), FaultError> {
        let _waits = self.host.waits(|| "a cluster in which all replicas are in sync".into());
        while !self.order(Order::Settled).await? {
            self.host.sleep(PAUSE).await;
        }
        Ok(())
    }

    async fn order<T>(
        &self,
        order: impl FnOnce(oneshot::Sender<T>) -> Order,
    ) -> Result<T, FaultError> {
        let Some(watched) = self.host.watched() else { return Err(FaultError::Reality) };
        self.host.go_on().await;
        let (answer, answered) = oneshot::channel();
        let ordered = watched.book.lock().order(order(answer));
        ordered.map_err(|_| FaultError::Over)?;
        answered.await.map_err(|_| FaultError::Over)
    }
}
