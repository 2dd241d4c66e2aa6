//! Walks over the batches in a file: their headers, and where asked for their checksums. Memory
//! is bounded whatever the headers say.

use std::path::Path;

use super::LogError;
use crate::io::File;
use crate::wire::batch::{BatchError, BatchHeader, HEADER_LEN};
use crate::wire::crc32c::Crc32c;

/// Bytes read at a time while looking for a place: an index entry is rarely further away.
pub(crate) const NEAR: usize = 4 << 10;
/// Bytes read at a time while reading a whole segment.
pub(crate) const FAR: usize = 256 << 10;
/// The checksum covers everything from the attributes on.
const CRC_FROM: u64 = 21;

/// Why a walk stopped.
#[derive(Debug)]
pub(crate) enum Stop {
    /// There is no whole, valid batch at this position.
    Bad(BatchError),
    /// The file could not be read.
    Log(LogError),
}

impl std::fmt::Display for Stop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bad(problem) => problem.fmt(f),
            Self::Log(error) => error.fmt(f),
        }
    }
}

impl Stop {
    /// For callers to whom a bad batch is corruption.
    pub(crate) fn into_error(
        self,
        path: &Path,
        position: u64,
        offset: crate::base::Offset,
    ) -> LogError {
        match self {
            Self::Log(error) => error,
            Self::Bad(problem) => {
                let problem = problem.to_string();
                LogError::Corrupt { path: path.to_owned(), position, offset, problem }
            }
        }
    }
}

/// A walk over the batches between two positions of a file.
pub(crate) struct Walk<'a, F> {
    file: &'a F,
    path: &'a Path,
    position: u64,
    end: u64,
    chunk: usize,
    buffer: Vec<u8>,
    buffer_at: u64,
}

impl<'a, F: File> Walk<'a, F> {
    pub(crate) fn new(file: &'a F, path: &'a Path, position: u64, end: u64, chunk: usize) -> Self {
        Self { file, path, position, end, chunk, buffer: Vec::new(), buffer_at: 0 }
    }

    /// Where the next batch begins.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// Bytes from `at` on, at least `least` of them unless the end is nearer.
    fn bytes(&mut self, at: u64, least: usize) -> Result<&[u8], Stop> {
        let have_end = self.buffer_at + self.buffer.len() as u64;
        let wanted = (self.end - at).min(least as u64);
        if at < self.buffer_at || at + wanted > have_end {
            let len = (self.end - at).min(self.chunk.max(least) as u64) as usize;
            self.buffer.resize(len, 0);
            self.buffer_at = at;
            let read = self.file.read_at(&mut self.buffer, at);
            let read = read.map_err(|e| Stop::Log(LogError::io("read", self.path)(e)))?;
            self.buffer.truncate(read);
        }
        let skip = (at - self.buffer_at) as usize;
        Ok(self.buffer.get(skip..).unwrap_or_default())
    }

    /// The header of the batch at the current position, without going on; `None` at the end.
    pub(crate) fn peek(&mut self) -> Result<Option<BatchHeader>, Stop> {
        if self.position >= self.end {
            return Ok(None);
        }
        let (position, left) = (self.position, self.end - self.position);
        let header = BatchHeader::parse(self.bytes(position, HEADER_LEN)?).map_err(Stop::Bad)?;
        if header.size() as u64 > left {
            let have = usize::try_from(left).unwrap_or(usize::MAX);
            return Err(Stop::Bad(BatchError::Torn { needed: header.size(), have }));
        }
        Ok(Some(header))
    }

    /// Steps over a batch that [`Walk::peek`] has shown.
    pub(crate) fn skip(&mut self, header: &BatchHeader) {
        self.position += header.size() as u64;
    }

    /// Goes back to a batch that it has stepped over.
    pub(crate) fn go_back(&mut self, position: u64) {
        self.position = position;
    }

    /// All bytes of a batch that [`Walk::peek`] has shown, and steps over it.
    pub(crate) fn whole(&mut self, header: &BatchHeader) -> Result<&[u8], Stop> {
        let (at, size) = (self.position, header.size());
        self.skip(header);
        let bytes = self.bytes(at, size)?;
        let have = bytes.len();
        bytes.get(..size).ok_or(Stop::Bad(BatchError::Torn { needed: size, have }))
    }

    /// The next batch's header, and where the batch begins.
    pub(crate) fn next(&mut self) -> Result<Option<(u64, BatchHeader)>, Stop> {
        let Some(header) = self.peek()? else { return Ok(None) };
        let position = self.position;
        self.skip(&header);
        Ok(Some((position, header)))
    }

    /// Verifies the checksum of the batch at the current position, which `peek` has shown.
    pub(crate) fn verify(&mut self, header: &BatchHeader) -> Result<(), Stop> {
        let end = self.position + header.size() as u64;
        let mut at = self.position + CRC_FROM;
        let mut computed = Crc32c::new();
        while at < end {
            let bytes = self.bytes(at, 1)?;
            let len = bytes.len().min((end - at) as usize);
            if len == 0 {
                // The file is shorter than it was said to be.
                return Err(Stop::Bad(BatchError::Torn { needed: header.size(), have: 0 }));
            }
            computed.update(&bytes[..len]);
            at += len as u64;
        }
        let computed = computed.finish();
        if computed == header.crc {
            Ok(())
        } else {
            Err(Stop::Bad(BatchError::Crc { stored: header.crc, computed }))
        }
    }
}
