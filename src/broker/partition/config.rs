//! Settings of a topic that change while the node runs.

use super::{Partition, Role};
use crate::base::config::TopicConfig;
use crate::io::World;
use crate::replica::LeaderInput;

impl<W: World> Partition<W> {
    /// The topic has these settings from now on.
    pub(crate) fn configure(&self, config: TopicConfig) {
        let Ok(mut state) = self.state() else { return };
        if state.config == config {
            return;
        }
        state.log.set_config(self.site.log_config(&config));
        let min_insync = usize::try_from(config.min_insync_replicas).unwrap_or(1);
        state.config = config;
        if matches!(state.role, Role::Leader(_)) && !state.is_offline() {
            self.step(&mut state, LeaderInput::MinInsync(min_insync));
        }
        state.check(&self.name);
    }

    /// The node has other settings for producers and transactions.
    pub(crate) fn configure_producers(&self) {
        let Ok(mut state) = self.state() else { return };
        let config = self.site.log_config(&state.config);
        state.log.set_config(config);
        self.note_producers(&mut state);
    }
}
