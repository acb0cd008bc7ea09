//! Traces: the spans that a collector of OpenTelemetry is sent, and what is said of them upstream.

use std::sync::{Arc, Mutex};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::proxy::{Barrier, Proxy, run_in, url};
use crate::support::server::Server;
use crate::support::store::{On, Store};
use crate::support::within;
use crate::support::xapi::{JSON, V1, agent_profile, state};

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// The same, which is not to be recorded.
const UNSAMPLED: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";

/// What came, request by request: the head as text and the body as bytes.
type Came = Arc<Mutex<Vec<(String, Vec<u8>)>>>;

/// A collector that takes everything.
struct Sink {
    server: Server,
    came: Came,
}

impl Sink {
    fn start() -> Self {
        let came = Came::default();
        let taking = Arc::clone(&came);
        let server = Server::start(move |stream, _| take(stream, Arc::clone(&taking)));
        Self { server, came }
    }

    fn url(&self) -> String {
        format!("http://{}", self.server.address)
    }

    fn spans(&self) -> Vec<Span> {
        let came = self.came.lock().unwrap();
        let exports = came.iter().map(|(head, body)| {
            assert!(head.starts_with("POST /v1/traces HTTP/1.1\r\n"), "{head}");
            assert!(head.to_ascii_lowercase().contains("content-type: application/x-protobuf\r\n"), "{head}");
            ExportTraceServiceRequest::decode(&body[..]).unwrap()
        });
        let resources = exports.flat_map(|export| export.resource_spans);
        resources.flat_map(|resource| resource.scope_spans).flat_map(|scope| scope.spans).collect()
    }

    /// Waits for the span of a request, and gives it with those of its parts.
    async fn trace(&self, name: &str) -> (Span, Vec<Span>) {
        within(&format!("the span {name}"), async {
            loop {
                let spans = self.spans();
                if let Some(server) = spans.iter().find(|span| span.name == name).cloned() {
                    let is_part = |span: &Span| span.parent_span_id == server.span_id;
                    let parts = spans.into_iter().filter(is_part).collect();
                    return (server, parts);
                }
                tokio::task::yield_now().await;
            }
        })
        .await
    }
}

async fn take(mut stream: TcpStream, came: Came) {
    let mut bytes = Vec::new();
    let mut needs = usize::MAX;
    while bytes.len() < needs {
        if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
            return;
        }
        if let Some(end) = bytes.windows(4).position(|end| end == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end + 2]).into_owned();
            let length = head.to_ascii_lowercase();
            let length = length.split("content-length: ").nth(1).unwrap().lines().next().unwrap();
            needs = end + 4 + length.trim().parse::<usize>().unwrap();
            if bytes.len() >= needs {
                came.lock().unwrap().push((head, bytes[end + 4..needs].to_vec()));
            }
        }
    }
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await.ok();
}

/// A proxy that sends what it has at once when it ends.
fn proxy(store: &Store, sink: &Sink) -> Proxy {
    Proxy::spawn_in(
        &[("OTEL_BSP_SCHEDULE_DELAY", "50")],
        &url(store),
        &format!("[log]\notlp-endpoint = \"{}\"", sink.url()),
        &[],
    )
}

fn names(mut parts: Vec<Span>) -> Vec<String> {
    parts.sort_by_key(|span| span.start_time_unix_nano);
    parts.into_iter().map(|span| span.name).collect()
}

#[tokio::test]
async fn a_write_is_a_span_with_its_parts_under_that_of_its_client() {
    let (store, sink) = (Store::start(), Sink::start());
    let target = agent_profile("secret");
    store.hold(&target, "{}");
    let proxy = proxy(&store, &sink);
    let fields = [V1, JSON, ("If-Match", "*"), ("traceparent", PARENT), ("tracestate", "a=b")];
    assert_eq!(proxy.send("PUT", &target, &fields, "1").await.status, 204);
    let (server, parts) = sink.trace("PUT agent-profile").await;
    assert_eq!(server.trace_id, 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736_u128.to_be_bytes());
    assert_eq!(server.parent_span_id, 0x00f0_67aa_0ba9_02b7_u64.to_be_bytes());
    for part in &parts {
        assert!(part.trace_id == server.trace_id && part.start_time_unix_nano >= server.start_time_unix_nano);
        assert!(part.end_time_unix_nano >= part.start_time_unix_nano);
        assert!(part.end_time_unix_nano <= server.end_time_unix_nano);
    }
    assert_eq!(names(parts), ["hold", "probe", "forward", "read-back"]);
    let said: Vec<_> = server.attributes.iter().map(|said| said.key.as_str()).collect();
    assert_eq!(
        said,
        ["http.request.method", "http.response.status_code", "staleguard.verdict", "staleguard.resource"]
    );
    // What goes upstream is a part of our span.
    let id: String = server.span_id.iter().map(|byte| format!("{byte:02x}")).collect();
    let ours = PARENT.replace("00f067aa0ba902b7", &id);
    for seen in store.seen() {
        assert_eq!(seen.field("traceparent"), Some(ours.as_str()));
        assert_eq!(seen.field("tracestate"), Some("a=b"));
    }
    let all = format!(
        "{:?}",
        sink.came
            .lock()
            .unwrap()
            .iter()
            .map(|(_, b)| String::from_utf8_lossy(b).into_owned())
            .collect::<Vec<_>>()
    );
    assert!(!all.contains("secret") && !all.contains("example.com"), "no target, no learner: {all}");
}

#[tokio::test]
async fn a_request_without_a_trace_begins_one_and_one_that_is_not_recorded_stays_so() {
    let (store, sink) = (Store::start(), Sink::start());
    let proxy = proxy(&store, &sink);
    let unsampled = PARENT.replace("-01", "-00");
    proxy.send("DELETE", "/elsewhere", &[("traceparent", &unsampled), ("tracestate", "a=b")], "").await;
    assert_eq!(store.seen()[0].field("traceparent"), Some(unsampled.as_str()));
    store.forget();
    proxy.send("GET", "/elsewhere", &[("tracestate", "a=b")], "").await;
    let (server, parts) = sink.trace("GET").await;
    assert_eq!((server.parent_span_id.len(), names(parts)), (0, vec!["forward".to_owned()]));
    let parent = store.seen()[0].field("traceparent").unwrap().to_owned();
    assert!(parent.starts_with("00-") && parent.ends_with("-01") && parent.len() == PARENT.len(), "{parent}");
    assert_eq!(store.seen()[0].field("tracestate"), None, "of a trace that this is no part of");
    assert!(sink.spans().iter().all(|span| span.name != "DELETE"));
}

/// Whoever leaves has waited for something, and that is what somebody looks for who wonders why.
#[tokio::test]
async fn a_client_that_leaves_has_spans_of_what_it_waited_for() {
    for flags in [&[][..], &["--observe"]] {
        for (on, awaited) in [
            (On::All, &["forward"][..]),
            (On::Reads, &["hold", "probe"]),
            (On::Writes, &["hold", "forward"]),
            (On::Marked, &["hold"]),
        ] {
            let (store, sink) = (Store::start(), Sink::start());
            let config = format!("[log]\notlp-endpoint = \"{}\"\n[guard]\nhold-wait = \"1h\"", sink.url());
            let proxy = Proxy::spawn_in(&[("OTEL_BSP_SCHEDULE_DELAY", "50")], &url(&store), &config, flags);
            let mut barrier = Barrier::open(&proxy).await;
            store.forget();
            store.close_gate(on);
            let (method, target) = match on {
                On::All => ("DELETE", "/relayed".to_owned()),
                _ => ("PUT", state("a")),
            };
            if on == On::Marked {
                // Somebody else has the hold.
                let mut first = proxy.connect().await;
                first.request("PUT", &target, &[V1, ("X-Gate", ""), ("traceparent", UNSAMPLED)], b"1").await;
                store.until_writes(1).await;
                std::mem::forget(first);
            }
            let conditional = [V1, ("If-Match", "\"x\"")];
            let fields = if on == On::Reads { &conditional[..] } else { &conditional[..1] };
            let mut client = proxy.connect().await;
            client.request(method, &target, fields, b"").await;
            if on == On::Marked {
                barrier.pass().await;
            } else {
                store.until("the request", |seen| !seen.is_empty()).await;
            }
            client.wire.reset();
            let name = if on == On::All { "DELETE" } else { "PUT state" };
            let (server, parts) = sink.trace(name).await;
            assert_eq!(names(parts), awaited, "{flags:?} {on:?}");
            let said = |key: &str| server.attributes.iter().any(|said| said.key == key);
            assert!(said("error.type") && !said("http.response.status_code"), "{server:?}");
            store.open_gate();
        }
    }
}

#[tokio::test]
async fn a_collector_that_says_nothing_holds_nobody_up() {
    let store = Store::start();
    // It takes what is sent and never answers.
    let silent = Server::start(|mut stream, _| async move {
        let mut taken = Vec::new();
        stream.read_to_end(&mut taken).await.ok();
        std::future::pending::<()>().await;
    });
    let endpoint = format!("http://{}", silent.address);
    let variables = [("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()), ("OTEL_BSP_SCHEDULE_DELAY", "1")];
    let proxy = Proxy::spawn_in(&variables, &url(&store), "", &[]);
    let mut client = proxy.connect().await;
    for _ in 0..3000 {
        assert_eq!(client.send("GET", "/elsewhere", &[], "").await.status, 404);
    }
    proxy.signal("TERM");
    assert_eq!(proxy.ended().await, Some(0));
}

#[test]
fn an_endpoint_of_the_environment_that_is_none_is_said() {
    for bad in ["localhost:4318", "https://collector.example:4318", "http://a:secret@b:4318", "nonsense"] {
        let environment = [("OTEL_EXPORTER_OTLP_ENDPOINT", bad)];
        let arguments =
            ["run", "--upstream", "http://127.0.0.1:9", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
        let output = run_in(&environment, &arguments);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(78), "{bad}: {said}");
        assert!(said.contains("OTEL_EXPORTER_OTLP_ENDPOINT is no http:// URL"), "{said}");
        assert!(said.contains("http://127.0.0.1:4318") && !said.contains("secret"), "{said}");
    }
}

#[tokio::test]
async fn nothing_is_recorded_unless_somebody_collects_it() {
    let store = Store::start();
    let proxy = Proxy::before(&store);
    proxy.send("GET", &state("a"), &[V1], "").await;
    assert_eq!(store.seen()[0].field("traceparent"), None);
}

#[tokio::test]
async fn what_is_left_is_sent_at_the_end_and_a_collector_that_is_gone_stops_nobody() {
    let (store, sink) = (Store::start(), Sink::start());
    let endpoint = sink.url();
    let variables =
        [("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()), ("OTEL_BSP_SCHEDULE_DELAY", "600000")];
    let proxy = Proxy::spawn_in(&variables, &url(&store), "", &[]);
    proxy.send("GET", &state("a"), &[V1], "").await;
    proxy.logged("the read", |line| line["method"] == "GET").await;
    assert!(sink.spans().is_empty());
    proxy.signal("TERM");
    assert_eq!(proxy.ended().await, Some(0));
    sink.trace("GET state").await;

    let gone = [("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9"), ("OTEL_BSP_SCHEDULE_DELAY", "10")];
    let proxy = Proxy::spawn_in(&gone, &url(&store), "", &[]);
    for _ in 0..3 {
        assert_eq!(proxy.send("GET", &state("a"), &[V1], "").await.status, 404);
    }
}
