//! The opening handshake of WebSocket (RFC 6455 §4): what asks for a tunnel, and what opens it.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::header::{
    CONNECTION, CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_VERSION, TE, TRANSFER_ENCODING, UPGRADE,
};
use http::request::Parts;
use http::{Method, Version};
use sha1::{Digest, Sha1};

use super::fields::connection_options;

/// What a server appends to a key, so that nobody who does not know of WebSocket answers as if he did (§4.2.2).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// How many bytes a key has once it is decoded (§4.1).
const KEY: usize = 16;

/// What a request asks for by Upgrade.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Upgrade {
    /// Nothing, or `h2c`, which a server declines by answering in HTTP/1.1 (RFC 9110 §7.8).
    None,
    /// A WebSocket, in a well-formed handshake.
    WebSocket(Handshake),
    /// Another protocol, several, or a WebSocket in a handshake that somebody may read in another way.
    Unsupported,
}

/// A well-formed handshake of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handshake {
    /// What a server says that has understood it.
    accept: HeaderValue,
}

impl Upgrade {
    /// What this request asks for.
    pub fn of(head: &Parts) -> Self {
        let is_h2c = |protocol: &HeaderValue| protocol.as_bytes().eq_ignore_ascii_case(b"h2c");
        if head.headers.get_all(UPGRADE).iter().all(is_h2c) {
            return Self::None;
        }
        Handshake::of(head).map_or(Self::Unsupported, Self::WebSocket)
    }
}

impl Handshake {
    /// Everything that a client must send and say (§4.1), once, and no body, which §4.2.1 leaves no room for.
    fn of(head: &Parts) -> Option<Self> {
        let fields = &head.headers;
        let is_request = head.method == Method::GET && head.version == Version::HTTP_11;
        let has_body = fields.contains_key(TRANSFER_ENCODING)
            || fields.get_all(CONTENT_LENGTH).iter().any(|length| length != "0");
        // Connection would take them away on the next hop.
        let is_whole = !connection_options(fields).any(|option| {
            let option = option.to_ascii_lowercase();
            option.starts_with("sec-websocket-")
        });
        let key = only(fields, &SEC_WEBSOCKET_KEY)?;
        let is_fitting = is_request
            && !has_body
            && is_whole
            && switches_to_websocket(fields)
            && only(fields, &SEC_WEBSOCKET_VERSION)? == "13"
            && BASE64_STANDARD.decode(key).is_ok_and(|key| key.len() == KEY);
        let digest = Sha1::new().chain_update(key).chain_update(GUID).finalize();
        let accept = HeaderValue::from_str(&BASE64_STANDARD.encode(digest)).ok()?;
        is_fitting.then_some(Self { accept })
    }

    /// Whether an answer with status 101 and these fields opens the WebSocket that this asks for (§4.1, of the server's
    /// response).
    pub fn is_accepted(&self, fields: &HeaderMap) -> bool {
        switches_to_websocket(fields) && only(fields, &SEC_WEBSOCKET_ACCEPT) == Some(&self.accept)
    }

    /// States what ends at each hop once more, for the upstream.
    pub fn restate(&self, fields: &mut HeaderMap) {
        fields.remove(TE);
        switch(fields);
    }

    /// The same in the answer, for the client.
    pub fn answer(&self, fields: &mut HeaderMap) {
        fields.insert(SEC_WEBSOCKET_ACCEPT, self.accept.clone());
        switch(fields);
    }
}

fn switch(fields: &mut HeaderMap) {
    fields.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    fields.insert(UPGRADE, HeaderValue::from_static("websocket"));
}

fn switches_to_websocket(fields: &HeaderMap) -> bool {
    only(fields, &UPGRADE).is_some_and(|protocol| protocol.as_bytes().eq_ignore_ascii_case(b"websocket"))
        && connection_options(fields).any(|option| option.eq_ignore_ascii_case("upgrade"))
}

/// The one line of a field that must not have two.
fn only<'a>(fields: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    let mut lines = fields.get_all(name).iter();
    lines.next().filter(|_| lines.next().is_none())
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    /// The handshake that RFC 6455 §1.3 shows, and its answer.
    const FIELDS: [(&str, &str); 4] = [
        ("connection", "keep-alive, Upgrade"),
        ("upgrade", "WebSocket"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("sec-websocket-version", "13"),
    ];
    const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

    fn head(fields: &[(&str, &str)]) -> Parts {
        let mut request = Request::get("/socket");
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        request.body(()).expect("a request").into_parts().0
    }

    /// The good handshake with these lines in place of those of their names; without a value, there is none.
    fn but(lines: &[(&str, &str)]) -> Parts {
        let is_replaced = |name: &str| lines.iter().any(|(other, _)| *other == name);
        let kept = FIELDS.into_iter().filter(|(name, _)| !is_replaced(name));
        head(&kept.chain(lines.iter().copied().filter(|(_, value)| !value.is_empty())).collect::<Vec<_>>())
    }

    #[test]
    fn a_well_formed_handshake_is_known_with_its_answer() {
        let accept = HeaderValue::from_static(ACCEPT);
        for fields in [&[][..], &[("content-length", "0")], &[("sec-websocket-protocol", "a, b")]] {
            let handshake = Handshake { accept: accept.clone() };
            assert_eq!(Upgrade::of(&but(fields)), Upgrade::WebSocket(handshake), "{fields:?}");
        }
    }

    #[test]
    fn what_only_half_looks_like_one_is_none() {
        for lines in [
            &[("connection", "")][..],
            &[("connection", "keep-alive")],
            &[("connection", "Upgrade, Sec-WebSocket-Key")],
            &[("upgrade", "websocket"), ("upgrade", "websocket")],
            &[("upgrade", "websocket"), ("upgrade", "h2c")],
            &[("upgrade", "websocket, h2c")],
            &[("upgrade", "websockets")],
            &[("sec-websocket-key", "")],
            &[("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ")],
            &[("sec-websocket-key", "dGhlIHNhbXBsZSBub25j")],
            &[("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==, x")],
            &[
                ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
                ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ],
            &[("sec-websocket-version", "")],
            &[("sec-websocket-version", "8")],
            &[("sec-websocket-version", "13"), ("sec-websocket-version", "13")],
            &[("content-length", "1")],
            &[("transfer-encoding", "chunked")],
        ] {
            assert_eq!(Upgrade::of(&but(lines)), Upgrade::Unsupported, "{lines:?}");
        }
        let mut other = but(&[]);
        other.method = Method::POST;
        assert_eq!(Upgrade::of(&other), Upgrade::Unsupported);
        let mut other = but(&[]);
        other.version = Version::HTTP_2;
        assert_eq!(Upgrade::of(&other), Upgrade::Unsupported);
    }

    #[test]
    fn h2c_and_nothing_ask_for_nothing() {
        for lines in
            [&[("upgrade", "")][..], &[("upgrade", "h2c")], &[("upgrade", "H2C"), ("upgrade", "h2c")]]
        {
            assert_eq!(Upgrade::of(&but(lines)), Upgrade::None, "{lines:?}");
        }
    }

    #[test]
    fn only_the_answer_to_its_key_opens_it() {
        let Upgrade::WebSocket(handshake) = Upgrade::of(&but(&[])) else { panic!("it is one") };
        let answer = [("connection", "upgrade"), ("upgrade", "websocket"), ("sec-websocket-accept", ACCEPT)];
        assert!(handshake.is_accepted(&head(&answer).headers));
        for left_out in 0..answer.len() {
            let mut fields = answer.to_vec();
            fields.remove(left_out);
            assert!(!handshake.is_accepted(&head(&fields).headers), "{fields:?}");
        }
        for more in [("upgrade", "h2c"), ("sec-websocket-accept", ACCEPT)] {
            let fields = [&answer[..], &[more]].concat();
            assert!(!handshake.is_accepted(&head(&fields).headers), "{fields:?}");
        }
        let lower = ACCEPT.to_ascii_lowercase();
        let wrong = [answer[0], answer[1], ("sec-websocket-accept", &lower)];
        assert!(!handshake.is_accepted(&head(&wrong).headers));
    }
}
