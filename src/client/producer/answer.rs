//! What answers mean for the batches that were sent.

use super::batch::{Attempt, Number};
use super::core::{Core, Outcome};
use crate::base::{BrokerId, Instant, LeaderEpoch, Offset, Timestamp};
use crate::client::ProduceCause;
use crate::client::kernel::RequestId;
use crate::wire::ErrorCode;
use crate::wire::messages::ProduceResponse;
use crate::wire::messages::produce_response::PartitionProduceResponse;

/// A batch in a request. It may have been given up since.
#[derive(Debug)]
pub(super) struct Sent {
    pub(super) partition: usize,
    pub(super) number: Number,
    pub(super) count: i32,
}

/// What became of one batch in one request.
enum Fate {
    Stored { base: Option<Offset>, append_time: Option<Timestamp> },
    Refused(ErrorCode),
    Lost { may_have_reached: bool },
    Unsupported,
}

/// Whether a leader gives this answer only before it appends. Others may follow an append: the
/// leader changed, or the topic was deleted, while it waited for followers.
///
/// Source: Kafka's `ReplicaManager.appendRecordsToLeader` and `DelayedProduce`.
fn refused_before_append(error: ErrorCode) -> bool {
    matches!(
        error,
        ErrorCode::CorruptMessage
            | ErrorCode::MessageTooLarge
            | ErrorCode::InvalidTopicException
            | ErrorCode::RecordListTooLarge
            | ErrorCode::NotEnoughReplicas
            | ErrorCode::InvalidRequiredAcks
            | ErrorCode::TopicAuthorizationFailed
            | ErrorCode::ClusterAuthorizationFailed
            | ErrorCode::InvalidTimestamp
            | ErrorCode::UnsupportedVersion
            | ErrorCode::InvalidRequest
            | ErrorCode::UnsupportedForMessageFormat
            | ErrorCode::PolicyViolation
            | ErrorCode::OutOfOrderSequenceNumber
            | ErrorCode::InvalidProducerEpoch
            | ErrorCode::InvalidTxnState
            | ErrorCode::InvalidProducerIdMapping
            | ErrorCode::UnknownProducerId
            | ErrorCode::UnsupportedCompressionType
            | ErrorCode::InvalidRecord
            | ErrorCode::ProducerFenced
            | ErrorCode::UnknownTopicId
            | ErrorCode::InconsistentTopicId
    )
}

impl Core {
    /// Takes over what became of a request.
    pub(super) fn take_outcome(&mut self, now: Instant, request: RequestId, outcome: Outcome) {
        let Some((broker, sent)) = self.requests.end(request) else { return };
        match &outcome {
            Outcome::Answered(answer) => self.learn_leaders(answer),
            Outcome::Lost { .. } => {
                self.kernel.want_metadata();
                self.kernel.broker_failed(now, broker);
            }
            Outcome::Written | Outcome::Unsupported => {}
        }
        for sent in sent {
            let fate = match &outcome {
                Outcome::Answered(answer) => self.fate(&sent, answer),
                Outcome::Written => Fate::Stored { base: None, append_time: None },
                Outcome::Lost { may_have_reached } => {
                    Fate::Lost { may_have_reached: *may_have_reached }
                }
                Outcome::Unsupported => Fate::Unsupported,
            };
            self.judge(now, request, &sent, fate);
            self.retire(sent.partition);
        }
    }

    /// Reads what an answer says of one batch.
    fn fate(&self, sent: &Sent, answer: &ProduceResponse) -> Fate {
        match self.answer_for(sent, answer) {
            // An answer that does not speak of the batch is as good as none.
            None => Fate::Lost { may_have_reached: true },
            Some(told) => match ErrorCode::from_code(told.error_code) {
                ErrorCode::None => Fate::Stored {
                    base: (told.base_offset >= 0).then_some(Offset(told.base_offset)),
                    append_time: (told.log_append_time_ms >= 0)
                        .then_some(Timestamp(told.log_append_time_ms)),
                },
                ErrorCode::DuplicateSequenceNumber => {
                    Fate::Stored { base: None, append_time: None }
                }
                error => Fate::Refused(error),
            },
        }
    }

    fn answer_for<'a>(
        &self,
        sent: &Sent,
        answer: &'a ProduceResponse,
    ) -> Option<&'a PartitionProduceResponse> {
        let name = &self.partitions[sent.partition].name;
        let topic = answer.responses.iter().find(|topic| {
            if topic.name.is_empty() {
                self.kernel.cluster().name(topic.topic_id.into()) == Some(&name.topic)
            } else {
                topic.name.as_str() == &*name.topic
            }
        })?;
        topic.partition_responses.iter().find(|told| told.index == name.partition)
    }

    /// Takes over who leads now, where a broker refused because it does not (KIP-951).
    fn learn_leaders(&mut self, answer: &ProduceResponse) {
        for topic in &answer.responses {
            let name = match self.kernel.cluster().name(topic.topic_id.into()) {
                Some(name) => name.clone(),
                None => topic.name.as_str().into(),
            };
            for told in &topic.partition_responses {
                let leader = BrokerId(told.current_leader.leader_id);
                let epoch = LeaderEpoch(told.current_leader.leader_epoch);
                let partition = crate::base::TopicPartition::new(name.clone(), told.index);
                if told.error_code != 0 {
                    self.kernel.learn_leader(&partition, leader, epoch);
                }
            }
        }
    }

    /// Decides what becomes of a batch.
    fn judge(&mut self, now: Instant, request: RequestId, sent: &Sent, fate: Fate) {
        let index = sent.partition;
        let partition = &mut self.partitions[index];
        let place = partition.sent.iter().position(|batch| batch.was_sent_with(request));
        if let Fate::Stored { base, append_time } = fate {
            partition.sequences.acknowledge(sent.number, sent.count);
            if let Some(batch) = place.and_then(|place| partition.sent.remove(place)) {
                self.memory.release(batch.memory);
                batch.promise.stored(partition.name.clone(), base, append_time);
            }
            return;
        }
        // It was given up since.
        let Some(place) = place else { return };
        let batch = &mut partition.sent[place];
        let certain_before = !batch.promise.may_be_stored;
        let retriable = match fate {
            Fate::Stored { .. } => return,
            Fate::Unsupported => {
                batch.last_problem = ProduceCause::UnsupportedVersion;
                false
            }
            Fate::Lost { may_have_reached } => {
                batch.last_problem = ProduceCause::Disconnected;
                batch.promise.may_be_stored |= may_have_reached;
                if !may_have_reached {
                    // Kafka takes no batch out of its queue before there is a connection.
                    batch.attempts -= 1;
                }
                true
            }
            Fate::Refused(error) => {
                batch.last_problem = ProduceCause::Broker(error);
                batch.promise.may_be_stored |= !refused_before_append(error);
                if error.is_stale_metadata() {
                    self.kernel.want_metadata();
                }
                if error == ErrorCode::MessageTooLarge && certain_before && batch.count > 1 {
                    return self.split(index, place);
                }
                self.may_try_again(index, place, error)
            }
        };
        let batch = &mut self.partitions[index].sent[place];
        let retries = u32::try_from(self.config.retries).unwrap_or(0);
        if retriable && batch.attempts <= retries {
            batch.failures = batch.failures.saturating_add(1);
            let pause = self.kernel.pause(batch.failures);
            batch.attempt = Attempt::Waiting(now + pause);
        } else {
            self.give_up(index, place);
        }
    }

    /// Whether a refused batch may be sent again. Where a broker misses a number, it may if that
    /// number is still to come, or if all can be numbered anew.
    fn may_try_again(&mut self, index: usize, place: usize, error: ErrorCode) -> bool {
        let partition = &mut self.partitions[index];
        let misses_number =
            matches!(error, ErrorCode::OutOfOrderSequenceNumber | ErrorCode::UnknownProducerId);
        if !self.identity.is_idempotent() || !misses_number {
            return error.is_retriable();
        }
        let number_may_come = place > 0 && error == ErrorCode::OutOfOrderSequenceNumber;
        if !number_may_come {
            partition.sequences.set_broken();
        }
        // One that may be stored under its number must not get another: it could be stored twice.
        number_may_come || !partition.sent[place].promise.may_be_stored
    }

    /// Fails a batch.
    fn give_up(&mut self, index: usize, place: usize) {
        let partition = &mut self.partitions[index];
        let Some(batch) = partition.sent.remove(place) else { return };
        partition.sequences.lost(&batch);
        self.memory.release(batch.memory);
        batch.promise.failed(batch.last_problem);
    }

    /// Cuts a batch that is too large for its topic, and sends the parts under its numbers.
    fn split(&mut self, index: usize, place: usize) {
        let partition = &mut self.partitions[index];
        let parts = match partition.sent[place].split(self.config.batch_size) {
            Ok(Some(parts)) => parts,
            _ => return self.give_up(index, place),
        };
        let Some(whole) = partition.sent.remove(place) else { return };
        let mut number = whole.number;
        let mut memory = whole.memory;
        let last = parts.len() - 1;
        let mut heirs = Vec::with_capacity(parts.len());
        for (nth, (from, mut part)) in parts.into_iter().enumerate() {
            part.seal(number);
            if number.sequence >= 0 {
                number.sequence = crate::wire::batch::add_to_sequence(number.sequence, part.count);
            }
            part.memory = if nth == last { memory } else { memory / 2 };
            memory -= part.memory;
            heirs.push((from, part));
        }
        whole.promise.moved(heirs.iter().map(|(from, part)| (*from, 0, &part.promise)));
        for (nth, (_, part)) in heirs.into_iter().enumerate() {
            partition.sent.insert(place + nth, part);
        }
    }
}
