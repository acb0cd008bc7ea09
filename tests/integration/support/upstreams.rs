//! Upstreams that misbehave, each named for its misdeed and with the real server it imitates.
//!
//! Each is a [`Store`] that does wrong on some requests and right on the others, so that a probe can go well and the
//! write that follows badly. An upload that is broken off is seen in [`super::store::Seen::upload`].

use super::store::{Misdeed, On, Store};

/// Accepts and reads but never answers: a server whose workers are all stuck in a database lock.
pub(crate) fn silent(on: On) -> Store {
    misbehaving(on, Misdeed::Silent)
}

/// Promises 100 bytes, sends some and closes: a process that was killed while it answered.
pub(crate) fn half_a_body(on: On) -> Store {
    let half = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{\"half\":";
    misbehaving(on, Misdeed::SaysAndCloses(half.to_owned()))
}

/// Sends a head and resets: a worker that crashes while it renders, with unread data on its socket.
pub(crate) fn reset_after_head(on: On) -> Store {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n";
    misbehaving(on, Misdeed::SaysAndResets(head.to_owned()))
}

/// Resets without a word: a load balancer in between whose pod was taken away.
pub(crate) fn reset_unanswered(on: On) -> Store {
    misbehaving(on, Misdeed::SaysAndResets(String::new()))
}

/// Sends a byte every now and then for as long as anybody listens: a report that is computed row by row.
pub(crate) fn trickling(on: On) -> Store {
    misbehaving(on, Misdeed::Trickles("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n".to_owned()))
}

/// Closes without a word: gunicorn when its worker is killed for taking too long.
pub(crate) fn closes_unanswered(on: On) -> Store {
    misbehaving(on, Misdeed::SaysAndCloses(String::new()))
}

/// Parses JSON and prints it anew when it is read: pelotech xapi-lrs and Learning Locker.
pub(crate) fn reserialising() -> Store {
    Store::with(|knobs| knobs.reserialises = true)
}

/// States a length larger than its body and closes: a CGI that counted characters, not bytes.
pub(crate) fn lying_length_above(on: On) -> Store {
    misbehaving(on, Misdeed::SaysAndCloses("HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nshort".to_owned()))
}

/// States a length smaller than its body: the surplus looks like the next answer on that connection.
pub(crate) fn lying_length_below(on: On) -> Store {
    let surplus = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}HTTP/1.1 204 No Content\r\n\r\n";
    misbehaving(on, Misdeed::Says(surplus.to_owned()))
}

/// States a length beside chunks that hold more: an application that counts, behind a server that frames by itself.
pub(crate) fn two_lengths(on: On) -> Store {
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n\
                  7\r\n{\"a\":1}\r\n0\r\n\r\n";
    misbehaving(on, Misdeed::Says(answer.to_owned()))
}

/// Switches to a protocol that nobody asked for.
pub(crate) fn switching(on: On) -> Store {
    let switch = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n";
    misbehaving(on, Misdeed::Says(switch.to_owned()))
}

/// 204 for a document that is not there, as some LRSs answered (GrassBlade even 200 with nothing).
pub(crate) fn no_content_for_absent() -> Store {
    misbehaving(On::Reads, Misdeed::Says("HTTP/1.1 204 No Content\r\n\r\n".to_owned()))
}

/// Redirects every read: a framework that wants a trailing slash, or a log-in page in front.
pub(crate) fn redirecting() -> Store {
    let redirect = "HTTP/1.1 302 Found\r\nLocation: /login\r\nContent-Length: 0\r\n\r\n";
    misbehaving(On::Reads, Misdeed::Says(redirect.to_owned()))
}

/// Speaks something that is not HTTP: a port number off by one.
pub(crate) fn garbage(on: On) -> Store {
    misbehaving(on, Misdeed::SaysAndCloses("SSH-2.0-OpenSSH_9.2\r\n\r\n".to_owned()))
}

/// Answers these requests with a bare status: whatever the reason, a complete answer.
pub(crate) fn answering(on: On, status: &str) -> Store {
    misbehaving(on, Misdeed::Says(bare(status)))
}

/// Closes each connection right after an answer, unannounced: servers with a keep-alive of next to nothing.
pub(crate) fn closes_idle() -> Store {
    Store::with(|knobs| knobs.closes = true)
}

/// A port that nobody listens on.
pub(crate) fn refusing() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

/// An answer with a status and a text.
pub(crate) fn bare(status: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: 8\r\n\r\nso there")
}

fn misbehaving(on: On, misdeed: Misdeed) -> Store {
    Store::with(|knobs| knobs.misdeed = Some((on, misdeed)))
}
