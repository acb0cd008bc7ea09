//! The mark of a running process: what it leaves behind when it does not end in good order.

use std::fs::{self, File, TryLockError};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The file in `guard.state-dir` that is there while a process runs, and when one did not end in good order.
const NAME: &str = "staleguard.running";
/// The file there that a process keeps locked for as long as it lives. The kernel gives the lock back however it ends.
const LOCK: &str = "staleguard.lock";

/// The mark that this process sets. Only a clean end takes it away.
#[derive(Debug)]
pub(super) struct Mark {
    folder: PathBuf,
    own: String,
    was_there: bool,
    _lock: Option<File>,
}

impl Mark {
    /// Takes a folder for this process alone, and looks whether there is a mark in it.
    ///
    /// # Errors
    /// A sentence: when another process has the folder, or when it cannot be made or written.
    pub(super) fn claim(folder: &Path) -> Result<Self, String> {
        let told = |error: io::Error| format!("cannot write into the folder of guard.state-dir: {error}");
        fs::create_dir_all(folder).map_err(told)?;
        let lock = lock(folder).map_err(told)?.map_err(|InUse| {
            format!(
                "another staleguard runs with {}, of guard.state-dir, and two in front of one LRS lose updates: end \
                 that one first, or, if it is in front of another LRS, give each a folder of its own",
                folder.display()
            )
        })?;
        let was_there = folder.join(NAME).try_exists().map_err(told)?;
        // In a container every process has the same number, so that chance must tell them apart.
        let own = format!("{} {:016x}\n", std::process::id(), RandomState::new().build_hasher().finish());
        Ok(Self { folder: folder.to_owned(), own, was_there, _lock: lock })
    }

    /// Whether there was one: then the process before this one did not end in good order, or still runs where files
    /// cannot be locked, and a write of its may be under way.
    pub(super) fn was_there(&self) -> bool {
        self.was_there
    }

    /// Sets the mark of this process.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub(super) fn set(&self) -> io::Result<()> {
        let mut file = File::create(self.folder.join(NAME))?;
        file.write_all(self.own.as_bytes())?;
        file.sync_all()?;
        File::open(&self.folder)?.sync_all()
    }

    /// Takes the mark away, if it is still the one of this process: nothing that it sent can be applied any more.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub(super) fn clear(self) -> io::Result<()> {
        let path = self.folder.join(NAME);
        if fs::read_to_string(&path)? == self.own {
            fs::remove_file(&path)?;
        }
        Ok(())
    }
}

/// Somebody else has the lock.
struct InUse;

/// Locks the folder, as far as its file system can.
fn lock(folder: &Path) -> io::Result<Result<Option<File>, InUse>> {
    // It is never removed: whoever waits for a file that is gone would hold a lock that says nothing.
    let file = File::options().create(true).truncate(false).write(true).open(folder.join(LOCK))?;
    Ok(match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Err(InUse),
        Err(TryLockError::Error(error)) => {
            tracing::warn!(
                %error,
                "files in guard.state-dir cannot be locked: see to it that no other staleguard runs with this folder"
            );
            Ok(None)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begun(folder: &Path) -> Mark {
        let mark = Mark::claim(folder).expect("nobody else has it");
        mark.set().expect("a mark");
        mark
    }

    #[test]
    fn a_mark_stays_until_it_is_cleared() {
        let folder = tempfile::tempdir().expect("a folder");
        let state = folder.path().join("made/anew");
        let first = begun(&state);
        assert!(!first.was_there());
        drop(first);
        let second = begun(&state);
        assert!(second.was_there(), "the first did not end in good order");
        second.clear().expect("its own");
        assert!(!begun(&state).was_there());
    }

    #[test]
    fn a_folder_is_for_one_process_as_long_as_that_lives() {
        let folder = tempfile::tempdir().expect("a folder");
        let own = begun(folder.path());
        let refused = Mark::claim(folder.path()).expect_err("it is in use");
        assert!(refused.contains("another staleguard runs with"), "{refused}");
        own.clear().expect("its own: the other has not touched it");
        assert!(!Mark::claim(folder.path()).expect("the lock is free again").was_there());
    }

    #[test]
    fn whoever_never_served_leaves_no_mark() {
        let folder = tempfile::tempdir().expect("a folder");
        drop(Mark::claim(folder.path()).expect("nobody else has it"));
        assert!(!Mark::claim(folder.path()).expect("nobody else has it").was_there());
    }

    #[test]
    fn the_mark_of_another_process_is_not_cleared() {
        let folder = tempfile::tempdir().expect("a folder");
        let own = begun(folder.path());
        // Of one that runs where files cannot be locked.
        fs::write(folder.path().join(NAME), "1 another\n").expect("written");
        own.clear().expect("nothing to do");
        assert!(Mark::claim(folder.path()).expect("nobody else has it").was_there());
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_an_error() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        assert!(Mark::claim(&file.path().join("below")).is_err());
    }
}
