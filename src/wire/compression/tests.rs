//! Codecs: round trips, framings of other clients, bombs.

use super::*;

const CODECS: [Compression; 5] = Compression::ALL;

fn compressed(codec: Compression, input: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    compress(codec, input, &mut out).unwrap();
    out
}

fn xerial(blocks: &[&[u8]]) -> Vec<u8> {
    let mut out = XERIAL_MAGIC.to_vec();
    out.extend_from_slice(&1u32.to_be_bytes());
    out.extend_from_slice(&1u32.to_be_bytes());
    for block in blocks {
        let block = compressed(Compression::Snappy, block);
        out.extend_from_slice(&(block.len() as u32).to_be_bytes());
        out.extend_from_slice(&block);
    }
    out
}

#[test]
fn every_codec_gives_back_what_it_was_given() {
    let long: Vec<u8> = (0..300_000u32).flat_map(|n| n.wrapping_mul(n).to_be_bytes()).collect();
    for codec in CODECS {
        for input in [&b""[..], b"x", b"orders orders orders", &long] {
            let bytes = compressed(codec, input);
            assert_eq!(decompress(codec, &bytes, input.len()).unwrap(), input, "{codec}");
        }
    }
}

#[test]
fn bomb_is_refused_by_every_codec() {
    let bomb = vec![0u8; 8 << 20];
    for codec in CODECS {
        let bytes = compressed(codec, &bomb);
        let max = 1 << 20;
        assert_eq!(decompress(codec, &bytes, max), Err(CompressionError::TooLarge { max }));
        assert_eq!(decompress(codec, &bytes, bomb.len()).unwrap().len(), bomb.len());
    }
}

#[test]
fn snappy_block_that_lies_about_its_length_takes_no_memory() {
    // 256 MiB claimed by a block of six bytes.
    let lie = [0x80, 0x80, 0x80, 0x80, 0x01, 0x00];
    let refused = decompress(Compression::Snappy, &lie, usize::MAX);
    assert!(matches!(refused, Err(CompressionError::Corrupt { .. })));
}

#[test]
fn snappy_is_read_raw_and_as_java_frames_it() {
    let raw = compressed(Compression::Snappy, b"one two");
    assert_eq!(&decompress(Compression::Snappy, &raw, 100).unwrap()[..], b"one two");
    let mut framed = xerial(&[b"one ", b"two"]);
    assert_eq!(&decompress(Compression::Snappy, &framed, 100).unwrap()[..], b"one two");
    framed.extend(xerial(&[b" three"]));
    assert_eq!(&decompress(Compression::Snappy, &framed, 100).unwrap()[..], b"one two three");
}

#[test]
fn bomb_of_many_snappy_blocks_is_refused_as_well() {
    let block = vec![0u8; 1 << 16];
    let framed = xerial(&[&block[..]; 10]);
    let max = 9 << 16;
    let refused = decompress(Compression::Snappy, &framed, max);
    assert_eq!(refused, Err(CompressionError::TooLarge { max }));
}

#[test]
fn lz4_is_a_frame_of_independent_blocks_of_64_kib() {
    let bytes = compressed(Compression::Lz4, &[7; 1000]);
    assert_eq!(bytes[..4], [0x04, 0x22, 0x4d, 0x18], "the frame's magic");
    assert_eq!(bytes[4], 0b0110_0000, "version 1, independent blocks, no checksums, no size");
    assert_eq!(bytes[5], 0b0100_0000, "64 KiB");
}

#[test]
fn cut_and_altered_input_is_an_error_and_never_a_panic() {
    let input: Vec<u8> = (0..5000u32).map(|n| (n % 50) as u8).collect();
    for codec in &CODECS[1..] {
        let bytes = compressed(*codec, &input);
        for cut in 0..bytes.len() {
            if let Ok(out) = decompress(*codec, &bytes[..cut], 10_000) {
                assert_eq!(out, input[..out.len()], "{codec} cut at {cut}");
            }
        }
        for at in 0..bytes.len() {
            let mut altered = bytes.clone();
            altered[at] ^= 1 << (at % 8);
            let _ = decompress(*codec, &altered, 10_000);
        }
    }
}
