//! The hosts of a scenario, and the software on each.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::own::{self, Shared};
use super::roles::{Host, Kind};
use crate::base::config::{AdminConfig, BrokerConfig, ConsumerConfig, NodeConfig, QuorumConfig};
use crate::base::{Address, BrokerId, Instant, Listener, TopicPartition};
use crate::broker::{Node, NodeOptions};
use crate::scenario::load::{self, Seats, SharedSignals, Side};
use crate::scenario::{Plan, Scenario, Topic};
use crate::sim::{Boot, Engine, HostId, SimWorld};
use crate::txn::TRANSACTION_VERSION;

const BROKER_PORT: u16 = 9092;
const CONTROLLER_PORT: u16 = 9093;
/// Ids of controllers follow those of brokers, as in most real clusters.
const FIRST_CONTROLLER: i32 = 101;
const CONTROLLER_LISTENER: &str = "CONTROLLER";

/// Nodes that ended with an error: when, which, and the error.
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
    let base = NodeConfig {
        group: scenario.group_config(),
        txn: scenario.txn_config(),
        node: BrokerConfig {
            log_dirs: cluster.log_dirs(),
            advertised_listeners: Vec::new(),
            ..cluster.config.node.clone()
        },
        quorum: QuorumConfig {
            controller_quorum_voters: voters,
            controller_listener_names: vec![CONTROLLER_LISTENER.into()],
            ..cluster.config.quorum.clone()
        },
        ..cluster.config.clone()
    };
    let mut hosts = Vec::new();
    for number in 1..=cluster.controllers {
        let name = format!("c{number}");
        let own = BrokerConfig {
            node_id: FIRST_CONTROLLER + i32::from(number) - 1,
            process_roles: vec!["controller".into()],
            listeners: vec![listener(CONTROLLER_LISTENER, &name, CONTROLLER_PORT)],
            ..base.node.clone()
        };
        let config = NodeConfig { node: own, ..base.clone() };
        let boot = node(config, scenario, ends);
        hosts.push(host(engine, name, Kind::Controller, boot));
    }
    for number in 1..=cluster.brokers {
        let name = format!("b{number}");
        let own = BrokerConfig {
            node_id: i32::from(number),
            process_roles: vec!["broker".into()],
            listeners: vec![listener("PLAINTEXT", &name, BROKER_PORT)],
            broker_rack: cluster.rack_of(number).unwrap_or_else(|| base.node.broker_rack.clone()),
            ..base.node.clone()
        };
        let config = NodeConfig { node: own, ..base.clone() };
        let boot = node(config, scenario, ends);
        hosts.push(host(engine, name, Kind::Broker(BrokerId(i32::from(number))), boot));
    }
    hosts
}

fn listener(name: &str, host: &str, port: u16) -> Listener {
    Listener::new(name, Address::new(host, port))
}

fn node<W: SimWorld>(config: NodeConfig, scenario: &Scenario, ends: &Ends) -> Boot<W> {
    let (flaws, ends) = (scenario.flaws(), ends.clone());
    let level = scenario.cluster.transaction_version;
    let features: BTreeMap<_, _> =
        level.into_iter().map(|level| (TRANSACTION_VERSION, level)).collect();
    load::boot(move |world: W| {
        let (config, features, ends) = (config.clone(), features.clone(), ends.clone());
        async move {
            // An operator who replaces a disk formats it.
            let options = NodeOptions { flaws, format: true, features, ..NodeOptions::default() };
            let ended = match Node::start_with(world.clone(), config, options).await {
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

/// The bootstrap addresses of the cluster.
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
    let boot = own::admin(topics, config, control.clone());
    host(engine, "a1".into(), Kind::Admin, boot)
}

/// Adds the host that changes topics.
pub(super) fn operator<E: Engine<World: SimWorld>>(
    engine: &mut E,
    scenario: &Scenario,
    control: &Shared,
) -> Host {
    let config = AdminConfig { bootstrap_servers: bootstrap(scenario), ..AdminConfig::default() };
    let boot = own::operator(scenario.topics.clone(), config, control.clone());
    host(engine, "a2".into(), Kind::Admin, boot)
}

/// Adds the clients of all loads.
pub(super) fn clients<E: Engine<World: SimWorld>>(
    engine: &mut E,
    scenario: &Scenario,
    plan: &Plan,
    signals: &SharedSignals,
) -> Vec<Host> {
    let mut hosts = Vec::new();
    let mut seated = Seated::default();
    for (load, clients) in scenario.loads.iter().zip(&plan.clients) {
        let side = load.work.side();
        let clients = u32::try_from(*clients).unwrap_or(u32::MAX);
        let seats = Seats {
            first: seated.take(side, clients),
            clients,
            topic: scenario.topic(Some(&load.topic)),
            topics: &scenario.topics,
            servers: bootstrap(scenario),
            signals: signals.clone(),
            flaws: scenario.flaws(),
        };
        for (number, boot) in (seats.first..).zip(load.work.hosts(&seats)) {
            let kind = match side {
                Side::Produces => Kind::Producer,
                Side::Consumes => Kind::Consumer,
            };
            hosts.push(host(engine, format!("{}{number}", side.letter()), kind, boot));
        }
    }
    hosts
}

/// Number of clients of each side so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seated {
    pub producers: u32,
    pub consumers: u32,
}

impl Seated {
    /// All clients of a plan.
    pub fn by(scenario: &Scenario, plan: &Plan) -> Self {
        let mut seated = Self::default();
        for (load, clients) in scenario.loads.iter().zip(&plan.clients) {
            seated.take(load.work.side(), u32::try_from(*clients).unwrap_or(u32::MAX));
        }
        seated
    }

    /// Reserves clients of a side; returns the number of the first.
    fn take(&mut self, side: Side, clients: u32) -> u32 {
        let seated = match side {
            Side::Produces => &mut self.producers,
            Side::Consumes => &mut self.consumers,
        };
        let first = seated.saturating_add(1);
        *seated = seated.saturating_add(clients);
        first
    }
}

/// Adds the reader of the final reads, which reads only committed records if anyone transacts.
pub(super) fn final_reader<E: Engine<World: SimWorld>>(
    engine: &mut E,
    scenario: &Scenario,
    (partitions, transacts): (Vec<TopicPartition>, bool),
    number: u32,
    control: &Shared,
) -> Host {
    let mut config = load::settle(&ConsumerConfig::default(), number, bootstrap(scenario));
    if transacts {
        // Records of aborted transactions are there, and none that a reader should get.
        config.isolation_level = load::READ_COMMITTED.into();
    }
    let name = config.client_id.clone();
    let boot = own::final_reader(number, partitions, config, control.clone());
    host(engine, name, Kind::Consumer, boot)
}
