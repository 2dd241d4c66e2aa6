//! Clients from before zstd (KIP-110).

use std::time::Duration;

use brokerquake::base::config::Compression;
use brokerquake::io::World;
use brokerquake::io::real::RealWorld;
use brokerquake::rpc::Connection;
use brokerquake::wire::batch::{self, BatchBuilder};
use brokerquake::wire::messages::FetchRequest;
use brokerquake::wire::messages::fetch_request::{FetchPartition, FetchTopic};

use super::super::{admin, connect, one_life, request, serve, write};

/// UNSUPPORTED_COMPRESSION_TYPE.
const UNSUPPORTED: i16 = 76;

/// The result of a fetch of a topic's partition 0 in this version: the error, and the codecs of
/// batches.
async fn fetch(
    world: &RealWorld,
    connection: &Connection<RealWorld>,
    (topic, offset): (&str, i64),
    version: i16,
) -> (i16, Vec<Compression>) {
    let mut partition = FetchPartition::default();
    (partition.fetch_offset, partition.partition_max_bytes) = (offset, 1 << 20);
    partition.current_leader_epoch = -1;
    let mut asked = FetchTopic::default();
    (asked.topic, asked.partitions) = (topic.into(), vec![partition]);
    let mut request = FetchRequest::default();
    (request.replica_id, request.session_epoch) = (-1, -1);
    (request.max_wait_ms, request.min_bytes, request.max_bytes) = (5000, 1, 1 << 20);
    request.topics = vec![asked];
    let deadline = world.now() + Duration::from_secs(10);
    let answer = connection.call(&request, Some(version), deadline).await.unwrap();
    let data = &answer.responses[0].partitions[0];
    let records = data.records.clone().unwrap_or_default();
    let codecs = batch::batches(&records).map(|found| found.unwrap().0.compression());
    (data.error_code, codecs.collect())
}

#[test]
fn old_fetch_version_gets_unsupported_compression_type_for_zstd() {
    use Compression::{Lz4, None, Zstd};
    let place = tempfile::tempdir().unwrap();
    one_life(async {
        let (world, address) = serve(&[place.path()], &[]).await.unwrap();
        let admin = admin(&world, &address).await;
        admin.create_topic("mixed", 1, 1, &[]).await.unwrap();
        admin.create_topic("zstd", 1, 1, &[("compression.type", "zstd")]).await.unwrap();
        let connection = connect(&world, &address).await;
        let produce = async |topic, codec| {
            let now = world.wall_clock();
            let mut builder = BatchBuilder::new(codec, now);
            builder.append(now, Option::None, Some(&[7; 100]), &[]);
            let mut request = request(topic, 0, now);
            request.topic_data[0].partition_data[0].records = Some(builder.finish_plain());
            write(&world, &connection, &request).await
        };
        for codec in [None, Lz4, Zstd, None] {
            produce("mixed", codec).await;
        }
        produce("zstd", None).await;
        let fetch = |topic, version| fetch(&world, &connection, topic, version);

        for old in [4, 9] {
            assert_eq!(fetch(("mixed", 0), old).await, (0, vec![None, Lz4]), "v{old}");
            assert_eq!(fetch(("mixed", 2), old).await, (UNSUPPORTED, vec![]), "v{old}");
            assert_eq!(fetch(("mixed", 3), old).await, (0, vec![None]), "v{old}");
            assert_eq!(fetch(("zstd", 0), old).await, (UNSUPPORTED, vec![]), "v{old}");
        }
        for new in [10, 12] {
            assert_eq!(fetch(("mixed", 0), new).await, (0, vec![None, Lz4, Zstd, None]), "v{new}");
            assert_eq!(fetch(("zstd", 0), new).await, (0, vec![Zstd]), "v{new}");
        }
    });
}
