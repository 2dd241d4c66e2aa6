//! A whole `server.properties`.

use super::foreign::{Foreign, foreign};
use super::{BrokerConfig, ConfigError, TopicConfig, parse_properties};

/// What a `server.properties` says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ServerProperties {
    /// The node's own settings.
    pub broker: BrokerConfig,
    /// The defaults of its topics.
    pub topics: TopicConfig,
    /// Keys of Kafka's that have no effect here, in the order of the file.
    pub passed_over: Vec<String>,
}

/// Who reads, and so what may be passed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To serve by it: a key on which somebody relies is an error where it would have no effect.
    Serve,
    /// To say what its settings promise about records: whatever does not bear on that is passed over.
    Judge,
}

/// `log.retention.ms` and `log.roll.ms` in larger units, and how many milliseconds one of them has.
/// The finer one wins, wherever it stands (Kafka's `getLogRetentionTimeMillis`).
const COARSE: &[(&str, &str, i64)] = &[
    ("log.retention.hours", "log.retention.ms", 3_600_000),
    ("log.retention.minutes", "log.retention.ms", 60_000),
    ("log.roll.hours", "log.roll.ms", 3_600_000),
];

impl ServerProperties {
    /// Reads a file's text. An error names the line, and the key that was probably meant.
    pub fn read(text: &str, purpose: Purpose) -> Result<Self, ConfigError> {
        let mut pairs = parse_properties(text)?;
        // Coarse units first, so that finer ones win.
        pairs.sort_by_key(|(_, key, _)| {
            COARSE.iter().position(|coarse| coarse.0 == key).unwrap_or(COARSE.len())
        });
        let mut read = Self::default();
        let mut passed_over = Vec::new();
        for (line, key, value) in pairs {
            match read.take(&key, &value, purpose) {
                Ok(true) => {}
                Ok(false) => passed_over.push((line, key)),
                Err(error) => return Err(ConfigError::AtLine { line, error: Box::new(error) }),
            }
        }
        passed_over.sort_unstable();
        read.passed_over = passed_over.into_iter().map(|(_, key)| key).collect();
        Ok(read)
    }

    /// Takes one pair; says whether it has an effect.
    fn take(&mut self, key: &str, value: &str, purpose: Purpose) -> Result<bool, ConfigError> {
        if let Some((_, fine, factor)) = COARSE.iter().find(|coarse| coarse.0 == key) {
            let fine_value = in_ms(key, value, *factor)?;
            self.broker.set_with_topic_defaults(&mut self.topics, fine, &fine_value)?;
            return Ok(true);
        }
        if key == "listener.security.protocol.map" {
            return plaintext_only(key, value, purpose).map(|()| false);
        }
        let error = match self.broker.set_with_topic_defaults(&mut self.topics, key, value) {
            Ok(()) => return Ok(true),
            Err(error) => error,
        };
        match foreign(key) {
            Some(what) if matches!(error, ConfigError::UnknownKey { .. }) => match what {
                Foreign::Relied(thing) if purpose == Purpose::Serve => {
                    Err(ConfigError::NotServed { key: key.to_owned(), thing })
                }
                Foreign::Relied(_) | Foreign::Harmless => Ok(false),
            },
            _ => Err(error),
        }
    }
}

fn in_ms(key: &str, value: &str, factor: i64) -> Result<String, ConfigError> {
    let bad = |problem: &str| ConfigError::BadValue {
        key: key.to_owned(),
        value: value.to_owned(),
        problem: problem.to_owned(),
    };
    let count: i64 = value.trim().parse().map_err(|_| bad("expected a whole number"))?;
    if count < 0 {
        return Ok("-1".to_owned());
    }
    count.checked_mul(factor).map(|ms| ms.to_string()).ok_or_else(|| bad("too large"))
}

/// Every listener may have a name, none may ask for more than plain text.
fn plaintext_only(key: &str, value: &str, purpose: Purpose) -> Result<(), ConfigError> {
    let mut protocols = value.split(',').filter_map(|pair| pair.split_once(':'));
    if purpose == Purpose::Serve && protocols.any(|(_, protocol)| protocol.trim() != "PLAINTEXT") {
        // Kafka's stock file maps names that no listener has; it should be readable as it is.
        let stock = "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL";
        if value != stock {
            return Err(ConfigError::NotServed { key: key.to_owned(), thing: "TLS and SASL" });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn serve(text: &str) -> Result<ServerProperties, String> {
        ServerProperties::read(text, Purpose::Serve).map_err(|error| error.to_string())
    }

    #[test]
    fn a_file_sets_the_node_and_the_defaults_of_its_topics() {
        let text = "node.id=2\nlog.segment.bytes=1048576\nlog.flush.interval.messages=1\n";
        let read = serve(text).unwrap();
        assert_eq!(read.broker.node_id, 2);
        assert_eq!(read.topics.segment_bytes, 1_048_576);
        assert_eq!(read.topics.flush_messages, Some(1));
        assert_eq!(read.passed_over, [""; 0]);
    }

    #[test]
    fn a_wrong_line_is_named() {
        assert_eq!(
            serve("node.id=1\nlog.segment.byte=7\n").unwrap_err(),
            "line 2: unknown key `log.segment.byte`; did you mean `log.segment.bytes`?"
        );
    }

    #[test]
    fn what_only_tunes_a_kafka_broker_is_passed_over_and_named() {
        let read = serve("num.network.threads=3\nnode.id=4\nnum.io.threads=8\n").unwrap();
        assert_eq!(read.broker.node_id, 4);
        assert_eq!(read.passed_over, ["num.network.threads", "num.io.threads"]);
    }

    #[test]
    fn nobody_is_served_in_plain_text_who_asked_for_tls() {
        let text = "node.id=1\nssl.keystore.location=/etc/keys\n";
        assert_eq!(
            serve(text).unwrap_err(),
            "line 2: `ssl.keystore.location` asks for TLS, which is not served here; remove the line to do without"
        );
        assert!(serve("listener.security.protocol.map=EXTERNAL:SSL\n").is_err());
        assert!(serve("listener.security.protocol.map=EXTERNAL:PLAINTEXT\n").is_ok());
        let judged = ServerProperties::read(text, Purpose::Judge).unwrap();
        assert_eq!(judged.passed_over, ["ssl.keystore.location"]);
    }

    #[test]
    fn the_finer_unit_of_a_time_wins_wherever_it_stands() {
        let retention = |text: &str| serve(text).unwrap().topics.retention_ms;
        assert_eq!(retention("log.retention.hours=2\n"), Some(Duration::from_secs(7_200)));
        let both = "log.retention.ms=5\nlog.retention.hours=2\nlog.retention.minutes=1\n";
        assert_eq!(retention(both), Some(Duration::from_millis(5)));
        assert_eq!(retention("log.retention.hours=-1\n"), None);
        assert!(serve("log.retention.hours=9223372036854775807\n").unwrap_err().contains("line 1"));
    }
}
