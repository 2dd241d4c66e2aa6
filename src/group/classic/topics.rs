//! The topics that consumers subscribe to, as their subscriptions say.

use std::collections::BTreeSet;

use bytes::{Buf, Bytes};

/// The protocol type of consumers.
pub(super) const CONSUMER: &str = "consumer";

/// The topics of several subscriptions; none if one of them can't be read.
pub(super) fn topics<'a>(
    subscriptions: impl Iterator<Item = Option<&'a Bytes>>,
) -> Option<BTreeSet<String>> {
    let mut topics = BTreeSet::new();
    // Members of one application have equal subscriptions: each is read once.
    let mut read = BTreeSet::new();
    for subscription in subscriptions {
        let subscription = subscription?;
        if read.insert(subscription) {
            read_topics(subscription.clone(), &mut topics)?;
        }
    }
    Some(topics)
}

/// Reads the topics of a subscription. Every version begins as version 0 does.
fn read_topics(mut subscription: Bytes, topics: &mut BTreeSet<String>) -> Option<()> {
    if subscription.try_get_i16().ok()? < 0 {
        return None;
    }
    let count = subscription.try_get_i32().ok()?;
    for _ in 0..u32::try_from(count).ok()? {
        let length = usize::try_from(subscription.try_get_i16().ok()?).ok()?;
        if subscription.len() < length {
            return None;
        }
        let name = subscription.split_to(length);
        topics.insert(std::str::from_utf8(&name).ok()?.to_owned());
    }
    let user_data = subscription.try_get_i32().ok()?;
    (user_data == -1 || usize::try_from(user_data).ok()? <= subscription.len()).then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::messages::{
        ApiVersion, ConsumerProtocolSubscription, encode_consumer_protocol_subscription, message,
    };

    fn subscription(version: i16, topics: &[&str]) -> Bytes {
        let topics = topics.iter().map(|topic| (*topic).into()).collect();
        let subscription = message!(ConsumerProtocolSubscription { topics: topics });
        let mut bytes = bytes::BytesMut::new();
        let version = ApiVersion::new(version);
        encode_consumer_protocol_subscription(&mut bytes, &subscription, version).unwrap();
        bytes.freeze()
    }

    #[test]
    fn topics_are_read_from_subscriptions_of_every_version() {
        for version in 0..=3 {
            let (first, second) =
                (subscription(version, &["a", "b"]), subscription(0, &["b", "c"]));
            let topics = topics([Some(&first), Some(&second)].into_iter()).unwrap();
            assert!(topics.iter().eq(["a", "b", "c"]), "{topics:?}");
        }
    }

    #[test]
    fn truncated_subscription_leaves_topics_unknown() {
        let whole = subscription(0, &["orders", "payments"]);
        for end in 0..whole.len() {
            assert_eq!(topics([Some(&whole.slice(..end))].into_iter()), None, "{end} bytes");
        }
        assert_eq!(topics([Some(&whole), None].into_iter()), None);
    }
}
