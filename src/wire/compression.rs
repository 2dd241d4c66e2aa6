//! The codecs of record batches. Callers limit the decompressed size, so that a few bytes from an
//! untrusted client cannot exhaust memory.

use std::io::{self, BufRead, BufReader, Read, Write};

use bytes::{Buf, Bytes};
use lz4_flex::frame::{BlockMode, BlockSize, FrameDecoder, FrameEncoder, FrameInfo};

use crate::base::config::Compression;

/// Why bytes can't be compressed or decompressed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompressionError {
    /// More comes out than was allowed.
    #[error("more than {max} bytes")]
    TooLarge {
        /// What was allowed.
        max: usize,
    },
    /// The codec does not understand its input.
    #[error("{codec}: {reason}")]
    Corrupt { codec: Compression, reason: String },
}

/// The most that snappy can grow by: a copy of 64 bytes takes three.
const SNAPPY_MAX_RATIO: usize = 22;
/// How Java's `SnappyOutputStream` begins; two version numbers follow.
const XERIAL_MAGIC: [u8; 8] = *b"\x82SNAPPY\0";
const XERIAL_HEADER: usize = 16;
/// Bytes that a stream decompresses ahead.
const AHEAD: usize = 16 << 10;

/// The default level of a codec. Source: Kafka's `CompressionType`.
pub const fn default_level(codec: Compression) -> i32 {
    match codec {
        Compression::None | Compression::Snappy => 0,
        Compression::Gzip => -1,
        Compression::Lz4 => 9,
        Compression::Zstd => 3,
    }
}

/// Appends `input`, compressed at the codec's usual level, to `out`. After an error `out` may have
/// a part of it.
pub fn compress(
    codec: Compression,
    input: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), CompressionError> {
    compress_at(codec, default_level(codec), input, out)
}

/// Appends `input`, compressed, to `out`; the level is the codec's own, and snappy and lz4 have but
/// one here. After an error `out` may have a part of it.
///
/// lz4 is written as frames of independent 64 KiB blocks, the only ones that Java reads; snappy as
/// one raw block, which all clients read.
pub fn compress_at(
    codec: Compression,
    level: i32,
    input: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), CompressionError> {
    let corrupt = |error: io::Error| corrupt(codec, &error);
    match codec {
        Compression::None => out.extend_from_slice(input),
        Compression::Gzip => {
            let level = u32::try_from(level).map(|level| flate2::Compression::new(level.min(9)));
            let mut encoder = flate2::write::GzEncoder::new(out, level.unwrap_or_default());
            encoder.write_all(input).and_then(|()| encoder.finish().map(drop)).map_err(corrupt)?;
        }
        Compression::Snappy => {
            let start = out.len();
            out.resize(start + snap::raw::max_compress_len(input.len()), 0);
            let written = snap::raw::Encoder::new().compress(input, &mut out[start..]);
            out.truncate(start + written.map_err(|error| corrupt(error.into()))?);
        }
        Compression::Lz4 => {
            let info =
                FrameInfo::new().block_size(BlockSize::Max64KB).block_mode(BlockMode::Independent);
            let mut encoder = FrameEncoder::with_frame_info(info, out);
            encoder.write_all(input).map_err(corrupt)?;
            encoder.finish().map_err(|error| corrupt(error.into()))?;
        }
        Compression::Zstd => {
            let encoder = zstd::stream::write::Encoder::new(out, level);
            let mut encoder = encoder.map_err(corrupt)?;
            encoder.set_pledged_src_size(Some(input.len() as u64)).map_err(corrupt)?;
            encoder.write_all(input).and_then(|()| encoder.finish().map(drop)).map_err(corrupt)?;
        }
    }
    Ok(())
}

/// What `input` was before it was compressed, unless that is more than `max` bytes.
pub fn decompress(codec: Compression, input: &[u8], max: usize) -> Result<Bytes, CompressionError> {
    match codec {
        Compression::None if input.len() > max => Err(CompressionError::TooLarge { max }),
        Compression::None => Ok(Bytes::copy_from_slice(input)),
        Compression::Gzip => read(codec, flate2::bufread::MultiGzDecoder::new(input), input, max),
        Compression::Snappy if input.starts_with(&XERIAL_MAGIC) => snappy_xerial(input, max),
        Compression::Snappy => {
            let mut out = Vec::new();
            snappy_block(input, max, &mut out)?;
            Ok(out.into())
        }
        Compression::Lz4 => read(codec, FrameDecoder::new(input), input, max),
        Compression::Zstd => {
            // The window (128 MiB at most, zstd's own limit) is touched only as far as it is used.
            let decoder = zstd::stream::read::Decoder::with_buffer(input);
            read(codec, decoder.map_err(|error| corrupt(codec, &error))?, input, max)
        }
    }
}

/// What `input` was before it was compressed, a piece at a time, if every client can read it:
/// memory is the same whatever comes out. (But for snappy, whose blocks are whole or nothing, and grow by little.) Ends in an error
/// before it would give more than `max` bytes; `Err` of [`io::ErrorKind::FileTooLarge`].
pub(super) fn stream<'a>(
    codec: Compression,
    input: &'a [u8],
    max: usize,
) -> Result<Box<dyn BufRead + 'a>, CompressionError> {
    let decoder: Box<dyn Read + 'a> = match codec {
        Compression::None => Box::new(input),
        Compression::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(input)),
        Compression::Snappy => return Ok(Box::new(decompress(codec, input, max)?.reader())),
        Compression::Lz4 => Box::new(FrameDecoder::new(lz4_frame(input)?)),
        Compression::Zstd => {
            let decoder = zstd::stream::read::Decoder::with_buffer(input);
            Box::new(decoder.map_err(|error| corrupt(codec, &error))?)
        }
    };
    Ok(Box::new(BufReader::with_capacity(AHEAD, Bounded { decoder, left: max as u64 })))
}

/// The first frame of the input, if Java can read it: with independent blocks and without a
/// dictionary. What follows the frame is passed over, as there.
///
/// Source: Kafka's `Lz4BlockInputStream`.
fn lz4_frame(input: &[u8]) -> Result<&[u8], CompressionError> {
    const CUT: &str = "a frame is cut";
    let refused =
        |reason: &str| CompressionError::Corrupt { codec: Compression::Lz4, reason: reason.into() };
    let [0x04, 0x22, 0x4d, 0x18, flags, block, ..] = *input else {
        return Err(refused("no LZ4 frame begins here"));
    };
    if flags >> 6 != 1 || flags & 0b11 != 0 {
        return Err(refused("a frame of an unknown version, or with a dictionary"));
    }
    if flags & 0x20 == 0 {
        return Err(refused("blocks depend on each other, and Java clients can't read that"));
    }
    if block & 0x8f != 0 || block >> 4 < 4 {
        return Err(refused("a block size that does not exist"));
    }
    let largest = 1usize << (2 * (block >> 4) + 8);
    let checksum = |flag: u8| if flags & flag != 0 { 4 } else { 0 };
    // Then the content's size and the descriptor's checksum.
    let mut at = 6 + 2 * checksum(0x08) + 1;
    loop {
        let word = input.get(at..).and_then(|rest| rest.first_chunk());
        let word = u32::from_le_bytes(*word.ok_or_else(|| refused(CUT))?);
        let size = (word & 0x7fff_ffff) as usize;
        if size == 0 {
            // Java takes an uncompressed block of no bytes for the end mark.
            let end = if word == 0 { at + 4 + checksum(0x04) } else { at };
            return input.get(..end).ok_or_else(|| refused(CUT));
        }
        if size > largest {
            return Err(refused("a block is larger than its frame says"));
        }
        at += 4 + size + checksum(0x10);
    }
}

/// A stream that refuses to be longer than it may be.
struct Bounded<'a> {
    decoder: Box<dyn Read + 'a>,
    left: u64,
}

impl Read for Bounded<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.decoder.read(buffer)?;
        self.left = self.left.checked_sub(read as u64).ok_or(io::ErrorKind::FileTooLarge)?;
        Ok(read)
    }
}

/// What an error of [`stream`] means.
pub(super) fn stream_error(codec: Compression, max: usize, error: &io::Error) -> CompressionError {
    match error.kind() {
        io::ErrorKind::FileTooLarge => CompressionError::TooLarge { max },
        _ => corrupt(codec, error),
    }
}

/// Reads to the end; memory grows with what comes out, not with what the input claims.
fn read(
    codec: Compression,
    decoder: impl Read,
    input: &[u8],
    max: usize,
) -> Result<Bytes, CompressionError> {
    let mut out = Vec::with_capacity(input.len().saturating_mul(3).min(max));
    let mut decoder = decoder.take((max as u64).saturating_add(1));
    decoder.read_to_end(&mut out).map_err(|error| corrupt(codec, &error))?;
    if out.len() > max {
        return Err(CompressionError::TooLarge { max });
    }
    Ok(out.into())
}

/// Appends what one raw block holds.
fn snappy_block(input: &[u8], max: usize, out: &mut Vec<u8>) -> Result<(), CompressionError> {
    let failed = |error: snap::Error| corrupt(Compression::Snappy, &error.into());
    let claimed = snap::raw::decompress_len(input).map_err(failed)?;
    let start = out.len();
    if claimed > max.saturating_sub(start) {
        return Err(CompressionError::TooLarge { max });
    }
    if claimed > input.len().saturating_mul(SNAPPY_MAX_RATIO) {
        return Err(snappy_corrupt("a block claims to grow by more than is possible"));
    }
    out.resize(start + claimed, 0);
    let written = snap::raw::Decoder::new().decompress(input, &mut out[start..]).map_err(failed)?;
    out.truncate(start + written);
    Ok(())
}

/// Blocks, each behind its length. Streams may follow each other, each with its own header.
fn snappy_xerial(input: &[u8], max: usize) -> Result<Bytes, CompressionError> {
    let mut out = Vec::new();
    let mut rest = input;
    while !rest.is_empty() {
        if rest.starts_with(&XERIAL_MAGIC) {
            rest = rest.get(XERIAL_HEADER..).ok_or_else(|| snappy_corrupt("a header is cut"))?;
            continue;
        }
        let block = rest.split_first_chunk::<4>().and_then(|(length, behind)| {
            behind.split_at_checked(u32::from_be_bytes(*length).try_into().ok()?)
        });
        let (block, behind) = block.ok_or_else(|| snappy_corrupt("a block is cut"))?;
        snappy_block(block, max, &mut out)?;
        rest = behind;
    }
    Ok(out.into())
}

fn corrupt(codec: Compression, error: &io::Error) -> CompressionError {
    CompressionError::Corrupt { codec, reason: error.to_string() }
}

fn snappy_corrupt(reason: &str) -> CompressionError {
    CompressionError::Corrupt { codec: Compression::Snappy, reason: reason.into() }
}

#[cfg(test)]
mod tests;
