//! DescribeLogDirs: how much of which partition is in which directory (KIP-113).

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::broker::context::Broker;
use crate::broker::serve::handler::{Context, Handler};
use crate::io::World;
use crate::wire::ErrorCode;
use crate::wire::messages::describe_log_dirs_response::{
    DescribeLogDirsPartition, DescribeLogDirsResult, DescribeLogDirsTopic,
};
use crate::wire::messages::{DescribeLogDirsRequest, DescribeLogDirsResponse, message};

/// Size of a volume where it was not determined (KIP-827).
const UNKNOWN: i64 = -1;

pub(in crate::broker) struct DescribeLogDirs;

impl<W: World> Handler<Broker<W>> for DescribeLogDirs {
    type Request = DescribeLogDirsRequest;
    type Response = DescribeLogDirsResponse;

    async fn handle(
        broker: &Arc<Broker<W>>,
        request: DescribeLogDirsRequest,
        _: Context<'_>,
    ) -> DescribeLogDirsResponse {
        let wanted = |topic: &str, partition: i32| {
            request.topics.as_ref().is_none_or(|topics| {
                let mut named = topics.iter().filter(|named| *named.topic == *topic);
                named.any(|named| named.partitions.contains(&partition))
            })
        };
        let replicas = broker.replicas.all();
        let results = broker.replicas.dirs().of_replicas().map(|home| {
            let mut topics: BTreeMap<&str, Vec<DescribeLogDirsPartition>> = BTreeMap::new();
            for replica in replicas.iter().filter(|replica| replica.home().id() == home.id()) {
                let (topic, partition) = (&*replica.name.topic, replica.name.partition);
                if !home.is_online() || !wanted(topic, partition) {
                    continue;
                }
                topics.entry(topic).or_default().push(message!(DescribeLogDirsPartition {
                    partition_index: partition,
                    partition_size: replica.size().try_into().unwrap_or(i64::MAX),
                }));
            }
            let topics = topics.into_iter().map(|(name, partitions)| {
                message!(DescribeLogDirsTopic { name: name.into(), partitions: partitions })
            });
            let error = match home.is_online() {
                true => ErrorCode::None,
                false => ErrorCode::KafkaStorageError,
            };
            message!(DescribeLogDirsResult {
                error_code: error.code(),
                log_dir: home.dir.path().to_string_lossy().as_ref().into(),
                topics: topics.collect(),
                total_bytes: UNKNOWN,
                usable_bytes: UNKNOWN,
            })
        });
        message!(DescribeLogDirsResponse { results: results.collect() })
    }
}
