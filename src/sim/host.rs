//! The identity of a simulated host, and what a power loss leaves of its unsynced data.

use std::fmt;

/// One host of a simulation, numbered in the order of creation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct HostId(pub u16);

impl fmt::Display for HostId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// The fate of unsynced data on a host that loses power (catalogue: "OS crash, power loss").
#[derive(Clone, Debug, PartialEq)]
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Survival {
    /// All unsynced data is gone.
    Nothing,
    /// Drawn per file: nothing, a prefix, any subset of dirty pages, a page torn at a sector;
    /// directory operations likewise.
    Drawn,
    /// Like `Drawn`, but renames may be torn: both names may be found, or neither.
    Weakest,
    /// Drawn, within the limits of a journal like ext4's (`data=ordered`): a sync of any file
    /// committed all earlier name changes, names changed in order, and a file that grew has its
    /// bytes.
    Ext4Ordered,
    /// Everything reaches the platter, as if synced.
    Everything,
    /// Exactly these parts reach the platter.
    Chosen(Vec<Kept>),
}

/// A part of the unsynced data that survives a power loss.
#[derive(Clone, Debug, PartialEq, Eq)]
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kept {
    /// All name changes.
    Names,
    /// Bytes of files.
    File {
        /// Files whose paths have this suffix.
        ending: String,
        /// Which of its unsynced pages, counted from the first (the end is exclusive); all, with
        /// the size, when absent.
        pages: Option<(u64, u64)>,
    },
}
