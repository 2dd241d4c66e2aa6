//! What files of a partition are called.

use std::path::{Path, PathBuf};

use crate::base::Offset;

/// The history of leader epochs.
pub(crate) const EPOCHS: &str = "leader-epoch-checkpoint";
/// Which creation of its topic a partition belongs to.
pub(crate) const PARTITION_METADATA: &str = "partition.metadata";

/// Behind the name of a file that was taken out of the log, until it is removed.
pub(crate) const DELETED: &str = ".deleted";
/// Behind the name of a file of a cleaned segment, while it is written.
pub(crate) const CLEANED: &str = ".cleaned";
/// Behind the name of a file of a cleaned segment, from when it is whole until it has its place.
pub(crate) const SWAP: &str = ".swap";

/// What a file in a partition's directory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Record batches.
    Log(Offset),
    /// From offsets to positions.
    Index(Offset),
    /// From timestamps to offsets.
    TimeIndex(Offset),
    /// Aborted transactions.
    TransactionIndex(Offset),
    /// State of idempotent producers before this offset.
    Snapshot(Offset),
    /// Of a cleaned segment that is about to replace others: see [`unswapped`].
    Swap,
    /// A leftover: unfinished, or no longer needed.
    Temporary,
    /// Nothing of a log's.
    Other,
}

pub(crate) fn kind(name: &str) -> Kind {
    let Some((stem, extension)) = name.rsplit_once('.') else { return Kind::Other };
    if matches!(extension, "tmp" | "deleted" | "cleaned") {
        return Kind::Temporary;
    }
    if extension == "swap" {
        return Kind::Swap;
    }
    let digits = stem.len() == 20 && stem.bytes().all(|byte| byte.is_ascii_digit());
    let Some(base) = stem.parse().ok().filter(|_| digits).map(Offset) else { return Kind::Other };
    match extension {
        "log" => Kind::Log(base),
        "index" => Kind::Index(base),
        "timeindex" => Kind::TimeIndex(base),
        "txnindex" => Kind::TransactionIndex(base),
        "snapshot" => Kind::Snapshot(base),
        _ => Kind::Other,
    }
}

/// The name that a file with [`SWAP`] is about to get.
pub(crate) fn unswapped(name: &str) -> Option<&str> {
    name.strip_suffix(SWAP)
}

/// A path with more behind it: `x.log` and `.deleted` give `x.log.deleted`.
pub(crate) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut whole = path.as_os_str().to_owned();
    whole.push(suffix);
    PathBuf::from(whole)
}

fn named(dir: &Path, base: Offset, extension: &str) -> PathBuf {
    dir.join(format!("{:020}.{extension}", base.0))
}

pub(crate) fn log(dir: &Path, base: Offset) -> PathBuf {
    named(dir, base, "log")
}

pub(crate) fn index(dir: &Path, base: Offset) -> PathBuf {
    named(dir, base, "index")
}

pub(crate) fn time_index(dir: &Path, base: Offset) -> PathBuf {
    named(dir, base, "timeindex")
}

pub(crate) fn transaction_index(dir: &Path, base: Offset) -> PathBuf {
    named(dir, base, "txnindex")
}

pub(crate) fn snapshot(dir: &Path, offset: Offset) -> PathBuf {
    named(dir, offset, "snapshot")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_says_what_the_file_is() {
        assert_eq!(kind("00000000000000000042.log"), Kind::Log(Offset(42)));
        assert_eq!(kind("00000000000000000042.timeindex"), Kind::TimeIndex(Offset(42)));
        assert_eq!(kind("00000000000000000042.log.deleted"), Kind::Temporary);
        assert_eq!(kind("00000000000000000042.index.cleaned"), Kind::Temporary);
        assert_eq!(kind("00000000000000000042.log.swap"), Kind::Swap);
        assert_eq!(unswapped("00000000000000000042.log.swap"), Some("00000000000000000042.log"));
        assert_eq!(kind("leader-epoch-checkpoint.3.tmp"), Kind::Temporary);
        assert_eq!(kind(EPOCHS), Kind::Other);
        assert_eq!(kind(PARTITION_METADATA), Kind::Other);
        assert_eq!(kind("42.log"), Kind::Other);
        assert_eq!(kind("+0000000000000000042.log"), Kind::Other);
        assert_eq!(kind("99999999999999999999.log"), Kind::Other, "no such offset");
        assert_eq!(log(Path::new("/d"), Offset(7)), Path::new("/d/00000000000000000007.log"));
    }
}
