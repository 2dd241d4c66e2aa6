//! What a transaction coordinator needs to know beyond its log.

use std::time::Duration;

use super::version::TransactionVersion;
use crate::base::config::TxnConfig;
use crate::base::{Flaws, ProducerEpoch};

/// The settings of a transaction coordinator. The defaults are those of Kafka's
/// `TransactionStateManagerConfig`.
#[derive(Clone, Debug)]
pub struct TxnSettings {
    /// `transaction.max.timeout.ms`: the longest timeout that a producer may ask for.
    pub max_timeout: Duration,
    /// `transactional.id.expiration.ms`: how long an idle transactional id is kept.
    pub id_expiration: Duration,
    /// `transaction.remove.expired.transaction.cleanup.interval.ms`.
    pub expiration_interval: Duration,
    /// The epoch that a new transactional id begins with.
    pub first_epoch: ProducerEpoch,
    /// The level of `transaction.version`.
    pub version: TransactionVersion,
    /// The historical bugs of this coordinator.
    pub flaws: Flaws,
}

impl Default for TxnSettings {
    fn default() -> Self {
        Self {
            max_timeout: Duration::from_secs(15 * 60),
            id_expiration: Duration::from_secs(7 * 24 * 60 * 60),
            expiration_interval: Duration::from_secs(60 * 60),
            first_epoch: ProducerEpoch(0),
            version: TransactionVersion::V2,
            flaws: Flaws::default(),
        }
    }
}

impl TxnSettings {
    /// The settings of a node's configuration.
    pub fn of(config: &TxnConfig, version: TransactionVersion, flaws: Flaws) -> Self {
        Self {
            max_timeout: config.transaction_max_timeout,
            id_expiration: config.transactional_id_expiration,
            expiration_interval: config.transaction_remove_expired_interval,
            first_epoch: ProducerEpoch(
                i16::try_from(config.transaction_first_producer_epoch).unwrap_or(0),
            ),
            version,
            flaws,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_those_of_the_configuration() {
        let of = TxnSettings::of(&TxnConfig::default(), TransactionVersion::V2, Flaws::default());
        assert_eq!(format!("{of:?}"), format!("{:?}", TxnSettings::default()));
    }
}
