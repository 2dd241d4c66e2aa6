//! Settings of a topic that change while the node runs.

use super::{Partition, Role};
use crate::base::config::TopicConfig;
use crate::io::World;
use crate::log::LogConfig;
use crate::replica::LeaderInput;

impl<W: World> Partition<W> {
    /// The topic has these settings from now on.
    pub(crate) fn configure(&self, config: TopicConfig) {
        let Ok(mut state) = self.state() else { return };
        if state.config == config {
            return;
        }
        let was = state.log.config();
        // What the checkpoints and the node say of this log stays.
        let log = LogConfig {
            producer_expiration: was.producer_expiration,
            ..LogConfig::new(&config, self.site.flaws)
        };
        state.log.set_config(log);
        let min_insync = usize::try_from(config.min_insync_replicas).unwrap_or(1);
        state.config = config;
        if matches!(state.role, Role::Leader(_)) && !state.is_offline() {
            self.step(&mut state, LeaderInput::MinInsync(min_insync));
        }
        state.check(&self.name);
    }
}
