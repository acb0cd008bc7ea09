//! The answers, each made once.

use std::collections::HashMap;
use std::rc::Rc;

use crate::document::{document, size_of};

/// Of how many sizes the answers are kept.
const SIZES: usize = 64;

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    Document,
    Head,
    Write,
    Else,
}

impl Asked {
    pub(crate) fn of(method: &str) -> Self {
        match method {
            "GET" => Self::Document,
            "HEAD" => Self::Head,
            "PUT" | "POST" | "PATCH" | "DELETE" => Self::Write,
            _ => Self::Else,
        }
    }
}

/// Every answer that was given so far, by what it depends on.
#[derive(Debug)]
pub(crate) struct Replies {
    documents: HashMap<usize, Rc<[u8]>>,
    written: Rc<[u8]>,
    absent: Rc<[u8]>,
    unknown: Rc<[u8]>,
}

impl Replies {
    pub(crate) fn new() -> Self {
        let empty =
            |status: &str| Rc::from(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").as_bytes());
        Self {
            documents: HashMap::new(),
            written: Rc::from(&b"HTTP/1.1 204 No Content\r\n\r\n"[..]),
            absent: empty("404 Not Found"),
            unknown: empty("501 Not Implemented"),
        }
    }

    /// The answer to a request that has come whole, after so many before it.
    pub(crate) fn to(&mut self, asked: Asked, target: &str, calls: u64) -> Rc<[u8]> {
        match (asked, size_of(target)) {
            (Asked::Document, _) if target == "/-/calls" => {
                whole("text/plain", calls.to_string().as_bytes()).into()
            }
            (Asked::Else, _) => Rc::clone(&self.unknown),
            (_, None) => Rc::clone(&self.absent),
            (Asked::Write, Some(_)) => Rc::clone(&self.written),
            (Asked::Document, Some(size)) => self.document(size),
            (Asked::Head, Some(size)) => head("application/json", size).into_bytes().into(),
        }
    }

    fn document(&mut self, size: usize) -> Rc<[u8]> {
        if let Some(reply) = self.documents.get(&size) {
            return Rc::clone(reply);
        }
        if self.documents.len() == SIZES {
            self.documents.clear();
        }
        let reply: Rc<[u8]> = whole("application/json", &document(size)).into();
        self.documents.insert(size, Rc::clone(&reply));
        reply
    }
}

fn head(kind: &str, size: usize) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {size}\r\n\r\n")
}

fn whole(kind: &str, body: &[u8]) -> Vec<u8> {
    let mut reply = head(kind, body.len()).into_bytes();
    reply.extend_from_slice(body);
    reply
}
