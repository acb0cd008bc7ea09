//! Which configuration is in use, for whoever asks.

use std::path::PathBuf;
use std::time::Instant;

use crate::admin::page;
use crate::server::metrics::REVISION;
use serde_json::{Value, json};
use xxhash_rust::xxh3::xxh3_128;

/// Where a configuration was read, and a digest of what stood there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Origin {
    file: Option<PathBuf>,
    hash: Option<u128>,
}

/// The configuration that is in use, and what is wrong with one that was to take its place.
#[derive(Debug, Clone)]
pub(super) struct InUse {
    origin: Origin,
    /// The time of day, as in RFC 3339.
    loaded: String,
    last_error: Option<String>,
    began: Instant,
}

impl Origin {
    /// A file with this text, or no file.
    pub(super) fn of(file: Option<(PathBuf, &str)>) -> Self {
        let hash = file.as_ref().map(|(_, text)| xxh3_128(text.as_bytes()));
        Self { file: file.map(|(path, _)| path), hash }
    }
}

impl InUse {
    /// What the process began with.
    pub(super) fn new(origin: Origin) -> Self {
        Self { origin, loaded: now(), last_error: None, began: Instant::now() }
    }

    /// Another one is in use.
    pub(super) fn replace(&mut self, origin: Origin) {
        (self.origin, self.loaded, self.last_error) = (origin, now(), None);
    }

    /// What was read means the same as what is in use.
    pub(super) fn confirm(&mut self, origin: Origin) {
        (self.origin, self.last_error) = (origin, None);
    }

    /// What was read cannot be used.
    pub(super) fn complain(&mut self, problem: &str) {
        self.last_error = problem.lines().next().map(without_colours);
    }

    /// What the page tells of it.
    pub(super) fn told(&self) -> page::InUse {
        page::InUse {
            file: self.origin.file.as_ref().map(|file| file.display().to_string()),
            hash: self.origin.hash.map(|hash| format!("{hash:032x}")),
            loaded: self.loaded.clone(),
            last_error: self.last_error.clone(),
        }
    }

    /// `{"config": {"file", "hash", "loaded", "last_error"}, "version", "revision", "uptime"}`, the last in seconds.
    pub(super) fn status(&self) -> Value {
        let page::InUse { file, hash, loaded, last_error } = self.told();
        json!({
            "config": { "file": file, "hash": hash, "loaded": loaded, "last_error": last_error },
            "version": env!("CARGO_PKG_VERSION"),
            "revision": REVISION,
            "uptime": self.began.elapsed().as_secs(),
        })
    }
}

/// A line as it was before it was made up for a terminal.
fn without_colours(line: &str) -> String {
    let mut parts = line.split('\u{1b}');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |plain, part| plain + part.split_once('m').map_or(part, |(_, rest)| rest))
}

#[expect(clippy::disallowed_types, reason = "a time of day is told")]
fn now() -> String {
    humantime::format_rfc3339_seconds(std::time::SystemTime::now()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_told_in_a_line_until_it_is_mended() {
        let mut in_use = InUse::new(Origin::of(Some(("a.toml".into(), "x = 1"))));
        let before = in_use.status();
        assert_eq!(
            (&before["config"]["file"], &before["config"]["last_error"]),
            (&json!("a.toml"), &Value::Null)
        );
        in_use.complain("\u{1b}[1m\u{1b}[91merror\u{1b}[0m: no such key\n  --> a.toml");
        assert_eq!(in_use.status()["config"]["last_error"], "error: no such key");
        assert_eq!(in_use.status()["config"]["hash"], before["config"]["hash"], "the old one is in use");
        in_use.confirm(Origin::of(Some(("a.toml".into(), "x = 2"))));
        let after = in_use.status();
        assert_eq!(after["config"]["last_error"], Value::Null);
        assert_ne!(after["config"]["hash"], before["config"]["hash"]);
        assert_eq!(InUse::new(Origin::of(None)).status()["config"]["hash"], Value::Null);
    }
}
