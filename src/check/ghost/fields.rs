//! Kafka's flexible encoding, as values of internal topics use it. The ghost's own: it shares no
//! code with the codecs of the controller and the coordinators, whose bytes it reads.

use std::collections::BTreeMap;

use crate::base::BrokerId;

/// Bytes that are not read yet. Every read is `None` where they end early or contradict themselves.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fields<'a>(&'a [u8]);

/// Tagged fields of a structure, by tag.
pub(super) struct Tags<'a>(BTreeMap<u32, &'a [u8]>);

impl<'a> Fields<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn array_of<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    pub fn bool(&mut self) -> Option<bool> {
        Some(self.i8()? != 0)
    }

    pub fn i8(&mut self) -> Option<i8> {
        Some(i8::from_be_bytes(self.array_of()?))
    }

    pub fn i16(&mut self) -> Option<i16> {
        Some(i16::from_be_bytes(self.array_of()?))
    }

    pub fn i32(&mut self) -> Option<i32> {
        Some(i32::from_be_bytes(self.array_of()?))
    }

    pub fn i64(&mut self) -> Option<i64> {
        Some(i64::from_be_bytes(self.array_of()?))
    }

    pub fn uuid(&mut self) -> Option<[u8; 16]> {
        self.array_of()
    }

    /// An unsigned varint of at most 32 bits.
    pub fn varint(&mut self) -> Option<u32> {
        let mut value = 0;
        for shift in [0, 7, 14, 21, 28] {
            let [byte] = self.array_of()?;
            value |= u32::from(byte & 0x7f).checked_shl(shift)?;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    /// A compact length: `Some(None)` is null.
    fn length(&mut self) -> Option<Option<usize>> {
        let length = self.varint()?.checked_sub(1);
        Some(length.and_then(|length| usize::try_from(length).ok()))
    }

    /// A compact string; null is empty.
    pub fn string(&mut self) -> Option<&'a str> {
        let length = self.length()?.unwrap_or(0);
        std::str::from_utf8(self.take(length)?).ok()
    }

    /// A compact array; null is empty.
    pub fn array<T>(&mut self, read: impl Fn(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let length = self.length()?.unwrap_or(0);
        // A wrong length ends where the bytes end.
        (0..length).map(|_| read(self)).collect()
    }

    /// A string with a length of 16 bits, as versions before the flexible ones have it; null is empty.
    pub fn short_string(&mut self) -> Option<&'a str> {
        let length = usize::try_from(self.i16()?.max(0)).ok()?;
        std::str::from_utf8(self.take(length)?).ok()
    }

    /// An array with a length of 32 bits, as versions before the flexible ones have it; null is empty.
    pub fn long_array<T>(&mut self, read: impl Fn(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let length = self.i32()?.max(0);
        // A wrong length ends where the bytes end.
        (0..length).map(|_| read(self)).collect()
    }

    pub fn brokers(&mut self) -> Option<Vec<BrokerId>> {
        self.array(|fields| fields.i32().map(BrokerId))
    }

    /// The tagged fields that end a structure.
    pub fn tags(&mut self) -> Option<Tags<'a>> {
        let mut tags = BTreeMap::new();
        for _ in 0..self.varint()? {
            let (tag, length) = (self.varint()?, self.varint()?);
            tags.insert(tag, self.take(usize::try_from(length).ok()?)?);
        }
        Some(Tags(tags))
    }
}

impl<'a> Tags<'a> {
    /// A field by its tag: `Some(None)` if it is not there.
    pub fn get<T>(
        &self,
        tag: u32,
        read: impl Fn(&mut Fields<'a>) -> Option<T>,
    ) -> Option<Option<T>> {
        let Some(bytes) = self.0.get(&tag) else { return Some(None) };
        let mut fields = Fields::new(bytes);
        let value = read(&mut fields)?;
        fields.is_empty().then_some(Some(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_have_at_most_five_bytes() {
        assert_eq!(Fields::new(&[0xac, 0x02]).varint(), Some(300));
        assert_eq!(Fields::new(&[0xff, 0xff, 0xff, 0xff, 0x0f]).varint(), Some(u32::MAX));
        assert_eq!(Fields::new(&[0x80; 9]).varint(), None);
        assert_eq!(Fields::new(&[0x80]).varint(), None);
    }

    #[test]
    fn wrong_lengths_are_refused_without_a_large_allocation() {
        assert_eq!(Fields::new(&[0xff, 0xff, 0xff, 0xff, 0x0f, 1]).brokers(), None);
        assert_eq!(Fields::new(&[9, b'a']).string(), None);
        assert!(Fields::new(&[1, 0, 5, 1]).tags().is_none());
    }

    #[test]
    fn null_is_empty_and_tags_are_found_by_number() {
        assert_eq!(Fields::new(&[0]).string(), Some(""));
        let tags = Fields::new(&[1, 3, 4, 0, 0, 0, 7]).tags().unwrap();
        assert_eq!(tags.get(3, Fields::i32), Some(Some(7)));
        assert_eq!(tags.get(2, Fields::i32), Some(None));
        assert_eq!(tags.get(3, Fields::i16), None);
    }
}
