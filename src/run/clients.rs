//! The programs that clients belong to: a sentence about `p1` should say that it is `shop`.

use std::collections::BTreeMap;

use crate::sim::{ClientEvent, ConsumerEvent, HostId, ProducerEvent};

/// The clients of a run, by the names that sentences give them, with the hosts they were seen on.
#[derive(Debug, Default)]
pub(super) struct Clients(BTreeMap<(char, u32), HostId>);

impl Clients {
    /// Learns where a client runs.
    pub fn see(&mut self, host: HostId, event: &ClientEvent) {
        let client = match event {
            ClientEvent::Producer(ProducerEvent::Sent { producer, .. }) => ('p', *producer),
            ClientEvent::Consumer(ConsumerEvent::Polled { consumer, .. }) => ('k', *consumer),
            ClientEvent::Member(event) => ('k', event.consumer()),
            _ => return,
        };
        self.0.insert(client, host);
    }

    /// The sentence, followed by the programs of the clients in it: `… (p1 is shop)`.
    pub fn explained<'a>(&self, what: String, name: impl Fn(HostId) -> &'a str) -> String {
        let words: Vec<&str> = what.split(|c: char| !c.is_ascii_alphanumeric()).collect();
        let programs = self.0.iter().filter_map(|((letter, number), host)| {
            let (client, program) = (format!("{letter}{number}"), name(*host));
            let named = client != program && words.contains(&client.as_str());
            named.then(|| format!("{client} is {program}"))
        });
        let programs: Vec<String> = programs.collect();
        if programs.is_empty() { what } else { format!("{what} ({})", programs.join(", ")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::config::Acks;
    use crate::base::{Offset, TopicPartition};

    #[test]
    fn sentence_names_the_programs_of_its_clients() {
        let partition = TopicPartition::new("orders", 0);
        let mut clients = Clients::default();
        for producer in [1, 2] {
            let sent = ProducerEvent::Sent {
                producer,
                op: 0,
                partition: partition.clone(),
                value: 7,
                acks: Acks::All,
                idempotent: true,
                txn: None,
            };
            clients.see(HostId(9), &sent.into());
        }
        let (records, epochs) = (vec![(Offset(0), 7)], Vec::new());
        let polled = ConsumerEvent::Polled { consumer: 3, partition, records, epochs };
        clients.see(HostId(3), &polled.into());
        let name = |host: HostId| if host == HostId(9) { "shop" } else { "k3" };
        let explained = |what: &str| clients.explained(what.to_owned(), name);
        assert_eq!(explained("p1's record 4 is gone"), "p1's record 4 is gone (p1 is shop)");
        assert_eq!(explained("consumer k3 read on"), "consumer k3 read on");
        assert_eq!(explained("p12's record 4"), "p12's record 4");
    }
}
