//! From a frame to its API's file, and from its answer back to a frame.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;

use crate::broker::api;
use crate::broker::api::records::produce::Handled;
use super::connection::{FileOf, Reply, Service};
use crate::broker::context::Broker;
use super::listeners::Purpose;
use crate::io::{Address, Part, Slice, World};
use crate::wire::api::{self as table, key};
use crate::wire::frame::{self, FrameError, Request};
use crate::wire::messages::{
    CreateTopicsRequest, DeleteRecordsRequest, DeleteTopicsRequest, DescribeClusterRequest,
    DescribeConfigsRequest, DescribeLogDirsRequest, FetchRequest, FetchResponse,
    InitProducerIdRequest, KafkaRequest, KafkaResponse, ListOffsetsRequest, MetadataRequest,
    OffsetForLeaderEpochRequest, ProduceRequest,
};
use crate::wire::{Piece, fetch};

/// A broker behind a listener.
pub(crate) struct BrokerService<W: World> {
    broker: Arc<Broker<W>>,
}

impl<W: World> BrokerService<W> {
    pub(crate) fn new(broker: Arc<Broker<W>>) -> Self {
        Self { broker }
    }

    async fn handle(&self, request: &Request) -> Result<Reply<FileOf<W>>, Refused> {
        let (broker, version) = (&self.broker, request.header.api_version);
        match request.header.api_key {
            key::PRODUCE => {
                let body = decode::<ProduceRequest>(request)?;
                match api::records::produce::handle(broker, body, version).await {
                    Handled::Response(response) => respond(request, &response),
                    Handled::Silence => Ok(Reply::Silence),
                    Handled::HangUp(error) => {
                        Ok(Reply::Close(format!("a write with acks=0 failed: {error}")))
                    }
                }
            }
            key::FETCH => {
                let body = decode::<FetchRequest>(request)?;
                let (response, slices) = api::records::fetch::handle(broker, body, version).await;
                respond_with_slices(request, response, slices)
            }
            key::LIST_OFFSETS => {
                let body = decode::<ListOffsetsRequest>(request)?;
                respond(request, &api::records::list_offsets::handle(broker, body, version))
            }
            key::METADATA => {
                let body = decode::<MetadataRequest>(request)?;
                respond(request, &api::cluster::metadata::handle(broker, body, version).await)
            }
            key::API_VERSIONS => respond(request, &api::cluster::api_versions::handle(Purpose::Broker)),
            key::CREATE_TOPICS => {
                let body = decode::<CreateTopicsRequest>(request)?;
                respond(request, &api::topics::create_topics::handle(broker, body).await)
            }
            key::DELETE_TOPICS => {
                let body = decode::<DeleteTopicsRequest>(request)?;
                respond(request, &api::topics::delete_topics::handle(broker, body).await)
            }
            key::DELETE_RECORDS => {
                let body = decode::<DeleteRecordsRequest>(request)?;
                respond(request, &api::records::delete_records::handle(broker, body).await)
            }
            key::INIT_PRODUCER_ID => {
                let body = decode::<InitProducerIdRequest>(request)?;
                respond(request, &api::records::init_producer_id::handle(broker, body).await)
            }
            key::OFFSET_FOR_LEADER_EPOCH => {
                let body = decode::<OffsetForLeaderEpochRequest>(request)?;
                respond(request, &api::records::offset_for_leader_epoch::handle(broker, body))
            }
            key::DESCRIBE_CLUSTER => {
                let body = decode::<DescribeClusterRequest>(request)?;
                respond(request, &api::cluster::describe_cluster::handle(broker, &body, version))
            }
            key::DESCRIBE_CONFIGS => {
                let body = decode::<DescribeConfigsRequest>(request)?;
                respond(request, &api::admin::describe_configs::handle(broker, body))
            }
            key::DESCRIBE_LOG_DIRS => {
                let body = decode::<DescribeLogDirsRequest>(request)?;
                respond(request, &api::admin::describe_log_dirs::handle(broker, &body))
            }
            _ => Err(Refused::not_served(request)),
        }
    }
}

impl<W: World> Service<W> for BrokerService<W> {
    async fn answer(&self, frame: BytesMut, _peer: &Address) -> Reply<FileOf<W>> {
        let answered = match incoming(frame, Purpose::Broker) {
            Ok(request) => self.handle(&request).await,
            Err(refused) => Err(refused),
        };
        answered.unwrap_or_else(Refused::into_reply)
    }

    fn max_frame(&self) -> usize {
        usize::try_from(self.broker.config.socket_request_max_bytes).unwrap_or(0)
    }

    fn max_idle(&self) -> Duration {
        self.broker.config.connections_max_idle
    }
}

/// A request that is answered by closing the connection, with the reason.
pub(crate) struct Refused(Refusal);

enum Refusal {
    /// ApiVersions in a version that is not served has an answer all the same (KIP-511).
    UnknownApiVersions(i32),
    Close(String),
}

impl Refused {
    /// As Kafka does with what a listener does not serve.
    pub(crate) fn not_served(request: &Request) -> Self {
        let header = &request.header;
        Self(Refusal::Close(format!(
            "request {} version {} is not served on this listener",
            header.api_key, header.api_version
        )))
    }

    pub(crate) fn into_reply<F>(self) -> Reply<F> {
        match self.0 {
            Refusal::Close(reason) => Reply::Close(reason),
            Refusal::UnknownApiVersions(correlation_id) => {
                match frame::encode_response(correlation_id, 0, &table::unsupported_versions()) {
                    Ok(frame) => Reply::Frame(vec![Part::Bytes(frame.freeze())]),
                    Err(error) => Reply::Close(error.to_string()),
                }
            }
        }
    }
}

impl From<FrameError> for Refused {
    fn from(error: FrameError) -> Self {
        match error {
            FrameError::Unsupported { api_key: key::API_VERSIONS, correlation_id, .. } => {
                Self(Refusal::UnknownApiVersions(correlation_id))
            }
            error => Self(Refusal::Close(error.to_string())),
        }
    }
}

/// Reads a frame's header and checks that what it asks for is served here.
pub(crate) fn incoming(frame: BytesMut, purpose: Purpose) -> Result<Request, Refused> {
    let request = frame::decode_request(frame)?;
    let listener = match purpose {
        Purpose::Broker => table::Listener::Broker,
        Purpose::Controller => table::Listener::Controller,
    };
    let header = &request.header;
    if table::serves(listener, header.api_key, header.api_version) {
        return Ok(request);
    }
    if header.api_key == key::API_VERSIONS {
        return Err(Refused(Refusal::UnknownApiVersions(header.correlation_id)));
    }
    Err(Refused::not_served(&request))
}

/// The request's body.
pub(crate) fn decode<R: KafkaRequest>(request: &Request) -> Result<R, Refused> {
    Ok(request.decode::<R>()?)
}

/// A response as a frame.
pub(crate) fn respond<M: KafkaResponse, F>(
    request: &Request,
    response: &M,
) -> Result<Reply<F>, Refused> {
    let header = &request.header;
    let frame = frame::encode_response(header.correlation_id, header.api_version, response)?;
    Ok(Reply::Frame(vec![Part::Bytes(frame.freeze())]))
}

/// A fetch response whose records are slices of files: `slices` has one entry per partition.
pub(crate) fn respond_with_slices<F>(
    request: &Request,
    response: FetchResponse,
    slices: Vec<Option<Slice<F>>>,
) -> Result<Reply<F>, Refused> {
    let header = &request.header;
    let lengths: Vec<_> =
        slices.iter().map(|slice| slice.as_ref().map(|slice| slice.len as usize)).collect();
    let pieces =
        fetch::encode_response(header.correlation_id, header.api_version, response, &lengths)?;
    let mut slices: Vec<_> = slices.into_iter().collect();
    let parts = pieces.into_iter().filter_map(|piece| match piece {
        Piece::Bytes(bytes) => Some(Part::Bytes(bytes)),
        Piece::Records(index) => slices.get_mut(index)?.take().map(Part::Slice),
    });
    Ok(Reply::Frame(parts.collect()))
}
