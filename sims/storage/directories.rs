//! Log directories that go, are emptied, come back, or whose small files are malformed.

use std::time::Duration;

use brokerquake::broker::NodeOptions;
use brokerquake::io::World;
use brokerquake::io::real::RealWorld;
use brokerquake::rpc::Connection;

use super::super::{
    admin, connect, one_life, partitions, produce, request, serve, serve_with, write_to_all,
};

/// Writes a record to each partition of topic `t` that has a leader: the offsets, and `None` for
/// those that have none.
async fn write_where_possible(
    world: &RealWorld,
    connection: &Connection<RealWorld>,
) -> Vec<Option<i64>> {
    let mut offsets = Vec::new();
    for index in 0..4 {
        let request = request("t", index, world.wall_clock());
        let patience = world.now() + Duration::from_secs(3);
        offsets.push(loop {
            let answer = produce(world, connection, &request).await;
            let told = &answer.responses[0].partition_responses[0];
            match told.error_code {
                0 => break Some(told.base_offset),
                _ if world.now() >= patience => break None,
                _ => world.sleep_until(world.now() + Duration::from_millis(50)).await,
            }
        });
    }
    offsets
}

/// Two directories with two partitions each, as a node left them that was killed.
pub fn two_directories() -> (tempfile::TempDir, std::path::PathBuf, std::path::PathBuf) {
    let place = tempfile::tempdir().unwrap();
    let (a, b) = (place.path().join("a"), place.path().join("b"));
    one_life(async {
        let (world, address) = serve(&[&a, &b], &[]).await.unwrap();
        admin(&world, &address).await.create_topic("t", 4, 1, &[]).await.unwrap();
        let connection = connect(&world, &address).await;
        assert_eq!(write_to_all(&world, &connection).await, [0; 4]);
        // The controller has to hear where each replica is.
        world.sleep_until(world.now() + Duration::from_millis(500)).await;
    });
    (place, a, b)
}

#[test]
fn malformed_checkpoint_takes_one_log_dir_offline_and_not_the_broker() {
    let (_place, a, b) = two_directories();
    let file = b.join("replication-offset-checkpoint");
    std::fs::write(&file, "0\n7\n").unwrap();
    one_life(async {
        let (world, address) = serve(&[&a, &b], &[]).await.unwrap();
        let connection = connect(&world, &address).await;
        let written = write_where_possible(&world, &connection).await;
        assert_eq!(written.iter().flatten().collect::<Vec<_>>(), [&1; 2], "{written:?}");
    });
    assert_eq!((partitions(&a).len(), partitions(&b).len()), (2, 2));
    // With its checkpoint removed the directory is whole again; the only directory ends the start.
    std::fs::remove_file(&file).unwrap();
    one_life(async {
        let (world, address) = serve(&[&a, &b], &[]).await.unwrap();
        let connection = connect(&world, &address).await;
        let mut written = write_where_possible(&world, &connection).await;
        written.sort_unstable();
        assert_eq!(written, [1, 1, 2, 2].map(Some));
    });
    std::fs::write(a.join("replication-offset-checkpoint"), "0\n7\n").unwrap();
    let refused = one_life(serve(&[&a, &b], &[])).unwrap_err();
    assert!(refused.contains("replication-offset-checkpoint:2: 7 entries announced"), "{refused}");
}

#[test]
fn empty_directory_in_the_place_of_a_known_one_ends_the_start() {
    let (place, a, b) = two_directories();
    let former = place.path().join("former");
    std::fs::rename(&b, &former).unwrap();
    for missing in [true, false] {
        if !missing {
            std::fs::create_dir_all(&b).unwrap();
        }
        let told = one_life(serve(&[&a, &b], &[])).unwrap_err();
        assert!(told.starts_with(&format!("{}: this directory is empty", b.display())), "{told}");
        assert!(told.contains("directory.id=") && told.contains("--format"), "{told}");
        assert!(!b.join("meta.properties").exists() && partitions(&a).len() == 2);
    }
    std::fs::remove_dir_all(&b).unwrap();
    std::fs::rename(&former, &b).unwrap();
    one_life(async {
        let (world, address) = serve(&[&a, &b], &[]).await.unwrap();
        let connection = connect(&world, &address).await;
        assert_eq!(write_to_all(&world, &connection).await, [1; 4], "nothing was lost");
    });
}

#[test]
fn topics_of_a_replaced_directory_wait_until_it_is_back() {
    let (place, a, b) = two_directories();
    let former = place.path().join("former");
    std::fs::rename(&b, &former).unwrap();
    let lost = partitions(&former);
    let in_a = |index: usize| !lost.contains(&format!("t-{index}"));
    let expected = |offset| (0..4).map(|i| in_a(i).then_some(offset)).collect::<Vec<_>>();
    // As an operator would who gives `b` up: an empty disk, formatted.
    one_life(async {
        let options = NodeOptions { format: true, ..NodeOptions::default() };
        let (world, address) = serve_with(&[&a, &b], &[], options).await.unwrap();
        let connection = connect(&world, &address).await;
        assert_eq!(write_where_possible(&world, &connection).await, expected(1));
    });
    assert_eq!((partitions(&a).len(), partitions(&b).len()), (2, 0), "none begins again");
    // Without it in `log.dirs`, it is the same.
    one_life(async {
        let (world, address) = serve(&[&a], &[]).await.unwrap();
        let connection = connect(&world, &address).await;
        assert_eq!(write_where_possible(&world, &connection).await, expected(2));
    });
    std::fs::remove_dir_all(&b).unwrap();
    std::fs::rename(&former, &b).unwrap();
    one_life(async {
        let (world, address) = serve(&[&a, &b], &[]).await.unwrap();
        let connection = connect(&world, &address).await;
        let offsets = write_where_possible(&world, &connection).await;
        let all: Vec<_> = (0..4).map(|i| Some(if in_a(i) { 3 } else { 1 })).collect();
        assert_eq!(offsets, all);
    });
}

#[test]
fn log_dir_can_be_taken_out_once_its_logs_were_moved() {
    let (_place, a, b) = two_directories();
    for name in partitions(&b) {
        std::fs::rename(b.join(&name), a.join(&name)).unwrap();
    }
    // While `b` is listed, the controller learns where the logs are now; then `b` is not missed.
    for (dirs, offset) in [(vec![&*a, &*b], 1), (vec![&*a], 2)] {
        one_life(async {
            let (world, address) = serve(&dirs, &[]).await.unwrap();
            let connection = connect(&world, &address).await;
            let written = write_where_possible(&world, &connection).await;
            assert_eq!(written, [Some(offset); 4]);
            world.sleep_until(world.now() + Duration::from_millis(500)).await;
        });
    }
    assert_eq!((partitions(&a).len(), partitions(&b).len()), (4, 0));
}

#[test]
fn node_without_its_metadata_log_is_refused() {
    let (_place, a, b) = two_directories();
    // The first of `log.dirs` has the metadata log: in another order it would begin again.
    let told = one_life(serve(&[&b, &a], &[])).unwrap_err();
    let remedy = format!("set `metadata.log.dir={}`", a.display());
    assert!(told.ends_with(&remedy), "{told}");
    std::fs::remove_dir_all(&a).unwrap();
    let options = NodeOptions { format: true, ..NodeOptions::default() };
    for options in [NodeOptions::default(), options] {
        let told = one_life(serve_with(&[&a, &b], &[], options)).unwrap_err();
        assert!(told.contains("the metadata log should be here"), "{told}");
    }
    assert_eq!(partitions(&b).len(), 2);
}
