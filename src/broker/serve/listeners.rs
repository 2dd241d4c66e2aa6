//! Where a node listens and what it tells others about that.

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
    let bound = parse("listeners", &config.node.listeners)?;
    let advertised = parse("advertised.listeners", &config.node.advertised_listeners)?;
    let unknown = advertised.iter().find(|other| bound.iter().all(|own| own.name != other.name));
    if let Some(Listener { name, .. }) = unknown {
        let known = bound.iter().map(|own| own.name.as_str());
        let hint =
            nearest(name, known).map_or_else(String::new, |n| format!("; did you mean `{n}`?"));
        return Err(format!("`advertised.listeners` names `{name}`, `listeners` does not{hint}"));
    }
    let own = bound.into_iter().map(|bind| {
        let kind = if config.quorum.controller_listener_names.contains(&bind.name) {
            ListenerType::Controller
        } else {
            ListenerType::Broker
        };
        let other = advertised.iter().find(|other| other.name == bind.name);
        let mut advertised = other.unwrap_or(&bind).clone();
        let host = &mut advertised.address.host;
        if host.is_empty() || host == "0.0.0.0" {
            "127.0.0.1".clone_into(host);
        }
        OwnListener { bind, advertised, kind }
    });
    let own: Vec<_> = own.collect();
    check_roles(config, &own)?;
    Ok(own)
}

/// The name of the listener at which brokers reach each other: the first one that is no
/// controller's.
pub(crate) fn inter_broker(config: &NodeConfig) -> String {
    let names = config.node.listeners.iter().filter_map(|text| Some(text.split_once("://")?.0));
    let mut own =
        names.filter(|name| config.quorum.controller_listener_names.iter().all(|c| c != name));
    own.next().unwrap_or_default().to_owned()
}

fn check_roles(config: &NodeConfig, listeners: &[OwnListener]) -> Result<(), String> {
    let has = |kind| listeners.iter().any(|listener| listener.kind == kind);
    if config.node.is_broker() && !has(ListenerType::Broker) {
        return Err("a broker needs a listener that is not in `controller.listener.names`".into());
    }
    if config.node.is_controller() && !has(ListenerType::Controller) {
        return Err("a controller needs a listener named in `controller.listener.names`".into());
    }
    Ok(())
}

fn parse(key: &str, texts: &[String]) -> Result<Vec<Listener>, String> {
    let parsed = texts.iter().map(|text| text.parse());
    parsed.collect::<Result<_, String>>().map_err(|error| format!("`{key}` has {error}"))
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
