//! Reads `[[fault]]` and `[[schedule]]`: what strikes, whom, and when.

use std::time::Duration;

use super::document::{At, Problems, Section, unknown};
use super::entries::bounded;
use super::event::EVENTS;
use super::fault::{Fault, Nature};
use super::known::Known;
use super::schedule::MAX_STRIKES;
use super::{Action, Event, Moment, Range, Rule};

/// What a fault waits for, from when it is due: one of three keys, each with the words that read
/// well after it.
fn moment(section: &mut Section, problems: &mut Problems) -> Option<(Event, Range<Duration>)> {
    let mut found = None;
    let line = section.line;
    for (key, words) in EVENTS {
        if let Some(At { value, .. }) = section.word(key, words, problems)
            && found.replace(value).is_some()
        {
            problems.add(line, "a fault waits for one moment: `on`, `after` or `during`");
        }
    }
    if found.is_none() && section.has("delay") {
        problems.add(line, "`delay` counts from a moment: add `on`, `after` or `during`");
    }
    let delay = section.range("delay", problems).map_or(Range::just(Duration::ZERO), |d| d.value);
    found.map(|event| (event, delay))
}

/// The topic that a fault is about, if that is not the first.
fn topic(section: &mut Section, known: &Known<'_>, problems: &mut Problems) -> Option<String> {
    let At { line, value } = section.scalar("topic", problems)?;
    let names = known.topics.iter().map(|topic| topic.name.as_str());
    match names.clone().position(|name| name == value) {
        Some(0) => None,
        Some(_) => Some(value),
        None => {
            problems.add(line, unknown("topic", &value, names));
            None
        }
    }
}

const WHEN: [(&str, bool); 2] = [("due", false), ("settled", true)];

pub(super) fn rule(
    mut section: Section,
    known: &Known<'_>,
    problems: &mut Problems,
) -> Option<Rule> {
    let action = Action::parse(&mut section, known, problems);
    let topic = topic(&mut section, known, problems);
    let partition = section.range::<u64>("partition", problems);
    let partitions = known.partitions(topic.as_deref());
    if let Some(At { line, value }) = &partition
        && value.high >= partitions
    {
        problems.add(*line, format!("`partition = {value}`: there are {partitions} partitions"));
    }
    let at = section.range("at", problems).map(|at| at.value);
    let every = section.range::<Duration>("every", problems);
    if let Some(At { line, value }) = &every
        && value.low.is_zero()
    {
        problems.add(*line, format!("`every = {value}`: expected more than nothing"));
    }
    let count = section.range::<u64>("count", problems);
    if let Some(At { line, value }) = &count
        && value.high > MAX_STRIKES
    {
        problems.add(*line, format!("`count = {value}`: expected at most {MAX_STRIKES}"));
    }
    let down = section.range("down", problems).map(|down| down.value);
    let settled = section.word("when", &WHEN, problems).is_some_and(|when| when.value);
    let moment = moment(&mut section, problems);
    if settled && moment.is_some() {
        problems.add(section.line, "a fault waits either until all is settled, or for a moment");
    }
    // A kind that is unknown has been complained about; its keys can't be judged then.
    let (action, row) = action?;
    if !row.takes_moment && moment.is_some() {
        let kind = row.name;
        problems.add(section.line, format!("a `{kind}` waits for no moment: leave it out"));
    }
    section.finish(problems);
    Some(Rule {
        action,
        topic,
        partition: partition.map(|partition| partition.value),
        at,
        every: every.map(|every| every.value),
        count: count.map(|count| count.value),
        down,
        settled,
        moment,
    })
}

pub(super) fn planned_fault(
    mut section: Section,
    known: &Known<'_>,
    problems: &mut Problems,
) -> Option<Fault> {
    let action = Action::parse(&mut section, known, problems).map(|(action, _)| action);
    if let Some(Nature::Series(series)) = action.as_ref().map(Action::nature) {
        let (single, kind) = (series.made_of(), action.as_ref().map_or("", Action::kind));
        problems.add(section.line, format!("a schedule names each `{single}` of a `{kind}`"));
    }
    if let Some(key) = action.as_ref().and_then(Action::undrawn) {
        problems.add(section.line, format!("a schedule is drawn already: `{key}` is one value"));
    }
    if !section.has("at") {
        problems.add(section.line, "`at` is missing: when does it strike?");
    }
    let at = section.value::<Duration>("at", problems);
    let topic = topic(&mut section, known, problems);
    let partitions = known.partitions(topic.as_deref());
    let partition = bounded(&mut section, "partition", (0, partitions - 1), 0, problems);
    let down = section.value::<Duration>("down", problems).map(|down| down.value);
    let settled = section.word("when", &WHEN, problems).is_some_and(|when| when.value);
    let moment = moment(&mut section, problems);
    if settled && moment.is_some() {
        problems.add(section.line, "a fault waits either until all is settled, or for a moment");
    }
    let pick = section.value::<u64>("pick", problems).map_or(0, |pick| pick.value);
    let (action, at) = (action?, at?.value);
    section.finish(problems);
    let partition = i32::try_from(partition).unwrap_or(0);
    let moment = moment.map(|(event, delay)| Moment { event, delay: delay.low });
    Some(Fault { at, action, topic, partition, down, settled, moment, pick })
}
