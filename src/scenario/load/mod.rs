//! Kinds of loads: one file each, and one row each in the table below.
//!
//! A file says everything about its kind: how it is read and written, what its clients run, what
//! the checkers may expect of it, and how it shrinks. Nothing else matches on the kind. To add one:
//! write the file, declare the module, add its row.
//!
//! ```text
//! values     unique values, by which a record is found again wherever it is read
//! reading    a consumer that records what it reads beside itself
//! member     a member of a group, and what its application does
//! listener   what a member does when its partitions come and go
//! effects    options that are to show in a run, and whether they did
//! worker     a worker that processes while its member polls on
//! habits     what the application of a member does, and what its parts record
//! transacting  a transactional producer that records its transactions beside itself
//! transforming  a member that makes records of what it reads, in transactions or not
//! forged     requests that must be refused
//! ```

mod effects;
mod forged;
mod habits;
mod listener;
mod member;
mod paced;
mod reading;
#[cfg(test)]
mod tests;
mod transacting;
mod transforming;
mod values;
mod worker;

mod consumer;
mod group;
mod lookup;
mod misbehaving;
mod producer;
mod seeker;
mod transactional;
mod transform;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::document::{At, Problems, Section, unknown};
use super::entries::{MAX_HOSTS, kafka_keys};
use super::writer::Writer;
use super::{Range, Topic, topic_of};
use crate::base::config::{Acks, Config, ConfigError};
use crate::base::{Flaws, Instant};
use crate::sim::{Boot, SimWorld};

pub(crate) use consumer::settle;
pub(crate) use reading::{READ_COMMITTED, Reader, ReadingLog};
pub(crate) use values::{number, number_of, unnumber};

/// Builds everything that has to know all kinds from the list of them.
macro_rules! kinds {
    ($($module:ident::$Kind:ident)*) => {
        $(use $module::$Kind;)*

        /// What the clients of a load do.
        #[derive(Clone, Debug, PartialEq)]
        pub struct Work(Kinds);

        #[derive(Clone, Debug, PartialEq)]
        enum Kinds { $($Kind($Kind)),* }

        $(impl From<$Kind> for Work {
            fn from(kind: $Kind) -> Self {
                Self(Kinds::$Kind(kind))
            }
        })*

        impl Work {
            /// As in `kind = "…"`.
            pub fn kind(&self) -> &'static str {
                match &self.0 { $(Kinds::$Kind(_) => $Kind::NAME),* }
            }

            /// Whether its clients write or read.
            pub(crate) fn side(&self) -> Side {
                match &self.0 { $(Kinds::$Kind(_) => $Kind::SIDE),* }
            }

            /// What the checkers may expect of it.
            pub(crate) fn promise(&self) -> Promise {
                match &self.0 { $(Kinds::$Kind(kind) => kind.promise()),* }
            }

            /// The group that its clients are in.
            pub(crate) fn group(&self) -> Option<&str> {
                match &self.0 { $(Kinds::$Kind(kind) => kind.group()),* }
            }

            /// The transactional id of its first client.
            pub(crate) fn transactional_id(&self) -> Option<String> {
                match &self.0 { $(Kinds::$Kind(kind) => kind.transactional_id()),* }
            }

            /// The topic that it writes to, if that is not the one that it is about.
            pub(crate) fn output(&self) -> Option<&str> {
                match &self.0 { $(Kinds::$Kind(kind) => kind.output()),* }
            }

            /// What each of its clients runs when it boots.
            pub(crate) fn hosts<W: SimWorld>(&self, seats: &Seats<'_>) -> Vec<Boot<W>> {
                match &self.0 { $(Kinds::$Kind(kind) => kind.hosts(seats)),* }
            }

            /// Smaller loads of this kind, boldest first.
            pub(crate) fn smaller(&self, way: Smaller, share: Share) -> Vec<Self> {
                match &self.0 {
                    $(Kinds::$Kind(kind) => {
                        kind.smaller(way, share).into_iter().map(Self::from).collect()
                    })*
                }
            }

            /// Everything that it does at a time of its own comes sooner.
            pub(crate) fn hasten(&mut self, by: Duration) {
                match &mut self.0 { $(Kinds::$Kind(kind) => kind.hasten(by)),* }
            }

            fn write(&self, out: &mut Writer) {
                match &self.0 { $(Kinds::$Kind(kind) => kind.write(out)),* }
            }
        }

        /// Every kind: its name, how it is read, and in tests any value of it.
        const ROWS: &[Row] = &[$(Row {
            name: $Kind::NAME,
            parse: |section, problems| $Kind::parse(section, problems).into(),
            #[cfg(test)]
            any: || {
                use proptest::strategy::Strategy;
                $Kind::any().prop_map(Work::from).boxed()
            },
        }),*];
    };
}

kinds! {
    producer::Producer
    consumer::Consumer
    group::Group
    lookup::LookingUp
    seeker::Seeker
    misbehaving::Misbehaving
    transactional::Transactional
    transform::Transform
}

/// What every kind of load defines.
trait Kind: Sized {
    /// As in `kind = "…"`.
    const NAME: &'static str;
    /// Whether its clients write or read.
    const SIDE: Side;

    /// Reads its own keys.
    fn parse(section: &mut Section, problems: &mut Problems) -> Self;

    /// Writes its own keys, so that `parse` gives the same back.
    fn write(&self, out: &mut Writer);

    /// What the checkers may expect of it.
    fn promise(&self) -> Promise;

    /// What each of its clients runs when it boots.
    fn hosts<W: SimWorld>(&self, seats: &Seats<'_>) -> Vec<Boot<W>>;

    /// The group that its clients are in.
    fn group(&self) -> Option<&str> {
        None
    }

    /// The transactional id of its first client.
    fn transactional_id(&self) -> Option<String> {
        None
    }

    /// The topic that it writes to, if that is not the one that it is about.
    fn output(&self) -> Option<&str> {
        None
    }

    /// Smaller loads, boldest first.
    fn smaller(&self, _way: Smaller, _share: Share) -> Vec<Self> {
        Vec::new()
    }

    /// Everything that it does at a time of its own comes sooner.
    fn hasten(&mut self, _by: Duration) {}

    /// Any value of this kind that a file can hold.
    #[cfg(test)]
    fn any() -> proptest::strategy::BoxedStrategy<Self>;
}

/// A kind as the table has it.
#[derive(Clone, Copy)]
struct Row {
    name: &'static str,
    parse: fn(&mut Section, &mut Problems) -> Work,
    #[cfg(test)]
    any: fn() -> proptest::strategy::BoxedStrategy<Work>,
}

/// One `[[load]]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Load {
    /// How many hosts do this, each on its own.
    pub clients: Range<u64>,
    /// The topic that it is about.
    pub topic: String,
    /// What they do.
    pub work: Work,
}

impl Load {
    pub(super) fn parse(
        mut section: Section,
        topics: &[Topic],
        choice: Choice,
        problems: &mut Problems,
    ) -> Option<Self> {
        if !section.has("kind") {
            let words: Vec<_> = ROWS.iter().map(|row| format!("`{}`", row.name)).collect();
            problems.add(section.line, format!("`kind` is missing: {}", words.join(", ")));
        }
        let words: Vec<_> = ROWS.iter().map(|row| (row.name, row)).collect();
        let row = section.word("kind", &words, problems)?.value;
        let clients = section.range::<u64>("clients", problems);
        let clients = clients.map_or(Range::just(1), |At { line, value }| {
            if value.low == 0 || value.high > MAX_HOSTS {
                problems.add(line, format!("`clients = {value}`: expected 1 to {MAX_HOSTS}"));
            }
            value
        });
        let topic = topic(&mut section, topics, choice, problems);
        let line = section.line_of("output").unwrap_or(section.line);
        let work = (row.parse)(&mut section, problems);
        if let Some(output) = work.output() {
            let others = topics.iter().map(|topic| topic.name.as_str());
            let others = others.filter(|other| *other != topic);
            if output == topic {
                problems.add(line, format!("`output = \"{output}\"`: it is what the load reads"));
            } else if !others.clone().any(|other| other == output) {
                problems.add(line, unknown("topic", output, others));
            }
        }
        section.finish(problems);
        Some(Self { clients, topic, work })
    }

    /// As a `[[load]]` table with a number of clients, of one of several topics.
    pub(super) fn write(&self, clients: u64, several_topics: bool, out: &mut Writer) {
        out.title("[[load]]");
        out.text("kind", self.work.kind());
        if several_topics {
            out.text("topic", &self.topic);
        }
        out.plain("clients", clients);
        self.work.write(out);
    }
}

/// The topic of a load that names none of several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    /// The first.
    First,
    /// It has to name one.
    Named,
}

/// The topic of a load.
fn topic(
    section: &mut Section,
    topics: &[Topic],
    choice: Choice,
    problems: &mut Problems,
) -> String {
    let names = topics.iter().map(|topic| topic.name.as_str());
    let Some(At { line, value }) = section.scalar("topic", problems) else {
        if choice == Choice::Named && topics.len() > 1 {
            let words: Vec<_> = names.map(|name| format!("`{name}`")).collect();
            let message = format!("`topic` is missing: one of {}", words.join(", "));
            problems.add(section.line, message);
        }
        return topic_of(topics, None).name.clone();
    };
    if !names.clone().any(|name| name == value) {
        problems.add(line, unknown("topic", &value, names));
    }
    value
}

/// Whether the clients of a load write or read: a run stops those that write first, so that those
/// that read can reach the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// Its hosts are `p1`, `p2`, …, the role `producers`.
    Produces,
    /// Its hosts are `k1`, `k2`, …, the role `consumers`.
    Consumes,
}

impl Side {
    /// The first letter of its hosts' names.
    pub(crate) fn letter(self) -> char {
        match self {
            Self::Produces => 'p',
            Self::Consumes => 'k',
        }
    }
}

/// What the checkers may expect of a load.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Promise {
    /// When it takes a record for stored, if it writes.
    pub acks: Option<Acks>,
    /// Whether records are stored once and in order.
    pub idempotence: bool,
    /// How long it waits for a broker that does not answer, if it writes.
    pub patience: Option<Duration>,
    /// How often a record is processed, if it is in a group.
    pub processing: Option<Processing>,
}

/// How often the records of a group are processed when something fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Processing {
    AtMostOnce,
    AtLeastOnce,
    /// Once: offsets are committed in transactions with outputs.
    InTransactions,
}

/// How a load may become smaller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Smaller {
    /// It begins later, and stops where it stopped.
    Later,
    /// It stops after fewer records.
    FewerRecords,
    /// It does less in the same time.
    LowerRate,
    /// Its records are all of one size.
    EqualRecords,
}

/// What a load that becomes smaller needs to know of the scenario.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Share {
    pub clients: u64,
    /// How long the scenario lasts.
    pub duration: Duration,
}

/// Where the clients of a load sit.
pub(crate) struct Seats<'a> {
    /// The number of the first among its side.
    pub first: u32,
    pub clients: u32,
    pub topic: &'a Topic,
    /// All topics of the scenario.
    pub topics: &'a [Topic],
    /// Where the cluster is found.
    pub servers: Vec<String>,
    pub signals: SharedSignals,
    pub flaws: Flaws,
}

impl Seats<'_> {
    fn numbers(&self) -> impl Iterator<Item = u32> {
        (self.first..).take(usize::try_from(self.clients).unwrap_or(0))
    }
}

/// What a run and its clients signal to each other. Read and written between and within steps of
/// one thread only.
#[derive(Debug, Default)]
pub(crate) struct Signals {
    /// No new records.
    pub stop_producing: bool,
    /// Clients of the producing side that have ended.
    pub produced: u64,
    /// The last fault has ended: from now on groups have to stabilise.
    pub settling: bool,
    /// No new polls.
    pub stop_consuming: bool,
    /// How many partitions topics have by now, if not as many as at the beginning.
    pub partitions: BTreeMap<String, i32>,
    /// When a client last transformed records, by its number.
    pub transformed: BTreeMap<u32, Instant>,
    /// Options of loads, and whether they showed.
    pub effects: effects::Effects,
}

/// A handle on them.
pub(crate) type SharedSignals = Arc<Mutex<Signals>>;

/// A client's settings, and Kafka's keys as the file gives them: a saved file sets no more.
#[derive(Clone, Debug, PartialEq)]
struct Settings<C> {
    config: Box<C>,
    written: Vec<(String, String)>,
}

impl<C: Config> Settings<C> {
    /// Reads what is left of a section.
    fn parse(section: &mut Section, problems: &mut Problems) -> Self {
        let mut config = Box::new(C::default());
        let written = kafka_keys(section, problems, |key, value| config.set(key, value));
        Self { config, written }
    }

    /// The same where settings may contradict each other: they do at the line of the key that the
    /// client would refuse, if the file has it.
    fn parse_checked(
        section: &mut Section,
        problems: &mut Problems,
        check: impl FnOnce(&C) -> Result<(), ConfigError>,
    ) -> Self {
        let lines: Vec<_> = section.lines().collect();
        let settings = Self::parse(section, problems);
        if let Err(error) = check(&settings.config) {
            // The key that is refused, or else one that it contradicts.
            let text = error.to_string();
            let refused = lines.iter().find(|(key, _)| text.starts_with(&format!("`{key}=")));
            let mentioned = lines.iter().filter(|(key, _)| text.contains(&**key));
            let found = refused.or_else(|| mentioned.max_by_key(|(key, _)| text.rfind(&**key)));
            problems.add(found.map_or(section.line, |(_, line)| *line), text);
        }
        settings
    }

    fn write(&self, out: &mut Writer) {
        out.keys(&self.written);
    }

    /// What a file says that has these pairs.
    #[cfg(test)]
    fn of(written: Vec<(String, String)>) -> Self {
        let mut config = Box::new(C::default());
        written.iter().for_each(|(key, value)| config.set(key, value).unwrap());
        Self { config, written }
    }
}

/// A boot function from one that makes a future.
pub(crate) fn boot<W, F>(run: impl Fn(W) -> F + Send + Sync + 'static) -> Boot<W>
where
    F: Future<Output = ()> + Send + 'static,
{
    Arc::new(move |world| Box::pin(run(world)))
}
