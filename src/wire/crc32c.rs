//! CRC-32C (Castagnoli), which guards batches and producer snapshots.

use crc_fast::{CrcAlgorithm, Digest};

/// The checksum of bytes in memory.
pub fn crc32c(bytes: &[u8]) -> u32 {
    narrow(crc_fast::checksum(CrcAlgorithm::Crc32Iscsi, bytes))
}

/// The checksum of bytes that come piece by piece.
pub struct Crc32c(Digest);

impl Crc32c {
    /// Of no bytes yet.
    pub fn new() -> Self {
        Self(Digest::new(CrcAlgorithm::Crc32Iscsi))
    }

    /// Takes the next piece in.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Of all pieces together.
    pub fn finish(&self) -> u32 {
        narrow(self.0.finalize())
    }
}

impl Default for Crc32c {
    fn default() -> Self {
        Self::new()
    }
}

/// The library has one width for all its algorithms; of this one 32 bits are used.
fn narrow(wide: u64) -> u32 {
    wide as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crc32c_agrees_with_another_implementation() {
        // RFC 3720, B.4.
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        let bytes: Vec<u8> = (0..70_000u32).map(|n| ((n * 31) >> 3) as u8).collect();
        for len in [0, 1, 7, 63, 64, 255, 256, 257, 4096, 65_537, bytes.len()] {
            let expected = ::crc32c::crc32c(&bytes[..len]);
            assert_eq!(crc32c(&bytes[..len]), expected, "{len} bytes");
            let mut pieces = Crc32c::new();
            bytes[..len].chunks(1000).for_each(|piece| pieces.update(piece));
            assert_eq!(pieces.finish(), expected, "{len} bytes in pieces");
        }
    }
}
