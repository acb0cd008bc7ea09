//! Unix sockets on both sides.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixListener, UnixStream};

use crate::support::http::Speaker;
use crate::support::proxy::{Proxy, run, url};
use crate::support::store::Store;
use crate::support::xapi::{JSON, V1, agent_profile};
use crate::support::{assert_failure, sha1_tag, within};

/// A proxy that listens at this path.
fn listening(path: &Path, upstream: &str, config: &str) -> Proxy {
    Proxy::listening(&format!("unix:{}", path.display()), upstream, config)
}

async fn speak(path: &Path) -> Speaker {
    Speaker::one(UnixStream::connect(path).await.unwrap()).await.0
}

/// Passes what comes at this path on to a store, connection by connection; each one's client ends it.
fn passing_on(path: &Path, store: &Store) -> tokio::task::JoinHandle<()> {
    let (listener, address) = (UnixListener::bind(path).unwrap(), store.address());
    tokio::spawn(async move {
        loop {
            let (mut near, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let mut far = TcpStream::connect(address).await.unwrap();
                tokio::io::copy_bidirectional(&mut near, &mut far).await.ok();
            });
        }
    })
}

#[tokio::test]
async fn the_guard_holds_between_two_unix_sockets() {
    let folder = tempfile::tempdir().unwrap();
    let (near, far) = (folder.path().join("near.sock"), folder.path().join("far.sock"));
    let store = Store::start();
    let passing = passing_on(&far, &store);
    let proxy = listening(&near, &format!("unix:{}", far.display()), "");
    assert_eq!(std::fs::metadata(&near).unwrap().permissions().mode() & 0o777, 0o660);
    let target = agent_profile("a");
    store.hold(&target, "1");
    let mut client = speak(&near).await;
    let (stale, tag) = (sha1_tag("0"), sha1_tag("1"));
    assert_eq!(client.send("PUT", &target, &[V1, JSON, ("If-Match", &stale)], "2").await.status, 412);
    let written = client.send("PUT", &target, &[V1, JSON, ("If-Match", &tag)], "2").await;
    assert_eq!((written.status, written.field("etag")), (204, Some(sha1_tag("2").as_str())));
    let seen = &store.writes()[0];
    assert_eq!((seen.field("x-forwarded-for"), seen.field("host")), (None, Some("lrs.example")));
    assert_eq!(proxy.logged("the write", |line| line["status"] == 204).await["client"], "unix");
    // What a hop in front has noted stays as it is.
    client.send("GET", "/b", &[("x-forwarded-for", "203.0.113.7")], "").await;
    let noted = store
        .seen()
        .iter()
        .find(|seen| seen.target == "/b")
        .unwrap()
        .field("x-forwarded-for")
        .map(str::to_owned);
    assert_eq!(noted.as_deref(), Some("203.0.113.7"));
    let mut client = Speaker::two(UnixStream::connect(&near).await.unwrap()).await.0;
    assert_eq!(client.send("GET", &target, &[V1], "").await.status, 200);
    drop(client);
    proxy.signal("TERM");
    assert_eq!(proxy.ended().await, Some(0));
    assert!(!near.exists(), "it is taken away at a clean end");
    passing.abort();
}

#[tokio::test]
async fn a_socket_is_replaced_only_where_nobody_listens() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("near.sock");
    let store = Store::start();
    let listen = format!("unix:{}", path.display());
    let upstream = url(&store);
    let refused = || {
        let output = run(&["run", "--upstream", &upstream, "--listen", &listen, "--admin", "127.0.0.1:0"]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("another process holds this address"), "{said}");
    };
    std::fs::write(&path, "a file of somebody's").unwrap();
    refused();
    assert!(path.exists());
    std::fs::remove_file(&path).unwrap();

    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists(), "as a process that was killed leaves it behind");
    let proxy = listening(&path, &upstream, "[listen]\nsocket-mode = \"0600\"");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    refused();
    assert_eq!(
        speak(&path).await.send("GET", "/elsewhere", &[], "").await.status,
        404,
        "it is not disturbed"
    );
    drop(proxy);
}

#[tokio::test]
async fn an_upstream_that_is_not_there_is_a_failure() {
    let folder = tempfile::tempdir().unwrap();
    let proxy = Proxy::spawn(&format!("unix:{}", folder.path().join("far.sock").display()), "", &[]);
    let answer = proxy.get("/elsewhere").await;
    assert_failure(&answer, 502);
    assert!(answer.field("proxy-status").unwrap().ends_with("connection_refused"), "{answer:?}");
}

#[tokio::test]
async fn an_upload_that_is_broken_off_is_left_open_and_counts_as_under_way() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("far.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let config = "[upstream]\nconnections = 1\nconnect-timeout = \"300ms\"";
    let proxy = Proxy::spawn(&format!("unix:{}", path.display()), config, &[]);
    let mut client = proxy.connect().await;
    client.write("PUT /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n").await;
    let (mut upstream, _) = within("the connection", listener.accept()).await.unwrap();
    let mut got = Vec::new();
    while !got.ends_with(b"half\r\n") {
        within("the half", upstream.read_buf(&mut got)).await.unwrap();
    }
    client.wire.reset();
    proxy.logged("that it has left", |line| line["path"] == "/a").await;
    // An end would have come before this answer, which says that the one exchange is still under way.
    assert_eq!(proxy.get("/b").await.status, 503);
    assert!(
        futures_util::FutureExt::now_or_never(upstream.read(&mut [0])).is_none(),
        "half a body has no end"
    );
    drop(upstream);
    // Then there is room for another.
    let answering = async {
        loop {
            let (mut next, _) = listener.accept().await.unwrap();
            assert!(next.read(&mut [0; 1024]).await.unwrap() > 0);
            let answer = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
            next.write_all(answer).await.unwrap();
        }
    };
    let asking = async {
        while proxy.get("/b").await.status != 404 {
            tokio::task::yield_now().await;
        }
    };
    within("room", async {
        tokio::select! { () = asking => (), () = answering => () }
    })
    .await;
}

#[tokio::test]
async fn a_websocket_passes_between_two_unix_sockets() {
    let folder = tempfile::tempdir().unwrap();
    let (near, far) = (folder.path().join("near.sock"), folder.path().join("far.sock"));
    let listener = UnixListener::bind(&far).unwrap();
    let proxy = listening(&near, &format!("unix:{}", far.display()), "");
    let mut client = UnixStream::connect(&near).await.unwrap();
    let handshake = "GET /socket HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                     Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    client.write_all(handshake.as_bytes()).await.unwrap();
    let (mut upstream, _) = within("the connection", listener.accept()).await.unwrap();
    assert!(head(&mut upstream).await.starts_with("GET /socket HTTP/1.1"));
    // The answer to the key of RFC 6455 §1.3.
    let answer = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                  Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
    upstream.write_all(answer.as_bytes()).await.unwrap();
    assert!(head(&mut client).await.starts_with("HTTP/1.1 101 "));
    for (bytes, back) in [(&b"\x81\x00ping"[..], &b"\0pong"[..]), (b"more", b"and more")] {
        client.write_all(bytes).await.unwrap();
        let mut read = vec![0; bytes.len()];
        within("what was said", upstream.read_exact(&mut read)).await.unwrap();
        assert_eq!(read, bytes);
        upstream.write_all(back).await.unwrap();
        let mut read = vec![0; back.len()];
        within("the answer", client.read_exact(&mut read)).await.unwrap();
        assert_eq!(read, back);
    }
    drop(upstream);
    let mut rest = Vec::new();
    within("the end", client.read_to_end(&mut rest)).await.ok();
    assert!(rest.is_empty(), "{rest:?}");
    drop(client);
    proxy.logged("its end", |line| line["path"] == "/socket" && line["status"] == 101).await;
}

/// A head, byte by byte, so that what stands behind it is still there.
async fn head(stream: &mut UnixStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(within("a head", stream.read_u8()).await.unwrap());
    }
    String::from_utf8(head).unwrap()
}
