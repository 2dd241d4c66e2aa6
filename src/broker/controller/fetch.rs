//! Fetch on the controller's listener: brokers follow the metadata log.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use super::{ControllerShell, State};
use crate::base::{LeaderEpoch, Offset, TopicId};
use crate::broker::error::NodeError;
use crate::broker::serve::handler::{Fetched, FileOf};
use crate::io::{Slice, World, timeout};
use crate::wire::ErrorCode;
use crate::wire::messages::fetch_request::FetchPartition;
use crate::wire::messages::fetch_response::{
    EpochEndOffset, FetchableTopicResponse, LeaderIdAndEpoch, PartitionData,
};
use crate::wire::messages::{FetchRequest, FetchResponse, message};

impl<W: World> ControllerShell<W> {
    /// Waits for committed records beyond the fetch offset, at most as long as the request says.
    pub(in crate::broker) async fn fetch(
        &self,
        request: FetchRequest,
    ) -> Result<Fetched<FileOf<W>>, NodeError> {
        let other = request.cluster_id.as_ref().filter(|id| ***id != *self.cluster_id);
        if let Some(other) = other {
            tracing::warn!(%other, "a fetch from another cluster");
            return Ok(refuse(ErrorCode::InconsistentClusterId));
        }
        let deadline = self.world.now() + Duration::from_millis(request.max_wait_ms.max(0) as u64);
        let asked = request.topics.iter().flat_map(|topic| {
            topic.partitions.iter().map(|partition| (TopicId::from(topic.topic_id), partition))
        });
        let [(TopicId::METADATA, asked)] = asked.collect::<Vec<_>>()[..] else {
            return Ok(refuse(ErrorCode::UnknownTopicId));
        };
        let limit = usize::try_from(request.max_bytes.min(asked.partition_max_bytes)).unwrap_or(0);
        let bell = Arc::new(Notify::new());
        loop {
            let (data, slice) = self.state()?.read(self.me.0, asked, limit, &bell);
            let empty = data.error_code == 0 && data.diverging_epoch.end_offset < 0;
            if (empty && slice.is_none() && self.world.now() < deadline)
                && timeout(&self.world, deadline, bell.notified()).await.is_some()
            {
                continue;
            }
            let topic = message!(FetchableTopicResponse {
                topic_id: TopicId::METADATA.into(),
                partitions: vec![data],
            });
            let response = message!(FetchResponse { responses: vec![topic] });
            return Ok(Fetched { response, slices: vec![slice] });
        }
    }
}

impl<W: World> State<W> {
    fn read(
        &mut self,
        me: i32,
        asked: &FetchPartition,
        limit: usize,
        bell: &Arc<Notify>,
    ) -> (PartitionData, Option<Slice<FileOf<W>>>) {
        let mut data = message!(PartitionData {
            high_watermark: self.committed.0,
            last_stable_offset: self.committed.0,
            log_start_offset: self.log.log_start().0,
            current_leader: message!(LeaderIdAndEpoch {
                leader_id: me,
                leader_epoch: self.epoch.0
            }),
        });
        let from = Offset(asked.fetch_offset);
        if asked.partition != 0 {
            data.error_code = ErrorCode::UnknownTopicOrPartition.code();
            return (data, None);
        }
        if asked.last_fetched_epoch >= 0 {
            let (epoch, end) = self.log.end_offset_for(LeaderEpoch(asked.last_fetched_epoch));
            if epoch.0 < asked.last_fetched_epoch || end < from {
                data.diverging_epoch =
                    message!(EpochEndOffset { epoch: epoch.0, end_offset: end.0 });
                return (data, None);
            }
        }
        // Only what is committed is served: what a broker has once seen is never taken back.
        match self.log.read(from, limit, self.committed, true) {
            Ok(found) if found.slice.is_some() => (data, found.slice),
            Ok(_) => {
                self.fetch.wait(bell);
                (data, None)
            }
            Err(error) => {
                tracing::warn!(%error, "can't serve metadata");
                data.error_code = ErrorCode::OffsetOutOfRange.code();
                (data, None)
            }
        }
    }
}

fn refuse<F>(error: ErrorCode) -> Fetched<F> {
    let response = message!(FetchResponse { error_code: error.code() });
    Fetched { response, slices: Vec::new() }
}
