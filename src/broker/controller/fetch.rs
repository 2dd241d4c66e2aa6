//! Fetch on the controller's listener: brokers follow the metadata log.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use super::ControllerShell;
use crate::base::TopicId;
use crate::broker::error::NodeError;
use crate::broker::serve::handler::{Fetched, FileOf};
use crate::io::{World, timeout};
use crate::wire::ErrorCode;
use crate::wire::messages::fetch_response::FetchableTopicResponse;
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
        let deadline =
            self.world().now() + Duration::from_millis(request.max_wait_ms.max(0) as u64);
        let asked = request.topics.iter().flat_map(|topic| {
            topic.partitions.iter().map(|partition| (TopicId::from(topic.topic_id), partition))
        });
        let [(TopicId::METADATA, asked)] = asked.collect::<Vec<_>>()[..] else {
            return Ok(refuse(ErrorCode::UnknownTopicId));
        };
        let limit = usize::try_from(request.max_bytes.min(asked.partition_max_bytes)).unwrap_or(0);
        let bell = Arc::new(Notify::new());
        loop {
            let (data, slice) = self.hosted.journal().fetch(self.me.0, asked, limit, &bell)?;
            let empty = data.error_code == 0 && data.diverging_epoch.end_offset < 0;
            if (empty && slice.is_none() && self.world().now() < deadline)
                && timeout(self.world(), deadline, bell.notified()).await.is_some()
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

fn refuse<F>(error: ErrorCode) -> Fetched<F> {
    let response = message!(FetchResponse { error_code: error.code() });
    Fetched { response, slices: Vec::new() }
}
