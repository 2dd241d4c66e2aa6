//! DeleteTopics.

use std::collections::{BTreeMap, BTreeSet};

use super::check_size;
use crate::base::{Instant, TopicId};
use crate::controller::image::Topic;
use crate::controller::machine::{Controller, Decision};
use crate::controller::plan::Plan;
use crate::controller::record::Record;
use crate::controller::refusal::{Refusal, refusal};
use crate::wire::ErrorCode;
use crate::wire::messages::delete_topics_response::DeletableTopicResult;
use crate::wire::messages::{DeleteTopicsRequest, DeleteTopicsResponse, StrBytes};

impl Controller {
    /// Deletes topics by name or by id, each by itself.
    pub fn delete_topics(
        &self,
        _now: Instant,
        request: &DeleteTopicsRequest,
    ) -> Decision<DeleteTopicsResponse> {
        let mut response = DeleteTopicsResponse::default();
        let mut plan = self.plan();
        // Version 6 has names or ids, earlier ones only names.
        let named = request.topic_names.iter().map(|name| (Some(name.clone()), TopicId::ZERO));
        let asked = request.topics.iter().map(|topic| (topic.name.clone(), topic.topic_id.into()));
        let asked: Vec<_> = named.chain(asked).collect();
        let mut times: BTreeMap<&(Option<StrBytes>, TopicId), usize> = BTreeMap::new();
        for topic in &asked {
            *times.entry(topic).or_default() += 1;
        }
        let once = times.iter().filter(|(_, times)| **times == 1).map(|(topic, _)| *topic);
        let once: BTreeSet<_> = once.collect();
        for topic in &asked {
            // What is asked for twice is answered once.
            let Some(times) = times.remove(topic) else { continue };
            let (name, id) = topic;
            let mut result = DeletableTopicResult::default();
            (result.name, result.topic_id) = (name.clone(), (*id).into());
            let found = match (times, name) {
                (1, _) => find(&plan, name.as_deref(), *id),
                (_, Some(_)) if *id == TopicId::ZERO => {
                    refusal(ErrorCode::InvalidRequest, "Duplicate topic name.")
                }
                (_, None) if *id != TopicId::ZERO => {
                    refusal(ErrorCode::InvalidRequest, "Duplicate topic id.")
                }
                _ => find(&plan, name.as_deref(), *id),
            };
            let found = found.map(|topic| (topic.id, StrBytes::from(&*topic.name)));
            if let Ok((found, known_as)) = &found {
                match name {
                    Some(_) if once.contains(&(None, *found)) => {
                        let text =
                            "The provided topic name maps to an ID that was already supplied.";
                        result.topic_id = (*found).into();
                        result.error_code = ErrorCode::InvalidRequest.code();
                        result.error_message = Some(text.into());
                        response.responses.push(result);
                        continue;
                    }
                    None if once.contains(&(Some(known_as.clone()), TopicId::ZERO)) => continue,
                    _ => {}
                }
            }
            match found.and_then(|found| check_size(&plan, 1).map(|()| found)) {
                Ok((id, name)) => {
                    result.topic_id = id.into();
                    result.name = Some(name);
                    plan.push(Record::RemoveTopic(id));
                }
                Err((error, text)) => {
                    result.error_code = error.code();
                    result.error_message = Some(text.into());
                }
            }
            response.responses.push(result);
        }
        Decision::new(plan.into_records(), response)
    }
}

fn find<'a>(plan: &'a Plan, name: Option<&str>, id: TopicId) -> Result<&'a Topic, Refusal> {
    match name {
        Some(_) if id != TopicId::ZERO => {
            refusal(ErrorCode::InvalidRequest, "You may not specify both topic name and topic id.")
        }
        Some(name) => plan.image().topic(name).ok_or_else(|| {
            (ErrorCode::UnknownTopicOrPartition, format!("There is no topic '{name}'."))
        }),
        None if id == TopicId::ZERO => {
            refusal(ErrorCode::InvalidRequest, "Neither topic name nor id were specified.")
        }
        None => plan
            .image()
            .topic_by_id(id)
            .ok_or_else(|| (ErrorCode::UnknownTopicId, format!("There is no topic with id {id}."))),
    }
}
