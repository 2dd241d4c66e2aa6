//! Connections: accepted, read frame by frame, answered in order.
//!
//! A connection's requests are handled one at a time, as in Kafka: the order of a producer's
//! batches is the order of its requests, and an answer never overtakes another.

use std::sync::Arc;

use crate::io::{Address, Listener, Net, Part, Stream, World, timeout};
use crate::rpc::Frames;

/// What a request becomes.
pub(crate) enum Reply<F> {
    /// Whole frames, in order.
    Frame(Vec<Part<F>>),
    /// Nothing is sent: `acks=0`.
    Silence,
    /// The peer can't be talked to any more; the reason is logged.
    Close(String),
}

/// Answers requests.
pub(crate) trait Service<W: World>: Send + Sync + 'static {
    /// Handles one frame without its length prefix.
    fn answer(
        &self,
        frame: bytes::BytesMut,
        peer: &Address,
    ) -> impl Future<Output = Reply<FileOf<W>>> + Send;

    /// Largest frame (`socket.request.max.bytes`).
    fn max_frame(&self) -> usize;

    /// `connections.max.idle.ms`.
    fn max_idle(&self) -> std::time::Duration;
}

/// The files of a world.
pub(crate) type FileOf<W> = <<W as World>::Disk as crate::io::Disk>::File;

/// Serves a listener for as long as the node lives.
pub(crate) async fn serve<W: World, S: Service<W>>(
    world: W,
    mut listener: <W::Net as Net>::Listener,
    service: Arc<S>,
) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                let task = converse(world.clone(), stream, peer, service.clone());
                world.spawn("connection", task);
            }
            Err(error) => {
                // Out of descriptors, most likely: others will be closed in the meantime.
                tracing::warn!(%error, "can't accept a connection");
                let pause = world.now() + std::time::Duration::from_millis(100);
                world.sleep_until(pause).await;
            }
        }
    }
}

async fn converse<W: World, S: Service<W>>(
    world: W,
    stream: <W::Net as Net>::Stream,
    peer: Address,
    service: Arc<S>,
) {
    let mut frames = Frames::new(stream, service.max_frame());
    loop {
        let idle = world.now() + service.max_idle();
        let frame = match timeout(&world, idle, frames.next()).await {
            Some(Ok(Some(frame))) => frame,
            // The peer is done, or says nothing for too long.
            Some(Ok(None)) | None => return,
            Some(Err(error)) => {
                tracing::debug!(%peer, %error, "connection ends");
                return;
            }
        };
        match service.answer(frame, &peer).await {
            Reply::Silence => {}
            Reply::Close(reason) => {
                tracing::info!(%peer, reason, "closing a connection");
                return;
            }
            Reply::Frame(parts) => {
                if let Err(error) = frames.stream().send(&parts).await {
                    tracing::debug!(%peer, %error, "connection ends");
                    return;
                }
            }
        }
    }
}
