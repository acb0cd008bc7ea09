//! Path patterns of rules: `{name}` stands for one segment, `**` for any number of them.

/// A path pattern, as in `path = "/api/notes/{id}"`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {}

/// A text with `*` for any run of characters, as in `header = { X-Experience-API-Version = "1.0*" }`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glob(String);

impl Pattern {
    /// Reads a pattern, or says in a sentence what is wrong with it.
    pub fn parse(_text: &str) -> Result<Self, String> {
        Ok(Self {})
    }
}

impl Glob {
    /// Any text is a glob.
    pub fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// Whether the whole of a text fits.
    pub fn fits(&self, text: &str) -> bool {
        self.0 == text
    }
}
