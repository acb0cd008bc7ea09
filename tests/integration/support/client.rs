//! A client that sends what it is told, in the pieces it is told, and reads answers as they stand.

use std::net::{IpAddr, SocketAddr};

use tokio::net::{TcpSocket, TcpStream};

use super::wire::{Ending, Framing, Head, Wire};
use super::within;

/// One connection of a client.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) wire: Wire,
}

/// A complete answer.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: Head,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Vec<(String, String)>,
    /// How the body ended; anything but `Complete` is a broken answer.
    pub(crate) ending: Ending,
    /// The informational answers that came before.
    pub(crate) interim: Vec<u16>,
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let stream = within("the connection", TcpStream::connect(address)).await.unwrap();
        Self { wire: Wire::new(stream) }
    }

    /// From this local address, as another machine would.
    pub(crate) async fn connect_from(source: IpAddr, address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((source, 0).into()).unwrap();
        Self { wire: Wire::new(within("the connection", socket.connect(address)).await.unwrap()) }
    }

    /// Sends a whole request; Host and Content-Length are set where `fields` leaves them out.
    pub(crate) async fn request(&mut self, method: &str, target: &str, fields: &[(&str, &str)], body: &[u8]) {
        self.wire.write(&request(method, target, fields, body)).await;
    }

    /// Sends bytes as they are.
    pub(crate) async fn write(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        within("room to write", self.wire.write(bytes.as_ref())).await
    }

    /// Reads the answer to a request with this method.
    pub(crate) async fn answer(&mut self, method: &str) -> Answer {
        match within(&format!("the answer to {method}"), self.read(method)).await {
            Ok(answer) => answer,
            Err(ending) => panic!("no answer to {method}: the connection ended ({ending:?})"),
        }
    }

    /// Reads an answer, or says how the connection ended in its place.
    pub(crate) async fn read(&mut self, method: &str) -> Result<Answer, Ending> {
        let mut interim = Vec::new();
        let (status, head) = loop {
            let head = self.wire.head().await?;
            let status: u16 = head.word(1).parse().unwrap_or_else(|_| panic!("not HTTP: {head:?}"));
            match status {
                101 => break (status, head),
                100..=199 => interim.push(status),
                _ => break (status, head),
            }
        };
        let framing = match (method, status) {
            ("HEAD", _) | (_, 101 | 204 | 304) => Framing::Length(0),
            _ => head.framing().unwrap_or(Framing::UntilClose),
        };
        let body = self.wire.body(framing).await;
        let (body, trailers, ending) = (body.bytes, body.trailers, body.ending);
        Ok(Answer { status, head, body, trailers, ending, interim })
    }

    /// A request and its answer.
    pub(crate) async fn send(
        &mut self,
        method: &str,
        target: &str,
        fields: &[(&str, &str)],
        body: impl AsRef<[u8]>,
    ) -> Answer {
        self.request(method, target, fields, body.as_ref()).await;
        self.answer(method).await
    }

    /// Whether nothing has come that has not been read.
    pub(crate) async fn is_silent(&mut self) -> bool {
        self.wire.is_silent().await
    }

    /// Waits until the other side ends the connection; how it did, and how many bytes came before.
    pub(crate) async fn end(&mut self) -> (Ending, u64) {
        within("the end of the connection", self.wire.rest()).await
    }
}

impl Answer {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.head.field(name)
    }

    pub(crate) fn etag(&self) -> Option<&str> {
        self.field("etag")
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// The bytes of a request.
pub(crate) fn request(method: &str, target: &str, fields: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let stated = |name: &str| fields.iter().any(|(n, _)| n.eq_ignore_ascii_case(name));
    let mut text = format!("{method} {target} HTTP/1.1\r\n");
    if !stated("host") {
        text.push_str("Host: localhost\r\n");
    }
    for (name, value) in fields {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    let carries_body = !body.is_empty() || matches!(method, "PUT" | "POST" | "PATCH");
    if carries_body && !stated("content-length") && !stated("transfer-encoding") {
        text.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    text.push_str("\r\n");
    let mut bytes = text.into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

/// A request on a connection of its own, and its answer.
pub(crate) async fn send(
    address: SocketAddr,
    method: &str,
    target: &str,
    fields: &[(&str, &str)],
    body: impl AsRef<[u8]>,
) -> Answer {
    Client::connect(address).await.send(method, target, fields, body).await
}
