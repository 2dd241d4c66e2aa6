//! A connection to one node, with many requests in flight, each with its deadline.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use tokio::io::AsyncWrite;
use tokio::sync::{mpsc, oneshot};

use super::shared::{Queued, Shared};
use super::{Finalized, Meter, RpcError, tasks};
use crate::base::Instant;
use crate::io::{Address, Net, World, timeout};
use crate::wire::messages::{
    ApiVersionsRequest, ApiVersionsResponse, KafkaMessage, KafkaRequest, ProduceRequest,
    RequestResponsePair, StrBytes,
};
use crate::wire::{ErrorCode, FrameError, api, frame, produce};

/// Asked first: the oldest version that names the client (KIP-511).
const API_VERSIONS_ASKED: i16 = 3;

/// Bytes of a frame's length before it.
const LENGTH: usize = 4;

/// A connection that knows which versions the other side serves. A clone is another handle on it;
/// it ends with the last one, once what was queued has been written.
pub struct Connection<W: World> {
    world: W,
    client_id: Arc<str>,
    handle: Arc<Handle<StreamOf<W>>>,
    /// The versions of each request that the other side serves.
    versions: Arc<Versions>,
    finalized: Arc<Finalized>,
    meter: Option<Arc<dyn Meter>>,
}

/// The first and last version of each request, by its key.
type Versions = BTreeMap<i16, (i16, i16)>;

type StreamOf<W> = <<W as World>::Net as Net>::Stream;

/// Ends the connection when the last handle on it is gone.
struct Handle<S: AsyncWrite>(Arc<Shared<S>>);

impl<S: AsyncWrite> Drop for Handle<S> {
    fn drop(&mut self) {
        self.0.finish();
    }
}

impl<W: World> Clone for Connection<W> {
    fn clone(&self) -> Self {
        Self {
            world: self.world.clone(),
            client_id: Arc::clone(&self.client_id),
            handle: Arc::clone(&self.handle),
            versions: Arc::clone(&self.versions),
            finalized: Arc::clone(&self.finalized),
            meter: self.meter.clone(),
        }
    }
}

impl<W: World> fmt::Debug for Connection<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("peer", &self.handle.0.peer)
            .field("closed", &self.handle.0.is_closed())
            .finish_non_exhaustive()
    }
}

impl<W: World> Connection<W> {
    /// Connects, and asks the other side which versions it serves.
    pub async fn open(
        world: &W,
        to: &Address,
        client_id: &str,
        deadline: Instant,
    ) -> Result<Self, RpcError> {
        Self::open_metered(world, to, client_id, deadline, None).await
    }

    /// The same, and tells `meter` of every request and response.
    pub(crate) async fn open_metered(
        world: &W,
        to: &Address,
        client_id: &str,
        deadline: Instant,
        meter: Option<Arc<dyn Meter>>,
    ) -> Result<Self, RpcError> {
        let failed = |reason: &str| RpcError::Connect { to: to.clone(), reason: reason.into() };
        let stream = match timeout(world, deadline, world.net().connect(to)).await {
            Some(Ok(stream)) => stream,
            Some(Err(error)) => return Err(failed(&error.to_string())),
            None => return Err(failed("no answer in time")),
        };
        let (queue, queued) = mpsc::unbounded_channel();
        let (stop_writing, writing) = oneshot::channel();
        let (stop_reading, reading) = oneshot::channel();
        let (reader, writer) = tokio::io::split(stream);
        let shared = Shared::new(to.clone(), writer, queue, stop_writing);
        world.spawn(
            "rpc-write",
            tasks::write(world.clone(), Arc::clone(&shared), queued, writing, stop_reading),
        );
        world.spawn("rpc-read", tasks::read(Arc::clone(&shared), reader, reading));
        let mut connection = Self {
            world: world.clone(),
            client_id: client_id.into(),
            handle: Arc::new(Handle(shared)),
            versions: Arc::default(),
            finalized: Arc::default(),
            meter,
        };
        // If the negotiation fails, no request of the caller was sent.
        let versions = connection.negotiate(deadline).await;
        let (versions, finalized) = versions.map_err(|error| failed(&error.to_string()))?;
        connection.versions = Arc::new(versions);
        connection.finalized = Arc::new(finalized);
        Ok(connection)
    }

    /// Sends a request and waits for its response, with any number of others in flight. Uses the
    /// highest version that both sides know, at most `max_version`.
    ///
    /// When the deadline passes, the connection is closed. The returned future may be dropped at
    /// any time: the request may then be carried out or not, and the connection stays usable.
    pub async fn call<R: RequestResponsePair + 'static>(
        &self,
        request: &R,
        max_version: Option<i16>,
        deadline: Instant,
    ) -> Result<R::Response, RpcError> {
        let version = self.version::<R>(max_version)?;
        let frame = self.exchange(request, version, deadline).await?;
        match frame::decode_response::<R::Response>(frame, version) {
            Ok((_, response)) => Ok(response),
            Err(error) => {
                self.shared().close(&error.to_string());
                Err(RpcError::Answer { from: self.shared().peer.clone(), error })
            }
        }
    }

    /// Sends a request that has no response (a Produce with `acks=0`), and waits until its bytes
    /// were handed to the stream.
    pub async fn send_only<R: KafkaRequest + 'static>(
        &self,
        request: &R,
        max_version: Option<i16>,
        deadline: Instant,
    ) -> Result<(), RpcError> {
        let version = self.version::<R>(max_version)?;
        let buffers = self.encode(0, request, version)?;
        let bytes = buffers.iter().map(Bytes::len).sum();
        let queued = self.shared().send(buffers)?;
        self.measure(|meter, now, peer| meter.sent(now, peer, bytes));
        self.wait::<R, ()>(queued, deadline).await
    }

    /// The version of `R` that [`Connection::call`] uses.
    pub fn version<R: KafkaRequest>(&self, max_version: Option<i16>) -> Result<i16, RpcError> {
        let theirs = self.versions.get(&R::API_KEY.value()).copied();
        let common = theirs.and_then(api::common_versions::<R>);
        let usable = common.and_then(|(min, max)| {
            let max = max.min(max_version.unwrap_or(max));
            (min <= max).then_some(max)
        });
        usable.ok_or_else(|| RpcError::Unsupported {
            by: self.shared().peer.clone(),
            request: R::NAME,
        })
    }

    /// The features of the cluster, as the other side knew them when the connection was made.
    pub(crate) fn finalized(&self) -> &Arc<Finalized> {
        &self.finalized
    }

    /// The address of the other side, as given when connecting.
    pub fn peer(&self) -> &Address {
        &self.shared().peer
    }

    /// Whether the connection is closed: no further request can be sent.
    pub fn is_closed(&self) -> bool {
        self.shared().is_closed()
    }

    /// The number of requests that wait for a response.
    pub fn in_flight(&self) -> usize {
        self.shared().in_flight()
    }

    /// Closes the connection at once; all calls that wait fail.
    pub fn close(&self) {
        self.shared().close("closed by this side");
    }

    fn shared(&self) -> &Shared<StreamOf<W>> {
        &self.handle.0
    }

    async fn exchange<R: KafkaRequest + 'static>(
        &self,
        request: &R,
        version: i16,
        deadline: Instant,
    ) -> Result<Bytes, RpcError> {
        let id = self.shared().next_id();
        let buffers = self.encode(id, request, version)?;
        let bytes = buffers.iter().map(Bytes::len).sum();
        let queued = self.shared().call(id, buffers)?;
        self.measure(|meter, now, peer| meter.sent(now, peer, bytes));
        let frame = self.wait::<R, Bytes>(queued, deadline).await?;
        self.measure(|meter, now, peer| meter.received(now, peer, LENGTH + frame.len()));
        Ok(frame)
    }

    fn measure(&self, tell: impl FnOnce(&dyn Meter, Instant, &Address)) {
        if let Some(meter) = &self.meter {
            tell(&**meter, self.world.now(), self.peer());
        }
    }

    async fn wait<R: KafkaMessage, T>(
        &self,
        queued: Queued<T>,
        deadline: Instant,
    ) -> Result<T, RpcError> {
        match timeout(&self.world, deadline, queued.outcome).await {
            Some(Ok(outcome)) => Ok(outcome),
            Some(Err(_)) => Err(self.shared().lost(queued.sequence)),
            None => {
                let sent = self.shared().may_have_left(queued.sequence);
                self.shared().close("an answer did not come in time");
                Err(RpcError::TimedOut { to: self.shared().peer.clone(), request: R::NAME, sent })
            }
        }
    }

    fn encode<R: KafkaRequest + 'static>(
        &self,
        id: i32,
        request: &R,
        version: i16,
    ) -> Result<Vec<Bytes>, RpcError> {
        buffers(id, &self.client_id, version, request)
            .map_err(|error| RpcError::Request { to: self.shared().peer.clone(), error })
    }

    /// Asks in a version that names the client; brokers that don't know it answer in version 0.
    async fn negotiate(&self, deadline: Instant) -> Result<(Versions, Finalized), RpcError> {
        let malformed = |error| RpcError::Answer { from: self.shared().peer.clone(), error };
        let mut request = ApiVersionsRequest::default();
        request.client_software_name = StrBytes::from("brokerquake");
        request.client_software_version = StrBytes::from(env!("CARGO_PKG_VERSION"));
        let mut answer = self.exchange(&request, API_VERSIONS_ASKED, deadline).await?;
        let mut version = API_VERSIONS_ASKED;
        let refused = ErrorCode::UnsupportedVersion.code().to_be_bytes();
        if answer.get(4..6) == Some(&refused) {
            version = 0;
            answer = self.exchange(&ApiVersionsRequest::default(), version, deadline).await?;
        }
        let (_, response) =
            frame::decode_response::<ApiVersionsResponse>(answer, version).map_err(malformed)?;
        let ranges = response.api_keys.iter();
        let versions =
            ranges.map(|range| (range.api_key, (range.min_version, range.max_version))).collect();
        Ok((versions, Finalized::of(&response)))
    }
}

/// A request's bytes. The batches of a Produce, which may be large, are not copied.
fn buffers<R: KafkaRequest + 'static>(
    id: i32,
    client_id: &str,
    version: i16,
    request: &R,
) -> Result<Vec<Bytes>, FrameError> {
    match (request as &dyn Any).downcast_ref::<ProduceRequest>() {
        Some(request) => produce::encode_request(id, client_id, version, request.clone()),
        None => Ok(vec![frame::encode_request(id, client_id, version, request)?.freeze()]),
    }
}
