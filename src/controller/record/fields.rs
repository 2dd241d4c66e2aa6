//! Kafka's flexible encoding, as far as metadata records need it: compact lengths, tagged fields.

use bytes::{BufMut, Bytes, BytesMut};

use crate::base::{BrokerId, DirectoryId};
use crate::wire::messages::{DecodeError, DecodeLimits, Decoder, TaggedFields, Uuid};

/// Most elements of one array. Kafka bounds one operation to 10,000 records; an array is smaller.
const MOST_ELEMENTS: usize = 100_000;
/// Longest record. A partition record with 1,000 replicas has 28 kB.
const LONGEST: usize = 8 * 1024 * 1024;

/// Writes fields one after another; tagged ones are kept back until the end.
#[derive(Default)]
pub(super) struct Writer {
    out: BytesMut,
    tags: Vec<(u32, BytesMut)>,
}

impl Writer {
    pub(super) fn varint(&mut self, mut value: u32) -> &mut Self {
        while value >= 0x80 {
            self.out.put_u8((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.out.put_u8(value as u8);
        self
    }

    /// A compact length: one more than the count, for 0 means null.
    fn length(&mut self, count: usize) -> &mut Self {
        self.varint(u32::try_from(count).map_or(u32::MAX, |count| count.saturating_add(1)))
    }

    pub(super) fn bool(&mut self, value: bool) -> &mut Self {
        self.i8(i8::from(value))
    }

    pub(super) fn i8(&mut self, value: i8) -> &mut Self {
        self.out.put_i8(value);
        self
    }

    pub(super) fn i16(&mut self, value: i16) -> &mut Self {
        self.out.put_i16(value);
        self
    }

    pub(super) fn u16(&mut self, value: u16) -> &mut Self {
        self.out.put_u16(value);
        self
    }

    pub(super) fn i32(&mut self, value: i32) -> &mut Self {
        self.out.put_i32(value);
        self
    }

    pub(super) fn i64(&mut self, value: i64) -> &mut Self {
        self.out.put_i64(value);
        self
    }

    pub(super) fn uuid(&mut self, value: &[u8; 16]) -> &mut Self {
        self.out.put_slice(value);
        self
    }

    pub(super) fn string(&mut self, value: &str) -> &mut Self {
        self.length(value.len()).out.put_slice(value.as_bytes());
        self
    }

    pub(super) fn maybe_string(&mut self, value: Option<&str>) -> &mut Self {
        match value {
            Some(value) => self.string(value),
            None => self.varint(0),
        }
    }

    pub(super) fn brokers(&mut self, value: &[BrokerId]) -> &mut Self {
        self.array(value, |w, id| {
            w.i32(id.0);
        })
    }

    pub(super) fn directories(&mut self, value: &[DirectoryId]) -> &mut Self {
        self.array(value, |w, id| {
            w.uuid(&id.0);
        })
    }

    pub(super) fn array<T>(&mut self, value: &[T], write: impl Fn(&mut Self, &T)) -> &mut Self {
        self.length(value.len());
        for element in value {
            write(self, element);
        }
        self
    }

    /// Adds a tagged field if there is something to say. Call in ascending order of tags.
    pub(super) fn tag<T>(
        &mut self,
        tag: u32,
        value: Option<T>,
        write: impl Fn(&mut Self, T) -> &mut Self,
    ) -> &mut Self {
        if let Some(value) = value {
            let mut field = Self::default();
            write(&mut field, value);
            self.tags.push((tag, field.out));
        }
        self
    }

    /// Ends a structure: its tagged fields follow.
    pub(super) fn end(&mut self) -> &mut Self {
        let tags = std::mem::take(&mut self.tags);
        self.varint(tags.len() as u32);
        for (tag, field) in tags {
            self.varint(tag).varint(field.len() as u32).out.put_slice(&field);
        }
        self
    }

    pub(super) fn finish(&mut self) -> Bytes {
        std::mem::take(&mut self.out).freeze()
    }
}

/// Reads fields; every length is checked against what is left before memory is taken.
pub(super) struct Reader {
    input: Decoder,
}

pub(super) type Read<T> = Result<T, DecodeError>;

fn limits() -> DecodeLimits {
    let mut limits = DecodeLimits::default();
    limits.max_frame_bytes = LONGEST;
    limits.max_string_bytes = LONGEST;
    limits.max_array_elements = MOST_ELEMENTS;
    limits
}

impl Reader {
    pub(super) fn new(bytes: Bytes) -> Read<Self> {
        Ok(Self { input: Decoder::new(bytes, limits())? })
    }

    pub(super) fn varint(&mut self) -> Read<u32> {
        self.input.read_unsigned_varint()
    }

    pub(super) fn bool(&mut self) -> Read<bool> {
        self.input.read_bool()
    }

    pub(super) fn i8(&mut self) -> Read<i8> {
        self.input.read_i8()
    }

    pub(super) fn i16(&mut self) -> Read<i16> {
        self.input.read_i16()
    }

    pub(super) fn u16(&mut self) -> Read<u16> {
        Ok(u16::from_be_bytes(self.input.read_i16()?.to_be_bytes()))
    }

    pub(super) fn i32(&mut self) -> Read<i32> {
        self.input.read_i32()
    }

    pub(super) fn i64(&mut self) -> Read<i64> {
        self.input.read_i64()
    }

    pub(super) fn uuid(&mut self) -> Read<Uuid> {
        self.input.read_uuid()
    }

    fn directory(&mut self) -> Read<DirectoryId> {
        self.uuid().map(DirectoryId::from)
    }

    pub(super) fn string(&mut self) -> Read<String> {
        Ok(self.input.read_compact_string()?.into_string())
    }

    pub(super) fn maybe_string(&mut self) -> Read<Option<String>> {
        let read = self.input.read_compact_nullable_string()?;
        Ok(read.map(crate::wire::messages::StrBytes::into_string))
    }

    pub(super) fn brokers(&mut self) -> Read<Vec<BrokerId>> {
        self.array(|r| Ok(BrokerId(r.i32()?)))
    }

    /// A nullable array: null and empty are one here.
    pub(super) fn maybe_brokers(&mut self) -> Read<Option<Vec<BrokerId>>> {
        self.maybe_array(|r| Ok(BrokerId(r.i32()?)))
    }

    pub(super) fn directories(&mut self) -> Read<Vec<DirectoryId>> {
        self.array(Self::directory)
    }

    pub(super) fn maybe_directories(&mut self) -> Read<Option<Vec<DirectoryId>>> {
        self.maybe_array(Self::directory)
    }

    pub(super) fn array<T>(&mut self, read: impl Fn(&mut Self) -> Read<T>) -> Read<Vec<T>> {
        let count = self.input.read_compact_array_len()?.get();
        self.elements(count, read)
    }

    fn maybe_array<T>(&mut self, read: impl Fn(&mut Self) -> Read<T>) -> Read<Option<Vec<T>>> {
        match self.input.read_compact_nullable_array_len()? {
            Some(count) => self.elements(count.get(), read).map(Some),
            None => Ok(None),
        }
    }

    /// Memory grows with what was really read, not with what was announced.
    fn elements<T>(&mut self, count: usize, read: impl Fn(&mut Self) -> Read<T>) -> Read<Vec<T>> {
        let mut elements = Vec::new();
        for _ in 0..count {
            elements.push(read(self)?);
        }
        Ok(elements)
    }

    /// Ends a structure: its tagged fields, of which unknown ones are skipped.
    pub(super) fn end(&mut self) -> Read<Tags> {
        Ok(Tags(self.input.read_tagged_fields()?))
    }

    pub(super) fn finish(self) -> Read<()> {
        self.input.finish()
    }
}

/// The tagged fields of a structure.
pub(super) struct Tags(TaggedFields);

impl Tags {
    /// Reads one, if it is there.
    pub(super) fn get<T>(
        &self,
        tag: u32,
        read: impl Fn(&mut Reader) -> Read<T>,
    ) -> Read<Option<T>> {
        let Some(field) = self.0.iter().find(|field| field.tag() == tag) else { return Ok(None) };
        let mut reader = Reader::new(field.data().clone())?;
        let value = read(&mut reader)?;
        reader.finish()?;
        Ok(Some(value))
    }
}
