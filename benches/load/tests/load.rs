//! The load against the fixed upstream: it sends what it was told to, and is not content with another status.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop where it stands")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use staleguard_fixed_upstream::document::document;
use staleguard_fixed_upstream::server::Server;
use staleguard_load::load::{Amount, Load};
use staleguard_load::request::{IfMatch, Request};

/// Runs a test beside an upstream that ends with it.
fn beside(test: impl FnOnce(SocketAddr)) {
    let (send, receive) = std::sync::mpsc::channel();
    let thread = thread::spawn(move || {
        let server = Server::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        send.send((server.address().unwrap(), server.stop())).unwrap();
        server.run().unwrap();
    });
    let (address, stop) = receive.recv().unwrap();
    test(address);
    stop.stop().unwrap();
    thread.join().unwrap();
}

/// How many requests the upstream has seen.
fn calls(address: SocketAddr) -> u64 {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET /-/calls HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let mut text = [0; 1024];
    let length = stream.read(&mut text).unwrap();
    let text = String::from_utf8_lossy(&text[..length]).into_owned();
    text.rsplit("\r\n").next().unwrap().parse().unwrap()
}

fn put(target: &str, size: usize) -> Request {
    let (method, target) = ("PUT".into(), target.into());
    Request { method, target, fields: Vec::new(), body: document(size), if_match: Some(IfMatch::Learned) }
}

#[test]
fn each_connection_sends_as_many_as_it_was_told_to() {
    beside(|address| {
        let request = put("/70000/docs/{}", 70_000);
        let mut load = Load::connect(address, 4).unwrap();
        load.learn(&request, 2).unwrap();
        assert_eq!(calls(address), 8);
        load.send(&request);
        let mut report = load.run(Amount::Each(25), 204).unwrap();
        assert_eq!((report.requests, report.fewest, report.most), (100, 25, 25));
        assert!(report.durations.percentile(50.0) > 0.0);
        // Those, and the one that asked how many there were.
        assert_eq!(calls(address), 109);
    });
}

#[test]
fn it_ends_when_its_time_is_up() {
    beside(|address| {
        let mut load = Load::connect(address, 2).unwrap();
        let get = Request { method: "GET".into(), body: Vec::new(), if_match: None, ..put("/1048576", 0) };
        load.send(&get);
        let report = load.run(Amount::For(Duration::from_millis(50)), 200).unwrap();
        assert!(report.requests >= 2 && report.fewest >= 1, "{report:?}");
        assert_eq!(calls(address), report.requests);
    });
}

#[test]
fn another_status_is_a_failure() {
    beside(|address| {
        let mut load = Load::connect(address, 1).unwrap();
        load.send(&put("/docs/1", 3));
        let error = load.run(Amount::Each(1), 204).unwrap_err();
        assert_eq!(error.to_string(), "an answer is 404, and not 204");
    });
}

#[test]
fn the_entity_tag_that_a_read_showed_is_stated() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut asked = Vec::new();
        for reply in ["200 OK\r\nETag: \"a1\"\r\nContent-Length: 0\r\n\r\n", "204 No Content\r\n\r\n"] {
            let mut text = vec![0; 4096];
            let length = stream.read(&mut text).unwrap();
            asked.push(String::from_utf8_lossy(&text[..length]).into_owned());
            write!(stream, "HTTP/1.1 {reply}").unwrap();
        }
        asked
    });
    let mut load = Load::connect(address, 1).unwrap();
    let request = put("/3/docs/{n}", 3);
    load.learn(&request, 1).unwrap();
    load.send(&request);
    load.run(Amount::Each(1), 204).unwrap();
    let asked = server.join().unwrap();
    assert!(asked[0].starts_with("GET /3/docs/00000000 ") && !asked[0].contains("If-Match"), "{}", asked[0]);
    assert!(asked[1].starts_with("PUT /3/docs/00000000 "), "{}", asked[1]);
    assert!(asked[1].contains("\r\nIf-Match: \"a1\"\r\n"), "{}", asked[1]);
}
