//! A whole body at hand, in the pieces in which it came.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};

use super::budget::{Budget, Share};

/// Pieces below this many bytes are joined.
const SMALL: usize = 8 * 1024;

/// A whole body. The pieces are kept as they came, so that large bodies are not copied; a clone shares them.
#[derive(Clone, Default)]
pub struct Contents {
    pieces: VecDeque<Bytes>,
    length: u64,
    /// On the heap, because hardly any body has some.
    trailers: Option<Box<HeaderMap>>,
    /// What it takes of a budget, if it is charged to one.
    share: Option<Arc<Share>>,
}

impl Contents {
    /// No bytes yet; those to come are charged to a budget.
    pub fn charged_to(budget: &Arc<Budget>) -> Self {
        Self { share: Some(Share::of(budget)), ..Self::default() }
    }

    /// Adds a piece at the end if the budget allows it, and gives it back otherwise.
    pub(super) fn try_push(&mut self, piece: Bytes) -> Result<(), Bytes> {
        if self.share.as_ref().is_none_or(|share| share.grow(piece.len() as u64)) {
            self.push(piece);
            Ok(())
        } else {
            Err(piece)
        }
    }

    /// The same contents, charged in the place of those that they were made of.
    pub fn in_place_of(mut self, others: &Self) -> Self {
        self.share = others.share.clone();
        if let Some(share) = &self.share {
            share.raise_to(self.length);
        }
        self
    }

    /// Adds a piece at the end.
    ///
    /// Small pieces are joined: each costs more than its bytes and keeps the buffer alive in which it was received, so
    /// that a document in chunks of one byte would take up many times what its bound allows.
    pub fn push(&mut self, piece: Bytes) {
        self.length += piece.len() as u64;
        match self.pieces.pop_back() {
            Some(last) if last.len() < SMALL && piece.len() < SMALL => {
                let mut joined = last.try_into_mut().unwrap_or_else(|shared| {
                    let mut copy = BytesMut::with_capacity(2 * SMALL);
                    copy.extend_from_slice(&shared);
                    copy
                });
                joined.extend_from_slice(&piece);
                self.pieces.push_back(joined.freeze());
            }
            last => self.pieces.extend(last.into_iter().chain((!piece.is_empty()).then_some(piece))),
        }
    }

    /// Sets the trailer fields that follow the body (RFC 9110 §6.5).
    pub fn set_trailers(&mut self, trailers: HeaderMap) {
        self.trailers = Some(Box::new(trailers));
    }

    /// Its length in bytes, trailers not counted.
    pub fn len(&self) -> u64 {
        self.length
    }

    /// True when there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Whether trailer fields follow.
    pub fn has_trailers(&self) -> bool {
        self.trailers.is_some()
    }

    /// The trailer fields that follow, if any do.
    pub fn trailers(&self) -> Option<&HeaderMap> {
        self.trailers.as_deref()
    }

    /// The pieces in their order.
    pub fn pieces(&self) -> impl Iterator<Item = &Bytes> {
        self.pieces.iter()
    }

    /// All bytes in one; copies only when they are in several pieces.
    pub fn to_bytes(&self) -> Bytes {
        match self.pieces.len() {
            0 => Bytes::new(),
            1 => self.pieces[0].clone(),
            _ => {
                let mut whole = BytesMut::with_capacity(usize::try_from(self.length).unwrap_or(0));
                self.pieces.iter().for_each(|piece| whole.extend_from_slice(piece));
                whole.freeze()
            }
        }
    }

    /// All bytes in a room of their own, charged to nobody. A piece keeps the whole buffer alive in which it was received;
    /// what is to be kept for long must not.
    pub fn apart(&self) -> Bytes {
        let mut copy = BytesMut::with_capacity(usize::try_from(self.length).unwrap_or(0));
        self.pieces.iter().for_each(|piece| copy.extend_from_slice(piece));
        copy.freeze()
    }

    /// Takes the first piece off the front.
    pub(super) fn pop(&mut self) -> Option<Bytes> {
        let piece = self.pieces.pop_front()?;
        self.length -= piece.len() as u64;
        Some(piece)
    }
}

/// Documents do not reach the logs.
impl fmt::Debug for Contents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Contents({} bytes)", self.length)
    }
}

impl From<Bytes> for Contents {
    fn from(bytes: Bytes) -> Self {
        let mut contents = Self::default();
        contents.push(bytes);
        contents
    }
}

impl From<String> for Contents {
    fn from(text: String) -> Self {
        Bytes::from(text).into()
    }
}

impl Body for Contents {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let frame = match self.pop() {
            Some(piece) => Some(Frame::data(piece)),
            None => self.trailers.take().map(|trailers| Frame::trailers(*trailers)),
        };
        Poll::Ready(frame.map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_empty() && self.trailers.is_none()
    }

    /// Trailers can only follow chunks, and a length that is known exactly would take their place.
    fn size_hint(&self) -> SizeHint {
        let mut hint = SizeHint::with_exact(self.length);
        if self.has_trailers() {
            hint = SizeHint::new();
            hint.set_lower(self.length);
        }
        hint
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_small_pieces_are_kept_as_a_few() {
        let wire = Bytes::from(vec![b'x'; 200_000]);
        let mut contents = Contents::default();
        for at in 0..wire.len() {
            contents.push(wire.slice(at..=at));
        }
        assert_eq!(contents.to_bytes(), wire);
        assert!(contents.pieces().count() < 50, "{} pieces", contents.pieces().count());
    }

    #[test]
    fn documents_do_not_reach_the_logs() {
        let contents = Contents::from("learner".to_owned());
        assert_eq!(format!("{contents:?}"), "Contents(7 bytes)");
    }
}
