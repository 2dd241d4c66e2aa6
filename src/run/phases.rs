//! The phases of a run: the cluster starts, faults end, it converges, writes stop, and everything is
//! read.

use std::time::Duration;

use super::faults::{self, Faults};
use super::guests::Guests;
use super::roles::Kind;
use super::{Run, STEP, WITHIN, cluster};
use crate::base::Instant;
use crate::scenario::Topic;
use crate::sim::{Engine, SimWorld};

/// Time limit for the start of a cluster without faults.
const STARTUP: Duration = Duration::from_secs(60);
/// Time limit for producers to stop: their close timeout, and some slack.
const STOPPING: Duration = Duration::from_secs(35);
/// A chain of transforming clients has come to the end of its inputs if it was idle for this time.
const TRANSFORMED: Duration = Duration::from_secs(3);
/// How long after the heal a run waits for open transactions: most have Kafka's timeout of a minute, and
/// their coordinators as long again.
const TRANSACTIONS: Duration = Duration::from_secs(3 * 60);
/// Delay before a supervisor reboots a node that ended.
const REVIVAL: Duration = Duration::from_secs(1);

impl<E: Engine<World: SimWorld>> Run<'_, '_, E> {
    /// Boots the cluster and creates the topic.
    pub(super) fn start(&mut self) -> Result<(), String> {
        let limit = self.engine.now() + STARTUP;
        let mut asked = false;
        loop {
            self.advance(limit);
            // Leaders are spread over the brokers that are up when the topic is created.
            if !asked && self.hosts.nodes().all(|host| host.ready) {
                let topics = self.scenario.topics.clone();
                let admin = cluster::admin(&mut self.engine, self.scenario, topics, &self.control);
                self.hosts.all.push(admin);
                asked = true;
            }
            let created = self.control.lock().created.clone();
            if matches!(created, Some(Ok(()))) && self.hosts.settled() {
                return Ok(());
            }
            if !self.before(limit) {
                let idle = self.hosts.nodes().filter(|host| !host.ready);
                let idle: Vec<_> = idle.map(|host| host.name.as_str()).collect();
                let why = match created {
                    Some(Ok(())) => "the topic is created but not all replicas are in sync".into(),
                    Some(Err(error)) => format!("the topic can't be created: {error}"),
                    None if asked => "the request to create the topic is not answered".to_owned(),
                    None => "the topic could not be created yet".to_owned(),
                };
                let ready = if idle.is_empty() {
                    String::new()
                } else {
                    format!("; not ready: {}", idle.join(", "))
                };
                return Err(format!("after {} s {why}{ready}", STARTUP.as_secs()));
            }
        }
    }

    /// Whether time is left until `limit`; none is left in a frozen simulation.
    pub(super) fn before(&self, limit: Instant) -> bool {
        self.engine.now() < limit && self.engine.spin().is_none()
    }

    /// Ends every fault, and boots nodes that are down.
    pub(super) fn heal(&mut self, faults: &mut Faults) {
        self.end_orders();
        faults.heal(&mut self.engine, &mut self.hosts);
        self.administer(faults);
        let down: Vec<_> =
            self.hosts.all.iter().filter(|host| faults::is_node(host.kind)).collect();
        for host in down {
            if !self.engine.is_running(host.id) {
                self.engine.boot(host.id);
            }
        }
        let now = self.engine.now();
        self.healed = Some(now);
        self.signals().lock().settling = true;
        self.judge.healed(now);
        if let Some(recorder) = &mut self.recorder {
            recorder.healed(now);
        }
        self.note(|history| history.healed(now));
    }

    /// Gives the cluster time to converge. Writes continue, because they must resume.
    pub(super) fn converge(&mut self) {
        let limit = self.engine.now() + WITHIN + REVIVAL;
        let producers = self.plan.producers(self.scenario);
        while self.before(limit) {
            self.advance(limit);
            self.revive();
            let partitions = self.scenario.written_topics().map(|topic| self.partitions_of(topic));
            let all = usize::try_from(partitions.sum::<i32>()).unwrap_or(0);
            // Producers that have sent all their records write no more.
            let produces = self.produced() < producers;
            let settled = self.hosts.settled() && self.is_administered();
            if settled && (!produces || self.written.len() == all) {
                return;
            }
        }
    }

    /// Boots nodes that ended by themselves, as a supervisor would.
    pub(super) fn revive(&mut self) {
        let second = REVIVAL.as_nanos();
        // Once per second: a node that can't start would be booted all the time.
        if u128::from(self.engine.now().0) % second >= STEP.as_nanos() {
            return;
        }
        for host in self.hosts.all.iter().filter(|host| faults::is_node(host.kind)) {
            if !self.engine.is_running(host.id) {
                self.engine.boot(host.id);
            }
        }
    }

    /// How many producers have ended.
    pub(super) fn produced(&self) -> u64 {
        self.signals().lock().produced
    }

    /// Lets producers end, and waits until the logs are equal.
    pub(super) fn stop_producers(&mut self) {
        self.signals().lock().stop_producing = true;
        let producers = self.plan.producers(self.scenario);
        let limit = self.engine.now() + STOPPING;
        while self.before(limit) && self.produced() < producers {
            self.advance(limit);
        }
        let limit = limit.max(self.healed.unwrap_or(limit) + WITHIN + STEP);
        while self.before(limit)
            && (self.transforms() || self.judge.unsettled(self.engine.now()).is_some())
        {
            self.advance(limit);
            self.revive();
        }
        let limit = limit.max(self.healed.unwrap_or(limit) + TRANSACTIONS);
        while self.before(limit) && self.judge.awaits_transactions(self.engine.now()) {
            self.advance(limit);
        }
    }

    /// Whether any client has just transformed records: more of them may be outputs of those.
    fn transforms(&self) -> bool {
        let signals = self.signals();
        let signals = signals.lock();
        let last = signals.transformed.values().max();
        last.is_some_and(|last| self.engine.now() < *last + TRANSFORMED)
    }

    /// A fresh consumer reads every partition from its beginning to its end.
    pub(super) fn read_everything(&mut self) {
        self.signals().lock().stop_consuming = true;
        let consumers = self.hosts.all.iter().filter(|host| host.kind == Kind::Consumer).count();
        let consumers = u32::try_from(consumers).unwrap_or(u32::MAX - 1);
        let of_guests = |guests: &Guests<E::World>| {
            let book = guests.book.lock();
            (book.consumers, book.transacts)
        };
        let (others, transacts) = self.guests.as_ref().map(of_guests).unwrap_or_default();
        let transacts = transacts || self.scenario.transacts();
        let number = consumers.max(others) + 1;
        let now = self.engine.now();
        self.judge.reading(now);
        if let Some(recorder) = &mut self.recorder {
            recorder.reading(now);
        }
        self.note(|history| history.reading(now));
        let now_has =
            |topic: &Topic| Topic { partitions: self.partitions_of(topic), ..topic.clone() };
        let topics = self.scenario.topics.iter().map(now_has);
        let partitions = topics.flat_map(|topic| topic.partition_names()).collect();
        let (engine, control) = (&mut self.engine, &self.control);
        let reader =
            cluster::final_reader(engine, self.scenario, (partitions, transacts), number, control);
        self.hosts.all.push(reader);
        let limit = self.engine.now() + WITHIN + STEP;
        while self.before(limit) && !self.control.lock().read {
            self.advance(limit);
        }
    }
}
