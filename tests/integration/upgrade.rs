//! WebSockets: a tunnel opens where nothing is guarded, when both sides have said that they mean it, and never else.
//!
//! The handshake is that of RFC 6455; what is said behind it is bytes to the proxy, and so it is here.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use futures_util::FutureExt;
use sha1::{Digest, Sha1};
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{Mutex, Notify};

use crate::support::client::{Answer, Client};
use crate::support::proxy::{Barrier, Proxy};
use crate::support::server::Server;
use crate::support::store::Store;
use crate::support::tls::{Authority, Shown};
use crate::support::wire::{Ending, Framing, Head};
use crate::support::xapi::{V1, agent_profile, state};
use crate::support::{assert_failure, assert_refused, within};

/// The key of RFC 6455 §1.3.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
/// What is no HTTP.
const BYTES: &[u8] = b"\x82\x03\0\r\n\x82\x00";

const HANDSHAKE: [(&str, &str); 4] = [
    ("Connection", "keep-alive, Upgrade"),
    ("Upgrade", "websocket"),
    ("Sec-WebSocket-Key", KEY),
    ("Sec-WebSocket-Version", "13"),
];

/// What the upstream of these tests says of a connection.
#[derive(Debug, PartialEq, Eq)]
enum Told {
    /// It has read a head.
    Asked(String),
    /// Whether nothing has come behind it.
    Silent(bool),
    /// The connection has ended, with so many bytes behind the last head.
    Ended(Ending, usize),
}

/// An upstream that does what the path says.
struct Upstream {
    server: Server,
    told: Mutex<UnboundedReceiver<Told>>,
    go: Arc<Notify>,
}

impl Upstream {
    fn start() -> Self {
        let (tell, told) = unbounded_channel();
        let go = Arc::new(Notify::new());
        let goes = Arc::clone(&go);
        let server = Server::start(move |stream, _| serve(stream, tell.clone(), Arc::clone(&goes)));
        Self { server, told: Mutex::new(told), go }
    }

    fn url(&self) -> String {
        format!("http://{}", self.server.address)
    }

    async fn told(&self) -> Told {
        within("a word of the upstream", async { self.told.lock().await.recv().await }).await.unwrap()
    }

    /// The start line of the next request.
    async fn asked(&self) -> String {
        match self.told().await {
            Told::Asked(start) => start,
            other => panic!("no request: {other:?}"),
        }
    }

    /// Asserts that it has not been asked for anything.
    async fn was_not_asked(&self) {
        assert_eq!(self.told.lock().await.try_recv().ok(), None);
    }
}

async fn serve(mut stream: TcpStream, tell: UnboundedSender<Told>, go: Arc<Notify>) {
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            // Byte by byte, so that what stands behind it is still there for whoever asks.
            match stream.read_u8().await {
                Ok(byte) => head.push(byte),
                Err(_) => return,
            }
        }
        let head = Head::parse(&head);
        tell.send(Told::Asked(head.start.clone())).ok();
        let switch = |upgrade: &str, accept: &str| {
            format!("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\n{upgrade}{accept}\r\n")
        };
        let upgrade = "Upgrade: websocket\r\n";
        let key = head.field("sec-websocket-key").unwrap_or_default();
        let digest = Sha1::digest(format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11"));
        let accept = format!("Sec-WebSocket-Accept: {}\r\n", BASE64_STANDARD.encode(digest));
        let answer = match head.word(1).split('?').next().unwrap() {
            "/socket" | "/bye" => {
                // The fields that end at each hop are stated anew.
                let stated = ["connection", "upgrade"].map(|name| head.all(name).join("|"));
                assert_eq!(stated, ["Upgrade", "websocket"], "{head:?}");
                switch(upgrade, &accept)
            }
            "/gated" => {
                go.notified().await;
                tell.send(Told::Silent(stream.peek(&mut [0]).now_or_never().is_none())).ok();
                switch(upgrade, &accept)
            }
            "/no-upgrade" => switch("", &accept),
            "/other-upgrade" => switch("Upgrade: h2c\r\n", &accept),
            "/two-upgrades" => switch("Upgrade: websocket\r\nUpgrade: h2c\r\n", &accept),
            "/no-accept" => switch(upgrade, ""),
            "/other-accept" => switch(upgrade, "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"),
            "/no-connection" => switch(upgrade, &accept).replace("Connection: upgrade\r\n", ""),
            _ => "HTTP/1.1 404 Not Found\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nContent-Length: 2\r\n\r\nno".into(),
        };
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
        if !answer.contains(" 101 ") {
            continue;
        }
        if head.word(1) == "/bye" {
            stream.write_all(b"bye").await.unwrap();
            stream.shutdown().await.unwrap();
        }
        let (mut count, mut buffer) = (0, vec![0; 64 * 1024]);
        let ending = loop {
            match stream.read(&mut buffer).await {
                Ok(0) => break Ending::Fin,
                Ok(read) => {
                    count += read;
                    // Whoever is not there any more is noticed when reading.
                    let _ = stream.write_all(&buffer[..read]).await;
                }
                Err(_) => break Ending::Reset,
            }
        };
        tell.send(Told::Ended(ending, count)).ok();
        return;
    }
}

fn before(upstream: &Upstream, config: &str) -> Proxy {
    Proxy::spawn(&upstream.url(), config, &[])
}

/// A handshake for this target and its answer.
async fn handshake(client: &mut Client, target: &str) -> Answer {
    client.send("GET", target, &HANDSHAKE, "").await
}

/// A client for whom a tunnel has opened.
async fn opened(proxy: &Proxy, target: &str) -> Client {
    let mut client = proxy.connect().await;
    let answer = handshake(&mut client, target).await;
    let fields = ["upgrade", "connection", "sec-websocket-accept"].map(|name| answer.field(name));
    let accept = Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    assert_eq!((answer.status, fields), (101, [Some("websocket"), Some("Upgrade"), accept]), "{answer:#?}");
    client
}

/// Reads so many bytes of what is said in a tunnel.
async fn said(client: &mut Client, length: usize) -> Vec<u8> {
    let body = within("bytes of a tunnel", client.wire.body(Framing::Length(length as u64))).await;
    assert_eq!(body.ending, Ending::Complete);
    body.bytes
}

/// The line of the access log of a tunnel.
async fn line(proxy: &Proxy) -> (u64, Option<String>) {
    let line = proxy.logged("of a tunnel", |line| line["status"] == 101).await;
    assert!(line["upstream_ms"].is_number(), "{line:#}");
    (line["bytes"].as_u64().unwrap(), line["failure"].as_str().map(ToOwned::to_owned))
}

#[tokio::test]
async fn a_websocket_passes_where_nothing_is_guarded() {
    let upstream = Upstream::start();
    let proxy = before(&upstream, "");
    let mut client = opened(&proxy, "/socket?a=1").await;
    assert_eq!(upstream.asked().await, "GET /socket?a=1 HTTP/1.1");
    client.write(BYTES).await;
    assert_eq!(said(&mut client, BYTES.len()).await, BYTES);
    assert!(proxy.log().is_empty(), "its line comes when it ends");
    let large: Vec<u8> = (0..200_000_u32).flat_map(u32::to_be_bytes).collect();
    for piece in large.chunks(100_000) {
        client.write(piece).await;
        assert_eq!(said(&mut client, piece.len()).await, piece);
    }
    client.write(b"last").await;
    // Its client has said everything, and still hears the answer to it.
    client.wire.half_close().await;
    let all = BYTES.len() + large.len() + 4;
    assert_eq!(upstream.told().await, Told::Ended(Ending::Fin, all));
    assert_eq!(client.end().await, (Ending::Fin, 4));
    assert_eq!(line(&proxy).await, (all as u64, None));
}

#[tokio::test]
async fn an_upstream_may_end_its_side_first() {
    let upstream = Upstream::start();
    let proxy = before(&upstream, "");
    let mut client = opened(&proxy, "/bye").await;
    assert_eq!(client.end().await, (Ending::Fin, 3));
    client.write(b"and bye").await;
    client.wire.half_close().await;
    upstream.asked().await;
    assert_eq!(upstream.told().await, Told::Ended(Ending::Fin, 7));
    assert_eq!(line(&proxy).await, (3, None));
}

#[tokio::test]
async fn a_client_that_breaks_off_is_no_end_in_good_order() {
    let upstream = Upstream::start();
    let proxy = before(&upstream, "");
    let mut client = opened(&proxy, "/socket").await;
    client.write(b"half").await;
    assert_eq!(said(&mut client, 4).await, b"half");
    client.wire.reset();
    upstream.asked().await;
    assert_eq!(upstream.told().await, Told::Ended(Ending::Reset, 4));
    assert_eq!(line(&proxy).await, (4, Some("tunnel-broken".into())));
}

#[tokio::test]
async fn over_tls_on_both_sides_it_ends_in_good_order_too() {
    let upstream = Upstream::start();
    let authority = Authority::new();
    let issued = authority.issue("localhost");
    let (server, mut endings) = authority.before(upstream.server.address, &issued, None);
    let config = format!(
        "[listen.tls]\n{}[upstream.tls]\nca = {:?}",
        authority.lines(&issued, "server"),
        authority.ca()
    );
    let proxy = Proxy::spawn(&format!("https://localhost:{}", server.address.port()), &config, &[]);
    let shown = Shown { protocols: &["http/1.1"], ..Shown::default() };
    let mut stream = authority.connect(proxy.address, &shown).await.unwrap();
    let fields = HANDSHAKE.map(|(name, value)| format!("{name}: {value}\r\n")).concat();
    stream.write_all(format!("GET /socket HTTP/1.1\r\nHost: a\r\n{fields}\r\n").as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(within("the head", stream.read_u8()).await.unwrap());
    }
    assert_eq!(Head::parse(&head).word(1), "101");
    stream.write_all(BYTES).await.unwrap();
    let mut echo = vec![0; BYTES.len()];
    within("the echo", stream.read_exact(&mut echo)).await.unwrap();
    assert_eq!(echo, BYTES);
    stream.shutdown().await.unwrap();
    // Only an end that TLS announces is one in good order.
    assert_eq!(within("the end", endings.recv()).await, Some(Ending::Fin));
}

#[tokio::test]
async fn nothing_behind_a_handshake_goes_on_before_the_tunnel_is_open() {
    let upstream = Upstream::start();
    let proxy = before(&upstream, "");
    let mut barrier = Barrier::open(&proxy).await;
    let mut client = proxy.connect().await;
    client.request("GET", "/gated", &HANDSHAKE, b"").await;
    client.write(BYTES).await;
    while upstream.asked().await != "GET /gated HTTP/1.1" {}
    barrier.pass().await;
    upstream.go.notify_one();
    let mut told = upstream.told().await;
    while matches!(told, Told::Asked(_)) {
        told = upstream.told().await;
    }
    assert_eq!(told, Told::Silent(true));
    assert_eq!(client.answer("GET").await.status, 101);
    assert_eq!(said(&mut client, BYTES.len()).await, BYTES);
}

#[tokio::test]
async fn a_handshake_that_the_upstream_declines_leaves_a_connection_that_is_judged() {
    let upstream = Upstream::start();
    let proxy = before(&upstream, "");
    let mut client = proxy.connect().await;
    client.request("GET", "/elsewhere", &HANDSHAKE, b"").await;
    client.request("PUT", &agent_profile("a"), &[V1, ("If-Match", "\"1\"")], b"1").await;
    let declined = client.answer("GET").await;
    assert_eq!((declined.status, declined.text().as_str(), declined.field("upgrade")), (404, "no", None));
    assert_refused(&client.answer("PUT").await, 412);
    assert_eq!(upstream.asked().await, "GET /elsewhere HTTP/1.1");
    assert!(upstream.asked().await.starts_with("GET /xapi/"), "the question, and no write");
    upstream.was_not_asked().await;
}

#[tokio::test]
async fn a_switch_that_is_none_to_a_websocket_is_a_bad_gateway() {
    let upstream = Upstream::start();
    let proxy = before(&upstream, "");
    for target in
        ["/no-upgrade", "/other-upgrade", "/two-upgrades", "/no-accept", "/no-connection"].map(str::to_owned)
    {
        let mut client = proxy.connect().await;
        client.request("GET", &target, &HANDSHAKE, b"").await;
        client.request("PUT", &agent_profile("a"), &[V1, ("If-Match", "\"1\"")], b"1").await;
        assert_failure(&client.answer("GET").await, 502);
        assert_eq!(upstream.asked().await, format!("GET {target} HTTP/1.1"));
        assert_eq!(upstream.told().await, Told::Ended(Ending::Reset, 0), "{target}");
        // Its connection is HTTP still, and what follows is judged.
        assert_refused(&client.answer("PUT").await, 412);
        assert!(upstream.asked().await.starts_with("GET /xapi/"));
    }
    // Right for another key.
    let mut client = proxy.connect().await;
    let mut other = HANDSHAKE;
    other[2].1 = "AAAAAAAAAAAAAAAAAAAAAA==";
    assert_failure(&client.send("GET", "/other-accept", &other, "").await, 502);
    upstream.asked().await;
    assert_eq!(upstream.told().await, Told::Ended(Ending::Reset, 0));
    upstream.was_not_asked().await;
}

#[tokio::test]
async fn nobody_who_has_not_asked_gets_a_tunnel() {
    let upstream = Upstream::start();
    let proxy = before(&upstream, "");
    for offer in [&[][..], &[("Connection", "Upgrade"), ("Upgrade", "h2c")]] {
        let mut client = proxy.connect().await;
        assert_failure(&client.send("GET", "/no-connection", offer, "").await, 502);
        upstream.asked().await;
        assert_eq!(upstream.told().await, Told::Ended(Ending::Reset, 0));
    }
}

#[tokio::test]
async fn what_only_half_looks_like_a_handshake_reaches_nobody() {
    let upstream = Upstream::start();
    let proxy = before(&upstream, "");
    let good = HANDSHAKE.map(|(name, value)| format!("{name}: {value}\r\n"));
    let without =
        |name: &str| good.iter().filter(|line| !line.starts_with(name)).cloned().collect::<String>();
    let with = |line: &str| format!("{}{line}\r\n", good.concat());
    for (start, fields, body) in [
        ("GET /socket HTTP/1.1", without("Connection"), ""),
        ("GET /socket HTTP/1.1", without("Sec-WebSocket-Key"), ""),
        ("GET /socket HTTP/1.1", without("Sec-WebSocket-Version"), ""),
        ("GET /socket HTTP/1.1", with("Upgrade: h2c"), ""),
        ("GET /socket HTTP/1.1", with("Upgrade: websocket"), ""),
        ("GET /socket HTTP/1.1", with("Sec-WebSocket-Version: 13"), ""),
        ("GET /socket HTTP/1.1", with(&format!("Sec-WebSocket-Key: {KEY}")), ""),
        ("GET /socket HTTP/1.1", with("Connection: Sec-WebSocket-Key"), ""),
        ("GET /socket HTTP/1.1", with("Content-Length: 3"), "abc"),
        ("GET /socket HTTP/1.1", with("Transfer-Encoding: chunked"), "0\r\n\r\n"),
        ("GET /socket HTTP/1.1", good.concat().replace("==", ""), ""),
        ("GET /socket HTTP/1.1", good.concat().replace("13", "8"), ""),
        ("GET /socket HTTP/1.1", good.concat().replace("websocket", "websocket, h2c"), ""),
        ("GET /socket HTTP/1.0", good.concat(), ""),
        ("POST /socket HTTP/1.1", good.concat(), ""),
        ("get /socket HTTP/1.1", good.concat(), ""),
        ("HEAD /socket HTTP/1.1", good.concat(), ""),
    ] {
        let mut client = proxy.connect().await;
        let behind = format!("GET /behind HTTP/1.1\r\nHost: a\r\n\r\n{start}\r\nHost: a\r\n\r\n");
        client.write(format!("{start}\r\nHost: a\r\n{fields}\r\n{body}{behind}")).await;
        let answer = client.answer(start.split(' ').next().unwrap()).await;
        assert_failure_of(&answer, start, &fields);
        assert_eq!(client.end().await, (Ending::Fin, 0), "{start} {fields}");
    }
    upstream.was_not_asked().await;
}

fn assert_failure_of(answer: &Answer, start: &str, fields: &str) {
    assert_eq!(answer.status, 501, "{start} {fields}");
    assert!(answer.field("proxy-status").unwrap().starts_with("staleguard; error="), "{start} {fields}");
}

#[tokio::test]
async fn where_the_guard_stands_no_tunnel_opens() {
    for more in [&[][..], &["--observe"]] {
        let store = Store::start();
        let proxy = Proxy::spawn(&format!("http://{}", store.address()), "", more);
        let ambiguous = format!("{}&stateId=b", state("a"));
        for target in [state("a"), agent_profile("a"), ambiguous] {
            let mut client = proxy.connect().await;
            assert_failure(&handshake(&mut client, &target).await, 501);
            assert_eq!(client.end().await, (Ending::Fin, 0));
        }
        assert!(store.seen().is_empty());
    }
}

#[tokio::test]
async fn a_tunnel_in_which_both_are_silent_ends() {
    let upstream = Upstream::start();
    let proxy = before(&upstream, "[listen]\ntunnel-idle-timeout = \"300ms\"");
    let mut client = opened(&proxy, "/socket").await;
    upstream.asked().await;
    client.write(BYTES).await;
    assert_eq!(client.end().await, (Ending::Fin, BYTES.len() as u64));
    assert_eq!(upstream.told().await, Told::Ended(Ending::Reset, BYTES.len()));
    assert_eq!(line(&proxy).await, (BYTES.len() as u64, Some("tunnel-idle".into())));
}

#[tokio::test]
async fn a_drain_does_not_wait_for_tunnels_and_ends_well() {
    let upstream = Upstream::start();
    let proxy = before(&upstream, "");
    let mut client = opened(&proxy, "/socket").await;
    upstream.asked().await;
    proxy.signal("TERM");
    assert_eq!(client.end().await, (Ending::Fin, 0));
    assert_eq!(upstream.told().await, Told::Ended(Ending::Reset, 0));
    assert_eq!(line(&proxy).await, (0, Some("draining".into())));
    assert_eq!(proxy.ended().await, Some(0));
}

#[tokio::test]
async fn a_tunnel_is_an_exchange_under_way_for_as_long_as_it_lasts() {
    let upstream = Upstream::start();
    let proxy = before(&upstream, "[upstream]\nconnections = 1\nconnect-timeout = \"300ms\"");
    let mut client = opened(&proxy, "/socket").await;
    assert_failure(&proxy.get("/elsewhere").await, 503);
    client.wire.half_close().await;
    assert_eq!(client.end().await, (Ending::Fin, 0));
    line(&proxy).await;
    assert_eq!(proxy.get("/elsewhere").await.status, 404);
}
