//! `producer`: clients that send records at a steady rate.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rand::RngExt;

use super::super::document::{At, Problems, Section};
use super::super::entries::MAX_DURATION;
use super::super::smaller::{TENTH, earlier, lower};
use super::super::writer::Writer;
use super::effects::Effect;
use super::transacting::outcome_of;
use super::values::{self, MIN_RECORD};
use super::{Kind, Promise, Seats, Settings, Share, SharedSignals, Side, Smaller, boot};
use crate::base::config::ProducerConfig;
use crate::base::{Flaws, Stream, TopicPartition};
use crate::check::TopicPromise;
use crate::scenario::{Notation, Range, Rate};
use crate::sim::{Boot, ProducerEvent, SimWorld};

/// Largest record that a scenario may ask for.
const MAX_RECORD: u64 = 16 << 20;
/// One of this many records with a key is a tombstone.
const TOMBSTONES: u64 = 10;
/// How long a producer that stops waits for what is under way.
const CLOSE: Duration = Duration::from_secs(30);
/// How long a producer that has sent all its records stays for their outcomes to be recorded.
const FAREWELL: Duration = Duration::from_millis(100);
/// This few records anyone can follow: how late the load begins is of no interest then.
const FEW: u64 = 20;
const JUDGED: &str = "judged-as-idempotent";

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Producer {
    /// By all clients together.
    rate: Rate,
    /// Nothing that is due before is sent; what comes after is as if it had been.
    begins: Duration,
    /// How many each client sends at most; no limit when absent.
    records: Option<u64>,
    /// Bytes of a record's value, drawn for each record.
    record_size: Range<u64>,
    /// Whether its records are judged as those of an idempotent producer, to show what another one doubles
    /// and reorders.
    judged_as_idempotent: bool,
    settings: Settings<ProducerConfig>,
}

impl Kind for Producer {
    const NAME: &'static str = "producer";
    const SIDE: Side = Side::Produces;

    fn parse(section: &mut Section, problems: &mut Problems) -> Self {
        let rate = section.value::<Rate>("rate", problems).map(|rate| rate.value);
        let record_size = section.range::<u64>("record.size", problems);
        let record_size =
            record_size.map_or(Range { low: 100, high: 1000 }, |At { line, value }| {
                if value.low < MIN_RECORD || value.high > MAX_RECORD {
                    let bounds = format!("expected {MIN_RECORD} to {MAX_RECORD} bytes");
                    problems.add(line, format!("`record.size = {value}`: {bounds}"));
                }
                value
            });
        let begins = section.value::<Duration>("begins", problems);
        let begins = begins.map_or(Duration::ZERO, |At { line, value }| {
            if value > MAX_DURATION {
                problems.add(line, "`begins`: expected at most a day");
            }
            value.min(MAX_DURATION)
        });
        let records = section.value::<u64>("records", problems).map(|records| records.value);
        let judged_as_idempotent = section.boolean(JUDGED, problems).unwrap_or(false);
        let rate = rate.unwrap_or(Rate { count: 100, per: Duration::from_secs(1) });
        let settings = Settings::parse_checked(section, problems, ProducerConfig::check);
        Self { rate, begins, records, record_size, judged_as_idempotent, settings }
    }

    fn write(&self, out: &mut Writer) {
        out.value("rate", &self.rate);
        if !self.begins.is_zero() {
            out.value("begins", &self.begins);
        }
        if let Some(records) = self.records {
            out.plain("records", records);
        }
        out.range("record.size", &self.record_size);
        if self.judged_as_idempotent {
            out.plain(JUDGED, true);
        }
        self.settings.write(out);
    }

    fn promise(&self) -> Promise {
        let config = &self.settings.config;
        let patience = Some(config.request_timeout);
        Promise {
            acks: Some(config.acks),
            idempotence: config.idempotent() || self.judged_as_idempotent,
            patience,
            ..Promise::default()
        }
    }

    fn hosts<W: SimWorld>(&self, seats: &Seats<'_>) -> Vec<Boot<W>> {
        let expects = |is_set: bool, option, otherwise: String| match is_set {
            true => seats.expects(Self::SIDE.letter(), option, otherwise),
            false => Effect::default(),
        };
        let nothing = format!("nothing was due between {} and the end", self.begins.show());
        let sends = expects(!self.begins.is_zero(), "begins", nothing);
        let limit = self.records.unwrap_or_default();
        let unreached = format!("no client came to {limit} records before the load ended");
        let stops = expects(self.records.is_some(), "records", unreached);
        let host = |number| {
            let mut config = self.settings.config.as_ref().clone();
            config.bootstrap_servers.clone_from(&seats.servers);
            config.client_id = format!("{}{number}", Self::SIDE.letter());
            let work = Producing {
                number,
                topic: seats.topic.name.as_str().into(),
                partitions: seats.topic.partitions,
                keys: seats.topic.keys,
                interval: self.rate.interval(seats.clients.into()),
                begins: self.begins,
                records: self.records,
                shows: (sends.clone(), stops.clone()),
                record_size: self.record_size,
                judged_as_idempotent: self.judged_as_idempotent,
                config,
                flaws: seats.flaws,
                so_far: Arc::default(),
            };
            program(work, seats.signals.clone())
        };
        seats.numbers().map(host).collect()
    }

    fn smaller(&self, way: Smaller, share: Share) -> Vec<Self> {
        match way {
            Smaller::Later => self.later(share),
            Smaller::FewerRecords => {
                let fewer = lower(self.sent_by_each(share), 1).into_iter();
                fewer.map(|records| Self { records: Some(records), ..self.clone() }).collect()
            }
            Smaller::LowerRate => {
                let counts = lower(self.rate.count, 1).into_iter();
                let rates = counts.map(|count| Rate { count, per: self.rate.per });
                rates.map(|rate| Self { rate, ..self.clone() }).collect()
            }
            Smaller::EqualRecords => {
                // Where bytes matter, few large records do what many small ones did.
                let Range { low, high } = self.record_size;
                let sizes = [low, high].into_iter().filter(|_| low < high).map(Range::just);
                sizes.map(|record_size| Self { record_size, ..self.clone() }).collect()
            }
        }
    }

    fn hasten(&mut self, by: Duration) {
        self.begins = self.begins.saturating_sub(by);
    }

    #[cfg(test)]
    fn any() -> proptest::strategy::BoxedStrategy<Self> {
        use crate::scenario::fault::any;
        use proptest::prelude::*;
        let rate = (1..100_000u64, proptest::sample::select(vec![1u64, 60, 3600]));
        let rate = rate.prop_map(|(count, per)| Rate { count, per: Duration::from_secs(per) });
        let keys = proptest::sample::select(vec![("acks", "all"), ("linger.ms", "5")]);
        let keys = proptest::option::of(keys).prop_map(|pair| {
            let pairs = pair.map(|(key, value)| (key.to_owned(), value.to_owned()));
            Settings::of(pairs.into_iter().collect())
        });
        let begins = (0..=86_400_000u64).prop_map(Duration::from_millis);
        let sizes = any::numbers(MIN_RECORD..=MAX_RECORD);
        let records = proptest::option::of(0..u64::MAX / 2);
        let parts = (rate, begins, records, sizes, proptest::bool::ANY, keys);
        let any = parts.prop_map(|(rate, begins, records, record_size, judged, settings)| Self {
            rate,
            begins,
            records,
            record_size,
            judged_as_idempotent: judged,
            settings,
        });
        any.boxed()
    }
}

impl Producer {
    /// How many records each client sends at most, from its beginning to the end of all faults.
    fn sent_by_each(&self, share: Share) -> u64 {
        let interval = self.rate.interval(share.clients).as_nanos().max(1);
        let lasts = share.duration.saturating_sub(self.begins).as_nanos();
        let in_time = u64::try_from(lasts.div_ceil(interval)).unwrap_or(u64::MAX);
        self.records.unwrap_or(u64::MAX).min(in_time)
    }

    /// Many records begin later, and stop where they stopped: what led nowhere goes.
    fn later(&self, share: Share) -> Vec<Self> {
        let sent = self.sent_by_each(share);
        if sent.saturating_mul(share.clients) <= FEW {
            return Vec::new();
        }
        let interval = self.rate.interval(share.clients);
        let lasts = interval.saturating_mul(u32::try_from(sent).unwrap_or(u32::MAX));
        let later = earlier(lasts, TENTH, TENTH).into_iter().map(|left| {
            let fewer = u64::try_from(left.as_nanos() / interval.as_nanos().max(1)).unwrap_or(1);
            Self {
                begins: self.begins + lasts.saturating_sub(left),
                records: self.records.map(|_| fewer.max(1)),
                ..self.clone()
            }
        });
        later.collect()
    }
}

/// Everything that one client needs to know.
#[derive(Clone)]
struct Producing {
    number: u32,
    topic: Arc<str>,
    partitions: i32,
    /// Records have one of this many keys; 0: none.
    keys: u64,
    interval: Duration,
    begins: Duration,
    records: Option<u64>,
    /// That it sends after its beginning, and stops at its limit.
    shows: (Effect, Effect),
    record_size: Range<u64>,
    judged_as_idempotent: bool,
    config: ProducerConfig,
    flaws: Flaws,
    so_far: Arc<Mutex<SoFar>>,
}

/// What a client's processes have done so far: one that was killed is followed by another.
#[derive(Debug, Default)]
struct SoFar {
    processes: u64,
    /// The number of the next record.
    next: u64,
    /// Records sent.
    sent: u64,
}

/// Sends records at its rate until it is told to stop.
fn program<W: SimWorld>(work: Producing, signals: SharedSignals) -> Boot<W> {
    boot(move |world: W| {
        let (work, signals) = (work.clone(), signals.clone());
        async move {
            produce(&world, work, &signals).await;
            signals.lock().produced += 1;
        }
    })
}

async fn produce<W: SimWorld>(world: &W, work: Producing, signals: &SharedSignals) {
    let acks = work.config.acks;
    let idempotent = work.config.idempotent() || work.judged_as_idempotent;
    let config = work.config.clone();
    let producer = crate::client::Producer::start_flawed(world.clone(), config, work.flaws);
    let Ok(producer) = producer else { return };
    let (process, first, sent) = {
        let mut so_far = work.so_far.lock();
        so_far.processes += 1;
        (so_far.processes - 1, so_far.next, so_far.sent)
    };
    let mut random = world.random(Stream::numbered("producer load", process));
    let begins = if process == 0 { world.now() + work.begins } else { world.now() };
    let mut due = world.now() + work.interval.mul_f64(random.random_range(0.0..1.0));
    let mut left = work.records.unwrap_or(u64::MAX).saturating_sub(sent);
    for op in first.. {
        if left == 0 {
            work.shows.1.happened();
            break;
        }
        if due < begins {
            // Drawn anyway, so that what follows is what it would have been.
            let _: i32 = random.random_range(0..work.partitions);
            work.record_size.draw(&mut random);
            due = due + work.interval;
            continue;
        }
        left -= 1;
        world.sleep_until(due).await;
        if signals.lock().stop_producing {
            break;
        }
        if !signals.lock().settling {
            work.shows.0.happened();
        }
        // A producer that was held up sends what it owes, but not all at once.
        due = (due + work.interval).max(world.now() - 100 * work.interval);
        let partitions = signals.lock().partitions.get(&*work.topic).copied();
        let partition = random.random_range(0..partitions.unwrap_or(work.partitions));
        let size = work.record_size.draw(&mut random);
        let mut value = u64::from(work.number) << 40 | op;
        {
            let mut so_far = work.so_far.lock();
            (so_far.next, so_far.sent) = (op + 1, so_far.sent + 1);
        }
        if work.keys > 0 && random.random_range(0..TOMBSTONES) == 0 {
            value |= TopicPromise::TOMBSTONE;
        }
        world.observe(ProducerEvent::Sent {
            producer: work.number,
            op,
            partition: TopicPartition::new(work.topic.clone(), partition),
            value,
            acks,
            idempotent,
            txn: None,
        });
        let record = values::record(&work.topic, work.keys, value, size);
        let delivery = producer.send(record.to_partition(partition)).await;
        let (told, producer) = (world.clone(), work.number);
        delivery.on_completion(move |outcome| {
            told.observe(ProducerEvent::Told { producer, op, outcome: outcome_of(outcome) });
        });
    }
    producer.close(CLOSE).await;
    if work.records.is_some() {
        // The host ends with this task: those beside it still have to say what was delivered.
        world.sleep_until(world.now() + FAREWELL).await;
    }
}
