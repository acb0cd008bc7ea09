//! `staleguard check`: can a configuration be used?

use std::io::Write;
use std::path::Path;

/// Checks a file.
pub(super) fn check(_path: &Path, _out: &mut dyn Write, _err: &mut dyn Write) -> u8 {
    super::BAD_CONFIGURATION
}
