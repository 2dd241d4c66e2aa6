//! The hosts of a scenario: what each runs when it boots.

use std::sync::Arc;

use parking_lot::Mutex;

use super::load::{self, Consuming, Producing, Shared};
use super::roles::{Host, Kind};
use crate::base::config::{AdminConfig, BrokerConfig, ConsumerConfig, OffsetReset, TopicConfig};
use crate::base::{BrokerId, Flaws, Instant, TopicPartition};
use crate::broker::{Node, NodeOptions};
use crate::scenario::Plan;
use crate::scenario::{Scenario, Topic, Work};
use crate::sim::{Boot, Engine, HostId, SimWorld};

const BROKER_PORT: u16 = 9092;
const CONTROLLER_PORT: u16 = 9093;
/// Ids of controllers follow those of brokers, as in most real clusters.
const FIRST_CONTROLLER: i32 = 101;
const CONTROLLER_LISTENER: &str = "CONTROLLER";

/// Nodes that ended with an error, as they said it.
pub(super) type Ends = Arc<Mutex<Vec<(Instant, HostId, String)>>>;

/// Adds the controllers and brokers.
pub(super) fn nodes<E: Engine<World: SimWorld>>(
    engine: &mut E,
    scenario: &Scenario,
    ends: &Ends,
) -> Vec<Host> {
    let cluster = &scenario.cluster;
    let voters: Vec<_> = (1..=cluster.controllers)
        .map(|number| {
            let id = FIRST_CONTROLLER + i32::from(number) - 1;
            format!("{id}@c{number}:{CONTROLLER_PORT}")
        })
        .collect();
    let base = BrokerConfig {
        controller_quorum_voters: voters,
        controller_listener_names: vec![CONTROLLER_LISTENER.into()],
        log_dirs: cluster.log_dirs(),
        advertised_listeners: Vec::new(),
        ..cluster.config.clone()
    };
    let mut hosts = Vec::new();
    for number in 1..=cluster.controllers {
        let name = format!("c{number}");
        let config = BrokerConfig {
            node_id: FIRST_CONTROLLER + i32::from(number) - 1,
            process_roles: vec!["controller".into()],
            listeners: vec![format!("{CONTROLLER_LISTENER}://{name}:{CONTROLLER_PORT}")],
            ..base.clone()
        };
        let boot = node(config, cluster.topic_defaults.clone(), scenario.flaws(), ends);
        hosts.push(host(engine, name, Kind::Controller, boot));
    }
    for number in 1..=cluster.brokers {
        let name = format!("b{number}");
        let config = BrokerConfig {
            node_id: i32::from(number),
            process_roles: vec!["broker".into()],
            listeners: vec![format!("PLAINTEXT://{name}:{BROKER_PORT}")],
            ..base.clone()
        };
        let boot = node(config, cluster.topic_defaults.clone(), scenario.flaws(), ends);
        hosts.push(host(engine, name, Kind::Broker(BrokerId(i32::from(number))), boot));
    }
    hosts
}

fn node<W: SimWorld>(
    config: BrokerConfig,
    topics: TopicConfig,
    flaws: Flaws,
    ends: &Ends,
) -> Boot<W> {
    let ends = ends.clone();
    load::boot(move |world: W| {
        let (config, topics, ends) = (config.clone(), topics.clone(), ends.clone());
        async move {
            let options = NodeOptions { flaws, ..NodeOptions::default() };
            let ended = match Node::start_with(world.clone(), config, topics, options).await {
                Ok(node) => node.run().await,
                Err(error) => Err(error),
            };
            if let Err(error) = ended {
                ends.lock().push((world.true_now(), world.host(), error.to_string()));
            }
        }
    })
}

fn host<E: Engine>(engine: &mut E, name: String, kind: Kind, boot: Boot<E::World>) -> Host {
    let id = engine.add_host(&name, boot);
    Host { id, name, kind, up: true, paused: false, ready: false }
}

/// Where the cluster is found.
pub(crate) fn bootstrap(scenario: &Scenario) -> Vec<String> {
    (1..=scenario.cluster.brokers).map(|number| format!("b{number}:{BROKER_PORT}")).collect()
}

/// Adds the host that creates the topics.
pub(super) fn admin<E: Engine<World: SimWorld>>(
    engine: &mut E,
    scenario: &Scenario,
    topics: Vec<Topic>,
    control: &Shared,
) -> Host {
    let config = AdminConfig { bootstrap_servers: bootstrap(scenario), ..AdminConfig::default() };
    let boot = load::admin(topics, config, control.clone());
    host(engine, "a1".into(), Kind::Admin, boot)
}

/// A topic's partitions.
pub(super) fn partitions(topic: &Topic) -> Vec<TopicPartition> {
    let name: Arc<str> = topic.name.as_str().into();
    (0..topic.partitions).map(|index| TopicPartition::new(name.clone(), index)).collect()
}

/// Adds producers and consumers.
pub(super) fn clients<E: Engine<World: SimWorld>>(
    engine: &mut E,
    scenario: &Scenario,
    plan: &Plan,
    control: &Shared,
) -> Vec<Host> {
    let mut hosts = Vec::new();
    let (mut producers, mut consumers) = (0, 0);
    for (load, clients) in scenario.loads.iter().zip(&plan.clients) {
        match &load.work {
            Work::Produce { rate, begins, records, record_size, config } => {
                for _ in 0..*clients {
                    producers += 1;
                    let name = format!("p{producers}");
                    let mut config = config.as_ref().clone();
                    config.bootstrap_servers = bootstrap(scenario);
                    config.client_id = name.clone();
                    let work = Producing {
                        number: producers,
                        topic: scenario.topic.name.as_str().into(),
                        partitions: scenario.topic.partitions,
                        keys: scenario.topic.keys,
                        interval: rate.interval(*clients),
                        begins: *begins,
                        records: *records,
                        record_size: *record_size,
                        config,
                        flaws: scenario.flaws(),
                    };
                    let boot = load::producer(work, control.clone());
                    hosts.push(host(engine, name, Kind::Producer, boot));
                }
            }
            Work::Consume { config } => {
                let mut shares = vec![Vec::new(); usize::try_from(*clients).unwrap_or(1).max(1)];
                for (index, partition) in partitions(&scenario.topic).into_iter().enumerate() {
                    let share = index % shares.len();
                    shares[share].push(partition);
                }
                for share in shares {
                    consumers += 1;
                    let mut work = consuming(scenario, consumers, share, config);
                    work.1.flaws = scenario.flaws();
                    let boot = load::consumer(work.1, control.clone());
                    hosts.push(host(engine, work.0, Kind::Consumer, boot));
                }
            }
        }
    }
    hosts
}

/// Adds the reader that reads everything once more.
pub(super) fn final_reader<E: Engine<World: SimWorld>>(
    engine: &mut E,
    scenario: &Scenario,
    partitions: Vec<TopicPartition>,
    number: u32,
    control: &Shared,
) -> Host {
    let config = ConsumerConfig::default();
    let (name, work) = consuming(scenario, number, partitions, &config);
    let boot = load::final_reader(work, control.clone());
    host(engine, name, Kind::Consumer, boot)
}

fn consuming(
    scenario: &Scenario,
    number: u32,
    partitions: Vec<TopicPartition>,
    config: &ConsumerConfig,
) -> (String, Consuming) {
    let name = format!("k{number}");
    let mut config = config.clone();
    config.bootstrap_servers = bootstrap(scenario);
    config.client_id = name.clone();
    if config.auto_offset_reset == OffsetReset::Latest {
        // What is skipped can't be judged: `latest` only where somebody insists on Kafka's default.
        config.auto_offset_reset = OffsetReset::Earliest;
    }
    (name, Consuming { number, partitions, config, flaws: Flaws::default() })
}
