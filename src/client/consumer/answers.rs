//! What answers mean for positions.

use super::Notice;
use super::buffer::Buffered;
use super::core::{Answer, Asked, Core};
use super::position::{Position, State, Whence};
use crate::base::{BrokerId, Instant, LeaderEpoch, Offset, TopicPartition};
use crate::client::ConsumeError;
use crate::client::kernel::RequestId;
use crate::wire::ErrorCode;
use crate::wire::messages::fetch_response::PartitionData;
use crate::wire::messages::list_offsets_response::ListOffsetsPartitionResponse;
use crate::wire::messages::offset_for_leader_epoch_response::EpochEndOffset;
use crate::wire::messages::{FetchResponse, ListOffsetsResponse, OffsetForLeaderEpochResponse};

impl Core {
    /// Takes over what came back.
    pub(super) fn take_answer(&mut self, now: Instant, request: RequestId, answer: Answer) {
        let Some((broker, in_flight)) = self.requests.end(request) else { return };
        if matches!(answer, Answer::None(_)) {
            self.kernel.broker_failed(now, broker);
        }
        for asked in &in_flight.asked {
            if !self.settle(request, asked) {
                continue;
            }
            match &answer {
                Answer::Fetch(answer) => self.take_fetch(now, asked, answer),
                Answer::List(answer) => self.take_list(now, asked, answer),
                Answer::Validate(answer) => self.take_validation(now, asked, answer),
                Answer::None(error) => self.take_error(now, asked, *error),
            }
        }
        self.doubt_positions();
    }

    /// Whether the answer is still waited for. It no longer is, in any case.
    fn settle(&mut self, request: RequestId, asked: &Asked) -> bool {
        let waits = match asked.lookup {
            None => self.assigned.get_mut(&asked.partition).map(|a| &mut a.asked),
            Some(id) => {
                let lookup = self.lookups.get_mut(&id);
                lookup.and_then(|l| l.missing.get_mut(&asked.partition)).map(|m| &mut m.asked)
            }
        };
        waits.is_some_and(|waits| waits.take_if(|waiting| *waiting == request).is_some())
    }

    /// Asks again after a pause.
    fn again(&mut self, now: Instant, asked: &Asked) {
        let Some(id) = asked.lookup else { return self.postpone(now, &asked.partition) };
        let lookup = self.lookups.get_mut(&id);
        if let Some(missing) = lookup.and_then(|l| l.missing.get_mut(&asked.partition)) {
            missing.failures = missing.failures.saturating_add(1);
            missing.not_before = now + self.kernel.pause(missing.failures);
        }
    }

    /// Takes an error: most pass with time and new metadata, some only with the application's help.
    fn take_error(&mut self, now: Instant, asked: &Asked, error: ErrorCode) {
        if error.is_stale_metadata() || error == ErrorCode::UnknownLeaderEpoch {
            self.kernel.want_metadata();
        }
        let passes = error.is_retriable() || matches!(error, ErrorCode::UnknownServerError);
        if !passes {
            let partition = asked.partition.clone();
            self.problems.push_back(ConsumeError::Broker { partition, error });
        }
        self.again(now, asked);
    }

    fn take_fetch(&mut self, now: Instant, asked: &Asked, answer: &FetchResponse) {
        let whole = ErrorCode::from_code(answer.error_code);
        if !whole.is_none() {
            return self.take_error(now, asked, whole);
        }
        let topic = answer.responses.iter().find(|topic| {
            if topic.topic.is_empty() {
                self.kernel.cluster().name(topic.topic_id.into()) == Some(&asked.partition.topic)
            } else {
                topic.topic.as_str() == &*asked.partition.topic
            }
        });
        let index = asked.partition.partition;
        let told = topic.and_then(|t| t.partitions.iter().find(|p| p.partition_index == index));
        let Some(told) = told else { return self.again(now, asked) };
        match ErrorCode::from_code(told.error_code) {
            ErrorCode::None => self.take_records(now, asked, told),
            ErrorCode::OffsetOutOfRange => self.out_of_range(asked),
            // Kafka's consumer throws, and stays where it is; who wants to read on seeks past it.
            error @ ErrorCode::CorruptMessage => {
                let partition = asked.partition.clone();
                self.problems.push_back(ConsumeError::Broker { partition, error });
                self.postpone(now, &asked.partition);
            }
            error => {
                let leader = BrokerId(told.current_leader.leader_id);
                let epoch = LeaderEpoch(told.current_leader.leader_epoch);
                self.kernel.learn_leader(&asked.partition, leader, epoch);
                self.take_error(now, asked, error);
            }
        }
    }

    fn take_records(&mut self, now: Instant, asked: &Asked, told: &PartitionData) {
        let Some(assigned) = self.assigned.get_mut(&asked.partition) else { return };
        assigned.failures = 0;
        assigned.high_watermark =
            Some(Offset(told.high_watermark)).filter(|offset| *offset >= Offset::ZERO);
        let Some(bytes) = told.records.clone().filter(|bytes| !bytes.is_empty()) else { return };
        let problem = match Buffered::new(bytes) {
            Ok(Some(buffered)) => {
                assigned.buffered = Some(buffered);
                self.buffered.push_back(asked.partition.clone());
                return;
            }
            Ok(None) => "no whole batch was returned".to_owned(),
            Err(error) => error.to_string(),
        };
        self.corrupt(now, asked, problem);
    }

    /// What is at the position can't be read.
    fn corrupt(&mut self, now: Instant, asked: &Asked, problem: String) {
        let position = self.assigned.get(&asked.partition).and_then(|assigned| assigned.position);
        let offset = position.map_or(Offset::NONE, |position| position.offset);
        let partition = asked.partition.clone();
        self.problems.push_back(ConsumeError::Corrupt { partition, offset, problem });
        self.postpone(now, &asked.partition);
    }

    /// The log no longer has the position, or does not have it yet.
    fn out_of_range(&mut self, asked: &Asked) {
        let policy = self.policy();
        let Some(assigned) = self.assigned.get_mut(&asked.partition) else { return };
        let Some(Position { offset, .. }) = assigned.position else { return };
        match policy {
            Some(whence) => assigned.turn(State::Reset { whence, announce: true }),
            None => {
                let partition = asked.partition.clone();
                assigned.turn(State::Stuck(ConsumeError::OutOfRange { partition, offset }));
            }
        }
    }

    fn take_list(&mut self, now: Instant, asked: &Asked, answer: &ListOffsetsResponse) {
        let name = &*asked.partition.topic;
        let topic = answer.topics.iter().find(|topic| topic.name.as_str() == name);
        let index = asked.partition.partition;
        let told = topic.and_then(|t| t.partitions.iter().find(|p| p.partition_index == index));
        let Some(told) = told else { return self.again(now, asked) };
        match ErrorCode::from_code(told.error_code) {
            ErrorCode::None if told.offset >= 0 => self.listed(asked, told),
            // The log is being loaded, or its leader does not know its own end yet.
            ErrorCode::None => self.again(now, asked),
            error => self.take_error(now, asked, error),
        }
    }

    fn listed(&mut self, asked: &Asked, told: &ListOffsetsPartitionResponse) {
        let offset = Offset(told.offset);
        if let Some(id) = asked.lookup {
            if let Some(lookup) = self.lookups.get_mut(&id) {
                lookup.missing.remove(&asked.partition);
                lookup.found.insert(asked.partition.clone(), offset);
            }
            return;
        }
        let Some(assigned) = self.assigned.get_mut(&asked.partition) else { return };
        let State::Reset { announce, .. } = assigned.state else { return };
        let from = assigned.position.map(|position| position.offset);
        assigned.position = Some(Position::new(offset, LeaderEpoch(told.leader_epoch)));
        assigned.good_for = asked.leader_epoch;
        assigned.failures = 0;
        assigned.turn(State::Fetch);
        if announce {
            let partition = asked.partition.clone();
            self.notices.push(Notice::Reset { partition, from, to: offset });
        }
    }

    fn take_validation(
        &mut self,
        now: Instant,
        asked: &Asked,
        answer: &OffsetForLeaderEpochResponse,
    ) {
        let name = &*asked.partition.topic;
        let topic = answer.topics.iter().find(|topic| topic.topic.as_str() == name);
        let index = asked.partition.partition;
        let told = topic.and_then(|t| t.partitions.iter().find(|p| p.partition == index));
        let Some(told) = told else { return self.again(now, asked) };
        match ErrorCode::from_code(told.error_code) {
            ErrorCode::None => self.validated(asked, told),
            error => self.take_error(now, asked, error),
        }
    }

    /// Compares where the leader's log of the position's epoch ends with the position.
    fn validated(&mut self, asked: &Asked, told: &EpochEndOffset) {
        let policy = self.policy();
        let Some(assigned) = self.assigned.get_mut(&asked.partition) else { return };
        let (State::Validate, Some(position)) = (&assigned.state, assigned.position) else {
            return;
        };
        assigned.failures = 0;
        let (epoch, end) = (LeaderEpoch(told.leader_epoch), Offset(told.end_offset));
        let known = epoch >= LeaderEpoch(0) && end >= Offset::ZERO;
        let diverges_at = known.then(|| match epoch < position.epoch {
            // The leader has nothing of that epoch: all that was read of it is gone. Kafka's client
            // looks at the end only, and misses this when the older epoch goes on past the position.
            true => end.min(position.epoch_began),
            false => end,
        });
        if diverges_at.is_some_and(|offset| offset >= position.offset) {
            assigned.good_for = asked.leader_epoch;
            return assigned.turn(State::Fetch);
        }
        self.truncated(&asked.partition, policy, asked.leader_epoch, position, epoch, diverges_at);
    }

    /// What was read before the position is gone.
    fn truncated(
        &mut self,
        partition: &TopicPartition,
        policy: Option<Whence>,
        leader_epoch: LeaderEpoch,
        position: Position,
        epoch: LeaderEpoch,
        diverges_at: Option<Offset>,
    ) {
        let Some(assigned) = self.assigned.get_mut(partition) else { return };
        let Some(whence) = policy else {
            let (partition, offset) = (partition.clone(), position.offset);
            let problem = ConsumeError::Truncated { partition, offset, diverges_at };
            return assigned.turn(State::Stuck(problem));
        };
        match diverges_at {
            Some(offset) => {
                assigned.position = Some(Position::new(offset, epoch));
                assigned.good_for = leader_epoch;
                assigned.turn(State::Fetch);
            }
            None => assigned.turn(State::Reset { whence, announce: true }),
        }
        let (partition, from) = (partition.clone(), position.offset);
        self.notices.push(Notice::Truncated { partition, from, to: diverges_at });
    }
}
