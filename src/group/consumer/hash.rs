//! The hash by which a group notices that the metadata of its topics changed (KIP-1101).
//!
//! Source: Kafka's `Utils.computeTopicHash` and `computeGroupHash`, which stream values into XXH3 in
//! little-endian order, and strings as UTF-16 followed by their length.

use xxhash_rust::xxh3::Xxh3;

use crate::controller::{Image, Topic};

/// The version of the hash of a topic.
const MAGIC: u8 = 0;

/// The hash of topics; zero if none of them exists. `names` ascend.
pub(super) fn of<'a>(image: &Image, names: impl Iterator<Item = &'a str>) -> i64 {
    let mut hasher = Xxh3::new();
    let mut topics = 0;
    for topic in names.filter_map(|name| image.topic(name)) {
        hasher.update(&of_topic(image, topic).to_le_bytes());
        topics += 1;
    }
    if topics == 0 { 0 } else { hasher.digest() as i64 }
}

/// The hash of a topic: its id, name and partitions, and the racks of its replicas.
fn of_topic(image: &Image, topic: &Topic) -> u64 {
    let mut hasher = Xxh3::new();
    let (high, low) = topic.id.0.split_at(8);
    hasher.update(&[MAGIC]);
    for half in [high, low] {
        // A UUID is two big-endian numbers; the stream is little-endian.
        let mut half = half.to_vec();
        half.reverse();
        hasher.update(&half);
    }
    text(&mut hasher, &topic.name);
    hasher.update(&(topic.partitions.len() as i32).to_le_bytes());
    for (partition, state) in topic.partitions.iter() {
        hasher.update(&partition.to_le_bytes());
        let brokers = state.replicas.iter().filter_map(|replica| image.broker(*replica));
        let mut racks: Vec<&str> = brokers.filter_map(|broker| broker.rack.as_deref()).collect();
        racks.sort_by(|a, b| a.encode_utf16().cmp(b.encode_utf16()));
        for rack in racks {
            hasher.update(&length(rack).to_le_bytes());
            text(&mut hasher, rack);
        }
    }
    hasher.digest()
}

fn text(hasher: &mut Xxh3, text: &str) {
    let units: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    hasher.update(&units);
    hasher.update(&length(text).to_le_bytes());
}

/// The length of a string as Java counts it.
fn length(text: &str) -> i32 {
    text.encode_utf16().count() as i32
}
