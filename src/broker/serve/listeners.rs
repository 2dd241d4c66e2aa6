//! Where a node listens and what it tells others about that.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::base::config::NodeConfig;
use crate::base::{Address, BrokerId, Listener, nearest};

/// Which part of the node a listener serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ListenerType {
    /// The broker: clients and other brokers connect here.
    Broker,
    /// The controller: brokers connect here.
    Controller,
}

/// One listener of this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OwnListener {
    /// Where it listens.
    pub(crate) bind: Listener,
    /// Where others reach it.
    pub(crate) advertised: Listener,
    pub(crate) kind: ListenerType,
}

impl OwnListener {
    pub(crate) fn name(&self) -> &str {
        &self.bind.name
    }

    /// Replaces port 0 by the one that the system chose.
    pub(crate) fn set_port(&mut self, port: u16) {
        self.bind.address.port = port;
        if self.advertised.address.port == 0 {
            self.advertised.address.port = port;
        }
    }
}

/// Reads `listeners` and `advertised.listeners`.
pub(crate) fn listeners(config: &NodeConfig) -> Result<Vec<OwnListener>, String> {
    let (bound, advertised) = (&config.node.listeners, &config.node.advertised_listeners);
    for (key, listeners) in [("listeners", bound), ("advertised.listeners", advertised)] {
        check_names(key, listeners)?;
    }
    check_ports(bound)?;
    let unknown = advertised.iter().find(|other| bound.iter().all(|own| own.name != other.name));
    if let Some(Listener { name, .. }) = unknown {
        let known = bound.iter().map(|own| own.name.as_str());
        let hint =
            nearest(name, known).map_or_else(String::new, |n| format!("; did you mean `{n}`?"));
        return Err(format!("`advertised.listeners` names `{name}`, `listeners` does not{hint}"));
    }
    let own = bound.iter().map(|bind| {
        let kind = if config.quorum.controller_listener_names.contains(&bind.name) {
            ListenerType::Controller
        } else {
            ListenerType::Broker
        };
        let other = advertised.iter().find(|other| other.name == bind.name);
        let mut advertised = other.unwrap_or(bind).clone();
        let host = &mut advertised.address.host;
        if host.is_empty() || host == "0.0.0.0" {
            "127.0.0.1".clone_into(host);
        }
        OwnListener { bind: bind.clone(), advertised, kind }
    });
    let own: Vec<_> = own.collect();
    check_roles(config, &own)?;
    let between = Listener::normalised(&config.node.inter_broker_listener_name);
    if !between.is_empty() && broker_listeners(config).all(|listener| listener.name != between) {
        return Err(format!(
            "`inter.broker.listener.name` is `{between}`; `listeners` has no broker's listener of \
             this name"
        ));
    }
    Ok(own)
}

/// The name of the listener at which brokers reach each other.
pub(crate) fn inter_broker(config: &NodeConfig) -> String {
    let set = Listener::normalised(&config.node.inter_broker_listener_name);
    if !set.is_empty() {
        return set;
    }
    let names = || broker_listeners(config).map(|listener| listener.name.as_str());
    let plain = names().find(|name| *name == "PLAINTEXT");
    plain.or_else(|| names().next()).unwrap_or_default().to_owned()
}

/// Source: Kafka's `AbstractKafkaConfig.validate`.
fn check_names(key: &str, listeners: &[Listener]) -> Result<(), String> {
    let twice = listeners.iter().enumerate().find(|(index, listener)| {
        listeners[..*index].iter().any(|other| other.name == listener.name)
    });
    match twice {
        Some((_, Listener { name, .. })) => Err(format!(
            "`{key}` names `{name}` twice; each listener must have a different name, in whatever \
             case it is written"
        )),
        None => Ok(()),
    }
}

/// Each listener has a port of its own, or one that the system chooses. One at an IPv4 address and one at
/// an IPv6 address may share theirs (KIP-797). Source: Kafka's `SocketServerConfigs`.
fn check_ports(listeners: &[Listener]) -> Result<(), String> {
    let mut by_port: BTreeMap<u16, Vec<&Listener>> = BTreeMap::new();
    for listener in listeners.iter().filter(|listener| listener.address.port != 0) {
        by_port.entry(listener.address.port).or_default().push(listener);
    }
    for (port, sharing) in by_port {
        let mut hosts: Vec<Option<IpAddr>> = Vec::with_capacity(sharing.len());
        hosts.extend(sharing.iter().map(|listener| listener.address.host.parse().ok()));
        hosts.sort_unstable();
        let is_pair =
            matches!(hosts[..], [Some(IpAddr::V4(_)), Some(IpAddr::V6(_))]) || sharing.len() == 1;
        if !is_pair {
            let names: Vec<&str> = sharing.iter().map(|listener| listener.name.as_str()).collect();
            return Err(format!(
                "`listeners` gives port {port} to {}; each listener must have a different port, \
                 unless one has an IPv4 address and another an IPv6 address",
                names.join(" and ")
            ));
        }
    }
    Ok(())
}

fn broker_listeners(config: &NodeConfig) -> impl Iterator<Item = &Listener> {
    let controllers = &config.quorum.controller_listener_names;
    config.node.listeners.iter().filter(|listener| !controllers.contains(&listener.name))
}

fn check_roles(config: &NodeConfig, listeners: &[OwnListener]) -> Result<(), String> {
    let has = |kind| listeners.iter().any(|listener| listener.kind == kind);
    if config.node.is_broker() && !has(ListenerType::Broker) {
        return Err("a broker needs a listener that is not in `controller.listener.names`".into());
    }
    if config.node.is_controller() {
        // Kafka's `KafkaConfig.controllerListeners` compares these names as they are written.
        let names = &config.quorum.controller_listener_names;
        if let Some(name) = names.iter().find(|name| Listener::normalised(name) != **name) {
            return Err(format!(
                "`controller.listener.names` has `{name}`, and names of listeners are in upper \
                 case; write `{}`",
                Listener::normalised(name)
            ));
        }
        if !has(ListenerType::Controller) {
            return Err("a controller needs a listener named in `controller.listener.names`".into());
        }
    }
    Ok(())
}

/// Reads `controller.quorum.voters`: `id@host:port`.
pub(crate) fn voters(config: &NodeConfig) -> Result<Vec<(BrokerId, Address)>, String> {
    let voter = |text: &String| {
        let wrong = || format!("`controller.quorum.voters` has `{text}`; expected `id@host:port`");
        let (id, address) = text.split_once('@').ok_or_else(wrong)?;
        let id = id.parse().map_err(|_| wrong())?;
        Ok((BrokerId(id), address.parse().map_err(|_| wrong())?))
    };
    config.quorum.controller_quorum_voters.iter().map(voter).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(pairs: &[(&str, &str)]) -> NodeConfig {
        let mut config = NodeConfig::default();
        config.set_all(pairs.iter().copied()).unwrap();
        config
    }

    #[test]
    fn brokers_meet_at_the_listener_that_kafka_would_choose() {
        let listeners = |text| ("listeners", text);
        let both = listeners("CONTROLLER://:9093,A://:9091,PLAINTEXT://:9092");
        assert_eq!(inter_broker(&config(&[both])), "PLAINTEXT");
        let named = ("inter.broker.listener.name", "A");
        assert_eq!(inter_broker(&config(&[both, named])), "A");
        assert_eq!(inter_broker(&config(&[listeners("CONTROLLER://:9093,A://:9091")])), "A");
        let unknown = [both, ("inter.broker.listener.name", "B")];
        let error = super::listeners(&config(&unknown)).unwrap_err();
        assert!(error.contains("`B`"), "{error}");
    }

    #[test]
    fn case_of_listener_names_is_ignored_where_kafka_ignores_it() {
        let pairs = [
            ("listeners", "controller://:9093,inside://:9091,Plaintext://:9092"),
            ("advertised.listeners", "INSIDE://b1:9091"),
            ("inter.broker.listener.name", "Inside"),
            ("listener.security.protocol.map", "Controller:PLAINTEXT,inSide:plaintext"),
        ];
        let node = config(&pairs);
        assert_eq!(inter_broker(&node), "INSIDE");
        let own = listeners(&node).unwrap();
        let names: Vec<_> = own.iter().map(|own| (own.name(), own.kind)).collect();
        let (broker, controller) = (ListenerType::Broker, ListenerType::Controller);
        assert_eq!(names, [("CONTROLLER", controller), ("INSIDE", broker), ("PLAINTEXT", broker)]);
        assert_eq!(own[1].advertised.address, Address::new("b1", 9091));
        assert!(node.check().is_ok());

        let twice = [("listeners", "CONTROLLER://:9093,a://:9091,A://:9092")];
        let error = listeners(&config(&twice)).unwrap_err();
        assert!(error.contains("`A` twice"), "{error}");
        let lower = [pairs[0], ("controller.listener.names", "controller")];
        let error = listeners(&config(&lower)).unwrap_err();
        assert!(error.contains("write `CONTROLLER`"), "{error}");
        let tls = [pairs[0], ("listener.security.protocol.map", "inside:ssl")];
        assert!(config(&tls).check().is_err(), "INSIDE speaks TLS");
    }

    #[test]
    fn listeners_share_a_port_only_as_an_ipv4_and_an_ipv6_address() {
        let refusal = |text: &str| listeners(&config(&[("listeners", text)])).err();
        let with = |others: &str| refusal(&format!("CONTROLLER://:9093,{others}"));
        for fine in [
            "A://:9091,B://:9092",
            "A://:0,B://:0",
            "A://127.0.0.1:9092,B://[::1]:9092",
            "A://[::]:9092,B://0.0.0.0:9092",
        ] {
            assert_eq!(with(fine), None, "{fine}");
        }
        for shared in [
            "A://:9092,B://:9092",
            "A://:9092,B://127.0.0.1:9092",
            "A://127.0.0.1:9092,B://127.0.0.2:9092",
            "A://b1:9092,B://[::1]:9092",
            "A://127.0.0.1:9092,B://[::1]:9092,C://127.0.0.2:9092",
        ] {
            let error = with(shared).unwrap();
            assert!(error.contains("port 9092 to A and B"), "{error}");
        }
        let error = with("A://:9093").unwrap();
        assert!(error.contains("port 9093 to CONTROLLER and A"), "{error}");
    }

    #[test]
    fn a_combined_node_has_a_listener_for_each_role() {
        let config = config(&[("listeners", "PLAINTEXT://:9092,CONTROLLER://127.0.0.1:9093")]);
        let specs = listeners(&config).unwrap();
        assert_eq!(specs[0].kind, ListenerType::Broker);
        assert_eq!(specs[0].advertised.address, Address::new("127.0.0.1", 9092));
        assert_eq!(specs[1].kind, ListenerType::Controller);
    }

    #[test]
    fn what_does_not_fit_together_is_said() {
        let roles = NodeConfig::default().set("process.roles", "brokr").unwrap_err().to_string();
        assert!(roles.contains("brokr"), "{roles}");
        let missing = listeners(&config(&[("listeners", "PLAINTEXT://:9092")])).unwrap_err();
        assert!(missing.contains("controller.listener.names"), "{missing}");
        let voter = voters(&config(&[("controller.quorum.voters", "1@nowhere")])).unwrap_err();
        assert!(voter.contains("1@nowhere"), "{voter}");
    }
}
