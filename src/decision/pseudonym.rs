//! Pseudonyms: keyed digests that stand for learners, documents and credentials.

use std::fmt;
use std::hash::{BuildHasher, Hash, RandomState};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// What stands for somebody or something in records: the same for the same, as long as the process lives.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pseudonym(u64);

/// Gives pseudonyms, under a key that is drawn at random and never shown, so that nobody can find out by guessing.
#[derive(Debug)]
pub struct Pseudonyms(RandomState);

/// Twelve hexadecimal digits are told apart at a glance, and 48 bits keep all that the records name apart.
const MASK: u64 = (1 << 48) - 1;

impl Pseudonyms {
    /// Under a key of its own.
    pub fn new() -> Self {
        Self(RandomState::new())
    }

    /// The pseudonym of something. `kind` keeps apart what is alike and something else.
    pub fn of(&self, kind: &str, what: &impl Hash) -> Pseudonym {
        Pseudonym(self.0.hash_one((kind, what)) & MASK)
    }
}

impl Pseudonym {
    /// Reads one as it is written: twelve hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        let has_digits = text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        u64::from_str_radix(text, 16).ok().filter(|_| has_digits).map(Self)
    }
}

impl From<Pseudonym> for u64 {
    fn from(pseudonym: Pseudonym) -> Self {
        pseudonym.0
    }
}

impl Default for Pseudonyms {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for Pseudonym {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:012x}", self.0)
    }
}

impl fmt::Debug for Pseudonym {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Pseudonym {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Pseudonym {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| de::Error::custom("twelve hexadecimal digits are due"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_is_called_the_same_and_only_under_one_key() {
        let pseudonyms = Pseudonyms::new();
        assert_eq!(pseudonyms.of("a", &"x"), pseudonyms.of("a", &"x"));
        assert_ne!(pseudonyms.of("a", &"x"), pseudonyms.of("a", &"y"));
        assert_ne!(pseudonyms.of("a", &"x"), pseudonyms.of("b", &"x"));
        assert_ne!(pseudonyms.of("a", &"x"), Pseudonyms::new().of("a", &"x"));
    }

    #[test]
    fn it_is_read_as_it_is_written() {
        let pseudonym = Pseudonym(0xab);
        let text = serde_json::to_string(&pseudonym).expect("a string takes it");
        assert_eq!(text, "\"0000000000ab\"");
        assert_eq!(serde_json::from_str::<Pseudonym>(&text).ok(), Some(pseudonym));
        for text in ["\"ab\"", "\"0000000000ag\"", "1", "\"\u{e9}00000000000\""] {
            assert!(serde_json::from_str::<Pseudonym>(text).is_err(), "{text}");
        }
    }
}
