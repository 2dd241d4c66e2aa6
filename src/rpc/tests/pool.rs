//! The pool against peers that come and go.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

fn pool(world: &RealWorld, backoff: Duration) -> Pool<RealWorld> {
    let connecting = Connecting {
        backoff: Backoff::new(backoff, backoff),
        setup_timeout: Duration::from_millis(200),
    };
    Pool::new(world.clone(), "test", connecting)
}

/// Accepts connections for as long as the test runs, and counts them. Each serves `requests`
/// requests, then it is closed; `None`: it accepts and never answers.
async fn server(
    world: &RealWorld,
    at: &Address,
    requests: Option<usize>,
) -> (Address, Arc<AtomicUsize>) {
    let mut listener = world.net().bind(at).await.unwrap();
    let address = listener.local_address().unwrap();
    let accepted = Arc::new(AtomicUsize::new(0));
    let (counted, world2) = (Arc::clone(&accepted), world.clone());
    world.spawn("server", async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            counted.fetch_add(1, Ordering::Relaxed);
            let (reader, out) = tokio::io::split(stream);
            let mut peer = Peer { frames: Frames::new(reader, 64 << 20), out };
            world2.spawn("peer", async move {
                let Some(requests) = requests else {
                    while peer.request().await.is_some() {}
                    return;
                };
                peer.negotiate().await;
                for _ in 0..requests {
                    let Some(asked) = peer.request().await else { return };
                    peer.echo(&asked).await;
                }
            });
        }
    });
    (address, accepted)
}

async fn metadata(pool: &Pool<RealWorld>, to: &Address) -> Result<MetadataResponse, RpcError> {
    let mut request = MetadataRequest::default();
    request.topics = Some(Vec::new());
    let deadline = soon(&RealWorld::new());
    pool.call(to, Purpose::Questions, &request, Some(9), deadline).await
}

/// Binds a port and frees it again.
async fn free_address(world: &RealWorld) -> Address {
    let listener = world.net().bind(&Address::new("127.0.0.1", 0)).await.unwrap();
    listener.local_address().unwrap()
}

#[test]
fn a_broken_connection_is_made_again_and_a_good_one_kept() {
    run(async {
        let world = RealWorld::new();
        let (to, accepted) = server(&world, &Address::new("127.0.0.1", 0), Some(2)).await;
        let pool = pool(&world, Duration::ZERO);
        let mut answered = 0;
        while answered < 6 {
            // A call may still take a connection that the peer has just closed.
            match metadata(&pool, &to).await {
                Ok(_) => answered += 1,
                Err(error) => assert!(matches!(error, RpcError::Disconnected { .. }), "{error}"),
            }
        }
        assert_eq!(accepted.load(Ordering::Relaxed), 3, "two calls on each connection");
    });
}

#[test]
fn a_call_during_the_reconnect_pause_fails_at_once() {
    run(async {
        let world = RealWorld::new();
        let to = free_address(&world).await;
        let patient = pool(&world, Duration::from_secs(60));
        let first = metadata(&patient, &to).await.unwrap_err();
        let (_, listening) = server(&world, &to, Some(1)).await;
        let second = metadata(&patient, &to).await.unwrap_err();
        assert_eq!(first, second, "the error of the attempt that failed");
        assert!(matches!(&second, RpcError::Connect { .. }) && !second.may_have_reached());
        assert_eq!(listening.load(Ordering::Relaxed), 0, "nothing was attempted");
        let hasty = pool(&world, Duration::ZERO);
        metadata(&hasty, &to).await.unwrap();
    });
}

#[test]
fn callers_that_waited_for_a_failed_attempt_share_its_failure() {
    run(async {
        let world = RealWorld::new();
        let (to, accepted) = server(&world, &Address::new("127.0.0.1", 0), None).await;
        let pool = pool(&world, Duration::ZERO);
        let failed = tokio::join!(metadata(&pool, &to), metadata(&pool, &to), metadata(&pool, &to));
        for failed in [failed.0, failed.1, failed.2] {
            assert!(matches!(failed, Err(RpcError::Connect { .. })), "{failed:?}");
        }
        assert_eq!(accepted.load(Ordering::Relaxed), 1);
        assert!(metadata(&pool, &to).await.is_err());
        assert_eq!(accepted.load(Ordering::Relaxed), 2, "a later caller tries again");
    });
}

#[test]
fn request_that_waits_for_a_connection_does_not_outlive_its_owner() {
    run(async {
        let world = RealWorld::new();
        let (connecting, connects) = tokio::sync::oneshot::channel();
        let (close, closed) = tokio::sync::oneshot::channel();
        let (ended, end) = tokio::sync::oneshot::channel();
        let to = peer(&world, |mut peer| async move {
            let asked = peer.request().await.unwrap();
            connecting.send(()).unwrap();
            closed.await.unwrap();
            peer.answer(&asked, &api::versions(&[Api::of::<MetadataRequest>(0, 13)])).await;
            ended.send(peer.request().await.is_none()).unwrap();
        });
        let to = to.await;
        let connecting = Connecting {
            backoff: Backoff::new(Duration::ZERO, Duration::ZERO),
            setup_timeout: Duration::from_secs(20),
        };
        let pool = Pool::new(world.clone(), "test", connecting);
        let closing = async {
            connects.await.unwrap();
            pool.close();
            close.send(()).unwrap();
        };
        let (answer, ()) = tokio::join!(metadata(&pool, &to), closing);
        assert!(matches!(answer, Err(RpcError::Connect { .. })), "{answer:?}");
        assert!(end.await.unwrap(), "no request follows the connection");
        assert!(matches!(metadata(&pool, &to).await, Err(RpcError::Connect { .. })));
    });
}

#[test]
fn purposes_have_connections_of_their_own() {
    run(async {
        let world = RealWorld::new();
        let (to, accepted) = server(&world, &Address::new("127.0.0.1", 0), Some(9)).await;
        let pool = pool(&world, Duration::ZERO);
        metadata(&pool, &to).await.unwrap();
        let mut request = MetadataRequest::default();
        request.topics = Some(Vec::new());
        pool.call(&to, Purpose::Records, &request, Some(9), soon(&world)).await.unwrap();
        assert_eq!(accepted.load(Ordering::Relaxed), 2);
    });
}
