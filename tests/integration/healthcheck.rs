//! `staleguard healthcheck`, as an image's HEALTHCHECK and a probe of Kubernetes run it.

use crate::support::client::send;
use crate::support::proxy::{Proxy, config_file, run};
use crate::support::store::{On, Store};
use crate::support::xapi::{V1, state};

/// The exit code, and what was said on either stream.
async fn health(arguments: &[&str]) -> (Option<i32>, String) {
    let arguments: Vec<String> =
        ["healthcheck"].iter().chain(arguments).map(|argument| (*argument).to_owned()).collect();
    // The store that stands for the upstream answers on this thread's runtime.
    tokio::task::spawn_blocking(move || {
        let output = run(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(said).unwrap())
    })
    .await
    .unwrap()
}

#[tokio::test]
async fn it_says_yes_of_a_process_that_serves() {
    let store = Store::start();
    let proxy = Proxy::before(&store);
    let admin = proxy.admin.to_string();
    assert_eq!(health(&["--admin", &admin]).await, (Some(0), "staleguard: alive\n".into()));
    assert_eq!(health(&["--admin", &admin, "--ready"]).await, (Some(0), "staleguard: ready\n".into()));
    assert_eq!(store.seen().len(), 0, "the upstream is not asked");
}

#[tokio::test]
async fn what_drains_is_alive_and_not_ready() {
    let store = Store::start();
    store.close_gate(On::Writes);
    let proxy = Proxy::before(&store);
    let mut writer = proxy.connect().await;
    writer.request("PUT", &state("a"), &[V1], b"1").await;
    store.until_writes(1).await;
    proxy.signal("TERM");
    proxy.says("draining").await;
    let admin = proxy.admin.to_string();
    assert_eq!(health(&["--admin", &admin]).await.0, Some(0));
    let (code, said) = health(&["--admin", &admin, "--ready"]).await;
    assert_eq!(code, Some(1));
    assert!(said.contains("not ready") && said.contains("draining"), "{said}");
    store.open_gate();
    assert_eq!(writer.answer("PUT").await.status, 204);
    assert_eq!(proxy.ended().await, Some(0));
}

#[tokio::test]
async fn it_says_no_where_nobody_listens() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let (code, said) = health(&["--admin", &free]).await;
    assert_eq!(code, Some(1));
    assert!(said.contains(&free) && said.lines().count() == 1, "{said}");
}

#[tokio::test]
async fn it_says_no_of_a_process_that_hangs() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (code, said) = health(&["--admin", &address]).await;
    assert_eq!(code, Some(1));
    assert!(said.contains("within 3 seconds"), "{said}");
}

#[tokio::test]
async fn the_address_is_the_files_and_a_flag_wins() {
    let store = Store::start();
    let proxy = Proxy::before(&store);
    let elsewhere = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for (address, flag) in [
        (proxy.admin, None),
        // What listens everywhere is asked here.
        ((std::net::Ipv4Addr::UNSPECIFIED, proxy.admin.port()).into(), None),
        (elsewhere, Some(proxy.admin.to_string())),
    ] {
        // A file without the upstream, and one with a problem elsewhere: the process that runs has read another.
        for rest in ["", "\n[guard]\nmode = \"maybe\"\n[upstream]\nurl = 3"] {
            let file = config_file(&format!("[admin]\naddress = \"{address}\"{rest}"));
            let mut arguments = vec!["--config", file.path().to_str().unwrap()];
            arguments.extend(flag.iter().flat_map(|flag| ["--admin", flag.as_str()]));
            assert_eq!(health(&arguments).await.0, Some(0), "{address} {flag:?} {rest}");
        }
    }
}

#[tokio::test]
async fn an_address_that_cannot_be_known_is_a_bad_configuration() {
    for config in ["[admin", "[admin]\naddress = \"nowhere\""] {
        let file = config_file(config);
        let (code, said) = health(&["--config", file.path().to_str().unwrap()]).await;
        assert_eq!(code, Some(78), "{said}");
        assert!(said.contains('^'), "{said}");
    }
    assert_eq!(health(&["--config", "/no/such/file.toml"]).await.0, Some(78));
    assert_eq!(health(&["--admin", "nowhere"]).await.0, Some(78));
}

#[tokio::test]
async fn readiness_says_what_it_was_judged_by() {
    let store = Store::start();
    store.close_gate(On::Writes);
    let proxy = Proxy::before(&store);
    let startup = send(proxy.admin, "GET", "/startupz", &[], "").await;
    assert_eq!((startup.status, startup.text().as_str()), (200, "ok\n"));
    let verbose = send(proxy.admin, "GET", "/readyz?verbose", &[], "").await;
    assert_eq!(verbose.status, 200);
    assert!(verbose.text().contains("[+]not-draining ok\n") && verbose.text().ends_with("check passed\n"));
    let mut writer = proxy.connect().await;
    writer.request("PUT", &state("a"), &[V1], b"1").await;
    store.until_writes(1).await;
    proxy.signal("TERM");
    proxy.says("draining").await;
    for target in ["/readyz?verbose", "/readyz?verbose=true", "/readyz?x&verbose=1"] {
        let verbose = send(proxy.admin, "GET", target, &[], "").await;
        assert_eq!(verbose.status, 503);
        assert!(verbose.text().contains("[-]not-draining failed\n"), "{}", verbose.text());
    }
    assert_eq!(send(proxy.admin, "GET", "/readyz?verbosely", &[], "").await.text(), "draining\n");
    assert_eq!(send(proxy.admin, "GET", "/startupz", &[], "").await.status, 200);
    store.open_gate();
    assert_eq!(writer.answer("PUT").await.status, 204);
}
