//! The admin listener to those who should learn nothing from it.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::support::alternate::{FORM, sealed};
use crate::support::client::{Answer, send};
use crate::support::proxy::Proxy;
use crate::support::store::Store;
use crate::support::xapi::{ACTIVITY, JSON, V1, encoded, state};

const PATHS: [&str; 14] = [
    "/",
    "/livez",
    "/readyz?verbose",
    "/startupz",
    "/metrics",
    "/status.json",
    "/decisions.json",
    "/rules.json",
    "/page/state.json",
    "/page/minutes.json",
    "/page/forecast.json",
    "/page/clients.json",
    "/page/hot.json",
    "/page.js",
];

/// What a raw request gets.
async fn told(proxy: &Proxy, request: &str) -> Answer {
    let mut client = crate::support::client::Client::connect(proxy.admin).await;
    client.write(request).await;
    client.answer("GET").await
}

#[tokio::test]
async fn it_is_asked_for_by_address_or_as_localhost() {
    let store = Store::start();
    let proxy = Proxy::before(&store);
    for path in PATHS {
        for host in [
            "127.0.0.1",
            "127.0.0.1:9901",
            "10.1.2.3:9901",
            "[::1]:9901",
            "[2001:db8::1]",
            "localhost",
            "LocalHost:80",
            "",
        ] {
            assert_eq!(send(proxy.admin, "GET", path, &[("Host", host)], "").await.status, 200, "{host}");
        }
        assert_eq!(told(&proxy, &format!("GET {path} HTTP/1.0\r\n\r\n")).await.status, 200);
    }
}

#[tokio::test]
async fn a_name_that_was_made_to_lead_here_is_answered_nothing() {
    let store = Store::start();
    let proxy = Proxy::before(&store);
    for path in PATHS {
        for host in [
            "evil.example",
            "evil.example:9901",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "127.0.0.1@evil.example",
            "evil@127.0.0.1",
            "127.0.0.1, evil.example",
            "127.1",
            "0x7f000001",
            "::1",
            "[evil]",
            "/",
            "staleguard.internal",
        ] {
            for method in ["GET", "HEAD", "POST", "OPTIONS"] {
                let answer = send(proxy.admin, method, path, &[("Host", host)], "").await;
                assert_eq!(answer.status, 421, "{method} {host}");
                assert!(method == "HEAD" || answer.text().contains("admin.hosts"));
            }
        }
        for request in [
            format!("GET {path} HTTP/1.1\r\n\r\n"),
            format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: evil.example\r\n\r\n"),
            format!("GET http://evil.example{path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"),
            format!("GET {path} HTTP/1.0\r\nHost: evil.example\r\n\r\n"),
        ] {
            assert_eq!(told(&proxy, &request).await.status, 421, "{request:?}");
        }
    }
}

#[tokio::test]
async fn it_may_have_names_of_its_own() {
    let store = Store::start();
    let proxy = Proxy::configured(&store, "[admin]\nhosts = [\"staleguard.internal\", \"other\"]");
    for (host, status) in [
        ("staleguard.internal", 200),
        ("Staleguard.Internal:9901", 200),
        ("other", 200),
        ("localhost", 200),
        ("127.0.0.1", 200),
        ("x.staleguard.internal", 421),
        ("internal", 421),
    ] {
        assert_eq!(
            send(proxy.admin, "GET", "/metrics", &[("Host", host)], "").await.status,
            status,
            "{host}"
        );
    }
}

#[tokio::test]
async fn pages_of_other_origins_read_nothing_and_nobody_writes() {
    let store = Store::start();
    let proxy = Proxy::before(&store);
    let origin = ("Origin", "http://evil.example");
    for path in PATHS {
        for method in ["GET", "HEAD"] {
            let answer = send(proxy.admin, method, path, &[origin], "").await;
            assert_eq!((answer.status, cors(&answer)), (200, 0));
        }
        let asks =
            [origin, ("Access-Control-Request-Method", "GET"), ("Access-Control-Request-Headers", "x")];
        let answer = send(proxy.admin, "OPTIONS", path, &asks, "").await;
        assert_eq!((answer.status, cors(&answer)), (405, 0));
        for method in ["POST", "PUT", "DELETE", "PATCH", "TRACE", "get"] {
            let answer = send(proxy.admin, method, path, &[origin], "").await;
            assert_eq!((answer.status, answer.field("allow"), cors(&answer)), (405, Some("GET, HEAD"), 0));
        }
    }
}

/// How many fields of CORS an answer has.
fn cors(answer: &Answer) -> usize {
    answer
        .head
        .fields
        .iter()
        .filter(|(name, _)| name.to_ascii_lowercase().starts_with("access-control-"))
        .count()
}

#[tokio::test]
async fn it_says_nothing_of_learners() {
    let store = Store::start();
    let proxy = Proxy::before(&store);
    let secret = "s3cr3t";
    let agent = encoded(&format!("{{\"mbox\":\"mailto:{secret}@example.com\"}}"));
    let target =
        format!("/xapi/activities/state?activityId={ACTIVITY}%2F{secret}&agent={agent}&stateId={secret}");
    let fields = [
        V1,
        JSON,
        ("Authorization", "Basic s3cr3t"),
        ("Cookie", secret),
        ("User-Agent", "player/1.0 s3cr3t"),
    ];
    // One after the other, so that repairs are counted and writes are suspicious.
    let mut client = proxy.connect().await;
    for _ in 0..5 {
        client.send("PUT", &target, &fields, format!("\"{secret}\"")).await;
        let tag = client.send("GET", &target, &fields, "").await.etag().unwrap().replace('"', "");
        let stated = [&fields[..], &[("If-Match", tag.as_str())]].concat();
        assert_eq!(client.send("PUT", &target, &stated, secret).await.status, 204);
    }
    let (to, form) = sealed("PUT", &target, &[V1], Some(secret));
    client.send("POST", &to, &[FORM], form).await;
    client.send("PUT", &format!("{}&stateId={secret}", state("a")), &fields, "").await;
    proxy.get(&format!("/{secret}?{secret}")).await;
    for path in PATHS {
        let answer = send(proxy.admin, "GET", path, &[], "").await;
        let all = format!("{:?}{}", answer.head, answer.text());
        assert!(!all.contains(secret) && !all.contains("example.com"), "{path}: {all}");
    }
    assert!(proxy.metrics().await["staleguard_repairs_total{kind=\"unquoted\"}"] >= 5);
}

/// All places are taken by those who ask and read nothing; without an end to that, nobody else would be answered.
#[tokio::test]
async fn who_takes_nothing_of_the_answers_keeps_no_place() {
    const PLACES: usize = 64;
    let store = Store::start();
    let proxy = Proxy::before(&store);
    let ask = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(2000);
    let mut deaf = Vec::new();
    for _ in 0..PLACES {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        let stream = socket.connect(proxy.admin).await.unwrap();
        // As much as it takes, which is more than it can answer.
        let _ = stream.try_write(&ask);
        deaf.push(stream);
    }
    // It takes longer than the patience of the other tests: the kernel decides who has taken nothing for too long.
    let mut patient = TcpStream::connect(proxy.admin).await.unwrap();
    patient.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    let answered = patient.read_to_string(&mut answer);
    tokio::time::timeout(Duration::from_secs(60), answered).await.expect("a place becomes free").unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    drop(deaf);
}
