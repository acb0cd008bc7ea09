//! The last successful PUT of each document: what clients may take for its entity-tag, and what they may send twice.

use std::sync::Arc;

use bytes::Bytes;
use quick_cache::Weighter;
use tokio::time::Instant;

use super::table::{self, INDEX, Table};
use crate::body::contents::Contents;
use crate::resource::Document;
use crate::semantics::entity_tag::EntityTag;
use crate::semantics::put::Put;

/// What an entry takes beside the contents it keeps, in bytes: its place in the table, and what it holds, with what the
/// allocator takes for itself.
const ENTRY: u64 = 48 + INDEX + 224;

/// What contents take beside their bytes, in bytes: what the allocator takes for itself, and what it leaves free between
/// blocks of so many sizes.
const APART: u64 = 64;

/// The last successful PUT of each document, for as many documents as fit. What is forgotten only refuses more.
#[derive(Debug)]
pub struct Puts(Table<Document, Arc<Successful>, Weight>);

/// A PUT that has succeeded.
#[derive(Debug)]
pub struct Successful {
    /// What was asked for.
    pub put: Put,
    /// When it had succeeded.
    pub at: Instant,
    /// What it produced.
    pub produced: Produced,
}

/// What a PUT produced, as far as that is known.
#[derive(Debug)]
pub enum Produced {
    /// A read-back has shown what was sent.
    Shown(Shown),
    /// It was not read back. The contents are kept so that what is there later can be compared with them.
    Unshown(Bytes),
}

/// How much of the table is for what was used again: one document alone may be nearly as large.
const USED_AGAIN: f64 = 0.9;

/// What a read-back has shown to be what was sent.
#[derive(Debug)]
pub struct Shown {
    /// Our entity-tag of it.
    pub tag: EntityTag,
    /// The SHA-1 of what was sent, which another spelling of the same JSON does not have.
    pub sent: EntityTag,
}

#[derive(Debug, Clone)]
struct Weight;

impl Weighter<Document, Arc<Successful>> for Weight {
    fn weight(&self, _: &Document, successful: &Arc<Successful>) -> u64 {
        ENTRY
            + match &successful.produced {
                Produced::Shown(_) => 0,
                Produced::Unshown(contents) => APART + contents.len() as u64,
            }
    }
}

impl Puts {
    /// Remembers nothing yet, and at most about this many bytes.
    pub fn new(max: u64) -> Self {
        Self(table::new(max, ENTRY, USED_AGAIN, Weight))
    }

    /// The last successful PUT of a document, if nothing was written there since and it is not forgotten.
    ///
    /// Others may have written to the upstream since, so that what it produced may not be current any more.
    pub fn last(&self, document: Document) -> Option<Arc<Successful>> {
        self.0.get(&document)
    }

    /// Forgets what was known: the document is about to be written.
    pub fn withdraw(&self, document: Document) {
        self.0.remove(&document);
    }

    /// Remembers a PUT that has just succeeded, and what a read-back has shown of it. It needs the document's hold, or
    /// else a later write may be under way.
    pub fn remember(&self, document: Document, put: Put, contents: &Contents, shown: Option<Shown>) {
        let produced = match shown {
            Some(shown) => Produced::Shown(shown),
            None if contents.len() > self.0.capacity() => return self.withdraw(document),
            None => Produced::Unshown(contents.apart()),
        };
        self.0.insert(document, Arc::new(Successful { put, at: Instant::now(), produced }));
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;
    use crate::resource::ResourceKey;
    use crate::semantics::credentials::Credentials;
    use crate::semantics::put::{Came, Ground, Label};

    fn document(id: usize) -> Document {
        Document::new(b"h", "/", &ResourceKey::new("notes", [Some(id.to_string().as_str())]))
    }

    fn put() -> Put {
        Put {
            ground: Ground::of(&HeaderMap::new()),
            label: Label::of(&HeaderMap::new()),
            credentials: Credentials::of(&HeaderMap::new(), None),
            came: Came::of(&HeaderMap::new()),
        }
    }

    fn remember(puts: &Puts, id: usize, length: usize) {
        puts.remember(document(id), put(), &Bytes::from(vec![b'x'; length]).into(), None);
    }

    #[test]
    fn a_document_that_is_written_is_forgotten() {
        let puts = Puts::new(1 << 20);
        remember(&puts, 1, 1);
        remember(&puts, 2, 1);
        assert!(puts.last(document(1)).is_some());
        puts.withdraw(document(1));
        assert!(puts.last(document(1)).is_none());
        assert!(puts.last(document(2)).is_some());
    }

    #[test]
    fn no_more_is_kept_than_fits() {
        let puts = Puts::new(64 * 1024);
        for id in 0..10_000 {
            remember(&puts, id, 1024);
        }
        let kept = (0..10_000).filter(|id| puts.last(document(*id)).is_some()).count();
        assert!((40..=64 * 1024 / 1383).contains(&kept), "{kept} are kept");
        assert!(size_of::<Successful>() + 2 * size_of::<usize>() <= 208, "{}", size_of::<Successful>());
        remember(&puts, 0, 1);
        remember(&puts, 0, 1 << 20);
        assert!(puts.last(document(0)).is_none(), "one that is larger than all of it is not kept");
    }

    #[test]
    fn what_is_kept_does_not_keep_the_buffer_in_which_it_was_received() {
        let puts = Puts::new(1 << 20);
        let received = Bytes::from(vec![b'x'; 1 << 16]);
        puts.remember(document(1), put(), &received.slice(0..9).into(), None);
        assert!(received.is_unique());
        match &puts.last(document(1)).expect("it fits").produced {
            Produced::Unshown(kept) => assert_eq!(kept, &received[0..9]),
            shown => panic!("{shown:?}"),
        }
    }
}
