//! What is shown: plain text of up to 80 columns, with colours where a terminal shows them.

use std::borrow::Cow;
use std::fmt::Display;
use std::io::Write;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, ETAG, HeaderName, HeaderValue, IF_MATCH};
use http::{HeaderMap, Request, Response, StatusCode, Uri};

use super::Trouble;

/// How wide running text becomes.
const WIDTH: usize = 80;
/// How far text is indented.
const INDENT: usize = 2;
/// How far what was sent and answered is indented: behind the sender's name.
const MARGIN: usize = 12;
/// How much of a body is shown, in characters.
const BODY_MAX: usize = 400;

/// A way to set a word apart. Everything that it says, the word says too.
#[derive(Debug, Clone, Copy)]
pub(super) enum Style {
    /// A heading, a name.
    Strong,
    /// Something went well.
    Good,
    /// Something went wrong.
    Bad,
}

/// Where the story is shown.
pub(super) struct Screen<'a> {
    out: &'a mut dyn Write,
    colour: bool,
}

impl<'a> Screen<'a> {
    /// A screen; colours are for terminals only.
    pub(super) fn new(out: &'a mut dyn Write, colour: bool) -> Self {
        Self { out, colour }
    }

    /// A heading, set apart.
    pub(super) fn heading(&mut self, text: &str) -> Result<(), Trouble> {
        let text = self.styled(Style::Strong, text);
        self.line("")?;
        self.line(text)?;
        self.line("")
    }

    /// An empty line.
    pub(super) fn gap(&mut self) -> Result<(), Trouble> {
        self.line("")
    }

    /// A paragraph.
    pub(super) fn text(&mut self, text: &str) -> Result<(), Trouble> {
        self.paragraph(INDENT, text)
    }

    /// A line as it is, for whoever wants to copy it.
    pub(super) fn verbatim(&mut self, text: &str) -> Result<(), Trouble> {
        self.line(format_args!("{:INDENT$}{text}", ""))
    }

    /// How it ended, in a word and a short sentence.
    pub(super) fn verdict(&mut self, style: Style, word: &str, sentence: &str) -> Result<(), Trouble> {
        let word = self.styled(style, word);
        self.verbatim(&format!("{word}: {sentence}"))
    }

    /// A request as it is about to be sent.
    pub(super) fn request(&mut self, who: &str, request: &Request<Bytes>) -> Result<(), Trouble> {
        let name = self.styled(Style::Strong, &format!("{who:<8}"));
        let condition = shown(request.headers(), "If-Match", &IF_MATCH);
        let (method, target) = (request.method(), short_target(request.uri()));
        self.verbatim(&format!("{name}> {method} {target}{condition}"))?;
        self.body(request.headers(), request.body())
    }

    /// An answer as it came.
    pub(super) fn answer(&mut self, response: &Response<Bytes>) -> Result<(), Trouble> {
        let style = if response.status().is_success() { Style::Good } else { Style::Bad };
        let status = self.styled(style, &named(response.status()));
        let tag = shown(response.headers(), "ETag", &ETAG);
        self.line(format_args!("{:>width$}{status}{tag}", "< ", width = MARGIN))?;
        self.body(response.headers(), response.body())
    }

    /// Text is wrapped; anything else is one line.
    fn body(&mut self, fields: &HeaderMap, body: &[u8]) -> Result<(), Trouble> {
        let text: String = String::from_utf8_lossy(body).trim_end().chars().take(BODY_MAX).collect();
        let is_text = |value: &HeaderValue| value.as_bytes().starts_with(b"text/");
        match fields.get(CONTENT_TYPE) {
            _ if text.is_empty() => Ok(()),
            Some(value) if is_text(value) => self.paragraph(MARGIN, &text),
            _ => self.line(format_args!("{:MARGIN$}{text}", "")),
        }
    }

    fn paragraph(&mut self, indent: usize, text: &str) -> Result<(), Trouble> {
        for line in wrapped(text, WIDTH - indent) {
            self.line(format_args!("{:indent$}{line}", ""))?;
        }
        Ok(())
    }

    fn line(&mut self, line: impl Display) -> Result<(), Trouble> {
        let written = writeln!(self.out, "{line}").and_then(|()| self.out.flush());
        written.map_err(Trouble::Unwritable)
    }

    fn styled(&self, style: Style, text: &str) -> String {
        let code = match style {
            Style::Strong => 1,
            Style::Good => 32,
            Style::Bad => 31,
        };
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// A field, if it is there, with its entity-tag shortened.
fn shown(fields: &HeaderMap, label: &str, name: &HeaderName) -> String {
    fields.get_all(name).iter().map(|value| format!("   {label}: {}", short_tag(value))).collect()
}

fn named(status: StatusCode) -> String {
    format!("{} {}", status.as_u16(), status.canonical_reason().unwrap_or_default())
}

/// The last two segments of the path, and the last parameter.
fn short_target(uri: &Uri) -> String {
    let path = uri.path();
    let short = match path.rmatch_indices('/').nth(1) {
        Some((at, _)) if at > 0 => format!("…{}", &path[at..]),
        _ => path.to_owned(),
    };
    let Some(query) = uri.query() else { return short };
    match query.rsplit_once('&') {
        Some((_, last)) => format!("{short}?…&{last}"),
        None => format!("{short}?{query}"),
    }
}

/// The beginning of an entity-tag: enough to tell them apart by eye.
fn short_tag(tag: &HeaderValue) -> Cow<'_, str> {
    match tag.to_str() {
        Ok(tag) if tag.len() <= 12 => Cow::from(tag),
        Ok(tag) => Cow::from(format!("{}…\"", &tag[..8])),
        Err(_) => Cow::from("(not text)"),
    }
}

/// Lines of up to so many characters, broken between words.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}
