//! A broker follows the metadata log: fetches it from the controller, keeps a copy, builds the
//! image and hands out what changed (KIP-500, KIP-595).

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::{MappedMutexGuard, Mutex, MutexGuard};

use super::context::Broker;
use super::error::{FOREIGN, NodeError};
use super::hosted::{BadBatch, decode};
use crate::base::{LeaderEpoch, Offset, TopicId, TopicPartition, topics};
use crate::controller::{Change, Image, Record, RecordError};
use crate::io::{Disk, File, World};
use crate::log::{self, Log, LogError, Recovery};
use crate::rpc::RpcError;
use crate::wire::ErrorCode;
use crate::wire::batch::{self, BatchError, BatchHeader};
use crate::wire::messages::fetch_request::{FetchPartition, FetchTopic, ReplicaState};
use crate::wire::messages::fetch_response::PartitionData;
use crate::wire::messages::{FetchRequest, message};

/// Most bytes of one fetch. Source: Kafka's `KafkaRaftClient.MAX_FETCH_SIZE_BYTES`.
const MAX_FETCH: i32 = 8 * 1024 * 1024;
/// Longest wait of a fetch. Source: Kafka's `KafkaRaftClient.MAX_FETCH_WAIT_MS`.
const MAX_WAIT_MS: i32 = 500;
/// Largest batch of metadata when decompressed: none is compressed.
const MAX_BATCH: usize = 16 * 1024 * 1024;

/// The metadata partition.
pub(crate) fn partition() -> TopicPartition {
    TopicPartition::new(topics::CLUSTER_METADATA, 0)
}

/// A broker's copy of the metadata log; nothing once it is closed.
pub(crate) struct MetadataCopy<W: World>(Mutex<Option<Log<W::Disk>>>);

impl<W: World> MetadataCopy<W> {
    pub(crate) fn new(log: Log<W::Disk>) -> Self {
        Self(Mutex::new(Some(log)))
    }

    fn log(&self) -> Result<MappedMutexGuard<'_, Log<W::Disk>>, NodeError> {
        MutexGuard::try_map(self.0.lock(), Option::as_mut).map_err(|_| NodeError::Ended)
    }

    /// What it says.
    pub(crate) fn image(&self) -> Result<Image, NodeError> {
        image_of(&*self.log()?)
    }

    pub(super) async fn close(&self) -> Result<(), NodeError> {
        let log = self.0.lock().take();
        if let Some(log) = log {
            log.close().await?;
        }
        Ok(())
    }
}

/// The follower of the metadata log in a broker.
pub(crate) struct MetadataFollower<W: World> {
    broker: Arc<Broker<W>>,
    /// A node that is a controller too has the log already; a copy would be in its way.
    copy: Option<Arc<MetadataCopy<W>>>,
    image: Image,
    next: Offset,
    last_epoch: LeaderEpoch,
    /// Roles are taken up only once this start's registration is in the image: an older one may
    /// name this broker leader of what it has lost since.
    in_charge: bool,
}

impl<W: World> MetadataFollower<W> {
    /// Begins with what the copy holds. Only committed records are ever fetched, so all of it is.
    pub(crate) fn new(
        broker: Arc<Broker<W>>,
        copy: Option<Arc<MetadataCopy<W>>>,
    ) -> Result<Self, NodeError> {
        let mut follower = Self {
            broker,
            copy: None,
            image: Image::default(),
            next: Offset::ZERO,
            last_epoch: LeaderEpoch::NONE,
            in_charge: false,
        };
        if let Some(copy) = &copy {
            for bytes in read_all(&*copy.log()?)? {
                follower.replay(&bytes)?;
            }
        }
        follower.copy = copy;
        follower.broker.set_image(Arc::new(follower.image.clone()), &[]);
        Ok(follower)
    }

    /// Follows for as long as the node lives, or until the log can't be understood.
    pub(crate) async fn run(mut self) -> Result<(), NodeError> {
        loop {
            self.take_charge().await?;
            match self.fetch().await {
                Ok(data) => {
                    if let Some(error) = self.take(data).await? {
                        tracing::debug!(%error, "metadata fetch refused");
                        self.broker.controller.back_off().await;
                    }
                }
                Err(error) => {
                    tracing::debug!(%error, "metadata fetch failed");
                    self.broker.controller.back_off().await;
                }
            }
        }
    }

    async fn fetch(&self) -> Result<PartitionData, RpcError> {
        let id = self.broker.me.0;
        let request = message!(FetchRequest {
            cluster_id: Some(self.broker.cluster_id.as_str().into()),
            replica_state: message!(ReplicaState { replica_id: id }),
            max_wait_ms: MAX_WAIT_MS,
            min_bytes: 1,
            max_bytes: MAX_FETCH,
            session_epoch: -1,
            topics: vec![message!(FetchTopic {
                topic_id: TopicId::METADATA.into(),
                partitions: vec![message!(FetchPartition {
                    current_leader_epoch: -1,
                    fetch_offset: self.next.0,
                    last_fetched_epoch: self.last_epoch.0,
                    partition_max_bytes: MAX_FETCH,
                })],
            })],
        });
        let deadline = self.broker.world.now() + self.broker.config.node.controller_socket_timeout;
        let answer = self.broker.metadata_controller.call(&request, deadline).await?;
        let mut data = answer.responses.into_iter().flat_map(|topic| topic.partitions).next();
        let data = data.get_or_insert_default();
        if answer.error_code != 0 {
            data.error_code = answer.error_code;
        }
        Ok(std::mem::take(data))
    }

    /// Takes an answer in; gives back an error that is worth a pause.
    async fn take(&mut self, data: PartitionData) -> Result<Option<ErrorCode>, NodeError> {
        if data.error_code != 0 {
            return Ok(Some(ErrorCode::from_code(data.error_code)));
        }
        if data.diverging_epoch.end_offset >= 0 {
            // Only committed records were fetched, so this is another cluster's log or a lost one.
            return Err(NodeError::Metadata {
                offset: self.next.0,
                reason: format!(
                    "the controller's log parts from this copy at {}; \
                     was the controller's directory replaced?",
                    data.diverging_epoch.end_offset
                ),
            });
        }
        let Some(records) = data.records.filter(|records| !records.is_empty()) else {
            return Ok(None);
        };
        // KAFKA-18723: what was damaged on the way is fetched again.
        if let Err(error) = intact(&records) {
            tracing::error!(offset = self.next.0, %error, "damaged metadata were fetched");
            return Ok(Some(ErrorCode::CorruptMessage));
        }
        let changes = self.replay(&records)?;
        if let Some(copy) = &self.copy {
            let now = self.broker.world.wall_clock();
            let appended = copy.log()?.append_as_follower(&records, now);
            if let Err(error) = appended {
                return Err(self.broken(&error.to_string()));
            }
        }
        let image = Arc::new(self.image.clone());
        self.broker.set_image(image.clone(), &changes);
        if self.in_charge {
            self.broker.replicas.apply(&image, &changes).await?;
        }
        Ok(None)
    }

    /// Once this start's registration is known here, roles are taken up.
    async fn take_charge(&mut self) -> Result<(), NodeError> {
        let epoch = self.broker.epoch();
        if !self.in_charge && epoch.0 >= 0 && self.next.0 > epoch.0 {
            self.in_charge = true;
            let image = self.broker.image();
            self.broker.replicas.apply_all(&image).await?;
        }
        Ok(())
    }

    fn replay(&mut self, bytes: &[u8]) -> Result<Vec<Change>, NodeError> {
        let mut changes = Vec::new();
        for found in batch::batches(bytes) {
            let (header, bytes) = found.map_err(|error| self.broken(&error.to_string()))?;
            if header.base_offset < self.next {
                continue;
            }
            for (offset, record) in records(&header, bytes)? {
                self.image.replay(offset, &record, &mut changes)?;
            }
            self.next = header.next_offset();
            self.last_epoch = header.leader_epoch;
            self.image.reached(header.last_offset());
        }
        Ok(changes)
    }

    fn broken(&self, reason: &str) -> NodeError {
        NodeError::Metadata { offset: self.next.0, reason: reason.to_owned() }
    }
}

/// Whether all batches are as their checksums say.
fn intact(mut bytes: &[u8]) -> Result<(), BatchError> {
    while !bytes.is_empty() {
        let header = batch::check(bytes)?;
        bytes = bytes.get(header.size()..).unwrap_or_default();
    }
    Ok(())
}

/// The image that a copy of the metadata log has.
fn image_of<D: Disk>(copy: &Log<D>) -> Result<Image, NodeError> {
    let (mut image, mut changes) = (Image::default(), Vec::new());
    for piece in read_all(copy)? {
        for found in batch::batches(&piece) {
            let offset = image.offset().map_or(0, |offset| offset.0 + 1);
            let broken =
                |error: BatchError| NodeError::Metadata { offset, reason: error.to_string() };
            let (header, bytes) = found.map_err(broken)?;
            for (offset, record) in records(&header, bytes)? {
                image.replay(offset, &record, &mut changes)?;
            }
            image.reached(header.last_offset());
            changes.clear();
        }
    }
    Ok(image)
}

/// The metadata records of one batch; control batches have none.
fn records(header: &BatchHeader, bytes: &[u8]) -> Result<Vec<(Offset, Record)>, NodeError> {
    decode(header, bytes, MAX_BATCH).map_err(bad_batch)
}

/// A batch of the metadata log that can't be used, with what can be done about it.
pub(super) fn bad_batch(error: BadBatch<RecordError>) -> NodeError {
    let (offset, reason) = match error {
        BadBatch::Batch { offset, error } => (offset, error.to_string()),
        BadBatch::Record { offset, error } => {
            let foreign = matches!(error, RecordError::Unknown { .. } | RecordError::Frame(_));
            (offset, format!("{error}{}", if foreign { FOREIGN } else { "" }))
        }
    };
    NodeError::Metadata { offset: offset.0, reason }
}

/// Refuses a damaged metadata log before anything is changed. A broker's copy is not synced while it
/// grows, and is fetched again from where it ends: only after a clean stop must it be whole.
pub(super) fn refuse_damage<D: Disk>(
    disk: &D,
    dir: &Path,
    known: Recovery,
    is_controller: bool,
) -> Result<(), LogError> {
    if !is_controller && !known.clean {
        return Ok(());
    }
    let recovery_point = if is_controller { known.recovery_point } else { Offset::ZERO };
    let remedy = match is_controller {
        true => {
            "nothing was changed: put the file back as it was; without a copy of it, name an empty \
             directory, which begins a new cluster"
                .to_owned()
        }
        false => {
            format!("remove {} to have it fetched from the controller again", dir.display())
        }
    };
    let checked = log::refuse_damage(disk, dir, Recovery { recovery_point, ..known });
    checked.map_err(|error| error.or_else(&remedy))
}

/// Where the log begins, which must be at its beginning.
pub(super) fn start_of<D: Disk>(log: &Log<D>) -> Result<Offset, NodeError> {
    let start = log.log_start();
    if start > Offset::ZERO {
        let before =
            "the log begins here, and what was before is in a snapshot, which can't be read";
        return Err(NodeError::Metadata { offset: start.0, reason: format!("{before}{FOREIGN}") });
    }
    Ok(start)
}

/// Reads whole batches from `from` on; nothing at the log's end.
pub(super) fn read_piece<D: Disk>(log: &Log<D>, from: Offset) -> Result<Bytes, NodeError> {
    let broken = |reason: String| NodeError::Metadata { offset: from.0, reason };
    let found = log.read(from, MAX_FETCH as usize, log.log_end(), true);
    let found = found.map_err(|error| broken(error.to_string()))?;
    let Some(slice) = found.slice else { return Ok(Bytes::new()) };
    let mut piece = vec![0; slice.len as usize];
    slice.file.read_exact_at(&mut piece, slice.offset).map_err(|e| broken(e.to_string()))?;
    Ok(piece.into())
}

/// A whole log's bytes, piece by piece.
fn read_all<D: Disk>(log: &Log<D>) -> Result<Vec<Bytes>, NodeError> {
    let mut pieces = Vec::new();
    let mut from = start_of(log)?;
    while from < log.log_end() {
        let broken = |reason: String| NodeError::Metadata { offset: from.0, reason };
        let piece = read_piece(log, from)?;
        let mut next = from;
        for found in batch::batches(&piece) {
            next = found.map_err(|error| broken(error.to_string()))?.0.next_offset();
        }
        if next <= from {
            return Err(broken("no whole batch".into()));
        }
        from = next;
        pieces.push(piece);
    }
    Ok(pieces)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Timestamp;
    use crate::base::config::Compression;
    use crate::wire::batch::BatchBuilder;

    #[test]
    fn record_that_only_kafka_knows_is_named_with_a_remedy() {
        let mut builder = BatchBuilder::new(Compression::None, Timestamp(0));
        let no_op = Record::NoOp.encode();
        // RegisterControllerRecord, version 0.
        for value in [&no_op[..], &[1, 27, 0, 0]] {
            builder.append(Timestamp(0), None, Some(value), &[]);
        }
        let bytes = builder.finish_plain();
        let told = records(&BatchHeader::parse(&bytes).unwrap(), &bytes).unwrap_err().to_string();
        let named = "unknown metadata record: RegisterControllerRecord (api key 27), version 0";
        assert_eq!(told, format!("metadata log at offset 1: {named}{FOREIGN}"));
    }
}
