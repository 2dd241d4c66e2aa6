//! Checks every record of a batch without decoding it, as a leader must before it appends one. Nothing is copied, and a compressed batch is never in memory as a whole.
//!
//! Source: Kafka's `DefaultRecordBatch.skipKeyValueIterator` and `LogValidator`.

use std::io::BufRead;

use super::header::{BatchHeader, HEADER_LEN};
use super::{BatchError, varint};
use crate::base::Timestamp;
use crate::base::config::Compression;
use crate::wire::compression::{self, CompressionError};

/// What a glance sees of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Glance {
    /// Which record of the batch, from 0.
    pub index: i32,
    /// Its offset less the batch's base offset, as its producer gave it.
    pub offset_delta: i32,
    /// Its own time; that of the batch, if it has one for all, does not count here.
    pub timestamp: Timestamp,
    /// Compaction needs a key.
    pub has_key: bool,
}

/// Looks at every record of one whole batch, whose header `header` is and whose checksum is right.
/// Each record must end where it says, be as many as the header says, and be followed by nothing.
/// Refuses to decompress more than `max_decompressed` bytes.
pub fn glance_over(
    batch: &[u8],
    header: &BatchHeader,
    max_decompressed: usize,
    each: impl FnMut(Glance),
) -> Result<(), BatchError> {
    let body = batch
        .get(HEADER_LEN..header.size())
        .ok_or(BatchError::Torn { needed: header.size(), have: batch.len() })?;
    let codec = header.compression();
    let failed =
        |error: &std::io::Error| compression::stream_error(codec, max_decompressed, error).into();
    match codec {
        Compression::None => walk(body, header, &failed, each),
        codec => walk(compression::stream(codec, body, max_decompressed)?, header, &failed, each),
    }
}

fn walk(
    mut input: impl BufRead,
    header: &BatchHeader,
    failed: &dyn Fn(&std::io::Error) -> BatchError,
    mut each: impl FnMut(Glance),
) -> Result<(), BatchError> {
    for index in 0..header.count {
        let mut whole = Fields { input: &mut input, left: u64::MAX, failed };
        let length = whole.int()?;
        let left = u64::try_from(length)
            .map_err(|_| BatchError::Corrupt("a record has a negative length"))?;
        let ahead = input.fill_buf().map_err(|error| failed(&error))?;
        // Where the next record begins is known before this one is looked at: so a processor looks
        // at several together, and does not wait for the memory of one after the other.
        let at_hand = usize::try_from(left).ok().and_then(|length| ahead.get(..length));
        if let Some(mut record) = at_hand {
            let length = record.len();
            each(Fields { input: &mut record, left, failed }.glance(index, header)?);
            input.consume(length);
        } else {
            each(Fields { input: &mut input, left, failed }.glance(index, header)?);
        }
    }
    match input.fill_buf() {
        Ok([]) => Ok(()),
        Ok(_) => Err(BatchError::Corrupt("bytes follow the last record")),
        Err(error) => Err(failed(&error)),
    }
}

/// Reads the fields of one record, and not beyond its end.
struct Fields<'a, R> {
    input: &'a mut R,
    left: u64,
    failed: &'a dyn Fn(&std::io::Error) -> BatchError,
}

const CUT: BatchError = BatchError::Corrupt("a record is cut");

impl<R: BufRead> Fields<'_, R> {
    #[inline(always)]
    fn glance(mut self, index: i32, header: &BatchHeader) -> Result<Glance, BatchError> {
        let _attributes = self.byte()?;
        let timestamp = header.base_timestamp.0.checked_add(self.varint()?);
        let timestamp = timestamp.ok_or(BatchError::Corrupt("a timestamp overflows"))?;
        let offset_delta = self.int()?;
        let key = self.int()?;
        self.skip_nullable(key)?;
        let value = self.int()?;
        self.skip_nullable(value)?;
        self.skip_headers()?;
        if self.left > 0 {
            return Err(BatchError::Corrupt("a record is longer than its fields"));
        }
        Ok(Glance { index, offset_delta, timestamp: Timestamp(timestamp), has_key: key >= 0 })
    }

    #[inline(always)]
    fn byte(&mut self) -> Result<u8, BatchError> {
        self.left = self.left.checked_sub(1).ok_or(CUT)?;
        let ahead = self.input.fill_buf().map_err(|error| (self.failed)(&error))?;
        let byte = *ahead.first().ok_or(CUT)?;
        self.input.consume(1);
        Ok(byte)
    }

    #[inline(always)]
    fn varint(&mut self) -> Result<i64, BatchError> {
        // Most numbers of a record are one byte long.
        let ahead = self.input.fill_buf().map_err(|error| (self.failed)(&error))?;
        if let (Some(&byte @ 0..0x80), Some(left)) = (ahead.first(), self.left.checked_sub(1)) {
            self.input.consume(1);
            self.left = left;
            return Ok(varint::unzigzag(u64::from(byte)));
        }
        varint::read_bytes(|| self.byte())
    }

    #[inline(always)]
    fn int(&mut self) -> Result<i32, BatchError> {
        varint::narrow(self.varint()?)
    }

    #[inline(always)]
    fn skip(&mut self, length: u64) -> Result<(), BatchError> {
        self.left = self.left.checked_sub(length).ok_or(CUT)?;
        let mut left = length;
        while left > 0 {
            let ahead = self.input.fill_buf().map_err(|error| (self.failed)(&error))?;
            if ahead.is_empty() {
                return Err(CUT);
            }
            let step = left.min(ahead.len() as u64);
            self.input.consume(step as usize);
            left -= step;
        }
        Ok(())
    }

    /// -1 stands for none.
    #[inline(always)]
    fn skip_nullable(&mut self, length: i32) -> Result<(), BatchError> {
        match u64::try_from(length) {
            Ok(length) => self.skip(length),
            Err(_) if length == -1 => Ok(()),
            Err(_) => Err(BatchError::Corrupt("a field has a negative length")),
        }
    }

    fn skip_headers(&mut self) -> Result<(), BatchError> {
        let count = self.int()?;
        if count < 0 {
            return Err(BatchError::Corrupt("a record has fewer than no headers"));
        }
        for _ in 0..count {
            let key = self.int()?;
            let key = u64::try_from(key);
            self.skip(key.map_err(|_| BatchError::Corrupt("a header has no key"))?)?;
            let value = self.int()?;
            self.skip_nullable(value)?;
        }
        Ok(())
    }
}

impl BatchError {
    /// More would come out of a batch than it may.
    pub fn is_bomb(&self) -> bool {
        matches!(self, Self::Compression(CompressionError::TooLarge { .. }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::batch::{BatchBuilder, check, recompress};

    fn sample(codec: Compression) -> Vec<u8> {
        let mut builder = BatchBuilder::new(codec, Timestamp(1_000));
        builder.append(
            Timestamp(1_000),
            Some(b"k"),
            Some(b"one"),
            &[(b"h", None), (b"i", Some(b"v"))],
        );
        builder.append(Timestamp(900), None, None, &[]);
        builder.append(Timestamp(2_000), Some(b""), Some(&[7; 70_000]), &[]);
        builder.finish_plain().to_vec()
    }

    fn glances(batch: &[u8], max: usize) -> Result<Vec<Glance>, BatchError> {
        let header = check(batch)?;
        let mut seen = Vec::new();
        glance_over(batch, &header, max, |glance| seen.push(glance))?;
        Ok(seen)
    }

    /// Changes the body of an uncompressed batch, and puts the header right again.
    fn altered(count: i32, change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut batch = sample(Compression::None);
        let mut header = check(&batch).unwrap();
        change(&mut batch);
        (header.count, header.last_offset_delta) = (count, count - 1);
        header.batch_length = (batch.len() - 12) as i32;
        header.write(batch.first_chunk_mut().unwrap());
        super::super::renew_crc(&mut batch);
        batch
    }

    #[test]
    fn same_is_seen_through_every_codec() {
        for codec in Compression::ALL {
            let seen = glances(&sample(codec), 1 << 20).unwrap();
            let told: Vec<_> =
                seen.iter().map(|g| (g.index, g.offset_delta, g.timestamp.0, g.has_key)).collect();
            let expected = [(0, 0, 1_000, true), (1, 1, 900, false), (2, 2, 2_000, true)];
            assert_eq!(told, expected, "{codec}");
        }
    }

    #[test]
    fn records_that_are_not_what_the_header_says_are_found() {
        assert!(glances(&altered(3, |_| ()), 0).is_ok(), "no decompression, no limit");
        let fewer = glances(&altered(2, |_| ()), 0).unwrap_err();
        assert_eq!(fewer, BatchError::Corrupt("bytes follow the last record"));
        assert_eq!(glances(&altered(4, |_| ()), 0).unwrap_err(), CUT);
        let cut = altered(3, |batch| batch.truncate(batch.len() - 1));
        assert_eq!(glances(&cut, 0).unwrap_err(), CUT);
        // The first record's length, one more than its fields take.
        let longer = altered(3, |batch| batch[HEADER_LEN] += 2);
        assert!(glances(&longer, 0).is_err());
    }

    #[test]
    fn bomb_is_found_out_without_being_unpacked() {
        for codec in &Compression::ALL[1..] {
            let error = glances(&sample(*codec), 50_000).unwrap_err();
            assert!(error.is_bomb(), "{codec}: {error}");
        }
    }

    #[test]
    fn batch_in_another_codec_has_the_same_records() {
        for from in Compression::ALL {
            for to in Compression::ALL {
                let mut made = b"before".to_vec();
                recompress(&sample(from), (to, 1), 1 << 20, &mut made).unwrap();
                let header = check(&made[6..]).unwrap();
                assert_eq!((header.compression(), header.size()), (to, made.len() - 6));
                let read = |batch: &[u8]| crate::wire::batch::records(batch, 1 << 20).unwrap();
                assert_eq!(read(&made[6..]), read(&sample(from)), "{from} to {to}");
            }
            let refused = recompress(&sample(from), (Compression::None, 0), 100, &mut Vec::new());
            assert_eq!(refused.is_err(), from != Compression::None);
        }
    }
}
