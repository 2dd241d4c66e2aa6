//! One connection as its requests see it.

use std::fmt;
use std::sync::Arc;

use crate::io::Address;

/// What is known about the other side of a connection, and how it came in. Handlers get it with
/// each request; it lives as long as the connection.
#[derive(Debug)]
pub(crate) struct Session {
    listener: Arc<str>,
    peer: Address,
    /// As in the header of the latest request.
    client_id: Option<Box<str>>,
    software: Option<Software>,
}

impl Session {
    pub(crate) fn new(listener: Arc<str>, peer: Address) -> Self {
        Self { listener, peer, client_id: None, software: None }
    }

    /// The name of the listener that the client connected to: the addresses of other brokers that
    /// it is told are those of their listeners of the same name.
    pub(crate) fn listener(&self) -> &str {
        &self.listener
    }

    /// The client id of the latest request; empty if it has none.
    pub(crate) fn client_id(&self) -> &str {
        self.client_id.as_deref().unwrap_or_default()
    }

    /// Where the client connected from.
    pub(crate) fn peer(&self) -> &Address {
        &self.peer
    }

    /// Remembers the client id of a request. It is copied: a slice would keep the whole frame.
    pub(super) fn set_client_id(&mut self, client_id: Option<&str>) {
        if self.client_id.as_deref() != client_id {
            self.client_id = client_id.map(Into::into);
        }
    }

    /// Whether the other side runs librdkafka, itself or under another language. It reads no features,
    /// and before version 2.2 it can't skip the tags that have them. Bindings name it in their version:
    /// `2.0.2-rdkafka-2.0.2`.
    pub(crate) fn is_librdkafka(&self) -> bool {
        let software = self.software.as_ref();
        software.is_some_and(|one| one.name.contains("rdkafka") || one.version.contains("rdkafka"))
    }

    /// Remembers which client library the other side runs.
    pub(crate) fn set_software(&mut self, software: Software) {
        self.software = Some(software);
    }
}

impl fmt::Display for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on {}", self.peer, self.listener)?;
        if let Some(client_id) = &self.client_id {
            write!(f, ", client id {client_id:?}")?;
        }
        if let Some(Software { name, version }) = &self.software {
            write!(f, ", {name} {version}")?;
        }
        Ok(())
    }
}

/// A client library's name and version, as ApiVersions announces them (KIP-511).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Software {
    name: Box<str>,
    version: Box<str>,
}

impl Software {
    /// Accepts what Kafka accepts: letters, digits, `-` and `.`, beginning and ending with a letter
    /// or a digit. Source: Kafka's `ApiVersionsRequest.SOFTWARE_NAME_VERSION_PATTERN`.
    pub(crate) fn new(name: &str, version: &str) -> Option<Self> {
        let alphanumeric = |byte: &u8| byte.is_ascii_alphanumeric();
        let valid = |text: &str| {
            let bytes = text.as_bytes();
            let inside = |byte: &u8| alphanumeric(byte) || matches!(byte, b'-' | b'.');
            bytes.first().is_some_and(alphanumeric)
                && bytes.last().is_some_and(alphanumeric)
                && bytes.iter().all(inside)
        };
        (valid(name) && valid(version)).then(|| Self { name: name.into(), version: version.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn librdkafka_is_recognised_under_any_language() {
        for (name, version, expected) in [
            ("librdkafka", "2.0.2", true),
            ("confluent-kafka-python", "2.0.2-rdkafka-2.0.2", true),
            ("confluent-kafka-go", "v2.3.0-librdkafka-2.3.0", true),
            ("apache-kafka-java", "4.3.1", false),
        ] {
            let mut session = Session::new("PLAINTEXT".into(), Address::new("client", 1));
            assert!(!session.is_librdkafka(), "it has not said so yet");
            session.set_software(Software::new(name, version).unwrap());
            assert_eq!(session.is_librdkafka(), expected, "{name} {version}");
        }
    }

    #[test]
    fn software_names_are_accepted_as_kafka_accepts_them() {
        for name in ["librdkafka", "apache-kafka-java", "a", "2.3.0-RC1"] {
            assert!(Software::new(name, "1.0").is_some(), "{name}");
            assert!(Software::new("client", name).is_some(), "{name}");
        }
        for name in ["", "-client", "client.", "my client", "cliént", "a\nb"] {
            assert!(Software::new(name, "1.0").is_none(), "{name}");
            assert!(Software::new("client", name).is_none(), "{name}");
        }
    }

    #[test]
    fn a_session_shows_everything_known_about_the_client() {
        let mut session = Session::new("PLAINTEXT".into(), Address::new("10.0.0.7", 51_234));
        assert_eq!(session.to_string(), "10.0.0.7:51234 on PLAINTEXT");
        session.set_client_id(Some("orders"));
        session.set_software(Software::new("librdkafka", "2.3.0").unwrap());
        let shown = "10.0.0.7:51234 on PLAINTEXT, client id \"orders\", librdkafka 2.3.0";
        assert_eq!(session.to_string(), shown);
        session.set_client_id(None);
        assert_eq!(session.to_string(), "10.0.0.7:51234 on PLAINTEXT, librdkafka 2.3.0");
    }
}
