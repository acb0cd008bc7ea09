//! TLS on both sides: the guard holds under either version of HTTP, and nobody is believed who cannot show who he is.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::client::Client;
use crate::support::http::Speaker;
use crate::support::proxy::Proxy;
use crate::support::server::Server;
use crate::support::store::Store;
use crate::support::tls::{Authority, Shown};
use crate::support::wire::Ending;
use crate::support::xapi::{JSON, V1, agent_profile};
use crate::support::{assert_failure, assert_untouched, sha1_tag, within};

const PROTOCOLS: [&str; 2] = ["h2", "http/1.1"];

fn listening(authority: &Authority, more: &str) -> String {
    format!("[listen.tls]\n{}{more}", authority.lines(&authority.issue("localhost"), "server"))
}

#[tokio::test]
async fn the_guard_holds_over_tls_in_both_versions() {
    let store = Store::start();
    let authority = Authority::new();
    let proxy = Proxy::configured(&store, &listening(&authority, ""));
    let target = agent_profile("a");
    for (protocol, version, via) in
        [("h2", "HTTP/2.0", "2.0 staleguard"), ("http/1.1", "HTTP/1.1", "1.1 staleguard")]
    {
        store.hold(&target, "1");
        store.forget();
        let protocols = [protocol];
        let shown = Shown { protocols: &protocols, ..Shown::default() };
        let stream = authority.connect(proxy.address, &shown).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(protocol.as_bytes()));
        let (mut client, _connection) = match protocol {
            "h2" => Speaker::two(stream).await,
            _ => Speaker::one(stream).await,
        };
        let read = client.send("GET", &target, &[V1], "").await;
        assert_eq!((read.status, read.field("etag")), (200, Some(sha1_tag("1").as_str())));
        let stale = sha1_tag("0");
        let refused = client.send("PUT", &target, &[V1, JSON, ("If-Match", &stale)], "2").await;
        assert_eq!((refused.status, refused.field("etag")), (412, Some(sha1_tag("1").as_str())));
        assert_untouched(&store);
        let tag = sha1_tag("1");
        let written = client.send("PUT", &target, &[V1, JSON, ("If-Match", &tag)], "2").await;
        assert_eq!((written.status, written.field("etag")), (204, Some(sha1_tag("2").as_str())));
        assert_eq!(store.document(&target).unwrap(), b"2");
        let seen = &store.writes()[0];
        assert_eq!(seen.field("x-forwarded-proto"), Some("https"));
        assert_eq!((seen.field("host"), seen.field("via")), (Some("lrs.example"), Some(via)));
        let line =
            proxy.logged("the write", |line| line["status"] == 204 && line["protocol"] == version).await;
        assert_eq!(line["method"], "PUT");
    }
}

#[tokio::test]
async fn who_speaks_no_tls_is_told_so() {
    let store = Store::start();
    let authority = Authority::new();
    let proxy = Proxy::configured(&store, &listening(&authority, ""));
    let mut client = Client::connect(proxy.address).await;
    let answer = client.send("GET", "/elsewhere", &[], "").await;
    assert_eq!((answer.status, answer.ending), (400, Ending::Complete));
    assert!(answer.text().contains("https://"), "{answer:?}");
    drop(client);
    let mut client = Client::connect(proxy.address).await;
    client.write(vec![b'x'; 3000]).await;
    let (ending, count) = client.end().await;
    assert_eq!(ending, Ending::Fin, "after {count} bytes");
    assert!(store.seen().is_empty());
}

#[tokio::test]
async fn a_handshake_that_stalls_is_given_up_and_holds_nobody_else() {
    let store = Store::start();
    let authority = Authority::new();
    let proxy = Proxy::configured(&store, &listening(&authority, "handshake-timeout = \"1s\""));
    let mut stalled = Vec::new();
    for beginning in [&b""[..], &[22], &[22, 3, 1, 2, 0, 1, 0]] {
        let mut client = Client::connect(proxy.address).await;
        client.write(beginning).await;
        stalled.push(client);
    }
    let stream = authority.connect(proxy.address, &Shown::default()).await.unwrap();
    let (mut client, _connection) = Speaker::one(stream).await;
    assert_eq!(client.send("GET", "/elsewhere", &[], "").await.status, 404);
    for mut client in stalled {
        client.end().await;
    }
}

#[tokio::test]
async fn clients_may_need_a_certificate() {
    let store = Store::start();
    let (authority, other) = (Authority::new(), Authority::new());
    let client_ca = format!("client-ca = {:?}", authority.ca());
    let proxy = Proxy::configured(&store, &listening(&authority, &client_ca));
    let (good, expired, foreign) =
        (authority.issue("client"), authority.issue_until("client", 2020), other.issue("client"));
    for (certificate, is_served) in
        [(None, false), (Some(&expired), false), (Some(&foreign), false), (Some(&good), true)]
    {
        let shown = Shown { certificate, ..Shown::default() };
        // A client that sends its certificate last learns only from the next record that it was refused.
        let answered = async {
            let mut stream = authority.connect(proxy.address, &shown).await?;
            stream.write_all(b"GET /elsewhere HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await?;
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).await.map(|_| answer)
        };
        match within("an end", answered).await {
            Ok(answer) => assert!(is_served && answer.starts_with(b"HTTP/1.1 404"), "{answer:?}"),
            Err(error) => assert!(!is_served, "{error}"),
        }
    }
    assert_eq!(store.seen().len(), 1);
}

#[tokio::test]
async fn certificates_are_swapped_while_it_runs() {
    let store = Store::start();
    let authority = Authority::new();
    let proxy = Proxy::configured(&store, &listening(&authority, ""));
    let expiry = "staleguard_certificate_expiry_timestamp_seconds{side=\"listen\"}";
    // 2050-01-01 and 2040-01-01.
    assert_eq!(proxy.metrics().await[expiry], 2_524_608_000);
    let stream = authority.connect(proxy.address, &Shown::default()).await.unwrap();
    let (mut before, _connection) = Speaker::one(stream).await;

    authority.write("server.pem", "nonsense");
    proxy.says("the old ones stay").await;
    assert!(authority.connect(proxy.address, &Shown::default()).await.is_ok());
    assert_eq!(proxy.metrics().await[expiry], 2_524_608_000);

    authority.lines(&authority.issue_until("localhost", 2040), "server");
    proxy.says("has changed and is used").await;
    assert!(authority.connect(proxy.address, &Shown::default()).await.is_ok());
    within("the new figure", async {
        while proxy.metrics().await[expiry] != 2_208_988_800 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(before.send("GET", "/elsewhere", &[], "").await.status, 404, "it goes on as it began");

    // A certificate that nobody can check any more shows that it is the new one that is used.
    authority.lines(&Authority::new().issue("localhost"), "server");
    within("the next one", async {
        while authority.connect(proxy.address, &Shown::default()).await.is_ok() {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    })
    .await;
}

/// A configuration of a proxy before an upstream that speaks TLS.
fn before(upstream: &str, tls: &str) -> Proxy {
    Proxy::spawn(upstream, &format!("[upstream.tls]\n{tls}"), &[])
}

#[tokio::test]
async fn the_guard_holds_before_an_upstream_that_speaks_tls() {
    let store = Store::start();
    let authority = Authority::new();
    let (server, _) = authority.before(store.address(), &authority.issue("localhost"), None);
    let ca = format!("ca = {:?}\n", authority.ca());
    let proxy = before(&format!("https://localhost:{}", server.address.port()), &ca);
    let target = agent_profile("a");
    store.hold(&target, "1");
    let (stale, tag) = (sha1_tag("0"), sha1_tag("1"));
    assert_eq!(proxy.send("PUT", &target, &[V1, JSON, ("If-Match", &stale)], "2").await.status, 412);
    assert_untouched(&store);
    let written = proxy.send("PUT", &target, &[V1, JSON, ("If-Match", &tag)], "2").await;
    assert_eq!((written.status, written.etag()), (204, Some(sha1_tag("2").as_str())));
    let large = "x".repeat(1_000_000);
    assert_eq!(proxy.send("PUT", "/large", &[], &large).await.status, 204);
    assert_eq!(proxy.get("/large").await.body, large.as_bytes());
}

#[tokio::test]
async fn an_upstream_that_is_not_who_it_should_be_is_sent_nothing() {
    let store = Store::start();
    let (authority, other) = (Authority::new(), Authority::new());
    let ca = format!("ca = {:?}\n", authority.ca());
    let target = agent_profile("a");
    for (what, issued, host, more, is_good) in [
        ("another authority", other.issue("localhost"), "localhost", "", false),
        ("expired", authority.issue_until("localhost", 2020), "localhost", "", false),
        ("another name", authority.issue("lrs.example"), "localhost", "", false),
        ("a name for an address", authority.issue("localhost"), "127.0.0.1", "", false),
        (
            "the name that was given",
            authority.issue("lrs.example"),
            "localhost",
            "server-name = \"lrs.example\"",
            true,
        ),
    ] {
        let (server, _) = authority.before(store.address(), &issued, None);
        let proxy = before(&format!("https://{host}:{}", server.address.port()), &format!("{ca}{more}"));
        let answer = proxy.send("PUT", &target, &[V1, JSON, ("If-None-Match", "*")], "1").await;
        match is_good {
            true => assert_eq!(answer.status, 204, "{what}"),
            false => {
                assert_failure(&answer, 502);
                let why = answer.field("proxy-status").unwrap();
                assert!(why.ends_with("error=tls_certificate_error"), "{what}: {why}");
                assert!(answer.text().contains("Nothing was written") || store.seen().is_empty(), "{what}");
                let relayed = proxy.send("PUT", "/relayed", &[], "1").await;
                assert!(relayed.text().contains("Nothing was written"), "{what}: {relayed:?}");
                assert!(store.seen().is_empty(), "{what}");
            }
        }
    }
    let clear = Server::start(|mut stream, _| async move {
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
    });
    let proxy = before(&format!("https://{}", clear.address), &ca);
    let answer = proxy.get("/elsewhere").await;
    assert_failure(&answer, 502);
    assert!(answer.field("proxy-status").unwrap().ends_with("tls_protocol_error"), "{answer:?}");
}

#[tokio::test]
async fn without_a_ca_of_its_own_an_upstream_is_trusted_as_the_system_trusts() {
    let store = Store::start();
    let (authority, other) = (Authority::new(), Authority::new());
    let (server, _) = authority.before(store.address(), &authority.issue("localhost"), None);
    let upstream = format!("https://localhost:{}", server.address.port());
    for (trusted, is_good) in [(authority.ca(), true), (other.ca(), false)] {
        let system = [("SSL_CERT_FILE", trusted.to_str().unwrap()), ("SSL_CERT_DIR", "/nonexistent")];
        let proxy = Proxy::spawn_in(&system, &upstream, "", &[]);
        let answer = proxy.get("/elsewhere").await;
        assert_eq!(answer.status, if is_good { 404 } else { 502 });
    }
    assert_eq!(store.seen().len(), 1);
}

#[tokio::test]
async fn what_an_upstream_is_trusted_by_is_swapped_while_it_runs() {
    let store = Store::start();
    let (authority, next) = (Authority::new(), Authority::new());
    let (server, _) = next.before(store.address(), &next.issue("localhost"), None);
    let proxy = before(
        &format!("https://localhost:{}", server.address.port()),
        &format!("ca = {:?}\n", authority.ca()),
    );
    assert_failure(&proxy.get("/elsewhere").await, 502);
    authority.write("ca.pem", &std::fs::read_to_string(next.ca()).unwrap());
    within("the next one", async {
        while proxy.get("/elsewhere").await.status != 404 {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn an_upstream_may_want_a_certificate() {
    let store = Store::start();
    let authority = Authority::new();
    let (server, _) = authority.before(store.address(), &authority.issue("localhost"), Some(&authority));
    let upstream = format!("https://localhost:{}", server.address.port());
    let ca = format!("ca = {:?}\n", authority.ca());
    let proxy = before(&upstream, &ca);
    assert_failure(&proxy.get("/elsewhere").await, 502);
    assert!(store.seen().is_empty());
    let proxy = before(&upstream, &(ca + &authority.lines(&authority.issue("staleguard"), "client")));
    assert_eq!(proxy.get("/elsewhere").await.status, 404);
    let expiry = "staleguard_certificate_expiry_timestamp_seconds{side=\"upstream\"}";
    assert_eq!(proxy.metrics().await[expiry], 2_524_608_000);
}

#[tokio::test]
async fn an_upload_that_is_broken_off_over_tls_is_never_ended_in_good_order() {
    let store = Store::start();
    let authority = Authority::new();
    let (server, mut endings) = authority.before(store.address(), &authority.issue("localhost"), None);
    let ca = format!("ca = {:?}\n", authority.ca());
    let proxy = before(&format!("https://localhost:{}", server.address.port()), &ca);
    let mut client = proxy.connect().await;
    client.write("PUT /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n").await;
    store.until("the half", |seen| seen.first().is_some_and(|seen| seen.bytes >= 4)).await;
    client.wire.reset();
    assert_eq!(within("its end", endings.recv()).await, Some(Ending::Reset));
    assert_eq!(store.document("/a"), None);
}

#[tokio::test]
async fn a_client_that_offers_no_protocol_speaks_http_1_1() {
    let store = Store::start();
    let authority = Authority::new();
    let proxy = Proxy::configured(&store, &listening(&authority, ""));
    let shown = Shown { protocols: &PROTOCOLS, ..Shown::default() };
    let stream = authority.connect(proxy.address, &shown).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]), "the better one is chosen");
    let stream: tokio_rustls::client::TlsStream<TcpStream> =
        authority.connect(proxy.address, &Shown::default()).await.unwrap();
    let (mut client, _connection) = Speaker::one(stream).await;
    assert_eq!(client.send("GET", "/elsewhere", &[], "").await.status, 404);
}

/// Who has shown another certificate is somebody else: in the records, and for what is recalled.
#[tokio::test]
async fn two_certificates_are_two_clients() {
    let store = Store::start();
    let authority = Authority::new();
    let client_ca = format!("client-ca = {:?}", authority.ca());
    let exclusive = "[upstream]\nexclusive = true\n";
    let proxy = Proxy::configured(&store, &(exclusive.to_owned() + &listening(&authority, &client_ca)));
    let target = agent_profile("a");
    store.hold(&target, "1");
    let (one, other) = (authority.issue("client"), authority.issue("client"));
    let stale = sha1_tag("0");
    let reads = || store.seen().iter().filter(|seen| !seen.is_write()).count();
    for (certificate, protocol, asked) in
        [(&one, "h2", 1), (&one, "http/1.1", 0), (&other, "h2", 1), (&other, "http/1.1", 0), (&one, "h2", 0)]
    {
        let protocols = [protocol];
        let shown = Shown { protocols: &protocols, certificate: Some(certificate) };
        let stream = authority.connect(proxy.address, &shown).await.unwrap();
        let (mut client, _connection) = match protocol {
            "h2" => Speaker::two(stream).await,
            _ => Speaker::one(stream).await,
        };
        let before = reads();
        let refused = client.send("PUT", &target, &[V1, JSON, ("If-Match", &stale)], "2").await;
        assert_eq!((refused.status, reads() - before), (412, asked), "{protocol}");
    }
    let decisions = crate::support::client::send(proxy.admin, "GET", "/decisions.json", &[], "").await;
    let decisions: serde_json::Value = serde_json::from_str(&decisions.text()).unwrap();
    let keys: Vec<&str> = decisions["decisions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|decision| decision["client"]["key"].as_str().unwrap())
        .collect();
    // The newest first.
    assert_eq!(keys.len(), 5);
    assert!(keys[0] == keys[3] && keys[3] == keys[4] && keys[1] == keys[2] && keys[0] != keys[1], "{keys:?}");
    for secret in [&one.certificate, &other.certificate] {
        let text = secret.lines().nth(1).unwrap();
        assert!(!decisions.to_string().contains(text) && !proxy.said().contains(text));
    }
}
