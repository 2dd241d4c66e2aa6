//! What the answers of leaders change.

use super::{Answer, Asked, Core, Reply};
use crate::base::{Flaw, Instant, TopicPartition};
use crate::client::ConsumeError;
use crate::client::consumer::aborted::Aborted;
use crate::client::consumer::lookup::OffsetAndTimestamp;
use crate::client::kernel::RequestId;
use crate::wire::ErrorCode;

impl Core {
    pub(super) fn take_answer(&mut self, now: Instant, request: RequestId, answer: &Answer) {
        let Some((broker, in_flight)) = self.requests.end(request) else { return };
        if matches!(answer, Answer::None(_)) {
            self.kernel.broker_failed(now, broker);
        }
        match in_flight.errand {
            Some(_) => self.throttle_coordinator(now, answer.throttle_ms()),
            None => self.kernel.throttled_by(now, broker, answer.throttle_ms()),
        }
        let took = now.since(in_flight.sent);
        if let Some(errand) = in_flight.errand {
            let refused = !self.take_group_answer(now, request, answer).is_none();
            if matches!(answer, Answer::Group(_)) {
                self.measured.answered(now, errand, took, refused);
            }
            return;
        }
        if let Some(fetched) = answer.fetched() {
            self.measured.fetched(now, took, fetched);
        }
        let as_before = in_flight.is_fetch && self.sessions.answered(broker, answer.fetched());
        let replies: Vec<Reply> = {
            let answer = answer.by_partition(self.kernel.cluster());
            in_flight.asked.iter().map(|asked| answer.about(&asked.partition)).collect()
        };
        for (asked, reply) in in_flight.asked.iter().zip(replies) {
            let unchanged = as_before && matches!(reply, Reply::Nothing);
            if self.settle(request, asked) && !unchanged {
                self.take_reply(now, asked, reply);
            }
        }
        self.doubt_positions();
    }

    /// Whether the answer is still waited for. It no longer is, in any case.
    fn settle(&mut self, request: RequestId, asked: &Asked) -> bool {
        let Asked { partition, lookup, .. } = asked;
        match lookup {
            Some(id) => self.lookups.settle(*id, partition, request),
            None => {
                let settled = self.assignment.change(partition, |a| a.settle(request));
                settled == Some(true)
            }
        }
    }

    fn take_reply(&mut self, now: Instant, asked: &Asked, reply: Reply) {
        let partition = &asked.partition;
        let policy = self.policy();
        match reply {
            Reply::Nothing => self.again(now, asked),
            Reply::Refused(error) => self.take_error(now, asked, error),
            // The leader may have what a follower does not have yet, or no longer.
            Reply::FetchRefused {
                error: error @ (ErrorCode::OffsetOutOfRange | ErrorCode::CorruptMessage),
                ..
            } if asked.from_follower => {
                self.return_to_leader(partition);
                // The leader may name the same follower again.
                if error == ErrorCode::CorruptMessage {
                    self.postpone(now, partition);
                }
            }
            Reply::FetchRefused { error, leader, epoch } => match error {
                ErrorCode::OffsetOutOfRange => {
                    self.assignment.change(partition, |assigned| assigned.out_of_range(policy));
                }
                // Kafka's consumer throws, and keeps its position; to read on, seek past it.
                ErrorCode::CorruptMessage => {
                    let partition = partition.clone();
                    self.problems.push_back(ConsumeError::Broker { partition, error });
                    self.postpone(now, &asked.partition);
                }
                error => {
                    self.kernel.learn_leader(partition, leader, epoch);
                    self.take_error(now, asked, error);
                }
            },
            Reply::Fetched { records, bounds, aborted, preferred } => {
                self.prefer(now, partition, preferred);
                let aborted = if self.read_committed { aborted } else { Aborted::default() };
                let fetched =
                    self.assignment.change(partition, |a| a.fetched(records, bounds, aborted));
                if let Some(Err(problem)) = fetched {
                    self.problems.push_back(problem);
                    self.postpone(now, partition);
                }
            }
            Reply::NotListed => {
                let is_found = asked.lookup.is_some_and(|id| self.lookups.not_found(id, partition));
                if !is_found {
                    self.again(now, asked);
                }
            }
            Reply::Listed { offset, timestamp, epoch } => match asked.lookup {
                Some(id) => {
                    let place = OffsetAndTimestamp { offset, timestamp, leader_epoch: epoch };
                    self.lookups.found(id, partition, place);
                }
                None => {
                    let listed = self
                        .assignment
                        .change(partition, |a| a.listed(offset, epoch, asked.leader_epoch));
                    self.notices.extend(listed.flatten());
                }
            },
            Reply::EpochEnd(end) => {
                let validated = self
                    .assignment
                    .change(partition, |a| a.validated(end, asked.leader_epoch, policy));
                self.notices.extend(validated.flatten());
            }
        }
    }

    /// Takes an error: most pass with time and new metadata, some only with the application's help.
    fn take_error(&mut self, now: Instant, asked: &Asked, error: ErrorCode) {
        if error.is_stale_metadata() || error == ErrorCode::UnknownLeaderEpoch {
            self.kernel.want_metadata();
        }
        if asked.from_follower {
            self.return_to_leader(&asked.partition);
        }
        let passes = error.is_retriable() || matches!(error, ErrorCode::UnknownServerError);
        if !passes {
            let problem = ConsumeError::Broker { partition: asked.partition.clone(), error };
            match asked.lookup {
                Some(id) => return self.lookups.fail(id, problem),
                None => self.problems.push_back(problem),
            }
        }
        self.again(now, asked);
    }

    /// Asks again after a pause.
    fn again(&mut self, now: Instant, asked: &Asked) {
        let Some(id) = asked.lookup else { return self.postpone(now, &asked.partition) };
        let failures = self.lookups.failed(id, &asked.partition);
        let time = now + self.kernel.pause(failures);
        self.lookups.pause_until(id, &asked.partition, time);
    }

    /// Lets a partition rest for a while after a failure.
    pub(super) fn postpone(&mut self, now: Instant, partition: &TopicPartition) {
        let kernel = &mut self.kernel;
        self.assignment.change(partition, |assigned| {
            let pause = kernel.pause(assigned.failed());
            assigned.pause_until(now + pause);
        });
    }

    /// After a change of leader, what was read may be gone (KIP-320).
    pub(super) fn doubt_positions(&mut self) {
        let ignores_truncation = self.flaws.has(Flaw::ConsumerIgnoresTruncation);
        let cluster = self.kernel.cluster();
        self.assignment.change_all(|partition, assigned| {
            if let Some((_, epoch)) = cluster.leader(partition) {
                assigned.doubt(epoch, ignores_truncation);
            }
        });
    }
}
