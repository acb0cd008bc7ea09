//! `staleguard demo`: a lost update, and the same story with Staleguard in front.

use std::io::Write;

/// Plays the story.
pub(super) fn demo(_once: bool, _out: &mut dyn Write, _err: &mut dyn Write) -> u8 {
    super::FAILED
}
