//! DescribeTransactions and ListTransactions: what is committed, and who still waits for its marker.

use std::collections::{BTreeMap, BTreeSet};

use regex::{Regex, RegexBuilder};

use super::machine::TxnCoordinator;
use super::state::Transactions;
use super::status::TransactionState;
use super::transaction::Transaction;
use crate::base::{ProducerId, Timestamp, TopicPartition};
use crate::wire::ErrorCode;
use crate::wire::messages::describe_transactions_response::{
    TopicData, TransactionState as Described,
};
use crate::wire::messages::list_transactions_response::TransactionState as Listed;
use crate::wire::messages::{StrBytes, message};

/// The bytes that a compiled regular expression may take.
const PATTERN_LIMIT: usize = 1 << 20;

/// A transactional id pattern that is not a regular expression.
#[derive(Debug, thiserror::Error)]
#[error("transactional id pattern `{pattern}` is not a valid regular expression: {reason}")]
pub struct InvalidPattern {
    pattern: String,
    reason: String,
}

/// Which transactions are listed: those that meet all conditions.
#[derive(Debug, Default)]
pub struct Filters {
    producers: BTreeSet<ProducerId>,
    /// `None`: any.
    states: Option<BTreeSet<TransactionState>>,
    /// Ongoing for longer than this, in milliseconds.
    longer_than: Option<i64>,
    pattern: Option<Regex>,
}

impl Filters {
    /// The filters of a request. A negative duration and an empty pattern are none; a pattern has to
    /// match the whole id. Returns the names that are not those of a state too.
    ///
    /// Kafka takes Java's regular expressions. `regex` lacks look-around and back references.
    pub fn new(
        producers: &[i64],
        states: &[StrBytes],
        duration_ms: i64,
        pattern: Option<&str>,
    ) -> Result<(Self, Vec<StrBytes>), InvalidPattern> {
        let unknown = states.iter().filter(|name| TransactionState::named(name).is_none());
        let known = states.iter().filter_map(|name| TransactionState::named(name));
        let filters = Self {
            producers: producers.iter().copied().map(ProducerId).collect(),
            states: (!states.is_empty()).then(|| known.collect()),
            longer_than: (duration_ms >= 0).then_some(duration_ms),
            pattern: pattern.filter(|pattern| !pattern.is_empty()).map(compile).transpose()?,
        };
        Ok((filters, unknown.cloned().collect()))
    }

    fn accept(&self, id: &str, transaction: &Transaction, wall: Timestamp) -> bool {
        let ongoing_for = wall.0.saturating_sub(transaction.started.0);
        (self.producers.is_empty() || self.producers.contains(&transaction.producer))
            && self.states.as_ref().is_none_or(|states| states.contains(&transaction.state))
            && self.longer_than.is_none_or(|duration| ongoing_for > duration)
            && self.pattern.as_ref().is_none_or(|pattern| pattern.is_match(id))
    }
}

fn compile(pattern: &str) -> Result<Regex, InvalidPattern> {
    let build = |text: &str| RegexBuilder::new(text).size_limit(PATTERN_LIMIT).build();
    // By itself first: `a)|(b` must not become valid by what is put around it.
    let compiled = build(pattern).and_then(|_| build(&format!(r"\A(?:{pattern})\z")));
    compiled.map_err(|error| {
        let text = error.to_string();
        let reason = text.lines().last().unwrap_or_default().trim_start_matches("error: ");
        InvalidPattern { pattern: pattern.to_owned(), reason: reason.to_owned() }
    })
}

impl Transactions {
    /// ListTransactions, for the ids of this partition.
    pub fn list(&self, filters: &Filters, wall: Timestamp) -> Vec<Listed> {
        let listed = self.transactions().filter(|(id, one)| filters.accept(id.as_str(), one, wall));
        let listed = listed.map(|(id, transaction)| {
            message!(Listed {
                transactional_id: id.as_str().into(),
                producer_id: transaction.producer.0,
                transaction_state: transaction.state.name().into(),
            })
        });
        listed.collect()
    }

    /// DescribeTransactions, for one id.
    pub fn describe(&self, id: &str) -> Described {
        match self.get(id) {
            Ok(Some(transaction)) => describe(id, transaction),
            Ok(None) => unknown_id(id, ErrorCode::TransactionalIdNotFound),
            Err(error) => unknown_id(id, error),
        }
    }
}

impl TxnCoordinator {
    /// The partitions that have not written the marker of a transaction yet; `None` if its markers
    /// do not travel.
    pub fn waits_for(&self, id: &str) -> Option<BTreeSet<TopicPartition>> {
        self.soft.left(id).cloned()
    }
}

/// A description that is only an error.
pub fn unknown_id(id: &str, error: ErrorCode) -> Described {
    message!(Described { transactional_id: id.into(), error_code: error.code() })
}

/// The partitions of a description, by topic.
pub fn described<'a>(partitions: impl IntoIterator<Item = &'a TopicPartition>) -> Vec<TopicData> {
    let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for partition in partitions {
        topics.entry(&partition.topic).or_default().push(partition.partition);
    }
    let topics = topics.into_iter();
    topics
        .map(|(topic, partitions)| {
            message!(TopicData { topic: topic.into(), partitions: partitions })
        })
        .collect()
}

fn describe(id: &str, transaction: &Transaction) -> Described {
    message!(Described {
        transactional_id: id.into(),
        producer_id: transaction.producer.0,
        producer_epoch: transaction.epoch.0,
        transaction_state: transaction.state.name().into(),
        transaction_timeout_ms: transaction.timeout_ms,
        transaction_start_time_ms: transaction.started.0,
        topics: described(&*transaction.partitions),
    })
}
