//! What is sent.

use std::fmt::Write;

/// A request, as it was asked for.
#[derive(Debug, Clone)]
pub struct Request {
    /// Its method.
    pub method: String,
    /// Its target; `{}` stands for the number of the connection, and `{n}` for that of the request on it, in eight
    /// digits.
    pub target: String,
    /// Further fields, each as a whole line without its end.
    pub fields: Vec<String>,
    /// Its contents.
    pub body: Vec<u8>,
    /// What the writer states, if anything.
    pub if_match: Option<IfMatch>,
}

/// Which entity-tag a writer states.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IfMatch {
    /// The one that its first read showed, or [`NOWHERE`] where it showed none.
    Learned,
    /// This one.
    Given(String),
}

/// What is to be sent each time.
#[derive(Debug, Default)]
pub struct Message {
    bytes: Vec<u8>,
    /// Where the request's number stands.
    number: Option<usize>,
}

impl Message {
    fn new(text: String, body: &[u8]) -> Self {
        let number = text.find("{n}");
        let mut bytes = text.replacen("{n}", "00000000", 1).into_bytes();
        bytes.extend_from_slice(body);
        Self { bytes, number }
    }

    /// The bytes of the request with that number.
    pub fn numbered(&mut self, mut number: u64) -> &[u8] {
        if let Some(place) = self.number {
            for digit in self.bytes[place..place + 8].iter_mut().rev() {
                *digit = b"0123456789"[(number % 10) as usize];
                number /= 10;
            }
        }
        &self.bytes
    }

    /// The bytes of the request that was numbered last.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// An entity-tag that no document has, as long as ours are.
pub const NOWHERE: &str = "\"0000000000000000000000000000000000000000\"";

impl Request {
    /// What a connection sends, once it knows its document's entity-tag.
    pub fn message(&self, connection: usize, learned: Option<&str>) -> Message {
        let mut text = self.head(&self.method, connection);
        match &self.if_match {
            Some(IfMatch::Learned) => push(&mut text, "If-Match", learned.unwrap_or(NOWHERE)),
            Some(IfMatch::Given(tag)) => push(&mut text, "If-Match", tag),
            None => {}
        }
        if !self.body.is_empty() {
            push(&mut text, "Content-Type", "application/json");
            push(&mut text, "Content-Length", &self.body.len().to_string());
        }
        text.push_str("\r\n");
        Message::new(text, &self.body)
    }

    /// The read that comes before it, by the same one.
    pub fn read(&self, connection: usize) -> Message {
        let mut text = self.head("GET", connection);
        text.push_str("\r\n");
        Message::new(text, &[])
    }

    fn head(&self, method: &str, connection: usize) -> String {
        let target = self.target.replace("{}", &connection.to_string());
        let mut text = format!("{method} {target} HTTP/1.1\r\nHost: lrs.example\r\n");
        for field in &self.fields {
            text.push_str(field);
            text.push_str("\r\n");
        }
        text
    }
}

fn push(text: &mut String, name: &str, value: &str) {
    write!(text, "{name}: {value}\r\n").expect("a string takes everything");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> Request {
        Request {
            method: "PUT".into(),
            target: "/3/docs/{}-{n}".into(),
            fields: vec!["Authorization: Basic x".into()],
            body: b"\"a\"".to_vec(),
            if_match: Some(IfMatch::Learned),
        }
    }

    fn text(mut message: Message) -> String {
        String::from_utf8(message.numbered(12).to_vec()).unwrap()
    }

    #[test]
    fn a_connection_writes_its_own_document_with_what_it_learned() {
        let sent = text(request().message(7, Some("\"t\"")));
        assert_eq!(
            sent,
            "PUT /3/docs/7-00000012 HTTP/1.1\r\nHost: lrs.example\r\nAuthorization: Basic x\r\nIf-Match: \"t\"\r\n\
             Content-Type: application/json\r\nContent-Length: 3\r\n\r\n\"a\""
        );
    }

    #[test]
    fn where_nothing_was_shown_a_tag_of_the_same_length_is_stated() {
        let sent = text(request().message(7, None));
        assert!(sent.contains(&format!("\r\nIf-Match: {NOWHERE}\r\n")), "{sent}");
    }

    #[test]
    fn the_read_before_is_by_the_same_one_and_states_nothing() {
        let sent = text(request().read(7));
        assert_eq!(
            sent,
            "GET /3/docs/7-00000012 HTTP/1.1\r\nHost: lrs.example\r\nAuthorization: Basic x\r\n\r\n"
        );
    }
}
