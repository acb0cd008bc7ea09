//! Connections to the upstream.

use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream, lookup_host};
use tokio::runtime::Handle;
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout};

use super::Settings;
use super::failure::Failure;
use super::send::Outgoing;
use super::tls::Connector;
use crate::net::socket::{Duplex, Socket};

/// How long a Unix socket is left open behind an upload that was broken off: longer than servers wait for the rest of it.
const LEFT_OPEN: Duration = Duration::from_secs(600);

/// A connection on which requests can be sent, one after the other.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) sender: SendRequest<Outgoing>,
    /// The task that moves its bytes; ending it drops the socket.
    pub(super) task: AbortHandle,
    pub(super) sending: Arc<Sending>,
}

/// How far the bytes that are to be sent on a connection have got.
#[derive(Debug, Default)]
pub(super) struct Sending {
    last_taken: Mutex<Option<Instant>>,
    has_more: AtomicBool,
    /// Whether the connection carries no HTTP any more.
    has_switched: AtomicBool,
    /// Whether the body of the request that was begun last has ended; none was begun yet without it.
    ended: Mutex<Option<Arc<AtomicBool>>>,
    /// What the exchange takes of those that may be under way, once nobody but the socket is left of it.
    exchange: Mutex<Option<OwnedSemaphorePermit>>,
}

impl Connection {
    /// Whether another request can be sent on it. One that has answered needs a moment at most to come back, and one that
    /// was closed says so at once.
    pub(super) async fn is_ready(&mut self, moment: Duration) -> bool {
        self.sender.is_ready() || matches!(timeout(moment, self.sender.ready()).await, Ok(Ok(())))
    }

    /// Whether the last exchange is over in both directions. An answer may come before its request has been sent whole.
    pub(super) fn is_idle(&self) -> bool {
        self.sender.is_ready() && !self.sending.has_more()
    }
}

impl Sending {
    /// When the kernel last took some of it.
    pub(super) fn last_taken(&self) -> Option<Instant> {
        *self.last_taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether some of what is to be sent has not been taken yet, by TLS or by the kernel.
    pub(super) fn has_more(&self) -> bool {
        self.has_more.load(Ordering::Relaxed)
    }

    /// Begins a request, whose body says when it has ended.
    pub(super) fn begin(&self, ended: &Arc<AtomicBool>) {
        *self.ended.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(ended));
    }

    /// What follows is no HTTP, and ends in good order where its client's does.
    pub(super) fn switch(&self) {
        self.has_switched.store(true, Ordering::Relaxed);
    }

    fn has_switched(&self) -> bool {
        self.has_switched.load(Ordering::Relaxed)
    }

    /// Keeps account of an exchange for as long as the socket is open.
    pub(super) fn outlast(&self, exchange: Option<OwnedSemaphorePermit>) {
        *self.exchange.lock().unwrap_or_else(PoisonError::into_inner) = exchange;
    }

    /// Whether the upstream has been sent a part of a request.
    fn is_broken_off(&self) -> bool {
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        let is_half = self.has_more() || ended.as_ref().is_some_and(|ended| !ended.load(Ordering::Relaxed));
        // What is no request can be no half of one.
        is_half && !self.has_switched()
    }

    fn took(&self, written: &Poll<io::Result<usize>>) {
        if let Poll::Ready(Ok(_)) = written {
            *self.last_taken.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        }
    }
}

/// Connects to the upstream.
pub(super) async fn connect(settings: &Settings, tls: Option<&Connector>) -> Result<Connection, Failure> {
    let sending = Arc::new(Sending::default());
    let connected = timeout(settings.connect_timeout, async {
        let socket = match &settings.socket {
            Some(path) => Socket::Unix(dial_unix(path).await?),
            None => Socket::Tcp(dial(&settings.authority).await?),
        };
        let socket = Counting { socket: Some(socket), sending: Arc::clone(&sending) };
        Ok(match tls {
            Some(tls) => Stream::Tls(Box::new(tls.connect(socket).await?)),
            None => Stream::Clear(socket),
        })
    });
    let stream = connected.await.unwrap_or(Err(Failure::ConnectionTimeout))?;
    let (sender, connection) = http1::Builder::new()
        .preserve_header_case(true)
        .handshake(TokioIo::new(Resetting { stream, sending: Arc::clone(&sending) }))
        .await
        .map_err(|_| Failure::ConnectionTerminated)?;
    let task = tokio::spawn(async move {
        // Whoever waits for an answer is told of an error by hyper; an idle connection has nobody to tell.
        let _ = connection.with_upgrades().await;
    });
    Ok(Connection { sender, task: task.abort_handle(), sending })
}

/// Tries the addresses of the upstream in the resolver's order.
async fn dial(authority: &str) -> Result<TcpStream, Failure> {
    let addresses: Vec<_> = lookup_host(authority).await.map_err(|_| Failure::DnsError)?.collect();
    let stream = TcpStream::connect(&addresses[..]).await.map_err(|error| match error.kind() {
        io::ErrorKind::TimedOut => Failure::ConnectionTimeout,
        _ => Failure::ConnectionRefused,
    })?;
    // From the start, so that even a killed process resets what it had begun.
    let prepared = stream.set_zero_linger().and_then(|()| stream.set_nodelay(true));
    prepared.map_err(|_| Failure::ConnectionRefused)?;
    Ok(stream)
}

async fn dial_unix(path: &Path) -> Result<UnixStream, Failure> {
    UnixStream::connect(path).await.map_err(|_| Failure::ConnectionRefused)
}

/// A socket that counts what the kernel takes, and never ends in good order what was broken off.
struct Counting {
    /// There until this is dropped.
    socket: Option<Socket>,
    sending: Arc<Sending>,
}

impl Counting {
    fn socket(&mut self) -> io::Result<Pin<&mut Socket>> {
        self.socket.as_mut().map(Pin::new).ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

/// A TCP socket has linger zero, so that closing it resets. A Unix socket knows no reset: behind half an upload it is
/// left open until the upstream ends it, so that the half does not look like the whole. An exchange stays under way
/// for as long, which bounds how many there are.
impl Drop for Counting {
    fn drop(&mut self) {
        let sending = Arc::clone(&self.sending);
        if let Some(Socket::Unix(mut stream)) = self.socket.take_if(|_| sending.is_broken_off())
            && let Ok(runtime) = Handle::try_current()
        {
            runtime.spawn(async move {
                let end = async { while stream.read(&mut [0; 1024]).await.is_ok_and(|count| count > 0) {} };
                let _ = timeout(LEFT_OPEN, end).await;
                drop((stream, sending));
            });
        }
    }
}

impl AsyncRead for Counting {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.socket()?.poll_read(cx, buffer)
    }
}

impl AsyncWrite for Counting {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = self.socket()?.poll_write(cx, bytes);
        self.sending.took(&written);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = self.socket()?.poll_write_vectored(cx, slices);
        self.sending.took(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket()?.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.sending.has_switched() {
            return Poll::Ready(Ok(()));
        }
        let mut socket = self.socket()?;
        // What was said last is delivered before the end.
        socket.set_no_linger()?;
        socket.as_mut().poll_shutdown(cx)
    }
}

/// What HTTP is spoken over.
enum Stream {
    Clear(Counting),
    Tls(Box<tokio_rustls::client::TlsStream<Counting>>),
}

/// A connection that is never ended in good order while it carries HTTP.
///
/// Some servers take the half of a body that an orderly close leaves behind for the whole. So the close of the sending
/// half alone is left out, and with it the goodbye of TLS (close_notify). In a tunnel both are what its client said.
struct Resetting {
    stream: Stream,
    sending: Arc<Sending>,
}

impl Resetting {
    fn duplex(&mut self) -> Pin<&mut dyn Duplex> {
        match &mut self.stream {
            Stream::Clear(stream) => Pin::new(stream),
            Stream::Tls(stream) => Pin::new(stream),
        }
    }

    /// Something is to be sent; what TLS has taken of it, the kernel may not have.
    fn has_more(&self) {
        self.sending.has_more.store(true, Ordering::Relaxed);
    }
}

impl AsyncRead for Resetting {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.duplex().poll_read(cx, buffer)
    }
}

impl AsyncWrite for Resetting {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.has_more();
        self.duplex().poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.has_more();
        self.duplex().poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.duplex().poll_flush(cx))?;
        // The HTTP library flushes when, and only when, it has nothing more to write.
        self.sending.has_more.store(false, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.sending.has_switched() {
            true => self.duplex().poll_shutdown(cx),
            false => Poll::Ready(Ok(())),
        }
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertifiedKey, generate_simple_self_signed};
    use rustls::ServerConfig;
    use rustls::pki_types::{PrivateKeyDer, ServerName};
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;
    use tokio_rustls::server::TlsStream;

    use super::*;
    use crate::net::tls::provider;
    use crate::upstream::tls::Files;

    #[tokio::test]
    async fn an_upload_that_ends_early_is_reset() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address").to_string();
        let socket = Some(Socket::Tcp(dial(&address).await.expect("it listens")));
        let sending = Arc::<Sending>::default();
        let stream = Stream::Clear(Counting { socket, sending: Arc::clone(&sending) });
        let mut upload = Resetting { stream, sending };
        let (mut server, _) = listener.accept().await.expect("a connection");
        upload.write_all(b"half").await.expect("it is open");
        // What hyper does when it is done with a connection before the request is.
        upload.shutdown().await.expect("nothing to do");
        upload.write_all(b"more").await.expect("its sending half was not closed");
        drop(upload);
        let ended = server.read_to_end(&mut Vec::new()).await.expect_err("no orderly end");
        assert_eq!(ended.kind(), io::ErrorKind::ConnectionReset);
    }

    #[tokio::test]
    async fn what_was_said_last_in_a_tunnel_is_delivered_after_its_end() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address").to_string();
        let socket = Some(Socket::Tcp(dial(&address).await.expect("it listens")));
        let sending = Arc::<Sending>::default();
        let stream = Stream::Clear(Counting { socket, sending: Arc::clone(&sending) });
        let mut tunnel = Resetting { stream, sending };
        tunnel.sending.switch();
        let (mut server, _) = listener.accept().await.expect("a connection");
        let mut count = 0;
        // Until the kernel takes no more, so that much of it has not been sent yet.
        while let Ok(taken) = timeout(Duration::from_millis(200), tunnel.write(&[0; 64 * 1024])).await {
            count += taken.expect("it is open");
        }
        tunnel.shutdown().await.expect("it is open");
        drop(tunnel);
        let mut said = Vec::new();
        server.read_to_end(&mut said).await.expect("an orderly end");
        assert_eq!(said.len(), count);
    }

    /// Both ends of a connection over TLS.
    async fn over_tls() -> (Resetting, TlsStream<TcpStream>) {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        let mut ca = tempfile::NamedTempFile::new().expect("a file");
        io::Write::write_all(&mut ca, cert.pem().as_bytes()).expect("room for it");
        let key = PrivateKeyDer::try_from(signing_key.serialize_der()).expect("a key");
        let config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("some versions")
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .expect("they fit");
        let name = ServerName::try_from("localhost").expect("a name");
        let files = Files { ca: Some(ca.path().to_owned()), pair: None, name };
        let connector = Connector::load(&files).expect("an authority");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address").to_string();
        let sending = Arc::<Sending>::default();
        let socket = Some(Socket::Tcp(dial(&address).await.expect("it listens")));
        let socket = Counting { socket, sending: Arc::clone(&sending) };
        let (accepted, _) = listener.accept().await.expect("a connection");
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let (stream, server) = tokio::join!(connector.connect(socket), acceptor.accept(accepted));
        let stream = Stream::Tls(Box::new(stream.expect("a handshake")));
        (Resetting { stream, sending }, server.expect("a handshake"))
    }

    #[tokio::test]
    async fn an_upload_over_tls_that_ends_early_says_no_goodbye() {
        let (mut upload, mut server) = over_tls().await;
        upload.write_all(b"half").await.expect("it is open");
        upload.shutdown().await.expect("nothing to do");
        // Behind the goodbye of TLS nothing counts any more, and what came before would be the whole.
        upload.write_all(b"more").await.expect("no goodbye was said");
        upload.flush().await.expect("it is open");
        let mut said = [0; 8];
        server.read_exact(&mut said).await.expect("no end in between");
        assert_eq!(&said, b"halfmore");
        drop(upload);
        server.read_to_end(&mut Vec::new()).await.expect_err("no orderly end");
    }

    #[tokio::test]
    async fn a_tunnel_ends_in_good_order_where_its_client_does() {
        let (mut tunnel, mut server) = over_tls().await;
        tunnel.sending.switch();
        tunnel.write_all(b"all").await.expect("it is open");
        tunnel.shutdown().await.expect("it is open");
        drop(tunnel);
        let mut said = Vec::new();
        server.read_to_end(&mut said).await.expect("an orderly end");
        assert_eq!(said, b"all");
    }
}
