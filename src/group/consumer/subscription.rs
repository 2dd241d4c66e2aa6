//! Which topics a member or a group subscribes to.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use regex::{Regex, RegexBuilder};

use super::effect::Effect;
use super::group::ConsumerGroup;
use super::member::Member;
use super::plan::{Context, Plan};
use super::refusal::Refusal;
use crate::base::TopicId;
use crate::controller::Image;
use crate::group::record::{Record, RegularExpressionValue};

/// The bytes that a compiled regular expression may take.
const PATTERN_LIMIT: usize = 1 << 20;

/// What became of the regular expression of a member that sent a heartbeat.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct PatternUpdate {
    /// The member has another one than before.
    pub(super) changed: bool,
    /// The group subscribes to other topics than before.
    pub(super) rebalance: bool,
}

/// Compiles a regular expression that has to match whole names of topics.
///
/// Kafka uses RE2J. `regex` has the same roots and the same linear time; it lacks `\C` and `\Q…\E`,
/// and adds set operations in classes. Names of topics are ASCII, so Unicode makes no difference.
fn compile(pattern: &str) -> Result<Regex, Refusal> {
    let build = |text: &str| RegexBuilder::new(text).size_limit(PATTERN_LIMIT).build();
    // By itself first: `a)|(b` must not become valid by what is put around it.
    let compiled = build(pattern).and_then(|_| build(&format!(r"\A(?:{pattern})\z")));
    compiled.map_err(|error| {
        let text = error.to_string();
        let reason = text.lines().last().unwrap_or_default();
        let reason = reason.trim_start_matches("error: ").trim_end_matches('.').to_owned();
        Refusal::InvalidPattern { pattern: pattern.to_owned(), reason }
    })
}

/// The topics that match a regular expression. One that is not valid matches none: it is in the
/// log, and may have been valid for the coordinator that wrote it.
fn matching(pattern: &str, image: &Image) -> Vec<String> {
    let Ok(regex) = compile(pattern) else { return Vec::new() };
    let names = image.topics().map(|topic| &*topic.name);
    let mut names: Vec<_> = names.filter(|name| regex.is_match(name)).map(str::to_owned).collect();
    names.sort_unstable();
    names
}

/// Checks the regular expression that a member brings, and resolves those of its group if it is
/// time for it. The record with the member's subscription is in the plan already.
pub(super) fn update_patterns(
    plan: &mut Plan,
    context: &Context<'_>,
    before: &Member,
    after: &Member,
) -> Result<PatternUpdate, Refusal> {
    let mut update = PatternUpdate::default();
    let (old, new) = (before.pattern(), after.pattern());
    if old != new {
        update.changed = true;
        if let Some(old) = old {
            drop_unused(plan, old);
        }
        update.rebalance = match new {
            None => true,
            Some(new) => plan.group().resolved(new).is_some(),
        };
        if let Some(new) = new
            && plan.group().patterns.get(new).is_none_or(|pattern| pattern.members <= 1)
        {
            compile(new)?;
        }
    }
    update.rebalance |= resolve(plan, context);
    Ok(update)
}

/// Removes a resolved regular expression to which no member subscribes any more.
pub(super) fn drop_unused(plan: &mut Plan, pattern: &str) {
    let group = plan.group();
    let unused = |entry: &super::group::Pattern| entry.members == 0 && entry.resolved.is_some();
    if group.patterns.get(pattern).is_some_and(unused) {
        let (group, pattern) = (group.id().clone(), pattern.to_owned());
        plan.push(Record::RegularExpression { group, pattern, value: None });
    }
}

/// Resolves all regular expressions of a group if one is unresolved, if the metadata changed, or
/// if they are old. All at once, so that one rebalance follows. Returns whether topics changed.
///
/// Kafka resolves in another thread and lets the next heartbeat see the outcome; here the same
/// heartbeat does.
fn resolve(plan: &mut Plan, context: &Context<'_>) -> bool {
    let group = plan.group();
    if group.patterns.values().all(|pattern| pattern.members == 0) {
        return false;
    }
    let (id, image) = (group.id().clone(), context.image.offset());
    let interval = context.settings.regex_refresh_interval.as_millis();
    let is_old = |resolved: &RegularExpressionValue| {
        let age = context.wall.0.saturating_sub(resolved.resolved.0);
        u128::try_from(age).is_ok_and(|age| age > interval)
    };
    let refresh =
        group.patterns.values().any(|entry| entry.resolved.as_deref().is_some_and(is_old));
    let pending = group.patterns.values().any(|entry| entry.resolved.is_none())
        || !context.sessions.has_resolved(&id, image);
    if !(pending || refresh) || !context.sessions.may_resolve(context.now, &id) {
        return false;
    }
    let subscribed = group.patterns.iter().filter(|(_, pattern)| pattern.members > 0);
    let matched: Vec<(String, Vec<String>, Option<Vec<String>>)> = subscribed
        .map(|(pattern, entry)| {
            let before = entry.resolved.as_ref().map(|resolved| resolved.topics.clone());
            (pattern.clone(), matching(pattern, context.image), before)
        })
        .collect();
    let mut changed = false;
    for (pattern, topics, before) in matched {
        let differs = before.as_deref().unwrap_or_default() != topics;
        changed |= differs;
        if differs || before.is_none() || refresh {
            let version = image.map_or(0, |offset| offset.0);
            let value = RegularExpressionValue { topics, version, resolved: context.wall };
            let group = id.clone();
            plan.push(Record::RegularExpression { group, pattern, value: Some(value) });
        }
    }
    plan.then(Effect::PatternsResolved { group: id, image });
    changed
}

/// The ids of the topics that a member subscribes to and that exist.
pub(super) fn topics_of(
    group: &ConsumerGroup,
    member: &Member,
    image: &Image,
) -> BTreeSet<TopicId> {
    let resolved = member.pattern().and_then(|pattern| group.resolved(pattern));
    let matched = resolved.into_iter().flat_map(|resolved| &resolved.topics);
    let names = member.info.topics.iter().chain(matched);
    names.filter_map(|name| image.topic(name)).map(|topic| topic.id).collect()
}

/// [`topics_of`] for each member, computed once for members with the same subscription.
pub(super) fn topics_of_all(group: &ConsumerGroup, image: &Image) -> Vec<Arc<BTreeSet<TopicId>>> {
    type Subscription<'a> = (&'a [String], Option<&'a str>);
    let mut known: BTreeMap<Subscription<'_>, Arc<BTreeSet<TopicId>>> = BTreeMap::new();
    let topics = |(_, member)| {
        let member: &Member = member;
        let key = (&member.info.topics[..], member.pattern());
        let entry = known.entry(key);
        entry.or_insert_with(|| Arc::new(topics_of(group, member, image))).clone()
    };
    group.members().map(topics).collect()
}
