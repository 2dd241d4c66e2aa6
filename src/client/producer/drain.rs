//! Which batches leave now, and in which request.

use std::collections::BTreeMap;

use super::answer::Sent;
use super::batch::{Attempt, Batch};
use super::core::{Core, Effect, Order};
use crate::base::{BrokerId, Instant, LeaderEpoch, TopicId};
use crate::client::kernel::RequestId;
use crate::wire::messages::ProduceRequest;
use crate::wire::messages::produce_request::{PartitionProduceData, TopicProduceData};

/// Room in a request for what is not records.
const REQUEST_OVERHEAD: usize = 512;

/// Whether something of a partition may leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Readiness {
    /// A batch is due.
    Ready(Next),
    /// A batch may go along with others, and goes by itself at this time.
    Lingers(Instant),
    /// Not before this time.
    NotBefore(Instant),
    /// Nobody leads it, as far as is known.
    NoLeader,
    /// Not before something else happens.
    Blocked,
}

/// Which batch is next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// One that was sent before, by its place.
    Again(usize),
    /// The first of those never sent.
    Fresh,
}

impl Core {
    /// Sends what may be sent.
    pub(super) fn drain(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        loop {
            let mut due: BTreeMap<BrokerId, Vec<(usize, Next)>> = BTreeMap::new();
            let mut along: BTreeMap<BrokerId, Vec<(usize, Next)>> = BTreeMap::new();
            let active: Vec<usize> = self.active.iter().copied().collect();
            for index in active {
                let readiness = self.readiness(now, index);
                let leader = self.leader(index);
                match (readiness, leader) {
                    (Readiness::Ready(next), Some((broker, _))) => {
                        due.entry(broker).or_default().push((index, next));
                    }
                    (Readiness::Lingers(until), Some((broker, _))) => {
                        self.wake = self.wake.min(until);
                        along.entry(broker).or_default().push((index, Next::Fresh));
                    }
                    (Readiness::NotBefore(time), _) => self.wake = self.wake.min(time),
                    (Readiness::NoLeader, _) => self.kernel.want_metadata_unless_asked(),
                    _ => {}
                }
            }
            let mut sent = false;
            for (broker, mut batches) in due {
                if self.requests.in_flight(broker) < self.config.max_in_flight {
                    // So that those at the end of the list get into a request, too.
                    let rotation = self.requests.rotation(batches.len());
                    batches.rotate_left(rotation);
                    batches.extend(along.remove(&broker).unwrap_or_default());
                    self.send(now, broker, &batches, effects);
                    sent = true;
                }
            }
            if !sent {
                return;
            }
        }
    }

    fn readiness(&mut self, now: Instant, index: usize) -> Readiness {
        let mended = self.mend(index);
        let leader = self.leader(index);
        let partition = &self.partitions[index];
        let Some((_, epoch)) = leader else { return Readiness::NoLeader };
        if !mended {
            return Readiness::Blocked;
        }
        // Numbered batches, and those of a producer that has only one request in flight, are sent
        // again one by one from the first on; others in any order (Kafka's `RecordAccumulator`).
        let in_order = self.identity.is_idempotent() || self.config.max_in_flight == 1;
        let waiting = partition.sent.iter().position(|batch| !batch.is_outstanding());
        if let Some(place) = waiting {
            if in_order && place > 0 {
                return Readiness::Blocked;
            }
            return match again_at(&partition.sent[place], epoch) {
                time if time > now => Readiness::NotBefore(time),
                _ => Readiness::Ready(Next::Again(place)),
            };
        }
        let Some(first) = partition.fresh.front() else { return Readiness::Blocked };
        let lingers = first.created + self.config.linger;
        let is_due = first.closed
            || partition.fresh.len() > 1
            || now >= lingers
            || self.flushing > 0
            || self.closing
            || self.memory.is_exhausted();
        if self.config.max_in_flight == 1 && partition.has_outstanding() {
            return Readiness::Blocked;
        }
        if !self.may_number(index) {
            return Readiness::Blocked;
        }
        if is_due { Readiness::Ready(Next::Fresh) } else { Readiness::Lingers(lingers) }
    }

    /// Puts one batch of each partition into a request, as far as there is room.
    fn send(
        &mut self,
        now: Instant,
        broker: BrokerId,
        batches: &[(usize, Next)],
        effects: &mut Vec<Effect>,
    ) {
        let Some(to) = self.kernel.cluster().address(broker).cloned() else { return };
        let request = self.requests.next_id();
        let mut message = ProduceRequest::default();
        message.acks = self.config.acks.code();
        let timeout = self.config.request_timeout.as_millis();
        message.timeout_ms = i32::try_from(timeout).unwrap_or(i32::MAX);
        let mut by_name = false;
        let mut sent = Vec::new();
        let mut room = self.config.max_request_size.saturating_sub(REQUEST_OVERHEAD);
        let mut topics: BTreeMap<std::sync::Arc<str>, usize> = BTreeMap::new();
        for (index, next) in batches {
            let size = self.next_batch(*index, *next).map_or(0, |batch| batch.size());
            if size > room && !sent.is_empty() {
                continue;
            }
            let Some(data) = self.attempt(request, *index, *next, &mut sent) else { continue };
            room = room.saturating_sub(size);
            let name = &self.partitions[*index].name.topic;
            let at = *topics.entry(name.clone()).or_insert_with(|| {
                let mut topic = TopicProduceData::default();
                topic.name = (&**name).into();
                let id = self.kernel.cluster().id(name);
                by_name |= id == TopicId::ZERO;
                topic.topic_id = id.into();
                message.topic_data.push(topic);
                message.topic_data.len() - 1
            });
            message.topic_data[at].partition_data.push(data);
        }
        self.requests.began(request, broker, sent);
        let deadline = now + self.config.request_timeout;
        effects.push(Effect::Send(Order { request, to, message, by_name, deadline }));
    }

    fn next_batch(&self, index: usize, next: Next) -> Option<&Batch> {
        let partition = self.partitions.get(index)?;
        match next {
            Next::Again(place) => partition.sent.get(place),
            Next::Fresh => partition.fresh.front(),
        }
    }

    /// Makes a batch part of a request.
    fn attempt(
        &mut self,
        request: RequestId,
        index: usize,
        next: Next,
        sent: &mut Vec<Sent>,
    ) -> Option<PartitionProduceData> {
        let leader_epoch = self.leader(index).map_or(LeaderEpoch::NONE, |(_, epoch)| epoch);
        if next == Next::Fresh {
            let count = self.partitions[index].fresh.front()?.count;
            let number = self.number(index, count);
            let partition = &mut self.partitions[index];
            let mut batch = partition.fresh.pop_front()?;
            batch.seal(number);
            partition.sent.push_back(batch);
        }
        let partition = &mut self.partitions[index];
        let place = match next {
            Next::Again(place) => place,
            Next::Fresh => partition.sent.len() - 1,
        };
        let batch = partition.sent.get_mut(place)?;
        batch.attempt = Attempt::Outstanding(request);
        batch.attempts = batch.attempts.saturating_add(1);
        batch.leader_epoch = leader_epoch;
        sent.push(Sent { partition: index, number: batch.number, count: batch.count });
        let mut data = PartitionProduceData::default();
        data.index = partition.name.partition;
        data.records = Some(batch.bytes());
        Some(data)
    }
}

/// When a batch may be sent again: at once if another leads by now.
fn again_at(batch: &Batch, epoch: LeaderEpoch) -> Instant {
    match batch.attempt {
        Attempt::Waiting(_)
            if batch.leader_epoch != LeaderEpoch::NONE && epoch > batch.leader_epoch =>
        {
            Instant::START
        }
        Attempt::Waiting(until) => until,
        Attempt::Outstanding(_) => Instant::NEVER,
    }
}
