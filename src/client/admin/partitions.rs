//! More partitions for a topic: messages built and read.

use super::attempts::Verdict;
use crate::client::AdminError;
use crate::wire::ErrorCode;
use crate::wire::messages::create_partitions_request::CreatePartitionsTopic;
use crate::wire::messages::{CreatePartitionsRequest, CreatePartitionsResponse};

pub(super) fn growth(name: &str, total: i32, timeout_ms: i32) -> CreatePartitionsRequest {
    let mut topic = CreatePartitionsTopic::default();
    topic.name = name.into();
    topic.count = total;
    let mut request = CreatePartitionsRequest::default();
    request.topics.push(topic);
    request.timeout_ms = timeout_ms;
    request
}

/// A topic that has that many partitions after an attempt without an answer got them by it.
pub(super) fn grown(name: &str, answer: &CreatePartitionsResponse, in_doubt: bool) -> Verdict<()> {
    let Some(told) = answer.results.iter().find(|topic| topic.name.as_str() == name) else {
        return Verdict::Refused(AdminError::Incomplete(format!("topic `{name}`")));
    };
    match ErrorCode::from_code(told.error_code) {
        ErrorCode::None => Verdict::Done(()),
        ErrorCode::InvalidPartitions if in_doubt => Verdict::Done(()),
        error => Verdict::from_error(error, told.error_message.as_ref().map(|m| m.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::messages::create_partitions_response::CreatePartitionsTopicResult;

    fn answer(error: ErrorCode) -> CreatePartitionsResponse {
        let mut told = CreatePartitionsTopicResult::default();
        told.name = "orders".into();
        told.error_code = error.code();
        let mut answer = CreatePartitionsResponse::default();
        answer.results.push(told);
        answer
    }

    #[test]
    fn count_that_is_not_larger_is_refused_unless_in_doubt() {
        let there = answer(ErrorCode::InvalidPartitions);
        assert!(matches!(grown("orders", &there, false), Verdict::Refused(_)));
        assert!(matches!(grown("orders", &there, true), Verdict::Done(())));
        assert!(matches!(grown("other", &there, true), Verdict::Refused(_)));
        let moved = answer(ErrorCode::NotController);
        assert!(matches!(grown("orders", &moved, false), Verdict::Again(_)));
    }
}
