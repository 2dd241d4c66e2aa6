//! Settings for the batches that a log stores: codec, compression level, timestamp type.

use std::ops::RangeInclusive;

use super::{Compression, Kind, Setting};

/// Which clock sets the timestamps of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimestampType {
    /// The producer's, one per record.
    CreateTime,
    /// The leader's, one for the whole batch.
    LogAppendTime,
}

impl Setting for TimestampType {
    const KIND: Kind = Kind::String;

    fn read(text: &str) -> Result<Self, String> {
        match text {
            "CreateTime" => Ok(Self::CreateTime),
            "LogAppendTime" => Ok(Self::LogAppendTime),
            _ => Err("expected `CreateTime` or `LogAppendTime`".into()),
        }
    }

    fn show(&self) -> String {
        match self {
            Self::CreateTime => "CreateTime",
            Self::LogAppendTime => "LogAppendTime",
        }
        .into()
    }
}

/// `compression.type` of a topic. Source: Kafka's `BrokerCompressionType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TopicCompression {
    /// Batches keep the codec of their producer.
    Producer,
    /// Batches with another codec are recompressed.
    Fixed(Compression),
}

impl TopicCompression {
    /// The codec in which a batch that arrived in `source` is stored.
    pub fn target(self, source: Compression) -> Compression {
        match self {
            Self::Producer => source,
            Self::Fixed(codec) => codec,
        }
    }
}

impl Setting for TopicCompression {
    const KIND: Kind = Kind::String;

    fn read(text: &str) -> Result<Self, String> {
        match text {
            "producer" => Ok(Self::Producer),
            "uncompressed" => Ok(Self::Fixed(Compression::None)),
            // A producer's setting has this name; Kafka does not accept it for a topic.
            "none" => Err("expected `uncompressed`".into()),
            codec => Compression::read(codec).map(Self::Fixed).map_err(|_| {
                "expected `producer`, `uncompressed`, `gzip`, `snappy`, `lz4` or `zstd`".into()
            }),
        }
    }

    fn show(&self) -> String {
        match self {
            Self::Producer => "producer".into(),
            Self::Fixed(Compression::None) => "uncompressed".into(),
            Self::Fixed(codec) => codec.show(),
        }
    }
}

/// Compression levels: a larger one gives smaller and slower batches.
macro_rules! levels {
    ($($(#[$doc:meta])* $name:ident = $range:expr, or $other:expr;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $name(pub i32);

        impl Setting for $name {
            const KIND: Kind = Kind::Int;

            fn read(text: &str) -> Result<Self, String> {
                level(text, $range, $other).map(Self)
            }

            fn show(&self) -> String {
                self.0.to_string()
            }
        }
    )*};
}
levels! {
    /// Of gzip. Source of the bounds: `java.util.zip.Deflater`; -1 is its default.
    GzipLevel = 1..=9, or Some(-1);
    /// Of lz4. Source of the bounds: Kafka's `Lz4Compression`.
    Lz4Level = 1..=17, or None;
    /// Of zstd. Source of the bounds: zstd itself.
    ZstdLevel = -131_072..=22, or None;
}

fn level(text: &str, range: RangeInclusive<i32>, other: Option<i32>) -> Result<i32, String> {
    let found = text.parse().ok().filter(|level| range.contains(level) || Some(*level) == other);
    found.ok_or_else(|| {
        let or = other.map_or_else(String::new, |other| format!(", or {other} for the default"));
        format!("expected a level from {} to {}{or}", range.start(), range.end())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topic_keeps_the_producers_codec_unless_it_asks_for_one() {
        let target = |text, source| TopicCompression::read(text).unwrap().target(source);
        assert_eq!(target("producer", Compression::Zstd), Compression::Zstd);
        assert_eq!(target("uncompressed", Compression::Zstd), Compression::None);
        assert_eq!(target("lz4", Compression::Zstd), Compression::Lz4);
        assert_eq!(TopicCompression::read("none").unwrap_err(), "expected `uncompressed`");
        assert!(TopicCompression::read("lzo").is_err());
    }

    #[test]
    fn levels_are_those_that_the_codecs_have() {
        assert_eq!(GzipLevel::read("-1"), Ok(GzipLevel(-1)));
        assert!(GzipLevel::read("0").unwrap_err().ends_with("from 1 to 9, or -1 for the default"));
        assert!(Lz4Level::read("18").is_err() && Lz4Level::read("17").is_ok());
        assert!(ZstdLevel::read("23").is_err() && ZstdLevel::read("-5").is_ok());
    }
}
