//! At-most-once, at-least-once and exactly-once beside each other: the same clients under the same faults,
//! which differ only in when they commit. What each loses and doubles, and what it costs.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::time::Duration;

use brokerquake::base::Instant;
use brokerquake::check::{Ghost, Violation};
use brokerquake::lab::Trial;
use brokerquake::run::{Lane, Observer, Observers};
use brokerquake::sim::{
    ClientEvent, ConsumerEvent, Observation, Outcome, ProducerEvent, Shot, TransactionEvent, What,
};

const SEEDS: Range<u64> = 0..2;

/// A scenario, and what its clients do.
const WAYS: [(&str, &str); 3] = [
    ("eos/at-most-once", "commit, then send"),
    ("eos/at-least-once", "send, then commit"),
    ("eos/exactly-once", "both in a transaction"),
];

/// Measures one run: payments, the invoices that are visible of each, and what was sent for them.
#[derive(Default)]
struct Meter {
    /// When a record was sent, by its value, and the value of each send.
    sent: BTreeMap<u64, Instant>,
    sends: BTreeMap<(u32, u64), u64>,
    acknowledged: BTreeSet<u64>,
    /// The payment of each invoice that was tried.
    made_of: BTreeMap<u64, u64>,
    /// Invoices that a consumer got, by payment, and when first.
    invoices: BTreeMap<u64, BTreeMap<u64, Instant>>,
    bytes: u64,
}

impl Observer for Meter {
    fn lanes(&self) -> usize {
        usize::MAX
    }

    fn hosts(&mut self, _: Vec<Lane>) {}

    fn began(&mut self, _: Instant) {}

    fn healed(&mut self, _: Instant) {}

    fn see(&mut self, seen: &Observation, _: &Ghost) {
        let What::Client(event) = &seen.what else { return };
        match event {
            ClientEvent::Producer(ProducerEvent::Sent { producer, op, value, .. }) => {
                self.sent.insert(*value, seen.at);
                self.sends.insert((*producer, *op), *value);
            }
            ClientEvent::Producer(ProducerEvent::Told {
                producer,
                op,
                outcome: Outcome::Ok { .. },
            }) => self.acknowledged.extend(self.sends.get(&(*producer, *op))),
            ClientEvent::Transaction(TransactionEvent::Transformed { value, outputs, .. }) => {
                self.made_of.extend(outputs.iter().map(|output| (*output, *value)));
            }
            ClientEvent::Consumer(ConsumerEvent::Polled { records, .. }) => {
                for (_, invoice) in records {
                    if let Some(payment) = self.made_of.get(invoice) {
                        let of_it = self.invoices.entry(*payment).or_default();
                        of_it.entry(*invoice).or_insert(seen.at);
                    }
                }
            }
            _ => {}
        }
    }

    fn roll(&mut self, _: Instant, film: Vec<Shot>) {
        for shot in film {
            if let Shot::Arrived { from, to, bytes, .. } = shot
                && from != to
            {
                self.bytes += bytes.len() as u64;
            }
        }
    }

    fn judged(&mut self, _: &[Violation]) {}
}

/// What all runs of a scenario came to.
#[derive(Default)]
struct Figures {
    payments: u64,
    lost: u64,
    doubled: u64,
    bytes: u64,
    /// From a payment's send to its first invoice.
    latencies: Vec<Duration>,
}

impl Figures {
    fn of(scenario: &str) -> Self {
        let mut figures = Self::default();
        let meters = Trial::of(scenario).seeds(SEEDS).assert_observed(|run| {
            let mut meter = Meter::default();
            run(Observers { recorder: Some(&mut meter), ..Observers::default() });
            meter
        });
        meters.iter().for_each(|meter| figures.add(meter));
        figures.latencies.sort_unstable();
        figures
    }

    fn add(&mut self, meter: &Meter) {
        self.bytes += meter.bytes;
        let made: BTreeSet<u64> = meter.made_of.keys().copied().collect();
        for payment in meter.acknowledged.difference(&made) {
            self.payments += 1;
            let Some(invoices) = meter.invoices.get(payment) else {
                self.lost += 1;
                continue;
            };
            self.doubled += invoices.len() as u64 - 1;
            let first = invoices.values().min().copied();
            let sent = meter.sent.get(payment).copied();
            self.latencies.extend(first.zip(sent).map(|(first, sent)| first.since(sent)));
        }
    }

    /// The latency that this many percent of the payments did not exceed, in milliseconds.
    fn latency(&self, percent: usize) -> u128 {
        let rank = (self.latencies.len() * percent).div_ceil(100).saturating_sub(1);
        self.latencies[rank].as_millis()
    }

    fn row(&self, (name, what): (&str, &str)) -> String {
        let Self { payments, lost, doubled, .. } = self;
        // Most payments wait for a fault to end; a quarter shows what it costs when nothing fails.
        let (calm, p99) = (self.latency(25), self.latency(99));
        let each = self.bytes / payments.max(&1);
        format!(
            "| `{name}` | {what} | {payments} | {lost} | {doubled} | {calm} | {p99} | {each} |\n"
        )
    }
}

/// The table without its rows.
const HEAD: &str = "# What exactly-once prevents, and what it costs

The scenarios `eos/at-most-once`, `eos/at-least-once` and `eos/exactly-once`: the same clients under the same
faults make one invoice of each payment. They differ in when they commit. Latency is simulated, from the send
of a payment to the first read of its invoice; bytes are all that travelled between hosts, divided by payments.

| scenario | its members | payments | without an invoice | surplus invoices | latency of the fastest quarter (ms) | p99 (ms) | bytes per payment |
|---|---|---:|---:|---:|---:|---:|---:|
";

#[test]
fn exactly_once_alone_neither_loses_nor_doubles() {
    let all = WAYS.map(|(name, _)| Figures::of(name));
    let rows = WAYS.into_iter().zip(&all).map(|(way, figures)| figures.row(way));
    let table: String = [HEAD.to_owned()].into_iter().chain(rows).collect();
    let [most, least, exactly] = &all;
    assert!(most.lost > 0 && most.doubled == 0, "{table}");
    assert!(least.lost == 0 && least.doubled > 0, "{table}");
    assert!(exactly.lost == 0 && exactly.doubled == 0, "{table}");
    assert!(all.iter().all(|figures| figures.payments > 5000), "{table}");
    // `cargo test guarantees -- --nocapture` shows it.
    println!("{table}");
}
