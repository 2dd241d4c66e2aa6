//! Zigzag varints, as records have them.

use super::BatchError;

const TOO_LONG: BatchError = BatchError::Corrupt("a varint does not end");
const CUT: BatchError = BatchError::Corrupt("a record is cut");

/// Appends a signed varint; 32-bit ones have the same form.
pub(super) fn write(out: &mut Vec<u8>, value: i64) {
    let mut rest = zigzag(value);
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// Bytes that [`write()`] appends.
pub(super) fn len(value: i64) -> usize {
    let bits = 64 - (zigzag(value) | 1).leading_zeros() as usize;
    bits.div_ceil(7)
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

pub(super) fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

/// Reads a signed varint at `at`, and moves behind it.
pub(super) fn read_long(bytes: &[u8], at: &mut usize) -> Result<i64, BatchError> {
    read_bytes(|| {
        let byte = *bytes.get(*at).ok_or(CUT)?;
        *at += 1;
        Ok(byte)
    })
}

/// Reads a signed varint from wherever its bytes come.
pub(super) fn read_bytes(
    mut next: impl FnMut() -> Result<u8, BatchError>,
) -> Result<i64, BatchError> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let byte = next()?;
        let bits = u64::from(byte & 0x7f);
        if shift == 63 && bits > 1 {
            return Err(TOO_LONG);
        }
        value |= bits << shift;
        if byte & 0x80 == 0 {
            return Ok(unzigzag(value));
        }
    }
    Err(TOO_LONG)
}

/// Reads a signed varint of at most 32 bits at `at`, and moves behind it.
pub(super) fn read_int(bytes: &[u8], at: &mut usize) -> Result<i32, BatchError> {
    narrow(read_long(bytes, at)?)
}

/// A number that must be one of 32 bits.
pub(super) fn narrow(value: i64) -> Result<i32, BatchError> {
    i32::try_from(value).map_err(|_| TOO_LONG)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_round_trip_with_the_predicted_length() {
        for value in [0, -1, 1, 63, -64, 64, 300, i64::from(i32::MAX), i64::MIN, i64::MAX] {
            let mut out = Vec::new();
            write(&mut out, value);
            assert_eq!(out.len(), len(value), "{value}");
            let mut at = 0;
            assert_eq!(read_long(&out, &mut at), Ok(value));
            assert_eq!(at, out.len());
        }
    }

    #[test]
    fn number_that_does_not_end_or_does_not_fit_is_refused() {
        assert!(read_long(&[0x80; 12], &mut 0).is_err());
        assert!(read_long(&[0x80; 3], &mut 0).is_err());
        let mut out = Vec::new();
        write(&mut out, i64::from(i32::MAX) + 1);
        assert!(read_int(&out, &mut 0).is_err());
    }
}
