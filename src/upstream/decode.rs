//! Undoing a content coding that the upstream applied although it was asked not to (RFC 9110 §8.4).

use std::io::{self, Write};
use std::mem;

use brotli_decompressor::DecompressorWriter;
use bytes::Bytes;
use flate2::write::{MultiGzDecoder, ZlibDecoder};
use http::HeaderMap;
use http::header::CONTENT_ENCODING;

/// Turns coded pieces into identity-coded ones, up to a bound.
pub(super) enum Decoder {
    Identity,
    Gzip(MultiGzDecoder<Bounded>),
    Deflate(ZlibDecoder<Bounded>),
    Brotli(Box<DecompressorWriter<Bounded>>),
}

/// The contents cannot be decoded: an unknown coding, malformed data, or more than the bound.
#[derive(Debug)]
pub struct Undecodable;

impl Decoder {
    /// The decoder for an answer with these fields, which gives out `max` bytes at most.
    pub(super) fn for_fields(fields: &HeaderMap, max: u64) -> Result<Self, Undecodable> {
        let mut codings = fields.get_all(CONTENT_ENCODING).iter();
        let coding = match (codings.next(), codings.next()) {
            (None, _) => return Ok(Self::Identity),
            (Some(coding), None) => coding.to_str().map_err(|_| Undecodable)?.trim().to_ascii_lowercase(),
            (Some(_), Some(_)) => return Err(Undecodable),
        };
        let bounded = Bounded { out: Vec::new(), left: max };
        match coding.as_str() {
            "" | "identity" => Ok(Self::Identity),
            "gzip" | "x-gzip" => Ok(Self::Gzip(MultiGzDecoder::new(bounded))),
            "deflate" => Ok(Self::Deflate(ZlibDecoder::new(bounded))),
            "br" => Ok(Self::Brotli(Box::new(DecompressorWriter::new(bounded, 4096)))),
            _ => Err(Undecodable),
        }
    }

    /// True when what comes in goes out unchanged.
    pub(super) fn is_identity(&self) -> bool {
        matches!(self, Self::Identity)
    }

    /// Decodes the next piece.
    pub(super) fn push(&mut self, piece: Bytes) -> Result<Bytes, Undecodable> {
        let written = match self {
            Self::Identity => return Ok(piece),
            Self::Gzip(decoder) => decoder.write_all(&piece).map(|()| decoder.get_mut()),
            Self::Deflate(decoder) => decoder.write_all(&piece).map(|()| decoder.get_mut()),
            Self::Brotli(decoder) => decoder.write_all(&piece).map(|()| decoder.get_mut()),
        };
        Ok(written.map_err(|_| Undecodable)?.take())
    }

    /// What is left once the last piece was pushed; an error when the coded data ended too early.
    pub(super) fn finish(self) -> Result<Bytes, Undecodable> {
        let rest = match self {
            Self::Identity => return Ok(Bytes::new()),
            Self::Gzip(decoder) => decoder.finish().map_err(|_| Undecodable),
            Self::Deflate(decoder) => decoder.finish().map_err(|_| Undecodable),
            Self::Brotli(mut decoder) => match decoder.close() {
                Ok(()) => decoder.into_inner().map_err(|_| Undecodable),
                Err(_) => Err(Undecodable),
            },
        };
        Ok(rest?.take())
    }
}

/// Keeps what a decoder gives out, and fails past the bound: a small input may stand for very much.
pub(super) struct Bounded {
    out: Vec<u8>,
    left: u64,
}

impl Bounded {
    fn take(&mut self) -> Bytes {
        Bytes::from(mem::take(&mut self.out))
    }
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.left = self
            .left
            .checked_sub(bytes.len() as u64)
            .ok_or_else(|| io::Error::other("the decoded contents are larger than allowed"))?;
        self.out.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use flate2::Compression;
    use flate2::write::{GzEncoder, ZlibEncoder};

    use super::*;

    fn decode(coding: &str, coded: &[u8], max: u64) -> Result<Vec<u8>, Undecodable> {
        let mut fields = HeaderMap::new();
        fields.insert(CONTENT_ENCODING, coding.parse().expect("a field value"));
        let mut decoder = Decoder::for_fields(&fields, max)?;
        let mut decoded = Vec::new();
        for piece in coded.chunks(3) {
            decoded.extend_from_slice(&decoder.push(Bytes::copy_from_slice(piece))?);
        }
        decoded.extend_from_slice(&decoder.finish()?);
        Ok(decoded)
    }

    fn gzip(contents: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(contents).expect("into memory");
        encoder.finish().expect("into memory")
    }

    #[test]
    fn known_codings_are_undone() {
        let contents = b"{\"a\":1}".repeat(100);
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::default());
        zlib.write_all(&contents).expect("into memory");
        assert_eq!(decode("gzip", &gzip(&contents), 1000).expect("gzip"), contents);
        assert_eq!(decode("X-GZip", &gzip(&contents), 1000).expect("its old name"), contents);
        assert_eq!(decode("deflate", &zlib.finish().expect("into memory"), 1000).expect("deflate"), contents);
        assert_eq!(decode("identity", &contents, 1).expect("not bounded here"), contents);
        // `{}` as zlib.brotliCompressSync of Node.js writes it.
        assert_eq!(decode("br", &[0x8b, 0x00, 0x80, 0x7b, 0x7d, 0x03], 10).expect("brotli"), b"{}");
    }

    #[test]
    fn what_is_malformed_or_too_large_is_refused() {
        let coded = gzip(&[0; 100_000]);
        assert!(decode("gzip", &coded, 99_999).is_err(), "over the bound");
        assert!(decode("gzip", &coded[..coded.len() - 4], 200_000).is_err(), "cut short");
        assert!(decode("gzip", b"not gzip at all", 1000).is_err(), "malformed");
        assert!(decode("br", &[0x0b, 0x00], 1000).is_err(), "cut short");
        assert!(decode("zstd", b"", 1000).is_err(), "unknown");
        assert!(decode("gzip, br", b"", 1000).is_err(), "twice coded");
    }
}
