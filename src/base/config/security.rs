//! The settings that secure a node: so far, which protocol each listener speaks.

use super::bounds::Bounds::Any;
use super::foreign::{
    AUTHORIZATION, Foreign, JAVA_CLASS, SASL, TLS, TLS_OR_SASL, harmless, relied,
};
use super::{Bounds, ConfigError, Kind, Setting, settings};
use crate::base::Listener;

settings! {
    /// The settings that secure a node. Source: Kafka's `SocketServerConfigs`,
    /// `BrokerSecurityConfigs` and `SaslConfigs`.
    pub struct SecurityConfig, foreign [FOREIGN, SHARED] {
        listener_protocols: Protocols =
            "SASL_SSL:SASL_SSL,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT",
            "listener.security.protocol.map", Any,
            "The protocol of each listener, as `NAME:PROTOCOL`; a name that is missing has PLAINTEXT";
    }
}

impl SecurityConfig {
    /// Refuses listeners that would have to speak TLS or SASL.
    pub fn check(&self, listeners: &[Listener]) -> Result<(), ConfigError> {
        for listener in listeners {
            if self.listener_protocols.of(&listener.name) != PLAINTEXT {
                let key = "listener.security.protocol.map".to_owned();
                return Err(ConfigError::NotServed { key, thing: TLS_AND_SASL });
            }
        }
        Ok(())
    }
}

const PLAINTEXT: &str = "PLAINTEXT";
const TLS_AND_SASL: &str = "TLS and SASL";

/// The protocol that each listener speaks, by the listener's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Protocols(Vec<(String, String)>);

impl Protocols {
    /// Source: Kafka's `SecurityProtocol`.
    const KNOWN: [&str; 4] = [PLAINTEXT, "SSL", "SASL_PLAINTEXT", "SASL_SSL"];

    /// The protocol of the listener with this name. A name that is missing has `PLAINTEXT`, where
    /// Kafka asks for it to be mapped.
    pub fn of(&self, listener: &str) -> &str {
        let found = self.0.iter().find(|(name, _)| *name == Listener::normalised(listener));
        found.map_or(PLAINTEXT, |(_, protocol)| protocol)
    }
}

impl Setting for Protocols {
    const KIND: Kind = Kind::String;

    fn read(text: &str) -> Result<Self, String> {
        let pairs = text.split(',').map(str::trim).filter(|pair| !pair.is_empty());
        let read = |pair: &str| {
            let (name, protocol) = pair.split_once(':')?;
            let (name, protocol) = (name.trim(), protocol.trim().to_ascii_uppercase());
            let known = !name.is_empty() && Self::KNOWN.contains(&protocol.as_str());
            known.then(|| (Listener::normalised(name), protocol))
        };
        pairs.map(read).collect::<Option<_>>().map(Self).ok_or_else(|| {
            format!("expected `NAME:PROTOCOL`, each with one of `{}`", Self::KNOWN.join("`, `"))
        })
    }

    fn show(&self) -> String {
        let pairs = self.0.iter().map(|(name, protocol)| format!("{name}:{protocol}"));
        pairs.collect::<Vec<_>>().join(",")
    }
}

/// Keys of Kafka that secure a node.
pub(super) const FOREIGN: &[Foreign] = &[
    relied("authorizer.class.name", "", AUTHORIZATION),
    relied("sasl.mechanism.controller.protocol", "GSSAPI", SASL),
    harmless("connection.failed.authentication.delay.ms", "100")
        .typed(Kind::Int, Bounds::AtLeast(0)),
    relied("security.inter.broker.protocol", "PLAINTEXT", TLS_OR_SASL),
    relied("connections.max.reauth.ms", "0", SASL).typed(Kind::Long, Bounds::Any),
    harmless("sasl.server.max.receive.size", "524288").typed(Kind::Int, Bounds::Any),
    relied(
        "principal.builder.class",
        "org.apache.kafka.common.security.authenticator.DefaultKafkaPrincipalBuilder",
        AUTHORIZATION,
    )
    .typed(Kind::Class, Bounds::Any),
    relied("ssl.client.auth", "none", TLS),
    relied("ssl.principal.mapping.rules", "DEFAULT", TLS),
    harmless("ssl.allow.dn.changes", "false").typed(Kind::Boolean, Bounds::Any),
    harmless("ssl.allow.san.changes", "false").typed(Kind::Boolean, Bounds::Any),
    relied("sasl.mechanism.inter.broker.protocol", "GSSAPI", SASL),
    relied("sasl.enabled.mechanisms", "GSSAPI", SASL).typed(Kind::List, Bounds::Any),
    relied("sasl.server.callback.handler.class", "", SASL).typed(Kind::Class, Bounds::Any),
    relied("sasl.kerberos.principal.to.local.rules", "DEFAULT", SASL)
        .typed(Kind::List, Bounds::Any),
    relied("delegation.token.secret.key", "", SASL).typed(Kind::Password, Bounds::Any),
    harmless("delegation.token.max.lifetime.ms", "604800000").typed(Kind::Long, Bounds::AtLeast(1)),
    harmless("delegation.token.expiry.time.ms", "86400000").typed(Kind::Long, Bounds::AtLeast(1)),
    harmless("delegation.token.expiry.check.interval.ms", "3600000")
        .typed(Kind::Long, Bounds::AtLeast(1)),
    relied("super.users", "", AUTHORIZATION),
    relied("allow.everyone.if.no.acl.found", "false", AUTHORIZATION),
];

/// Keys of Kafka that secure a node or a client.
pub(super) const SHARED: &[Foreign] = &[
    relied("security.providers", "", JAVA_CLASS),
    harmless("ssl.protocol", "TLSv1.3"),
    harmless("ssl.provider", ""),
    harmless("ssl.cipher.suites", "").typed(Kind::List, Bounds::Any),
    harmless("ssl.enabled.protocols", "TLSv1.2,TLSv1.3").typed(Kind::List, Bounds::Any),
    harmless("ssl.keystore.type", "JKS"),
    relied("ssl.keystore.location", "", TLS),
    relied("ssl.keystore.password", "", TLS).typed(Kind::Password, Bounds::Any),
    relied("ssl.key.password", "", TLS).typed(Kind::Password, Bounds::Any),
    relied("ssl.keystore.key", "", TLS).typed(Kind::Password, Bounds::Any),
    relied("ssl.keystore.certificate.chain", "", TLS).typed(Kind::Password, Bounds::Any),
    relied("ssl.truststore.certificates", "", TLS).typed(Kind::Password, Bounds::Any),
    harmless("ssl.truststore.type", "JKS"),
    relied("ssl.truststore.location", "", TLS),
    relied("ssl.truststore.password", "", TLS).typed(Kind::Password, Bounds::Any),
    harmless("ssl.keymanager.algorithm", "SunX509"),
    harmless("ssl.trustmanager.algorithm", "PKIX"),
    harmless("ssl.endpoint.identification.algorithm", "https"),
    harmless("ssl.secure.random.implementation", ""),
    relied("ssl.engine.factory.class", "", TLS).typed(Kind::Class, Bounds::Any),
    relied("sasl.kerberos.service.name", "", SASL),
    harmless("sasl.kerberos.kinit.cmd", "/usr/bin/kinit"),
    harmless("sasl.kerberos.ticket.renew.window.factor", "0.8").typed(Kind::Double, Bounds::Any),
    harmless("sasl.kerberos.ticket.renew.jitter", "0.05").typed(Kind::Double, Bounds::Any),
    harmless("sasl.kerberos.min.time.before.relogin", "60000").typed(Kind::Long, Bounds::Any),
    harmless("sasl.login.refresh.window.factor", "0.8").typed(Kind::Double, Bounds::Any),
    harmless("sasl.login.refresh.window.jitter", "0.05").typed(Kind::Double, Bounds::Any),
    harmless("sasl.login.refresh.min.period.seconds", "60").typed(Kind::Short, Bounds::Any),
    harmless("sasl.login.refresh.buffer.seconds", "300").typed(Kind::Short, Bounds::Any),
    relied("sasl.jaas.config", "", SASL).typed(Kind::Password, Bounds::Any),
    relied("sasl.client.callback.handler.class", "", SASL).typed(Kind::Class, Bounds::Any),
    relied("sasl.login.callback.handler.class", "", SASL).typed(Kind::Class, Bounds::Any),
    relied("sasl.login.class", "", SASL).typed(Kind::Class, Bounds::Any),
    harmless("sasl.login.connect.timeout.ms", "").typed(Kind::Int, Bounds::Any),
    harmless("sasl.login.read.timeout.ms", "").typed(Kind::Int, Bounds::Any),
    harmless("sasl.login.retry.backoff.max.ms", "10000").typed(Kind::Long, Bounds::Any),
    harmless("sasl.login.retry.backoff.ms", "100").typed(Kind::Long, Bounds::Any),
    relied(
        "sasl.oauthbearer.jwt.retriever.class",
        "org.apache.kafka.common.security.oauthbearer.DefaultJwtRetriever",
        SASL,
    )
    .typed(Kind::Class, Bounds::Any),
    relied(
        "sasl.oauthbearer.jwt.validator.class",
        "org.apache.kafka.common.security.oauthbearer.DefaultJwtValidator",
        SASL,
    )
    .typed(Kind::Class, Bounds::Any),
    harmless("sasl.oauthbearer.scope", ""),
    relied("sasl.oauthbearer.client.credentials.client.id", "", SASL),
    relied("sasl.oauthbearer.client.credentials.client.secret", "", SASL)
        .typed(Kind::Password, Bounds::Any),
    harmless("sasl.oauthbearer.assertion.algorithm", "RS256"),
    harmless("sasl.oauthbearer.assertion.claim.aud", ""),
    harmless("sasl.oauthbearer.assertion.claim.exp.seconds", "300")
        .typed(Kind::Int, Bounds::Between(0, 86_400)),
    harmless("sasl.oauthbearer.assertion.claim.iss", ""),
    harmless("sasl.oauthbearer.assertion.claim.jti.include", "false")
        .typed(Kind::Boolean, Bounds::Any),
    harmless("sasl.oauthbearer.assertion.claim.nbf.seconds", "60")
        .typed(Kind::Int, Bounds::Between(0, 3600)),
    harmless("sasl.oauthbearer.assertion.claim.sub", ""),
    relied("sasl.oauthbearer.assertion.file", "", SASL),
    relied("sasl.oauthbearer.assertion.private.key.file", "", SASL),
    relied("sasl.oauthbearer.assertion.private.key.passphrase", "", SASL)
        .typed(Kind::Password, Bounds::Any),
    harmless("sasl.oauthbearer.assertion.template.file", ""),
    harmless("sasl.oauthbearer.scope.claim.name", "scope"),
    harmless("sasl.oauthbearer.sub.claim.name", "sub"),
    relied("sasl.oauthbearer.token.endpoint.url", "", SASL),
    relied("sasl.oauthbearer.jwks.endpoint.url", "", SASL),
    harmless("sasl.oauthbearer.jwks.endpoint.refresh.ms", "3600000").typed(Kind::Long, Bounds::Any),
    harmless("sasl.oauthbearer.jwks.endpoint.retry.backoff.max.ms", "10000")
        .typed(Kind::Long, Bounds::Any),
    harmless("sasl.oauthbearer.jwks.endpoint.retry.backoff.ms", "100")
        .typed(Kind::Long, Bounds::Any),
    harmless("sasl.oauthbearer.clock.skew.seconds", "30").typed(Kind::Int, Bounds::Any),
    relied("sasl.oauthbearer.expected.audience", "", SASL).typed(Kind::List, Bounds::Any),
    relied("sasl.oauthbearer.expected.issuer", "", SASL),
];

/// Keys of Kafka that secure a client.
pub(super) const CLIENT: &[Foreign] = &[
    relied("security.protocol", "PLAINTEXT", TLS_OR_SASL),
    relied("sasl.mechanism", "GSSAPI", SASL),
    harmless("sasl.oauthbearer.header.urlencode", "false").typed(Kind::Boolean, Bounds::Any),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(map: &str, listeners: &[&str]) -> Result<(), ConfigError> {
        let listener_protocols = Protocols::read(map).unwrap();
        let listeners: Vec<Listener> = listeners.iter().map(|text| text.parse().unwrap()).collect();
        SecurityConfig { listener_protocols }.check(&listeners)
    }

    #[test]
    fn listener_that_maps_to_tls_is_refused() {
        assert!(checked("EXTERNAL:SSL", &["EXTERNAL://:9092"]).is_err());
        assert!(checked("EXTERNAL:PLAINTEXT", &["EXTERNAL://:9092"]).is_ok());
        assert!(checked("EXTERNAL:SSL", &["PLAINTEXT://:9092"]).is_ok(), "no listener has it");
        let default = SecurityConfig::default();
        assert!(default.check(&["SSL://:9092".parse().unwrap()]).is_err());
        assert!(default.check(&["OTHER://:9092".parse().unwrap()]).is_ok());
    }

    #[test]
    fn map_with_an_unknown_protocol_is_refused() {
        let error = Protocols::read("EXTERNAL:TLS").unwrap_err();
        assert!(error.contains("`SASL_SSL`"), "{error}");
        assert!(Protocols::read("EXTERNAL").is_err());
        assert_eq!(Protocols::read(" A:ssl, B:PLAINTEXT").unwrap().show(), "A:SSL,B:PLAINTEXT");
    }
}
