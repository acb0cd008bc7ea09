//! The servers lose and keep what they should, and the story notices when they do not.

use std::io::{self, Write};
use std::net::SocketAddr;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, ETAG, HOST, IF_MATCH};
use http::{Method, Request, Response};
use http_body_util::Full;
use serde_json::{Value, json};

use super::legacy::Legacy;
use super::screen::Screen;
use super::{ANYWHERE, Servers, Trouble, conclude, start, story, wire};

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).expect("what is shown is UTF-8")
}

async fn legacy() -> SocketAddr {
    let legacy = Legacy::bind().await.expect("a port is free");
    let address = legacy.address().expect("it is bound");
    tokio::spawn(legacy.serve());
    address
}

async fn ask(server: SocketAddr, method: Method, target: &str, body: &str) -> Response<Bytes> {
    let request = Request::builder()
        .method(method)
        .uri(target)
        .header(HOST, server.to_string())
        .header(CONTENT_TYPE, "application/json")
        .header(IF_MATCH, "\"not this one\"")
        .body(Full::from(body.to_owned()))
        .expect("the request is well-formed");
    wire::exchange(server, request).await.expect("it answers")
}

/// Tells the story with these two servers: what was shown, and what came of it.
async fn told(straight: SocketAddr, through: SocketAddr) -> (String, Result<(), Trouble>) {
    let mut out = Vec::new();
    let ending = story::tell(straight, through, &mut Screen::new(&mut out, false)).await;
    (text(out), ending.map(drop))
}

#[tokio::test]
async fn the_legacy_server_keeps_what_was_written_last() {
    let server = legacy().await;
    assert_eq!(ask(server, Method::GET, "/d?a=1", "").await.status(), 404);
    assert_eq!(ask(server, Method::PUT, "/d?a=1", "{\"first\":1}").await.status(), 204);
    assert_eq!(ask(server, Method::PUT, "/d?a=1", "{\"second\":2}").await.status(), 204);
    let read = ask(server, Method::GET, "/d?a=1", "").await;
    assert_eq!((read.status().as_u16(), &read.body()[..]), (200, &b"{\"second\":2}"[..]));
    assert_eq!(read.headers()[CONTENT_TYPE], "application/json");
    assert!(!read.headers().contains_key(ETAG));
    assert_eq!(ask(server, Method::GET, "/d?a=2", "").await.status(), 404);
    assert_eq!(ask(server, Method::HEAD, "/d?a=1", "").await.status(), 405);
    assert_eq!(ask(server, Method::DELETE, "/d?a=1", "").await.status(), 204);
    assert_eq!(ask(server, Method::GET, "/d?a=1", "").await.status(), 404);
}

#[tokio::test]
async fn the_legacy_server_merges_the_top_level_of_what_is_posted() {
    let server = legacy().await;
    assert_eq!(ask(server, Method::POST, "/d", "{\"a\":{\"x\":1},\"b\":1}").await.status(), 204);
    assert_eq!(ask(server, Method::POST, "/d", "{\"a\":{\"y\":2}}").await.status(), 204);
    let read = ask(server, Method::GET, "/d", "").await;
    let read: Value = serde_json::from_slice(read.body()).expect("it is JSON");
    assert_eq!(read, json!({"a": {"y": 2}, "b": 1}));
    assert_eq!(ask(server, Method::POST, "/d", "no object").await.status(), 400);
}

#[tokio::test]
async fn the_legacy_server_has_bounds() {
    let server = legacy().await;
    assert_eq!(ask(server, Method::PUT, "/d", &"x".repeat(64 * 1024)).await.status(), 204);
    assert_eq!(ask(server, Method::PUT, "/d", &"x".repeat(64 * 1024 + 1)).await.status(), 413);
    for number in 1..1000 {
        let status = ask(server, Method::PUT, &format!("/d/{number}"), "{}").await.status();
        assert_eq!(status, 204, "document {number}");
    }
    assert_eq!(ask(server, Method::PUT, "/one-more", "{}").await.status(), 507);
    assert_eq!(ask(server, Method::PUT, "/d", "{}").await.status(), 204);
}

#[test]
fn once_loses_the_update_and_saves_it_and_ends_with_zero() {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let code = conclude(start(true, &mut Screen::new(&mut out, false)), &mut err);
    let (out, err) = (text(out), text(err));
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    let (straight, through) = out.split_once("2. Through Staleguard").expect("there are two acts");
    assert!(straight.contains("LOST") && straight.contains("q2 is gone"), "{straight}");
    assert!(!straight.contains("< 412") && !straight.contains("ETag: \""), "{straight}");
    assert_eq!(through.matches("< 412 Precondition Failed").count(), 1, "{through}");
    assert!(
        through.contains("after the laptop:  {\"answers\":{\"q1\":\"a\",\"q2\":\"b\",\"q3\":\"c\"}"),
        "{out}"
    );
    assert!(through.contains("SAVED"), "{through}");
    assert!(!out.contains("curl"), "{out}");
    assert!(out.lines().all(|line| line.chars().count() <= 80), "{out}");
}

#[tokio::test]
async fn an_update_that_is_not_lost_straight_is_an_error() {
    let servers = Servers::start(&[ANYWHERE]).await.expect("ports are free");
    let (out, ending) = told(servers.through, servers.through).await;
    let sentence = ending.expect_err("the story must not end well").to_string();
    assert!(sentence.contains("straight to the legacy server, the update was not lost"), "{sentence}");
    assert!(!out.contains("LOST"), "{out}");
    servers.end().await.expect("it ends in good order");
}

#[tokio::test]
async fn an_update_that_is_lost_through_staleguard_is_an_error() {
    let server = legacy().await;
    let (out, ending) = told(server, server).await;
    let sentence = ending.expect_err("the story must not end well").to_string();
    assert!(sentence.contains("through Staleguard, q2 was lost"), "{sentence}");
    assert!(out.contains("LOST") && !out.contains("SAVED"), "{out}");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_an_error() {
    let gone = Legacy::bind().await.expect("a port is free").address().expect("it is bound");
    let (_, ending) = told(gone, gone).await;
    let mut err = Vec::new();
    assert_eq!(conclude(ending, &mut err), 1);
    assert!(text(err).contains("gave no answer"));
}

#[tokio::test]
async fn three_commands_go_on_where_the_story_ended() {
    let servers = Servers::start(&[ANYWHERE]).await.expect("ports are free");
    let mut out = Vec::new();
    let mut screen = Screen::new(&mut out, false);
    let ending = story::tell(servers.straight, servers.through, &mut screen).await.expect("it ends well");
    story::offer(servers.through, &ending, &mut screen).expect("there are two tags");
    let out = text(out);
    let url = format!("'http://{}/xapi/activities/state?", servers.through);
    assert_eq!(out.matches(&url).count(), 3, "{out}");
    let tags: Vec<_> = out.lines().filter(|line| line.contains("-H 'If-Match: \"")).collect();
    assert!(tags.len() == 2 && tags[0] != tags[1], "{out}");
    assert!(!out.lines().any(|line| line.ends_with("\\ ")), "{out}");
    servers.end().await.expect("it ends in good order");
}

/// Takes nothing.
struct Deaf(io::ErrorKind);

impl Write for Deaf {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(self.0.into())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_closed_pipe_ends_quietly_and_a_full_disk_does_not() {
    for (kind, code) in [(io::ErrorKind::BrokenPipe, 0), (io::ErrorKind::StorageFull, 1)] {
        let (mut out, mut err) = (Deaf(kind), Vec::new());
        let shown = start(true, &mut Screen::new(&mut out, false));
        assert_eq!(conclude(shown, &mut err), code);
        assert_eq!(err.is_empty(), code == 0);
    }
}

#[test]
fn colours_are_for_those_who_show_them() {
    for colour in [false, true] {
        let mut out = Vec::new();
        Screen::new(&mut out, colour).heading("Heading").expect("memory takes all");
        assert_eq!(text(out).contains('\x1b'), colour);
    }
}
