//! `input-output-mismatch`: each input that a group committed has exactly one visible set of outputs,
//! and outputs of one key are in the order of their inputs.
//!
//! Clients report each input, also one of which nothing is made. Of all attempts at an input (crashes and rebalances make more of them) one is visible, and all of it.
//! Stages form chains: outputs of one group may be inputs of the next, and the witness names the record
//! that the chain began with. An output in a transaction is visible when a `read_committed` consumer got
//! it; another one when any did. An output is missing only where a final read reached the end of its
//! partition after the commit of the input was known; the deleted, compacted and lost are left out, and a
//! group is not judged after its coordinator, nor a transaction after its own, lost what it had committed
//! within the contract. Nor is a group that a deposed coordinator may have told where to begin: even in a
//! transaction, its members then make the same outputs again, as in Kafka.
//! Source: Jepsen's Kafka workload; Kafka's EosIntegrationTest.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::{Instant, Offset, TopicPartition};
use crate::check::ghost::{Read, Send};
use crate::check::{
    Ending, Event, Ghost, Invariant, RecordName, Subject, TransactionWitness, Violation,
};
use crate::sim::{ClientEvent, Ended, MemberEvent, Outcome, TransactionEvent, What};

/// Inputs of a group.
type Stage = (Arc<str>, TopicPartition);

/// What was made of an input once.
#[derive(Clone, Debug)]
struct Attempt {
    producer: u32,
    txn: Option<u64>,
    outputs: Vec<u64>,
}

/// One input of a group.
#[derive(Clone, Debug)]
struct Input {
    value: u64,
    key: Option<u64>,
    attempts: Vec<Attempt>,
}

/// Offsets of a commit under way.
type Offsets = (Arc<str>, Vec<(TopicPartition, Offset)>);

#[derive(Default)]
pub(super) struct InputOutputMismatch {
    inputs: BTreeMap<Stage, BTreeMap<Offset, Input>>,
    /// The input of each output.
    made_of: BTreeMap<u64, u64>,
    /// Offsets that are committed for sure, and since when that is known.
    committed: BTreeMap<Stage, Vec<(Offset, Instant)>>,
    open: BTreeMap<(u32, u64), Offsets>,
}

impl Invariant for InputOutputMismatch {
    fn name(&self) -> &'static str {
        "input-output-mismatch"
    }

    fn observe(&mut self, event: &Event<'_>, ghost: &Ghost) -> Result<(), Violation> {
        for gone in event.gone() {
            self.inputs.retain(|(_, partition), _| partition != gone);
            self.committed.retain(|(_, partition), _| partition != gone);
        }
        let at = event.seen.at;
        match &event.seen.what {
            What::Client(ClientEvent::Transaction(said)) => self.transaction(at, said, ghost),
            What::Client(ClientEvent::Member(said)) => self.member(at, said, ghost),
            _ => {}
        }
        Ok(())
    }

    fn finish(&mut self, ending: Ending, ghost: &Ghost) -> Result<(), Violation> {
        for (stage, inputs) in &self.inputs {
            if ghost.may_read_again(&stage.0) {
                continue;
            }
            for (offset, input) in inputs {
                if let Some(witness) = self.mismatch(ending, ghost, stage, *offset, input) {
                    return Violation::found(self.name(), ending.now, &stage.1, witness);
                }
            }
            if let Some((partition, witness)) = reordered(ghost, stage, inputs) {
                return Violation::found(
                    self.name(),
                    ending.now,
                    Subject::Partition(partition),
                    witness,
                );
            }
        }
        self.skipped(ending, ghost)
    }
}

impl InputOutputMismatch {
    fn transaction(&mut self, at: Instant, said: &TransactionEvent, ghost: &Ghost) {
        match said {
            TransactionEvent::Transformed {
                producer,
                txn,
                group,
                partition,
                offset,
                value,
                key,
                outputs,
            } => {
                for output in outputs {
                    self.made_of.insert(*output, *value);
                }
                let stage = (Arc::clone(group), partition.clone());
                let new = || Input { value: *value, key: *key, attempts: Vec::new() };
                let input = self.inputs.entry(stage).or_default().entry(*offset);
                let (producer, txn, outputs) = (*producer, *txn, outputs.clone());
                input.or_insert_with(new).attempts.push(Attempt { producer, txn, outputs });
            }
            TransactionEvent::Ended { producer, txn, outcome: Ended::Committed } => {
                let Some(ended) = ghost.transactions().get(*producer, *txn) else { return };
                for sent in ended.offsets.iter().filter(|sent| !sent.refused) {
                    self.commit(at, &sent.group, &sent.offsets);
                }
            }
            _ => {}
        }
    }

    fn member(&mut self, at: Instant, said: &MemberEvent, ghost: &Ghost) {
        let Some(member) = ghost.groups().member(said.consumer()) else { return };
        match said {
            MemberEvent::Committing { consumer, op, offsets, .. } => {
                let commit = (Arc::clone(&member.group), offsets.clone());
                self.open.insert((*consumer, *op), commit);
            }
            MemberEvent::Committed { consumer, op, outcome, .. } => {
                let open = self.open.remove(&(*consumer, *op));
                if let (Some((group, offsets)), Outcome::Ok { .. }) = (open, outcome) {
                    self.commit(at, &group, &offsets);
                }
            }
            MemberEvent::Recalled { offsets, .. } => {
                let known = offsets.iter().filter_map(|(name, at)| Some((name.clone(), (*at)?)));
                self.commit(at, &Arc::clone(&member.group), &known.collect::<Vec<_>>());
            }
            _ => {}
        }
    }

    /// Offsets of a group are committed.
    fn commit(&mut self, at: Instant, group: &Arc<str>, offsets: &[(TopicPartition, Offset)]) {
        for (partition, offset) in offsets {
            let stage = (Arc::clone(group), partition.clone());
            let known = self.committed.entry(stage).or_default();
            if known.last().is_none_or(|(last, _)| last < offset) {
                known.push((*offset, at));
            }
        }
    }

    /// The first offset that is known to be committed and above another one, and since when.
    fn committed_above(&self, stage: &Stage, offset: Offset) -> Option<(Offset, Instant)> {
        let known = self.committed.get(stage)?;
        known.get(known.partition_point(|(committed, _)| *committed <= offset)).copied()
    }

    /// The record that a chain of stages began with.
    fn origin(&self, value: u64) -> u64 {
        let mut origin = value;
        // A value is made once, of one that was made before: more steps than values is a loop.
        for _ in 0..=self.made_of.len() {
            match self.made_of.get(&origin) {
                Some(before) => origin = *before,
                None => break,
            }
        }
        origin
    }

    /// Whether one input has other than one visible set of outputs.
    fn mismatch(
        &self,
        ending: Ending,
        ghost: &Ghost,
        stage: &Stage,
        offset: Offset,
        input: &Input,
    ) -> Option<TransactionWitness> {
        let name = |value: u64| ghost.clients().name_of(value);
        let group = stage.0.to_string();
        let mut visible: Option<(RecordName, &Attempt)> = None;
        for attempt in input.attempts.iter().filter(|attempt| !is_forgotten(ghost, attempt)) {
            let Some(seen) = attempt.outputs.iter().find(|value| is_visible(ghost, **value)) else {
                continue;
            };
            if let Some((before, _)) = visible {
                return Some(TransactionWitness::TwoOutputs {
                    offset,
                    input: name(input.value),
                    origin: name(self.origin(input.value)),
                    group,
                    outputs: [before, name(*seen)],
                });
            }
            visible = Some((name(*seen), attempt));
        }
        let known = self.committed_above(stage, offset);
        if let Some((seen, attempt)) = visible {
            let since = known.map_or(ending.now, |(_, since)| since);
            let missing =
                attempt.outputs.iter().find(|value| is_absent(ending, ghost, **value, since));
            let missing = name(*missing?);
            return Some(TransactionWitness::PartOfOutputs {
                offset,
                input: name(input.value),
                group,
                seen,
                missing,
            });
        }
        let (committed, since) = known?;
        // An aborted attempt is not repeated after retention or compaction removed the input.
        let send = ghost.clients().send_of(input.value);
        let is_removed = offset < ghost.deleted_below(&stage.1)
            || send.is_some_and(|send| ghost.is_superseded(send));
        if is_removed && !input.attempts.iter().any(|attempt| is_committed(ghost, attempt)) {
            return None;
        }
        let made = |attempt: &Attempt| {
            let absent = |value: &u64| is_absent(ending, ghost, *value, since);
            !attempt.outputs.is_empty()
                && attempt.outputs.iter().all(absent)
                && !is_forgotten(ghost, attempt)
        };
        input.attempts.iter().all(made).then(|| TransactionWitness::NoOutput {
            offset,
            input: name(input.value),
            origin: name(self.origin(input.value)),
            group,
            committed,
            attempts: input.attempts.len(),
        })
    }

    /// Inputs that were committed without any attempt, behind the first that a group tried.
    fn skipped(&self, ending: Ending, ghost: &Ghost) -> Result<(), Violation> {
        for (stage, known) in &self.committed {
            let (group, partition) = stage;
            let Some((committed, _)) = known.last() else { continue };
            let Some(tried) = self.inputs.get(stage) else { continue };
            let Some((begun, _)) = tried.first_key_value() else { continue };
            if ghost.has_forgotten(group) {
                continue;
            }
            for send in ghost.clients().sends().filter(|send| send.partition == *partition) {
                let Some(offset) = send.offset().filter(|_| send.visible().is_some()) else {
                    continue;
                };
                let done = offset < *begun || tried.contains_key(&offset);
                let deleted = offset < ghost.deleted_below(partition) || ghost.is_superseded(send);
                let lost = ghost.was_lost(partition, Some(offset));
                if done || deleted || lost || offset >= *committed || send.acknowledged().is_none()
                {
                    continue;
                }
                let input = ghost.clients().name_of(send.value);
                let witness = TransactionWitness::NoOutput {
                    offset,
                    input,
                    origin: ghost.clients().name_of(self.origin(send.value)),
                    group: group.to_string(),
                    committed: *committed,
                    attempts: 0,
                };
                return Violation::found(self.name(), ending.now, partition, witness);
            }
        }
        Ok(())
    }
}

/// Whether the coordinator of an attempt's transaction lost what it had committed.
fn is_forgotten(ghost: &Ghost, attempt: &Attempt) -> bool {
    let txn = attempt.txn.and_then(|txn| ghost.transactions().get(attempt.producer, txn));
    let id = txn.and_then(|transaction| transaction.transactional_id());
    id.is_some_and(|id| ghost.transaction_log().has_forgotten(id))
}

/// Whether the transaction of an attempt is committed for sure.
fn is_committed(ghost: &Ghost, attempt: &Attempt) -> bool {
    let txn = attempt.txn.and_then(|txn| ghost.transactions().get(attempt.producer, txn));
    txn.is_some_and(|txn| txn.is_committed())
}

fn is_visible(ghost: &Ghost, value: u64) -> bool {
    ghost.clients().send_of(value).and_then(Send::visible).is_some()
}

/// Whether an output is absent for sure: a final read that began after `since` reached the end of its
/// partition without it. One that was never handed to a producer is, too.
fn is_absent(ending: Ending, ghost: &Ghost, value: u64, since: Instant) -> bool {
    let Some(send) = ghost.clients().send_of(value) else { return ending.reading.is_some() };
    let name = &send.partition;
    let excused = ghost.was_lost(name, send.offset()) || ghost.is_superseded(send);
    let deleted = ghost.deleted_below(name);
    if excused || send.visible().is_some() || deleted > Offset::ZERO {
        return false;
    }
    ghost.clients().reached(name).iter().any(|read| {
        let began = ending.reading.filter(|at| *at <= read.at).unwrap_or(read.since);
        let above = send.offset().is_some_and(|offset| offset >= read.end);
        // A reader that begins at the beginning may get nothing of what is there.
        let whole = ghost.explains_gap(read.consumer, name, Offset::ZERO..read.from, None);
        since <= began && whole && !above && (read.stable || send.txn.is_none())
    })
}

/// Two visible outputs of one key in another order than their inputs.
fn reordered(
    ghost: &Ghost,
    (group, _): &Stage,
    inputs: &BTreeMap<Offset, Input>,
) -> Option<(TopicPartition, TransactionWitness)> {
    let mut last: BTreeMap<(u64, &TopicPartition), (Offset, Offset)> = BTreeMap::new();
    for (offset, input) in inputs {
        let Some(key) = input.key else { continue };
        let outputs = input.attempts.iter().flat_map(|attempt| &attempt.outputs);
        for send in outputs.filter_map(|value| ghost.clients().send_of(*value)) {
            let Some(Read { offset: at, .. }) = send.visible() else { continue };
            let here = (*offset, at);
            let before = last.insert((key, &send.partition), here);
            if let Some(first) = before.filter(|(_, before)| *before > at) {
                let group = group.to_string();
                let witness =
                    TransactionWitness::OutputsReordered { group, key, first: here, second: first };
                return Some((send.partition.clone(), witness));
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use crate::base::config::Acks;
    use crate::check::testing::Story;

    /// A record of `orders-0` at an offset, with value 100 and more.
    fn input(story: &mut Story, offset: i64) {
        let value = 100 + offset as u64;
        story.sent(1, value, value, Acks::All);
        story.told_ok(1, value, Some(offset));
        story.polled(5, &[(offset, value)]);
    }

    /// Group `shop` makes one output of an input in a transaction, and stores it.
    fn stage(story: &mut Story, (producer, txn): (u32, u64), offset: i64, output: u64, at: i64) {
        story.begins(producer, txn);
        story.transformed(producer, Some(txn), "shop", (offset, 100 + offset as u64, 0), &[output]);
        story.turn_to("bills", 0);
        story.stored_in(producer, txn, output, at);
        story.turn_to("orders", 0);
        story.sends_offset(producer, txn, ("shop", 1), offset + 1);
        story.offset_sent(producer, txn, "shop", true);
    }

    /// The final read of `bills-0`.
    fn reads_bills(story: &mut Story, records: &[(i64, u64)], end: i64) {
        story.later();
        story.reading();
        story.turn_to("bills", 0);
        story.reads_committed(9);
        story.positioned(9, 0);
        story.polled(9, records);
        story.reached_end(9, end);
        story.turn_to("orders", 0);
    }

    fn judging() -> Story {
        let mut story = Story::judging("input-output-mismatch");
        input(&mut story, 0);
        story
    }

    #[test]
    fn silent_about_one_output_and_aborted_attempts() {
        let mut story = judging();
        stage(&mut story, (3, 1), 0, 200, 0);
        story.aborts_transaction(3, 1);
        stage(&mut story, (3, 2), 0, 201, 2);
        story.commits_transaction(3, 2);
        reads_bills(&mut story, &[(2, 201)], 4);
        story.finish_silent();
    }

    #[test]
    fn silent_while_the_commit_is_in_doubt_or_nothing_was_read_to_the_end() {
        let mut story = judging();
        stage(&mut story, (3, 1), 0, 200, 0);
        story.commits_in_doubt(3, 1);
        reads_bills(&mut story, &[], 4);
        story.finish_silent();
        let mut story = judging();
        stage(&mut story, (3, 1), 0, 200, 0);
        story.commits_transaction(3, 1);
        story.finish_silent();
    }

    #[test]
    fn fires_when_two_attempts_are_visible() {
        let mut story = judging();
        stage(&mut story, (3, 1), 0, 200, 0);
        story.commits_in_doubt(3, 1);
        stage(&mut story, (4, 1), 0, 201, 2);
        story.commits_transaction(4, 1);
        reads_bills(&mut story, &[(0, 200), (2, 201)], 4);
        story.finish_fired(
            "orders-0 offset 0 (p1's record 100) has two visible outputs of group shop by 2.000 s: p3's \
             record 200 and p4's record 201",
        );
    }

    #[test]
    fn fires_when_an_input_is_committed_and_its_output_is_not_there() {
        let mut story = judging();
        stage(&mut story, (3, 1), 0, 200, 0);
        story.commits_transaction(3, 1);
        reads_bills(&mut story, &[(1, 7)], 4);
        story.finish_fired(
            "orders-0 offset 0 (p1's record 100) has no visible output of group shop by 2.000 s after 1 \
             attempts, though the group committed offset 1",
        );
    }

    #[test]
    fn fires_when_an_input_was_committed_without_any_attempt() {
        let mut story = judging();
        input(&mut story, 1);
        input(&mut story, 2);
        for (txn, offset, output) in [(1, 0, 200), (2, 2, 201)] {
            stage(&mut story, (3, txn), offset, output, offset);
            story.commits_transaction(3, txn);
        }
        reads_bills(&mut story, &[(0, 200), (2, 201)], 4);
        let said = story.finish_sentence();
        assert!(said.contains("offset 1 (p1's record 101) has no visible output"), "{said}");
        assert!(said.contains("after 0 attempts"), "{said}");
    }

    #[test]
    fn fires_when_part_of_the_outputs_is_visible() {
        let mut story = judging();
        story.begins(3, 1);
        story.transformed(3, Some(1), "shop", (0, 100, 0), &[200, 201]);
        story.turn_to("bills", 0);
        story.stored_in(3, 1, 200, 0);
        story.stored_in(3, 1, 201, 1);
        story.turn_to("orders", 0);
        story.sends_offset(3, 1, ("shop", 1), 1);
        story.commits_transaction(3, 1);
        reads_bills(&mut story, &[(0, 200)], 4);
        let said = story.finish_sentence();
        assert!(said.contains("p3's record 200 but not p3's record 201"), "{said}");
    }

    #[test]
    fn fires_when_outputs_of_a_key_are_in_another_order() {
        let mut story = judging();
        input(&mut story, 1);
        stage(&mut story, (3, 1), 0, 200, 5);
        story.commits_transaction(3, 1);
        stage(&mut story, (3, 2), 1, 201, 3);
        story.commits_transaction(3, 2);
        reads_bills(&mut story, &[(3, 201), (5, 200)], 7);
        story.finish_fired(
            "bills-0 outputs of group shop for key 0 are out of order by 2.000 s: input 0 is at offset \
             5, after input 1 at offset 3",
        );
    }

    /// A second group makes payments of bills.
    fn second_stage(story: &mut Story, txn: u64, (bill, value): (i64, u64), output: u64, at: i64) {
        story.begins(6, txn);
        story.turn_to("bills", 0);
        story.transformed(6, Some(txn), "bank", (bill, value, 0), &[output]);
        story.sends_offset(6, txn, ("bank", 1), bill + 1);
        story.turn_to("payments", 0);
        story.stored_in(6, txn, output, at);
        story.turn_to("orders", 0);
        story.commits_transaction(6, txn);
    }

    #[test]
    fn chain_of_two_stages_names_its_origin_when_an_output_is_doubled() {
        for doubled in [false, true] {
            let mut story = judging();
            stage(&mut story, (3, 1), 0, 200, 0);
            story.commits_transaction(3, 1);
            reads_bills(&mut story, &[(0, 200)], 2);
            second_stage(&mut story, 1, (0, 200), 300, 0);
            if doubled {
                second_stage(&mut story, 2, (0, 200), 301, 2);
            }
            story.later();
            story.reading();
            story.turn_to("payments", 0);
            story.positioned(9, 0);
            let records: &[(i64, u64)] = &[(0, 300), (2, 301)];
            story.polled(9, &records[..1 + usize::from(doubled)]);
            story.reached_end(9, 4);
            story.turn_to("bills", 0);
            story.positioned(9, 0);
            story.polled(9, &[(0, 200)]);
            story.reached_end(9, 2);
            story.turn_to("orders", 0);
            let said = story.finish_sentence();
            assert_eq!(
                said.contains("(p3's record 200, made of p1's record 100)"),
                doubled,
                "{said}"
            );
            assert_eq!(said.is_empty(), !doubled, "{said}");
        }
    }

    #[test]
    fn outputs_without_transactions_are_judged_too() {
        let mut story = judging();
        for (attempt, output) in [(0, 200), (1, 201)] {
            story.transformed(3, None, "shop", (0, 100, 0), &[output]);
            story.turn_to("bills", 0);
            story.sent(3, output, output, Acks::All);
            story.told_ok(3, output, Some(attempt));
            story.turn_to("orders", 0);
        }
        reads_bills(&mut story, &[(0, 200), (1, 201)], 2);
        assert!(story.finish_sentence().contains("two visible outputs"), "{}", story.sentence());
    }

    #[test]
    fn deleted_input_excuses_only_attempts_that_were_aborted() {
        for (commits, fires) in [(false, false), (true, true)] {
            let mut story = judging();
            story.leader_writes(1, 0, 0, &[100]);
            stage(&mut story, (3, 1), 0, 200, 0);
            match commits {
                true => story.commits_transaction(3, 1),
                false => story.aborts_transaction(3, 1),
            }
            story.rolls(1, 1);
            story.leader_writes(1, 1, 0, &[101]);
            story.removes_segment(1, 0);
            input(&mut story, 1);
            stage(&mut story, (3, 2), 1, 201, 2);
            story.commits_transaction(3, 2);
            reads_bills(&mut story, &[(2, 201)], 4);
            assert_eq!(!story.finish_sentence().is_empty(), fires, "{}", story.sentence());
        }
    }

    #[test]
    fn excused_only_where_its_own_coordinator_forgot_the_transaction() {
        for (id, fires) in [("till", false), ("another", true)] {
            let mut story = judging();
            story.logs(id, (9, 0), 0, &[]);
            story.identified(3, "till", 7, 0);
            stage(&mut story, (3, 1), 0, 200, 0);
            story.commits_transaction(3, 1);
            story.coordinator_loses(0);
            reads_bills(&mut story, &[(1, 7)], 4);
            assert_eq!(!story.finish_sentence().is_empty(), fires, "{}", story.sentence());
        }
    }
}
