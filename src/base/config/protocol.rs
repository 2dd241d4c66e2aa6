//! The two protocols by which a consumer can be a member of a group.

use super::{Kind, Setting};

/// How a consumer is a member of its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupProtocol {
    /// Members join and sync; one of them assigns.
    Classic,
    /// Members heartbeat; the coordinator assigns (KIP-848).
    Consumer,
}

impl Setting for GroupProtocol {
    const KIND: Kind = Kind::String;

    fn read(text: &str) -> Result<Self, String> {
        match text {
            _ if text.eq_ignore_ascii_case("classic") => Ok(Self::Classic),
            _ if text.eq_ignore_ascii_case("consumer") => Ok(Self::Consumer),
            _ => Err("expected `classic` or `consumer`".into()),
        }
    }

    fn show(&self) -> String {
        match self {
            Self::Classic => "classic",
            Self::Consumer => "consumer",
        }
        .into()
    }
}
