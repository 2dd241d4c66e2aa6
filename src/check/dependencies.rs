//! Dependencies between committed transactions, and their shortest cycles.
//!
//! One depends on another if it wrote after it in a partition (write-write), or read a record of it
//! (write-read). Source: Adya, *Weak Consistency*; Jepsen's Elle and its Kafka workload. Records of
//! different producers may interleave in a partition: KIP-98 promises no order of their transactions, so
//! that only write-write dependencies within one transactional id are owed. What a partition lost within
//! the contract has no place in its order.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use super::ghost::{Ghost, Send, Transaction};
use super::{Dependency, TransactionName};
use crate::base::{Offset, TopicPartition};

/// After so many searches for a shorter cycle, the shortest so far is good enough.
const MOST_SEARCHES: usize = 10_000;

/// Which dependencies are followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Writes {
    /// Of one transactional id.
    OwnOnly,
    /// Of all producers.
    All,
}

/// A record of a committed transaction that another one read.
#[derive(Clone, Debug)]
pub(super) struct InputRead {
    pub by: TransactionName,
    pub partition: TopicPartition,
    pub offset: Offset,
    pub value: u64,
}

/// The dependencies between transactions.
#[derive(Debug, Default)]
pub(super) struct Dependencies {
    /// By the transaction that comes first, and then by the other. One witness for each pair.
    edges: BTreeMap<TransactionName, BTreeMap<TransactionName, Dependency>>,
}

/// Whose order of writing counts: a transactional id, or a producer without one.
type Writer = (Option<Arc<str>>, u32);

/// A record, and its transaction.
type Record = (Offset, TransactionName);

impl Dependencies {
    /// Those of all committed transactions. `reads`: what transactions read.
    pub fn of(ghost: &Ghost, writes: Writes, reads: &[InputRead]) -> Self {
        let mut found = Self::default();
        let committed = |one: &&Transaction| one.is_committed();
        let all: BTreeMap<TransactionName, &Transaction> =
            ghost.transactions().all().filter(committed).map(|one| (one.name(), one)).collect();
        found.writes(ghost, writes, &all);
        for read in reads.iter().filter(|read| all.contains_key(&read.by)) {
            let from = ghost.clients().send_of(read.value).and_then(name_of);
            let Some(from) = from.filter(|from| *from != read.by && all.contains_key(from)) else {
                continue;
            };
            let (partition, offset) = (read.partition.clone(), read.offset);
            found.add(Dependency { from, to: read.by, partition, offset, next: None });
        }
        found
    }

    /// In each partition, each transaction precedes the one that wrote next.
    fn writes(
        &mut self,
        ghost: &Ghost,
        writes: Writes,
        all: &BTreeMap<TransactionName, &Transaction>,
    ) {
        let mut written: BTreeMap<(&TopicPartition, Option<Writer>), Vec<Record>> = BTreeMap::new();
        for (name, transaction) in all {
            let writer = (transaction.transactional_id().cloned(), transaction.producer);
            // A transactional id has one order, whichever process has it.
            let writer = match writer {
                (Some(id), _) => (Some(id), 0),
                without => without,
            };
            let writer = Some(writer).filter(|_| writes == Writes::OwnOnly);
            for value in &transaction.sends {
                let Some(send) = ghost.clients().send_of(*value) else { continue };
                let Some(offset) = send.offset().filter(|_| !ghost.was_lost_since(send)) else {
                    continue;
                };
                let place = (&send.partition, writer.clone());
                written.entry(place).or_default().push((offset, *name));
            }
        }
        for ((partition, _), mut records) in written {
            records.sort_unstable();
            for pair in records.windows(2) {
                let [(offset, from), (next, to)] = pair else { continue };
                if from != to {
                    let (partition, offset, next) = (partition.clone(), *offset, Some(*next));
                    self.add(Dependency { from: *from, to: *to, partition, offset, next });
                }
            }
        }
    }

    fn add(&mut self, edge: Dependency) {
        self.edges.entry(edge.from).or_default().entry(edge.to).or_insert(edge);
    }

    fn after(&self, name: TransactionName) -> impl Iterator<Item = TransactionName> {
        self.edges.get(&name).into_iter().flat_map(BTreeMap::keys).copied()
    }

    /// The shortest cycle, if there is any. `wanted`: only one with such an edge.
    pub fn shortest_cycle(&self, wanted: impl Fn(&Dependency) -> bool) -> Option<Vec<Dependency>> {
        let mut shortest: Option<Vec<Dependency>> = None;
        let mut searches = 0;
        for component in self.components() {
            let edges = component.iter().filter_map(|from| self.edges.get(from));
            let inside = |edge: &&Dependency| component.contains(&edge.to) && wanted(edge);
            for edge in edges.flat_map(BTreeMap::values).filter(inside) {
                searches += 1;
                if searches > MOST_SEARCHES && shortest.is_some() {
                    return shortest;
                }
                let limit = shortest.as_ref().map_or(usize::MAX, Vec::len);
                // The way back, and this edge, are the cycle.
                let Some(back) = self.path(edge.to, edge.from, &component, limit - 1) else {
                    continue;
                };
                if back.len() + 1 < limit {
                    shortest = Some(std::iter::once(edge.clone()).chain(back).collect());
                }
                if shortest.as_ref().is_some_and(|cycle| cycle.len() == 2) {
                    return shortest;
                }
            }
        }
        shortest
    }

    /// A shortest way from one transaction to another within a component, shorter than `limit`.
    fn path(
        &self,
        from: TransactionName,
        to: TransactionName,
        component: &BTreeSet<TransactionName>,
        limit: usize,
    ) -> Option<Vec<Dependency>> {
        let mut before: BTreeMap<TransactionName, TransactionName> = BTreeMap::new();
        let mut waiting = VecDeque::from([(from, 0)]);
        let mut seen = BTreeSet::from([from]);
        while let Some((at, length)) = waiting.pop_front() {
            if at == to {
                let mut path = Vec::new();
                let mut at = to;
                while let Some(previous) = before.get(&at) {
                    path.extend(self.edges.get(previous)?.get(&at).cloned());
                    at = *previous;
                }
                path.reverse();
                return Some(path);
            }
            if length + 1 >= limit {
                continue;
            }
            for next in self.after(at).filter(|next| component.contains(next)) {
                if seen.insert(next) {
                    before.insert(next, at);
                    waiting.push_back((next, length + 1));
                }
            }
        }
        None
    }

    /// The strongly connected components of more than one transaction. Tarjan's algorithm, without
    /// recursion: a history may have a million transactions.
    fn components(&self) -> Vec<BTreeSet<TransactionName>> {
        let mut search = Search::default();
        for start in self.edges.keys() {
            if !search.order.contains_key(start) {
                search.visit(self, *start);
            }
        }
        search.found
    }
}

/// Tarjan's algorithm under way.
#[derive(Default)]
struct Search {
    /// When each transaction was first visited.
    order: BTreeMap<TransactionName, usize>,
    /// The earliest one on the stack that it leads back to.
    low: BTreeMap<TransactionName, usize>,
    stack: Vec<TransactionName>,
    on_stack: BTreeSet<TransactionName>,
    found: Vec<BTreeSet<TransactionName>>,
}

impl Search {
    fn enter(&mut self, name: TransactionName) {
        let number = self.order.len();
        self.order.insert(name, number);
        self.low.insert(name, number);
        self.stack.push(name);
        self.on_stack.insert(name);
    }

    fn lower(&mut self, name: TransactionName, to: usize) {
        if let Some(low) = self.low.get_mut(&name) {
            *low = to.min(*low);
        }
    }

    fn visit(&mut self, graph: &Dependencies, start: TransactionName) {
        self.enter(start);
        let mut calls = vec![(start, graph.after(start).collect::<Vec<_>>())];
        while let Some((at, rest)) = calls.last_mut() {
            let at = *at;
            match rest.pop() {
                Some(next) if !self.order.contains_key(&next) => {
                    self.enter(next);
                    calls.push((next, graph.after(next).collect()));
                }
                Some(next) => {
                    if self.on_stack.contains(&next)
                        && let Some(order) = self.order.get(&next).copied()
                    {
                        self.lower(at, order);
                    }
                }
                None => {
                    calls.pop();
                    let low = self.low.get(&at).copied().unwrap_or_default();
                    if let Some((caller, _)) = calls.last() {
                        self.lower(*caller, low);
                    }
                    if self.order.get(&at) == Some(&low) {
                        self.close(at);
                    }
                }
            }
        }
    }

    /// Everything above the root of a component on the stack belongs to it.
    fn close(&mut self, root: TransactionName) {
        let mut component = BTreeSet::new();
        while let Some(name) = self.stack.pop() {
            self.on_stack.remove(&name);
            component.insert(name);
            if name == root {
                break;
            }
        }
        if component.len() > 1 {
            self.found.push(component);
        }
    }
}

/// The transaction of a record.
fn name_of(send: &Send) -> Option<TransactionName> {
    Some(TransactionName { producer: send.producer, number: send.txn? })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(number: u64) -> TransactionName {
        TransactionName { producer: 1, number }
    }

    fn graph(edges: &[(u64, u64)]) -> Dependencies {
        let mut graph = Dependencies::default();
        for (from, to) in edges.iter().filter(|(from, to)| from != to) {
            let (from, to) = (name(*from), name(*to));
            let partition = TopicPartition::new("x", 0);
            graph.add(Dependency { from, to, partition, offset: Offset(0), next: None });
        }
        graph
    }

    fn shortest(edges: &[(u64, u64)]) -> Option<Vec<u64>> {
        let cycle = graph(edges).shortest_cycle(|_| true)?;
        Some(cycle.iter().map(|edge| edge.from.number).collect())
    }

    #[test]
    fn shortest_of_several_cycles_is_found() {
        assert_eq!(shortest(&[(1, 2), (2, 3), (1, 3)]), None);
        assert_eq!(shortest(&[(1, 2), (2, 3), (3, 1), (3, 2)]), Some(vec![2, 3]));
        assert_eq!(shortest(&[(1, 2), (2, 3), (3, 4), (4, 1), (3, 5), (5, 1)]).unwrap().len(), 4);
    }

    #[test]
    fn long_chain_of_transactions_needs_no_deep_stack() {
        let chain: Vec<_> = (0..200_000).map(|number| (number, number + 1)).collect();
        assert_eq!(shortest(&chain), None);
    }

    /// The length of the shortest cycle through any transaction, by trying all.
    fn by_force(edges: &[(u64, u64)], nodes: u64) -> Option<usize> {
        let lengths = (0..nodes).filter_map(|start| {
            let mut reached = BTreeSet::from([start]);
            (1..=nodes).find_map(|length| {
                let next = edges.iter().filter(|(from, to)| from != to && reached.contains(from));
                reached = next.map(|(_, to)| *to).collect();
                reached.contains(&start).then_some(length as usize)
            })
        });
        lengths.min()
    }

    proptest! {
        #[test]
        fn found_cycle_is_one_and_none_is_shorter(
            edges in proptest::collection::vec((0_u64..8, 0_u64..8), 0..20)
        ) {
            let cycle = graph(&edges).shortest_cycle(|_| true);
            prop_assert_eq!(cycle.as_ref().map(Vec::len), by_force(&edges, 8));
            if let Some(cycle) = cycle {
                for (step, next) in cycle.iter().zip(cycle.iter().cycle().skip(1)) {
                    prop_assert_eq!(step.to, next.from);
                    prop_assert!(edges.contains(&(step.from.number, step.to.number)));
                }
            }
        }
    }
}
