//! Frames: a length, a header, a body. Reading them from a stream is left to `rpc`.

use bytes::{Bytes, BytesMut};

use super::messages::{
    API_DESCRIPTORS, ApiVersion, ApiVersionsResponse, DecodeError, DecodeLimits, Decoder,
    EncodeError, Encoder, KafkaEncode, KafkaRequest, KafkaResponse, ProduceRequest, StrBytes,
    request_header_version,
};

/// Bytes of the length before each frame.
pub const LENGTH_LEN: usize = 4;

/// The largest body of a request other than Produce. A decoded array can take thirty times the
/// memory of its bytes, so a hundred megabytes of it must not be decoded.
const MAX_BODY: usize = 16 << 20;
/// The most elements of one array; a cluster has fewer partitions.
const MAX_ELEMENTS: usize = 200_000;
/// The most unknown tags of one struct; Kafka has defined at most a handful.
const MAX_TAGS: usize = 64;

/// Why a frame can't be read or written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// No such request, or no such version of it. Everything but ApiVersions has to be answered by
    /// closing the connection.
    #[error("request {api_key} version {api_version} is not supported")]
    Unsupported {
        api_key: i16,
        api_version: i16,
        /// For an answer, if there can be one.
        correlation_id: i32,
    },
    /// The bytes are not what they should be.
    #[error("malformed {what}: {error}")]
    Malformed { what: &'static str, error: DecodeError },
    /// The message can't be written in this version, or is too large.
    #[error("can't write {what}: {error}")]
    Encode { what: &'static str, error: EncodeError },
}

/// What stands before the body of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestHeader {
    pub api_key: i16,
    /// The version of request and response.
    pub api_version: i16,
    /// Comes back in the response.
    pub correlation_id: i32,
    /// The client's name for itself.
    pub client_id: Option<StrBytes>,
}

/// A request whose body is not decoded yet.
#[derive(Clone, Debug)]
pub struct Request {
    /// The API key, its version, and the client.
    pub header: RequestHeader,
    /// The rest of the frame.
    pub body: Bytes,
}

impl Request {
    /// The body as a message. Record batches in it are slices of the frame, not copies.
    pub fn decode<R: KafkaRequest>(&self) -> Result<R, FrameError> {
        let version = ApiVersion::new(self.header.api_version);
        let malformed = |error| FrameError::Malformed { what: R::NAME, error };
        if R::API_KEY.value() != self.header.api_key {
            return Err(self.header.unsupported());
        }
        let limits = request_limits::<R>();
        let mut decoder = Decoder::new(self.body.clone(), limits).map_err(malformed)?;
        // What follows the message is passed over, as Kafka does: librdkafka pads a null list of
        // topics with three bytes that nothing accounts for.
        R::decode(&mut decoder, version).map_err(malformed)
    }
}

impl RequestHeader {
    /// The error for a request that is not served.
    pub(crate) fn unsupported(&self) -> FrameError {
        FrameError::Unsupported {
            api_key: self.api_key,
            api_version: self.api_version,
            correlation_id: self.correlation_id,
        }
    }
}

/// Reads the header of a request. `frame` is without its length.
pub fn decode_request(frame: impl Into<Bytes>) -> Result<Request, FrameError> {
    let malformed = |error| FrameError::Malformed { what: "request header", error };
    let frame = frame.into();
    let mut decoder = Decoder::new(frame, limits(usize::MAX)).map_err(malformed)?;
    let mut header = RequestHeader {
        api_key: decoder.read_i16().map_err(malformed)?,
        api_version: decoder.read_i16().map_err(malformed)?,
        correlation_id: decoder.read_i32().map_err(malformed)?,
        client_id: None,
    };
    // What follows depends on the version, which must be known before it can be read.
    let flexible = is_flexible_request(header.api_key, header.api_version)
        .ok_or_else(|| header.unsupported())?;
    header.client_id = decoder.read_nullable_string().map_err(malformed)?;
    if request_header_version(flexible) >= 2 {
        decoder.read_tagged_fields().map_err(malformed)?;
    }
    let body = decoder.take_bytes(decoder.remaining()).map_err(malformed)?;
    Ok(Request { header, body })
}

/// Whether a request's version is one of the flexible ones; `None` if the codec does not know it.
fn is_flexible_request(api_key: i16, version: i16) -> Option<bool> {
    let version = ApiVersion::new(version);
    let api = API_DESCRIPTORS.iter().find(|api| api.api_key.value() == api_key)?;
    api.request
        .supported_versions
        .contains(version)
        .then(|| api.request.flexible_versions.is_some_and(|flexible| flexible.contains(version)))
}

/// A whole request, its length first.
pub fn encode_request<R: KafkaRequest>(
    correlation_id: i32,
    client_id: &str,
    version: i16,
    request: &R,
) -> Result<BytesMut, FrameError> {
    let mut frame = BytesMut::new();
    let limits = super::messages::OutboundFrameLimits::new(i32::MAX as usize);
    let (client_id, version) = (Some(StrBytes::from(client_id)), ApiVersion::new(version));
    super::messages::encode_request(
        &mut frame,
        correlation_id,
        client_id,
        request,
        version,
        limits,
    )
    .map_err(|error| FrameError::Encode { what: R::NAME, error })?;
    Ok(frame)
}

/// A whole response, its length first.
pub fn encode_response<M: KafkaResponse>(
    correlation_id: i32,
    version: i16,
    response: &M,
) -> Result<BytesMut, FrameError> {
    let mut frame = begin_response::<M>(correlation_id, version);
    response
        .encode_into(&mut frame, ApiVersion::new(version))
        .map_err(|error| FrameError::Encode { what: M::NAME, error })?;
    put_length(&mut frame, 0).map_err(|error| FrameError::Encode { what: M::NAME, error })?;
    Ok(frame)
}

/// Room for the length, and the header of a response.
pub(super) fn begin_response<M: KafkaResponse>(correlation_id: i32, version: i16) -> BytesMut {
    let mut frame = BytesMut::with_capacity(128);
    frame.extend_from_slice(&[0; LENGTH_LEN]);
    frame.extend_from_slice(&correlation_id.to_be_bytes());
    if has_tags::<M>(version) {
        frame.extend_from_slice(&[0]);
    }
    frame
}

/// Room for the length, and the header of a request.
pub(super) fn begin_request<R: KafkaRequest>(
    correlation_id: i32,
    client_id: &str,
    version: i16,
) -> Result<BytesMut, EncodeError> {
    let mut header = super::messages::RequestHeader::default();
    header.request_api_key = R::API_KEY.value();
    header.request_api_version = version;
    header.correlation_id = correlation_id;
    header.client_id = Some(StrBytes::from(client_id));
    let flexible = R::is_flexible(ApiVersion::new(version));
    let mut frame = BytesMut::with_capacity(128);
    frame.extend_from_slice(&[0; LENGTH_LEN]);
    let header_version = ApiVersion::new(request_header_version(flexible));
    header.encode(&mut Encoder::new(&mut frame), header_version)?;
    Ok(frame)
}

/// Writes the length of a frame, `elsewhere` bytes of which are not in it, over its first bytes.
pub(super) fn put_length(frame: &mut BytesMut, elsewhere: usize) -> Result<(), EncodeError> {
    let bytes = (frame.len() - LENGTH_LEN).saturating_add(elsewhere);
    let length = i32::try_from(bytes).map_err(|_| EncodeError::FrameTooLarge { bytes })?;
    frame[..LENGTH_LEN].copy_from_slice(&length.to_be_bytes());
    Ok(())
}

/// Whether tags follow the correlation id. Never those of ApiVersions: its answer has to be read
/// by clients that don't know which version it has (KIP-511).
fn has_tags<M: KafkaResponse>(version: i16) -> bool {
    M::is_flexible(ApiVersion::new(version)) && M::API_KEY != ApiVersionsResponse::API_KEY
}

/// The correlation id of a response. `frame` is without its length.
pub fn correlation_id(frame: &[u8]) -> Option<i32> {
    frame.first_chunk().map(|id| i32::from_be_bytes(*id))
}

/// Reads a response. `frame` is without its length.
pub fn decode_response<M: KafkaResponse>(
    frame: impl Into<Bytes>,
    version: i16,
) -> Result<(i32, M), FrameError> {
    let malformed = |error| FrameError::Malformed { what: M::NAME, error };
    let mut decoder = Decoder::new(frame.into(), limits(usize::MAX)).map_err(malformed)?;
    let correlation_id = decoder.read_i32().map_err(malformed)?;
    if has_tags::<M>(version) {
        decoder.read_tagged_fields().map_err(malformed)?;
    }
    let message = M::decode(&mut decoder, ApiVersion::new(version)).map_err(malformed)?;
    decoder.finish().map_err(malformed)?;
    Ok((correlation_id, message))
}

/// What a request may take. The frame itself was bounded when it was read
/// (`socket.request.max.bytes`), and no string or batch in it is longer than it.
fn request_limits<R: KafkaRequest>() -> DecodeLimits {
    let has_records = R::API_KEY == ProduceRequest::API_KEY;
    limits(if has_records { usize::MAX } else { MAX_BODY })
}

fn limits(max_body: usize) -> DecodeLimits {
    let mut limits = DecodeLimits::default();
    limits.max_frame_bytes = max_body;
    limits.max_string_bytes = max_body;
    limits.max_bytes_bytes = max_body;
    limits.max_array_elements = MAX_ELEMENTS;
    limits.max_tagged_fields = MAX_TAGS;
    limits.max_tag_bytes = max_body;
    limits.max_total_tag_bytes = max_body;
    limits
}

#[cfg(test)]
mod tests;
