//! Messages with record batches that are stored elsewhere: in a file, or in another buffer.
//!
//! The codec writes the message as if those batches were empty. Their lengths are then replaced,
//! and the message is truncated behind each, so that the batches can be sent between the cuts.

use bytes::{BufMut, Bytes, BytesMut};

use super::frame;
use super::messages::{EncodeError, Encoder, TaggedFields};

/// What a frame consists of, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Bytes of the message.
    Bytes(Bytes),
    /// The records of the partition with this index, counted over all topics.
    Records(usize),
}

/// Where the length of an empty batch stands, and what goes there instead.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cut {
    /// Of the length's first byte.
    pub at: usize,
    pub partition: usize,
    /// Bytes that are sent after the length.
    pub len: usize,
}

/// How a version writes lengths and tags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// `i32`; no tags.
    Fixed,
    /// Unsigned varint of length + 1; structs end with tags.
    Flexible,
}

impl Style {
    pub fn of(flexible: bool) -> Self {
        if flexible { Self::Flexible } else { Self::Fixed }
    }

    /// Bytes of the length of an empty array or batch.
    pub fn empty_len(self) -> usize {
        match self {
            Self::Fixed => 4,
            Self::Flexible => 1,
        }
    }

    /// Bytes of a section of tags without any.
    pub fn no_tags(self) -> usize {
        match self {
            Self::Fixed => 0,
            Self::Flexible => 1,
        }
    }

    /// Bytes of a section of these tags.
    pub fn tags(self, tags: &TaggedFields) -> Result<usize, EncodeError> {
        if self == Self::Fixed || tags.is_empty() {
            return Ok(self.no_tags());
        }
        let mut sizing = Encoder::sizing();
        sizing.write_tagged_fields(tags)?;
        Ok(sizing.len())
    }

    /// Bytes of the length of an array.
    pub fn count_len(self, count: usize) -> usize {
        match self {
            Self::Fixed => 4,
            Self::Flexible => varint_len(count as u64 + 1),
        }
    }

    fn put_len(self, out: &mut BytesMut, len: usize) -> Result<(), EncodeError> {
        let too_large = |_| EncodeError::FrameTooLarge { bytes: len };
        match self {
            Self::Fixed => out.put_i32(i32::try_from(len).map_err(too_large)?),
            Self::Flexible => {
                let mut rest = u32::try_from(len).map_err(too_large)?.saturating_add(1);
                while rest >= 0x80 {
                    out.put_u8(rest as u8 | 0x80);
                    rest >>= 7;
                }
                out.put_u8(rest as u8);
            }
        }
        Ok(())
    }
}

fn varint_len(value: u64) -> usize {
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

/// Cuts a frame, whose own length is filled in. `cuts` are in order.
pub(super) fn splice(whole: &[u8], style: Style, cuts: &[Cut]) -> Result<Vec<Piece>, EncodeError> {
    let mut out = BytesMut::with_capacity(whole.len() + cuts.len() * 4);
    let mut ends = Vec::with_capacity(cuts.len());
    let mut from = 0;
    let mut elsewhere = 0usize;
    for cut in cuts {
        out.extend_from_slice(&whole[from..cut.at]);
        style.put_len(&mut out, cut.len)?;
        from = cut.at + style.empty_len();
        elsewhere = elsewhere.saturating_add(cut.len);
        ends.push(out.len());
    }
    out.extend_from_slice(&whole[from..]);
    frame::put_length(&mut out, elsewhere)?;
    let out = out.freeze();
    let mut pieces = Vec::with_capacity(cuts.len() * 2 + 1);
    let mut from = 0;
    for (cut, end) in cuts.iter().zip(ends) {
        if cut.len > 0 {
            pieces.push(Piece::Bytes(out.slice(from..end)));
            pieces.push(Piece::Records(cut.partition));
            from = end;
        }
    }
    if from < out.len() {
        pieces.push(Piece::Bytes(out.slice(from..)));
    }
    Ok(pieces)
}
