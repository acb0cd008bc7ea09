//! Digests: the SHA-1 of contents that were seen before, so that what has not changed is not digested again.
//!
//! SHA-1 takes sixteen times as long as what tells here whether contents are known: XXH3 under a secret of the process.
//! Who does not know the secret cannot make contents that are taken for others.

use std::fmt;

use xxhash_rust::xxh3::{Xxh3, xxh3_128_with_secret};

use super::table::{self, Each, INDEX, Table, USED_AGAIN};
use crate::body::contents::Contents;
use crate::fingerprint::{Algorithm, Fingerprint};
use crate::semantics::entity_tag::EntityTag;

/// What an entry takes in the table, in bytes; a test holds it.
const ENTRY: u64 = 64 + INDEX;

/// How many bytes the secret has.
const SECRET: usize = 192;

/// The SHA-1 of contents, as an entity-tag of ours, for as many as fit. What is forgotten is digested again.
pub struct Digests {
    secret: [u8; SECRET],
    known: Table<u128, EntityTag, Each>,
}

impl Digests {
    /// Contents of fewer bytes are digested as fast as they are looked for.
    pub const LEAST: u64 = 2048;

    /// Knows nothing yet, and remembers at most about this many bytes.
    pub fn new(max: u64) -> Self {
        let mut secret = [0; SECRET];
        getrandom::fill(&mut secret).expect("the kernel gives random bytes");
        Self { secret, known: table::new(max, ENTRY, USED_AGAIN, Each(ENTRY)) }
    }

    /// The entity-tag of contents that is their SHA-1.
    pub fn sha1(&self, contents: &Contents) -> EntityTag {
        let name = self.name(contents);
        self.known.get(&name).unwrap_or_else(|| {
            let tag = sha1(contents);
            self.known.insert(name, tag.clone());
            tag
        })
    }

    /// What contents are known by.
    fn name(&self, contents: &Contents) -> u128 {
        let mut pieces = contents.pieces();
        match (pieces.next(), pieces.next()) {
            (Some(only), None) => xxh3_128_with_secret(only, &self.secret),
            _ => {
                let mut digest = Xxh3::with_secret(self.secret);
                contents.pieces().for_each(|piece| digest.update(piece));
                digest.digest128()
            }
        }
    }
}

fn sha1(contents: &Contents) -> EntityTag {
    let mut fingerprint = Fingerprint::new(Algorithm::Sha1);
    contents.pieces().for_each(|piece| fingerprint.update(piece));
    EntityTag::from_digest(&fingerprint.finish())
}

/// The secret does not reach the logs.
impl fmt::Debug for Digests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digests({} known)", self.known.len())
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn contents(pieces: &[&'static [u8]]) -> Contents {
        let mut contents = Contents::default();
        pieces.iter().for_each(|piece| contents.push(Bytes::from_static(piece)));
        contents
    }

    #[test]
    fn what_is_known_is_what_would_be_digested() {
        // Pieces of this size stay apart.
        const X: &[u8] = &[b'x'; 10_000];
        const Y: &[u8] = &[b'y'; 10_000];
        let digests = Digests::new(1 << 20);
        for (pieces, known) in [(&[X][..], 1), (&[Y], 2), (&[X, Y], 3), (&[Y, X], 4), (&[X], 4), (&[X, Y], 4)]
        {
            let contents = contents(pieces);
            let digest = Fingerprint::of(Algorithm::Sha1, &contents.to_bytes());
            assert_eq!(digests.sha1(&contents), EntityTag::from_digest(&digest));
            assert_eq!(digests.known.len(), known);
        }
    }

    #[test]
    fn how_they_were_cut_does_not_matter() {
        const X: &[u8] = &[b'x'; 20_000];
        let digests = Digests::new(1 << 20);
        for pieces in [&[X][..], &[&X[..9_000], &X[9_000..]], &[&X[..12_000], &X[12_000..]]] {
            digests.sha1(&contents(pieces));
        }
        assert_eq!(digests.known.len(), 1);
    }

    #[test]
    fn nobody_who_does_not_know_the_secret_knows_what_is_alike() {
        let contents = contents(&[b"x"]);
        assert_ne!(Digests::new(0).name(&contents), Digests::new(0).name(&contents));
    }

    #[test]
    fn no_more_is_kept_than_fits() {
        const MAX: u64 = 1 << 20;
        let digests = Digests::new(MAX);
        for number in 0..20_000 {
            digests.sha1(&Contents::from(format!("{number}")));
        }
        let (most, kept) = (usize::try_from(MAX / ENTRY).expect("few"), digests.known.len());
        assert!((most * 9 / 10..=most).contains(&kept), "{kept} of {most} are kept");
        let taken = digests.known.memory_used();
        assert!(taken.entries + taken.map <= 1 << 20, "{taken:?}");
    }
}
