//! From contents to a digest: how an entity-tag of ours is made.

use sha1::Digest as _;
use sha1::Sha1;
use smallvec::SmallVec;
use xxhash_rust::xxh3::{Xxh3Default, xxh3_128};

/// Which digest makes the entity-tags of a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// SHA-1, 20 bytes: what xAPI 1.0.3 demands (Communication §3.1) and what its clients compute themselves.
    Sha1,
    /// XXH3-128, 16 bytes: fast, and enough against accidents. Not against a writer who seeks collisions.
    Xxh3,
}

/// What the entity-tags of a resource are the digest of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// The identity-coded contents, byte by byte.
    Contents,
    /// The canonical form (RFC 8785) of contents that are JSON, which all spellings of one value share; the contents
    /// themselves where there is no such form.
    CanonicalJson,
}

/// A digest, most significant byte first; it needs no room elsewhere.
pub type Digest = SmallVec<[u8; 20]>;

/// A digest in the making: it takes the contents in pieces and gives the same value however they were cut.
pub struct Fingerprint(State);

enum State {
    Sha1(Sha1),
    Xxh3(Box<Xxh3Default>),
}

impl Algorithm {
    /// How many bytes a digest has.
    pub fn length(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Xxh3 => 16,
        }
    }
}

impl Fingerprint {
    /// Starts with no contents.
    pub fn new(algorithm: Algorithm) -> Self {
        Self(match algorithm {
            Algorithm::Sha1 => State::Sha1(Sha1::new()),
            Algorithm::Xxh3 => State::Xxh3(Box::default()),
        })
    }

    /// Takes the next piece of the contents.
    pub fn update(&mut self, piece: &[u8]) {
        match &mut self.0 {
            State::Sha1(state) => state.update(piece),
            State::Xxh3(state) => state.update(piece),
        }
    }

    /// The digest of all pieces.
    pub fn finish(self) -> Digest {
        match self.0 {
            State::Sha1(state) => Digest::from_slice(&state.finalize()),
            State::Xxh3(state) => Digest::from_slice(&state.digest128().to_be_bytes()),
        }
    }

    /// The digest of contents that are at hand as a whole.
    pub fn of(algorithm: Algorithm, contents: &[u8]) -> Digest {
        match algorithm {
            Algorithm::Sha1 => Digest::from_slice(&Sha1::digest(contents)),
            Algorithm::Xxh3 => Digest::from_slice(&xxh3_128(contents).to_be_bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_digests() {
        let hex = |digest: Digest| digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        assert_eq!(hex(Fingerprint::of(Algorithm::Sha1, b"abc")), "a9993e364706816aba3e25717850c26c9cd0d89d");
        assert_eq!(hex(Fingerprint::of(Algorithm::Xxh3, b"")), "99aa06d3014798d86001c324468d497f");
    }

    proptest::proptest! {
        #[test]
        fn the_cut_of_the_pieces_does_not_matter(contents: Vec<u8>, cut: proptest::sample::Index) {
            for algorithm in [Algorithm::Sha1, Algorithm::Xxh3] {
                let cut = if contents.is_empty() { 0 } else { cut.index(contents.len()) };
                let mut fingerprint = Fingerprint::new(algorithm);
                fingerprint.update(&contents[..cut]);
                fingerprint.update(&contents[cut..]);
                assert_eq!(fingerprint.finish(), Fingerprint::of(algorithm, &contents));
            }
        }
    }
}
