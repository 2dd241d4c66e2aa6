//! Which broker to ask a question that any broker can answer.

use std::collections::BTreeMap;
use std::time::Duration;

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::Rng;

use super::cluster::Cluster;
use crate::base::Instant;
use crate::base::config::ConfigError;
use crate::io::Address;

/// How long a broker that did not answer is passed over, if there are others.
const AVOIDED: Duration = Duration::from_secs(10);

/// Asks every known broker and bootstrap server in turn, in random order: a broker that is cut off
/// from the others still answers, but with stale metadata, so no answer makes it the only contact.
#[derive(Debug)]
pub(crate) struct Contacts {
    bootstrap: Vec<Address>,
    /// To be asked next; empty once all have been asked since the list was made.
    round: Vec<Address>,
    /// Brokers that did not answer, and until when they are passed over.
    avoided: BTreeMap<Address, Instant>,
}

impl Contacts {
    /// Reads `bootstrap.servers`.
    pub(crate) fn new(servers: &[String]) -> Result<Self, ConfigError> {
        let wrong = |problem: String| ConfigError::BadValue {
            key: "bootstrap.servers".into(),
            value: servers.join(","),
            problem,
        };
        let bootstrap = servers.iter().map(|server| server.parse()).collect::<Result<Vec<_>, _>>();
        let bootstrap = bootstrap.map_err(wrong)?;
        if bootstrap.is_empty() {
            return Err(wrong("expected at least one `host:port`".into()));
        }
        Ok(Self { bootstrap, round: Vec::new(), avoided: BTreeMap::new() })
    }

    /// All brokers and bootstrap servers.
    pub(crate) fn all<'a>(&'a self, cluster: &'a Cluster) -> impl Iterator<Item = &'a Address> {
        cluster.addresses().chain(&self.bootstrap)
    }

    /// The broker to ask now; one that is muted only if all are.
    pub(crate) fn next(
        &mut self,
        now: Instant,
        cluster: &Cluster,
        is_muted: impl Fn(&Address) -> bool,
        random: &mut ChaCha12Rng,
    ) -> Address {
        self.avoided.retain(|_, until| *until > now);
        let passed_over =
            |address: &Address| self.avoided.contains_key(address) || is_muted(address);
        if self.round.iter().all(passed_over) {
            self.round.clear();
            self.round.extend(cluster.addresses().cloned());
            for address in &self.bootstrap {
                if !self.round.contains(address) {
                    self.round.push(address.clone());
                }
            }
        }
        let open = |address: &Address| !self.avoided.contains_key(address) && !is_muted(address);
        let some_open = self.round.iter().any(open);
        // One that did not answer is asked again before one that asked for a pause.
        let some_audible = self.round.iter().any(|address| !is_muted(address));
        let mut candidates = Vec::new();
        for (place, address) in self.round.iter().enumerate() {
            if open(address) || !some_open && (!is_muted(address) || !some_audible) {
                candidates.push(place);
            }
        }
        let draw = random.next_u32() as usize % candidates.len();
        self.round.swap_remove(candidates[draw])
    }

    /// -1 for the first of `bootstrap.servers`, -2 for the second, as Kafka's clients name them.
    pub(crate) fn bootstrap_id(&self, address: &Address) -> Option<i32> {
        let place = self.bootstrap.iter().position(|bootstrap| bootstrap == address)?;
        i32::try_from(place).ok().map(|place| -1 - place)
    }

    /// Starts over with the bootstrap servers, once the owner has forgotten the brokers.
    pub(crate) fn rebootstrap(&mut self) {
        self.round.clear();
        self.avoided.clear();
    }

    /// A contact answered.
    pub(crate) fn answered(&mut self, address: &Address) {
        self.avoided.remove(address);
    }

    /// A contact did not answer, or could not help.
    pub(crate) fn failed(&mut self, now: Instant, address: &Address) {
        self.avoided.insert(address.clone(), now + AVOIDED);
    }

    /// Panics if an invariant is broken.
    pub(crate) fn check(&self) {
        assert!(!self.bootstrap.is_empty(), "there are no bootstrap servers");
        for (place, address) in self.round.iter().enumerate() {
            let again = self.round[..place].contains(address);
            assert!(!again, "{address} is twice in one round: {:?}", self.round);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Seed, Stream};
    use crate::client::kernel::metadata;

    const NOW: Instant = Instant::from_secs(100);

    struct Stage {
        contacts: Contacts,
        cluster: Cluster,
        random: ChaCha12Rng,
    }

    impl Stage {
        fn new() -> Self {
            let servers = ["b1:9092".to_owned(), "elsewhere:1".to_owned()];
            let mut cluster = Cluster::default();
            cluster.update(&metadata(3, "orders", 1, &[]));
            let random = Seed(3).stream(Stream::named("test"));
            Self { contacts: Contacts::new(&servers).unwrap(), cluster, random }
        }

        fn ask(&mut self, now: Instant, times: usize) -> Vec<String> {
            let mut asked: Vec<_> = (0..times)
                .map(|_| {
                    self.contacts.next(now, &self.cluster, |_| false, &mut self.random).to_string()
                })
                .collect();
            asked.sort();
            asked
        }
    }

    #[test]
    fn each_contact_is_asked_once_per_round() {
        let mut stage = Stage::new();
        for _ in 0..3 {
            let round = stage.ask(NOW, 4);
            assert_eq!(round, ["b1:9092", "b2:9092", "b3:9092", "elsewhere:1"]);
        }
    }

    #[test]
    fn silent_contact_is_passed_over_for_a_while() {
        let mut stage = Stage::new();
        for silent in ["b1:9092", "elsewhere:1"] {
            stage.contacts.failed(NOW, &silent.parse().unwrap());
        }
        assert_eq!(stage.ask(NOW, 4), ["b2:9092", "b2:9092", "b3:9092", "b3:9092"]);
        let later = NOW + AVOIDED;
        assert!(stage.ask(later, 8).contains(&"b1:9092".to_owned()));
    }

    #[test]
    fn all_contacts_are_asked_again_when_none_answered() {
        let mut stage = Stage::new();
        for address in stage.ask(NOW, 4) {
            stage.contacts.failed(NOW, &address.parse().unwrap());
        }
        let round = stage.ask(NOW, 4);
        assert_eq!(round.len(), 4);
        stage.contacts.answered(&"b3:9092".parse().unwrap());
        assert_eq!(stage.ask(NOW, 2), ["b3:9092", "b3:9092"]);
    }

    #[test]
    fn missing_or_malformed_bootstrap_servers_are_refused() {
        assert!(Contacts::new(&[]).is_err());
        let error = Contacts::new(&["b1".to_owned()]).unwrap_err();
        assert!(error.to_string().starts_with("`bootstrap.servers=b1`"), "{error}");
    }
}
