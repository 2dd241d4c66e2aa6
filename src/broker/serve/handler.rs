//! What an API implements, and what it may reply.

use std::pin::Pin;
use std::sync::Arc;

use super::session::Session;
use crate::controller::Image;
use crate::io::{Disk, Part, Slice, World};
use crate::wire::api::Api;
use crate::wire::frame::{self, FrameError, Request, RequestHeader};
use crate::wire::messages::{FetchResponse, KafkaRequest, KafkaResponse};
use crate::wire::{Piece, fetch};

/// The files of a world.
pub(crate) type FileOf<W> = <<W as World>::Disk as Disk>::File;

/// A part of the node that serves listeners: the broker or the controller.
pub(crate) trait Role: Send + Sync + 'static {
    type World: World;

    /// Every API that this role serves, by key.
    fn apis() -> impl Iterator<Item = &'static Api>;

    /// The cluster's metadata as of now; `None` if this role has ended.
    fn metadata(&self) -> Option<Arc<Image>>;

    /// Answers a request in a version that [`Role::apis`] names.
    fn find(key: i16) -> Option<(&'static Api, Call<Self>)>;
}

/// One API as one role serves it.
pub(crate) trait Handler<R: Role> {
    type Request: KafkaRequest + Send;
    /// A response message, or one of the other ways to [`Answer`].
    type Response: Answer<FileOf<R::World>>;

    fn handle(
        role: &Arc<R>,
        request: Self::Request,
        context: Context<'_>,
    ) -> impl Future<Output = Self::Response> + Send;
}

/// What a handler knows besides the request's body.
pub(crate) struct Context<'a> {
    pub(crate) version: i16,
    pub(crate) session: &'a mut Session,
}

/// A handler with its types erased, for a row of the table.
pub(crate) type Call<R> = for<'a> fn(&'a Arc<R>, Request, &'a mut Session) -> Replying<'a, R>;

/// Boxed: an idle connection then takes no memory for the largest of all handlers.
pub(crate) type Replying<'a, R> = Pin<
    Box<dyn Future<Output = Result<Reply<FileOf<<R as Role>::World>>, FrameError>> + Send + 'a>,
>;

/// Decodes the body, runs the handler, encodes what it answers.
pub(in crate::broker) fn call<'a, R: Role, H: Handler<R>>(
    role: &'a Arc<R>,
    request: Request,
    session: &'a mut Session,
) -> Replying<'a, R> {
    Box::pin(async move {
        let body = request.decode::<H::Request>()?;
        // The records in the body share the frame: to rewrite them in place takes its only owner.
        let Request { header, body: frame } = request;
        drop(frame);
        let context = Context { version: header.api_version, session };
        H::handle(role, body, context).await.into_reply(&header)
    })
}

/// What is sent back for a request.
pub(crate) enum Reply<F> {
    /// A whole frame, in parts.
    Frame(Vec<Part<F>>),
    /// Nothing: `acks=0`.
    Silence,
    /// Nothing, and the connection is closed for this reason.
    Close(String),
}

/// What a handler returns.
pub(crate) trait Answer<F>: Send {
    fn into_reply(self, header: &RequestHeader) -> Result<Reply<F>, FrameError>;
}

impl<M: KafkaResponse + Send, F> Answer<F> for M {
    fn into_reply(self, header: &RequestHeader) -> Result<Reply<F>, FrameError> {
        let frame = frame::encode_response(header.correlation_id, header.api_version, &self)?;
        Ok(Reply::Frame(vec![Part::Bytes(frame.freeze())]))
    }
}

/// A fetch response whose records are slices of files, one for each partition in order.
pub(crate) struct Fetched<F> {
    pub(crate) response: FetchResponse,
    pub(crate) slices: Vec<Option<Slice<F>>>,
}

impl<F: Send> Answer<F> for Fetched<F>
where
    Slice<F>: Send,
{
    fn into_reply(self, header: &RequestHeader) -> Result<Reply<F>, FrameError> {
        let Self { response, mut slices } = self;
        let lengths: Vec<_> =
            slices.iter().map(|slice| slice.as_ref().map(|slice| slice.len as usize)).collect();
        let pieces =
            fetch::encode_response(header.correlation_id, header.api_version, response, &lengths)?;
        let parts = pieces.into_iter().filter_map(|piece| match piece {
            Piece::Bytes(bytes) => Some(Part::Bytes(bytes)),
            Piece::Records(index) => slices.get_mut(index)?.take().map(Part::Slice),
        });
        Ok(Reply::Frame(parts.collect()))
    }
}

/// An answer that may also be none.
pub(crate) enum Outcome<T> {
    Respond(T),
    /// As for `acks=0`.
    Silence,
    /// Close the connection for this reason: the request has no other way to fail, or the node
    /// ends and the client has to ask its successor.
    Close(String),
}

impl<T, E: std::fmt::Display> From<Result<T, E>> for Outcome<T> {
    fn from(result: Result<T, E>) -> Self {
        match result {
            Ok(response) => Self::Respond(response),
            Err(error) => Self::Close(error.to_string()),
        }
    }
}

impl<F, T: Answer<F>> Answer<F> for Outcome<T> {
    fn into_reply(self, header: &RequestHeader) -> Result<Reply<F>, FrameError> {
        match self {
            Self::Respond(response) => response.into_reply(header),
            Self::Silence => Ok(Reply::Silence),
            Self::Close(reason) => Ok(Reply::Close(reason)),
        }
    }
}
