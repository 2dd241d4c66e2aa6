//! Sockets of whichever world it is.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Kind;
use crate::io::real::{RealListener, RealStream};
use crate::io::{Address, File, Listener, Net, Part, Stream, World};
use crate::sim::leap::{LeapListener, LeapStream};
#[cfg(feature = "referee")]
use crate::sim::turmoil::{TurmoilListener, TurmoilStream};

/// The network as one host sees it.
pub struct AnyNet(pub(super) Kind);

/// Waits for connections.
pub struct AnyListener(Listening);

enum Listening {
    Leap(LeapListener),
    #[cfg(feature = "referee")]
    Turmoil(TurmoilListener),
    Real(RealListener),
}

/// One connection.
pub struct AnyStream(Connected);

enum Connected {
    Leap(LeapStream),
    #[cfg(feature = "referee")]
    Turmoil(TurmoilStream),
    Real(RealStream),
}

impl Net for AnyNet {
    type Listener = AnyListener;
    type Stream = AnyStream;

    async fn bind(&self, at: &Address) -> io::Result<AnyListener> {
        Ok(AnyListener(match &self.0 {
            Kind::Leap(world) => Listening::Leap(world.net().bind(at).await?),
            #[cfg(feature = "referee")]
            Kind::Turmoil(world) => Listening::Turmoil(world.net().bind(at).await?),
            Kind::Real(world) => Listening::Real(world.net().bind(at).await?),
        }))
    }

    async fn connect(&self, to: &Address) -> io::Result<AnyStream> {
        Ok(AnyStream(match &self.0 {
            Kind::Leap(world) => Connected::Leap(world.net().connect(to).await?),
            #[cfg(feature = "referee")]
            Kind::Turmoil(world) => Connected::Turmoil(world.net().connect(to).await?),
            Kind::Real(world) => Connected::Real(world.net().connect(to).await?),
        }))
    }
}

impl Listener for AnyListener {
    type Stream = AnyStream;

    async fn accept(&mut self) -> io::Result<(AnyStream, Address)> {
        let (stream, from) = match &mut self.0 {
            Listening::Leap(listener) => {
                let (stream, from) = listener.accept().await?;
                (Connected::Leap(stream), from)
            }
            #[cfg(feature = "referee")]
            Listening::Turmoil(listener) => {
                let (stream, from) = listener.accept().await?;
                (Connected::Turmoil(stream), from)
            }
            Listening::Real(listener) => {
                let (stream, from) = listener.accept().await?;
                (Connected::Real(stream), from)
            }
        };
        Ok((AnyStream(stream), from))
    }

    fn local_address(&self) -> io::Result<Address> {
        match &self.0 {
            Listening::Leap(listener) => listener.local_address(),
            #[cfg(feature = "referee")]
            Listening::Turmoil(listener) => listener.local_address(),
            Listening::Real(listener) => listener.local_address(),
        }
    }
}

impl Stream for AnyStream {
    async fn send<F: File>(&mut self, parts: &[Part<F>]) -> io::Result<()> {
        match &mut self.0 {
            Connected::Leap(stream) => stream.send(parts).await,
            #[cfg(feature = "referee")]
            Connected::Turmoil(stream) => stream.send(parts).await,
            Connected::Real(stream) => stream.send(parts).await,
        }
    }
}

/// The same call of whichever stream it is.
macro_rules! stream {
    ($this:expr, $name:ident => $does:expr) => {
        match &mut $this.get_mut().0 {
            Connected::Leap($name) => $does,
            #[cfg(feature = "referee")]
            Connected::Turmoil($name) => $does,
            Connected::Real($name) => $does,
        }
    };
}

impl AsyncRead for AnyStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        stream!(self, stream => Pin::new(stream).poll_read(context, buffer))
    }
}

impl AsyncWrite for AnyStream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        stream!(self, stream => Pin::new(stream).poll_write(context, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        stream!(self, stream => Pin::new(stream).poll_flush(context))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        stream!(self, stream => Pin::new(stream).poll_shutdown(context))
    }
}
