//! What a request addresses ([`ResourceKey`]), what is remembered of it under ([`Document`]), and what one hold covers
//! ([`Scope`]).

use std::fmt;

use xxhash_rust::xxh3::{Xxh3Default, xxh3_128};

/// What a request addresses, reduced to the parts that name it: equal keys name one document.
///
/// It holds learners' identifiers, so it has no `Display` and its `Debug` tells nothing of them.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ResourceKey(Box<str>);

impl ResourceKey {
    /// The key of a resource and its parts, in their order; `None` is a part that the target left out.
    pub fn new<'a>(resource: &str, parts: impl IntoIterator<Item = Option<&'a str>>) -> Self {
        Self(join(resource, parts).into_boxed_str())
    }
}

impl fmt::Debug for ResourceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ResourceKey(..)")
    }
}

/// One document of one upstream, for what is remembered of it: its key, and the Host and path by which it was asked for.
///
/// It is a digest. What is remembered under it must be checked against what the document holds before it counts. It is in
/// halves, since a table would align a whole one to 16 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Document(u64, u64);

impl Document {
    /// The document that a key names behind this Host and path. Two spellings of a path merely remember apart.
    #[expect(clippy::cast_possible_truncation, reason = "one half, and the other")]
    pub fn new(host: &[u8], path: &str, key: &ResourceKey) -> Self {
        let mut digest = Xxh3Default::new();
        for part in [host, path.as_bytes(), key.0.as_bytes()] {
            digest.update(&part.len().to_be_bytes());
            digest.update(part);
        }
        let digest = digest.digest128();
        Self((digest >> 64) as u64, digest as u64)
    }
}

impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Document(..)")
    }
}

/// What one hold covers: one document, or all documents of one learner and activity.
///
/// It is a digest: two scopes that should collide merely share a hold, and coarser is always safe.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Scope(u128);

impl Scope {
    /// The scope of a resource and the parts that bound it, in their order.
    pub fn new<'a>(resource: &str, parts: impl IntoIterator<Item = &'a str>) -> Self {
        Self(xxh3_128(join(resource, parts.into_iter().map(Some)).as_bytes()))
    }
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scope(..)")
    }
}

/// Joins parts so that no two lists of parts give the same text: each is led by its length.
fn join<'a>(resource: &str, parts: impl IntoIterator<Item = Option<&'a str>>) -> String {
    let (mut joined, mut length) = (String::with_capacity(256), itoa::Buffer::new());
    let mut append = |joined: &mut String, text: &str| {
        joined.extend([length.format(text.len()), ":", text]);
    };
    append(&mut joined, resource);
    for part in parts {
        joined.push('/');
        match part {
            Some(part) => append(&mut joined, part),
            None => joined.push('-'),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_never_run_into_each_other() {
        let key = |parts: &[Option<&str>]| ResourceKey::new("notes", parts.iter().copied());
        assert_ne!(key(&[Some("ab"), Some("c")]), key(&[Some("a"), Some("bc")]));
        assert_ne!(key(&[Some("a/1:b")]), key(&[Some("a"), Some("b")]));
        assert_ne!(key(&[Some("")]), key(&[None]), "an empty part is not an absent one");
        assert_eq!(key(&[Some("a"), None]), key(&[Some("a"), None]));
    }

    #[test]
    fn documents_behind_another_host_or_path_are_others() {
        let key = |id| ResourceKey::new("notes", [Some(id)]);
        let document = Document::new(b"a.example", "/notes", &key("1"));
        assert_eq!(document, Document::new(b"a.example", "/notes", &key("1")));
        assert_ne!(document, Document::new(b"b.example", "/notes", &key("1")));
        assert_ne!(document, Document::new(b"a.example", "/x/notes", &key("1")));
        assert_ne!(document, Document::new(b"a.example", "/notes", &key("2")));
        assert_ne!(document, Document::new(b"a.example/", "notes", &key("1")));
    }

    #[test]
    fn learners_do_not_reach_the_logs() {
        let key = ResourceKey::new("state", [Some("mailto:learner@example.com")]);
        let scope = Scope::new("state", ["mailto:learner@example.com"]);
        let document = Document::new(b"lrs.example", "/state/learner", &key);
        assert!(!format!("{key:?} {scope:?} {document:?}").contains("learner"));
    }
}
