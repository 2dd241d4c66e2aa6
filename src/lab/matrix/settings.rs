//! The settings that decide whether an acknowledged record survives a fault: the rows of the table,
//! or one user's files.

use std::time::Duration;

use crate::base::config::{
    Acks, Config, ConfigError, ProducerConfig, Purpose, ServerProperties, Setting, parse_properties,
};

/// Largest replication factor of a simulated cluster.
const MAX_COPIES: i16 = 9;

/// When a broker syncs a partition's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flush {
    /// `flush.messages`.
    pub messages: Option<i64>,
    /// `flush.ms`.
    pub ms: Option<Duration>,
    /// `log.flush.scheduler.interval.ms`: without it `flush.ms` has no effect.
    pub scheduler: Option<Duration>,
    /// `flush.before.ack`, an extension of Kafka.
    pub before_ack: bool,
}

impl Flush {
    /// Kafka's default: the kernel decides when to sync.
    pub const NEVER: Self = Self { messages: None, ms: None, scheduler: None, before_ack: false };
    /// `flush.messages=1`.
    pub const EACH: Self = Self { messages: Some(1), ..Self::NEVER };
    /// `flush.before.ack=true`.
    pub const BEFORE_ACK: Self = Self { before_ack: true, ..Self::NEVER };

    /// Whether every write is synced before it is acknowledged.
    pub fn covers_acks(self) -> bool {
        self.before_ack || self.messages == Some(1)
    }

    /// The name used in the table.
    pub fn name(self) -> String {
        let mut parts = Vec::new();
        if let Some(messages) = self.messages {
            parts.push(format!("flush.messages={messages}"));
        }
        if let Some(ms) = self.ms {
            parts.push(format!("flush.ms={}", ms.as_millis()));
        }
        if self.before_ack {
            parts.push("flush.before.ack".to_owned());
        }
        if parts.is_empty() { "page cache".into() } else { parts.join(" ") }
    }

    /// The part of a cell's name.
    pub(super) fn slug(self) -> String {
        match self {
            Self::NEVER => "cache".into(),
            Self::EACH => "each".into(),
            Self::BEFORE_ACK => "before-ack".into(),
            _ => "own".into(),
        }
    }
}

/// One row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The producer's `acks`.
    pub acks: Acks,
    /// The topic's replication factor.
    pub replication_factor: i16,
    /// The topic's `min.insync.replicas`.
    pub min_insync: i32,
    /// When logs are synced.
    pub flush: Flush,
    /// `unclean.leader.election.enable`.
    pub unclean: bool,
}

impl Settings {
    /// A description for reports.
    pub fn sentence(&self) -> String {
        let election = if self.unclean { "on" } else { "off" };
        let effective = self.effective_min_insync();
        let capped = if effective == self.min_insync {
            String::new()
        } else {
            format!(" ({effective} in effect: never more than the replication factor)")
        };
        format!(
            "acks={}, replication factor {}, min.insync.replicas={}{capped}, {}, unclean leader election {election}",
            self.acks.show(),
            self.replication_factor,
            self.min_insync,
            self.flush.name(),
        )
    }

    /// `min.insync.replicas`, at most the replication factor. Source: `Partition.effectiveMinIsr`.
    pub fn effective_min_insync(&self) -> i32 {
        self.min_insync.min(i32::from(self.replication_factor))
    }

    /// The part of a cell's name.
    pub(super) fn slug(&self) -> String {
        format!(
            "acks-{}-rf{}-min{}-{}-{}",
            self.acks.show(),
            self.replication_factor,
            self.min_insync,
            self.flush.slug(),
            if self.unclean { "unclean" } else { "clean" },
        )
    }
}

/// All rows of the table. Omits settings that make no difference: `min.insync.replicas` above the
/// replication factor, or without acks=all; unclean election with a single replica.
pub fn rows() -> Vec<Settings> {
    let mut rows = Vec::new();
    for acks in [Acks::None, Acks::Leader, Acks::All] {
        for replication_factor in [1, 3] {
            let most = if acks == Acks::All { i32::from(replication_factor) } else { 1 };
            for min_insync in 1..=most {
                for flush in [Flush::NEVER, Flush::EACH, Flush::BEFORE_ACK] {
                    for unclean in [false, true] {
                        if replication_factor > 1 || !unclean {
                            let row =
                                Settings { acks, replication_factor, min_insync, flush, unclean };
                            rows.push(row);
                        }
                    }
                }
            }
        }
    }
    rows
}

/// Why settings can't be evaluated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// A key or value of a file.
    #[error("{file}: {error}")]
    File {
        /// Name of the file.
        file: String,
        /// The error in it.
        error: ConfigError,
    },
    /// A replication factor that a simulated cluster does not support.
    #[error("replication factor {0}: expected 1 to {MAX_COPIES}")]
    Copies(i32),
}

/// The text of a file and its name.
#[derive(Clone, Copy, Debug)]
pub struct Named<'a> {
    /// Name of the file.
    pub file: &'a str,
    /// Its content.
    pub text: &'a str,
}

/// One user's settings, and what is odd about the files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The settings.
    pub settings: Settings,
    /// Keys that are not Kafka's and were ignored, one sentence each.
    pub warnings: Vec<String>,
}

/// One user's settings; absent files mean Kafka's defaults.
///
/// For topic settings the broker's defaults are used, since no topic file is read. A key that is not
/// Kafka's is ignored with a warning, unless it seems to be a mistyped one of Kafka's.
pub fn read(
    server: Option<Named<'_>>,
    producer: Option<Named<'_>>,
    copies: Option<i16>,
) -> Result<Asked, SettingsError> {
    let mut warnings = Vec::new();
    let mut warn = |file: &str, line: usize, key: &str| {
        warnings.push(format!("{file}: line {line}: `{key}` is not a key of Kafka's: ignored"));
    };
    let ServerProperties { config, unknown, .. } = match server {
        Some(Named { file, text }) => ServerProperties::read(text, Purpose::Judge)
            .map_err(|error| SettingsError::File { file: file.into(), error })?,
        None => ServerProperties::default(),
    };
    for (line, key) in &unknown {
        warn(server.map_or("", |named| named.file), *line, key);
    }
    let acks = match producer {
        Some(named) => acks(named, &mut warn)?,
        None => ProducerConfig::default().acks,
    };
    let topic = &config.topics;
    let wanted = copies.map_or(config.node.default_replication_factor, i32::from);
    let replication_factor = i16::try_from(wanted)
        .ok()
        .filter(|copies| (1..=MAX_COPIES).contains(copies))
        .ok_or(SettingsError::Copies(wanted))?;
    let settings = Settings {
        acks,
        replication_factor,
        min_insync: topic.min_insync_replicas,
        flush: Flush {
            messages: topic.flush_messages,
            ms: topic.flush_ms,
            scheduler: config.node.log_flush_scheduler_interval,
            before_ack: topic.flush_before_ack,
        },
        unclean: topic.unclean_leader_election,
    };
    Ok(Asked { settings, warnings })
}

fn acks(
    Named { file, text }: Named<'_>,
    warn: &mut dyn FnMut(&str, usize, &str),
) -> Result<Acks, SettingsError> {
    let wrong = |error| SettingsError::File { file: file.into(), error };
    let mut config = ProducerConfig::default();
    for (line, key, value) in parse_properties(text).map_err(wrong)? {
        match config.set(&key, &value) {
            // Keys of Kafka's producer that ours lacks do not affect the safety of records.
            Err(ConfigError::NoEffect { .. } | ConfigError::NotServed { .. }) => {}
            Err(ConfigError::UnknownKey { .. }) if ProducerConfig::mistyped(&key).is_none() => {
                warn(file, line, &key);
            }
            set => {
                set.map_err(|error| wrong(ConfigError::AtLine { line, error: Box::new(error) }))?;
            }
        }
    }
    config.check().map_err(wrong)?;
    Ok(config.acks)
}
