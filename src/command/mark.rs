//! The mark of a running process: what it leaves behind when it does not end in good order.

use std::fs::{self, File};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The file in `guard.state-dir`.
const NAME: &str = "staleguard.running";

/// The mark that this process has set. Only a clean end takes it away.
#[derive(Debug)]
pub(super) struct Mark {
    path: PathBuf,
    own: String,
}

impl Mark {
    /// Sets the mark of this process, and says whether there was one: then the process before this one did not end in
    /// good order, or still runs, and a write of its may be under way.
    ///
    /// # Errors
    /// When the folder cannot be made or written.
    pub(super) fn set(folder: &Path) -> io::Result<(Self, bool)> {
        fs::create_dir_all(folder)?;
        let path = folder.join(NAME);
        let was_there = path.try_exists()?;
        // In a container every process has the same number, so that chance must tell them apart.
        let own = format!("{} {:016x}\n", std::process::id(), RandomState::new().build_hasher().finish());
        let mut file = File::create(&path)?;
        file.write_all(own.as_bytes())?;
        file.sync_all()?;
        File::open(folder)?.sync_all()?;
        Ok((Self { path, own }, was_there))
    }

    /// Takes the mark away, if it is still the one of this process: nothing that it sent can be applied any more.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub(super) fn clear(self) -> io::Result<()> {
        if fs::read_to_string(&self.path)? == self.own {
            fs::remove_file(&self.path)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_stays_until_it_is_cleared() {
        let folder = tempfile::tempdir().expect("a folder");
        let state = folder.path().join("made/anew");
        let (first, was_there) = Mark::set(&state).expect("a mark");
        assert!(!was_there);
        drop(first);
        let (second, was_there) = Mark::set(&state).expect("a mark");
        assert!(was_there, "the first did not end in good order");
        second.clear().expect("its own");
        assert!(!Mark::set(&state).expect("a mark").1);
    }

    #[test]
    fn the_mark_of_another_process_is_not_cleared() {
        let folder = tempfile::tempdir().expect("a folder");
        let (own, _) = Mark::set(folder.path()).expect("a mark");
        // The same number in another container, say.
        let (_another, _) = Mark::set(folder.path()).expect("a mark");
        own.clear().expect("nothing to do");
        assert!(Mark::set(folder.path()).expect("a mark").1);
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_an_error() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        assert!(Mark::set(&file.path().join("below")).is_err());
    }
}
