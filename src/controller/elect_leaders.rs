//! ElectLeaders: an operator asks for elections, preferred (KIP-183) or unclean (KIP-460). And those that
//! are due from time to time.
//!
//! Source: Kafka's `ReplicationControlManager.electLeaders` and `maybeBalancePartitionLeaders`.

use super::election::{Cause, Wanted};
use super::machine::{Controller, Decision, Effect};
use super::plan::Plan;
use super::refusal::{Refusal, refusal};
use super::rounds::Round;
use super::topics::check_size;
use crate::base::{Instant, TopicId};
use crate::wire::ErrorCode;
use crate::wire::messages::elect_leaders_response::{PartitionResult, ReplicaElectionResult};
use crate::wire::messages::{ElectLeadersRequest, ElectLeadersResponse, StrBytes, message};

/// Most elections of one round. Source: Kafka's `maxElectionsPerImbalance`.
const MOST_ELECTIONS: usize = 1000;

const PREFERRED: i8 = 0;
const UNCLEAN: i8 = 1;

impl Controller {
    /// Elects leaders of these partitions, or of all. Of all, those whose leader is the wanted one
    /// already are not named in the answer.
    pub fn elect_leaders(
        &self,
        _now: Instant,
        request: &ElectLeadersRequest,
    ) -> Decision<ElectLeadersResponse> {
        // Before its type is looked at, as in Kafka.
        if request.topic_partitions.as_ref().is_some_and(Vec::is_empty) {
            return Decision::only(ElectLeadersResponse::default());
        }
        let wanted = match request.election_type {
            PREFERRED => Wanted::Preferred,
            UNCLEAN => Wanted::Unclean,
            other => return Decision::only(unknown_type(request, other)),
        };
        let mut plan = self.plan();
        let mut results = Vec::new();
        for (topic, partitions) in self.asked(request) {
            let each = partitions.into_iter().filter_map(|index| {
                let elected = self.elect(&mut plan, topic.as_str(), index, wanted);
                let is_led = matches!(elected, Err((ErrorCode::ElectionNotNeeded, _)));
                let is_named = request.topic_partitions.is_some() || !is_led;
                is_named.then(|| result(index, elected))
            });
            let each = each.collect();
            results.push(message!(ReplicaElectionResult { topic: topic, partition_result: each }));
        }
        let response = message!(ElectLeadersResponse { replica_election_results: results });
        Decision::new(plan.into_records(), response)
    }

    /// The partitions of a request, by topic.
    fn asked(&self, request: &ElectLeadersRequest) -> Vec<(StrBytes, Vec<i32>)> {
        match &request.topic_partitions {
            Some(topics) => {
                let named = topics.iter();
                named.map(|topic| (topic.topic.clone(), topic.partitions.clone())).collect()
            }
            None => {
                let all = self.image().topics();
                all.map(|topic| ((&*topic.name).into(), topic.partitions.keys().copied().collect()))
                    .collect()
            }
        }
    }

    fn elect(
        &self,
        plan: &mut Plan,
        name: &str,
        index: i32,
        wanted: Wanted,
    ) -> Result<(), Refusal> {
        let unknown = |text| refusal(ErrorCode::UnknownTopicOrPartition, text);
        let Some(topic) = plan.image().topic(name) else {
            return unknown(format!("No such topic as {name}"));
        };
        let Some(partition) = topic.partitions.get(&index) else {
            return unknown(format!("No such partition as {name}-{index}"));
        };
        let is_led = match wanted {
            Wanted::Preferred => partition.leader == partition.preferred_leader(),
            Wanted::Unclean | Wanted::Online => partition.leader.is_some(),
        };
        if is_led {
            return refusal(
                ErrorCode::ElectionNotNeeded,
                "Leader election not needed for topic partition.",
            );
        }
        let id = (topic.id, index);
        check_size(plan, 1)?;
        if plan.elect(self.settings(), wanted, id) {
            return Ok(());
        }
        match wanted {
            Wanted::Preferred => refusal(
                ErrorCode::PreferredLeaderNotAvailable,
                "The preferred leader was not available.",
            ),
            Wanted::Unclean | Wanted::Online => refusal(
                ErrorCode::EligibleLeadersNotAvailable,
                "Eligible topic partition leaders are not available.",
            ),
        }
    }

    /// Elects what a round is for.
    pub(super) fn make_round(&self, round: Round) -> Decision<()> {
        let mut plan = self.plan();
        let candidates: Vec<(TopicId, i32)> = match round {
            Round::Preferred => self.image().partitions_led_by_another().collect(),
            Round::Unclean => self.image().led_by(None).collect(),
        };
        let mut left_over = false;
        for partition in candidates {
            if plan.len() >= MOST_ELECTIONS {
                left_over = true;
                break;
            }
            match round {
                Round::Preferred => {
                    let _ = plan.elect(self.settings(), Wanted::Preferred, partition);
                }
                Round::Unclean => plan.reelect(self.settings(), Cause::default(), [partition]),
            }
        }
        let mut decision = Decision::new(plan.into_records(), ());
        decision.effects.push(Effect::RoundMade { round, left_over });
        decision
    }
}

fn result(index: i32, elected: Result<(), Refusal>) -> PartitionResult {
    let (error, text) = match elected {
        Ok(()) => (ErrorCode::None, None),
        Err((error, text)) => (error, Some(text)),
    };
    message!(PartitionResult {
        partition_id: index,
        error_code: error.code(),
        error_message: text.map(Into::into),
    })
}

/// Refuses every partition that is named.
fn unknown_type(request: &ElectLeadersRequest, kind: i8) -> ElectLeadersResponse {
    let text = || format!("Unknown election type {kind}");
    let refused = request.topic_partitions.iter().flatten().map(|topic| {
        let each = topic.partitions.iter();
        let each = each.map(|index| result(*index, refusal(ErrorCode::InvalidRequest, text())));
        message!(ReplicaElectionResult {
            topic: topic.topic.clone(),
            partition_result: each.collect(),
        })
    });
    message!(ElectLeadersResponse {
        error_code: ErrorCode::InvalidRequest.code(),
        replica_election_results: refused.collect(),
    })
}
