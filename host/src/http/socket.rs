//! The sockets of the server and of its connections: TCP, or a Unix socket. No other file knows which of the two they are.

use std::fmt::{self, Debug, Display};
use std::io::{self, IoSlice};
use std::net::SocketAddr;
#[cfg(unix)]
use std::path::Path;
use std::task::{Context, Poll};

use rustix::net::sockopt::set_socket_send_buffer_size;
use rustix::net::{Shutdown, shutdown};
use tokio::io::ReadBuf;
use tokio::net::{TcpListener, TcpStream};
#[cfg(unix)]
use tokio::net::{UnixListener, UnixStream};

#[cfg(unix)]
use crate::http::socket_file::SocketFile;

/// The size of the kernel's buffer for what a client has not read. The kernel doubles it. So a client that does not read is
/// noticed, whatever the size of its response, and costs little. Without it the limits still hold, but are noticed later.
const SEND_BUFFER_BYTES: usize = 64 << 10;

/// Stands for a client whose user the system does not name. No process has this user.
#[cfg(unix)]
const NO_USER: u32 = u32::MAX;

/// The socket that a server listens on: one of TCP, or a Unix socket where the system has them.
///
/// [`crate::serve`] takes the listeners of tokio as they are.
#[derive(Debug)]
pub struct Listener(Kind);

#[derive(Debug)]
enum Kind {
    Tcp(TcpListener),
    #[cfg(unix)]
    Unix {
        /// Before the socket, because it is dropped first: while the socket is open, no other file has the same identity.
        file: Option<SocketFile>,
        socket: UnixListener,
    },
}

/// The socket of a connection.
pub(crate) enum Connection {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(UnixStream),
}

/// The client at the other end of a connection, as far as its socket names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum ClientAddress {
    Tcp(SocketAddr),
    /// A Unix socket has no addresses, but the system says which user connects.
    #[cfg(unix)]
    User(u32),
}

/// Calls the same method of either socket.
macro_rules! either {
    ($connection:expr, $socket:ident => $call:expr) => {
        match $connection {
            Connection::Tcp($socket) => $call,
            #[cfg(unix)]
            Connection::Unix($socket) => $call,
        }
    };
}

impl Listener {
    /// Listens on a Unix socket, which the user and the group of its file may connect to. The file is removed when the server
    /// stops. A socket that a process left behind at this path is replaced.
    ///
    /// # Errors
    ///
    /// Fails if there is another file, if a process listens there, or if the folder does not exist or cannot be written.
    #[cfg(unix)]
    pub async fn unix(path: impl AsRef<Path>) -> anyhow::Result<Self> {
        let (socket, file) = SocketFile::bind(path.as_ref()).await?;
        Ok(Listener(Kind::Unix { file: Some(file), socket }))
    }

    pub(crate) async fn accept(&self) -> io::Result<(Connection, ClientAddress)> {
        match &self.0 {
            Kind::Tcp(socket) => {
                let (socket, address) = socket.accept().await?;
                Ok((Connection::Tcp(socket), ClientAddress::Tcp(address)))
            }
            #[cfg(unix)]
            Kind::Unix { socket, .. } => {
                let (socket, _) = socket.accept().await?;
                let user = socket.peer_cred().map_or(NO_USER, |client| client.uid());
                Ok((Connection::Unix(socket), ClientAddress::User(user)))
            }
        }
    }

    /// Removes the file of a Unix socket, if it is this listener's. Those who have connected already are not affected.
    pub(crate) fn remove_file(&mut self) {
        #[cfg(unix)]
        if let Kind::Unix { file, .. } = &mut self.0 {
            drop(file.take());
        }
    }
}

impl From<TcpListener> for Listener {
    fn from(socket: TcpListener) -> Self {
        // Connections inherit it.
        let _ = set_socket_send_buffer_size(&socket, SEND_BUFFER_BYTES);
        Listener(Kind::Tcp(socket))
    }
}

/// The server does not remove the file of such a socket.
#[cfg(unix)]
impl From<UnixListener> for Listener {
    fn from(socket: UnixListener) -> Self {
        Listener(Kind::Unix { file: None, socket })
    }
}

impl Connection {
    /// Makes the settings that a connection does not inherit.
    pub(crate) fn prepare(&self) -> io::Result<()> {
        match self {
            Connection::Tcp(socket) => socket.set_nodelay(true),
            #[cfg(unix)]
            Connection::Unix(socket) => Ok(set_socket_send_buffer_size(socket, SEND_BUFFER_BYTES)?),
        }
    }

    /// Waits until there is something to read, or until the client has closed its side, and then returns 0.
    pub(crate) async fn peek(&self) -> io::Result<usize> {
        match self {
            Connection::Tcp(socket) => socket.peek(&mut [0]).await,
            #[cfg(unix)]
            Connection::Unix(socket) => {
                let peek = || Ok(rustix::net::recv(socket, &mut [0], rustix::net::RecvFlags::PEEK)?.1);
                socket.async_io(tokio::io::Interest::READABLE, peek).await
            }
        }
    }

    /// Lets the connection end without delivering what the client has not read. A Unix socket has delivered everything.
    pub(crate) fn reset(&self) {
        match self {
            // If this fails, the kernel goes on delivering for a while.
            Connection::Tcp(socket) => drop(socket.set_zero_linger()),
            #[cfg(unix)]
            Connection::Unix(_) => {}
        }
    }

    pub(crate) fn poll_read_ready(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, socket => socket.poll_read_ready(context))
    }

    pub(crate) fn poll_write_ready(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, socket => socket.poll_write_ready(context))
    }

    pub(crate) fn try_read(&self, bytes: &mut [u8]) -> io::Result<usize> {
        either!(self, socket => socket.try_read(bytes))
    }

    pub(crate) fn try_read_buf(&self, buffer: &mut ReadBuf<'_>) -> io::Result<usize> {
        either!(self, socket => socket.try_read_buf(buffer))
    }

    pub(crate) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        either!(self, socket => socket.try_write(bytes))
    }

    pub(crate) fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        either!(self, socket => socket.try_write_vectored(slices))
    }

    /// Closes this side of the connection.
    pub(crate) fn close(&self) -> io::Result<()> {
        either!(self, socket => Ok(shutdown(socket, Shutdown::Write)?))
    }
}

impl Display for ClientAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ClientAddress::Tcp(address) => Display::fmt(address, f),
            #[cfg(unix)]
            ClientAddress::User(user) => write!(f, "uid:{user}"),
        }
    }
}
