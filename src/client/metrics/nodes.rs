//! Requests, responses and bytes, of each broker and in all. Source: Kafka's `SelectorMetrics`.
//!
//! Kafka counts each connection; here all connections to one address count as one node.

use std::collections::BTreeMap;
use std::time::Duration;

use parking_lot::Mutex;

use super::{Count, Latency, Metrics, Now, Sampled, Sampling};
use crate::base::Instant;
use crate::io::Address;
use crate::rpc::Meter;

/// What went to one node and came from it.
#[derive(Debug, Default)]
struct Traffic {
    requests: Count,
    outgoing: Count,
    sizes: Sampled,
    responses: Count,
    incoming: Count,
    latency: Latency,
}

#[derive(Debug, Default)]
struct State {
    all: Traffic,
    by_node: BTreeMap<Address, Traffic>,
}

/// The traffic of a client.
#[derive(Debug)]
pub(in crate::client) struct Nodes {
    sampling: Sampling,
    state: Mutex<State>,
}

impl Nodes {
    pub(in crate::client) fn new(sampling: Sampling) -> Self {
        Self { sampling, state: Mutex::default() }
    }

    fn count(&self, now: Instant, node: &Address, count: impl Fn(Now, &mut Traffic)) {
        let (now, mut state) = (self.sampling.at(now), self.state.lock());
        let State { all, by_node } = &mut *state;
        count(now, all);
        match by_node.get_mut(node) {
            Some(traffic) => count(now, traffic),
            None => count(now, by_node.entry(node.clone()).or_default()),
        }
    }

    /// Adds the metrics of the client to this group, and those of each node to that one.
    pub(in crate::client) fn write(
        &self,
        now: Instant,
        (group, of_nodes): (&'static str, &'static str),
        id_of: impl Fn(&Address) -> Option<i32>,
        into: &mut Metrics,
    ) {
        let (now, state) = (self.sampling.at(now), self.state.lock());
        state.all.write(now, |name, value| into.add(group, name, value));
        for (address, traffic) in &state.by_node {
            let Some(id) = id_of(address) else { continue };
            traffic.write(now, |name, value| into.add_of_node(of_nodes, name, id, value));
            into.add_of_node(of_nodes, "request-latency-avg", id, traffic.latency.avg(now));
            into.add_of_node(of_nodes, "request-latency-max", id, traffic.latency.max(now));
        }
    }
}

impl Meter for Nodes {
    fn sent(&self, now: Instant, to: &Address, bytes: usize) {
        self.count(now, to, |now, traffic| {
            traffic.requests.add(now, 1.0);
            traffic.outgoing.add(now, bytes as f64);
            traffic.sizes.record(now, bytes as f64);
        });
    }

    fn received(&self, now: Instant, from: &Address, bytes: usize) {
        self.count(now, from, |now, traffic| {
            traffic.responses.add(now, 1.0);
            traffic.incoming.add(now, bytes as f64);
        });
    }

    fn answered(&self, now: Instant, by: &Address, took: Duration) {
        self.count(now, by, |now, traffic| traffic.latency.record(now, took));
    }
}

impl Traffic {
    fn write(&self, now: Now, mut add: impl FnMut(&'static str, f64)) {
        add("request-rate", self.requests.rate(now));
        add("request-total", self.requests.total);
        add("request-size-avg", self.sizes.avg(now));
        add("request-size-max", self.sizes.max(now));
        add("outgoing-byte-rate", self.outgoing.rate(now));
        add("outgoing-byte-total", self.outgoing.total);
        add("response-rate", self.responses.rate(now));
        add("response-total", self.responses.total);
        add("incoming-byte-rate", self.incoming.rate(now));
        add("incoming-byte-total", self.incoming.total);
    }
}
