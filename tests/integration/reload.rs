//! Another configuration while exchanges are under way: what they keep, what is waited for, and what is forgotten.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use serde_json::Value;

use crate::support::client::{Answer, send};
use crate::support::proxy::{Proxy, url};
use crate::support::store::{On, Store};
use crate::support::xapi::{JSON, V1, state};
use crate::support::{assert_refused, sha1_tag};

const TOKEN: &str = "Bearer 0123456789abcdef";
const WHO: (&str, &str) = ("Authorization", "Basic YTpi");
const NOTE: &str = "/notes/1";

/// A rule of the user's own over one path.
const NOTES: &str = "[resource.notes]\npath = \"/notes/{id}\"\nidentity = [\"path\"]\netag = \"sha1\"\n";
/// The same documents in other scopes.
const VERSIONED: &str =
    "[resource.notes]\npath = \"/notes/{id}\"\nidentity = [\"path\", \"v?\"]\netag = \"sha1\"\n";
const REQUIRE: &str = "unconditional.PUT = \"require\"\n";

/// A proxy whose admin token is known, and the start of its configuration, which must stay.
fn start(store: &Store, config: &str) -> (Proxy, String, tempfile::NamedTempFile) {
    let token = tempfile::NamedTempFile::new().unwrap();
    fs::write(token.path(), "0123456789abcdef\n").unwrap();
    let head = format!("admin.token-file = {:?}\n", token.path());
    (Proxy::configured(store, &format!("{head}{config}")), head, token)
}

async fn post(proxy: &Proxy, path: &str, token: Option<&str>) -> Answer {
    let token = token.map(|token| ("Authorization", token));
    send(proxy.admin, "POST", path, token.as_slice(), "").await
}

/// Writes another configuration and has it read.
async fn reload(proxy: &Proxy, config: &str) {
    proxy.rewrite(config);
    let answer = post(proxy, "/-/reload", Some(TOKEN)).await;
    assert_eq!(answer.status, 200, "{answer:#?}");
}

async fn put(proxy: &Proxy, target: &str, fields: &[(&str, &str)], body: &str) -> Answer {
    proxy.send("PUT", target, &[&[JSON, WHO], fields].concat(), body).await
}

#[tokio::test]
async fn what_is_guarded_changes_for_the_requests_that_come_then() {
    let store = Store::start();
    store.hold(NOTE, "0");
    let (proxy, head, _token) = start(&store, "");
    let mut client = proxy.connect().await;
    assert_eq!(client.send("PUT", NOTE, &[JSON], "1").await.status, 204, "it is relayed");
    reload(&proxy, &format!("{head}{NOTES}{REQUIRE}")).await;
    let refused = client.send("PUT", NOTE, &[JSON], "2").await;
    assert_refused(&refused, 428);
    assert_eq!(store.document(NOTE).unwrap(), b"1");
    reload(&proxy, &head).await;
    assert_eq!(client.send("PUT", NOTE, &[JSON], "3").await.status, 204, "the same connection");
}

#[tokio::test]
async fn the_hang_up_signal_reloads_too_and_a_wrong_file_changes_nothing() {
    let store = Store::start();
    let (proxy, head, _token) = start(&store, "");
    proxy.rewrite(&format!("{head}[guard]\nmode = \"obey\"\n"));
    proxy.signal("HUP");
    proxy.says("the configuration stays as it was").await;
    proxy.says("`observe`").await;
    let refused = post(&proxy, "/-/reload", Some(TOKEN)).await;
    assert_eq!(refused.status, 422);
    assert!(refused.text().contains("obey") && refused.text().contains("3 |"), "{}", refused.text());
    let status = proxy.status_json().await;
    let (config, began) = (status["config"].clone(), status["config"]["hash"].clone());
    assert!(config["last_error"].as_str().is_some_and(|line| line.starts_with("error")), "{status:#}");
    assert!(config["file"].is_string() && began.is_string() && config["loaded"].is_string(), "{status:#}");
    assert_eq!((&status["mode"]["state"], &status["mode"]["notes"]), (&"enforce".into(), &Value::Null));
    let metrics = proxy.metrics().await;
    assert_eq!(metrics["staleguard_config_last_reload_successful"], 0);
    assert!(metrics["staleguard_config_reloads_total{outcome=\"failure\"}"] >= 2);

    proxy.rewrite(&format!("{head}{NOTES}{REQUIRE}"));
    proxy.signal("HUP");
    proxy.says("reloaded").await;
    assert_refused(&put(&proxy, NOTE, &[], "1").await, 428);
    assert_eq!(proxy.metrics().await["staleguard_config_last_reload_successful"], 1);
    let status = proxy.status_json().await;
    assert_eq!(
        (&status["config"]["last_error"], &status["mode"]["notes"]),
        (&Value::Null, &"enforce".into())
    );
    assert_ne!(status["config"]["hash"], began);
    assert!(send(proxy.admin, "GET", "/readyz", &[], "").await.status == 200, "it does not drain");
}

#[tokio::test]
async fn what_cannot_change_while_it_runs_is_named_and_nothing_else_changes_either() {
    let store = Store::start();
    let (proxy, head, _token) = start(&store, "");
    proxy.rewrite(&format!("{head}log.access = false\nlisten.connections = 7\n{NOTES}{REQUIRE}"));
    let refused = post(&proxy, "/-/reload", Some(TOKEN)).await;
    assert_eq!(refused.status, 422);
    assert_eq!(refused.text(), "changed, which needs a restart: listen.connections, log.access\n");
    assert_eq!(put(&proxy, NOTE, &[], "1").await.status, 204);
}

#[tokio::test]
async fn a_change_of_the_file_is_noticed() {
    let store = Store::start();
    let (proxy, head, _token) = start(&store, "");
    proxy.rewrite(&format!("{head}{NOTES}{REQUIRE}"));
    proxy.says("reloaded").await;
    assert_refused(&put(&proxy, NOTE, &[], "1").await, 428);
}

/// Kubernetes shows a ConfigMap through a link to a folder, and puts another folder in its place at once.
#[tokio::test]
async fn the_swap_of_a_mounted_folder_is_noticed() {
    let store = Store::start();
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for (name, config) in [("1", String::new()), ("2", format!("{NOTES}{REQUIRE}"))] {
        fs::create_dir(at(name)).unwrap();
        fs::write(at(name).join("staleguard.toml"), config).unwrap();
    }
    symlink("1", at("..data")).unwrap();
    symlink("..data/staleguard.toml", at("staleguard.toml")).unwrap();
    let file = at("staleguard.toml");
    let proxy = Proxy::spawn(&url(&store), "", &["--config", file.to_str().unwrap()]);
    assert_eq!(put(&proxy, NOTE, &[], "1").await.status, 204);
    symlink("2", at("..next")).unwrap();
    fs::rename(at("..next"), at("..data")).unwrap();
    proxy.says("reloaded").await;
    assert_refused(&put(&proxy, NOTE, &[], "2").await, 428);
}

#[tokio::test]
async fn nobody_posts_without_the_token() {
    let store = Store::start();
    let (proxy, _head, token) = start(&store, "");
    for path in ["/-/reload", "/-/drain"] {
        assert_eq!(post(&proxy, path, None).await.status, 401, "{path}");
        assert_eq!(post(&proxy, path, Some("Bearer 0123456789abcdeF")).await.status, 401, "{path}");
        assert_eq!(post(&proxy, path, None).await.field("www-authenticate"), Some("Bearer"));
        let read = send(proxy.admin, "GET", path, &[("Authorization", TOKEN)], "").await;
        assert_eq!((read.status, read.field("allow")), (405, Some("POST")), "{path}");
        let rebound = [("Host", "evil.example"), ("Authorization", TOKEN)];
        assert_eq!(send(proxy.admin, "POST", path, &rebound, "").await.status, 421, "{path}");
    }
    assert_eq!(post(&proxy, "/-/reload", Some(TOKEN)).await.text(), "nothing has changed\n");
    // It may change while the process runs, and an empty file opens for nobody.
    fs::write(token.path(), "another-token-of-theirs").unwrap();
    assert_eq!(post(&proxy, "/-/reload", Some(TOKEN)).await.status, 401);
    assert_eq!(post(&proxy, "/-/reload", Some("Bearer another-token-of-theirs")).await.status, 200);
    fs::write(token.path(), "").unwrap();
    assert_eq!(post(&proxy, "/-/drain", Some("Bearer ")).await.status, 403);

    let closed = Proxy::before(&store);
    for path in ["/-/reload", "/-/drain"] {
        let refused = post(&closed, path, Some(TOKEN)).await;
        assert_eq!(refused.status, 403, "{path}");
        assert!(refused.text().contains("admin.token-file"), "{}", refused.text());
    }
    assert_eq!(send(closed.admin, "GET", "/readyz", &[], "").await.status, 200);
}

#[tokio::test]
async fn a_token_is_made_where_there_is_none() {
    let store = Store::start();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    let proxy = Proxy::configured(&store, &format!("admin.token-file = {file:?}\n"));
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let token = format!("Bearer {}", fs::read_to_string(&file).unwrap().trim());
    assert_eq!(post(&proxy, "/-/drain", Some(&token)).await.status, 202);
    assert_eq!(proxy.ended().await, Some(0), "it has drained");
}

#[tokio::test]
async fn a_request_under_way_keeps_what_it_began_with() {
    let store = Store::start();
    store.hold(NOTE, "0");
    let (proxy, head, _token) = start(&store, &format!("{NOTES}{REQUIRE}"));
    store.close_gate(On::Writes);
    let tag = sha1_tag("0");
    let writing = async { put(&proxy, NOTE, &[("If-Match", &tag)], "1").await };
    let reloading = async {
        store.until_writes(1).await;
        reload(&proxy, &head).await;
        store.open_gate();
    };
    let (written, ()) = tokio::join!(writing, reloading);
    assert_eq!(
        (written.status, written.etag()),
        (204, Some(&*sha1_tag("1"))),
        "it is read back as it was to be"
    );
    assert_eq!(put(&proxy, NOTE, &[], "2").await.status, 204);
}

#[tokio::test]
async fn where_scopes_change_a_write_waits_for_the_holds_of_before() {
    let store = Store::start();
    store.hold(NOTE, "0");
    let (proxy, head, _token) = start(&store, &format!("{NOTES}{REQUIRE}"));
    store.close_gate(On::Writes);
    let (tag, next) = (sha1_tag("0"), sha1_tag("1"));
    let first = async { put(&proxy, NOTE, &[("If-Match", &tag)], "1").await };
    let second = async {
        store.until_writes(1).await;
        reload(&proxy, &format!("{head}{VERSIONED}{REQUIRE}")).await;
        let writing = async { put(&proxy, NOTE, &[("If-Match", &next)], "2").await };
        let opening = async {
            // It has come by the time another request has gone through; nothing may have reached the store for it.
            proxy.get("/barrier").await;
            let of_notes = |store: &Store| store.seen().iter().filter(|seen| seen.target == NOTE).count();
            let before = of_notes(&store);
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
            assert_eq!(of_notes(&store), before, "it waits");
            store.open_gate();
        };
        tokio::join!(writing, opening).0
    };
    let (first, second) = tokio::join!(first, second);
    assert_eq!((first.status, second.status), (204, 204), "{first:#?}{second:#?}");
    assert_eq!(store.document(NOTE).unwrap(), b"2");
}

#[tokio::test]
async fn where_scopes_change_a_write_that_was_still_coming_is_sent_back() {
    let store = Store::start();
    store.hold(NOTE, "0");
    let (proxy, head, _token) = start(&store, &format!("{NOTES}{REQUIRE}"));
    let mut slow = proxy.arrive().await;
    let tag = sha1_tag("0");
    let request = format!("PUT {NOTE} HTTP/1.1\r\nHost: h\r\nIf-Match: {tag}\r\nContent-Length: 2\r\n\r\n1");
    slow.write(&request).await;
    // The head has been read once another connection of every core has been served.
    for _ in 0..8 {
        proxy.arrive().await;
    }
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    reload(&proxy, &format!("{head}{VERSIONED}{REQUIRE}")).await;
    slow.write("1").await;
    let refused = slow.answer("PUT").await;
    assert_eq!((refused.status, refused.field("retry-after")), (503, Some("1")));
    assert!(refused.text().contains("has changed"), "{}", refused.text());
    assert_eq!(store.document(NOTE).unwrap(), b"0");
}

/// The methods of all requests that have reached the store since it was last asked.
fn methods(store: &Store) -> Vec<String> {
    let methods = store.seen().into_iter().map(|seen| seen.method).collect();
    store.forget();
    methods
}

#[tokio::test]
async fn what_is_known_is_forgotten_when_it_may_say_something_else() {
    const KNOWING: &str =
        "upstream.exclusive = true\nupstream.settle-time = \"0s\"\nguard.read-back = \"never\"\n";
    let target = state("a");
    // What changes, and whether what was known is known still.
    let changes = [
        ("guard.hold-wait = \"5s\"\n", true),
        ("[resource.state]\nunconditional.PUT = \"conflict\"\n", true),
        ("[resource.state]\nabsent = [404]\n", false),
        ("[resource.state]\netag-of = \"canonical-json\"\n", false),
        ("[resource.agent-profile]\nmode = \"observe\"\n", false),
        ("guard.credential-fields = [\"authorization\"]\n", false),
        ("[resource.other]\npath = \"/other\"\nidentity = [\"path\"]\n", false),
    ];
    for (change, is_known) in changes {
        let store = Store::start();
        store.hold(&target, "0");
        let (proxy, head, _token) = start(&store, KNOWING);
        let (tag, next) = (sha1_tag("0"), sha1_tag("1"));
        assert_eq!(proxy.send("GET", &target, &[V1, WHO], "").await.status, 200);
        // Who is connected and asks nothing keeps nobody from learning.
        let _idle = proxy.arrive().await;
        reload(&proxy, &format!("{head}{KNOWING}{change}")).await;
        store.forget();
        let answer = put(&proxy, &target, &[V1, ("If-Match", &tag)], "1").await;
        assert_eq!(answer.status, 204, "{change}");
        let expected = if is_known { vec!["PUT"] } else { vec!["GET", "PUT"] };
        assert_eq!(methods(&store), expected, "{change}");
        // It is learned anew all the same.
        assert_eq!(proxy.send("GET", &target, &[V1, WHO], "").await.status, 200);
        store.forget();
        assert_eq!(put(&proxy, &target, &[V1, ("If-Match", &next)], "2").await.status, 204, "{change}");
        assert_eq!(methods(&store), ["PUT"], "{change}");
    }
}

/// Whoever wrote without a hold before the promise was made may still write after it.
#[tokio::test]
async fn nothing_is_learned_while_a_request_from_before_is_under_way() {
    let store = Store::start();
    store.hold(NOTE, "0");
    let settings = "upstream.exclusive = true\nupstream.settle-time = \"0s\"\nguard.read-back = \"never\"\n";
    let (proxy, head, _token) = start(&store, settings);
    store.close_gate(On::Writes);
    let relayed = put(&proxy, NOTE, &[], "1");
    let meanwhile = async {
        store.until_writes(1).await;
        reload(&proxy, &format!("{head}{settings}{NOTES}{REQUIRE}")).await;
        assert_eq!(proxy.send("GET", NOTE, &[WHO], "").await.etag(), Some(&*sha1_tag("0")));
        store.open_gate();
    };
    assert_eq!(tokio::join!(relayed, meanwhile).0.status, 204);
    assert_eq!(store.document(NOTE).unwrap(), b"1");
    assert_refused(&put(&proxy, NOTE, &[("If-Match", &sha1_tag("0"))], "lost").await, 412);
    assert_eq!(store.document(NOTE).unwrap(), b"1");
}
