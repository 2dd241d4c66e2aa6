//! What decides whether an acknowledged record outlives a fault, as one person or the whole table
//! sets it.

use std::time::Duration;

use crate::base::config::{
    Acks, Config, ConfigError, ProducerConfig, Purpose, ServerProperties, Setting, parse_properties,
};

/// Copies that a simulated cluster has room for.
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
    /// `flush.before.ack`, beyond Kafka.
    pub before_ack: bool,
}

impl Flush {
    /// Kafka's default: the kernel syncs when it likes.
    pub const NEVER: Self = Self { messages: None, ms: None, scheduler: None, before_ack: false };
    /// `flush.messages=1`.
    pub const EACH: Self = Self { messages: Some(1), ..Self::NEVER };
    /// `flush.before.ack=true`.
    pub const BEFORE_ACK: Self = Self { before_ack: true, ..Self::NEVER };

    /// Whether nothing counts as written before it is synced.
    pub fn covers_acks(self) -> bool {
        self.before_ack || self.messages == Some(1)
    }

    /// In the words of the table.
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

    /// As part of a cell's name.
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
    /// The topic's copies.
    pub replication_factor: i16,
    /// The topic's `min.insync.replicas`.
    pub min_insync: i32,
    /// When logs are synced.
    pub flush: Flush,
    /// `unclean.leader.election.enable`.
    pub unclean: bool,
}

impl Settings {
    /// In the words of a sentence.
    pub fn sentence(&self) -> String {
        let election = if self.unclean { "on" } else { "off" };
        format!(
            "acks={}, replication factor {}, min.insync.replicas={}, {}, unclean leader election {election}",
            self.acks.show(),
            self.replication_factor,
            self.min_insync,
            self.flush.name(),
        )
    }

    /// As part of a cell's name.
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

/// Every row of the table. Left out is what makes no sense or no difference: more replicas in sync
/// than there are copies; `min.insync.replicas` where acks is not `all`; unclean election where
/// there is no other replica to elect.
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

/// Why settings can't be judged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// A key or value of a file.
    #[error("{file}: {error}")]
    File {
        /// As it was named.
        file: String,
        /// What is wrong in it.
        error: ConfigError,
    },
    /// Nobody could write with such settings.
    #[error(
        "min.insync.replicas={min} with replication factor {copies}: no acks=all write can ever be \
         acknowledged; lower the one or raise the other (`--replication-factor N`, or \
         `default.replication.factor` in {file})"
    )]
    Unreachable {
        /// `min.insync.replicas`.
        min: i32,
        /// The replication factor.
        copies: i16,
        /// The file that says so.
        file: String,
    },
    /// More or fewer copies than a simulated cluster has room for.
    #[error("replication factor {0}: expected 1 to {MAX_COPIES}")]
    Copies(i32),
    /// Kafka's producer refuses it too.
    #[error(
        "{0}: enable.idempotence=true needs acks=all; set acks=all, or enable.idempotence=false"
    )]
    Idempotence(String),
}

/// Text of a file, and how it was named.
#[derive(Clone, Copy, Debug)]
pub struct Named<'a> {
    /// As it was named.
    pub file: &'a str,
    /// What is in it.
    pub text: &'a str,
}

/// One person's settings; absent files are Kafka's defaults.
///
/// Of a topic's settings the broker's defaults count, since a file for one topic is not asked for.
pub fn read(
    server: Option<Named<'_>>,
    producer: Option<Named<'_>>,
    copies: Option<i16>,
) -> Result<Settings, SettingsError> {
    let ServerProperties { config, .. } = match server {
        Some(Named { file, text }) => ServerProperties::read(text, Purpose::Judge)
            .map_err(|error| SettingsError::File { file: file.into(), error })?,
        None => ServerProperties::default(),
    };
    let acks = match producer {
        Some(named) => acks(named)?,
        None => ProducerConfig::default().acks,
    };
    let topic = &config.topics;
    let wanted = copies.map_or(config.node.default_replication_factor, i32::from);
    let replication_factor = i16::try_from(wanted)
        .ok()
        .filter(|copies| (1..=MAX_COPIES).contains(copies))
        .ok_or(SettingsError::Copies(wanted))?;
    let min = topic.min_insync_replicas;
    if acks == Acks::All && min > i32::from(replication_factor) {
        let file = server.map_or("server.properties", |named| named.file).to_owned();
        return Err(SettingsError::Unreachable { min, copies: replication_factor, file });
    }
    Ok(Settings {
        acks,
        replication_factor,
        min_insync: min,
        flush: Flush {
            messages: topic.flush_messages,
            ms: topic.flush_ms,
            scheduler: config.node.log_flush_scheduler_interval,
            before_ack: topic.flush_before_ack,
        },
        unclean: topic.unclean_leader_election,
    })
}

fn acks(Named { file, text }: Named<'_>) -> Result<Acks, SettingsError> {
    let wrong = |error| SettingsError::File { file: file.into(), error };
    let mut config = ProducerConfig::default();
    let mut asked_for_idempotence = false;
    for (line, key, value) in parse_properties(text).map_err(wrong)? {
        match config.set(&key, &value) {
            // What Kafka's producer knows and ours does not have bears on no record's safety.
            Err(ConfigError::NoEffect { .. } | ConfigError::NotServed { .. }) => {}
            set => {
                set.map_err(|error| wrong(ConfigError::AtLine { line, error: Box::new(error) }))?;
            }
        }
        asked_for_idempotence |= key == "enable.idempotence" && config.idempotence;
    }
    // As in Kafka: the default yields to acks, a wish does not.
    if asked_for_idempotence && config.idempotence && config.acks != Acks::All {
        return Err(SettingsError::Idempotence(file.into()));
    }
    Ok(config.acks)
}
