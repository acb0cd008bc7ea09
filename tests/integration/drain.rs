//! `staleguard drain`, as a preStop hook of Kubernetes runs it.

use std::net::SocketAddr;

use tokio::task::{JoinHandle, spawn_blocking};

use crate::support::client::{Client, send};
use crate::support::proxy::{Proxy, config_file, run};
use crate::support::store::{On, Store};
use crate::support::xapi::{V1, state};

const TOKEN: &str = "a-token-of-this-test";

/// A proxy that takes orders, and the file with its token.
struct Ordered {
    proxy: Proxy,
    token: tempfile::NamedTempFile,
}

impl Ordered {
    fn before(store: &Store) -> Self {
        let token = config_file(&format!("{TOKEN}\n"));
        let config = format!("[admin]\ntoken-file = \"{}\"", token.path().display());
        Self { proxy: Proxy::configured(store, &config), token }
    }

    /// The configuration as the hook has it.
    fn config(&self) -> tempfile::NamedTempFile {
        let (address, token) = (self.proxy.admin, self.token.path().display());
        config_file(&format!("[admin]\naddress = \"{address}\"\ntoken-file = \"{token}\""))
    }

    /// A write that the upstream is busy with.
    async fn busy(&self, store: &Store) -> Client {
        store.close_gate(On::Writes);
        let mut writer = self.proxy.connect().await;
        writer.request("PUT", &state("a"), &[V1], b"1").await;
        store.until_writes(1).await;
        writer
    }
}

/// Begins to drain; the exit code, and what was said on either stream.
fn drain(arguments: &[&str]) -> JoinHandle<(Option<i32>, String)> {
    let arguments: Vec<String> =
        ["drain"].iter().chain(arguments).map(|argument| (*argument).to_owned()).collect();
    // The store that stands for the upstream answers on this thread's runtime.
    spawn_blocking(move || {
        let output = run(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(said).unwrap())
    })
}

async fn is_ready(admin: SocketAddr) -> bool {
    send(admin, "GET", "/readyz", &[], "").await.status == 200
}

#[tokio::test]
async fn it_waits_until_what_is_under_way_has_ended() {
    let store = Store::start();
    let ordered = Ordered::before(&store);
    let mut writer = ordered.busy(&store).await;
    let config = ordered.config();
    let drained = drain(&["--config", config.path().to_str().unwrap()]);
    ordered.proxy.says("draining").await;
    assert!(!is_ready(ordered.proxy.admin).await && !drained.is_finished());
    store.open_gate();
    assert_eq!(writer.answer("PUT").await.status, 204);
    assert_eq!(drained.await.unwrap(), (Some(0), "staleguard: drained\n".into()));
    assert_eq!(ordered.proxy.ended().await, Some(0));
}

#[tokio::test]
async fn it_waits_no_longer_than_it_may_and_sigterm_still_ends_nothing() {
    let store = Store::start();
    let ordered = Ordered::before(&store);
    let mut writer = ordered.busy(&store).await;
    let (admin, token) = (ordered.proxy.admin.to_string(), ordered.token.path().to_str().unwrap());
    let (code, said) = drain(&["--admin", &admin, "--token-file", token, "--wait", "200ms"]).await.unwrap();
    assert_eq!(code, Some(1));
    assert!(said.contains("still drains after 200ms"), "{said}");
    // The supervisor's own signal is the first one.
    ordered.proxy.signal("TERM");
    let mut drains = 0;
    // It answers for as long as it lives, and it must live until the write is done.
    while drains < 50 {
        drains += usize::from(!is_ready(ordered.proxy.admin).await);
    }
    store.open_gate();
    assert_eq!(writer.answer("PUT").await.status, 204);
    assert_eq!(ordered.proxy.ended().await, Some(0));
}

#[tokio::test]
async fn two_signals_after_it_end_the_process_at_once() {
    let store = Store::start();
    let mut ordered = Ordered::before(&store);
    ordered.proxy.panics_are_expected();
    let _writer = ordered.busy(&store).await;
    let (admin, token) = (ordered.proxy.admin.to_string(), ordered.token.path().to_str().unwrap());
    let told = drain(&["--admin", &admin, "--token-file", token, "--wait", "0s"]).await.unwrap();
    assert_eq!(told, (Some(0), "staleguard: draining\n".into()));
    // Of two signals of one kind that come together the kernel delivers one.
    ordered.proxy.signal("TERM");
    ordered.proxy.signal("INT");
    assert_eq!(ordered.proxy.ended().await, Some(1));
}

#[tokio::test]
async fn without_the_token_nothing_drains() {
    let store = Store::start();
    let ordered = Ordered::before(&store);
    let admin = ordered.proxy.admin.to_string();
    let (code, said) = drain(&["--admin", &admin]).await.unwrap();
    assert_eq!(code, Some(2));
    assert!(said.contains("--token-file") && said.contains("admin.token-file"), "{said}");
    let wrong = config_file("another-token-than-that\n");
    let (code, said) =
        drain(&["--admin", &admin, "--token-file", wrong.path().to_str().unwrap()]).await.unwrap();
    assert_eq!(code, Some(1));
    assert!(said.contains("401") && !said.contains("another-token"), "{said}");
    let (code, said) = drain(&["--admin", &admin, "--token-file", "/no/such/file"]).await.unwrap();
    assert_eq!(code, Some(1));
    assert!(said.contains("/no/such/file"), "{said}");
    assert!(is_ready(ordered.proxy.admin).await);
}

#[tokio::test]
async fn where_nobody_listens_there_is_nobody_to_drain() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let token = config_file(TOKEN);
    let (code, said) =
        drain(&["--admin", &free, "--token-file", token.path().to_str().unwrap()]).await.unwrap();
    assert_eq!(code, Some(1));
    assert!(said.contains(&free), "{said}");
    let (code, said) = drain(&["--wait", "25"]).await.unwrap();
    assert_eq!(code, Some(2), "{said}");
}
