//! The program as a command: its addresses, its sentences and its exit codes.

use crate::support::assert_failure;
use crate::support::client::send;
use crate::support::proxy::{Proxy, config_file, run, run_in, url};
use crate::support::store::{Misdeed, On, Store};
use crate::support::xapi::{V1, agent_profile, state, state_of};

/// Runs it to its end; the exit code and what it said.
fn ended(arguments: &[&str]) -> (Option<i32>, String) {
    let output = run(arguments);
    let said =
        String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert!(!said.contains("panicked"), "{said}");
    (output.status.code(), said)
}

fn checked(config: &str) -> (Option<i32>, String) {
    let file = config_file(config);
    ended(&["check", "--config", file.path().to_str().unwrap()])
}

#[tokio::test]
async fn a_port_in_use_is_one_clear_sentence() {
    let store = Store::start();
    let proxy = Proxy::before(&store);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    // By another program, by another Staleguard, and on either listener.
    for holder in
        [taken.local_addr().unwrap().to_string(), proxy.address.to_string(), proxy.admin.to_string()]
    {
        for (listen, admin) in [(holder.as_str(), "127.0.0.1:0"), ("127.0.0.1:0", holder.as_str())] {
            let upstream = url(&store);
            let (code, said) = ended(&["run", "--upstream", &upstream, "--listen", listen, "--admin", admin]);
            assert_eq!(code, Some(1), "{said}");
            assert_eq!(said.trim().lines().count(), 1, "{said}");
            assert!(said.contains(&holder) && !said.contains("os error"), "{said}");
        }
    }
    assert_eq!(proxy.get("/elsewhere").await.status, 404, "the first one is not disturbed");
}

#[tokio::test]
async fn an_upstream_url_that_is_none_is_one_clear_sentence() {
    for upstream in
        ["localhost:8000", "127.0.0.1:8000", "lrs.example", "", "http://", "ftp://a.example", "http://a:b"]
    {
        let (code, said) =
            ended(&["run", "--upstream", upstream, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
        assert_eq!(code, Some(78), "{upstream:?}: {said}");
        assert!(said.contains("http://"), "it shows what it should look like: {said}");
    }
}

#[tokio::test]
async fn a_good_configuration_is_ok() {
    let (code, said) = checked("[upstream]\nurl = \"http://127.0.0.1:8000\"\n");
    assert_eq!((code, said.trim()), (Some(0), "ok"));
}

#[tokio::test]
async fn every_problem_of_a_configuration_is_shown_at_once() {
    let (code, said) = checked(
        "[listen]\naddress = \"nowhere\"\n[upstream]\nurl = \"localhost\"\nconect-timeout = \"2s\"\n\
         settle-time = \"soon\"\n[guard]\nmode = \"maybe\"\n",
    );
    assert_eq!(code, Some(78), "{said}");
    for word in ["nowhere", "localhost", "conect-timeout", "connect-timeout", "soon", "maybe", "observe", "^"]
    {
        assert!(said.contains(word), "{word} in {said}");
    }
}

#[tokio::test]
async fn a_malformed_configuration_is_a_sentence_and_an_exit_code() {
    for config in
        ["[listen", "= 1", "[listen]\nconnections = -1", "guard = 1", "[resource.x]\npath = 3", "\u{0}"]
    {
        let (code, said) = checked(config);
        assert_eq!(code, Some(78), "{config:?}: {said}");
        let file = config_file(config);
        let path = file.path().to_str().unwrap().to_owned();
        let (code, said) = ended(&["run", "--upstream", "http://127.0.0.1:1", "--config", &path]);
        assert_eq!(code, Some(78), "{config:?}: {said}");
    }
    let (code, said) = ended(&["check", "--config", "/no/such/file.toml"]);
    assert_eq!(code, Some(78), "{said}");
    assert!(said.contains("/no/such/file.toml"), "{said}");
}

#[tokio::test]
async fn arguments_that_are_none_are_a_matter_of_usage() {
    for arguments in [vec!["run", "--no-such-flag"], vec!["no-such-command"], vec!["check"]] {
        let (code, said) = ended(&arguments);
        assert_eq!(code, Some(2), "{arguments:?}: {said}");
    }
}

#[tokio::test]
async fn health_and_figures_are_told_on_the_admin_address() {
    let store = Store::start();
    let proxy = Proxy::before(&store);
    for (path, media_type) in [
        ("/livez", "text/plain; charset=utf-8"),
        ("/readyz", "text/plain; charset=utf-8"),
        ("/metrics", "application/openmetrics-text; version=1.0.0; charset=utf-8"),
        ("/status.json", "application/json"),
    ] {
        let answer = send(proxy.admin, "GET", path, &[], "").await;
        assert_eq!((answer.status, answer.field("content-type")), (200, Some(media_type)), "{path}");
        assert_eq!(answer.field("cache-control"), Some("no-store"), "{path}");
        assert_eq!(send(proxy.admin, "HEAD", path, &[], "").await.status, 200, "{path}");
        assert_eq!(send(proxy.admin, "POST", path, &[], "").await.status, 405, "{path}");
        assert_eq!(proxy.get(path).await.status, 404, "on the other address it is the upstream's");
    }
    assert_eq!(send(proxy.admin, "GET", "/elsewhere", &[], "").await.status, 404);
    assert_eq!(store.seen().len(), 4);
    assert!(send(proxy.admin, "GET", "/metrics", &[], "").await.text().ends_with("# EOF\n"));
}

#[tokio::test]
async fn a_signal_ends_an_idle_proxy() {
    for signal in ["TERM", "INT"] {
        let store = Store::start();
        let proxy = Proxy::before(&store);
        let mut idle = proxy.connect().await;
        assert_eq!(idle.send("GET", "/a", &[], "").await.status, 404);
        proxy.signal(signal);
        assert_eq!(proxy.ended().await, Some(0));
        idle.end().await;
    }
}

#[tokio::test]
async fn a_write_under_way_is_waited_for() {
    let store = Store::start();
    store.close_gate(On::Writes);
    let proxy = Proxy::before(&store);
    let mut writer = proxy.connect().await;
    writer.request("PUT", &state("a"), &[V1], b"1").await;
    let mut leaver = proxy.connect().await;
    leaver.request("PUT", &state("b").replace("course", "lesson"), &[V1], b"2").await;
    store.until_writes(2).await;
    drop(leaver);
    proxy.signal("TERM");
    // It turns new clients away, and is not gone before the writes are done.
    crate::support::within("the end of listening", async {
        while tokio::net::TcpStream::connect(proxy.address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    store.open_gate();
    assert_eq!(writer.answer("PUT").await.status, 204);
    assert_eq!(proxy.ended().await, Some(0));
    assert_eq!(store.document(&state("a")).unwrap(), b"1");
    assert_eq!(store.document(&state("b").replace("course", "lesson")).unwrap(), b"2");
}

#[tokio::test]
async fn a_drain_is_bounded() {
    let store = Store::start();
    store.close_gate(On::Writes);
    let mut proxy = Proxy::configured(&store, "[guard]\ndrain-timeout = \"200ms\"");
    proxy.panics_are_expected();
    let mut writer = proxy.connect().await;
    writer.request("PUT", &state("a"), &[V1], b"1").await;
    store.until_writes(1).await;
    proxy.signal("TERM");
    let line = proxy.logged("the write that was cut off", |line| line["failure"] == "cut-off").await;
    assert_eq!((&line["status"], &line["verdict"]), (&0.into(), &"forward".into()), "no client left");
    assert_eq!(proxy.ended().await, Some(1), "not everything ended in good order");
}

#[tokio::test]
async fn an_upstream_that_is_gone_while_draining_is_a_503() {
    let store = Store::start();
    let proxy = Proxy::before(&store);
    store.close_gate(On::Writes);
    let mut writer = proxy.connect().await;
    writer.request("PUT", &state("a"), &[V1], b"1").await;
    store.until_writes(1).await;
    let mut others = Vec::new();
    for target in [state_of("other", "a"), agent_profile("a")] {
        // Its body is yet to come, so that its exchange has begun and the upstream is not asked yet.
        let mut other = proxy.connect().await;
        let fields = [V1, ("Content-Length", "1"), ("Expect", "100-continue")];
        other.request("PUT", &target, &fields, b"").await;
        assert_eq!(other.wire.head().await.unwrap().word(1), "100");
        others.push(other);
    }
    proxy.signal("TERM");
    until_it_drains(&proxy).await;
    drop(store);
    // Of a write that was sent, nobody may say that nothing was written.
    assert_eq!(writer.answer("PUT").await.status, 502);
    for mut other in others {
        other.write("1").await;
        let answer = other.answer("PUT").await;
        assert_failure(&answer, 503);
        assert_eq!(answer.field("retry-after"), Some("1"));
        assert_eq!(answer.field("connection"), Some("close"));
    }
}

#[tokio::test]
async fn a_scope_that_is_unsettled_is_waited_for_while_draining() {
    let store = Store::start();
    let proxy = Proxy::configured(&store, "upstream.settle-time = \"300ms\"");
    store.set(|knobs| knobs.misdeed = Some((On::Writes, Misdeed::SaysAndResets(String::new()))));
    assert_eq!(proxy.send("PUT", &state("a"), &[V1], "1").await.status, 502);
    proxy.signal("TERM");
    until_it_drains(&proxy).await;
    assert_eq!(proxy.ended().await, Some(0));

    let folder = tempfile::tempdir().unwrap();
    let keeps_mark = format!("[guard]\nstate-dir = {:?}", folder.path().to_str().unwrap());
    let mut proxy = Proxy::configured(&store, &format!("{keeps_mark}\ndrain-timeout = \"100ms\""));
    proxy.panics_are_expected();
    assert_eq!(proxy.send("PUT", &state("a"), &[V1], "1").await.status, 502);
    proxy.signal("TERM");
    assert_eq!(proxy.ended().await, Some(1), "it may still be applied");
    let mut next = Proxy::configured(&store, &format!("{keeps_mark}\nhold-wait = \"0s\""));
    next.panics_are_expected();
    assert_failure(&next.send("PUT", &state("b"), &[V1], "1").await, 503);
}

/// The process is killed with a write under way, and another takes its place.
#[tokio::test]
async fn after_an_unclean_end_guarded_writes_wait() {
    let store = Store::start();
    let folder = tempfile::tempdir().unwrap();
    let config = format!("guard.hold-wait = \"0s\"\nguard.state-dir = {:?}", folder.path().to_str().unwrap());
    store.close_gate(On::Writes);
    let mut proxy = Proxy::configured(&store, &config);
    proxy.panics_are_expected();
    let mut writer = proxy.connect().await;
    writer.request("PUT", &state("a"), &[V1], b"1").await;
    store.until_writes(1).await;
    proxy.signal("KILL");
    assert_eq!(proxy.ended().await, None);
    store.open_gate();

    let mut proxy = Proxy::configured(&store, &config);
    proxy.panics_are_expected();
    let answer = proxy.send("PUT", &state("b"), &[V1], "2").await;
    assert_failure(&answer, 503);
    let seconds: u64 = answer.field("retry-after").unwrap().parse().unwrap();
    assert!((1..=30).contains(&seconds), "settle-time is 30 s, not {seconds}");
    assert!(answer.text().contains("has only just started"), "nobody has ever written it: {answer:?}");
    assert_eq!(proxy.send("GET", &state("b"), &[V1], "").await.status, 404, "reads wait for nothing");
    assert_eq!(store.document(&state("b")), None);
    let left = proxy.status_json().await["all_unsettled_seconds"].as_u64().unwrap();
    assert!((1..=30).contains(&left), "{left}");
    let page = send(proxy.admin, "GET", "/", &[], "").await.text();
    assert!(page.contains("and all others for "), "{page}");

    // Nothing of its own is unsettled: its end is a clean one, and what the first has left is for the next to wait for.
    proxy.signal("TERM");
    assert_eq!(proxy.ended().await, Some(0));
    let mut proxy = Proxy::configured(&store, &config);
    proxy.panics_are_expected();
    assert_failure(&proxy.send("PUT", &state("b"), &[V1], "2").await, 503);
}

/// Two processes that share a folder: the end of one must not take away the mark of the other.
#[tokio::test]
async fn a_state_folder_is_for_one_process() {
    let store = Store::start();
    let folder = tempfile::tempdir().unwrap();
    let config = format!("guard.hold-wait = \"0s\"\nguard.state-dir = {:?}", folder.path().to_str().unwrap());
    let mut first = Proxy::configured(&store, &config);
    first.panics_are_expected();
    let file = config_file(&config);
    let second = run(&[
        "run",
        "--config",
        file.path().to_str().unwrap(),
        "--upstream",
        "http://127.0.0.1:1",
        "--listen",
        "127.0.0.1:0",
        "--admin",
        "127.0.0.1:0",
    ]);
    let said = String::from_utf8(second.stderr).unwrap();
    assert_eq!(second.status.code(), Some(1), "{said}");
    assert!(said.contains("another staleguard runs with"), "{said}");
    first.signal("KILL");
    assert_eq!(first.ended().await, None);
    // The lock is gone with the process, the mark is not.
    let mut next = Proxy::configured(&store, &config);
    next.panics_are_expected();
    assert_failure(&next.send("PUT", &state("a"), &[V1], "1").await, 503);
}

#[tokio::test]
async fn after_a_clean_end_nobody_waits() {
    let store = Store::start();
    let folder = tempfile::tempdir().unwrap();
    let config = format!("guard.hold-wait = \"0s\"\nguard.state-dir = {:?}", folder.path().to_str().unwrap());
    for _ in 0..2 {
        let proxy = Proxy::configured(&store, &config);
        assert_eq!(proxy.send("PUT", &state("a"), &[V1], "1").await.status, 204);
        proxy.signal("TERM");
        assert_eq!(proxy.ended().await, Some(0));
    }
    let by_hand = format!("{config}\nguard.start-settle = \"20s\"");
    let mut proxy = Proxy::configured(&store, &by_hand);
    proxy.panics_are_expected();
    assert_failure(&proxy.send("PUT", &state("a"), &[V1], "1").await, 503);
    drop(proxy);
    let by_hand = format!("{config}\nguard.start-settle = \"0s\"");
    let proxy = Proxy::configured(&store, &by_hand);
    assert_eq!(
        proxy.send("PUT", &state("a"), &[V1], "1").await.status,
        204,
        "it was killed, and somebody has waited"
    );
}

#[tokio::test]
async fn flags_go_over_the_file() {
    let store = Store::start();
    let proxy = Proxy::configured(
        &store,
        "[upstream]\nurl = \"http://127.0.0.1:1\"\n[listen]\naddress = \"127.0.0.1:1\"\n[admin]\naddress = \"127.0.0.1:1\"",
    );
    assert_eq!(proxy.get("/a").await.status, 404);
}

#[tokio::test]
async fn the_environment_goes_over_the_file() {
    let store = Store::start();
    let environment = [
        ("STALEGUARD__RESOURCE__STATE__UNCONDITIONAL", "{ PUT = \"require\" }"),
        ("STALEGUARD__ADMIN__ADDRESS", "nobody hears this, since --admin is given"),
        ("LEVEL", "warn"),
    ];
    let config = "[resource.state]\nunconditional.PUT = \"forward\"\n[log]\nlevel = \"${LEVEL}\"\n";
    let (code, said) = {
        let output =
            run_in(&environment, &["check", "--config", config_file(config).path().to_str().unwrap()]);
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    assert_eq!(code, Some(78));
    assert!(said.starts_with("error: STALEGUARD__ADMIN__ADDRESS: ") && said.lines().count() == 2, "{said}");
    let environment = &environment[..1];
    let proxy = Proxy::spawn_in(environment, &url(&store), &config.replace("${LEVEL}", "warn"), &[]);
    assert_eq!(proxy.send("PUT", &state("a"), &[V1], "1").await.status, 428);
    assert_eq!(store.seen().len(), 0);
}

#[tokio::test]
async fn the_access_log_can_be_turned_off() {
    let store = Store::start();
    let proxy = Proxy::configured(&store, "[log]\naccess = false");
    assert_eq!(proxy.get("/a").await.status, 404);
    proxy.signal("TERM");
    let log = proxy.log();
    proxy.ended().await;
    assert!(log.is_empty(), "{log:?}");
}

#[tokio::test]
async fn the_schema_is_json_on_standard_output() {
    let output = run(&["schema"]);
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
    let schema: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(schema["properties"]["upstream"]["properties"]["settle-time"]["default"], "30s");
}

/// Waits until the admin listener says that the proxy drains.
async fn until_it_drains(proxy: &Proxy) {
    crate::support::within("not being ready", async {
        while send(proxy.admin, "GET", "/readyz", &[], "").await.status != 503 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_proxy_that_drains_is_alive_but_not_ready() {
    let store = Store::start();
    store.close_gate(On::Writes);
    let proxy = Proxy::before(&store);
    let mut writer = proxy.connect().await;
    writer.request("PUT", &state("a"), &[V1], b"1").await;
    store.until_writes(1).await;
    proxy.signal("TERM");
    until_it_drains(&proxy).await;
    assert_eq!(send(proxy.admin, "GET", "/livez", &[], "").await.status, 200);
    store.open_gate();
    assert_eq!(writer.answer("PUT").await.status, 204);
    assert_eq!(proxy.ended().await, Some(0));
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let store = Store::start();
    store.close_gate(On::Writes);
    let mut proxy = Proxy::before(&store);
    proxy.panics_are_expected();
    let mut writer = proxy.connect().await;
    writer.request("PUT", &state("a"), &[V1], b"1").await;
    store.until_writes(1).await;
    proxy.signal("TERM");
    until_it_drains(&proxy).await;
    proxy.signal("TERM");
    assert_eq!(proxy.ended().await, Some(1));
}

#[tokio::test]
async fn a_write_whose_client_left_is_waited_for_too() {
    let store = Store::start();
    store.close_gate(On::Writes);
    let proxy = Proxy::before(&store);
    let mut leaver = proxy.connect().await;
    leaver.request("PUT", &state("a"), &[V1], b"1").await;
    store.until_writes(1).await;
    drop(leaver);
    proxy.signal("TERM");
    let mut drains = 0;
    // It answers for as long as it lives, and it must live until the write is done.
    while drains < 50 {
        drains += usize::from(send(proxy.admin, "GET", "/readyz", &[], "").await.status == 503);
    }
    store.open_gate();
    assert_eq!(proxy.ended().await, Some(0));
}
