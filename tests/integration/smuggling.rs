//! Smuggling: messages that two servers could delimit differently, each on a kept-alive connection with a write behind.
//!
//! What cannot be read in one way only is refused, its connection ends, and what stands behind it is never read as a
//! request. What is served reaches the upstream as one message, delimited in one way.

use std::fmt::Write;
use std::ops::RangeInclusive;

use crate::support::client::{Answer, Client};
use crate::support::proxy::{Barrier, Proxy};
use crate::support::store::{Seen, Store};
use crate::support::wire::Ending;
use crate::support::xapi::state;
use crate::support::{assert_refused, within};

/// What is to become of a message.
#[derive(Debug, Clone, Copy)]
enum Fate {
    /// It is refused and its connection ends. Nothing of a guarded one, and no whole of a relayed one, goes upstream.
    Refused,
    /// The same with 501: it asks for what is not spoken here.
    Unsupported,
    /// It is served with this body, and then its connection ends.
    Last(&'static str),
    /// It is served with this body, and so is what stands behind it.
    Served(&'static str),
    /// It never ends, so that what stands behind it is a part of its body.
    Unended,
}

use Fate::{Last, Refused, Served, Unended, Unsupported};

/// A message and its fate; `@` is its target.
type Case = (&'static str, Fate);

/// Where the guard stands, and where what comes is relayed.
fn targets() -> [String; 2] {
    [state("a"), "/elsewhere".to_owned()]
}

/// The write behind each message.
fn behind() -> String {
    format!("PUT {} HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nbehind", state("behind"))
}

/// Sends each message to both targets with a write behind it, and holds what becomes of them to the table.
async fn assert_fates(cases: &[Case]) {
    let heads: Vec<_> = cases.iter().map(|(message, fate)| (message.as_bytes().to_vec(), *fate)).collect();
    assert_fates_of_bytes(&heads).await;
}

async fn assert_fates_of_bytes(cases: &[(Vec<u8>, Fate)]) {
    let store = Store::start();
    let proxy = Proxy::before(&store);
    let mut barrier = Barrier::open(&proxy).await;
    for (message, fate) in cases {
        for target in targets() {
            let bytes = addressed(message, &target);
            let what = format!("{:?} {fate:?}", String::from_utf8_lossy(&bytes));
            let before = store.seen().len();
            let mut client = proxy.connect().await;
            client.write([&bytes, behind().as_bytes()].concat()).await;
            match fate {
                Refused => refused(&what, &mut client, 400..=505).await,
                Unsupported => refused(&what, &mut client, 501..=501).await,
                Last(_) => {
                    assert_eq!(client.answer("PUT").await.status, 204, "{what}");
                    assert_eq!(
                        client.end().await,
                        (Ending::Fin, 0),
                        "{what}: something behind it is answered"
                    );
                }
                Served(_) => {
                    assert_eq!(client.answer("PUT").await.status, 204, "{what}");
                    assert_eq!(client.answer("PUT").await.status, 204, "{what}: the one behind it");
                }
                Unended => (),
            }
            barrier.pass().await;
            if matches!(fate, Unended) {
                drop(client);
            }
            let seen = ended(&store, before).await;
            arrived(&what, &seen, &target, *fate);
        }
    }
    assert_eq!(proxy.send("PUT", &state("a"), &[], "good").await.status, 204);
}

/// A message with its target in place of the mark.
fn addressed(message: &[u8], target: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for byte in message {
        match byte {
            b'@' => bytes.extend(target.as_bytes()),
            byte => bytes.push(*byte),
        }
    }
    bytes
}

async fn refused(what: &str, client: &mut Client, statuses: RangeInclusive<u16>) {
    match within(what, client.read("PUT")).await {
        Ok(answer) => {
            assert!(statuses.contains(&answer.status), "{what}: {answer:#?}");
            assert_eq!(answer.ending, Ending::Complete, "{what}");
        }
        Err(ending) => assert_eq!(ending, Ending::Fin, "{what}"),
    }
    assert_eq!(client.end().await.1, 0, "{what}: something behind it is answered");
}

/// What has reached the store since, once none of it is still on its way.
async fn ended(store: &Store, before: usize) -> Vec<Seen> {
    store
        .until("the end of every upload", |seen| {
            let mut uploads = seen[before..].iter().filter(|seen| seen.target != "/barrier");
            uploads.all(|seen| seen.upload.is_some())
        })
        .await;
    let seen = store.seen().split_off(before);
    seen.into_iter().filter(|seen| seen.target != "/barrier").collect()
}

/// Holds what reached the upstream to a message's fate.
fn arrived(what: &str, seen: &[Seen], target: &str, fate: Fate) {
    for message in seen {
        is_delimited_once(what, message);
    }
    let whole: Vec<_> = seen.iter().filter(|seen| seen.upload == Some(Ending::Complete)).collect();
    let written: Vec<_> = whole
        .iter()
        .map(|seen| (seen.target.as_str(), String::from_utf8_lossy(&seen.body).into_owned()))
        .collect();
    let one = |body: &str| vec![(target, body.to_owned())];
    let behind_it = state("behind");
    match fate {
        Refused | Unsupported | Unended => {
            assert!(written.is_empty(), "{what}: {written:?}");
            let [guarded, relayed] = targets();
            // The half of an earlier message that was relayed may come late.
            let of_others = seen.iter().any(|seen| seen.target != relayed);
            assert!(target != guarded || !of_others, "{what}: {seen:#?}");
        }
        Last(body) => assert_eq!(written, one(body), "{what}"),
        Served(body) => {
            let both = [one(body), vec![(behind_it.as_str(), "behind".to_owned())]].concat();
            assert_eq!(written, both, "{what}");
        }
    }
}

/// A message has one Host, and one field that says where it ends; and no field holds another.
fn is_delimited_once(what: &str, message: &Seen) {
    let count =
        |name: &str| message.fields.iter().filter(|(given, _)| given.eq_ignore_ascii_case(name)).count();
    assert_eq!(count("host"), 1, "{what}: {message:#?}");
    assert!(count("content-length") + count("transfer-encoding") <= 1, "{what}: {message:#?}");
    for (name, value) in &message.fields {
        let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        assert!(!name.is_empty() && name.bytes().all(is_token), "{what}: {name:?}");
        assert!(!value.contains(['\0', '\r', '\n']), "{what}: {value:?}");
    }
}

/// A PUT with these lines behind its Host, and this body.
macro_rules! put {
    ($fields:literal, $body:literal) => {
        concat!("PUT @ HTTP/1.1\r\nHost: a\r\n", $fields, "\r\n\r\n", $body)
    };
}

/// A chunked PUT.
macro_rules! chunked {
    ($body:literal) => {
        put!("Transfer-Encoding: chunked", $body)
    };
}

/// A PUT of three bytes with these lines before its length.
macro_rules! with {
    ($fields:literal) => {
        concat!("PUT @ HTTP/1.1\r\nHost: a\r\n", $fields, "\r\nContent-Length: 3\r\n\r\nabc")
    };
}

#[tokio::test]
async fn two_framings_in_one_message() {
    assert_fates(&[
        // RFC 9112 §6.1: what Transfer-Encoding says counts, and the connection ends after it.
        (put!("Content-Length: 4\r\nTransfer-Encoding: chunked", "3\r\nabc\r\n0\r\n\r\n"), Last("abc")),
        (put!("Transfer-Encoding: chunked\r\nContent-Length: 4", "3\r\nabc\r\n0\r\n\r\n"), Last("abc")),
        (put!("Content-Length: 0\r\nTransfer-Encoding: chunked", "3\r\nabc\r\n0\r\n\r\n"), Last("abc")),
        (put!("Transfer-Encoding: chunked\r\nContent-Length: x", "3\r\nabc\r\n0\r\n\r\n"), Last("abc")),
        (put!("Content-Length: 5\r\nTransfer-Encoding: chunked", "0\r\n\r\n"), Last("")),
        (put!("Content-Length: x\r\nTransfer-Encoding: chunked", "0\r\n\r\n"), Refused),
        (put!("Content-Length: 3\r\nTransfer-Encoding: gzip", "abc"), Refused),
        (put!("Content-Length: 3\r\nTransfer-Encoding: identity", "abc"), Refused),
        (put!("Content-Length: 3\r\nTransfer-Encoding:", "abc"), Refused),
        (put!("Content-Length: 3\r\nTransfer-Encoding: xchunked", "abc"), Refused),
        (put!("Content-Length: 3\r\nTransfer-Encoding : chunked", "abc"), Refused),
        // What names a framing field almost is a field like any other, and the length alone delimits.
        (put!("Content-Length: 3\r\nTransfer_Encoding: chunked", "abc"), Served("abc")),
        (put!("Content-Length: 3\r\nContent_Length: 30", "abc"), Served("abc")),
        (put!("Content-Length: 3\r\nX: y: Transfer-Encoding: chunked", "abc"), Served("abc")),
    ])
    .await;
}

#[tokio::test]
async fn transfer_encodings_in_disguise() {
    assert_fates(&[
        (chunked!("3\r\nabc\r\n0\r\n\r\n"), Served("abc")),
        (put!("transfer-encoding: CHUNKED", "3\r\nabc\r\n0\r\n\r\n"), Served("abc")),
        (put!("Transfer-Encoding:chunked", "3\r\nabc\r\n0\r\n\r\n"), Served("abc")),
        (put!("Transfer-Encoding:\t chunked \t", "3\r\nabc\r\n0\r\n\r\n"), Served("abc")),
        // RFC 9112 §5.1: white space before the colon. And what is no white space, or no token.
        (put!("Transfer-Encoding : chunked", "3\r\nabc\r\n0\r\n\r\n"), Refused),
        (put!("Transfer-Encoding\t: chunked", "3\r\nabc\r\n0\r\n\r\n"), Refused),
        (put!(" Transfer-Encoding: chunked", "3\r\nabc\r\n0\r\n\r\n"), Refused),
        (put!("Transfer-Encoding: \u{b}chunked", "3\r\nabc\r\n0\r\n\r\n"), Refused),
        (put!("Transfer-Encoding: \u{a0}chunked", "3\r\nabc\r\n0\r\n\r\n"), Refused),
        (put!("Transfer-Encoding: chunked\0", "3\r\nabc\r\n0\r\n\r\n"), Refused),
        (put!("Transfer-Encoding\0: chunked", "3\r\nabc\r\n0\r\n\r\n"), Refused),
        (put!("Transfer-Encoding: chunked\rX: y", "3\r\nabc\r\n0\r\n\r\n"), Refused),
        (put!("Transfer-Encoding:\r\n chunked", "3\r\nabc\r\n0\r\n\r\n"), Refused),
        (put!("X: y\r\n Transfer-Encoding: chunked", "3\r\nabc\r\n0\r\n\r\n"), Refused),
        // What is coded underneath would be stored as it is, since the next server does not learn of it.
        (put!("Transfer-Encoding: \"chunked\"", "3\r\nabc\r\n0\r\n\r\n"), Refused),
        (put!("Transfer-Encoding: chunkedx", "3\r\nabc\r\n0\r\n\r\n"), Refused),
        (put!("Transfer-Encoding: xchunked", "3\r\nabc\r\n0\r\n\r\n"), Refused),
        (put!("Transfer-Encoding: chunked;q=1", "3\r\nabc\r\n0\r\n\r\n"), Refused),
        (put!("Transfer-Encoding: chunked,", "3\r\nabc\r\n0\r\n\r\n"), Refused),
        (put!("Transfer-Encoding: ,chunked", "3\r\nabc\r\n0\r\n\r\n"), Unsupported),
        (put!("Transfer-Encoding: gzip", ""), Refused),
        (put!("Transfer-Encoding: gzip, chunked", "3\r\nabc\r\n0\r\n\r\n"), Unsupported),
        (put!("Transfer-Encoding: chunked, gzip", "3\r\nabc\r\n0\r\n\r\n"), Refused),
        (put!("Transfer-Encoding: chunked, chunked", "3\r\nabc\r\n0\r\n\r\n"), Unsupported),
        (put!("Transfer-Encoding: identity, chunked", "3\r\nabc\r\n0\r\n\r\n"), Unsupported),
        (put!("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked", "3\r\nabc\r\n0\r\n\r\n"), Unsupported),
        (put!("Transfer-Encoding: identity\r\nTransfer-Encoding: chunked", "3\r\nabc\r\n0\r\n\r\n"), Unsupported),
        (put!("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", "3\r\nabc\r\n0\r\n\r\n"), Refused),
        (put!("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", "3\r\nabc\r\n0\r\n\r\n"), Unsupported),
        // RFC 9112 §6.1: HTTP/1.0 has no such framing.
        ("PUT @ HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", Refused),
        (
            "PUT @ HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\nabc",
            Refused,
        ),
    ])
    .await;
}

#[tokio::test]
async fn several_lengths_and_lengths_that_are_none() {
    assert_fates(&[
        (put!("Content-Length: 3", "abc"), Served("abc")),
        (put!("content-LENGTH:3", "abc"), Served("abc")),
        (put!("Content-Length: \t3 \t", "abc"), Served("abc")),
        (put!("Content-Length: 0003", "abc"), Served("abc")),
        // RFC 9110 §8.6: the same value repeated may be taken for one.
        (put!("Content-Length: 3\r\nContent-Length: 3", "abc"), Served("abc")),
        (put!("Content-Length: 3\r\nContent-Length: 4", "abc"), Refused),
        (put!("Content-Length: 4\r\nContent-Length: 3", "abc"), Refused),
        (put!("Content-Length: 3\r\nContent-Length:", "abc"), Refused),
        (put!("Content-Length: 3, 4", "abc"), Refused),
        (put!("Content-Length: 3, 3", "abc"), Refused),
        (put!("Content-Length: 3,", "abc"), Refused),
        (put!("Content-Length:", "abc"), Refused),
        (put!("Content-Length: +3", "abc"), Refused),
        (put!("Content-Length: -1", "abc"), Refused),
        (put!("Content-Length: 0x3", "abc"), Refused),
        (put!("Content-Length: 3 3", "abc"), Refused),
        (put!("Content-Length: 3;x", "abc"), Refused),
        (put!("Content-Length: 3.0", "abc"), Refused),
        (put!("Content-Length: 3e0", "abc"), Refused),
        (put!("Content-Length: \"3\"", "abc"), Refused),
        (put!("Content-Length: \u{663}", "abc"), Refused),
        (put!("Content-Length: 3\0", "abc"), Refused),
        (put!("Content-Length : 3", "abc"), Refused),
        (put!("Content-Length\t: 3", "abc"), Refused),
        (put!("Content-Length:\r\n 3", "abc"), Refused),
        (put!("X: y\r\n\tContent-Length: 3", "abc"), Refused),
        // The largest number of 64 bits, and what does not fit into one.
        (put!("Content-Length: 18446744073709551615", "abc"), Refused),
        (put!("Content-Length: 18446744073709551616", "abc"), Refused),
        (put!("Content-Length: 18446744073709551619", "abc"), Refused),
        (put!("Content-Length: 99999999999999999999999999999999", "abc"), Refused),
    ])
    .await;
}

#[tokio::test]
async fn lines_that_end_otherwise() {
    assert_fates(&[
        // RFC 9112 §2.2: a lone LF may end a line; what goes on has CRLF everywhere.
        ("PUT @ HTTP/1.1\nHost: a\nContent-Length: 3\n\nabc", Served("abc")),
        ("PUT @ HTTP/1.1\r\nHost: a\nContent-Length: 3\r\n\nabc", Served("abc")),
        ("PUT @ HTTP/1.1\r\nHost: a\r\nX: y\nContent-Length: 3\n\r\nabc", Served("abc")),
        ("\r\n\r\nPUT @ HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", Served("abc")),
        (
            "PUT @ HTTP/1.1\r\nHost: a\r\nX: y\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
            Served("abc"),
        ),
        // A lone CR never does.
        ("PUT @ HTTP/1.1\rHost: a\rContent-Length: 3\r\rabc", Refused),
        ("PUT @ HTTP/1.1\r\nHost: a\rContent-Length: 3\r\n\r\nabc", Refused),
        ("PUT @ HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\r\n\r\nabc", Refused),
        ("PUT @ HTTP/1.1\r\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", Refused),
        ("PUT @ HTTP/1.1\r\n\rHost: a\r\nContent-Length: 3\r\n\r\nabc", Refused),
        // Lines of a field that go on in the next line (RFC 9112 §5.2), and one before all fields.
        (with!("X: y\r\n folded: 1"), Refused),
        (with!("X: y\r\n\tfolded"), Refused),
        (with!("X: y\n folded: 1"), Refused),
        (with!("X: y\r\n \r\nZ: 1"), Refused),
        (put!("X: y\r\n Content-Length: 3", "abc"), Refused),
        ("PUT @ HTTP/1.1\r\n Host: a\r\nContent-Length: 3\r\n\r\nabc", Refused),
        ("PUT @ HTTP/1.1\r\nHost: a\r\n b\r\nContent-Length: 3\r\n\r\nabc", Refused),
    ])
    .await;
}

#[tokio::test]
async fn fields_that_are_none() {
    let mut cases: Vec<(Vec<u8>, Fate)> = Vec::new();
    for (line, fate) in [
        (&b"X: a\xe9\xffb"[..], Served("abc")),
        (b"X: a\tb", Served("abc")),
        (b"X:", Served("abc")),
        (b"!#$%&'*+-.^_`|~: tokens", Served("abc")),
        (b"X: a\0b", Refused),
        (b"X: \0", Refused),
        (b"X: a\rb", Refused),
        (b"X: a\r\r", Refused),
        (b"X: a\x01b", Refused),
        (b"X: a\x0bb", Refused),
        (b"X: a\x1fb", Refused),
        (b"X: a\x7fb", Refused),
        (b"X\0: a", Refused),
        (b"X Y: a", Refused),
        (b"X : a", Refused),
        (b"X\x0b: a", Refused),
        (b"X(Y): a", Refused),
        (b"X\xe9: a", Refused),
        (b"\"X\": a", Refused),
        (b": a", Refused),
        (b"X", Refused),
        (b"X;a", Refused),
        (b"GET /behind HTTP/1.1", Refused),
    ] {
        cases.push((
            [b"PUT @ HTTP/1.1\r\nHost: a\r\n", line, b"\r\nContent-Length: 3\r\n\r\nabc"].concat(),
            fate,
        ));
    }
    let lines = |count: usize| {
        (0..count).fold(String::new(), |mut text, n| {
            write!(text, "X-{n}: y\r\n").unwrap();
            text
        })
    };
    for (count, fate) in [(90, Served("abc")), (120, Refused)] {
        let head = format!("PUT @ HTTP/1.1\r\nHost: a\r\n{}Content-Length: 3\r\n\r\nabc", lines(count));
        cases.push((head.into_bytes(), fate));
    }
    assert_fates_of_bytes(&cases).await;
}

#[tokio::test]
async fn chunks_and_their_sizes_and_extensions() {
    assert_fates(&[
        (chunked!("03\r\nabc\r\n00\r\n\r\n"), Served("abc")),
        (chunked!("00000000000000003\r\nabc\r\n0\r\n\r\n"), Served("abc")),
        (chunked!("1\r\na\r\n2\r\nbc\r\n0\r\n\r\n"), Served("abc")),
        (chunked!("3;x=y\r\nabc\r\n0;z\r\n\r\n"), Served("abc")),
        (chunked!("3;x=\"a;b\"\r\nabc\r\n0\r\n\r\n"), Served("abc")),
        (chunked!("3 \t\r\nabc\r\n0 \r\n\r\n"), Served("abc")),
        (chunked!("0\r\n\r\n"), Served("")),
        (chunked!("A\r\n0123456789\r\n0\r\n\r\n"), Served("0123456789")),
        (chunked!("a\r\n0123456789\r\n0\r\n\r\n"), Served("0123456789")),
        // Sizes that are none.
        (chunked!("\r\nabc\r\n0\r\n\r\n"), Refused),
        (chunked!("xyz\r\nabc\r\n0\r\n\r\n"), Refused),
        (chunked!("-3\r\nabc\r\n0\r\n\r\n"), Refused),
        (chunked!("+3\r\nabc\r\n0\r\n\r\n"), Refused),
        (chunked!("0x3\r\nabc\r\n0\r\n\r\n"), Refused),
        (chunked!(" 3\r\nabc\r\n0\r\n\r\n"), Refused),
        (chunked!("3 3\r\nabc\r\n0\r\n\r\n"), Refused),
        (chunked!("3,\r\nabc\r\n0\r\n\r\n"), Refused),
        (chunked!("3\0\r\nabc\r\n0\r\n\r\n"), Refused),
        (chunked!("\u{663}\r\nabc\r\n0\r\n\r\n"), Refused),
        (chunked!(";x=y\r\nabc\r\n0\r\n\r\n"), Refused),
        // More than 64 bits; and what fits into them and never comes to an end.
        (chunked!("10000000000000000\r\nabc\r\n0\r\n\r\n"), Refused),
        (chunked!("10000000000000003\r\nabc\r\n0\r\n\r\n"), Refused),
        (chunked!("fffffffffffffffff\r\nabc\r\n0\r\n\r\n"), Refused),
        (chunked!("ffffffffffffffff\r\nabc\r\n0\r\n\r\n"), Unended),
        (chunked!("7fffffffffffffff\r\nabc\r\n0\r\n\r\n"), Unended),
        (chunked!("ffffff\r\nabc\r\n0\r\n\r\n"), Unended),
        // Lines of chunks that end otherwise: here nothing but CRLF does.
        (chunked!("3\nabc\r\n0\r\n\r\n"), Refused),
        (chunked!("3\rabc\r\n0\r\n\r\n"), Refused),
        (chunked!("3\r\rabc\r\n0\r\n\r\n"), Refused),
        (chunked!("3;x\ny\r\nabc\r\n0\r\n\r\n"), Refused),
        (chunked!("3;x\rabc\r\n0\r\n\r\n"), Refused),
        (chunked!("3\r\nabc\n0\r\n\r\n"), Refused),
        (chunked!("3\r\nabc\r0\r\n\r\n"), Refused),
        (chunked!("3\r\nabc0\r\n\r\n"), Refused),
        (chunked!("3\r\nabc\r\n0\n\r\n"), Refused),
        // A size that is not that of its data.
        (chunked!("3\r\nabcdef\r\n0\r\n\r\n"), Refused),
        (chunked!("5\r\nabc\r\n0\r\n\r\n"), Refused),
        (chunked!("2\r\nabc\r\n0\r\n\r\n"), Refused),
    ])
    .await;
    let long = |length: usize| {
        let extension = "x".repeat(length);
        format!(
            "PUT @ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;{extension}\r\nabc\r\n0\r\n\r\n"
        )
    };
    assert_fates_of_bytes(&[(long(1000).into(), Served("abc")), (long(100_000).into(), Refused)]).await;
}

#[tokio::test]
async fn trailers_say_nothing_of_the_message() {
    assert_fates(&[
        (chunked!("3\r\nabc\r\n0\r\nX: y\r\n\r\n"), Served("abc")),
        (put!("Transfer-Encoding: chunked\r\nTrailer: X", "3\r\nabc\r\n0\r\nX: y\r\n\r\n"), Served("abc")),
        (chunked!("3\r\nabc\r\n0\r\nX: y\r\n z\r\n\r\n"), Refused),
        (chunked!("3\r\nabc\r\n0\r\nX\r\n\r\n"), Refused),
        (chunked!("3\r\nabc\r\n0\r\nX : y\r\n\r\n"), Refused),
        (chunked!("3\r\nabc\r\n0\r\nX: \0\r\n\r\n"), Refused),
        (chunked!("3\r\nabc\r\n0\r\nPUT /behind HTTP/1.1\r\n\r\n"), Refused),
    ])
    .await;
}

/// Sends a POST with a trailer field of this name, which its head announces.
async fn with_trailer(proxy: &Proxy, target: &str, name: &str) -> Answer {
    let mut client = proxy.connect().await;
    client
        .write(format!(
            "POST {target} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: {name}, X-Mine\r\n\
             Content-Type: application/json\r\n\r\n2\r\n{{}}\r\n0\r\n{name}: 1\r\nX-Mine: 1\r\n\r\n"
        ))
        .await;
    client.answer("POST").await
}

#[tokio::test]
async fn trailers_that_some_server_merges_into_the_head() {
    let store = Store::start();
    let proxy = Proxy::before(&store);
    for target in targets() {
        for name in ["Content-Length", "Transfer-Encoding", "Host", "Content-Type", "Authorization"] {
            let before = store.seen().len();
            assert_eq!(with_trailer(&proxy, &target, name).await.status, 204, "{name}");
            let seen = &store.seen()[before];
            let named: Vec<_> = seen.trailers.iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
            assert_eq!(named, ["x-mine"], "{target} {name}");
        }
    }
    let before = store.seen().len();
    for name in
        ["If-Match", "If_None_Match", "X-HTTP-Method-Override", "X_HTTP_Method", "X-Experience-API-Version"]
    {
        assert_refused(&with_trailer(&proxy, &state("a"), name).await, 400);
    }
    assert_eq!(store.seen().len(), before);
}

#[tokio::test]
async fn targets_in_every_form() {
    assert_fates(&[
        ("PUT  @ HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", Refused),
        ("PUT @  HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", Refused),
        ("PUT\t@ HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", Refused),
        ("PUT @ HTTP/1.1 \r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", Refused),
        ("PUT @ / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", Refused),
        (" PUT @ HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", Refused),
        ("PUT @\0 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", Refused),
        ("PUT @\u{7f} HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", Refused),
        ("PUT @\r HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", Refused),
        ("PUT HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", Refused),
        ("PU\0T @ HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", Refused),
        ("PUT, @ HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", Refused),
        ("nonsense\r\n\r\n", Refused),
        ("\0\u{1}\u{2}\r\n\r\n", Refused),
        // Authority-form, which is CONNECT's alone; a user; and no authority at all.
        ("PUT a:80 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", Refused),
        ("PUT a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", Refused),
        ("PUT x@ HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", Refused),
        ("PUT ?x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", Refused),
        ("PUT http://@ HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", Refused),
        ("PUT http:@ HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", Refused),
        ("PUT http://a b@ HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", Refused),
        ("PUT http://[::1@ HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", Refused),
        // Absolute-form (RFC 9112 §3.2.2): it goes on in origin-form.
        ("PUT http://a@ HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", Served("abc")),
        ("PUT HTTP://other.example:80@ HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", Served("abc")),
        ("PUT https://a@ HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", Served("abc")),
        ("PUT http://[::1]:80@ HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", Served("abc")),
        ("PUT http://a@ HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc", Refused),
    ])
    .await;
    let store = Store::start();
    let proxy = Proxy::before(&store);
    for target in ["http://user:pass@lrs.example/a", "http://user@lrs.example/a", "lrs.example:80"] {
        assert_eq!(proxy.send("GET", target, &[], "").await.status, 400, "{target}");
    }
    assert!(store.seen().is_empty());
}

#[tokio::test]
async fn the_authority_of_an_absolute_form_is_the_host() {
    let store = Store::start();
    let proxy = Proxy::before(&store);
    for target in targets() {
        let before = store.seen().len();
        let absolute = format!("http://other.example:81{target}");
        assert_eq!(proxy.send("PUT", &absolute, &[("Host", "lrs.example")], "").await.status, 204);
        let seen = &store.seen()[before];
        assert_eq!((seen.target.as_str(), seen.field("host")), (target.as_str(), Some("other.example:81")));
        assert_eq!(seen.field("x-forwarded-host"), Some("other.example:81"));
    }
}

#[tokio::test]
async fn a_request_has_one_host() {
    assert_fates(&[
        ("PUT @ HTTP/1.1\r\nHost:\r\nContent-Length: 3\r\n\r\nabc", Served("abc")),
        ("PUT @ HTTP/1.1\r\nhOsT: a.example:65535\r\nContent-Length: 3\r\n\r\nabc", Served("abc")),
        ("PUT @ HTTP/1.1\r\nHost: [::1]:80\r\nContent-Length: 3\r\n\r\nabc", Served("abc")),
        ("PUT @ HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc", Refused),
        ("PUT @ HTTP/1.1\r\nHost: a\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", Refused),
        ("PUT @ HTTP/1.1\r\nHost: a\r\nhost: b\r\nContent-Length: 3\r\n\r\nabc", Refused),
        ("PUT @ HTTP/1.1\r\nHost: a\r\nX: y\r\nHost:\r\nContent-Length: 3\r\n\r\nabc", Refused),
        ("PUT @ HTTP/1.1\r\nHost : a\r\nContent-Length: 3\r\n\r\nabc", Refused),
        ("PUT @ HTTP/1.1\r\nHost: a b\r\nContent-Length: 3\r\n\r\nabc", Refused),
        ("PUT @ HTTP/1.1\r\nHost: a, b\r\nContent-Length: 3\r\n\r\nabc", Refused),
        ("PUT @ HTTP/1.1\r\nHost: a/b\r\nContent-Length: 3\r\n\r\nabc", Refused),
        ("PUT @ HTTP/1.1\r\nHost: a?b\r\nContent-Length: 3\r\n\r\nabc", Refused),
        ("PUT @ HTTP/1.1\r\nHost: a#b\r\nContent-Length: 3\r\n\r\nabc", Refused),
        ("PUT @ HTTP/1.1\r\nHost: http://a\r\nContent-Length: 3\r\n\r\nabc", Refused),
        ("PUT @ HTTP/1.1\r\nHost: a:b:c\r\nContent-Length: 3\r\n\r\nabc", Refused),
        ("PUT @ HTTP/1.1\r\nHost: [::1\r\nContent-Length: 3\r\n\r\nabc", Refused),
        ("PUT @ HTTP/1.1\r\nHost: a\0\r\nContent-Length: 3\r\n\r\nabc", Refused),
        ("PUT @ HTTP/1.0\r\nHost: a\r\nHost: b\r\nContent-Length: 3\r\n\r\nabc", Refused),
    ])
    .await;
    // A user in front of the host; the mark of a target is `@` elsewhere in this file.
    let store = Store::start();
    let proxy = Proxy::before(&store);
    for target in targets() {
        assert_eq!(proxy.send("PUT", &target, &[("Host", "user@a")], "").await.status, 400);
    }
    assert!(store.seen().is_empty());
}

#[tokio::test]
async fn other_versions() {
    assert_fates(&[
        // HTTP/1.0 ends its connection, unless it asks for another.
        ("PUT @ HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc", Last("abc")),
        ("PUT @ HTTP/1.0\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", Last("abc")),
        (
            "PUT @ HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\nContent-Length: 3\r\n\r\nabc",
            Served("abc"),
        ),
        (
            "PUT @ HTTP/1.0\r\nConnection: keep-alive\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc",
            Last("abc"),
        ),
        // Without a length there is no body: what follows would be one to a server of old.
        ("PUT @ HTTP/1.0\r\nHost: a\r\n\r\n", Last("")),
        // HTTP/0.9 has no version, no fields and no methods but GET.
        ("GET @\r\n", Refused),
        ("GET @\r\n\r\n", Refused),
        ("PUT @\r\n\r\nabc", Refused),
        ("PUT @ HTTP/0.9\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", Refused),
        ("PUT @ HTTP/1.2\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", Refused),
        ("PUT @ HTTP/1.10\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", Refused),
        ("PUT @ HTTP/1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", Refused),
        ("PUT @ HTTP/2.0\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", Refused),
        ("PUT @ HTTP/3.7\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", Refused),
        ("PUT @ http/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", Refused),
        ("PUT @ HTTP/01.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", Refused),
        ("PUT @ HTTP /1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", Refused),
        ("PUT @ HTTP/1.1x\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", Refused),
        ("PUT @ ICAP/1.0\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", Refused),
        ("PRI * HTTP/2.1\r\n\r\nSM\r\n\r\n", Refused),
    ])
    .await;
}

#[tokio::test]
async fn no_tunnel_opens_and_nothing_behind_it_is_passed_through() {
    assert_fates(&[
        // RFC 9110 §7.8: an offer of h2c is declined by going on in HTTP/1.1.
        (
            with!("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__"),
            Served("abc"),
        ),
        (with!("Upgrade: h2c"), Served("abc")),
        (with!("Connection: Upgrade\r\nUpgrade: websocket"), Unsupported),
        (with!("Connection: Upgrade\r\nUpgrade: h2c, websocket"), Unsupported),
        (with!("Connection: Upgrade\r\nUpgrade: websocket\r\nUpgrade: h2c"), Unsupported),
        (with!("Connection: Upgrade\r\nUpgrade: h2c\r\nUpgrade: websocket"), Unsupported),
        (with!("Connection: Upgrade\r\nUpgrade: TLS/1.0, HTTP/1.1"), Unsupported),
        (with!("Connection: Upgrade\r\nUpgrade: HTTP/2.0"), Unsupported),
        (with!("Connection: Upgrade\r\nUpgrade:"), Unsupported),
        ("CONNECT upstream.example:443 HTTP/1.1\r\nHost: upstream.example:443\r\n\r\n", Unsupported),
        ("CONNECT upstream.example:443 HTTP/1.0\r\n\r\n", Unsupported),
        ("CONNECT @ HTTP/1.1\r\nHost: a\r\n\r\n", Unsupported),
        ("CONNECT http://a@ HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", Unsupported),
    ])
    .await;
    let store = Store::start();
    let proxy = Proxy::before(&store);
    let offer = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__";
    for target in targets() {
        let mut client = proxy.connect().await;
        client.write(format!("GET {target} HTTP/1.1\r\nHost: a\r\n{offer}\r\n\r\n{}", behind())).await;
        let answer = client.answer("GET").await;
        assert_eq!((answer.status, answer.interim.is_empty(), answer.field("upgrade")), (404, true, None));
        assert_eq!(client.answer("PUT").await.status, 204);
    }
    for seen in store.seen() {
        let fields = ["upgrade", "http2-settings", "connection"].map(|name| seen.field(name));
        assert_eq!(fields, [None; 3]);
    }
}

#[tokio::test]
async fn what_connection_names_is_not_lost_from_the_framing() {
    for named in ["Content-Length", "Transfer-Encoding", "Host", "close, content-length", "If-Match"] {
        for (framing, body) in
            [("Content-Length: 3", "abc"), ("Transfer-Encoding: chunked", "3\r\nabc\r\n0\r\n\r\n")]
        {
            let store = Store::start();
            let proxy = Proxy::before(&store);
            let mut client = proxy.connect().await;
            client
                .write(format!(
                    "PUT /elsewhere HTTP/1.1\r\nHost: a\r\nConnection: {named}\r\n{framing}\r\n\r\n{body}"
                ))
                .await;
            assert_eq!(client.answer("PUT").await.status, 204, "{named}");
            let seen = &store.seen()[0];
            assert_eq!(seen.body, b"abc", "{named} {framing}");
            is_delimited_once(named, seen);
            assert_eq!(seen.field("connection"), None);
        }
    }
}
