//! Repairs: what it took for an entity-tag to name the current representation, beyond RFC 9110 §8.8.3.2.

use std::ops::BitOr;

/// One way in which a stated entity-tag departs from the one that RFC 9110 would have it be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repair {
    /// `x` for `"x"`.
    Unquoted,
    /// `""x""` for `"x"`.
    DoublyQuoted,
    /// Hexadecimal digits in upper case.
    UpperCase,
    /// `W/"x"` where the strong comparison is due (RFC 9110 §13.1.1): a hop has marked it so, since ours are strong.
    Weak,
    /// `"x-gzip"` and the like: a hop that compressed the document has named its coding.
    CodingSuffix,
    /// `"*"` for `*`, from clients that quote whatever they are given.
    QuotedStar,
    /// The upstream's own tag for ours: its client had read the document past this proxy, or before it came.
    UpstreamTag,
    /// The SHA-1 of what was last sent, for the tag of what the upstream made of it.
    Alias,
}

impl Repair {
    /// All kinds, in the order in which they are told.
    pub const ALL: [Self; 8] = [
        Self::Unquoted,
        Self::DoublyQuoted,
        Self::UpperCase,
        Self::Weak,
        Self::CodingSuffix,
        Self::QuotedStar,
        Self::UpstreamTag,
        Self::Alias,
    ];

    /// The kind in a word, for logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unquoted => "unquoted",
            Self::DoublyQuoted => "doubly-quoted",
            Self::UpperCase => "upper-case",
            Self::Weak => "weak",
            Self::CodingSuffix => "coding-suffix",
            Self::QuotedStar => "quoted-star",
            Self::UpstreamTag => "upstream-tag",
            Self::Alias => "alias",
        }
    }

    fn bit(self) -> u16 {
        1 << self as u16
    }
}

/// A set of repairs: several may have been needed for one tag, or for the tags of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Repairs(u16);

impl Repairs {
    /// Nothing had to be repaired.
    pub const NONE: Self = Self(0);

    /// True when nothing had to be repaired.
    pub fn is_empty(self) -> bool {
        self == Self::NONE
    }

    /// The kinds in this set, in the order of [`Repair::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Repair> {
        Repair::ALL.into_iter().filter(move |repair| self.0 & repair.bit() != 0)
    }

    /// The same set, with this kind in it if it was needed.
    pub fn with(self, repair: Repair, needed: bool) -> Self {
        Self(if needed { self.0 | repair.bit() } else { self.0 })
    }
}

impl BitOr for Repairs {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_tells_the_kinds_that_were_put_into_it() {
        for repair in Repair::ALL {
            let one = Repairs::NONE.with(repair, true);
            assert_eq!(one.iter().collect::<Vec<_>>(), [repair]);
            assert_eq!(one.with(repair, false), one);
        }
        let all = Repair::ALL.into_iter().fold(Repairs::NONE, |set, repair| set.with(repair, true));
        assert_eq!(all.iter().collect::<Vec<_>>(), Repair::ALL);
        assert!(Repairs::NONE.is_empty() && !all.is_empty());
    }
}
