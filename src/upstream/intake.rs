//! Taking in what the upstream holds: identity-coded, and fingerprinted piece by piece.

use bytes::Bytes;
use http::HeaderMap;

use super::decode::{Decoder, Undecodable};
use crate::body::contents::Contents;
use crate::fingerprint::{Algorithm, Digest, Fingerprint, Subject};
use crate::json::canonical::canonical;
use crate::memory::digests::Digests;
use crate::semantics::entity_tag::EntityTag;
use crate::semantics::representation::{Absent, Current, Representation};

/// How the contents of an answer are read.
#[derive(Debug, Clone, Copy)]
pub struct Reading<'a> {
    /// Which digest makes the entity-tag.
    pub etag: Algorithm,
    /// What it is the digest of.
    pub etag_of: Subject,
    /// What a missing document looks like.
    pub absent: &'a Absent,
    /// How many bytes compressed contents may have once they are decoded, and how many are kept to find their
    /// canonical form.
    pub decoded_max: u64,
    /// What was digested before, if contents may be among it.
    pub digests: Option<&'a Digests>,
}

/// Contents on their way in. They are fingerprinted as they come, and kept only where their canonical form is wanted.
pub struct Intake {
    decoder: Decoder,
    algorithm: Algorithm,
    fingerprint: Fingerprint,
    /// All of it so far, while a canonical form may come of it.
    kept: Option<Contents>,
    kept_max: u64,
    length: u64,
    /// As much of the beginning as tells whether the contents are `{}`.
    start: Vec<u8>,
}

/// No longer than an empty JSON object that somebody pretty-printed.
const START: usize = 16;

impl Intake {
    /// That of an answer whose contents are identity-coded; nothing for any other.
    pub fn of_identity(fields: &HeaderMap, reading: &Reading<'_>) -> Option<Self> {
        Self::new(fields, reading).ok().filter(|intake| intake.decoder.is_identity())
    }

    pub(super) fn new(fields: &HeaderMap, reading: &Reading<'_>) -> Result<Self, Undecodable> {
        Ok(Self {
            decoder: Decoder::for_fields(fields, reading.decoded_max)?,
            algorithm: reading.etag,
            fingerprint: Fingerprint::new(reading.etag),
            kept: (reading.etag_of == Subject::CanonicalJson).then(Contents::default),
            kept_max: reading.decoded_max,
            length: 0,
            start: Vec::new(),
        })
    }

    /// Takes the next piece and gives it back identity-coded. It fails where they cannot be decoded, or not within the bound.
    pub fn push(&mut self, piece: Bytes) -> Result<Bytes, Undecodable> {
        let decoded = self.decoder.push(piece)?;
        self.take(&decoded);
        Ok(decoded)
    }

    /// Ends the contents: gives the last identity-coded piece and what the resource holds. It fails where the coded contents ended too early.
    pub fn finish(
        mut self,
        fields: &HeaderMap,
        absent: &Absent,
    ) -> Result<(Bytes, Representation), Undecodable> {
        let decoder = std::mem::replace(&mut self.decoder, Decoder::Identity);
        let last = decoder.finish()?;
        self.take(&last);
        let is_absent = (absent.empty && self.length == 0) || (absent.empty_object && self.is_empty_object());
        if is_absent {
            return Ok((last, Representation::Missing));
        }
        let upstream_tag = EntityTag::strong_from_fields(fields);
        let tag = EntityTag::from_digest(&self.digest());
        Ok((last, Representation::Current(Current { tag, upstream_tag, alias: None })))
    }

    /// The digest of the canonical form where one is wanted and there is one, and otherwise of the contents.
    fn digest(self) -> Digest {
        match self.kept.and_then(|kept| canonical(&kept.to_bytes())) {
            Some(form) => Fingerprint::of(self.algorithm, &form),
            None => self.fingerprint.finish(),
        }
    }

    fn take(&mut self, decoded: &Bytes) {
        self.fingerprint.update(decoded);
        self.length += decoded.len() as u64;
        // What is larger than the bound is known by its bytes, and needs no room.
        self.kept = self.kept.take().filter(|_| self.length <= self.kept_max);
        if let Some(kept) = &mut self.kept {
            kept.push(decoded.clone());
        }
        let room = START.saturating_sub(self.start.len()).min(decoded.len());
        self.start.extend_from_slice(&decoded[..room]);
    }

    fn is_empty_object(&self) -> bool {
        let only_braces = self.start.iter().filter(|byte| !byte.is_ascii_whitespace()).eq(b"{}");
        self.length <= START as u64 && only_braces
    }
}

/// Reads contents that are at hand as a whole: gives them identity-coded where they are not, and what the resource holds.
///
/// Nothing, when they are coded in a way that cannot be undone within the bound.
pub fn take_in(
    fields: &HeaderMap,
    contents: &Contents,
    reading: &Reading<'_>,
) -> Option<(Option<Contents>, Representation)> {
    let mut intake = Intake::new(fields, reading).ok()?;
    if intake.decoder.is_identity() {
        if let Some(found) = recognised(fields, contents, reading) {
            return Some((None, found));
        }
        contents.pieces().for_each(|piece| intake.take(piece));
        let (_nothing, found) = intake.finish(fields, reading.absent).ok()?;
        return Some((None, found));
    }
    let mut decoded = Contents::default();
    for piece in contents.pieces() {
        decoded.push(intake.push(piece.clone()).ok()?);
    }
    let (last, found) = intake.finish(fields, reading.absent).ok()?;
    decoded.push(last);
    // Trailers stay with the contents they came with.
    Some((Some(decoded.in_place_of(contents)), found))
}

/// What the resource holds, where its contents are so large that it pays to see whether they were digested before.
fn recognised(fields: &HeaderMap, contents: &Contents, reading: &Reading<'_>) -> Option<Representation> {
    // What is so large is no missing document.
    const { assert!(Digests::LEAST > START as u64) };
    let digests = reading.digests.filter(|_| contents.len() >= Digests::LEAST)?;
    if (reading.etag, reading.etag_of) != (Algorithm::Sha1, Subject::Contents) {
        return None;
    }
    let upstream_tag = EntityTag::strong_from_fields(fields);
    Some(Representation::Current(Current { tag: digests.sha1(contents), upstream_tag, alias: None }))
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    const STRICT: Absent = Absent { statuses: vec![], empty: false, empty_object: false };

    fn found(text: &'static str, absent: &Absent) -> Representation {
        let reading = Reading {
            etag: Algorithm::Sha1,
            etag_of: Subject::CanonicalJson,
            absent,
            decoded_max: 1000,
            digests: None,
        };
        take_in(&HeaderMap::new(), &Bytes::from(text).into(), &reading).expect("identity-coded").1
    }

    /// The entity-tag of contents that come in pieces of this size.
    fn tag(contents: &'static str, piece: usize, etag_of: Subject, decoded_max: u64) -> EntityTag {
        let reading = Reading { etag: Algorithm::Sha1, etag_of, absent: &STRICT, decoded_max, digests: None };
        let mut intake = Intake::new(&HeaderMap::new(), &reading).expect("identity-coded");
        for piece in contents.as_bytes().chunks(piece) {
            intake.push(Bytes::from_static(piece)).expect("identity-coded");
        }
        match intake.finish(&HeaderMap::new(), &STRICT) {
            Ok((_, Representation::Current(current))) => current.tag,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_tag_is_of_the_contents_or_of_their_canonical_form() {
        let of =
            |contents: &str| EntityTag::from_digest(&Fingerprint::of(Algorithm::Sha1, contents.as_bytes()));
        const SPELT: &str = r#"{ "b": 1.0, "a": [true] }"#;
        const FORM: &str = r#"{"a":[true],"b":1}"#;
        let max = SPELT.len() as u64;
        for piece in [1, 7, SPELT.len()] {
            assert_eq!(tag(SPELT, piece, Subject::Contents, max), of(SPELT));
            assert_eq!(tag(SPELT, piece, Subject::CanonicalJson, max), of(FORM));
            assert_eq!(tag(FORM, piece, Subject::CanonicalJson, max), of(FORM));
            assert_eq!(tag(SPELT, piece, Subject::CanonicalJson, max - 1), of(SPELT), "over the bound");
            for odd in ["", "{\"a\":1,\"a\":2}", "[12345678901234567891]", "no JSON"] {
                assert_eq!(tag(odd, piece, Subject::CanonicalJson, max), of(odd), "{odd}");
            }
        }
    }

    #[test]
    fn contents_are_kept_only_where_and_as_long_as_their_canonical_form_may_be_wanted() {
        for (etag_of, decoded_max, kept) in [
            (Subject::Contents, 10, None),
            (Subject::CanonicalJson, 10, Some(4)),
            (Subject::CanonicalJson, 3, None),
        ] {
            let reading =
                Reading { etag: Algorithm::Xxh3, etag_of, absent: &STRICT, decoded_max, digests: None };
            let mut intake = Intake::new(&HeaderMap::new(), &reading).expect("identity-coded");
            for _ in 0..2 {
                intake.push(Bytes::from_static(b"[]")).expect("identity-coded");
            }
            assert_eq!(intake.kept.map(|kept| kept.len()), kept);
        }
    }

    #[test]
    fn what_was_digested_before_is_told_by_the_same_tag() {
        let digests = Digests::new(1 << 20);
        // Not in the form that is canonical.
        let large = |digit: &str| Contents::from(format!("[{}0]", format!("{digit} , ").repeat(1000)));
        let fields = HeaderMap::from_iter([(http::header::ETAG, "\"theirs\"".parse().expect("a value"))]);
        for etag in [Algorithm::Sha1, Algorithm::Xxh3] {
            for etag_of in [Subject::Contents, Subject::CanonicalJson] {
                let reading = Reading { etag, etag_of, absent: &STRICT, decoded_max: 9000, digests: None };
                let knowing = Reading { digests: Some(&digests), ..reading };
                for contents in [large("1"), large("2"), large("1"), Contents::default()] {
                    let of = |reading| take_in(&fields, &contents, reading).expect("identity-coded").1;
                    assert_eq!(of(&knowing), of(&reading));
                }
            }
        }
    }

    #[test]
    fn what_counts_as_absent_is_the_rules_word() {
        let strict = Absent { statuses: vec![StatusCode::NOT_FOUND], empty: false, empty_object: false };
        let lenient = Absent { empty: true, empty_object: true, ..strict.clone() };
        for text in ["", "{}", " {\n} "] {
            assert!(matches!(found(text, &strict), Representation::Current(_)), "{text:?}");
            assert_eq!(found(text, &lenient), Representation::Missing, "{text:?}");
        }
        for text in ["{\"a\":1}", "{}{}", "{", "                  {}"] {
            assert!(matches!(found(text, &lenient), Representation::Current(_)), "{text:?}");
        }
    }
}
