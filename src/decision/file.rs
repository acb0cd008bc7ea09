//! A file of decisions that begins anew when it has grown large enough, and keeps a few of those before it.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use tracing_appender::non_blocking::{NonBlocking, NonBlockingBuilder, WorkerGuard};

/// Where decisions are written down, and how much of them is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The file that is written to. Those before it have `.1`, `.2` … behind its name, the youngest first.
    pub path: PathBuf,
    /// The largest that it becomes, in bytes.
    pub max: u64,
    /// How many of those before it are kept.
    pub kept: usize,
}

/// The file that is written to.
struct Rotating {
    settings: Settings,
    file: BufWriter<File>,
    length: u64,
    /// Whether writing has failed, and that was said.
    has_failed: bool,
}

/// Opens the file; a thread of its own writes to it, and to its end when the guard is dropped.
///
/// Lines that the disk does not take in time are dropped rather than kept without bound.
///
/// # Errors
/// When the file can be neither made nor opened.
pub fn open(settings: Settings) -> io::Result<(NonBlocking, WorkerGuard)> {
    let rotating = Rotating::open(settings)?;
    Ok(NonBlockingBuilder::default()
        .buffered_lines_limit(64 * 1024)
        .thread_name("decisions")
        .finish(rotating))
}

impl Rotating {
    fn open(settings: Settings) -> io::Result<Self> {
        let (file, length) = appended(&settings.path)?;
        Ok(Self { settings, file, length, has_failed: false })
    }

    /// Moves every file one place on; the last one goes.
    fn begin_anew(&mut self) -> io::Result<()> {
        self.file.flush()?;
        let Settings { path, kept, .. } = &self.settings;
        match kept {
            0 => fs::remove_file(path)?,
            _ => {
                for place in (1..*kept).rev() {
                    moved(&numbered(path, place), &numbered(path, place + 1))?;
                }
                moved(path, &numbered(path, 1))?;
            }
        }
        (self.file, self.length) = appended(path)?;
        Ok(())
    }

    fn take(&mut self, line: &[u8]) -> io::Result<()> {
        if self.length > 0 && self.length + line.len() as u64 > self.settings.max {
            self.begin_anew()?;
        }
        self.file.write_all(line)?;
        self.length += line.len() as u64;
        Ok(())
    }

    /// Nobody reads what goes wrong here but the operator, who is told once until it goes right again.
    fn say(&mut self, outcome: io::Result<()>) {
        if let Err(error) = &outcome
            && !self.has_failed
        {
            tracing::warn!(%error, "decisions cannot be written down");
        }
        self.has_failed = outcome.is_err();
    }
}

impl Write for Rotating {
    /// One line at a time, so that none is divided between two files.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let outcome = self.take(line);
        self.say(outcome);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let outcome = self.file.flush();
        self.say(outcome);
        Ok(())
    }
}

/// Opens a file to add to it, and says how long it is. Nobody else may read it: it shows who does what, if not who it is.
fn appended(path: &Path) -> io::Result<(BufWriter<File>, u64)> {
    let mut options = OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(path)?;
    let length = file.metadata()?.len();
    Ok((BufWriter::with_capacity(64 * 1024, file), length))
}

fn numbered(path: &Path, place: usize) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(format!(".{place}"));
    name.into()
}

fn moved(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        outcome => outcome,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contents(path: &Path) -> Option<String> {
        fs::read_to_string(path).ok()
    }

    #[test]
    fn a_file_that_is_full_makes_room_and_a_few_are_kept() {
        for kept in 0..3 {
            let folder = tempfile::tempdir().expect("a folder");
            let path = folder.path().join("d.jsonl");
            let mut file = Rotating::open(Settings { path: path.clone(), max: 8, kept }).expect("it opens");
            for line in ["one\n", "two\n", "three\n", "far too long for it\n", "4\n"] {
                file.write_all(line.as_bytes()).expect("it never fails");
            }
            file.flush().expect("it never fails");
            assert_eq!(contents(&path).as_deref(), Some("4\n"));
            let before = ["far too long for it\n", "three\n", "one\ntwo\n"];
            for (place, text) in before.into_iter().enumerate() {
                let expected = (place < kept).then_some(text);
                assert_eq!(contents(&numbered(&path, place + 1)).as_deref(), expected, "{kept} {place}");
            }
        }
    }

    #[test]
    fn what_is_there_is_added_to() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("d.jsonl");
        fs::write(&path, "old\n").expect("written");
        let mut file = Rotating::open(Settings { path: path.clone(), max: 8, kept: 1 }).expect("it opens");
        file.write_all(b"new\n").expect("it never fails");
        file.flush().expect("it never fails");
        assert_eq!(contents(&path).as_deref(), Some("old\nnew\n"));
        file.write_all(b"x\n").expect("it never fails");
        file.flush().expect("it never fails");
        assert_eq!(contents(&path).as_deref(), Some("x\n"));
    }

    #[test]
    fn a_folder_that_is_gone_stops_nobody() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("d.jsonl");
        let mut file = Rotating::open(Settings { path, max: 1, kept: 1 }).expect("it opens");
        file.write_all(b"one\n").expect("it never fails");
        drop(folder);
        file.write_all(b"two\n").expect("it never fails");
        assert!(file.has_failed);
    }
}
