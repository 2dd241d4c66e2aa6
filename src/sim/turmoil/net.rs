//! turmoil's listeners and streams behind our traits.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use turmoil::net::{TcpListener, TcpStream};

use super::reach::Windows;
use super::world::{Shared, Tenant};
use crate::io::{Address, File, Listener, Net, Part, Stream};
use crate::sim::HostId;
use crate::sim::trace::kind;

/// Delay before an unanswered connection attempt is repeated; it doubles up to the last.
const RETRY_FIRST: Duration = Duration::from_millis(200);
const RETRY_LAST: Duration = Duration::from_millis(6_400);

/// The network as one boot of one host sees it.
#[derive(Clone)]
pub struct TurmoilNet {
    pub(super) shared: Arc<Shared>,
    pub(super) tenant: Arc<Tenant>,
}

impl TurmoilNet {
    fn host(&self) -> HostId {
        self.tenant.process.host
    }

    fn stream(&self, inner: TcpStream, peer: HostId, windows: Windows) -> TurmoilStream {
        TurmoilStream { net: self.clone(), inner, peer, windows, finished: false }
    }
}

impl Net for TurmoilNet {
    type Listener = TurmoilListener;
    type Stream = TurmoilStream;

    async fn bind(&self, at: &Address) -> io::Result<TurmoilListener> {
        self.tenant.process.go_on().await;
        if self.shared.reach.lock().resolve(self.host(), &at.host)? != self.host() {
            return Err(io::ErrorKind::AddrNotAvailable.into());
        }
        let inner = TcpListener::bind((Ipv4Addr::UNSPECIFIED, at.port)).await?;
        Ok(TurmoilListener { net: self.clone(), inner })
    }

    /// turmoil drops blocked segments and treats that as a refusal. Here it is silence, and the
    /// attempt is repeated like in TCP.
    async fn connect(&self, to: &Address) -> io::Result<TurmoilStream> {
        self.tenant.process.go_on().await;
        let (peer, addr) = {
            let reach = self.shared.reach.lock();
            let peer = reach.resolve(self.host(), &to.host)?;
            (peer, reach.addr(peer))
        };
        let mut retry = RETRY_FIRST;
        loop {
            let (heard, before) = self.shared.reach.lock().answers(self.host(), peer);
            if heard && self.shared.reach.lock().admit(peer) {
                let result = TcpStream::connect((addr, to.port)).await;
                let (heard, after) = self.shared.reach.lock().answers(self.host(), peer);
                match result {
                    Err(error) if heard && before == after => {
                        return Err(error.kind().into());
                    }
                    Err(_) => {}
                    Ok(stream) => {
                        let pair = (stream.local_addr()?, stream.peer_addr()?);
                        let windows = self.shared.reach.lock().connected(pair);
                        return Ok(self.stream(stream, peer, windows));
                    }
                }
            }
            tokio::time::sleep(retry).await;
            retry = (retry * 2).min(RETRY_LAST);
        }
    }
}

/// A listener on one port.
pub struct TurmoilListener {
    net: TurmoilNet,
    inner: TcpListener,
}

impl Listener for TurmoilListener {
    type Stream = TurmoilStream;

    async fn accept(&mut self) -> io::Result<(TurmoilStream, Address)> {
        self.net.tenant.process.go_on().await;
        let (stream, from): (TcpStream, SocketAddr) = self.inner.accept().await?;
        let pair = (stream.peer_addr()?, stream.local_addr()?);
        let mut reach = self.net.shared.reach.lock();
        let windows = reach.accepted(pair);
        let (peer, name) = reach.host_at(from.ip()).ok_or(io::ErrorKind::AddrNotAvailable)?;
        let address = Address::new(&*name, from.port());
        Ok((self.net.stream(stream, peer, windows), address))
    }

    fn local_address(&self) -> io::Result<Address> {
        let port = self.inner.local_addr()?.port();
        Ok(Address::new(&*self.net.tenant.process.name, port))
    }
}

/// Largest piece sent at once, in bytes.
const SEGMENT: usize = 64 * 1024;

/// One end of a connection.
pub struct TurmoilStream {
    net: TurmoilNet,
    inner: TcpStream,
    peer: HostId,
    windows: Windows,
    finished: bool,
}

impl Stream for TurmoilStream {
    async fn send<F: File>(&mut self, parts: &[Part<F>]) -> io::Result<()> {
        for part in parts {
            match part {
                Part::Bytes(bytes) => self.write_all(bytes).await?,
                Part::Slice(slice) => {
                    let mut at = slice.offset;
                    let end = slice.offset.saturating_add(slice.len);
                    while at < end {
                        let len = usize::try_from(end - at).unwrap_or(SEGMENT).min(SEGMENT);
                        let mut chunk = BytesMut::zeroed(len);
                        slice.file.read_exact_at(&mut chunk, at)?;
                        self.write_all(&chunk).await?;
                        at += len as u64;
                    }
                }
            }
        }
        Ok(())
    }
}

impl AsyncRead for TurmoilStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.net.tenant.process.alive() {
            return Poll::Pending;
        }
        let before = out.filled().len();
        ready!(Pin::new(&mut this.inner).poll_read(context, out))?;
        let read = &out.filled()[before..];
        this.windows.receives.read(read.len());
        let (shared, host) = (&this.net.shared, this.net.host());
        shared.witness.trace(shared.now(), kind::DELIVER, host, this.peer.0.into(), read, || {
            format!("reads {} from {}", read.len(), this.peer)
        });
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for TurmoilStream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if !this.net.tenant.process.alive() {
            return Poll::Pending;
        }
        let room = this.windows.sends.room(context.waker());
        if room == 0 && !this.finished {
            return Poll::Pending;
        }
        let bytes = &bytes[..bytes.len().min(room).min(SEGMENT)];
        let count = ready!(Pin::new(&mut this.inner).poll_write(context, bytes))?;
        this.windows.sends.wrote(count);
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.net.tenant.process.alive() || std::mem::replace(&mut this.finished, true) {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut this.inner).poll_shutdown(context)
    }
}

impl Drop for TurmoilStream {
    fn drop(&mut self) {
        self.windows.receives.abandon();
    }
}
