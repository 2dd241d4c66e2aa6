//! A broker follows the metadata log: fetches it from the controller, keeps a copy, builds the
//! image and hands out what changed (KIP-500, KIP-595).

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::{MappedMutexGuard, Mutex, MutexGuard};

use super::context::Broker;
use super::controller::ControllerShell;
use super::error::{FOREIGN, NodeError};
use crate::base::{LeaderEpoch, Offset, TopicId, TopicPartition, topics};
use crate::controller::{Change, Image, Record, RecordError, ReplayError};
use crate::io::World;
use crate::log::Log;
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

    async fn close(&self) -> Result<(), NodeError> {
        let log = self.0.lock().take();
        if let Some(log) = log {
            log.close().await?;
        }
        Ok(())
    }
}

/// Where a node has the metadata log.
pub(crate) enum Metadata<W: World> {
    /// It is a controller.
    Controllers(Arc<ControllerShell<W>>),
    /// It is a broker only.
    Copy(Arc<MetadataCopy<W>>),
}

impl<W: World> Metadata<W> {
    /// Closes it at a clean stop: from here on nothing new is heard. Kafka's own metadata log is
    /// opened as after a crash all the same (`KafkaRaftLog`), and so is this one.
    pub(crate) async fn close(&self) -> Result<(), NodeError> {
        match self {
            Self::Controllers(shell) => shell.close().await,
            Self::Copy(copy) => copy.close().await,
        }
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
        follower.broker.set_image(Arc::new(follower.image.clone()));
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
        let changes = self.replay(&records)?;
        if let Some(copy) = &self.copy {
            let now = self.broker.world.wall_clock();
            let appended = copy.log()?.append_as_follower(&records, now);
            if let Err(error) = appended {
                return Err(self.broken(&error.to_string()));
            }
        }
        let image = Arc::new(self.image.clone());
        self.broker.set_image(image.clone());
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

/// What a copy of the metadata log says.
fn image_of<D: crate::io::Disk>(copy: &Log<D>) -> Result<Image, NodeError> {
    let (mut image, mut changes) = (Image::default(), Vec::new());
    each_batch(copy, |_, records| {
        for (offset, record) in records {
            image.replay(offset, &record, &mut changes)?;
        }
        changes.clear();
        Ok(())
    })?;
    Ok(image)
}

/// Goes through all records of a metadata log, batch by batch.
pub(crate) fn each_batch<D: crate::io::Disk>(
    log: &Log<D>,
    mut see: impl FnMut(&BatchHeader, Vec<(Offset, Record)>) -> Result<(), ReplayError>,
) -> Result<(), NodeError> {
    let mut next = log.log_start();
    for piece in read_all(log)? {
        for found in batch::batches(&piece) {
            let broken = |error: BatchError| NodeError::Metadata {
                offset: next.0,
                reason: error.to_string(),
            };
            let (header, bytes) = found.map_err(broken)?;
            see(&header, records(&header, bytes)?)?;
            next = header.next_offset();
        }
    }
    Ok(())
}

/// The metadata records of one batch; control batches have none.
fn records(header: &BatchHeader, bytes: &[u8]) -> Result<Vec<(Offset, Record)>, NodeError> {
    if header.is_control() {
        return Ok(Vec::new());
    }
    let broken = |offset: Offset, reason| NodeError::Metadata { offset: offset.0, reason };
    let records = batch::records(bytes, MAX_BATCH);
    let records = records.map_err(|error| broken(header.base_offset, error.to_string()))?;
    let mut decoded = Vec::with_capacity(records.len());
    for record in records {
        let value = record.value.unwrap_or_default();
        let known = Record::decode(&value).map_err(|error| {
            let foreign = matches!(error, RecordError::Unknown { .. } | RecordError::Frame(_));
            let remedy = if foreign { FOREIGN } else { "" };
            broken(record.offset, format!("{error}{remedy}"))
        });
        decoded.push((record.offset, known?));
    }
    Ok(decoded)
}

/// A whole log's bytes, piece by piece.
pub(crate) fn read_all<D: crate::io::Disk>(log: &Log<D>) -> Result<Vec<Bytes>, NodeError> {
    use crate::io::File;
    let mut pieces = Vec::new();
    let mut from = log.log_start();
    if from > Offset::ZERO {
        let before =
            "the log begins here, and what was before is in a snapshot, which can't be read";
        return Err(NodeError::Metadata { offset: from.0, reason: format!("{before}{FOREIGN}") });
    }
    while from < log.log_end() {
        let broken = |reason: String| NodeError::Metadata { offset: from.0, reason };
        let found = log.read(from, MAX_FETCH as usize, log.log_end(), true);
        let found = found.map_err(|error| broken(error.to_string()))?;
        let Some(slice) = found.slice else { break };
        let mut piece = vec![0; slice.len as usize];
        slice.file.read_exact_at(&mut piece, slice.offset).map_err(|e| broken(e.to_string()))?;
        let mut next = from;
        for found in batch::batches(&piece) {
            next = found.map_err(|error| broken(error.to_string()))?.0.next_offset();
        }
        if next <= from {
            return Err(broken("no whole batch".into()));
        }
        from = next;
        pieces.push(Bytes::from(piece));
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
    fn a_record_that_only_kafka_knows_is_named_with_its_offset_and_the_way_out() {
        let mut builder = BatchBuilder::new(Compression::None, Timestamp(0));
        let no_op = Record::NoOp.encode();
        // RegisterControllerRecord, version 0.
        for value in [&no_op[..], &[1, 27, 0, 0]] {
            builder.append(Timestamp(0), None, Some(value), &[]);
        }
        let bytes = builder.finish_plain();
        let told = records(&BatchHeader::parse(&bytes).unwrap(), &bytes).unwrap_err().to_string();
        let named =
            "metadata log at offset 1: RegisterControllerRecord (api key 27) version 0 is no";
        assert!(told.starts_with(named) && told.ends_with(FOREIGN), "{told}");
    }
}
