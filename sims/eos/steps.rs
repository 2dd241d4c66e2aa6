//! Between the decision of a transaction and its completion: at which step a coordinator died, as the
//! messages on the network tell. What another coordinator sent again was not complete.

use std::collections::{BTreeMap, BTreeSet};

use brokerquake::base::Instant;
use brokerquake::check::{Ghost, Violation};
use brokerquake::run::{EngineKind, Lane, Observer, Observers, watched};
use brokerquake::scenario::Scenario;
use brokerquake::sim::{HostId, Observation, Shot, What};
use brokerquake::wire::api::key::WRITE_TXN_MARKERS;
use brokerquake::wire::frame::{self, LENGTH_LEN};
use brokerquake::wire::messages::WriteTxnMarkersRequest;

/// How far the markers of a transaction had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    /// Markers were under way, and no partition had one.
    BeforeAnyMarker,
    /// Some partitions had theirs.
    BetweenMarkers,
    /// All had theirs, and the coordinator did not know of all.
    BeforeItKnew,
    /// It knew of all, and the next coordinator did not find the completion.
    WhileCompleting,
}

impl Step {
    pub(super) const ALL: [Self; 4] =
        [Self::BeforeAnyMarker, Self::BetweenMarkers, Self::BeforeItKnew, Self::WhileCompleting];
}

/// Producer and epoch.
type Transaction = (i64, i16);

/// Topic and number.
type Partition = (String, i32);

/// A request with markers.
struct Request {
    from: HostId,
    sent: Instant,
    arrived: Instant,
    answered: Option<Instant>,
    markers: Vec<(Transaction, Partition)>,
}

#[derive(Default)]
struct Markers {
    hosts: usize,
    requests: Vec<Request>,
    /// The request of each connection and correlation id.
    asked: BTreeMap<(u64, i32), usize>,
    booted: BTreeMap<HostId, Instant>,
    deaths: Vec<Death>,
}

/// A process that was killed.
struct Death {
    host: HostId,
    booted: Instant,
    killed: Instant,
}

/// Which partitions of a transaction had their markers when a process died.
#[derive(Default)]
struct Progress {
    all: BTreeSet<Partition>,
    /// Whether the process sent any.
    begun: bool,
    written: BTreeSet<Partition>,
    /// Of these, the process knew.
    known: BTreeSet<Partition>,
    /// Whether any was sent after its death.
    resumed: bool,
}

impl Observer for Markers {
    fn lanes(&self) -> usize {
        self.hosts
    }

    fn hosts(&mut self, hosts: Vec<Lane>) {
        self.hosts += hosts.len();
    }

    fn began(&mut self, _: Instant) {}

    fn healed(&mut self, _: Instant) {}

    fn see(&mut self, seen: &Observation, _: &Ghost) {
        match &seen.what {
            What::Booted => {
                self.booted.insert(seen.host, seen.at);
            }
            What::Killed => {
                let booted = self.booted.get(&seen.host).copied().unwrap_or_default();
                self.deaths.push(Death { host: seen.host, booted, killed: seen.at });
            }
            _ => {}
        }
    }

    fn roll(&mut self, _: Instant, film: Vec<Shot>) {
        for shot in film {
            let Shot::Arrived { sent, at, from, connection, asks, bytes, .. } = shot else {
                continue;
            };
            if bytes.len() < LENGTH_LEN + 8 {
                continue;
            }
            let body = bytes.slice(LENGTH_LEN..);
            if !asks {
                let correlation = frame::correlation_id(&body).unwrap_or(-1);
                if let Some(request) = self.asked.remove(&(connection, correlation)) {
                    self.requests[request].answered = Some(at);
                }
            } else if i16::from_be_bytes([body[0], body[1]]) == WRITE_TXN_MARKERS {
                // A piece of a longer request may look like one.
                let Ok(request) = frame::decode_request(body) else { continue };
                let Ok(of) = request.decode::<WriteTxnMarkersRequest>() else { continue };
                let markers = of.markers.iter().flat_map(|marker| {
                    let (id, epoch) = (marker.producer_id, marker.producer_epoch);
                    marker.topics.iter().flat_map(move |topic| {
                        let all = topic.partition_indexes.iter();
                        all.map(move |number| ((id, epoch), (topic.name.to_string(), *number)))
                    })
                });
                self.asked.insert((connection, request.header.correlation_id), self.requests.len());
                let markers = markers.collect();
                let answered = None;
                self.requests.push(Request { from, sent, arrived: at, answered, markers });
            }
        }
    }

    fn judged(&mut self, _: &[Violation]) {}
}

impl Markers {
    /// Where the transactions stood that others had to complete.
    fn steps(&self, death: &Death) -> BTreeSet<Step> {
        let mut transactions: BTreeMap<Transaction, Progress> = BTreeMap::new();
        let lived = death.booted..=death.killed;
        for request in &self.requests {
            let own = request.from == death.host && lived.contains(&request.sent);
            for (transaction, partition) in &request.markers {
                let progress = transactions.entry(*transaction).or_default();
                progress.all.insert(partition.clone());
                progress.begun |= own;
                progress.resumed |= request.sent > death.killed;
                if own && request.arrived <= death.killed {
                    progress.written.insert(partition.clone());
                }
                if own && request.answered.is_some_and(|at| at <= death.killed) {
                    progress.known.insert(partition.clone());
                }
            }
        }
        let left = transactions.values().filter(|progress| progress.begun && progress.resumed);
        left.map(Progress::step).collect()
    }
}

impl Progress {
    fn step(&self) -> Step {
        let all = self.all.len();
        match (self.written.len(), self.known.len()) {
            (0, _) => Step::BeforeAnyMarker,
            (written, _) if written < all => Step::BetweenMarkers,
            (_, known) if known < all => Step::BeforeItKnew,
            _ => Step::WhileCompleting,
        }
    }
}

/// The steps at which coordinators died in a run of a scenario.
pub(super) fn deaths(scenario: &str, seed: u64) -> BTreeSet<Step> {
    let scenario = Scenario::load(scenario).unwrap();
    let mut markers = Markers::default();
    let observers = Observers { recorder: Some(&mut markers), ..Observers::default() };
    watched(&scenario, seed, EngineKind::Leap, observers);
    markers.deaths.iter().flat_map(|death| markers.steps(death)).collect()
}
