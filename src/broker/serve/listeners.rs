//! Where a node listens and what it tells others about that.

use crate::base::config::BrokerConfig;
use crate::base::{BrokerId, nearest};
use crate::io::Address;

/// Which part of the node a listener serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ListenerType {
    /// The broker: clients and other brokers connect here.
    Broker,
    /// The controller: brokers connect here.
    Controller,
}

/// One listener of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ListenerSpec {
    /// As in `listeners`, for example `PLAINTEXT`.
    pub(crate) name: String,
    /// Where it listens.
    pub(crate) bind: Address,
    /// Where others find it.
    pub(crate) advertised: Address,
    pub(crate) kind: ListenerType,
}

/// Reads `listeners` and `advertised.listeners`.
pub(crate) fn listeners(config: &BrokerConfig) -> Result<Vec<ListenerSpec>, String> {
    let advertised: Vec<(String, Address)> = config
        .advertised_listeners
        .iter()
        .map(|text| endpoint("advertised.listeners", text))
        .collect::<Result<_, _>>()?;
    let mut specs = Vec::new();
    for text in &config.listeners {
        let (name, bind) = endpoint("listeners", text)?;
        let kind = if config.controller_listener_names.contains(&name) {
            ListenerType::Controller
        } else {
            ListenerType::Broker
        };
        let told = advertised.iter().find(|(other, _)| *other == name);
        let mut advertised = told.map_or_else(|| bind.clone(), |(_, address)| address.clone());
        if advertised.host.is_empty() || advertised.host == "0.0.0.0" {
            "127.0.0.1".clone_into(&mut advertised.host);
        }
        specs.push(ListenerSpec { name, bind, advertised, kind });
    }
    if let Some((name, _)) = advertised.iter().find(|(n, _)| specs.iter().all(|s| s.name != *n)) {
        let known = specs.iter().map(|spec| spec.name.as_str());
        let hint =
            nearest(name, known).map_or_else(String::new, |n| format!("; did you mean `{n}`?"));
        return Err(format!("`advertised.listeners` names `{name}`, `listeners` does not{hint}"));
    }
    check_roles(config, &specs)?;
    Ok(specs)
}

fn check_roles(config: &BrokerConfig, specs: &[ListenerSpec]) -> Result<(), String> {
    if let Some(role) = config.process_roles.iter().find(|r| *r != "broker" && *r != "controller") {
        return Err(format!(
            "`process.roles` has `{role}`; expected `broker`, `controller` or both"
        ));
    }
    if !config.is_broker() && !config.is_controller() {
        return Err("`process.roles` is empty; expected `broker`, `controller` or both".into());
    }
    let has = |kind| specs.iter().any(|spec| spec.kind == kind);
    if config.is_broker() && !has(ListenerType::Broker) {
        return Err("a broker needs a listener that is not in `controller.listener.names`".into());
    }
    if config.is_controller() && !has(ListenerType::Controller) {
        return Err("a controller needs a listener named in `controller.listener.names`".into());
    }
    Ok(())
}

fn endpoint(key: &str, text: &str) -> Result<(String, Address), String> {
    let wrong = |why: &str| format!("`{key}` has `{text}`: {why}; expected `NAME://host:port`");
    let (name, address) = text.split_once("://").ok_or_else(|| wrong("no `://`"))?;
    let address = address.parse().map_err(|error: String| wrong(&error))?;
    Ok((name.to_owned(), address))
}

/// Reads `controller.quorum.voters`: `id@host:port`.
pub(crate) fn voters(config: &BrokerConfig) -> Result<Vec<(BrokerId, Address)>, String> {
    let voter = |text: &String| {
        let wrong = || format!("`controller.quorum.voters` has `{text}`; expected `id@host:port`");
        let (id, address) = text.split_once('@').ok_or_else(wrong)?;
        let id = id.parse().map_err(|_| wrong())?;
        Ok((BrokerId(id), address.parse().map_err(|_| wrong())?))
    };
    config.controller_quorum_voters.iter().map(voter).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::config::Config;

    fn config(pairs: &[(&str, &str)]) -> BrokerConfig {
        let mut config = BrokerConfig::default();
        config.set_all(pairs.iter().copied()).unwrap();
        config
    }

    #[test]
    fn a_combined_node_has_a_listener_for_each_role() {
        let config = config(&[("listeners", "PLAINTEXT://:9092,CONTROLLER://127.0.0.1:9093")]);
        let specs = listeners(&config).unwrap();
        assert_eq!(specs[0].kind, ListenerType::Broker);
        assert_eq!(specs[0].advertised, Address::new("127.0.0.1", 9092));
        assert_eq!(specs[1].kind, ListenerType::Controller);
    }

    #[test]
    fn what_does_not_fit_together_is_said() {
        let roles = listeners(&config(&[("process.roles", "brokr")])).unwrap_err();
        assert!(roles.contains("brokr"), "{roles}");
        let missing = listeners(&config(&[("listeners", "PLAINTEXT://:9092")])).unwrap_err();
        assert!(missing.contains("controller.listener.names"), "{missing}");
        let voter = voters(&config(&[("controller.quorum.voters", "1@nowhere")])).unwrap_err();
        assert!(voter.contains("1@nowhere"), "{voter}");
    }
}
