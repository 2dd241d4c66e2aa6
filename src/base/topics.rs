//! Names of the topics that Kafka keeps for itself. Source: Kafka's `common.internals.Topic`.

use super::TopicPartition;

/// Groups and their committed offsets.
pub const CONSUMER_OFFSETS: &str = "__consumer_offsets";
/// Transactional ids and the state of their transactions.
pub const TRANSACTION_STATE: &str = "__transaction_state";
/// Positions of share groups (KIP-932).
pub const SHARE_GROUP_STATE: &str = "__share_group_state";
/// The metadata log. It is a topic only on disk and in fetches between nodes: no client sees it.
pub const CLUSTER_METADATA: &str = "__cluster_metadata";

/// Whether clients are told that the topic is internal. Only these names count, and not every
/// name with two underscores: `__my_topic` is an ordinary topic.
pub fn is_internal(topic: &str) -> bool {
    matches!(topic, CONSUMER_OFFSETS | TRANSACTION_STATE | SHARE_GROUP_STATE)
}

/// Checks a topic's name; `Err` says what is wrong. Source: Kafka's `Topic.validate`.
pub fn check_name(name: &str) -> Result<(), String> {
    let legal = |c: char| c.is_ascii_alphanumeric() || ['.', '_', '-'].contains(&c);
    let problem = if name.is_empty() {
        "the empty string is not allowed".to_owned()
    } else if name == "." || name == ".." {
        format!("'{name}' is not allowed")
    } else if name.len() > TopicPartition::MAX_NAME_LENGTH {
        let most = TopicPartition::MAX_NAME_LENGTH;
        format!("the length of the name is {}, at most {most} are allowed", name.len())
    } else if !name.chars().all(legal) {
        format!(
            "'{name}' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'"
        )
    } else {
        return Ok(());
    };
    Err(format!("Topic name is invalid: {problem}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_topics_of_the_coordinators_are_internal() {
        for topic in ["__consumer_offsets", "__transaction_state", "__share_group_state"] {
            assert!(is_internal(topic), "{topic}");
        }
        for topic in ["__my_topic", "__consumer_offsets_2", "__cluster_metadata", "orders", ""] {
            assert!(!is_internal(topic), "{topic}");
        }
    }
}
