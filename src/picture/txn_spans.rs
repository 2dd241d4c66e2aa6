//! The data of a page about transactions: a span for each, on its producer and in its partitions.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::recorder::Recorder;
use super::subject::Subject;
use super::thin::{Windows, micros};
use super::transactions::{Fate, Part, Transactions, Txn};
use crate::base::{Instant, TopicPartition};
use crate::sim::{Ended, HostId, Outcome};

/// Most transactions that are drawn: what is odd about itself, then near the story, then the longest.
const MOST: usize = 900;

/// A decision that takes this long is odd.
pub(super) const LONG: Duration = Duration::from_secs(1);

#[derive(Debug, Serialize)]
pub(super) struct TransactionsData {
    /// Transactional ids, and the index of the partition whose leader coordinates each.
    ids: Vec<(String, Option<usize>)>,
    /// Names of the partitions that they touch.
    partitions: Vec<String>,
    /// In the order in which they began.
    list: Vec<SpanData>,
    /// Producers that got an epoch: host, transactional id, when, epoch.
    identified: Vec<(usize, usize, u64, i16)>,
    /// How many are not drawn.
    left_out: usize,
}

#[derive(Debug, Serialize)]
struct SpanData {
    name: String,
    /// The lane of its producer.
    host: Option<usize>,
    id: Option<usize>,
    epoch: i16,
    at: u64,
    until: u64,
    records: usize,
    /// 0 open, 1 committed, 2 aborted.
    fate: u8,
    /// When its producer asked for the outcome, and whether for a commit.
    #[serde(skip_serializing_if = "Option::is_none")]
    asked: Option<(u64, bool)>,
    /// When its producer learned the outcome: `committed`, `aborted`, `unknown`, `fenced`, `ended`,
    /// and the error.
    #[serde(skip_serializing_if = "Option::is_none")]
    told: Option<(u64, &'static str, String)>,
    /// When and where its coordinator stored the decision, and whether to commit.
    #[serde(skip_serializing_if = "Option::is_none")]
    decided: Option<(u64, usize, bool)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    completed: Option<(u64, usize)>,
    /// Offsets in it: when, group, generation, whether they were taken.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    offsets: Vec<(u64, String, i32, bool)>,
    /// Leaders that asked the coordinator: when, leader, coordinator, whether they only asked, and
    /// the partitions.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    verified: Vec<(u64, usize, usize, bool, Vec<usize>)>,
    /// Partition, from, until (-1: no marker), 0 open, 1 committed, 2 aborted, 3 lost, the offset of the
    /// first record and of the marker (-1: none).
    parts: Vec<(usize, u64, i64, u8, i64, i64)>,
}

/// What the pages of a run need to know beside the transactions.
pub(super) struct Around<'a> {
    pub run: &'a Recorder,
    pub subject: &'a Subject,
    pub windows: &'a Windows,
    pub lane: &'a dyn Fn(HostId) -> Option<usize>,
}

impl Around<'_> {
    /// All transactions of a run; `None` if there are none.
    pub fn transactions(&self, all: &Transactions) -> Option<TransactionsData> {
        if all.all.is_empty() {
            return None;
        }
        let ids: BTreeSet<&Arc<str>> = all
            .all
            .iter()
            .filter_map(|txn| txn.id.as_ref())
            .chain(self.run.ledger.homes.keys())
            .collect();
        let ids: Vec<&Arc<str>> = ids.into_iter().collect();
        let parts = all.all.iter().flat_map(|txn| &txn.parts);
        let names: BTreeSet<&TopicPartition> = parts.map(|part| &part.partition).collect();
        let names: Vec<&TopicPartition> = names.into_iter().collect();
        let mut asked: BTreeMap<usize, Vec<_>> = BTreeMap::new();
        for (index, verified) in &all.verified {
            let of = verified.partitions.iter();
            let of = of.filter_map(|name| names.binary_search(&name).ok()).collect();
            if let (Some(leader), Some(coordinator)) =
                ((self.lane)(verified.leader), (self.lane)(verified.coordinator))
            {
                let at = micros(verified.at);
                asked.entry(*index).or_default().push((at, leader, coordinator, verified.only, of));
            }
        }
        let shown = self.shown(all);
        let left_out = all.all.len() - shown.len();
        let list = shown.into_iter().filter_map(|index| {
            let verified = asked.remove(&index).unwrap_or_default();
            Some(self.span(index, all.all.get(index)?, (&ids, &names), verified))
        });
        let list = list.collect();
        let home = |id: &Arc<str>| {
            let home = self.run.ledger.homes.get(id)?;
            self.run.tracks.keys().position(|name| name == home)
        };
        let identified = all.identified.iter().filter_map(|one| {
            let id = ids.binary_search(&&one.id).ok()?;
            Some(((self.lane)(one.host)?, id, micros(one.at), one.epoch.0))
        });
        Some(TransactionsData {
            identified: identified.collect(),
            ids: ids.iter().map(|id| (id.to_string(), home(id))).collect(),
            partitions: names.iter().map(ToString::to_string).collect(),
            list,
            left_out,
        })
    }

    /// The transactions that are drawn, in order.
    fn shown(&self, all: &Transactions) -> Vec<usize> {
        let end = self.run.now;
        let rank = |(index, txn): (usize, &Txn)| {
            let until = txn.until(end);
            let own = self.subject.transactions.contains(&index);
            let odd = own || txn.is_fenced() || is_odd(txn);
            let near =
                self.windows.contains(micros(txn.began)) || self.windows.contains(micros(until));
            (std::cmp::Reverse((own, odd, near, until.since(txn.began))), index)
        };
        let mut ranked: Vec<_> = all.all.iter().enumerate().map(rank).collect();
        ranked.sort();
        ranked.truncate(MOST);
        let mut shown: Vec<usize> = ranked.into_iter().map(|(_, index)| index).collect();
        shown.sort_unstable();
        shown
    }

    fn span(
        &self,
        index: usize,
        txn: &Txn,
        (ids, names): (&[&Arc<str>], &[&TopicPartition]),
        verified: Vec<(u64, usize, usize, bool, Vec<usize>)>,
    ) -> SpanData {
        let told = match (&txn.told, txn.orphaned) {
            (Some((at, ended)), _) => {
                let (word, error) = match ended {
                    Ended::Committed => ("committed", ""),
                    Ended::Aborted => ("aborted", ""),
                    Ended::Unknown { error } => ("unknown", error.as_str()),
                    Ended::Fenced { error } => ("fenced", error.as_str()),
                };
                Some((micros(*at), word, error.to_owned()))
            }
            (None, Some(at)) => Some((micros(at), "ended", String::new())),
            (None, None) => None,
        };
        let part = |part: &Part| {
            let place = names.binary_search(&&part.partition).ok()?;
            let marker = part.marker;
            let from = part.first.map(|(at, ..)| at).or(marker.map(|marker| marker.at))?;
            let until = marker.map(|marker| marker.at).or(part.lost);
            let fate = match (marker, part.lost) {
                (Some(marker), _) if marker.commit => 1,
                (Some(_), _) => 2,
                (None, Some(_)) => 3,
                (None, None) => 0,
            };
            let until = until.map_or(-1, |at| i64::try_from(micros(at)).unwrap_or(-1));
            let first = part.first.map_or(-1, |(_, _, offset)| offset.0);
            let ended = marker.map_or(-1, |marker| marker.offset.0);
            Some((place, micros(from), until, fate, first, ended))
        };
        let lane = self.lane;
        let taken =
            |told: &Option<(Instant, Outcome)>| matches!(told, Some((_, Outcome::Ok { .. })));
        SpanData {
            name: self.run.called(index, txn),
            host: txn.host.and_then(lane),
            id: txn.id.as_ref().and_then(|id| ids.binary_search(&id).ok()),
            epoch: txn.epoch.0,
            at: micros(txn.began),
            until: micros(txn.until(self.run.now)),
            records: txn.records,
            fate: match txn.fate() {
                Fate::Open => 0,
                Fate::Committed => 1,
                Fate::Aborted => 2,
            },
            asked: txn.asked.map(|(at, commit)| (micros(at), commit)),
            told,
            decided: txn.decided.and_then(|d| Some((micros(d.at), lane(d.host)?, d.commit))),
            completed: txn.completed.and_then(|d| Some((micros(d.at), lane(d.host)?))),
            offsets: txn
                .offsets
                .iter()
                .map(|sent| {
                    (micros(sent.at), sent.group.to_string(), sent.generation, taken(&sent.told))
                })
                .collect(),
            verified,
            parts: txn.parts.iter().filter_map(part).collect(),
        }
    }
}

/// Whether something went another way than usual: no outcome, another coordinator that completed it, an
/// abort that its producer did not ask for, a decision that took long, records that are lost.
pub(super) fn is_odd(txn: &Txn) -> bool {
    let told = !matches!(txn.told, Some((_, Ended::Committed | Ended::Aborted)));
    let moved = match (txn.decided, txn.completed) {
        (Some(decided), Some(completed)) => decided.host != completed.host,
        (Some(_), None) => true,
        (None, _) => false,
    };
    let unasked = txn.decided.is_some_and(|decided| {
        !decided.commit && txn.asked.is_none_or(|(at, commit)| commit || at > decided.at)
    });
    let waits = txn.wait().is_some_and(|wait| wait >= LONG);
    told || moved
        || unasked
        || waits
        || txn.parts.iter().any(|part| part.hangs() || part.lost.is_some())
}

impl Recorder {
    /// `p1's transaction 7`; by its producer id, if only brokers know of it.
    pub(super) fn called(&self, index: usize, txn: &Txn) -> String {
        match (txn.client, txn.host) {
            (Some((_, number)), Some(host)) => {
                format!("{}'s transaction {number}", self.name(host))
            }
            _ => {
                format!("transaction {index} of producer id {}, epoch {}", txn.producer, txn.epoch)
            }
        }
    }
}
