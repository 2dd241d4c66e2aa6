//! A small machine to test the runtime with: named counters that expire when they are not used.

use std::time::Duration;

use bytes::Bytes;

use super::{Decision, KeyValue, LogRecord, Machine, SharedMap, State, Timers};
use crate::base::{Instant, Offset, Timestamp};

/// How long a counter lives without being used.
pub(crate) const LIFETIME: Duration = Duration::from_secs(10);

/// A counter has a value, or is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Set {
    pub(crate) name: String,
    pub(crate) value: Option<i64>,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a counter")]
pub(crate) struct NotACounter;

impl LogRecord for Set {
    type Error = NotACounter;

    fn encode(&self) -> KeyValue {
        KeyValue {
            key: Some(Bytes::from(self.name.clone())),
            value: self.value.map(|value| Bytes::from(value.to_be_bytes().to_vec())),
        }
    }

    fn decode(bytes: KeyValue) -> Result<Self, NotACounter> {
        let name = bytes.key.and_then(|key| String::from_utf8(key.to_vec()).ok());
        let value = bytes.value.map(|value| value[..].try_into().map(i64::from_be_bytes));
        Ok(Self {
            name: name.ok_or(NotACounter)?,
            value: value.transpose().map_err(|_| NotACounter)?,
        })
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Values {
    pub(crate) of: SharedMap<String, i64>,
    pub(crate) offset: Option<Offset>,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("offset {0} again")]
pub(crate) struct Again(Offset);

impl State for Values {
    type Record = Set;
    type Change = String;
    type Error = Again;

    fn replay(
        &mut self,
        offset: Offset,
        record: &Set,
        changes: &mut Vec<String>,
    ) -> Result<(), Again> {
        if self.offset >= Some(offset) {
            return Err(Again(offset));
        }
        match record.value {
            Some(value) => self.of.insert(record.name.clone(), value),
            None => self.of.remove(&record.name),
        };
        self.offset = Some(offset);
        changes.push(record.name.clone());
        Ok(())
    }

    fn reached(&mut self, offset: Offset) {
        self.offset = self.offset.max(Some(offset));
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    Used(String),
    Expired(String),
    /// An addition is committed.
    Settled,
}

/// The machine.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    values: Values,
    timers: Timers<String>,
    /// Additions known to be committed, since this machine leads.
    pub(crate) settled: usize,
}

impl Counters {
    /// Adds to a counter and answers with its value; none may fall below zero.
    pub(crate) fn add(
        &self,
        name: &str,
        amount: i64,
    ) -> Decision<Set, Result<i64, &'static str>, Effect> {
        let value = self.values.of.get(name).copied().unwrap_or(0) + amount;
        if value < 0 {
            return Decision::only(Err("too little"));
        }
        let record = Set { name: name.to_owned(), value: Some(value) };
        let used = Effect::Used(name.to_owned());
        Decision::new(vec![record], Ok(value)).with(used).then(Effect::Settled)
    }

    /// Sets a counter without looking: to make mistakes with.
    pub(crate) fn force(&self, name: &str, value: i64) -> Decision<Set, (), Effect> {
        let record = Set { name: name.to_owned(), value: Some(value) };
        Decision::new(vec![record], ()).with(Effect::Used(name.to_owned()))
    }

    /// Answers with a value of the speculative state.
    pub(crate) fn get(&self, name: &str) -> Decision<Set, Option<i64>, Effect> {
        Decision::only(self.values.of.get(name).copied())
    }
}

impl Machine for Counters {
    type State = Values;
    type Effect = Effect;

    fn state(&self) -> &Values {
        &self.values
    }

    fn replay(
        &mut self,
        offset: Offset,
        record: &Set,
        changes: &mut Vec<String>,
    ) -> Result<(), Again> {
        self.values.replay(offset, record, changes)
    }

    fn reached(&mut self, offset: Offset) {
        self.values.reached(offset);
    }

    fn restore(&mut self, committed: Values) {
        self.values = committed;
        self.timers.clear();
        self.settled = 0;
    }

    fn activated(&mut self, now: Instant) {
        for name in self.values.of.keys() {
            self.timers.set(name.clone(), now + LIFETIME);
        }
    }

    fn carry_out(&mut self, now: Instant, effect: Effect) {
        match effect {
            Effect::Used(name) => self.timers.set(name, now + LIFETIME),
            Effect::Expired(name) => {
                self.timers.cancel(&name);
            }
            Effect::Settled => self.settled += 1,
        }
    }

    fn deadline(&self) -> Option<Instant> {
        self.timers.deadline()
    }

    fn expire(&self, now: Instant, _wall: Timestamp) -> Decision<Set, (), Effect> {
        let mut decision = Decision::only(());
        for name in self.timers.expired(now) {
            decision.records.push(Set { name: name.clone(), value: None });
            decision.effects.push(Effect::Expired(name.clone()));
        }
        decision
    }

    fn check(&self, _before: &Values, changes: &[String]) {
        for name in changes {
            let value = self.values.of.get(name).copied().unwrap_or(0);
            assert!(value >= 0, "counter `{name}` fell to {value}");
        }
        self.timers.check();
    }
}
