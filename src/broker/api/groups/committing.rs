//! Commits of offsets, with and without a transaction: which of the partitions exist, and one answer
//! for each.

use std::collections::BTreeMap;

use crate::controller::Topic;
use crate::wire::ErrorCode;
use crate::wire::messages::{StrBytes, Uuid};

/// The answers to the partitions of one topic.
pub(super) struct Answer {
    pub name: StrBytes,
    pub id: Uuid,
    /// Partitions with their error codes.
    pub partitions: Vec<(i32, i16)>,
}

/// The answers to the partitions of a request, by topic in the order in which these were answered
/// first: those that are refused at once come before those that a coordinator answers.
#[derive(Default)]
pub(super) struct Answers {
    topics: Vec<Answer>,
    at: BTreeMap<(StrBytes, [u8; 16]), usize>,
}

impl Answers {
    fn add(&mut self, answer: Answer) {
        let next = self.topics.len();
        let at = *self.at.entry((answer.name.clone(), answer.id.to_bytes())).or_insert(next);
        match self.topics.get_mut(at) {
            Some(topic) => topic.partitions.extend(answer.partitions),
            None => self.topics.push(answer),
        }
    }

    /// Refuses partitions of a topic, if there are any.
    pub(super) fn refuse(
        &mut self,
        (name, id): (&StrBytes, Uuid),
        partitions: impl IntoIterator<Item = i32>,
        error: ErrorCode,
    ) {
        let partitions: Vec<_> =
            partitions.into_iter().map(|index| (index, error.code())).collect();
        if !partitions.is_empty() {
            self.add(Answer { name: name.clone(), id, partitions });
        }
    }

    /// Refuses the partitions that a topic does not have, and returns the others.
    pub(super) fn existing<P>(
        &mut self,
        topic: &Topic,
        (name, id): (&StrBytes, Uuid),
        partitions: Vec<P>,
        index: impl Fn(&P) -> i32,
    ) -> Vec<P> {
        let exists = |partition: &P| topic.partitions.contains_key(&index(partition));
        let (existing, missing): (Vec<_>, Vec<_>) = partitions.into_iter().partition(exists);
        let missing = missing.iter().map(index);
        self.refuse((name, id), missing, ErrorCode::UnknownTopicOrPartition);
        existing
    }

    /// Adds the coordinator's answers. If nothing was refused, they stay as they are: each topic as
    /// often as it was named.
    ///
    /// Source: Kafka's `OffsetCommitResponse.Builder.merge`, and that of `TxnOffsetCommitResponse`.
    pub(super) fn merge(&mut self, answers: impl Iterator<Item = Answer>) {
        match self.topics.is_empty() {
            true => self.topics.extend(answers),
            false => answers.for_each(|answer| self.add(answer)),
        }
    }

    pub(super) fn into_topics(self) -> Vec<Answer> {
        self.topics
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(name: &str, partition: i32) -> Answer {
        Answer { name: name.into(), id: Uuid::ZERO, partitions: vec![(partition, 0)] }
    }

    fn shown(answers: Answers) -> Vec<(String, Vec<(i32, i16)>)> {
        let shown = answers.into_topics().into_iter();
        shown.map(|answer| (answer.name.to_string(), answer.partitions)).collect()
    }

    #[test]
    fn topic_named_twice_is_answered_twice_if_nothing_was_refused() {
        let mut answers = Answers::default();
        answers.merge([answer("a", 0), answer("b", 0), answer("a", 1)].into_iter());
        let of = |name: &str, partition| (name.to_owned(), vec![(partition, 0)]);
        assert_eq!(shown(answers), [of("a", 0), of("b", 0), of("a", 1)]);
    }

    #[test]
    fn answers_of_a_topic_follow_its_refused_partitions() {
        let mut answers = Answers::default();
        let unknown = ErrorCode::UnknownTopicOrPartition;
        answers.refuse((&"a".into(), Uuid::ZERO), [7], unknown);
        answers.refuse((&"c".into(), Uuid::ZERO), [], unknown);
        answers.merge([answer("b", 0), answer("a", 1)].into_iter());
        let a = ("a".to_owned(), vec![(7, unknown.code()), (1, 0)]);
        assert_eq!(shown(answers), [a, ("b".to_owned(), vec![(0, 0)])]);
    }
}
