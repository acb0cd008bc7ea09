//! What is wrong with a configuration: every problem at once, each with its place and a remedy.
//!
//! A problem is a value. Where it stands in a file it is shown with the line and a caret under the place;
//! what a flag or a variable said is answered with a plain sentence.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use super::shape::Shape;
use super::source::{Origin, Source};

/// One thing that is wrong, said in a sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What is wrong.
    pub message: String,
    /// Where it was said; nothing when it is about what nobody said.
    pub place: Option<Place>,
    /// What to do about it.
    pub remedy: Option<String>,
    /// What would have been right.
    pub(super) expects: Option<Box<Shape>>,
}

/// Where a setting was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In a file.
    File {
        /// Which one.
        source: Arc<Source>,
        /// From which byte to which.
        span: Range<usize>,
    },
    /// In the environment, by a variable.
    Variable(Arc<Source>),
    /// On the command line, by a flag, as in `--upstream`.
    Flag(&'static str),
}

/// Whether problems are shown in colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Colours {
    /// Plain text, for files and pipes.
    #[default]
    Off,
    /// ANSI sequences, for terminals.
    On,
}

/// Every problem that was found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Problems(pub Vec<Problem>);

impl Problem {
    pub(super) fn new(message: impl Into<String>, place: Option<&Place>) -> Self {
        Self { message: message.into(), place: place.cloned(), remedy: None, expects: None }
    }

    pub(super) fn expects(mut self, shape: Shape) -> Self {
        self.expects = Some(Box::new(shape));
        self
    }

    pub(super) fn help(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// The problem as it is shown, with a line break at its end.
    fn render(&self, colours: Colours) -> String {
        let renderer = match colours {
            Colours::Off => Renderer::plain(),
            Colours::On => Renderer::styled(),
        };
        let remedy = self.remedy.as_deref();
        match &self.place {
            None => sentences(&renderer, &self.message, remedy),
            Some(Place::Flag(flag)) => sentences(&renderer, &format!("{flag}: {}", self.message), remedy),
            Some(Place::Variable(source)) => {
                sentences(&renderer, &format!("{}: {}", source.name, self.message), remedy)
            }
            Some(Place::File { source, span }) => {
                let annotation = AnnotationKind::Primary.span(source.shown(span));
                let snippet = Snippet::source(source.text.as_str()).path(source.name.as_str());
                let group = Level::ERROR.primary_title(self.message.as_str());
                let group = group.element(snippet.annotation(annotation));
                let group = group.elements(remedy.map(|remedy| Level::HELP.message(remedy)));
                renderer.render(&[group]) + "\n"
            }
        }
    }

    /// Flags first, then variables, then in the order of the file.
    fn order(&self) -> (u8, usize) {
        match &self.place {
            None => (0, 0),
            Some(Place::Flag(_)) => (1, 0),
            Some(Place::Variable(_)) => (2, 0),
            Some(Place::File { span, .. }) => (3, span.start),
        }
    }
}

impl Place {
    /// The place in a word, for those who look for a rule: a file's name and its line, or a preset's.
    pub(super) fn label(&self) -> String {
        match self {
            Self::Flag(flag) => (*flag).to_owned(),
            Self::Variable(source) => source.name.clone(),
            Self::File { source, .. } if source.origin == Origin::Embedded => {
                let name = source.name.trim_end_matches(".toml");
                name.strip_prefix("presets/")
                    .map_or_else(|| name.to_owned(), |preset| format!("preset {preset}"))
            }
            Self::File { source, span } => {
                let before = source.text.as_bytes().get(..span.start).unwrap_or_default();
                let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
                let name = source.name.rsplit('/').next().unwrap_or_default();
                format!("{name}:{line}")
            }
        }
    }

    /// True when nobody but this program's author can do something about it.
    pub(super) fn is_embedded(&self) -> bool {
        match self {
            Self::File { source, .. } => source.origin == Origin::Embedded,
            Self::Variable(_) | Self::Flag(_) => false,
        }
    }

    /// The text that it is a place in.
    pub(super) fn source(&self) -> Option<&Arc<Source>> {
        match self {
            Self::File { source, .. } | Self::Variable(source) => Some(source),
            Self::Flag(_) => None,
        }
    }

    /// The last of some places that the reader of a problem can do something about.
    pub(super) fn blamed<'a>(places: impl IntoIterator<Item = &'a Self>) -> Option<&'a Self> {
        places.into_iter().filter(|place| !place.is_embedded()).last()
    }
}

impl Problems {
    /// True when nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them as they are shown, with an empty line between two.
    pub fn render(&self, colours: Colours) -> String {
        self.0.iter().map(|problem| problem.render(colours)).collect::<Vec<_>>().join("\n")
    }

    pub(super) fn push(&mut self, problem: Problem) {
        self.0.push(problem);
    }

    /// Takes what was read, or notes what is wrong with it.
    pub(super) fn note<T>(&mut self, read: Result<T, Self>) -> Option<T> {
        match read {
            Ok(value) => Some(value),
            Err(problems) => {
                self.0.extend(problems.0);
                None
            }
        }
    }

    pub(super) fn sort(&mut self) {
        self.0.sort_by_key(Problem::order);
    }
}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Self(vec![problem])
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(Colours::Off))
    }
}

impl std::error::Error for Problems {}

/// A problem that no line can be shown for.
fn sentences(renderer: &Renderer, message: &str, remedy: Option<&str>) -> String {
    let message = Level::ERROR.primary_title(message);
    let remedy = remedy.map(|remedy| Level::HELP.primary_title(remedy));
    let titles = [message].into_iter().chain(remedy);
    titles.map(|title| renderer.render(&[Group::with_title(title)]) + "\n").collect()
}

/// A text of the user's as it is quoted in a sentence: short, and without anything that moves a cursor.
pub(super) fn quoted(text: &str) -> String {
    const LONGEST: usize = 60;
    let mut shown: String = text.chars().take(LONGEST).flat_map(char::escape_debug).collect();
    if text.chars().nth(LONGEST).is_some() {
        shown.push('…');
    }
    format!("`{shown}`")
}

/// The known word that an unknown one was probably meant to be.
pub(super) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // A word this long is no slip of the finger, and comparing takes as long as both lengths multiplied.
    const LONGEST: usize = 64;
    if word.len() > LONGEST {
        return None;
    }
    let slips = (word.chars().count() / 3).max(1);
    let word = word.to_lowercase();
    let distance = |known: &str| strsim::damerau_levenshtein(&word, &known.to_lowercase());
    let ranked = known.into_iter().map(|known| (distance(known), known));
    ranked
        .filter(|(distance, _)| *distance <= slips)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}

/// A remedy for an unknown word: the one that was probably meant, and all there are.
pub(super) fn known_words(word: &str, what: &str, known: &[&str]) -> String {
    let all = known.iter().map(|known| format!("`{known}`")).collect::<Vec<_>>().join(", ");
    match nearest(word, known.iter().copied()) {
        Some(meant) => format!("did you mean `{meant}`? {what}: {all}"),
        None => format!("{what}: {all}"),
    }
}
