//! Compressed batches that some clients write and others can't read.

use std::io::Write;

use brokerquake::base::config::Compression;
use brokerquake::wire::compression::compress;
use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo};

use super::ask::{Node, error};
use super::batches::{batch, now, sealed};

const HEADER: usize = 61;

/// A batch whose records are `body`, in this codec.
fn in_codec(plain: &[u8], codec: Compression, body: &[u8]) -> Vec<u8> {
    let mut batch = [&plain[..HEADER], body].concat();
    batch[22] = codec as u8;
    let length = (batch.len() - 12) as u32;
    batch[8..12].copy_from_slice(&length.to_be_bytes());
    sealed(batch)
}

fn lz4(input: &[u8], info: FrameInfo) -> Vec<u8> {
    let mut encoder = FrameEncoder::with_frame_info(info, Vec::new());
    encoder.write_all(input).unwrap();
    encoder.finish().unwrap()
}

/// XXH32 of less than 16 bytes, with seed 0.
fn xxh32(input: &[u8]) -> u32 {
    const PRIMES: [u32; 5] =
        [2_654_435_761, 2_246_822_519, 3_266_489_917, 668_265_263, 374_761_393];
    assert!(input.len() < 16);
    let mut hash = PRIMES[4].wrapping_add(input.len() as u32);
    let (words, rest) = input.as_chunks::<4>();
    for word in words {
        hash = hash.wrapping_add(u32::from_le_bytes(*word).wrapping_mul(PRIMES[2]));
        hash = hash.rotate_left(17).wrapping_mul(PRIMES[3]);
    }
    for byte in rest {
        hash = hash.wrapping_add(u32::from(*byte).wrapping_mul(PRIMES[4]));
        hash = hash.rotate_left(11).wrapping_mul(PRIMES[0]);
    }
    hash = (hash ^ (hash >> 15)).wrapping_mul(PRIMES[1]);
    hash = (hash ^ (hash >> 13)).wrapping_mul(PRIMES[2]);
    hash ^ (hash >> 16)
}

/// A frame with another descriptor, and the checksum of that.
fn described(frame: &[u8], descriptor: &[u8]) -> Vec<u8> {
    let check = (xxh32(descriptor) >> 8) as u8;
    [&frame[..4], descriptor, &[check], &frame[7..]].concat()
}

fn lz4_frames(records: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let info =
        || FrameInfo::new().block_size(BlockSize::Max64KB).block_mode(BlockMode::Independent);
    let plain = lz4(records, info());
    let half = records.len() / 2;
    let flipped = |mut frame: Vec<u8>, from_end: usize| {
        let at = frame.len() - from_end;
        frame[at] ^= 1;
        frame
    };
    let size = (records.len() as u64).to_le_bytes();
    let wrong_size = (records.len() as u64 + 1).to_le_bytes();
    let checked = lz4(records, info().content_checksum(true));
    vec![
        ("independent blocks of 64 KiB", plain.clone()),
        ("independent blocks of 256 KiB", lz4(records, info().block_size(BlockSize::Max256KB))),
        ("independent blocks of 4 MiB", lz4(records, info().block_size(BlockSize::Max4MB))),
        ("linked blocks", lz4(records, info().block_mode(BlockMode::Linked))),
        ("content checksum", checked.clone()),
        ("wrong content checksum", flipped(checked.clone(), 1)),
        ("content checksum missing", checked[..checked.len() - 4].to_vec()),
        ("block checksums", lz4(records, info().block_checksums(true))),
        ("wrong block checksum", flipped(lz4(records, info().block_checksums(true)), 5)),
        ("content size", described(&plain, &[&[0x68, 0x40][..], &size].concat())),
        ("wrong content size", described(&plain, &[&[0x68, 0x40][..], &wrong_size].concat())),
        ("dictionary id", described(&plain, &[0x61, 0x40, 1, 0, 0, 0])),
        ("reserved flag bit", described(&plain, &[0x62, 0x40])),
        ("version 0", described(&plain, &[0x20, 0x40])),
        ("version 2", described(&plain, &[0xa0, 0x40])),
        ("reserved low bits of block size", described(&plain, &[0x60, 0x41])),
        ("reserved high bit of block size", described(&plain, &[0x60, 0xc0])),
        ("block size 3", described(&plain, &[0x60, 0x30])),
        ("wrong descriptor checksum", {
            let mut frame = plain.clone();
            frame[6] ^= 1;
            frame
        }),
        ("legacy magic", {
            let block = lz4_flex::block::compress(records);
            [b"\x02\x21\x4c\x18", &(block.len() as u32).to_le_bytes()[..], &block].concat()
        }),
        ("other magic", [b"\x05", &plain[1..]].concat()),
        ("skippable frame before it", [b"\x50\x2a\x4d\x18\x02\0\0\0xx", &plain[..]].concat()),
        ("skippable frame behind it", [&plain[..], b"\x50\x2a\x4d\x18\x02\0\0\0xx"].concat()),
        ("two frames", [lz4(&records[..half], info()), lz4(&records[half..], info())].concat()),
        ("end mark missing", plain[..plain.len() - 4].to_vec()),
        ("cut in its block", plain[..plain.len() - 8].to_vec()),
        ("garbage behind it", [&plain[..], b"garbage"].concat()),
        ("empty input", Vec::new()),
        ("empty frame", lz4(b"", info())),
        ("block of no bytes before the others", {
            let empty = b"\0\0\0\x80";
            [&plain[..7], empty, &plain[7..]].concat()
        }),
    ]
}

fn gzip(input: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    compress(Compression::Gzip, input, &mut out).unwrap();
    out
}

fn gzip_members(records: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let plain = gzip(records);
    let half = records.len() / 2;
    let from_end = |at: usize| {
        let mut stream = plain.clone();
        let at = stream.len() - at;
        stream[at] ^= 1;
        stream
    };
    let flagged = |flags: u8, fields: &[u8]| {
        let mut header = plain[..10].to_vec();
        header[3] = flags;
        [&header[..], fields, &plain[10..]].concat()
    };
    vec![
        ("one member", plain.clone()),
        ("two members", [gzip(&records[..half]), gzip(&records[half..])].concat()),
        ("empty member behind it", [plain.clone(), gzip(b"")].concat()),
        ("empty member before it", [gzip(b""), plain.clone()].concat()),
        ("garbage behind it", [&plain[..], b"garbage"].concat()),
        ("zeros behind it", [&plain[..], &[0; 20]].concat()),
        ("wrong checksum", from_end(8)),
        ("wrong length", from_end(4)),
        ("cut in its trailer", plain[..plain.len() - 3].to_vec()),
        ("without a trailer", plain[..plain.len() - 8].to_vec()),
        ("file name", flagged(8, b"name\0")),
        ("comment", flagged(16, b"comment\0")),
        ("extra field", flagged(4, b"\x02\0xx")),
        ("reserved flag", flagged(0x20, b"")),
        ("wrong header checksum", flagged(2, b"xx")),
        ("other method", {
            let mut stream = plain.clone();
            stream[2] = 7;
            stream
        }),
        ("zlib instead", b"\x78\x9c\x03\0\0\0\0\x01".to_vec()),
        ("empty input", Vec::new()),
    ]
}

fn snappy(input: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    compress(Compression::Snappy, input, &mut out).unwrap();
    out
}

fn xerial(version: u32, compatible: u32, blocks: &[&[u8]]) -> Vec<u8> {
    let mut out = b"\x82SNAPPY\0".to_vec();
    out.extend_from_slice(&version.to_be_bytes());
    out.extend_from_slice(&compatible.to_be_bytes());
    for block in blocks {
        let block = snappy(block);
        out.extend_from_slice(&(block.len() as u32).to_be_bytes());
        out.extend_from_slice(&block);
    }
    out
}

fn snappy_framings(records: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let (first, second) = records.split_at(records.len() / 2);
    let framed = xerial(1, 1, &[first, second]);
    let raw = snappy(records);
    vec![
        ("raw", raw.clone()),
        ("xerial", framed.clone()),
        ("xerial, version 0", xerial(0, 1, &[records])),
        ("xerial, version 2", xerial(2, 1, &[records])),
        ("xerial, compatible version 0", xerial(1, 0, &[records])),
        ("xerial, compatible version 2", xerial(1, 2, &[records])),
        ("two xerial streams", [xerial(1, 1, &[first]), xerial(1, 1, &[second])].concat()),
        ("xerial header alone", xerial(1, 1, &[])),
        ("xerial header, raw block", [&xerial(1, 1, &[])[..], &raw].concat()),
        ("xerial header cut", framed[..12].to_vec()),
        ("xerial, empty block first", xerial(1, 1, &[b"", records])),
        ("xerial, length cut", [&framed[..], &[0, 0]].concat()),
        ("xerial, block cut", framed[..framed.len() - 2].to_vec()),
        ("xerial, block of negative length", [&framed[..16], &[0xff; 4], &framed[20..]].concat()),
        ("raw, cut", raw[..raw.len() - 2].to_vec()),
        ("raw, garbage behind it", [&raw[..], b"garbage"].concat()),
        ("snappy's own framing", [b"\xff\x06\0\0sNaPpY", &raw[..]].concat()),
        ("empty input", Vec::new()),
    ]
}

fn zstd(input: &[u8], set: impl FnOnce(&mut zstd::stream::write::Encoder<'_, Vec<u8>>)) -> Vec<u8> {
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 3).unwrap();
    set(&mut encoder);
    encoder.write_all(input).unwrap();
    encoder.finish().unwrap()
}

fn zstd_frames(records: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let plain = zstd(records, |_| ());
    let half = records.len() / 2;
    let window = |log| zstd(records, |encoder| encoder.window_log(log).unwrap());
    let sized = zstd(records, |encoder| {
        encoder.set_pledged_src_size(Some(records.len() as u64)).unwrap();
    });
    let checked = zstd(records, |encoder| encoder.include_checksum(true).unwrap());
    let skippable = b"\x50\x2a\x4d\x18\x02\0\0\0xx";
    let mut frames = vec![
        ("no content size", plain.clone()),
        ("content size", sized.clone()),
        ("wrong content size", {
            let mut frame = sized.clone();
            frame[5] ^= 1;
            frame
        }),
        ("checksum", checked.clone()),
        ("wrong checksum", {
            let mut frame = checked.clone();
            let last = frame.len() - 1;
            frame[last] ^= 1;
            frame
        }),
        ("window of 8 MiB", window(23)),
        ("window of 128 MiB", window(27)),
        ("two frames", [zstd(&records[..half], |_| ()), zstd(&records[half..], |_| ())].concat()),
        ("skippable frame before it", [skippable, &plain[..]].concat()),
        ("skippable frame behind it", [&plain[..], skippable].concat()),
        ("empty frame behind it", [plain.clone(), zstd(b"", |_| ())].concat()),
        ("cut", plain[..plain.len() - 2].to_vec()),
        ("garbage behind it", [&plain[..], b"garbage"].concat()),
        ("empty input", Vec::new()),
    ];
    // Magic, a descriptor without content size and checksum, then the window.
    for (what, byte) in [("window of 256 MiB", 18 << 3), ("window of 2 GiB", 21 << 3)] {
        let mut frame = plain.clone();
        assert_eq!(frame[4] & 0x20, 0, "a window follows");
        frame[5] = byte;
        frames.push((what, frame));
    }
    let mut dictionary = plain.clone();
    dictionary[4] |= 1;
    dictionary.insert(6, 9);
    frames.push(("dictionary id", dictionary));
    let mut reserved = plain.clone();
    reserved[4] |= 8;
    frames.push(("reserved bit", reserved));
    frames
}

pub fn ask(node: &mut Node) {
    node.create("codecs", 1, &[]);
    let time = now().0;
    let plain = batch(Compression::None, &[time, time + 1, time + 2, time + 3]);
    let records = &plain[HEADER..];
    for (codec, bodies) in [
        (Compression::Lz4, lz4_frames(records)),
        (Compression::Gzip, gzip_members(records)),
        (Compression::Snappy, snappy_framings(records)),
        (Compression::Zstd, zstd_frames(records)),
    ] {
        for (what, body) in bodies {
            let answer = node.produce("codecs", in_codec(&plain, codec, &body));
            node.note(format_args!("codec: {codec}, {what}"), error(answer.error_code));
        }
    }
}
