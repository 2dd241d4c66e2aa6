//! `misbehaving-producer`: clients that send requests which must be refused.
//!
//! They speak to leaders without a client in between, which would not send such a request. Some need
//! a record before them that is right; it is recorded like that of any producer.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rand::RngExt;
use rand_chacha::ChaCha12Rng;

use super::super::document::{Problems, Section};
use super::super::writer::Writer;
use super::forged::{self, Identity};
use super::paced::Paced;
use super::{Kind, Promise, Seats, SharedSignals, Side, boot, values};
use crate::base::config::{Acks, AdminConfig};
use crate::base::{BrokerId, Offset, ProducerEpoch, ProducerId, Stream, TopicPartition};
use crate::client::Admin;
use crate::io::Address;
use crate::rpc::Connection;
use crate::sim::{Boot, Misdeed, Outcome, ProducerEvent, SimWorld};
use crate::wire::ErrorCode;
use crate::wire::messages::{
    InitProducerIdRequest, InitProducerIdResponse, ProduceRequest, message,
};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(4);
/// The last version of Produce that names topics.
const BY_NAME: i16 = 12;
/// Kafka's default of `max.message.bytes`.
const MAX_MESSAGE: u64 = 1_048_588;
/// Bytes of a record's value.
const SIZE: u64 = 60;
/// One of this many misdeeds is a batch that is too large.
const LARGE: u32 = 40;

/// With the rate of its requests.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Misbehaving(Paced<AdminConfig>);

impl Kind for Misbehaving {
    const NAME: &'static str = "misbehaving-producer";
    const SIDE: Side = Side::Produces;

    fn parse(section: &mut Section, problems: &mut Problems) -> Self {
        Self(Paced::parse(section, problems, 5))
    }

    fn write(&self, out: &mut Writer) {
        self.0.write(out);
    }

    fn promise(&self) -> Promise {
        let (acks, patience) = (Some(Acks::All), Some(PATIENCE));
        Promise { acks, patience, ..Promise::default() }
    }

    fn hosts<W: SimWorld>(&self, seats: &Seats<'_>) -> Vec<Boot<W>> {
        let host = |number| {
            let mut config = self.0.settings.config.as_ref().clone();
            config.bootstrap_servers.clone_from(&seats.servers);
            config.client_id = format!("{}{number}", Self::SIDE.letter());
            // It has to end when producers are told to stop.
            config.request_timeout = config.request_timeout.min(PATIENCE);
            config.default_api_timeout = config.default_api_timeout.min(2 * PATIENCE);
            let limit = seats.topic.config.iter().find(|(key, _)| key == "max.message.bytes");
            let limit = limit.and_then(|(_, limit)| limit.parse().ok());
            let work = Work {
                number,
                config,
                topic: seats.topic.name.as_str().into(),
                partitions: seats.topic.partition_names(),
                keys: seats.topic.keys,
                limit: limit.unwrap_or(MAX_MESSAGE),
                interval: self.0.interval(seats),
                next: Arc::default(),
            };
            program(work, seats.signals.clone())
        };
        seats.numbers().map(host).collect()
    }

    #[cfg(test)]
    fn any() -> proptest::strategy::BoxedStrategy<Self> {
        use proptest::prelude::*;
        Paced::any().prop_map(Self).boxed()
    }
}

/// Everything that one client needs to know.
#[derive(Clone)]
struct Work {
    number: u32,
    config: AdminConfig,
    topic: Arc<str>,
    partitions: Vec<TopicPartition>,
    keys: u64,
    /// `max.message.bytes`.
    limit: u64,
    interval: Duration,
    /// The number of the next record, of all processes of this client.
    next: Arc<Mutex<u64>>,
}

fn program<W: SimWorld>(work: Work, signals: SharedSignals) -> Boot<W> {
    boot(move |world: W| {
        let (work, signals) = (work.clone(), signals.clone());
        async move {
            if let Ok(admin) = Admin::new(world.clone(), work.config.clone()) {
                let random = world.random(Stream::numbered("misbehaving load", *work.next.lock()));
                let lines = BTreeMap::new();
                let mut client = Client { world, admin, work, random, lines };
                let mut due = client.world.now();
                while !signals.lock().stop_producing {
                    due = (due + client.work.interval).max(client.world.now());
                    client.world.sleep_until(due).await;
                    client.misbehave().await;
                }
            }
            signals.lock().produced += 1;
        }
    })
}

struct Client<W: SimWorld> {
    world: W,
    admin: Admin<W>,
    work: Work,
    random: ChaCha12Rng,
    lines: BTreeMap<BrokerId, Connection<W>>,
}

impl<W: SimWorld> Client<W> {
    /// Sends one request that must be refused, to the leader of a partition.
    async fn misbehave(&mut self) -> Option<()> {
        let index = self.random.random_range(0..self.work.partitions.len());
        let partition = self.work.partitions[index].clone();
        let misdeed = self.choose();
        let line = self.leader(&partition).await?;
        let mut repeats = None;
        let mut identity = Identity::NONE;
        if forged::needs_another(misdeed) {
            identity = self.identify(&line).await?;
            repeats = Some(self.behave(&line, &partition, identity).await?);
        }
        let value = self.value();
        let size = if misdeed == Misdeed::Size { self.work.limit } else { SIZE };
        let record = values::record(&self.work.topic, self.work.keys, value, size);
        let records = forged::forged(misdeed, &record, self.world.wall_clock(), identity);
        let acks = if misdeed == Misdeed::Acks { 2 } else { -1 };
        let repeats = repeats.filter(|_| misdeed == Misdeed::Repeated);
        let producer = self.work.number;
        let about = partition.clone();
        self.world.observe(ProducerEvent::Misbehaved {
            producer,
            partition: about,
            value,
            misdeed,
            repeats,
        });
        let (code, base) = self.produce(&line, &partition, acks, records).await?;
        let error = code.name().to_owned();
        let offset = Some(base).filter(|_| code == ErrorCode::None);
        self.world.observe(ProducerEvent::Answered { producer, value, error, offset });
        Some(())
    }

    fn choose(&mut self) -> Misdeed {
        if self.random.random_range(0..LARGE) == 0 {
            return Misdeed::Size;
        }
        let others = Misdeed::ALL.into_iter().filter(|misdeed| *misdeed != Misdeed::Size);
        let others: Vec<_> = others.collect();
        others[self.random.random_range(0..others.len())]
    }

    /// A value of its own.
    fn value(&self) -> u64 {
        let mut next = self.work.next.lock();
        *next += 1;
        u64::from(self.work.number) << 40 | *next
    }

    /// Sends a record as any producer does, and returns where it is if it was acknowledged.
    async fn behave(
        &self,
        line: &Connection<W>,
        partition: &TopicPartition,
        identity: Identity,
    ) -> Option<Offset> {
        let (producer, value) = (self.work.number, self.value());
        let op = value & 0xff_ffff_ffff;
        self.world.observe(ProducerEvent::Sent {
            producer,
            op,
            partition: partition.clone(),
            value,
            acks: Acks::All,
            // It is sent once.
            idempotent: false,
            txn: None,
        });
        let record = values::record(&self.work.topic, self.work.keys, value, SIZE);
        let records = forged::batch(&record, self.world.wall_clock(), identity, 0);
        let answer = self.produce(line, partition, -1, records).await;
        let outcome = match answer {
            Some((ErrorCode::None, base)) => Outcome::Ok { offset: Some(base) },
            Some((code, _)) => Outcome::Unknown { error: code.name().into() },
            None => Outcome::Unknown { error: "no answer".into() },
        };
        self.world.observe(ProducerEvent::Told { producer, op, outcome });
        answer.filter(|(code, _)| *code == ErrorCode::None).map(|(_, base)| base)
    }

    /// A producer id that nothing was sent with, in an epoch that follows another.
    async fn identify(&self, line: &Connection<W>) -> Option<Identity> {
        let request = message!(InitProducerIdRequest {
            transactional_id: None,
            producer_id: ProducerId::NONE.0,
            producer_epoch: ProducerEpoch::NONE.0,
        });
        let deadline = self.world.now() + PATIENCE;
        let answer: InitProducerIdResponse = line.call(&request, None, deadline).await.ok()?;
        let epoch = ProducerEpoch(answer.producer_epoch + 1);
        (answer.error_code == 0).then_some(Identity { id: ProducerId(answer.producer_id), epoch })
    }

    /// The error and the base offset that a broker answers; `None` without an answer.
    async fn produce(
        &self,
        line: &Connection<W>,
        partition: &TopicPartition,
        acks: i16,
        records: bytes::Bytes,
    ) -> Option<(ErrorCode, Offset)> {
        let timeout_ms = i32::try_from(PATIENCE.as_millis()).unwrap_or(i32::MAX);
        let place = (&*partition.topic, partition.partition);
        let request: ProduceRequest = forged::production(place, acks, timeout_ms, records);
        let deadline = self.world.now() + 2 * PATIENCE;
        let answer = line.call(&request, Some(BY_NAME), deadline).await.ok()?;
        let mut answers = answer.responses.iter().flat_map(|topic| &topic.partition_responses);
        let answer = answers.next()?;
        Some((ErrorCode::from_code(answer.error_code), Offset(answer.base_offset)))
    }

    /// A connection to the broker that leads a partition.
    async fn leader(&mut self, partition: &TopicPartition) -> Option<Connection<W>> {
        let topics = self.admin.metadata(Some(&[&*partition.topic])).await.ok()?;
        let mut partitions = topics.into_iter().flat_map(|topic| topic.partitions);
        let found = partitions.find(|found| found.partition == partition.partition)?;
        let leader = found.leader?;
        self.lines.retain(|_, line| !line.is_closed());
        if let Some(line) = self.lines.get(&leader) {
            return Some(line.clone());
        }
        // The brokers of a scenario are numbered in the order of its servers.
        let index = usize::try_from(leader.0 - 1).ok()?;
        let server = self.work.config.bootstrap_servers.get(index)?;
        let (host, port) = server.rsplit_once(':')?;
        let address = Address::new(host, port.parse().ok()?);
        let deadline = self.world.now() + PATIENCE;
        let client = &self.work.config.client_id;
        let line = Connection::open(&self.world, &address, client, deadline).await.ok()?;
        self.lines.insert(leader, line.clone());
        Some(line)
    }
}
