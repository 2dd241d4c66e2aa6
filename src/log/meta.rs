//! Small files that identify a directory: `meta.properties` and `partition.metadata`.

use std::path::Path;

use super::{DirError, LogError, checkpoint};
use crate::base::config::parse_properties;
use crate::base::{BrokerId, DirectoryId, Flaws, TopicId};
use crate::io::Disk;

/// The only version since KRaft.
const VERSION: &str = "1";

/// Who uses a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub node: BrokerId,
    /// `cluster.id`; `None` takes what the directory says (a new directory gets `fresh_cluster`).
    pub cluster: Option<String>,
    /// The cluster id of a directory that is new, when none is given.
    pub fresh_cluster: TopicId,
    /// The directory's own id, when it is new.
    pub fresh_directory: DirectoryId,
    /// Fixes that are switched off.
    pub flaws: Flaws,
}

/// `meta.properties`: the cluster and node that own a data directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Meta {
    pub(crate) cluster: String,
    pub(crate) node: BrokerId,
    pub(crate) directory: DirectoryId,
}

impl Meta {
    pub(crate) fn to_text(&self) -> String {
        let Self { cluster, node, directory } = self;
        format!("cluster.id={cluster}\ndirectory.id={directory}\nnode.id={node}\nversion=1\n")
    }

    /// `None` when there is no such file.
    pub(crate) fn read<D: Disk>(disk: &D, path: &Path) -> Result<Option<Self>, LogError> {
        let malformed = |line: usize, problem: String| {
            let path = path.to_owned();
            LogError::Malformed { path, line, problem }
                .or_else("put the file back as it was, or name an empty directory")
        };
        let Some(bytes) = checkpoint::read_file(disk, path)? else { return Ok(None) };
        let text =
            String::from_utf8(bytes).map_err(|_| malformed(1, "it is not UTF-8".to_owned()))?;
        let pairs = parse_properties(&text).map_err(|error| malformed(1, error.to_string()))?;
        let find = |key: &str| {
            let found = pairs.iter().find(|(_, name, _)| name == key);
            found
                .map(|(line, _, value)| (*line, value.clone()))
                .ok_or_else(|| malformed(1, format!("`{key}` is missing")))
        };
        let (line, version) = find("version")?;
        if version != VERSION {
            let problem = format!("version {version} is not supported, only {VERSION} is");
            return Err(malformed(line, problem));
        }
        let (line, node) = find("node.id")?;
        let node =
            node.parse().map_err(|_| malformed(line, format!("`{node}` is not a node.id")))?;
        let (line, directory) = find("directory.id")?;
        let directory = directory.parse();
        let directory =
            directory.map_err(|_| malformed(line, "directory.id is not a UUID".to_owned()))?;
        Ok(Some(Self { cluster: find("cluster.id")?.1, node: BrokerId(node), directory }))
    }

    /// Whether this node may use the directory.
    pub(crate) fn check(&self, path: &Path, identity: &Identity) -> Result<(), DirError> {
        if let Some(expected) =
            identity.cluster.clone().filter(|expected| *expected != self.cluster)
        {
            let (path, found) = (path.to_owned(), self.cluster.clone());
            return Err(DirError::OtherCluster { path, expected, found });
        }
        if self.node != identity.node {
            let (path, expected) = (path.to_owned(), identity.node);
            return Err(DirError::OtherNode { path, expected, found: self.node });
        }
        Ok(())
    }
}

/// The text of `partition.metadata`: which creation of its topic a partition belongs to (KIP-516).
pub(crate) fn partition_text(topic: TopicId) -> String {
    format!("version: 0\ntopic_id: {topic}")
}

/// Reads `partition.metadata`; `None` when there is none.
pub(crate) fn read_partition<D: Disk>(disk: &D, path: &Path) -> Result<Option<TopicId>, LogError> {
    let Some(bytes) = checkpoint::read_file(disk, path)? else { return Ok(None) };
    let malformed = |line: usize, problem: &str| LogError::Malformed {
        path: path.to_owned(),
        line,
        problem: format!(
            "{problem}; remove the file to let the log belong to the topic of its name"
        ),
    };
    let text = str::from_utf8(&bytes).map_err(|_| malformed(1, "it is not UTF-8"))?;
    let mut lines = text.lines();
    if lines.next().map(str::trim_end) != Some("version: 0") {
        return Err(malformed(1, "expected `version: 0`"));
    }
    let id = lines.next().and_then(|line| line.strip_prefix("topic_id: "));
    let id = id.and_then(|id| id.trim_end().parse().ok());
    id.map(Some).ok_or_else(|| malformed(2, "expected `topic_id: ` and a UUID"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::real::RealDisk;

    fn meta() -> Meta {
        let directory = DirectoryId([7; 16]);
        Meta { cluster: "MkU3OEVBNTcwNTJENDM2Qk".to_owned(), node: BrokerId(3), directory }
    }

    #[test]
    fn meta_properties_round_trip_and_read_javas_form() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("meta.properties");
        assert_eq!(Meta::read(&RealDisk, &path).unwrap(), None);
        let java = "#\n#Thu Jan 01 00:00:00 UTC 1970\n";
        for text in [meta().to_text(), format!("{java}{}", meta().to_text())] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(Meta::read(&RealDisk, &path).unwrap(), Some(meta()));
        }
        std::fs::write(&path, "version=0\nbroker.id=1\n").unwrap();
        let error = Meta::read(&RealDisk, &path).unwrap_err().to_string();
        assert!(error.contains("meta.properties:1: version 0 is not supported, only 1 is; put"));
    }

    #[test]
    fn directory_of_another_cluster_or_node_is_refused_by_name() {
        let identity = |cluster: Option<&str>, node| Identity {
            node: BrokerId(node),
            cluster: cluster.map(str::to_owned),
            fresh_cluster: TopicId::ZERO,
            fresh_directory: DirectoryId::UNASSIGNED,
            flaws: crate::base::Flaws::default(),
        };
        let check = |identity| meta().check(Path::new("/d/meta.properties"), &identity);
        assert!(check(identity(None, 3)).is_ok());
        assert!(check(identity(Some("MkU3OEVBNTcwNTJENDM2Qk"), 3)).is_ok());
        let other = check(identity(Some("another"), 3)).unwrap_err().to_string();
        assert!(other.contains("/d/meta.properties") && other.contains("another"), "{other}");
        assert!(matches!(check(identity(None, 4)), Err(DirError::OtherNode { .. })));
    }

    #[test]
    fn partition_metadata_is_read_as_it_was_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("partition.metadata");
        assert_eq!(read_partition(&RealDisk, &path).unwrap(), None);
        std::fs::write(&path, partition_text(TopicId::METADATA)).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"version: 0\ntopic_id: AAAAAAAAAAAAAAAAAAAAAQ");
        assert_eq!(read_partition(&RealDisk, &path).unwrap(), Some(TopicId::METADATA));
        std::fs::write(&path, "version: 0\n").unwrap();
        assert!(read_partition(&RealDisk, &path).is_err());
    }
}
