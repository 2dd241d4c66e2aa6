//! The fields of records in internal topics, in Kafka's two encodings: flexible, with compact
//! lengths and tagged fields, and the plain one before it, with lengths of a fixed size.

use bytes::{BufMut, Bytes, BytesMut};

use super::messages::{DecodeError, DecodeLimits, Decoder, StrBytes, TaggedFields, Uuid};
use crate::base::{BrokerId, DirectoryId};

/// Most elements of one array. Kafka bounds one operation to 10,000 records; an array is smaller.
const MOST_ELEMENTS: usize = 100_000;
/// Longest record. A partition record with 1,000 replicas has 28 kB; a large group has some MB.
const LONGEST: usize = 128 * 1024 * 1024;
/// The longest string in the plain encoding, in bytes.
pub(crate) const LONGEST_PLAIN_STRING: usize = i16::MAX as usize;

/// Writes fields one after another, in the flexible encoding unless it is [`Writer::plain`]. Tagged
/// fields are kept back until the end.
#[derive(Default)]
pub(crate) struct Writer {
    out: BytesMut,
    tags: Vec<(u32, BytesMut)>,
    is_plain: bool,
    /// A string was longer than its encoding allows.
    is_cut: bool,
}

impl Writer {
    /// A writer of the encoding before tagged fields.
    pub(crate) fn plain() -> Self {
        Self { is_plain: true, ..Self::default() }
    }

    /// Whether a string had to be cut: [`LONGEST_PLAIN_STRING`]. Such a record is not to be written.
    pub(crate) fn is_cut(&self) -> bool {
        self.is_cut
    }

    pub(crate) fn varint(&mut self, mut value: u32) -> &mut Self {
        while value >= 0x80 {
            self.out.put_u8((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.out.put_u8(value as u8);
        self
    }

    /// The length of bytes or of an array. A compact one is one more than the count: 0 means null.
    fn length(&mut self, count: usize) -> &mut Self {
        if self.is_plain {
            return self.i32(i32::try_from(count).unwrap_or(i32::MAX));
        }
        self.varint(u32::try_from(count).map_or(u32::MAX, |count| count.saturating_add(1)))
    }

    pub(crate) fn bool(&mut self, value: bool) -> &mut Self {
        self.i8(i8::from(value))
    }

    pub(crate) fn i8(&mut self, value: i8) -> &mut Self {
        self.out.put_i8(value);
        self
    }

    pub(crate) fn i16(&mut self, value: i16) -> &mut Self {
        self.out.put_i16(value);
        self
    }

    pub(crate) fn u16(&mut self, value: u16) -> &mut Self {
        self.out.put_u16(value);
        self
    }

    pub(crate) fn i32(&mut self, value: i32) -> &mut Self {
        self.out.put_i32(value);
        self
    }

    pub(crate) fn i64(&mut self, value: i64) -> &mut Self {
        self.out.put_i64(value);
        self
    }

    pub(crate) fn uuid(&mut self, value: &[u8; 16]) -> &mut Self {
        self.out.put_slice(value);
        self
    }

    pub(crate) fn string(&mut self, value: &str) -> &mut Self {
        if !self.is_plain {
            self.length(value.len()).out.put_slice(value.as_bytes());
            return self;
        }
        let mut end = value.len().min(LONGEST_PLAIN_STRING);
        while !value.is_char_boundary(end) {
            end -= 1;
        }
        self.is_cut |= end < value.len();
        self.i16(end as i16).out.put_slice(&value.as_bytes()[..end]);
        self
    }

    pub(crate) fn maybe_string(&mut self, value: Option<&str>) -> &mut Self {
        match value {
            Some(value) => self.string(value),
            None if self.is_plain => self.i16(-1),
            None => self.varint(0),
        }
    }

    pub(crate) fn bytes(&mut self, value: &[u8]) -> &mut Self {
        self.length(value.len()).out.put_slice(value);
        self
    }

    pub(crate) fn brokers(&mut self, value: &[BrokerId]) -> &mut Self {
        self.array(value, |w, id| {
            w.i32(id.0);
        })
    }

    pub(crate) fn directories(&mut self, value: &[DirectoryId]) -> &mut Self {
        self.array(value, |w, id| {
            w.uuid(&id.0);
        })
    }

    pub(crate) fn strings(&mut self, value: &[String]) -> &mut Self {
        self.array(value, |w, text| {
            w.string(text);
        })
    }

    pub(crate) fn i32s(&mut self, value: &[i32]) -> &mut Self {
        self.array(value, |w, number| {
            w.i32(*number);
        })
    }

    /// Numbers that may be null. Only as a tagged field, which is always flexible.
    pub(crate) fn maybe_i32s(&mut self, value: Option<&[i32]>) -> &mut Self {
        match value {
            Some(value) => self.i32s(value),
            None => self.varint(0),
        }
    }

    pub(crate) fn array<T>(&mut self, value: &[T], write: impl Fn(&mut Self, &T)) -> &mut Self {
        self.length(value.len());
        for element in value {
            write(self, element);
        }
        self
    }

    /// An array that may be null.
    pub(crate) fn maybe_array<T>(
        &mut self,
        value: Option<&[T]>,
        write: impl Fn(&mut Self, &T),
    ) -> &mut Self {
        match value {
            Some(value) => self.array(value, write),
            None if self.is_plain => self.i32(-1),
            None => self.varint(0),
        }
    }

    /// Adds a tagged field if there is something to say. Call in ascending order of tags.
    pub(crate) fn tag<T>(
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

    /// Ends a structure: its tagged fields follow. The plain encoding has none.
    pub(crate) fn end(&mut self) -> &mut Self {
        if self.is_plain {
            return self;
        }
        let tags = std::mem::take(&mut self.tags);
        self.varint(tags.len() as u32);
        for (tag, field) in tags {
            self.varint(tag).varint(field.len() as u32).out.put_slice(&field);
        }
        self
    }

    pub(crate) fn finish(&mut self) -> Bytes {
        std::mem::take(&mut self.out).freeze()
    }
}

/// Reads fields, in the flexible encoding unless it is [`Reader::plain`]. Every length is checked
/// against what is left before memory is taken.
pub(crate) struct Reader {
    input: Decoder,
    is_plain: bool,
}

pub(crate) type Read<T> = Result<T, DecodeError>;

fn limits() -> DecodeLimits {
    let mut limits = DecodeLimits::default();
    limits.max_frame_bytes = LONGEST;
    limits.max_string_bytes = LONGEST;
    limits.max_bytes_bytes = LONGEST;
    limits.max_array_elements = MOST_ELEMENTS;
    limits
}

impl Reader {
    pub(crate) fn new(bytes: Bytes) -> Read<Self> {
        Ok(Self { input: Decoder::new(bytes, limits())?, is_plain: false })
    }

    /// A reader of the encoding before tagged fields.
    pub(crate) fn plain(bytes: Bytes) -> Read<Self> {
        Ok(Self { is_plain: true, ..Self::new(bytes)? })
    }

    /// What follows is flexible, or not: a record says so by the version it begins with.
    pub(crate) fn flexible(&mut self, flexible: bool) {
        self.is_plain = !flexible;
    }

    pub(crate) fn varint(&mut self) -> Read<u32> {
        self.input.read_unsigned_varint()
    }

    pub(crate) fn bool(&mut self) -> Read<bool> {
        self.input.read_bool()
    }

    pub(crate) fn i8(&mut self) -> Read<i8> {
        self.input.read_i8()
    }

    pub(crate) fn i16(&mut self) -> Read<i16> {
        self.input.read_i16()
    }

    pub(crate) fn u16(&mut self) -> Read<u16> {
        Ok(u16::from_be_bytes(self.input.read_i16()?.to_be_bytes()))
    }

    pub(crate) fn i32(&mut self) -> Read<i32> {
        self.input.read_i32()
    }

    pub(crate) fn i64(&mut self) -> Read<i64> {
        self.input.read_i64()
    }

    pub(crate) fn uuid(&mut self) -> Read<Uuid> {
        self.input.read_uuid()
    }

    fn directory(&mut self) -> Read<DirectoryId> {
        self.uuid().map(DirectoryId::from)
    }

    pub(crate) fn string(&mut self) -> Read<String> {
        let read = match self.is_plain {
            true => self.input.read_string()?,
            false => self.input.read_compact_string()?,
        };
        Ok(read.into_string())
    }

    pub(crate) fn maybe_string(&mut self) -> Read<Option<String>> {
        let read = match self.is_plain {
            true => self.input.read_nullable_string()?,
            false => self.input.read_compact_nullable_string()?,
        };
        Ok(read.map(StrBytes::into_string))
    }

    /// A copy: a slice would keep the whole batch in memory.
    pub(crate) fn bytes(&mut self) -> Read<Bytes> {
        let read = match self.is_plain {
            true => self.input.read_bytes()?,
            false => self.input.read_compact_bytes()?,
        };
        Ok(Bytes::copy_from_slice(&read))
    }

    pub(crate) fn brokers(&mut self) -> Read<Vec<BrokerId>> {
        self.array(|r| Ok(BrokerId(r.i32()?)))
    }

    /// A nullable array: null and empty are one here.
    pub(crate) fn maybe_brokers(&mut self) -> Read<Option<Vec<BrokerId>>> {
        self.maybe_array(|r| Ok(BrokerId(r.i32()?)))
    }

    pub(crate) fn directories(&mut self) -> Read<Vec<DirectoryId>> {
        self.array(Self::directory)
    }

    pub(crate) fn maybe_directories(&mut self) -> Read<Option<Vec<DirectoryId>>> {
        self.maybe_array(Self::directory)
    }

    pub(crate) fn array<T>(&mut self, read: impl Fn(&mut Self) -> Read<T>) -> Read<Vec<T>> {
        let count = match self.is_plain {
            true => self.input.read_array_len()?,
            false => self.input.read_compact_array_len()?,
        };
        self.elements(count.get(), read)
    }

    /// An array that may be null.
    pub(crate) fn maybe_array<T>(
        &mut self,
        read: impl Fn(&mut Self) -> Read<T>,
    ) -> Read<Option<Vec<T>>> {
        let count = match self.is_plain {
            true => self.input.read_nullable_array_len()?,
            false => self.input.read_compact_nullable_array_len()?,
        };
        match count {
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
    pub(crate) fn end(&mut self) -> Read<Tags> {
        if self.is_plain {
            return Ok(Tags(TaggedFields::default()));
        }
        Ok(Tags(self.input.read_tagged_fields()?))
    }

    pub(crate) fn finish(self) -> Read<()> {
        self.input.finish()
    }
}

/// The tagged fields of a structure.
pub(crate) struct Tags(TaggedFields);

impl Tags {
    /// Reads one, if it is there.
    pub(crate) fn get<T>(
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
