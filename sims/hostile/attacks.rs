//! Hostile requests from a seed: an attack depends only on its number, so that a harmful one can be
//! repeated alone.

use std::fmt;
use std::sync::LazyLock;

use brokerquake::base::config::Compression;
use brokerquake::base::{ProducerEpoch, ProducerId, Seed, Stream, Timestamp};
use brokerquake::broker::{ListenerType, served};
use brokerquake::wire::api::{Api, key};
use brokerquake::wire::batch::{self, BatchBuilder, HEADER_LEN};
use bytes::Bytes;
use rand::RngExt;
use rand_chacha::ChaCha12Rng;

use super::samples::{self, Sane, Target, Values};

/// How a request is made hostile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Random bytes.
    Noise,
    /// A valid length, followed by random bytes.
    FramedNoise,
    /// A valid header with random bytes as body.
    NoiseForBody,
    /// It ends before the length in the frame.
    CutShort,
    /// It is truncated, and its length is adjusted.
    Shortened,
    /// A few bits are flipped.
    BitsFlipped,
    /// A few bytes are replaced by boundary values of lengths and counts.
    BoundaryBytes,
    /// The length is negative.
    NegativeLength,
    /// The length is larger than any broker accepts.
    HugeLength,
    /// The length is that of another frame.
    WrongLength,
    /// Extra bytes after the body: ignored, as in Kafka.
    Trailing,
    /// The body of another request.
    Crossed,
    /// An unknown API key.
    UnknownApi,
    /// An unknown version.
    UnknownVersion,
    /// An unknown version of ApiVersions: the only refusal that must be answered.
    UnknownApiVersions,
    /// A request for the other kind of listener.
    WrongListener,
    /// Well-formed, with extreme values in its fields.
    Extreme,
    /// A Produce request with a corrupt or inconsistent batch.
    BadBatch,
    /// A valid request.
    Sane,
}

impl Kind {
    /// All hostile kinds.
    pub const ALL: [Self; 18] = [
        Self::Noise,
        Self::FramedNoise,
        Self::NoiseForBody,
        Self::CutShort,
        Self::Shortened,
        Self::BitsFlipped,
        Self::BoundaryBytes,
        Self::NegativeLength,
        Self::HugeLength,
        Self::WrongLength,
        Self::Trailing,
        Self::Crossed,
        Self::UnknownApi,
        Self::UnknownVersion,
        Self::UnknownApiVersions,
        Self::WrongListener,
        Self::Extreme,
        Self::BadBatch,
    ];
}

/// The required reaction of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Close the connection without an answer.
    Closed,
    /// Answer ApiVersions with error 35 in version 0.
    Refused,
    /// Answer.
    Answered,
    /// Answer, close or wait, but stay alive.
    Anything,
}

/// The bytes of one attack, for a connection of its own.
#[derive(Clone, Debug)]
pub struct Attack {
    pub seed: Seed,
    pub number: u64,
    pub kind: Kind,
    /// The API and version, if it is based on a request.
    pub of: Option<(&'static str, i16)>,
    /// The bytes, including the length.
    pub bytes: Vec<u8>,
    /// The required reaction to these bytes and the end of the stream.
    pub expected: Expected,
}

impl fmt::Display for Attack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "attack {} of seed {}: {:?}", self.number, self.seed, self.kind)?;
        if let Some((name, version)) = self.of {
            write!(f, " on {name} v{version}")?;
        }
        write!(f, ", {} bytes", self.bytes.len())
    }
}

/// Every API that is served on any listener, by key.
pub fn everything() -> Vec<&'static Api> {
    let mut all = [served(ListenerType::Broker), served(ListenerType::Controller)].concat();
    all.sort_unstable_by_key(|api| api.key);
    all.dedup();
    all
}

fn produce() -> &'static Api {
    let produce = served(ListenerType::Broker).into_iter().find(|api| api.key == key::PRODUCE);
    produce.expect("brokers serve Produce")
}

/// Attack `number` of a seed on a listener.
pub fn attack(seed: Seed, number: u64, listener: ListenerType, target: &Target) -> Attack {
    let mut rng = seed.stream(Stream::numbered("hostile", number));
    let kind = pick(&mut rng, &Kind::ALL);
    let api = match kind {
        Kind::BadBatch => produce(),
        _ => pick(&mut rng, &served(listener)),
    };
    let version = rng.random_range(api.min..=api.max);
    let mut maker = Maker { rng, listener, target, api, version };
    let (bytes, expected) = maker.make(kind);
    let began_as_request = !matches!(kind, Kind::Noise | Kind::FramedNoise | Kind::UnknownApi);
    let of = began_as_request.then_some((maker.api.name, maker.version));
    Attack { seed, number, kind, of, bytes, expected }
}

/// Valid requests of every kind and version that a listener serves.
pub fn sane_requests(listener: ListenerType, target: &Target) -> Vec<Attack> {
    let versions = served(listener)
        .into_iter()
        .flat_map(|api| (api.min..=api.max).map(move |version| (api, version)));
    let request = |(api, version): (&'static Api, i16)| {
        let seed = Seed(0);
        let rng = seed.stream(Stream::named("sane"));
        let bytes = framed(&Maker { rng, listener, target, api, version }.sane());
        let (kind, of, expected) = (Kind::Sane, Some((api.name, version)), Expected::Answered);
        Attack { seed, number: 0, kind, of, bytes, expected }
    };
    versions.map(request).collect()
}

struct Maker<'a> {
    rng: ChaCha12Rng,
    listener: ListenerType,
    target: &'a Target,
    api: &'static Api,
    version: i16,
}

impl Maker<'_> {
    fn make(&mut self, kind: Kind) -> (Vec<u8>, Expected) {
        match kind {
            Kind::Noise => (self.noise(600), Expected::Anything),
            Kind::FramedNoise => (framed(&self.noise(600)), Expected::Anything),
            Kind::NoiseForBody => {
                let header = self.header_len();
                let mut frame = self.sane();
                frame.truncate(header);
                frame.extend(self.noise(400));
                (framed(&frame), Expected::Anything)
            }
            Kind::CutShort => {
                let mut bytes = framed(&self.sane());
                let cut = self.rng.random_range(1..bytes.len());
                bytes.truncate(cut);
                (bytes, Expected::Closed)
            }
            Kind::Shortened => {
                let mut frame = self.sane();
                let cut = self.rng.random_range(0..frame.len());
                frame.truncate(cut);
                (framed(&frame), Expected::Closed)
            }
            Kind::BitsFlipped => (framed(&self.flipped()), Expected::Anything),
            Kind::BoundaryBytes => (framed(&self.bounded()), Expected::Anything),
            Kind::NegativeLength => {
                let length = pick(&mut self.rng, &[-1, -4, i32::MIN]);
                (with_length(length, &self.sane()), Expected::Closed)
            }
            Kind::HugeLength => {
                let length = pick(&mut self.rng, &[0x4000_0000, i32::MAX, 0x1603_0100]);
                (with_length(length, &self.sane()), Expected::Closed)
            }
            Kind::WrongLength => {
                let frame = self.sane();
                let length = self.rng.random_range(0..frame.len() as i32 * 2);
                (with_length(length, &frame), Expected::Anything)
            }
            Kind::Trailing => {
                let mut frame = self.sane();
                frame.push(0);
                frame.extend(self.noise(20));
                (framed(&frame), Expected::Answered)
            }
            Kind::Crossed => (framed(&self.crossed()), Expected::Anything),
            Kind::UnknownApi => {
                let key = pick(&mut self.rng, &[-1, 4, 5, 6, 7, 999, i16::MAX, i16::MIN]);
                (framed(&renamed(self.sane(), key, 0)), Expected::Closed)
            }
            Kind::UnknownVersion => self.unknown_version(),
            Kind::UnknownApiVersions => {
                let version = pick(&mut self.rng, &[-1, 99, i16::MAX, i16::MIN]);
                let frame = renamed(self.sane(), key::API_VERSIONS, version);
                (framed(&frame), Expected::Refused)
            }
            Kind::WrongListener => self.wrong_listener(),
            Kind::Extreme => (framed(&self.extreme()), Expected::Anything),
            Kind::BadBatch => (framed(&self.bad_batch()), Expected::Anything),
            Kind::Sane => (framed(&self.sane()), Expected::Answered),
        }
    }

    /// A valid request.
    fn sane(&mut self) -> Vec<u8> {
        let frame = samples::request(self.api.key, self.version, self.target, &mut Sane);
        frame.unwrap_or_else(|| panic!("no sample of {:?} v{}", self.api, self.version)).to_vec()
    }

    /// Bytes of `sane` before its body, without the tags of the header.
    fn header_len(&self) -> usize {
        2 + 2 + 4 + 2 + "sample".len()
    }

    fn noise(&mut self, most: usize) -> Vec<u8> {
        let len = self.rng.random_range(0..most);
        (0..len).map(|_| self.rng.random()).collect()
    }

    fn flipped(&mut self) -> Vec<u8> {
        let mut frame = self.sane();
        for _ in 0..self.rng.random_range(1..8) {
            let bit = self.rng.random_range(0..frame.len() * 8);
            frame[bit / 8] ^= 1 << (bit % 8);
        }
        frame
    }

    fn bounded(&mut self) -> Vec<u8> {
        const FEARED: [&[u8]; 8] = [
            &[0xff; 4],
            &[0xff, 0xff, 0xff, 0xff, 0x0f],
            &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
            &[0x7f, 0xff, 0xff, 0xff],
            &[0x80, 0, 0, 0],
            &[0; 8],
            &[0x7f, 0xff],
            &[0x80],
        ];
        let mut frame = self.sane();
        for _ in 0..self.rng.random_range(1..3) {
            let feared = pick(&mut self.rng, &FEARED);
            // After the key and version, which other attacks change.
            let at = self.rng.random_range(4..frame.len());
            let end = frame.len().min(at + feared.len());
            frame[at..end].copy_from_slice(&feared[..end - at]);
        }
        frame
    }

    fn crossed(&mut self) -> Vec<u8> {
        let header = self.header_len();
        let mut frame = self.sane();
        let other = pick(&mut self.rng, &everything());
        let version = self.rng.random_range(other.min..=other.max);
        let body = samples::request(other.key, version, self.target, &mut Sane).unwrap_or_default();
        frame.truncate(header);
        frame.extend_from_slice(&body[header..]);
        frame
    }

    fn unknown_version(&mut self) -> (Vec<u8>, Expected) {
        let beyond = [self.api.max + 1, self.api.min - 1, i16::MAX, i16::MIN];
        self.version = pick(&mut self.rng, &beyond);
        let frame = samples::request(self.api.key, self.api.max, self.target, &mut Sane);
        let frame = renamed(frame.unwrap_or_default().to_vec(), self.api.key, self.version);
        let is_question = self.api.key == key::API_VERSIONS;
        (framed(&frame), if is_question { Expected::Refused } else { Expected::Closed })
    }

    fn wrong_listener(&mut self) -> (Vec<u8>, Expected) {
        let here = served(self.listener);
        let elsewhere: Vec<_> =
            everything().into_iter().filter(|api| !here.contains(api)).collect();
        self.api = pick(&mut self.rng, &elsewhere);
        self.version = self.rng.random_range(self.api.min..=self.api.max);
        (framed(&self.sane()), Expected::Closed)
    }

    fn extreme(&mut self) -> Vec<u8> {
        for _ in 0..10 {
            let mut values = Extreme(&mut self.rng);
            let frame = samples::request(self.api.key, self.version, self.target, &mut values);
            if let Some(frame) = frame {
                return frame.to_vec();
            }
        }
        self.sane()
    }

    fn bad_batch(&mut self) -> Vec<u8> {
        let mut values = BadBatches(&mut self.rng);
        let frame = samples::request(key::PRODUCE, self.version, self.target, &mut values);
        frame.unwrap_or_default().to_vec()
    }
}

fn pick<T: Copy>(rng: &mut ChaCha12Rng, from: &[T]) -> T {
    from[rng.random_range(0..from.len())]
}

fn framed(frame: &[u8]) -> Vec<u8> {
    with_length(frame.len() as i32, frame)
}

fn with_length(length: i32, frame: &[u8]) -> Vec<u8> {
    [&length.to_be_bytes(), frame].concat()
}

/// The same request with another key and version.
fn renamed(mut frame: Vec<u8>, key: i16, version: i16) -> Vec<u8> {
    frame[..2].copy_from_slice(&key.to_be_bytes());
    frame[2..4].copy_from_slice(&version.to_be_bytes());
    frame
}

/// Mostly values at the ends of their ranges.
struct Extreme<'a>(&'a mut ChaCha12Rng);

impl Values for Extreme<'_> {
    fn number(&mut self, sane: i64) -> i64 {
        const ENDS: [i64; 14] = [
            0,
            -1,
            -2,
            -5,
            1 << 16,
            i8::MAX as i64,
            i8::MIN as i64,
            i16::MAX as i64,
            i16::MIN as i64,
            i32::MAX as i64,
            i32::MIN as i64,
            i64::MAX,
            i64::MIN,
            i64::MAX - 1,
        ];
        if self.0.random_bool(0.5) { sane } else { pick(self.0, &ENDS) }
    }

    fn text(&mut self, sane: &str) -> String {
        match self.0.random_range(0..14) {
            0 => String::new(),
            1 => "x".repeat(250),
            2 => "x".repeat(30_000),
            3 => "..".into(),
            4 => "../../etc/passwd".into(),
            5 => "a\0b".into(),
            6 => "\u{1f4a5}\u{202e}".into(),
            7 => "__cluster_metadata".into(),
            _ => sane.into(),
        }
    }

    fn count(&mut self, sane: usize) -> usize {
        match self.0.random_range(0..10) {
            0 => 0,
            1 => 40,
            _ => sane,
        }
    }

    fn records(&mut self, sane: Bytes) -> Option<Bytes> {
        BadBatches(self.0).records(sane)
    }
}

/// Valid except for the batches.
struct BadBatches<'a>(&'a mut ChaCha12Rng);

impl Values for BadBatches<'_> {
    fn records(&mut self, sane: Bytes) -> Option<Bytes> {
        let rng = &mut *self.0;
        let mut bytes = sane.to_vec();
        match rng.random_range(0..12) {
            0 => return None,
            1 => return Some(Bytes::new()),
            // With a wrong checksum.
            2 => {
                let at = rng.random_range(0..bytes.len());
                bytes[at] ^= 1 << rng.random_range(0..8);
            }
            3 => bytes.truncate(rng.random_range(0..sane.len())),
            4 => bytes.extend_from_slice(&sane[..rng.random_range(1..sane.len())]),
            5 => bytes.extend_from_slice(&sane),
            // Past and future formats.
            6 => bytes[16] = pick(rng, &[0, 1, 3, 0xff]),
            // Wrong fields with a valid checksum.
            7 => {
                let at = rng.random_range(21..HEADER_LEN);
                bytes[at] = rng.random();
                reseal(&mut bytes);
            }
            8 => {
                let end = rng.random_range(HEADER_LEN..bytes.len());
                bytes[end..].fill(0xff);
                reseal(&mut bytes);
            }
            9 => return Some(bomb(rng)),
            10 => return Some(marker()),
            _ => return Some(numbered(rng)),
        }
        Some(bytes.into())
    }
}

/// Makes the checksum valid again.
fn reseal(batch: &mut [u8]) {
    let crc = crc32c::crc32c(&batch[21..]);
    batch[17..21].copy_from_slice(&crc.to_be_bytes());
}

/// A few bytes that decompress to sixteen mebibytes; created once, because that takes a while.
fn bomb(rng: &mut ChaCha12Rng) -> Bytes {
    static BOMBS: LazyLock<Vec<Bytes>> = LazyLock::new(|| {
        let zeros = vec![0; 16 << 20];
        let bombs = Compression::ALL[1..].iter().map(|codec| {
            let mut bomb = BatchBuilder::new(*codec, Timestamp(0));
            bomb.append(Timestamp(0), None, Some(&zeros), &[]);
            bomb.finish_plain()
        });
        bombs.collect()
    });
    BOMBS[rng.random_range(0..BOMBS.len())].clone()
}

/// A batch of markers, which only coordinators may write.
fn marker() -> Bytes {
    let mut marker = BatchBuilder::new(Compression::None, Timestamp(0)).control();
    marker.append(Timestamp(0), Some(&[0, 0, 0, 1]), Some(&[0; 6]), &[]);
    marker.finish_plain()
}

/// A batch of an idempotent producer with an unassigned producer id.
fn numbered(rng: &mut ChaCha12Rng) -> Bytes {
    let mut batch = BatchBuilder::new(Compression::None, Timestamp(i64::MIN));
    for _ in 0..rng.random_range(1..4) {
        batch.append(Timestamp(pick(rng, &[0, i64::MAX, i64::MIN, -1])), None, None, &[]);
    }
    let id = ProducerId(pick(rng, &[-2, 0, 1, i64::MAX, i64::MIN]));
    let epoch = ProducerEpoch(pick(rng, &[-2, -1, 0, i16::MAX]));
    let mut bytes = batch.finish(id, epoch, pick(rng, &[-2, -1, 0, 5, i32::MAX])).to_vec();
    if rng.random_bool(0.5) {
        batch::assign(
            &mut bytes,
            brokerquake::base::Offset(pick(rng, &[-1, 7, i64::MAX])),
            brokerquake::base::LeaderEpoch(pick(rng, &[-5, 7, i32::MAX])),
        );
    }
    bytes.into()
}
