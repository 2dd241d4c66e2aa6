//! `transactional`: clients that send records in transactions, one after the other.
//!
//! Each has a transactional id of its own, unless several share one: then each that starts fences the
//! others, which start again after a while.

use std::time::Duration;

use rand::RngExt;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha12Rng;

use super::super::document::{At, Problems, Section};
use super::super::entries::{MAX_DURATION, MAX_HOSTS, bounded};
use super::super::smaller::lower;
use super::super::writer::Writer;
use super::effects::Effect;
use super::transacting::{Desk, Fate, Past, Transacting};
use super::values::{self, MIN_RECORD};
use super::{Kind, Promise, Seats, Settings, Share, Side, Smaller, boot};
use crate::base::config::ProducerConfig;
use crate::base::{Instant, Stream};
use crate::scenario::{Range, Topic};
use crate::sim::{Boot, SimWorld};

/// Largest record, and most records of a transaction, that a scenario may ask for.
const MAX_RECORD: u64 = 1 << 20;
const MAX_RECORDS: u64 = 10_000;
/// All of them.
const PERCENT: u64 = 100;
/// How long a waiting client sleeps between two looks at the signals.
const PAUSE: Duration = Duration::from_millis(100);
/// The same while no client is asked to stop yet.
const NAP: Duration = Duration::from_secs(1);
/// How long a producer that stops waits for what is under way.
const CLOSE: Duration = Duration::from_secs(10);
/// The key without which there are no transactions.
const ID: &str = "transactional.id";

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Transactional {
    /// Records of a transaction, and the partitions that they are in; drawn for each transaction.
    records: Range<u64>,
    partitions: Range<u64>,
    /// Bytes of a record's value, drawn for each record.
    record_size: Range<u64>,
    /// How long a transaction stays open after its records are stored.
    hold: Range<Duration>,
    /// The time between two transactions.
    think: Range<Duration>,
    /// The share of transactions that are aborted, in percent.
    aborts: u64,
    /// How many transactional ids all clients share; one each when absent.
    ids: Option<u64>,
    /// The time after which a client whose producer can't go on starts another one.
    restart: Range<Duration>,
    settings: Settings<ProducerConfig>,
}

/// Between two transactions, unless the file says so.
const THINK: Range<Duration> =
    Range { low: Duration::from_millis(10), high: Duration::from_millis(200) };
const RESTART: Range<Duration> =
    Range { low: Duration::from_secs(1), high: Duration::from_secs(3) };

impl Kind for Transactional {
    const NAME: &'static str = "transactional";
    const SIDE: Side = Side::Produces;

    fn parse(section: &mut Section, problems: &mut Problems) -> Self {
        let records = count(section, "transaction.records", (1, 10), problems);
        let partitions = count(section, "transaction.partitions", (1, 3), problems);
        let record_size = section.range::<u64>("record.size", problems);
        let record_size =
            record_size.map_or(Range { low: 100, high: 1000 }, |At { line, value }| {
                if value.low < MIN_RECORD || value.high > MAX_RECORD {
                    let bounds = format!("expected {MIN_RECORD} to {MAX_RECORD} bytes");
                    problems.add(line, format!("`record.size = {value}`: {bounds}"));
                }
                value
            });
        let hold = pause(section, "hold", Range::just(Duration::ZERO), problems);
        let think = pause(section, "think", THINK, problems);
        let aborts = bounded(section, "aborts", (0, PERCENT), 0, problems);
        let ids = section.has("ids").then(|| bounded(section, "ids", (1, MAX_HOSTS), 1, problems));
        let restart = pause(section, "restart", RESTART, problems);
        let line = section.line;
        let settings = Settings::parse_checked(section, problems, ProducerConfig::check);
        if !settings.config.is_transactional() {
            problems.add(line, format!("`{ID}` is missing: a name, such as `\"till\"`"));
        }
        Self { records, partitions, record_size, hold, think, aborts, ids, restart, settings }
    }

    fn write(&self, out: &mut Writer) {
        out.range("transaction.records", &self.records);
        out.range("transaction.partitions", &self.partitions);
        out.range("record.size", &self.record_size);
        if self.hold != Range::just(Duration::ZERO) {
            out.range("hold", &self.hold);
        }
        out.range("think", &self.think);
        if self.aborts > 0 {
            out.plain("aborts", self.aborts);
        }
        if let Some(ids) = self.ids {
            out.plain("ids", ids);
        }
        if self.restart != RESTART {
            out.range("restart", &self.restart);
        }
        self.settings.write(out);
    }

    fn promise(&self) -> Promise {
        let config = &self.settings.config;
        Promise {
            acks: Some(config.acks),
            idempotence: true,
            patience: Some(config.request_timeout),
            ..Promise::default()
        }
    }

    fn transactional_id(&self) -> Option<String> {
        Some(self.id_of(1))
    }

    fn hosts<W: SimWorld>(&self, seats: &Seats<'_>) -> Vec<Boot<W>> {
        let expects = |is_set: bool, option, otherwise: &str| match is_set {
            true => seats.expects(Self::SIDE.letter(), option, otherwise),
            false => Effect::default(),
        };
        let shared = self.ids.is_some_and(|ids| ids < u64::from(seats.clients));
        let shows = Shows {
            aborts: expects(self.aborts > 0, "aborts", "no transaction was aborted"),
            fences: expects(shared, "ids", "no client was fenced by another one"),
        };
        let host = |number| {
            let mut config = self.settings.config.as_ref().clone();
            config.bootstrap_servers.clone_from(&seats.servers);
            config.client_id = format!("{}{number}", Self::SIDE.letter());
            config.transactional_id = self.id_of(number - seats.first + 1);
            let desk = Desk {
                number,
                config,
                flaws: seats.flaws,
                past: Past::of(number),
                signals: seats.signals.clone(),
                stops: |signals| signals.stop_producing,
            };
            let client = Client {
                load: self.clone(),
                topic: seats.topic.clone(),
                desk,
                shows: shows.clone(),
            };
            client.program()
        };
        seats.numbers().map(host).collect()
    }

    fn smaller(&self, way: Smaller, _share: Share) -> Vec<Self> {
        match way {
            Smaller::Later => Vec::new(),
            Smaller::FewerRecords => {
                let fewer = lower(self.records.high, 1).into_iter();
                fewer.map(|most| Self { records: Range::just(most), ..self.clone() }).collect()
            }
            Smaller::LowerRate => {
                let mut ways = Vec::new();
                if self.aborts > 0 {
                    ways.push(Self { aborts: 0, ..self.clone() });
                }
                if self.hold.high > Duration::ZERO {
                    ways.push(Self { hold: Range::just(Duration::ZERO), ..self.clone() });
                }
                if self.partitions.high > 1 {
                    ways.push(Self { partitions: Range::just(1), ..self.clone() });
                }
                ways
            }
            Smaller::EqualRecords => {
                let Range { low, high } = self.record_size;
                let sizes = [low, high].into_iter().filter(|_| low < high).map(Range::just);
                sizes.map(|record_size| Self { record_size, ..self.clone() }).collect()
            }
        }
    }

    #[cfg(test)]
    fn any() -> proptest::strategy::BoxedStrategy<Self> {
        use crate::scenario::fault::any;
        use proptest::prelude::*;
        let times = || {
            any::numbers(0..=86_400_000).prop_map(|Range { low, high }| Range {
                low: Duration::from_millis(low),
                high: Duration::from_millis(high),
            })
        };
        let counts = || any::numbers(1..=MAX_RECORDS);
        let (sizes, ids) = (any::numbers(MIN_RECORD..=MAX_RECORD), 1..=MAX_HOSTS);
        let parts = (
            (counts(), counts(), sizes),
            (times(), times(), times()),
            (0..=PERCENT, proptest::option::of(ids), proptest::option::of(1000..9000u32)),
        );
        let any = parts.prop_map(|(sizes, times, (aborts, ids, timeout))| {
            let ((records, partitions, record_size), (hold, think, restart)) = (sizes, times);
            // As they are written: in alphabetical order.
            let timeout = timeout.map(|ms| ("transaction.timeout.ms".to_owned(), ms.to_string()));
            let id = (ID.to_owned(), "till".to_owned());
            let settings = Settings::of(timeout.into_iter().chain([id]).collect());
            Self { records, partitions, record_size, hold, think, aborts, ids, restart, settings }
        });
        any.boxed()
    }
}

impl Transactional {
    /// The transactional id of one of the clients, which are counted from 1.
    fn id_of(&self, client: u32) -> String {
        let ids = self.ids.unwrap_or(u64::MAX).max(1);
        let number = u64::from(client.saturating_sub(1)) % ids + 1;
        format!("{}-{number}", self.settings.config.transactional_id)
    }
}

/// A number of things of a transaction, or a range of them.
fn count(
    section: &mut Section,
    key: &'static str,
    (low, high): (u64, u64),
    problems: &mut Problems,
) -> Range<u64> {
    let Some(At { line, value }) = section.range::<u64>(key, problems) else {
        return Range { low, high };
    };
    if value.low == 0 || value.high > MAX_RECORDS {
        problems.add(line, format!("`{key} = {value}`: expected 1 to {MAX_RECORDS}"));
    }
    value
}

/// A time, or a range of times, of at most a day.
pub(super) fn pause(
    section: &mut Section,
    key: &'static str,
    usual: Range<Duration>,
    problems: &mut Problems,
) -> Range<Duration> {
    let Some(At { line, value }) = section.range::<Duration>(key, problems) else { return usual };
    if value.high > MAX_DURATION {
        problems.add(line, format!("`{key} = {value}`: expected at most a day"));
    }
    value
}

/// Options that are to show in a run.
#[derive(Clone)]
struct Shows {
    aborts: Effect,
    fences: Effect,
}

/// One client.
#[derive(Clone)]
struct Client {
    load: Transactional,
    topic: Topic,
    desk: Desk,
    shows: Shows,
}

impl Client {
    fn program<W: SimWorld>(self) -> Boot<W> {
        boot(move |world: W| {
            let client = self.clone();
            async move {
                client.run(&world).await;
                client.desk.signals.lock().produced += 1;
            }
        })
    }

    async fn run<W: SimWorld>(&self, world: &W) {
        let process = {
            let mut past = self.desk.past.lock();
            past.processes += 1;
            past.processes - 1
        };
        let mut random = world.random(Stream::numbered("transactional load", process));
        while !self.desk.stops() {
            if let Some(mut producer) = Transacting::start(world, &self.desk).await {
                self.transact(world, &mut producer, &mut random).await;
                producer.close(CLOSE).await;
            }
            self.rest(world, self.load.restart.draw(&mut random)).await;
        }
    }

    /// Makes transactions until the producer can't go on, or is to stop.
    async fn transact<W: SimWorld>(
        &self,
        world: &W,
        producer: &mut Transacting<W>,
        random: &mut ChaCha12Rng,
    ) {
        while !self.desk.stops() {
            self.rest(world, self.load.think.draw(random)).await;
            if producer.begin().is_err() {
                return;
            }
            self.send(producer, random).await;
            let commits = random.random_range(0..PERCENT) >= self.load.aborts;
            // Records of a transaction that is aborted at once may never be stored.
            if self.load.hold.high > Duration::ZERO || !commits && random.random() {
                producer.flush().await;
                self.rest(world, self.load.hold.draw(random)).await;
            }
            match producer.end(commits).await {
                Fate::Committed => {}
                Fate::Aborted => self.shows.aborts.happened(),
                Fate::Over(error) => {
                    if error.is_fenced() {
                        self.shows.fences.happened();
                    }
                    return;
                }
            }
        }
    }

    /// Sends the records of a transaction.
    async fn send<W: SimWorld>(&self, producer: &Transacting<W>, random: &mut ChaCha12Rng) {
        let now = self.desk.signals.lock().partitions.get(&self.topic.name).copied();
        let all: Vec<i32> = (0..now.unwrap_or(self.topic.partitions)).collect();
        let spread = usize::try_from(self.load.partitions.draw(random)).unwrap_or(1);
        let chosen: Vec<i32> = all.sample(random, spread).copied().collect();
        let topic = self.topic.name.as_str().into();
        for _ in 0..self.load.records.draw(random) {
            let Some(partition) = chosen.choose(random).copied() else { return };
            let size = self.load.record_size.draw(random);
            let record = values::record(&topic, self.topic.keys, producer.value(), size);
            producer.send(record.to_partition(partition)).await;
        }
    }

    /// Does nothing for a while, unless it is to stop. Clients are not asked to stop before the last
    /// fault has ended.
    async fn rest<W: SimWorld>(&self, world: &W, lasts: Duration) {
        let until = world.now() + lasts;
        while world.now() < until && !self.desk.stops() {
            let may_stop_soon = self.desk.signals.lock().settling;
            let nap = if may_stop_soon { PAUSE } else { NAP };
            let next: Instant = world.now() + nap;
            world.sleep_until(until.min(next)).await;
        }
    }
}
