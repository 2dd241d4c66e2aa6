//! What sticky assignors write beside a subscription: the member's last assignment.
//!
//! Source: Kafka's `StickyAssignor` (partitions, and since its version 1 their generation) and
//! `CooperativeStickyAssignor` (the generation alone).

use std::collections::BTreeMap;

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::base::TopicPartition;

/// An assignment and its generation, as `sticky` writes it.
pub(super) fn write(owned: &[TopicPartition], generation: i32) -> Bytes {
    let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for partition in owned {
        topics.entry(&partition.topic).or_default().push(partition.partition);
    }
    let mut out = BytesMut::new();
    out.put_i32(topics.len() as i32);
    for (topic, partitions) in topics {
        out.put_i16(topic.len() as i16);
        out.put_slice(topic.as_bytes());
        out.put_i32(partitions.len() as i32);
        partitions.into_iter().for_each(|partition| out.put_i32(partition));
    }
    out.put_i32(generation);
    out.freeze()
}

/// Reads what `sticky` wrote; `None` if it can't be read. Its version 0 has no generation.
pub(super) fn read(mut data: &[u8]) -> Option<(Vec<TopicPartition>, Option<i32>)> {
    let mut owned = Vec::new();
    for _ in 0..data.try_get_i32().ok()? {
        let length = usize::try_from(data.try_get_i16().ok()?).ok()?;
        let (name, rest) = data.split_at_checked(length)?;
        let name = std::str::from_utf8(name).ok()?;
        data = rest;
        for _ in 0..data.try_get_i32().ok()? {
            owned.push(TopicPartition::new(name, data.try_get_i32().ok()?));
        }
    }
    Some((owned, data.try_get_i32().ok()))
}

/// A generation, as `cooperative-sticky` writes it.
pub(super) fn write_generation(generation: i32) -> Bytes {
    Bytes::copy_from_slice(&generation.to_be_bytes())
}

/// Reads what `cooperative-sticky` wrote.
pub(super) fn read_generation(mut data: &[u8]) -> Option<i32> {
    data.try_get_i32().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assignment_is_written_as_kafka_does_and_read_back() {
        let owned = [("a", 0), ("b", 2), ("a", 1)].map(|(t, p)| TopicPartition::new(t, p));
        let written = write(&owned, 7);
        let expected = [
            &[0, 0, 0, 2, 0, 1, b'a', 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 1][..],
            &[0, 1, b'b', 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 7],
        ];
        assert_eq!(written, expected.concat());
        let (read_back, generation) = read(&written).unwrap();
        assert_eq!((read_back.len(), generation), (3, Some(7)));
        assert!(owned.iter().all(|partition| read_back.contains(partition)));
        assert_eq!(read(&written[..written.len() - 4]).unwrap().1, None, "version 0");
        assert_eq!(read_generation(&write_generation(-1)), Some(-1));
    }

    #[test]
    fn damaged_user_data_is_no_assignment() {
        let written = write(&[TopicPartition::new("orders", 3)], 7);
        for length in 0..written.len() - 4 {
            assert_eq!(read(&written[..length]), None, "{length}");
        }
        assert_eq!(read(&[0x7f, 0xff, 0xff, 0xff]), None, "a count without end");
        assert_eq!(read(&[0, 0, 0, 1, 0xff, 0xff, 0, 0]), None, "a negative length");
    }
}
