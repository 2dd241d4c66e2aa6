//! Topics that a request asks for and that do not exist: the controller is asked to create them,
//! and the client asks again.
//!
//! Source: Kafka's `DefaultAutoTopicCreationManager`.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::channel::ControllerChannel;
use crate::base::config::NodeConfig;
use crate::base::topics;
use crate::io::World;
use crate::rpc::RpcError;
use crate::wire::ErrorCode;
use crate::wire::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use crate::wire::messages::{CreateTopicsRequest, CreateTopicsResponse, message};

/// How long the controller may take. Source: Kafka's default of `request.timeout.ms`.
const PATIENCE: Duration = Duration::from_secs(30);

/// Asks the controller for topics.
pub(crate) struct AutoTopics<W: World> {
    world: W,
    controller: ControllerChannel<W>,
    config: NodeConfig,
    /// Those of which the controller was asked, and has not answered.
    asked: Mutex<BTreeSet<String>>,
}

impl<W: World> AutoTopics<W> {
    pub(crate) fn new(
        world: W,
        controller: ControllerChannel<W>,
        config: &NodeConfig,
    ) -> Arc<Self> {
        let (config, asked) = (config.clone(), Mutex::default());
        Arc::new(Self { world, controller, config, asked })
    }

    /// Asks the controller to create a topic, unless that is under way. Returns at once.
    pub(crate) fn create(self: &Arc<Self>, name: &str) {
        if !self.asked.lock().insert(name.to_owned()) {
            return;
        }
        let request = message!(CreateTopicsRequest {
            topics: vec![creatable(name, &self.config)],
            timeout_ms: PATIENCE.as_millis() as i32,
        });
        let (topics, name) = (self.clone(), name.to_owned());
        self.world.spawn("auto topic", async move {
            let deadline = topics.world.now() + PATIENCE;
            report(&name, topics.controller.call(&request, deadline).await);
            topics.asked.lock().remove(&name);
        });
    }
}

fn report(topic: &str, answer: Result<CreateTopicsResponse, RpcError>) {
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => return tracing::warn!(topic, %error, "can't create a topic on demand"),
    };
    let created = answer.topics.first();
    let error = ErrorCode::from_code(created.map_or(0, |topic| topic.error_code));
    let why = created.and_then(|topic| topic.error_message.as_deref()).unwrap_or_default();
    match error {
        ErrorCode::None => tracing::info!(topic, "created on demand"),
        // Another broker was faster.
        ErrorCode::TopicAlreadyExists => {}
        _ => tracing::warn!(topic, %error, why, "can't create a topic on demand"),
    }
}

/// The topic as it is created: an internal one has its own partitions, replicas and settings.
fn creatable(name: &str, config: &NodeConfig) -> CreatableTopic {
    let (group, txn) = (&config.group, &config.txn);
    let (partitions, copies, configs) = match name {
        topics::CONSUMER_OFFSETS => (
            group.offsets_topic_num_partitions,
            group.offsets_topic_replication_factor,
            vec![
                ("cleanup.policy", "compact".to_owned()),
                ("compression.type", "producer".to_owned()),
                ("segment.bytes", group.offsets_topic_segment_bytes.to_string()),
            ],
        ),
        topics::TRANSACTION_STATE => (
            txn.transaction_state_log_num_partitions,
            txn.transaction_state_log_replication_factor,
            vec![
                ("cleanup.policy", "compact".to_owned()),
                ("compression.type", "uncompressed".to_owned()),
                ("min.insync.replicas", txn.transaction_state_log_min_isr.to_string()),
                ("segment.bytes", txn.transaction_state_log_segment_bytes.to_string()),
                ("unclean.leader.election.enable", "false".to_owned()),
            ],
        ),
        _ => {
            let copies = config.node.default_replication_factor;
            let copies = i16::try_from(copies).unwrap_or(i16::MAX);
            (config.node.num_partitions, copies, Vec::new())
        }
    };
    let config = |(name, value): (&str, String)| {
        message!(CreatableTopicConfig { name: name.into(), value: Some(value.into()) })
    };
    message!(CreatableTopic {
        name: name.into(),
        num_partitions: partitions,
        replication_factor: copies,
        configs: configs.into_iter().map(config).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_topic_has_its_own_shape_and_others_that_of_the_node() {
        let mut config = NodeConfig::default();
        let pairs = [
            ("offsets.topic.num.partitions", "7"),
            ("offsets.topic.replication.factor", "2"),
            ("offsets.topic.segment.bytes", "2097152"),
            ("num.partitions", "4"),
            ("default.replication.factor", "3"),
        ];
        config.set_all(pairs).unwrap();
        let internal = creatable("__consumer_offsets", &config);
        assert_eq!((internal.num_partitions, internal.replication_factor), (7, 2));
        let configs = internal.configs.iter();
        let configs: Vec<_> =
            configs.map(|c| (&*c.name, c.value.as_deref().unwrap_or_default())).collect();
        let expected = [
            ("cleanup.policy", "compact"),
            ("compression.type", "producer"),
            ("segment.bytes", "2097152"),
        ];
        assert_eq!(configs, expected);
        let other = creatable("orders", &config);
        assert_eq!((other.num_partitions, other.replication_factor), (4, 3));
        assert!(other.configs.is_empty());
    }

    #[test]
    fn transaction_topic_is_never_led_by_a_replica_that_lacks_records() {
        let mut config = NodeConfig::default();
        let pairs = [
            ("transaction.state.log.num.partitions", "5"),
            ("transaction.state.log.replication.factor", "2"),
            ("transaction.state.log.min.isr", "1"),
        ];
        config.set_all(pairs).unwrap();
        let internal = creatable("__transaction_state", &config);
        assert_eq!((internal.num_partitions, internal.replication_factor), (5, 2));
        let value = |name: &str| {
            let config = internal.configs.iter().find(|config| *config.name == *name);
            config.and_then(|config| config.value.as_deref()).unwrap_or_default().to_owned()
        };
        assert_eq!(value("min.insync.replicas"), "1");
        assert_eq!(value("unclean.leader.election.enable"), "false");
        assert_eq!(value("cleanup.policy"), "compact");
    }
}
