//! Path patterns of rules: `{name}` stands for one segment, `**` for any number of them.

use std::fmt;

use smallvec::SmallVec;

/// A path pattern, as in `path = "/api/notes/{id}"`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    /// The segments in front of `**`, or all of them.
    front: Vec<Segment>,
    /// The segments behind `**`, where there is one.
    back: Option<Vec<Segment>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    /// Exactly this text.
    Literal(String),
    /// One segment that is not empty, written `{name}`.
    Open(String),
}

/// How much a pattern leaves open: of two patterns that fit a path, the smaller one stands for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Openness {
    literals: std::cmp::Reverse<usize>,
    any_number: bool,
    open: usize,
}

/// A path in its segments, so that all patterns share the work of parting it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Segments<'p>(SmallVec<[&'p [u8]; 16]>);

/// A path as the loosest server would part it: what stands at its very end does not count.
#[derive(Debug)]
pub(super) struct Loose<'p> {
    /// Without slashes and white space.
    ended: Segments<'p>,
    /// Without `+` either, which is a space to those who decode a path as if it were a form; where that is another.
    ended_in_form: Option<Segments<'p>>,
}

/// A text with `*` for any run of characters, as in `header = { X-Experience-API-Version = "1.0*" }`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glob(String);

const ANY_NUMBER: &str = "**";

impl<'p> Segments<'p> {
    /// Those of a path, which begins with `/`.
    pub(super) fn of(path: &'p [u8]) -> Option<Self> {
        path.strip_prefix(b"/").map(Self::parted)
    }

    fn parted(path: &'p [u8]) -> Self {
        Self(path.split(|byte| *byte == b'/').collect())
    }
}

impl<'p> Loose<'p> {
    /// A path, which begins with `/`.
    pub(super) fn of(path: &'p [u8]) -> Option<Self> {
        let path = path.strip_prefix(b"/")?;
        let without = |falls_away: fn(&u8) -> bool| {
            let end = path.iter().rposition(|byte| !falls_away(byte)).map_or(0, |last| last + 1);
            &path[..end]
        };
        let ended = without(|byte| *byte == b'/' || byte.is_ascii_whitespace());
        let in_form = without(|byte| matches!(byte, b'/' | b'+') || byte.is_ascii_whitespace());
        let ended_in_form = (in_form != ended).then(|| Segments::parted(in_form));
        Some(Self { ended: Segments::parted(ended), ended_in_form })
    }
}

impl Pattern {
    /// Reads a pattern, or says in a sentence what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let path = text.strip_prefix('/').ok_or("A path begins with `/`.")?;
        if path.is_empty() || path.ends_with('/') {
            return Err("A path ends with a segment, and not with `/`.".to_owned());
        }
        let mut pattern = Self { front: Vec::new(), back: None };
        for segment in path.split('/') {
            if segment != ANY_NUMBER {
                let segment = Segment::parse(segment)?;
                if pattern.segments().any(|earlier| segment.is_open() && *earlier == segment) {
                    return Err("Every `{name}` of a path has a name of its own.".to_owned());
                }
                pattern.back.as_mut().unwrap_or(&mut pattern.front).push(segment);
            } else if pattern.back.replace(Vec::new()).is_some() {
                return Err("`**` may stand only once in a path.".to_owned());
            }
        }
        Ok(pattern)
    }

    /// Whether a path fits exactly as it is written: then, how many segments the pattern leaves open in it.
    pub(super) fn fits(&self, path: &Segments<'_>) -> Option<usize> {
        self.walk(path, |segment, text, _| segment.fits(text))
    }

    /// Whether some server could take a path for one that fits: then, how many segments the pattern leaves open in it.
    ///
    /// White space and dots behind a segment, letter case, and a format such as `.json` behind the last one do not count.
    /// What else servers do to a path is for [`super::reading`].
    pub(super) fn fits_folded(&self, path: &Loose<'_>) -> Option<usize> {
        let walk = |segments: &Segments<'_>| self.walk(segments, Segment::fits_folded);
        walk(&path.ended).or_else(|| path.ended_in_form.as_ref().and_then(walk))
    }

    /// The segments that the pattern leaves open in a path that fits exactly, in their order.
    pub fn captured<'p>(&self, path: &'p str) -> Option<Vec<&'p str>> {
        let written = Segments::of(path.as_bytes())?;
        self.fits(&written)?;
        let (front, back) = (self.front.len(), self.back.as_ref().map_or(0, Vec::len));
        let closed_behind = written.0.len() - back;
        let is_open = |place: usize| match place {
            place if place < front => self.front[place].is_open(),
            place if place < closed_behind => true,
            place => self.back.as_ref().is_some_and(|back| back[place - closed_behind].is_open()),
        };
        let texts = path.strip_prefix('/')?.split('/').enumerate();
        Some(texts.filter(|(place, _)| is_open(*place)).map(|(_, text)| text).collect())
    }

    /// How much it leaves open.
    pub(super) fn openness(&self) -> Openness {
        let open = self.segments().filter(|segment| segment.is_open()).count();
        Openness {
            literals: std::cmp::Reverse(self.segments().count() - open),
            any_number: self.back.is_some(),
            open,
        }
    }

    /// Compares segment by segment; when all fit, gives how many of the path's are left open.
    fn walk(&self, path: &Segments<'_>, fits: impl Fn(&Segment, &[u8], bool) -> bool) -> Option<usize> {
        let Segments(texts) = path;
        let back = self.back.as_deref().unwrap_or_default();
        let fixed = self.front.len() + back.len();
        let number_fits = if self.back.is_some() { texts.len() >= fixed } else { texts.len() == fixed };
        if !number_fits {
            return None;
        }
        let is_last = |place: usize| place + 1 == texts.len();
        let mut at_front = self.front.iter().zip(texts).enumerate();
        let mut at_back = back.iter().rev().zip(texts.iter().rev()).enumerate();
        // The end first, since that is where paths differ whose base is left open.
        let all_fit = at_back.all(|(place, (segment, text))| fits(segment, text, place == 0))
            && at_front.all(|(place, (segment, text))| fits(segment, text, is_last(place)));
        all_fit.then(|| texts.len() - self.segments().filter(|segment| !segment.is_open()).count())
    }

    fn segments(&self) -> impl Iterator<Item = &Segment> {
        self.front.iter().chain(self.back.iter().flatten())
    }
}

/// As it is written.
impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = |segment: &Segment| match segment {
            Segment::Literal(text) => format!("/{text}"),
            Segment::Open(name) => format!("/{{{name}}}"),
        };
        self.front.iter().try_for_each(|segment| f.write_str(&of(segment)))?;
        let Some(back) = &self.back else { return Ok(()) };
        write!(f, "/{ANY_NUMBER}")?;
        back.iter().try_for_each(|segment| f.write_str(&of(segment)))
    }
}

impl Segment {
    fn parse(text: &str) -> Result<Self, String> {
        if let Some(name) = text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
            let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
            return match name {
                "" => Err("`{}` needs a name, as in `{id}`.".to_owned()),
                name if name.bytes().all(is_name) => Ok(Self::Open(name.to_owned())),
                _ => Err("A name in braces has only letters, digits, `_` and `-`.".to_owned()),
            };
        }
        match text {
            "" => Err("A path has no empty segment, as in `//`.".to_owned()),
            "." | ".." => Err("A path has no segments `.` and `..`: servers resolve them.".to_owned()),
            text if text.contains(['{', '}']) => {
                Err("`{name}` stands for a whole segment, and both of its braces are there.".to_owned())
            }
            text if text.contains('*') => {
                Err("`*` stands only as `**`, which is a whole segment; for one segment write `{name}`."
                    .to_owned())
            }
            text if text.contains(['?', '#']) => {
                Err("A path has no query and no fragment: query parameters go into `identity`.".to_owned())
            }
            text if text.contains(';') => {
                Err("A path has no `;`: some servers cut a segment there.".to_owned())
            }
            text if !text.bytes().all(is_pchar) => {
                Err("A path has only characters that need no percent-encoding.".to_owned())
            }
            text => Ok(Self::Literal(text.to_owned())),
        }
    }

    fn is_open(&self) -> bool {
        matches!(self, Self::Open(_))
    }

    fn fits(&self, text: &[u8]) -> bool {
        match self {
            Self::Literal(literal) => text == literal.as_bytes(),
            Self::Open(_) => !text.is_empty(),
        }
    }

    /// Whether some server could take a segment for this one; `last`: frameworks route `state.json` to `state`.
    fn fits_folded(&self, text: &[u8], last: bool) -> bool {
        let Self::Literal(literal) = self else { return !text.is_empty() };
        // `+` is a space to those who decode a path as if it were a form.
        let falls_away = |byte: &u8| byte.is_ascii_whitespace() || *byte == b'+';
        let fits = |text: &[u8]| {
            text.split_at_checked(literal.len()).is_some_and(|(begin, rest)| {
                begin.eq_ignore_ascii_case(literal.as_bytes())
                    && (rest.iter().all(|byte| falls_away(byte) || *byte == b'.')
                        || (last && rest.starts_with(b".")))
            })
        };
        let bare = text.iter().position(|byte| !falls_away(byte)).map_or(&text[..0], |first| &text[first..]);
        fits(text.trim_ascii_start()) || fits(bare)
    }
}

impl Glob {
    /// Any text is a glob.
    pub fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// Whether the whole of a text fits.
    ///
    /// Every piece between two stars is sought once and from left to right: that the first place is taken can only
    /// leave more room for what follows, so that nothing is ever tried twice.
    pub fn fits(&self, text: &str) -> bool {
        let Some((begin, rest)) = self.0.split_once('*') else { return self.0 == text };
        let (middle, end) = rest.rsplit_once('*').unwrap_or(("", rest));
        let Some(text) = text.strip_prefix(begin) else { return false };
        let Some(mut text) = text.strip_suffix(end) else { return false };
        for piece in middle.split('*') {
            let Some(place) = text.find(piece) else { return false };
            text = &text[place + piece.len()..];
        }
        true
    }
}

/// A character that may stand in a segment as it is (RFC 3986 §3.3), where it is not a letter of an encoding.
fn is_pchar(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@".contains(&byte)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn folded(pattern: &Pattern, path: &[u8]) -> Option<usize> {
        pattern.fits_folded(&Loose::of(path)?)
    }

    fn pattern(text: &str) -> Pattern {
        Pattern::parse(text).unwrap_or_else(|problem| panic!("{text}: {problem}"))
    }

    #[test]
    fn malformed_patterns_are_refused_with_a_reason() {
        for (text, reason) in [
            ("", "begins with"),
            ("notes", "begins with"),
            ("/", "ends with a segment"),
            ("/notes/", "ends with a segment"),
            ("/a//b", "no empty segment"),
            ("/notes/{}", "needs a name"),
            ("/notes/{id", "both of its braces"),
            ("/notes/id}", "both of its braces"),
            ("/notes/{id}.json", "whole segment"),
            ("/notes/{a b}", "only letters"),
            ("/{id}/{id}", "name of its own"),
            ("/**/a/**", "only once"),
            ("/a*", "whole segment"),
            ("/a/../b", "resolve them"),
            ("/a?b=c", "no query"),
            ("/a#b", "no query"),
            ("/a;b", "cut a segment"),
            ("/a b", "percent-encoding"),
            ("/a%20b", "percent-encoding"),
            ("/caf\u{e9}", "percent-encoding"),
            ("/a\\b", "percent-encoding"),
        ] {
            let problem = Pattern::parse(text).expect_err(text);
            assert!(problem.contains(reason), "{text}: {problem}");
        }
    }

    #[test]
    fn paths_that_fit_and_what_is_left_open() {
        for (text, path, captured) in [
            ("/notes", "/notes", Some(vec![])),
            ("/notes", "/notes/", None),
            ("/notes", "/Notes", None),
            ("/notes", "/notes/5", None),
            ("/notes", "notes", None),
            ("/notes/{id}", "/notes/5", Some(vec!["5"])),
            ("/notes/{id}", "/notes/", None),
            ("/notes/{id}", "/notes", None),
            ("/notes/{id}", "/notes/5/6", None),
            ("/{user}/notes/{id}", "/bob/notes/5", Some(vec!["bob", "5"])),
            ("/**/activities/state", "/activities/state", Some(vec![])),
            ("/**/activities/state", "/data/xAPI/activities/state", Some(vec!["data", "xAPI"])),
            ("/**/activities/state", "/activities/state/5", None),
            ("/**/activities/state", "/state", None),
            ("/**/activities/state", "/xactivities/state", None),
            ("/files/**", "/files", Some(vec![])),
            ("/files/**", "/files/a/b", Some(vec!["a", "b"])),
            ("/{user}/**/{id}", "/bob/5", Some(vec!["bob", "5"])),
            ("/{user}/**/{id}", "/bob", None),
            ("/{user}/**/{id}", "/bob/a/b/5", Some(vec!["bob", "a", "b", "5"])),
            ("/**", "/a", Some(vec!["a"])),
        ] {
            assert_eq!(pattern(text).captured(path), captured, "{text} {path}");
        }
    }

    #[test]
    fn folded_paths_that_fit() {
        for (path, open) in [
            ("/notes/5", Some(1)),
            ("/NOTES/5", Some(1)),
            ("/notes/5/", Some(1)),
            ("/notes/5//", Some(1)),
            ("/notes/5/ /", Some(1)),
            ("/notes/5/+", Some(1)),
            ("/notes/ ", None),
            ("/notes./5", Some(1)),
            ("/notes+ /5", Some(1)),
            ("/ notes/5", Some(1)),
            ("/+ notes/5", Some(1)),
            ("/notes/5.json", Some(1)),
            ("/notes.json/5", None),
            ("/notes/", None),
            ("/notes//5", None),
            ("/note/5", None),
            ("/", None),
            ("", None),
        ] {
            assert_eq!(folded(&pattern("/notes/{id}"), path.as_bytes()), open, "{path}");
        }
        let state = pattern("/**/activities/state");
        assert_eq!(folded(&state, b"/xapi/activities/state.json"), Some(1));
        assert_eq!(folded(&state, b"/xapi/activities.json/state"), None);
        assert_eq!(folded(&state, b"/xapi/activities/states"), None);
    }

    #[test]
    fn the_pattern_that_leaves_less_open_comes_first() {
        for (less, more) in [
            ("/notes/new", "/notes/{id}"),
            ("/notes/{id}", "/notes/**"),
            ("/notes/{id}", "/{kind}/{id}"),
            ("/**/activities/state", "/{a}/{b}/{c}"),
            ("/notes", "/**/notes"),
            ("/notes/{id}", "/notes/{id}/{part}"),
        ] {
            assert!(pattern(less).openness() < pattern(more).openness(), "{less} {more}");
        }
    }

    #[test]
    fn globs() {
        for (glob, text, fits) in [
            ("1.0.3", "1.0.3", true),
            ("1.0.3", "1.0.30", false),
            ("1.0*", "1.0", true),
            ("1.0*", "1.0.3", true),
            ("1.0*", "2.1.0", false),
            ("*", "", true),
            ("**", "anything", true),
            ("*.0", "2.0", true),
            ("a*a", "a", false),
            ("a*a", "aa", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "acb", false),
            ("*ab*ab*", "ab", false),
            ("*ab*ab*", "xabab", true),
            ("", "", true),
            ("", "a", false),
        ] {
            assert_eq!(Glob::new(glob).fits(text), fits, "{glob} {text}");
        }
    }

    #[test]
    fn a_hostile_glob_is_decided_at_once() {
        let glob = Glob::new(&"*a".repeat(1000));
        assert!(!glob.fits(&("a".repeat(100_000) + "b")));
    }

    /// Fits as the definition says it, by trying every place for every star.
    fn fits_by_trying(glob: &[char], text: &[char]) -> bool {
        match glob.split_first() {
            None => text.is_empty(),
            Some(('*', rest)) => (0..=text.len()).any(|skipped| fits_by_trying(rest, &text[skipped..])),
            Some((first, rest)) => {
                text.split_first().is_some_and(|(f, t)| f == first && fits_by_trying(rest, t))
            }
        }
    }

    proptest! {
        #[test]
        fn globs_fit_as_defined(glob in "[ab*]{0,7}", text in "[ab]{0,7}") {
            let (g, t): (Vec<char>, Vec<char>) = (glob.chars().collect(), text.chars().collect());
            prop_assert_eq!(Glob::new(&glob).fits(&text), fits_by_trying(&g, &t));
        }

        #[test]
        fn what_fits_exactly_also_fits_folded(path in "(/[a-z.+]{0,3}){1,5}") {
            for text in ["/a", "/{x}", "/**", "/**/a", "/a/**/{x}", "/**/{x}/{y}"] {
                let pattern = pattern(text);
                if pattern.fits(&Segments::of(path.as_bytes()).expect("a path")).is_some() && !path.ends_with('/') {
                    prop_assert!(folded(&pattern, path.as_bytes()).is_some(), "{} {}", text, path);
                }
            }
        }

        #[test]
        fn any_text_is_read_without_a_panic(text: String, path: String, bytes: Vec<u8>) {
            if let Ok(pattern) = Pattern::parse(&text) {
                pattern.captured(&path);
            }
            let pattern = pattern("/**/{x}/a");
            pattern.captured(&path);
            folded(&pattern, &bytes);
        }
    }
}
