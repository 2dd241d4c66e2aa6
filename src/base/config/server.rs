//! A whole `server.properties`.

use super::{ConfigError, NodeConfig, parse_properties};

/// What a `server.properties` says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ServerProperties {
    /// All settings of the node.
    pub config: NodeConfig,
    /// Keys of Kafka that have no effect here, in the order of the file.
    pub passed_over: Vec<String>,
    /// Keys that are not Kafka's, with their lines: only where these are allowed.
    pub unknown: Vec<(usize, String)>,
}

/// Why a file is read, and so which keys may have no effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To run a node: a key that its user relies on, and that is not served, is an error.
    Serve,
    /// To judge what its settings promise about records: other keys don't matter, nor do those that are not Kafka's.
    /// A key that seems to be a mistyped one is an error even then.
    Judge,
}

/// Keys that another key overrides, wherever it is in the file (as in Kafka's
/// `getLogRetentionTimeMillis`), and how many milliseconds one unit of theirs has.
const OVERRIDDEN: &[(&str, &str, Option<i64>)] = &[
    ("log.retention.hours", "log.retention.ms", Some(3_600_000)),
    ("log.retention.minutes", "log.retention.ms", Some(60_000)),
    ("log.roll.hours", "log.roll.ms", Some(3_600_000)),
    ("log.roll.jitter.hours", "log.roll.jitter.ms", Some(3_600_000)),
    ("log.dir", "log.dirs", None),
    ("broker.id", "node.id", None),
];

impl ServerProperties {
    /// Reads a file. An error names the line, and the key that was probably meant.
    pub fn read(file: impl AsRef<[u8]>, purpose: Purpose) -> Result<Self, ConfigError> {
        let mut pairs = parse_properties(file)?;
        // The overridden first, so that the others win.
        pairs.sort_by_key(|(_, key, _)| {
            OVERRIDDEN.iter().position(|row| row.0 == key).unwrap_or(OVERRIDDEN.len())
        });
        let mut read = Self::default();
        let mut passed_over = Vec::new();
        for (line, key, value) in pairs {
            match read.take(&key, &value, purpose) {
                Ok(true) => {}
                Ok(false) => passed_over.push((line, key)),
                Err(ConfigError::UnknownKey { .. })
                    if purpose == Purpose::Judge && NodeConfig::mistyped(&key).is_none() =>
                {
                    read.unknown.push((line, key));
                }
                Err(error) => return Err(ConfigError::AtLine { line, error: Box::new(error) }),
            }
        }
        passed_over.sort_unstable();
        read.unknown.sort_unstable();
        read.passed_over = passed_over.into_iter().map(|(_, key)| key).collect();
        Ok(read)
    }

    /// Takes one pair. Returns whether it has an effect.
    fn take(&mut self, key: &str, value: &str, purpose: Purpose) -> Result<bool, ConfigError> {
        let set = match OVERRIDDEN.iter().find(|row| row.0 == key) {
            Some((_, by, Some(factor))) => self.config.set(by, &in_ms(key, value, *factor)?),
            Some((_, by, None)) => self.config.set(by, value),
            None => self.config.set(key, value),
        };
        if let (Ok(()), Some((_, by, _))) = (&set, OVERRIDDEN.iter().find(|row| row.0 == key)) {
            self.config.given.rename(by, key, value);
        }
        match set {
            Ok(()) => Ok(true),
            Err(ConfigError::NoEffect { .. }) => Ok(false),
            Err(ConfigError::NotServed { .. }) if purpose == Purpose::Judge => Ok(false),
            Err(error) => Err(error.written_as(key, value)),
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn serve(text: &str) -> Result<ServerProperties, String> {
        ServerProperties::read(text, Purpose::Serve).map_err(|error| error.to_string())
    }

    #[test]
    fn file_sets_the_node_and_the_defaults_of_its_topics() {
        let text = "node.id=2\nlog.segment.bytes=1048576\nlog.flush.interval.messages=1\n";
        let read = serve(text).unwrap();
        assert_eq!(read.config.node.node_id, 2);
        assert_eq!(read.config.topics.segment_bytes, 1_048_576);
        assert_eq!(read.config.topics.flush_messages, Some(1));
        assert_eq!(read.passed_over, [""; 0]);
    }

    #[test]
    fn wrong_line_is_named() {
        assert_eq!(
            serve("node.id=1\nlog.segment.byte=7\n").unwrap_err(),
            "line 2: unknown key `log.segment.byte`; did you mean `log.segment.bytes`?"
        );
    }

    #[test]
    fn key_that_only_tunes_is_passed_over_and_reported() {
        let read = serve("num.network.threads=3\nnode.id=4\nnum.io.threads=8\n").unwrap();
        assert_eq!(read.config.node.node_id, 4);
        assert_eq!(read.passed_over, ["num.network.threads", "num.io.threads"]);
    }

    #[test]
    fn file_that_asks_for_tls_is_not_served_in_plain_text() {
        let text = "node.id=1\nssl.keystore.location=/etc/keys\n";
        assert_eq!(
            serve(text).unwrap_err(),
            "line 2: `ssl.keystore.location` asks for TLS: not supported here yet; remove it to do without"
        );
        let listens = |protocol: &str| {
            let map = format!("listener.security.protocol.map=EXTERNAL:{protocol}\n");
            serve(&format!("listeners=EXTERNAL://:9092\n{map}")).unwrap().config.check()
        };
        assert!(listens("SSL").is_err());
        assert!(listens("PLAINTEXT").is_ok());
        let judged = ServerProperties::read(text, Purpose::Judge).unwrap();
        assert_eq!(judged.passed_over, ["ssl.keystore.location"]);
    }

    #[test]
    fn foreign_key_is_an_error_only_for_a_node_and_a_mistyped_one_always() {
        let foreign = "node.id=1\nconfluent.metadata.topic.replication.factor=3\n";
        assert!(serve(foreign).unwrap_err().contains("line 2: unknown key"));
        let judged = |text: &str| ServerProperties::read(text, Purpose::Judge);
        let unknown = vec![(2, "confluent.metadata.topic.replication.factor".to_owned())];
        assert_eq!(judged(foreign).unwrap().unknown, unknown);
        let error = judged("default.replication.fator=3\n").unwrap_err().to_string();
        assert!(error.contains("did you mean `default.replication.factor`?"), "{error}");
        assert!(judged("num.netwrk.threads=3\n").is_err());
    }

    #[test]
    fn finer_unit_wins_wherever_it_is() {
        let retention = |text: &str| serve(text).unwrap().config.topics.retention_ms;
        assert_eq!(retention("log.retention.hours=2\n"), Some(Duration::from_secs(7_200)));
        let both = "log.retention.ms=5\nlog.retention.hours=2\nlog.retention.minutes=1\n";
        assert_eq!(retention(both), Some(Duration::from_millis(5)));
        assert_eq!(retention("log.retention.hours=-1\n"), None);
        assert!(serve("log.retention.hours=9223372036854775807\n").unwrap_err().contains("line 1"));
    }

    #[test]
    fn what_was_set_is_kept_as_it_was_written() {
        let text = "log.retention.hours=2\nlog.segment.bytes = 1073741824\n";
        let given = serve(text).unwrap().config.given;
        assert_eq!(given.get("log.retention.hours"), Some("2"));
        assert_eq!(given.get("log.segment.bytes"), Some("1073741824"));
        assert_eq!(given.get("log.retention.ms"), None);
    }

    #[test]
    fn newer_name_of_a_key_overrides_the_older_one() {
        let read = serve("log.dirs=/b\nlog.dir=/a\nbroker.id=5\n").unwrap().config.node;
        assert_eq!((read.log_dirs, read.node_id), (vec!["/b".to_owned()], 5));
        assert_eq!(serve("log.dir=/a\n").unwrap().config.node.log_dirs, ["/a"]);
        let error = serve("log.roll.hours=0\n").unwrap_err();
        assert_eq!(error, "line 1: `log.roll.hours=0`: expected at least 1");
    }
}
