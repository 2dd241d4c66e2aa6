//! What the settings of all clients have in common, and what each client begins with: a kernel, random
//! numbers, connections, and their metrics.

use std::sync::Arc;
use std::time::Duration;

use rand_chacha::ChaCha12Rng;
use xxhash_rust::xxh3::xxh3_64;

use super::core::{Kernel, Settings};
use super::driver::connecting;
use crate::base::config::{AdminConfig, ConfigError, ConsumerConfig, ProducerConfig};
use crate::base::{Instant, Stream};
use crate::client::metrics::{Nodes, Sampling};
use crate::io::World;
use crate::rpc::{Backoff, Meter, Pool};

/// Kafka's default of `metadata.max.age.ms`. An administrator asks for metadata when it needs it.
const METADATA_MAX_AGE: Duration = Duration::from_secs(300);

/// The settings that all clients have.
pub(in crate::client) struct ClientSettings<'a> {
    /// Names the client's stream of random numbers.
    kind: &'static str,
    client_id: &'a str,
    kernel: Settings<'a>,
    reconnect: (Duration, Duration),
    sampling: Sampling,
}

impl ClientSettings<'_> {
    pub(in crate::client) fn kernel(
        self,
        now: Instant,
        random: ChaCha12Rng,
    ) -> Result<Kernel, ConfigError> {
        Kernel::new(self.kernel, now, random)
    }

    pub(in crate::client) fn sampling(&self) -> Sampling {
        self.sampling
    }

    /// Its own random numbers, which depend on its `client.id`.
    pub(in crate::client) fn random(&self, world: &impl World) -> ChaCha12Rng {
        world.random(Stream::numbered(self.kind, xxh3_64(self.client_id.as_bytes())))
    }

    /// Its connections, and what they measure.
    pub(in crate::client) fn pool<W: World>(&self, world: &W) -> (Pool<W>, Arc<Nodes>) {
        let nodes = Arc::new(Nodes::new(self.sampling));
        let meter: Arc<dyn Meter> = nodes.clone();
        let connecting = connecting(self.reconnect);
        (Pool::metered(world.clone(), self.client_id, connecting, Some(meter)), nodes)
    }
}

/// One row for each kind of client: its name, and what its settings have or lack.
macro_rules! clients {
    ($($Config:ident = $kind:literal, $max_age:expr, $may_create:expr;)*) => {
        $(impl<'a> From<&'a $Config> for ClientSettings<'a> {
            fn from(config: &'a $Config) -> Self {
                let kernel = Settings {
                    bootstrap_servers: &config.bootstrap_servers,
                    backoff: Backoff::new(config.retry_backoff, config.retry_backoff_max),
                    metadata_max_age: $max_age(config),
                    may_create: $may_create(config),
                };
                Self {
                    kind: $kind,
                    client_id: &config.client_id,
                    kernel,
                    reconnect: (config.reconnect_backoff, config.reconnect_backoff_max),
                    sampling: Sampling::new(config.metrics_samples, config.metrics_window),
                }
            }
        })*
    };
}

clients! {
    ProducerConfig = "producer",
        |config: &ProducerConfig| config.metadata_max_age,
        |_: &ProducerConfig| true;
    ConsumerConfig = "consumer",
        |config: &ConsumerConfig| config.metadata_max_age,
        |config: &ConsumerConfig| config.allow_auto_create;
    AdminConfig = "admin",
        |_: &AdminConfig| METADATA_MAX_AGE,
        |_: &AdminConfig| false;
}
