//! The last successful PUT of each document: what clients may take for its entity-tag, and what they may send twice.

use std::sync::Arc;

use quick_cache::Weighter;
use quick_cache::sync::Cache;
use tokio::time::Instant;

use crate::body::contents::Contents;
use crate::resource::Document;
use crate::semantics::entity_tag::EntityTag;
use crate::semantics::put::Put;

/// What an entry takes beside the contents it keeps, roughly, in bytes.
const ENTRY: u64 = 512;

/// The last successful PUT of each document, for as many documents as fit. What is forgotten only refuses more.
#[derive(Debug)]
pub struct Puts(Cache<Document, Arc<Successful>, Bytes>);

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
    /// A read-back has shown what was sent, and this is our entity-tag of it.
    Shown(EntityTag),
    /// It was not read back. The contents are kept so that what is there later can be compared with them.
    Unshown(Contents),
}

#[derive(Debug, Clone)]
struct Bytes;

impl Weighter<Document, Arc<Successful>> for Bytes {
    fn weight(&self, _: &Document, successful: &Arc<Successful>) -> u64 {
        ENTRY
            + match &successful.produced {
                Produced::Shown(_) => 0,
                Produced::Unshown(contents) => contents.len(),
            }
    }
}

impl Puts {
    /// Remembers nothing yet, and at most about this many bytes.
    pub fn new(max: u64) -> Self {
        Self(Cache::with_weighter(usize::try_from(max / ENTRY).unwrap_or(usize::MAX), max, Bytes))
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

    /// Remembers a PUT that has succeeded. It needs the document's hold, or else a later write may be under way.
    pub fn remember(&self, document: Document, successful: Successful) {
        self.0.insert(document, Arc::new(successful));
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;
    use crate::resource::ResourceKey;
    use crate::semantics::credentials::Credentials;
    use crate::semantics::put::{Came, Label};

    fn document(id: usize) -> Document {
        Document::new(b"h", "/", &ResourceKey::new("notes", [Some(id.to_string().as_str())]))
    }

    fn successful(length: usize) -> Successful {
        let put = Put {
            if_match: None,
            sent: EntityTag::from_digest(&[1; 20]),
            label: Label::of(&HeaderMap::new()),
            credentials: Credentials::of(&HeaderMap::new()),
            came: Came::of(&HeaderMap::new()),
        };
        let contents = Contents::from(bytes::Bytes::from(vec![b'x'; length]));
        Successful { put, at: Instant::now(), produced: Produced::Unshown(contents) }
    }

    #[test]
    fn a_document_that_is_written_is_forgotten() {
        let puts = Puts::new(1 << 20);
        puts.remember(document(1), successful(1));
        puts.remember(document(2), successful(1));
        assert!(puts.last(document(1)).is_some());
        puts.withdraw(document(1));
        assert!(puts.last(document(1)).is_none());
        assert!(puts.last(document(2)).is_some());
    }

    #[test]
    fn no_more_is_kept_than_fits() {
        let puts = Puts::new(64 * 1024);
        for id in 0..10_000 {
            puts.remember(document(id), successful(1024));
        }
        let kept = (0..10_000).filter(|id| puts.last(document(*id)).is_some()).count();
        assert!((1..=64 * 1024 / 1536).contains(&kept), "{kept} are kept");
        puts.remember(document(0), successful(1 << 20));
        assert!(puts.last(document(0)).is_none(), "one that is larger than all of it is not kept");
    }
}
