//! The one listening socket.

use std::fmt;
use std::fs::{self, File, Permissions, TryLockError};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tokio::net::{TcpListener, UnixListener};

use crate::net::client::Address;
use crate::net::socket::Socket;

/// How many connections wait in the kernel's queue.
const BACKLOG: i32 = 1024;

/// Where to listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// At an IP address and a port.
    Ip(SocketAddr),
    /// At a path.
    Unix(PathBuf),
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// A socket that listens.
#[derive(Debug)]
pub enum Listener {
    /// At an IP address.
    Tcp(TcpListener),
    /// At a path, whose file goes with it, and before it: then nobody takes it for one that was left behind.
    Unix(SocketFile, UnixListener),
}

impl Listener {
    /// Binds the one listening socket. An address that is in use is an error, also when another Staleguard holds it.
    ///
    /// # Errors
    /// When the address is in use or cannot be had.
    pub fn bind(endpoint: &Endpoint, socket_mode: u32) -> io::Result<Self> {
        match endpoint {
            Endpoint::Ip(address) => bind_ip(*address).map(Self::Tcp),
            Endpoint::Unix(path) => bind_unix(path, socket_mode),
        }
    }

    /// Where it listens.
    ///
    /// # Errors
    /// When the kernel does not tell.
    pub fn endpoint(&self) -> io::Result<Endpoint> {
        Ok(match self {
            Self::Tcp(listener) => Endpoint::Ip(listener.local_addr()?),
            Self::Unix(file, _) => Endpoint::Unix(file.path.clone()),
        })
    }

    pub(super) async fn accept(&self) -> io::Result<(Socket, Address)> {
        Ok(match self {
            Self::Tcp(listener) => {
                let (stream, address) = listener.accept().await?;
                stream.set_nodelay(true)?;
                (Socket::Tcp(stream), Address::Ip(address))
            }
            Self::Unix(_, listener) => (Socket::Unix(listener.accept().await?.0), Address::Unix),
        })
    }
}

/// Binds a socket that listens at an IP address.
///
/// # Errors
/// When the address is in use or not this machine's.
pub fn bind_ip(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = socket2::Socket::new(
        socket2::Domain::for_address(address),
        socket2::Type::STREAM,
        Some(socket2::Protocol::TCP),
    )?;
    // A restart need not wait for old connections; two listeners at a time are not possible with this on Linux.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// A file that a process which was killed has left behind is taken away first, and only such a one.
fn bind_unix(path: &Path, mode: u32) -> io::Result<Listener> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Two that start at once would each take the other's file for one that was left behind, and then there would be two
    // sets of holds.
    let _alone = locked(folder)?;
    if is_left_behind(path)? {
        fs::remove_file(path)?;
    }
    let listener = UnixListener::bind(path)?;
    let file = SocketFile { path: path.to_owned(), inode: fs::symlink_metadata(path)?.ino() };
    fs::set_permissions(path, Permissions::from_mode(mode))?;
    Ok(Listener::Unix(file, listener))
}

/// Locks a folder against other processes like this one, until what is given back is dropped.
fn locked(folder: &Path) -> io::Result<File> {
    let file = File::open(folder)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::Error(error)) => Err(error),
        Err(TryLockError::WouldBlock) => Err(io::Error::new(
            io::ErrorKind::WouldBlock,
            "another process that starts has locked its folder",
        )),
    }
}

/// Whether a socket stands there at which nobody listens. What is no socket is left alone.
fn is_left_behind(path: &Path) -> io::Result<bool> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => {
            match std::os::unix::net::UnixStream::connect(path) {
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(true),
                // Also where its queue is full or we may not ask: somebody may be there.
                Ok(_) | Err(_) => Ok(false),
            }
        }
        Ok(_) => Ok(false),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// The file of a Unix socket, which is taken away when this is dropped, unless it is another's by then.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    inode: u64,
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if fs::symlink_metadata(&self.path).is_ok_and(|found| found.ino() == self.inode) {
            // Where it cannot be taken away, the next start finds that nobody listens.
            let _ = fs::remove_file(&self.path);
        }
    }
}
