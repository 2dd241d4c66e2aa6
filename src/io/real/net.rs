//! Real sockets.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;
use std::pin::Pin;
use std::task::{Context, Poll};

use rustix::net::SendFlags;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, Interest, ReadBuf};
use tokio::net::{TcpListener, TcpStream, lookup_host};

use crate::io::{Address, File, Listener, Net, Part, Slice, Stream};

/// Most bytes of one `sendfile`: a page that is not in memory blocks the thread, so a call must
/// not be about too many of them.
const SENDFILE_CHUNK: u64 = 512 * 1024;

/// TCP, by tokio.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealNet;

/// A listening socket.
#[derive(Debug)]
pub struct RealListener(TcpListener);

/// A connected socket.
#[derive(Debug)]
pub struct RealStream(TcpStream);

impl Net for RealNet {
    type Listener = RealListener;
    type Stream = RealStream;

    async fn bind(&self, at: &Address) -> io::Result<RealListener> {
        let listener = TcpListener::bind((host_or_all(at), at.port)).await;
        listener
            .map(RealListener)
            .map_err(|error| io::Error::new(error.kind(), format!("can't listen on {at}: {error}")))
    }

    async fn connect(&self, to: &Address) -> io::Result<RealStream> {
        let mut last = io::Error::new(ErrorKind::NotFound, format!("{to} has no address"));
        for address in lookup_host((to.host.as_str(), to.port)).await? {
            match TcpStream::connect(address).await {
                Ok(stream) => {
                    stream.set_nodelay(true)?;
                    return Ok(RealStream(stream));
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

/// An empty host means every interface, as in Kafka's `PLAINTEXT://:9092`.
fn host_or_all(at: &Address) -> &str {
    if at.host.is_empty() { "0.0.0.0" } else { &at.host }
}

impl Listener for RealListener {
    type Stream = RealStream;

    async fn accept(&mut self) -> io::Result<(RealStream, Address)> {
        let (stream, peer) = self.0.accept().await?;
        stream.set_nodelay(true)?;
        Ok((RealStream(stream), address(peer)))
    }

    fn local_address(&self) -> io::Result<Address> {
        self.0.local_addr().map(address)
    }
}

fn address(socket: SocketAddr) -> Address {
    Address::new(socket.ip().to_string(), socket.port())
}

impl Stream for RealStream {
    async fn send<F: File>(&mut self, parts: &[Part<F>]) -> io::Result<()> {
        for (index, part) in parts.iter().enumerate() {
            let more = index + 1 < parts.len();
            match part {
                Part::Bytes(bytes) => self.send_bytes(bytes, more).await?,
                Part::Slice(slice) => match slice.file.descriptor() {
                    Some(file) => self.send_file(file, slice.offset, slice.len).await?,
                    None => self.copy_file(slice).await?,
                },
            }
        }
        Ok(())
    }
}

impl RealStream {
    /// Sends bytes; `more` keeps the kernel from sending a short packet before what follows.
    async fn send_bytes(&mut self, mut bytes: &[u8], more: bool) -> io::Result<()> {
        let flags = if more { SendFlags::MORE } else { SendFlags::empty() } | SendFlags::NOSIGNAL;
        while !bytes.is_empty() {
            let sent = self
                .0
                .async_io(Interest::WRITABLE, || Ok(rustix::net::send(&self.0, bytes, flags)?))
                .await?;
            bytes = &bytes[sent..];
        }
        Ok(())
    }

    /// From the page cache to the socket, without a copy in user space.
    async fn send_file(
        &mut self,
        file: BorrowedFd<'_>,
        mut offset: u64,
        len: u64,
    ) -> io::Result<()> {
        let end = offset + len;
        while offset < end {
            let chunk = (end - offset).min(SENDFILE_CHUNK) as usize;
            let sent = self
                .0
                .async_io(Interest::WRITABLE, || {
                    let mut from = offset;
                    Ok(rustix::fs::sendfile(&self.0, file, Some(&mut from), chunk)?)
                })
                .await?;
            if sent == 0 {
                return Err(io::Error::new(
                    ErrorKind::UnexpectedEof,
                    format!("a slice ends at {end}, its file at {offset}"),
                ));
            }
            offset += sent as u64;
        }
        Ok(())
    }

    async fn copy_file<F: File>(&mut self, slice: &Slice<F>) -> io::Result<()> {
        let mut buffer = vec![0; slice.len.min(SENDFILE_CHUNK) as usize];
        let mut done = 0;
        while done < slice.len {
            let chunk = (slice.len - done).min(SENDFILE_CHUNK) as usize;
            slice.file.read_exact_at(&mut buffer[..chunk], slice.offset + done)?;
            self.0.write_all(&buffer[..chunk]).await?;
            done += chunk as u64;
        }
        Ok(())
    }
}

impl AsyncRead for RealStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for RealStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}
