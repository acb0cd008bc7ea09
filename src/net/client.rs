//! Who is at the other end of a client's connection.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use http::HeaderValue;

/// Where a client connects from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Address {
    /// An IP address and a port.
    Ip(SocketAddr),
    /// A Unix socket, whose clients have no address.
    Unix,
}

/// A client, as far as its connection tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// Where it connects from.
    pub address: Address,
    /// Its IP address as X-Forwarded-For has it; none for a Unix socket.
    pub forwarded: Option<HeaderValue>,
    /// Whether it speaks TLS with us.
    pub is_secure: bool,
    /// Whether what it says of the way that a request has taken (X-Forwarded-*) is believed.
    pub is_believed: bool,
}

impl Address {
    /// The IP address, in its shortest form; none for a Unix socket.
    pub fn ip(self) -> Option<IpAddr> {
        match self {
            Self::Ip(address) => Some(address.ip().to_canonical()),
            Self::Unix => None,
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Unix => f.write_str("unix"),
        }
    }
}

impl Client {
    /// A client in clear text whose word is believed.
    pub fn of(address: Address) -> Self {
        let forwarded = address.ip().and_then(|ip| HeaderValue::try_from(ip.to_string()).ok());
        Self { address, forwarded, is_secure: false, is_believed: true }
    }
}
