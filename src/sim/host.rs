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

/// What the unsynced data of a host that loses power becomes (catalogue: "OS crash, power loss").
#[derive(Clone, Debug, PartialEq)]
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Survival {
    /// Everything unsynced is gone.
    Nothing,
    /// Drawn per file: nothing, a prefix, any subset of dirty pages, a page torn at a sector;
    /// directory operations likewise.
    Drawn,
    /// The same, and renames are torn apart as well: both names may be found, or neither.
    Weakest,
    /// Drawn, within what a journal as ext4's (`data=ordered`) allows: a sync of anything took all
    /// earlier changes of names along, names changed in order, and a file that grew has its bytes.
    Ext4Ordered,
    /// Everything reaches the platter, as if synced.
    Everything,
    /// Exactly this reaches the platter, and nothing else.
    Chosen(Vec<Kept>),
}

/// A part of what is unsynced that survives a power loss.
#[derive(Clone, Debug, PartialEq, Eq)]
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kept {
    /// All changes of names.
    Names,
    /// Bytes of files.
    File {
        /// Those whose paths end like this.
        ending: String,
        /// Which of its unsynced pages, counted from the first (the end is not included); all, with
        /// the size, when absent.
        pages: Option<(u64, u64)>,
    },
}
