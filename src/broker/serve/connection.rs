//! Accepting connections, reading requests, writing replies.
//!
//! A connection's requests are handled one at a time, as in Kafka: the order of a producer's
//! batches is the order of its requests, and a response never overtakes another.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;

use super::handler::{FileOf, Reply, Role};
use super::limits::{ConnectionLimits, Slot};
use super::session::Session;
use crate::base::config::BrokerConfig;
use crate::io::{Listener, Net, Part, Stream, World, timeout};
use crate::rpc::Frames;
use crate::wire::api;
use crate::wire::frame::{self, FrameError};
use crate::wire::messages::{ApiVersionsRequest, KafkaRequest};

/// Pause after a failed accept: no file descriptor is left, most likely, until a connection ends.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);

/// Serves the listeners of one role.
pub(crate) struct Server<R: Role> {
    world: R::World,
    role: Arc<R>,
    limits: Arc<ConnectionLimits>,
    /// Connections here do not wait for a slot.
    protected: Option<Arc<str>>,
    /// `socket.request.max.bytes`.
    max_frame: usize,
    /// `connections.max.idle.ms`.
    max_idle: Duration,
}

type ListenerOf<R> = <<<R as Role>::World as World>::Net as Net>::Listener;
type StreamOf<R> = <<<R as Role>::World as World>::Net as Net>::Stream;

impl<R: Role> Server<R> {
    /// A server whose listener named `protected` is for other brokers.
    pub(crate) fn new(
        world: R::World,
        role: Arc<R>,
        protected: Option<Arc<str>>,
        limits: Arc<ConnectionLimits>,
        config: &BrokerConfig,
    ) -> Arc<Self> {
        Arc::new(Self {
            world,
            role,
            limits,
            protected,
            max_frame: usize::try_from(config.socket_request_max_bytes).unwrap_or(0),
            max_idle: config.connections_max_idle,
        })
    }

    /// Accepts connections on `socket` for as long as the node lives.
    pub(crate) async fn serve(self: Arc<Self>, listener: Arc<str>, mut socket: ListenerOf<R>) {
        let protected = self.protected.as_ref() == Some(&listener);
        loop {
            match socket.accept().await {
                Ok((stream, peer)) => {
                    match self.limits.admit(&peer.host, protected, self.world.now()).await {
                        Ok(slot) => {
                            let session = Session::new(listener.clone(), peer);
                            self.world
                                .spawn("connection", self.clone().converse(stream, session, slot));
                        }
                        Err(error) => {
                            tracing::info!(%peer, %listener, %error, "connection refused")
                        }
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, %listener, "can't accept a connection");
                    self.world.sleep_until(self.world.now() + ACCEPT_BACKOFF).await;
                }
            }
        }
    }

    async fn converse(self: Arc<Self>, stream: StreamOf<R>, mut session: Session, mut slot: Slot) {
        let mut frames = Frames::new(stream, self.max_frame);
        loop {
            let idle = self.world.now() + self.max_idle;
            let next = async {
                tokio::select! {
                    biased;
                    frame = frames.next() => Some(frame),
                    () = slot.evicted() => None,
                }
            };
            let frame = match timeout(&self.world, idle, next).await.flatten() {
                Some(Ok(Some(frame))) => frame,
                // The client closed the connection, was idle for too long, or has to make room.
                Some(Ok(None)) | None => return,
                Some(Err(error)) => {
                    tracing::debug!(%session, %error, "connection ends");
                    return;
                }
            };
            slot.set_used(self.world.now());
            match self.answer(frame, &mut session).await {
                Reply::Silence => {}
                Reply::Close(reason) => {
                    tracing::info!(%session, reason, "closing a connection");
                    return;
                }
                Reply::Frame(parts) => {
                    if let Err(error) = frames.stream().send(&parts).await {
                        tracing::debug!(%session, %error, "connection ends");
                        return;
                    }
                }
            }
        }
    }

    async fn answer(&self, frame: BytesMut, session: &mut Session) -> Reply<FileOf<R::World>> {
        let request = match frame::decode_request(frame) {
            Ok(request) => request,
            Err(error) => return refuse::<R>(&error),
        };
        let header = &request.header;
        session.set_client_id(header.client_id.as_deref());
        let served = R::find(header.api_key).filter(|(api, _)| api.serves(header.api_version));
        let Some((_, call)) = served else { return refuse::<R>(&header.unsupported()) };
        let replied = call(&self.role, request, session).await;
        replied.unwrap_or_else(|error| Reply::Close(error.to_string()))
    }
}

/// Closes the connection, as Kafka does about a request that it can't read or does not serve. Only
/// ApiVersions in an unknown version is answered, so that a client can ask again (KIP-511).
fn refuse<R: Role>(error: &FrameError) -> Reply<FileOf<R::World>> {
    if let FrameError::Unsupported { api_key, correlation_id, .. } = error
        && *api_key == ApiVersionsRequest::API_KEY.value()
        && let Some((api_versions, _)) = R::find(*api_key)
    {
        let response = api::unsupported_versions(api_versions);
        if let Ok(frame) = frame::encode_response(*correlation_id, 0, &response) {
            return Reply::Frame(vec![Part::Bytes(frame.freeze())]);
        }
    }
    Reply::Close(error.to_string())
}
