//! `roundrobin`: all partitions of all topics are dealt to the members in turn.

use super::member::{in_order, partitions};
use super::{Members, Shares, Topics, nothing};

pub(super) fn assign(topics: &Topics, group: &Members) -> Shares {
    let mut shares = nothing(group);
    let order = in_order(group);
    let mut next = 0;
    for (topic, racks) in topics {
        for partition in partitions(topic, racks) {
            let turns = (0..order.len()).map(|turn| (next + turn) % order.len());
            let subscribed =
                |place: &usize| group.get(order[*place]).is_some_and(|m| m.topics.contains(topic));
            let Some(place) = turns.into_iter().find(subscribed) else { continue };
            if let Some(share) = shares.get_mut(order[place]) {
                share.push(partition);
            }
            next = (place + 1) % order.len();
        }
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::super::tests::{group, share, topics};
    use super::*;

    #[test]
    fn partitions_of_all_topics_are_dealt_in_turn() {
        let shares = assign(
            &topics(&[("a", 3), ("b", 3)]),
            &group(&[("m1", &["a", "b"]), ("m2", &["a", "b"])]),
        );
        assert_eq!(share(&shares, "m1"), ["a-0", "a-2", "b-1"]);
        assert_eq!(share(&shares, "m2"), ["a-1", "b-0", "b-2"]);
    }

    #[test]
    fn members_without_the_topic_are_passed_over() {
        let shares = assign(
            &topics(&[("a", 1), ("b", 2), ("c", 3)]),
            &group(&[("m1", &["a"]), ("m2", &["a", "b"]), ("m3", &["a", "b", "c"])]),
        );
        assert_eq!(share(&shares, "m1"), ["a-0"]);
        assert_eq!(share(&shares, "m2"), ["b-0"]);
        assert_eq!(share(&shares, "m3"), ["b-1", "c-0", "c-1", "c-2"]);
    }
}
