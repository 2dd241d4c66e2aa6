//! Damages bytes that are on their way, where a receiver can notice it: batches and lengths of frames.

use bytes::{Bytes, BytesMut};
use rand::RngExt;
use rand_chacha::ChaCha12Rng;

use crate::base::{Seed, Stream};
use crate::sim::{Damage, Damaged};
use crate::wire::batch::{BatchHeader, HEADER_LEN, MAGIC, is_intact};
use crate::wire::frame::LENGTH_LEN;

/// Where a batch has its magic byte and its checksum.
const AT_MAGIC: usize = 16;
const AT_CRC: usize = 17;
const CRC_LEN: usize = 4;

/// What damages the bytes of one direction.
#[derive(Debug)]
pub(super) struct Damager {
    damage: Damage,
    random: ChaCha12Rng,
}

impl Damager {
    /// Continues the draws of the one before, if there is one.
    pub fn new(damage: Damage, seed: Seed, before: Option<Self>) -> Self {
        let begins = || seed.stream(Stream::named("leap damage"));
        Self { damage, random: before.map_or_else(begins, |before| before.random) }
    }

    /// The bytes with one change, if they have any that can be damaged and the draw says so.
    pub fn damaged(&mut self, bytes: &Bytes) -> Option<Bytes> {
        let what = self.damage.what;
        let found = match what {
            Damaged::Batch => first_batch(bytes),
            Damaged::Length => whole_frame(bytes).then_some((0, LENGTH_LEN)),
        };
        let (begin, end) = found?;
        if !self.random.random_bool(self.damage.chance.clamp(0.0, 1.0)) {
            return None;
        }
        let mut changed = BytesMut::from(&bytes[..]);
        let bit = self.random.random_range(0..8);
        match what {
            Damaged::Batch => {
                // The header between the two has flags, which are looked at before the checksum.
                let records = begin + HEADER_LEN..end;
                let at = match self.random.random_range(0..8) {
                    0 => begin + AT_CRC + self.random.random_range(0..CRC_LEN),
                    _ if records.is_empty() => begin + AT_CRC,
                    _ => self.random.random_range(records),
                };
                changed[at] ^= 1 << bit;
            }
            // Negative, or more than a gigabyte.
            Damaged::Length => changed[0] ^= if bit < 4 { 0x80 } else { 0x40 },
        }
        Some(changed.freeze())
    }
}

/// Where the first whole batch of a segment begins and ends.
fn first_batch(bytes: &[u8]) -> Option<(usize, usize)> {
    let places = 0..bytes.len().saturating_sub(HEADER_LEN);
    let begin = places.into_iter().find(|begin| {
        bytes.get(begin + AT_MAGIC) == Some(&(MAGIC as u8)) && is_intact(&bytes[*begin..])
    })?;
    let header = BatchHeader::read(&bytes[begin..]).ok()?;
    Some((begin, begin + header.size()))
}

/// Whether a segment is one frame.
fn whole_frame(bytes: &[u8]) -> bool {
    let length = bytes.first_chunk().map(|length| i32::from_be_bytes(*length));
    let length = length.and_then(|length| usize::try_from(length).ok());
    length.is_some_and(|length| length > 0 && LENGTH_LEN + length == bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Timestamp;
    use crate::base::config::Compression;
    use crate::wire::batch::{BatchBuilder, check};

    fn damager(what: Damaged) -> Damager {
        Damager::new(Damage { what, chance: 1.0 }, Seed(1), None)
    }

    fn batch() -> Bytes {
        let mut builder = BatchBuilder::new(Compression::None, Timestamp(0));
        builder.append(Timestamp(0), Some(b"key"), Some(b"value"), &[]);
        builder.finish_plain()
    }

    #[test]
    fn damaged_batch_is_found_inside_a_segment_and_fails_its_checksum() {
        let mut damager = damager(Damaged::Batch);
        let segment = Bytes::from([&b"some header"[..], &batch(), b"what follows"].concat());
        for _ in 0..100 {
            let changed = damager.damaged(&segment).unwrap();
            let different = segment.iter().zip(&changed).filter(|(one, other)| one != other);
            assert_eq!(different.count(), 1);
            assert_eq!(changed[..11], segment[..11]);
            assert!(check(&changed[11..]).is_err());
        }
    }

    #[test]
    fn damaged_length_is_impossible_and_the_rest_of_the_frame_is_left() {
        let frame = Bytes::from([&7i32.to_be_bytes()[..], b"request"].concat());
        for _ in 0..100 {
            let changed = damager(Damaged::Length).damaged(&frame).unwrap();
            let length = i32::from_be_bytes(*changed.first_chunk().unwrap());
            assert!(!(0..=1 << 30).contains(&length), "{length}");
            assert_eq!(changed[4..], frame[4..]);
        }
    }

    #[test]
    fn segments_without_such_bytes_arrive_as_they_were_sent() {
        let piece = batch().slice(..40);
        assert_eq!(damager(Damaged::Batch).damaged(&piece), None);
        assert_eq!(damager(Damaged::Batch).damaged(&Bytes::from_static(b"ping")), None);
        assert_eq!(damager(Damaged::Length).damaged(&batch()), None);
        let mut never = Damager::new(Damage { what: Damaged::Batch, chance: 0.0 }, Seed(1), None);
        assert_eq!(never.damaged(&batch()), None);
    }
}
