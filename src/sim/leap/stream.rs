//! Network handles of a process: listeners and connections.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::conn::ConnKey;
use super::side::Side;
use super::world::Shared;
use crate::io::{Address, File, Listener, Net, Part, Stream};
use crate::sim::process::Process;

/// The network as one boot of one host sees it.
#[derive(Clone)]
pub struct LeapNet {
    pub(super) shared: Arc<Shared>,
    pub(super) process: Arc<Process>,
}

impl Net for LeapNet {
    type Listener = LeapListener;
    type Stream = LeapStream;

    async fn bind(&self, at: &Address) -> io::Result<LeapListener> {
        self.process.go_on().await;
        let mut state = self.shared.state.lock();
        if state.net.resolve(self.process.host, &at.host)? != self.process.host {
            return Err(io::ErrorKind::AddrNotAvailable.into());
        }
        let (serial, port) = state.net.bind(self.process.host, at.port)?;
        Ok(LeapListener { net: self.clone(), serial, port })
    }

    async fn connect(&self, to: &Address) -> io::Result<LeapStream> {
        self.process.go_on().await;
        let stream = {
            let state = &mut *self.shared.state.lock();
            let host = state.net.resolve(self.process.host, &to.host)?;
            let key = state.net.connect(&mut state.agenda, self.process.host, host, to.port);
            LeapStream { net: self.clone(), key, side: Side::Client }
        };
        poll_fn(|context| self.shared.state.lock().net.connected(stream.key, context)).await?;
        Ok(stream)
    }
}

/// A listener on one port.
pub struct LeapListener {
    net: LeapNet,
    serial: u64,
    port: u16,
}

impl Listener for LeapListener {
    type Stream = LeapStream;

    async fn accept(&mut self) -> io::Result<(LeapStream, Address)> {
        self.net.process.go_on().await;
        let host = self.net.process.host;
        let shared = &self.net.shared;
        let (key, client, port) = poll_fn(|context| {
            shared.state.lock().net.accept(host, self.port, self.serial, context)
        })
        .await?;
        let name = shared.state.lock().net.name(client);
        let stream = LeapStream { net: self.net.clone(), key, side: Side::Server };
        Ok((stream, Address::new(&*name, port)))
    }

    fn local_address(&self) -> io::Result<Address> {
        Ok(Address::new(&*self.net.process.name, self.port))
    }
}

impl Drop for LeapListener {
    fn drop(&mut self) {
        if self.net.process.alive() {
            let state = &mut *self.net.shared.state.lock();
            let host = self.net.process.host;
            state.net.unbind(&mut state.agenda, host, self.port, self.serial);
        }
    }
}

/// One end of a connection.
pub struct LeapStream {
    net: LeapNet,
    key: ConnKey,
    side: Side,
}

impl LeapStream {
    fn poll_room(&self, context: &Context<'_>) -> Poll<io::Result<usize>> {
        if !self.net.process.alive() {
            return Poll::Pending;
        }
        self.net.shared.state.lock().net.room(self.key, self.side, context)
    }

    async fn room(&self) -> io::Result<usize> {
        poll_fn(|context| self.poll_room(context)).await
    }

    fn write_now(&self, bytes: Bytes) {
        if self.net.process.alive() {
            let state = &mut *self.net.shared.state.lock();
            state.net.write(&mut state.agenda, self.key, self.side, bytes);
        }
    }
}

impl Stream for LeapStream {
    /// Sends parts together, as far as there is room: a message is one segment if it fits.
    async fn send<F: File>(&mut self, parts: &[Part<F>]) -> io::Result<()> {
        let mut left: u64 = parts.iter().map(Part::len).sum();
        let mut room = 0;
        let mut together = BytesMut::new();
        for part in parts {
            let (mut at, len) = (0, part.len());
            while at < len {
                if together.len() == room {
                    self.write_now(together.split().freeze());
                    room = self.room().await?;
                    together.reserve(usize::try_from(left).unwrap_or(room).min(room));
                }
                let begin = together.len();
                let count = usize::try_from(len - at).unwrap_or(room).min(room - begin);
                match part {
                    Part::Bytes(bytes) => {
                        let from = at as usize;
                        together.extend_from_slice(&bytes[from..from + count]);
                    }
                    Part::Slice(slice) => {
                        together.resize(begin + count, 0);
                        let target = &mut together[begin..];
                        if let Err(error) = slice.file.read_exact_at(target, slice.offset + at) {
                            together.truncate(begin);
                            self.write_now(together.freeze());
                            return Err(error);
                        }
                    }
                }
                at += count as u64;
                left -= count as u64;
            }
        }
        self.write_now(together.freeze());
        Ok(())
    }
}

impl AsyncRead for LeapStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.net.process.alive() {
            return Poll::Pending;
        }
        let state = &mut *self.net.shared.state.lock();
        state.net.read(&mut state.agenda, self.key, self.side, out, context)
    }
}

impl AsyncWrite for LeapStream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if !self.net.process.alive() {
            return Poll::Pending;
        }
        let state = &mut *self.net.shared.state.lock();
        let room = std::task::ready!(state.net.room(self.key, self.side, context))?;
        let len = room.min(bytes.len());
        let bytes = Bytes::copy_from_slice(&bytes[..len]);
        state.net.write(&mut state.agenda, self.key, self.side, bytes);
        Poll::Ready(Ok(len))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if !self.net.process.alive() {
            return Poll::Pending;
        }
        let state = &mut *self.net.shared.state.lock();
        let room = std::task::ready!(state.net.room(self.key, self.side, context))?;
        let len = room.min(slices.iter().map(|slice| slice.len()).sum());
        let mut bytes = BytesMut::with_capacity(len);
        for slice in slices {
            let count = slice.len().min(len - bytes.len());
            bytes.extend_from_slice(&slice[..count]);
        }
        state.net.write(&mut state.agenda, self.key, self.side, bytes.freeze());
        Poll::Ready(Ok(len))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.net.process.alive() {
            let state = &mut *self.net.shared.state.lock();
            state.net.shutdown(&mut state.agenda, self.key, self.side);
        }
        Poll::Ready(Ok(()))
    }
}

impl Drop for LeapStream {
    fn drop(&mut self) {
        // The handles of a dead process were already closed, or silenced, when it died.
        if self.net.process.alive() {
            let state = &mut *self.net.shared.state.lock();
            state.net.close(&mut state.agenda, self.key, self.side);
        }
    }
}
