//! What a consumer measures. Source: Kafka's `FetchMetricsRegistry`, `ConsumerCoordinatorMetrics`,
//! `KafkaConsumerMetrics`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes};

use crate::base::{Instant, TopicPartition};
use crate::client::group::{Event, Request};
use crate::client::metrics::{Count, Gauge, Latency, Metrics, Now, Sampled, Sampling};
use crate::wire::batch::BatchHeader;
use crate::wire::messages::FetchResponse;

pub(super) const FETCH: &str = "consumer-fetch-manager-metrics";
const COORDINATOR: &str = "consumer-coordinator-metrics";
pub(super) const CONSUMER: &str = "consumer-metrics";

/// What a request to the coordinator is for, as far as it is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Errand {
    Join,
    Sync,
    Heartbeat,
    Commit,
    Other,
}

impl Errand {
    pub(super) fn of(request: &Request) -> Self {
        match request {
            Request::Join(_) => Self::Join,
            Request::Sync(_) => Self::Sync,
            Request::Heartbeat(_) | Request::ConsumerHeartbeat(_) => Self::Heartbeat,
            Request::Commit(_) => Self::Commit,
            Request::Leave(_) | Request::Committed(_) => Self::Other,
        }
    }
}

/// What the listener was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::client) enum Callback {
    Revoked,
    Assigned,
    Lost,
}

impl Callback {
    pub(in crate::client) fn of(event: &Event) -> Self {
        match event {
            Event::Revoked(_) => Self::Revoked,
            Event::Assigned(_) => Self::Assigned,
            Event::Lost(_) => Self::Lost,
        }
    }
}

/// What was read of a topic.
#[derive(Debug, Default)]
struct Consumed {
    bytes: Count,
    records: Count,
}

/// How far a partition is from its log's end, and from its start.
#[derive(Debug, Default)]
struct Distance {
    lag: Gauge,
    lead: Gauge,
}

#[derive(Debug, Default)]
struct Fetches {
    latency: Latency,
    size: Sampled,
    records: Sampled,
    throttle: Sampled,
    consumed: Consumed,
    by_topic: BTreeMap<Arc<str>, Consumed>,
    lag: Sampled,
    lead: Sampled,
    distances: BTreeMap<TopicPartition, Distance>,
}

#[derive(Debug, Default)]
struct Coordination {
    commits: Latency,
    heartbeats: Latency,
    last_heartbeat: Option<Instant>,
    joins: Latency,
    syncs: Latency,
    rebalances: Latency,
    rebalance_began: Option<Instant>,
    last_rebalance: Option<Instant>,
    failed_rebalances: Count,
    revoked: Latency,
    assigned: Latency,
    lost: Latency,
}

#[derive(Debug, Default)]
struct Polls {
    began: Option<Instant>,
    ended: Option<Instant>,
    between: Sampled,
    idle: Sampled,
    commit_sync: Duration,
    committed: Duration,
}

/// The measurements of a consumer.
#[derive(Debug)]
pub(super) struct Measured {
    sampling: Sampling,
    fetches: Fetches,
    group: Coordination,
    polls: Polls,
}

impl Measured {
    pub(super) fn new(sampling: Sampling) -> Self {
        let (fetches, group, polls) = Default::default();
        Self { sampling, fetches, group, polls }
    }

    /// A fetch was answered. Its size is that of all its batches, whatever the application gets.
    pub(super) fn fetched(&mut self, now: Instant, took: Duration, answer: &FetchResponse) {
        let now = self.sampling.at(now);
        let partitions = answer.responses.iter().flat_map(|topic| &topic.partitions);
        let (mut bytes, mut records) = (0, 0);
        for batches in partitions.filter_map(|partition| partition.records.as_ref()) {
            bytes += batches.len();
            records += records_in(batches.clone());
        }
        self.fetches.latency.record(now, took);
        self.fetches.size.record(now, bytes as f64);
        self.fetches.records.record(now, records as f64);
        self.fetches.throttle.record(now, f64::from(answer.throttle_time_ms));
    }

    /// The application got records of a topic.
    pub(super) fn consumed(
        &mut self,
        now: Instant,
        topic: &Arc<str>,
        records: usize,
        bytes: usize,
    ) {
        let now = self.sampling.at(now);
        let fetches = &mut self.fetches;
        let of_topic = fetches.by_topic.entry(topic.clone()).or_default();
        for consumed in [&mut fetches.consumed, of_topic] {
            consumed.bytes.add(now, bytes as f64);
            consumed.records.add(now, records as f64);
        }
    }

    /// The distances of a partition's position from its log's end and start.
    pub(super) fn distance(
        &mut self,
        now: Instant,
        partition: &TopicPartition,
        lag: Option<u64>,
        lead: Option<u64>,
    ) {
        let now = self.sampling.at(now);
        let fetches = &mut self.fetches;
        let distance = fetches.distances.entry(partition.clone()).or_default();
        if let Some(lag) = lag {
            fetches.lag.record(now, lag as f64);
            distance.lag.set(now, lag as f64);
        }
        if let Some(lead) = lead {
            fetches.lead.record(now, lead as f64);
            distance.lead.set(now, lead as f64);
        }
    }

    /// Forgets partitions that are no longer assigned.
    pub(super) fn retain(&mut self, is_assigned: impl Fn(&TopicPartition) -> bool) {
        self.fetches.distances.retain(|partition, _| is_assigned(partition));
    }

    /// A heartbeat leaves.
    pub(super) fn heartbeat_sent(&mut self, now: Instant) {
        self.group.last_heartbeat = Some(now);
    }

    /// The coordinator answered; `refused`: with an error.
    pub(super) fn answered(&mut self, now: Instant, errand: Errand, took: Duration, refused: bool) {
        let now = self.sampling.at(now);
        let group = &mut self.group;
        match errand {
            Errand::Join | Errand::Sync if refused => group.failed_rebalances.add(now, 1.0),
            Errand::Join => group.joins.record(now, took),
            Errand::Sync => group.syncs.record(now, took),
            Errand::Heartbeat => group.heartbeats.record(now, took),
            Errand::Commit => group.commits.record(now, took),
            Errand::Other => {}
        }
    }

    /// Whether a rebalance is under way now.
    pub(super) fn rebalances(&mut self, now: Instant, is_rebalancing: bool, succeeded: bool) {
        let group = &mut self.group;
        match (group.rebalance_began, is_rebalancing) {
            (None, true) => group.rebalance_began = Some(now),
            // A failed attempt is part of the rebalance that succeeds in the end.
            (Some(began), false) if succeeded => {
                group.rebalance_began = None;
                group.rebalances.record(self.sampling.at(now), now.since(began));
                group.last_rebalance = Some(now);
            }
            _ => {}
        }
    }

    /// The listener's call has ended.
    pub(super) fn told(&mut self, now: Instant, callback: Callback, took: Duration) {
        let now = self.sampling.at(now);
        let group = &mut self.group;
        match callback {
            Callback::Revoked => group.revoked.record(now, took),
            Callback::Assigned => group.assigned.record(now, took),
            Callback::Lost => group.lost.record(now, took),
        }
    }

    /// The application polls.
    pub(super) fn poll_begins(&mut self, now: Instant) {
        let polls = &mut self.polls;
        let between = polls.began.map_or(Duration::ZERO, |last| now.since(last));
        polls.between.record(self.sampling.at(now), between.as_secs_f64() * 1_000.0);
        polls.began = Some(now);
    }

    /// The poll returns.
    pub(super) fn poll_ends(&mut self, now: Instant) {
        let polls = &mut self.polls;
        let Some(began) = polls.began else { return };
        let inside = now.since(began).as_secs_f64();
        let outside = polls.ended.map_or(0.0, |last| began.since(last).as_secs_f64());
        if inside + outside > 0.0 {
            polls.idle.record(self.sampling.at(now), inside / (inside + outside));
        }
        polls.ended = Some(now);
    }

    /// A call that waited for a commit took this long.
    pub(super) fn commit_sync_took(&mut self, took: Duration) {
        self.polls.commit_sync += took;
    }

    /// A call that waited for committed offsets took this long.
    pub(super) fn committed_took(&mut self, took: Duration) {
        self.polls.committed += took;
    }

    /// All metrics now; `assigned`: the number of assigned partitions.
    pub(super) fn snapshot(&self, now: Instant, assigned: usize, has_group: bool) -> Metrics {
        let (now, mut metrics) = (self.sampling.at(now), Metrics::default());
        self.fetches.write(now, &mut metrics);
        self.polls.write(now, &mut metrics);
        if has_group {
            self.group.write(now, &mut metrics);
        }
        metrics.add(COORDINATOR, "assigned-partitions", assigned as f64);
        metrics
    }
}

/// The number of records in whole batches, as their headers have it.
fn records_in(mut batches: Bytes) -> u64 {
    let mut records = 0;
    while let Ok(header) = BatchHeader::parse(&batches) {
        if header.size() > batches.len() {
            break;
        }
        records += u64::try_from(header.count).unwrap_or(0);
        batches.advance(header.size());
    }
    records
}

impl Fetches {
    fn write(&self, now: Now, into: &mut Metrics) {
        let mut add = |name, value| into.add(FETCH, name, value);
        add("fetch-latency-avg", self.latency.avg(now));
        add("fetch-latency-max", self.latency.max(now));
        add("fetch-rate", self.latency.rate(now));
        add("fetch-total", self.latency.count as f64);
        add("fetch-size-avg", self.size.avg(now));
        add("fetch-size-max", self.size.max(now));
        add("records-per-request-avg", self.records.avg(now));
        add("fetch-throttle-time-avg", self.throttle.avg(now));
        add("fetch-throttle-time-max", self.throttle.max(now));
        add("bytes-consumed-rate", self.consumed.bytes.rate(now));
        add("bytes-consumed-total", self.consumed.bytes.total);
        add("records-consumed-rate", self.consumed.records.rate(now));
        add("records-consumed-total", self.consumed.records.total);
        add("records-lag-max", self.lag.max(now));
        add("records-lead-min", self.lead.min(now));
        for (topic, consumed) in &self.by_topic {
            let mut add = |name, value| into.add_of_topic(FETCH, name, topic, value);
            add("bytes-consumed-rate", consumed.bytes.rate(now));
            add("bytes-consumed-total", consumed.bytes.total);
            add("records-consumed-rate", consumed.records.rate(now));
            add("records-consumed-total", consumed.records.total);
        }
        for (partition, Distance { lag, lead }) in &self.distances {
            let mut add = |name, value| into.add_of_partition(FETCH, name, partition, value);
            add("records-lag", lag.last);
            add("records-lag-avg", lag.recent.avg(now));
            add("records-lag-max", lag.recent.max(now));
            add("records-lead", lead.last);
            add("records-lead-avg", lead.recent.avg(now));
            add("records-lead-min", lead.recent.min(now));
        }
    }
}

/// Seconds since a time, or -1 if there is none.
fn seconds_ago(now: Now, time: Option<Instant>) -> f64 {
    time.map_or(-1.0, |time| now.time.since(time).as_secs() as f64)
}

impl Coordination {
    fn write(&self, now: Now, into: &mut Metrics) {
        const HOUR: f64 = 3_600.0;
        let mut add = |name, value| into.add(COORDINATOR, name, value);
        add("commit-latency-avg", self.commits.avg(now));
        add("commit-latency-max", self.commits.max(now));
        add("commit-rate", self.commits.rate(now));
        add("commit-total", self.commits.count as f64);
        add("heartbeat-response-time-max", self.heartbeats.max(now));
        add("heartbeat-rate", self.heartbeats.rate(now));
        add("heartbeat-total", self.heartbeats.count as f64);
        add("last-heartbeat-seconds-ago", seconds_ago(now, self.last_heartbeat));
        add("join-time-avg", self.joins.avg(now));
        add("join-time-max", self.joins.max(now));
        add("join-rate", self.joins.rate(now));
        add("join-total", self.joins.count as f64);
        add("sync-time-avg", self.syncs.avg(now));
        add("sync-time-max", self.syncs.max(now));
        add("sync-rate", self.syncs.rate(now));
        add("sync-total", self.syncs.count as f64);
        add("rebalance-latency-avg", self.rebalances.avg(now));
        add("rebalance-latency-max", self.rebalances.max(now));
        add("rebalance-latency-total", self.rebalances.total_ms);
        add("rebalance-total", self.rebalances.count as f64);
        add("rebalance-rate-per-hour", self.rebalances.rate(now) * HOUR);
        add("failed-rebalance-total", self.failed_rebalances.total);
        add("failed-rebalance-rate-per-hour", self.failed_rebalances.rate(now) * HOUR);
        add("last-rebalance-seconds-ago", seconds_ago(now, self.last_rebalance));
        add("partition-revoked-latency-avg", self.revoked.avg(now));
        add("partition-revoked-latency-max", self.revoked.max(now));
        add("partition-assigned-latency-avg", self.assigned.avg(now));
        add("partition-assigned-latency-max", self.assigned.max(now));
        add("partition-lost-latency-avg", self.lost.avg(now));
        add("partition-lost-latency-max", self.lost.max(now));
    }
}

impl Polls {
    fn write(&self, now: Now, into: &mut Metrics) {
        let mut add = |name, value| into.add(CONSUMER, name, value);
        add("last-poll-seconds-ago", seconds_ago(now, self.began));
        add("time-between-poll-avg", self.between.avg(now));
        add("time-between-poll-max", self.between.max(now));
        add("poll-idle-ratio-avg", self.idle.avg(now));
        add("commit-sync-time-ns-total", self.commit_sync.as_nanos() as f64);
        add("committed-time-ns-total", self.committed.as_nanos() as f64);
    }
}
