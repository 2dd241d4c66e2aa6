//! Addresses, and the listeners of a node.

use std::fmt;
use std::str::FromStr;

/// A host's name or IP address, and a port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    /// Name or IP address; an IPv6 address without its brackets.
    pub host: String,
    /// 0 lets the system choose, where that makes sense.
    pub port: u16,
}

impl Address {
    /// The address `host:port`.
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        Self { host: host.into(), port }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not an address: expected `host:port`");
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
        let port = port.parse().map_err(|_| wrong())?;
        Ok(Self::new(host, port))
    }
}

/// Where a node listens, or where others reach it, and what is spoken there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// For example `PLAINTEXT` or `CONTROLLER`; unique within a node, in upper case.
    pub name: String,
    pub address: Address,
    pub protocol: SecurityProtocol,
}

impl Listener {
    /// A listener without encryption or authentication.
    pub fn new(name: impl Into<String>, address: Address) -> Self {
        Self { name: name.into(), address, protocol: SecurityProtocol::PLAINTEXT }
    }

    /// A listener's name in upper case, as Kafka compares it. Source: Kafka's
    /// `ListenerName.normalised`.
    pub fn normalised(name: &str) -> String {
        name.to_uppercase()
    }
}

impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.name, self.address)
    }
}

/// As in `listeners`: `NAME://host:port`. A missing host is every interface.
impl FromStr for Listener {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| format!("`{text}`: {why}; expected `NAME://host:port`");
        let (name, address) = text.split_once("://").ok_or_else(|| wrong("no `://`"))?;
        if name.is_empty() {
            return Err(wrong("no name"));
        }
        Ok(Self::new(
            Self::normalised(name),
            address.parse().map_err(|error: String| wrong(&error))?,
        ))
    }
}

/// Kafka's number of a security protocol. Others than plain text come from other brokers'
/// registrations only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SecurityProtocol(pub i16);

impl SecurityProtocol {
    /// Neither encrypted nor authenticated.
    pub const PLAINTEXT: Self = Self(0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_they_are_shown() {
        for text in ["b1:9092", "127.0.0.1:0", "[::1]:19093"] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
        assert!("9092".parse::<Address>().is_err());
        assert!("b1:port".parse::<Address>().is_err());
    }

    #[test]
    fn listeners_are_read_as_they_are_shown() {
        for text in ["PLAINTEXT://b1:9092", "CONTROLLER://[::1]:0", "PLAINTEXT://:9092"] {
            assert_eq!(text.parse::<Listener>().unwrap().to_string(), text);
        }
        assert_eq!("Inside://b1:9092".parse::<Listener>().unwrap().to_string(), "INSIDE://b1:9092");
        for text in ["b1:9092", "://b1:9092", "PLAINTEXT://b1"] {
            let error = text.parse::<Listener>().unwrap_err();
            assert!(error.contains(text) && error.contains("NAME://host:port"), "{error}");
        }
    }
}
