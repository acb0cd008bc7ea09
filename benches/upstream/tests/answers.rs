//! What the fixed upstream answers, and that it takes requests however they come.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop where it stands")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;

use staleguard_fixed_upstream::document::document;
use staleguard_fixed_upstream::server::{Server, Stop};

/// A server on a thread of its own, which ends with the test.
struct Running {
    address: SocketAddr,
    stop: Stop,
    thread: Option<thread::JoinHandle<()>>,
}

impl Running {
    fn start() -> Self {
        let (send, receive) = std::sync::mpsc::channel();
        let thread = thread::spawn(move || {
            let server = Server::bind("127.0.0.1:0".parse().unwrap()).unwrap();
            send.send((server.address().unwrap(), server.stop())).unwrap();
            server.run().unwrap();
        });
        let (address, stop) = receive.recv().unwrap();
        Self { address, stop, thread: Some(thread) }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.stop().unwrap();
        self.thread.take().unwrap().join().unwrap();
    }
}

/// One answer: its status and its body, of the length that its head says.
fn answer(stream: &mut TcpStream) -> (u16, Vec<u8>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
    let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
    stream.read_exact(&mut body).unwrap();
    (status, body)
}

#[test]
fn documents_have_the_size_that_the_target_names() {
    let server = Running::start();
    let mut stream = server.connect();
    for size in [0, 2, 64, 1024, 16_384, 1_048_576, 4_194_304] {
        write!(stream, "GET /{size}/docs/1 HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        assert!(answer(&mut stream) == (200, document(size)), "{size}");
    }
    write!(stream, "GET /docs/1 HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert_eq!(answer(&mut stream), (404, Vec::new()));
}

#[test]
fn a_write_is_answered_once_its_body_is_there_and_changes_nothing() {
    let server = Running::start();
    let mut stream = server.connect();
    let request = b"PUT /5/docs/1 HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nsecret";
    for byte in request {
        stream.write_all(&[*byte]).unwrap();
    }
    assert_eq!(answer(&mut stream), (204, Vec::new()));
    write!(stream, "GET /5/docs/1 HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert_eq!(answer(&mut stream), (200, document(5)));
}

#[test]
fn requests_that_come_at_once_are_answered_in_turn_and_counted() {
    let server = Running::start();
    let mut stream = server.connect();
    let get = "GET /3/a HTTP/1.1\r\nHost: a\r\n\r\n";
    let put = "PUT /3/a HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nxx";
    write!(stream, "{get}{put}{get}GET /-/calls HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let statuses: Vec<u16> = (0..3).map(|_| answer(&mut stream).0).collect();
    assert_eq!(statuses, [200, 204, 200]);
    assert_eq!(answer(&mut stream), (200, b"3".to_vec()));
}

#[test]
fn large_bodies_pass_in_both_directions() {
    let server = Running::start();
    let mut stream = server.connect();
    let body = document(3_000_000);
    write!(stream, "PUT /3000000/a HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.len()).unwrap();
    stream.write_all(&body).unwrap();
    assert_eq!(answer(&mut stream).0, 204);
}

#[test]
fn a_connection_that_ends_leaves_the_others_alone() {
    let server = Running::start();
    let mut first = server.connect();
    for _ in 0..100 {
        let mut other = server.connect();
        write!(other, "GET /1048576/a HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    }
    write!(first, "GET /2/a HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert_eq!(answer(&mut first), (200, document(2)));
}
