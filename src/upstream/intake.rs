//! Taking in what the upstream holds: identity-coded, and fingerprinted piece by piece.

use bytes::Bytes;
use http::HeaderMap;

use super::decode::{Decoder, Undecodable};
use crate::body::contents::Contents;
use crate::fingerprint::{Algorithm, Fingerprint};
use crate::semantics::entity_tag::EntityTag;
use crate::semantics::representation::{Absent, Current, Representation};

/// How the contents of an answer are read.
#[derive(Debug, Clone, Copy)]
pub struct Reading<'a> {
    /// Which digest makes the entity-tag.
    pub etag: Algorithm,
    /// What a missing document looks like.
    pub absent: &'a Absent,
    /// How many bytes compressed contents may have once they are decoded.
    pub decoded_max: u64,
}

/// Contents on their way in. They need not be kept to be fingerprinted.
pub(super) struct Intake {
    decoder: Decoder,
    fingerprint: Fingerprint,
    length: u64,
    /// As much of the beginning as tells whether the contents are `{}`.
    start: Vec<u8>,
}

/// No longer than an empty JSON object that somebody pretty-printed.
const START: usize = 16;

impl Intake {
    pub(super) fn new(fields: &HeaderMap, reading: &Reading<'_>) -> Result<Self, Undecodable> {
        Ok(Self {
            decoder: Decoder::for_fields(fields, reading.decoded_max)?,
            fingerprint: Fingerprint::new(reading.etag),
            length: 0,
            start: Vec::new(),
        })
    }

    /// Takes the next piece and gives it back identity-coded.
    pub(super) fn push(&mut self, piece: Bytes) -> Result<Bytes, Undecodable> {
        let decoded = self.decoder.push(piece)?;
        self.take(&decoded);
        Ok(decoded)
    }

    /// Ends the contents: gives the last identity-coded piece and what the resource holds.
    pub(super) fn finish(
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
        let tag = EntityTag::from_digest(&self.fingerprint.finish());
        let upstream_tag = EntityTag::strong_from_fields(fields);
        Ok((last, Representation::Current(Current { tag, upstream_tag, alias: None })))
    }

    fn take(&mut self, decoded: &Bytes) {
        self.fingerprint.update(decoded);
        self.length += decoded.len() as u64;
        let room = START.saturating_sub(self.start.len()).min(decoded.len());
        self.start.extend_from_slice(&decoded[..room]);
    }

    fn is_empty_object(&self) -> bool {
        let only_braces = self.start.iter().filter(|byte| !byte.is_ascii_whitespace()).eq(b"{}");
        self.length <= START as u64 && only_braces
    }
}

/// Reads contents that are at hand as a whole: gives them identity-coded, and what the resource holds.
///
/// Nothing, when they are coded in a way that cannot be undone within the bound.
pub fn take_in(
    fields: &HeaderMap,
    contents: &Contents,
    reading: &Reading<'_>,
) -> Option<(Contents, Representation)> {
    let mut intake = Intake::new(fields, reading).ok()?;
    let is_identity = intake.decoder.is_identity();
    let mut decoded = Contents::default();
    for piece in contents.pieces() {
        decoded.push(intake.push(piece.clone()).ok()?);
    }
    let (last, found) = intake.finish(fields, reading.absent).ok()?;
    decoded.push(last);
    // Trailers stay with the contents they came with.
    Some((if is_identity { contents.clone() } else { decoded }, found))
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    fn found(text: &'static str, absent: &Absent) -> Representation {
        let reading = Reading { etag: Algorithm::Sha1, absent, decoded_max: 1000 };
        take_in(&HeaderMap::new(), &Bytes::from(text).into(), &reading).expect("identity-coded").1
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
