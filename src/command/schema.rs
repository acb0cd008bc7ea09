//! `staleguard schema`: the JSON Schema of the configuration, for editors.

use std::io::Write;

use super::FAILED;
use crate::config::schema;

/// Prints the schema and gives the exit code.
pub(super) fn schema(out: &mut dyn Write, err: &mut dyn Write) -> u8 {
    match writeln!(out, "{:#}", schema::schema()) {
        Ok(()) => 0,
        Err(error) => {
            // If even standard error is gone, the exit code still tells.
            let _ = writeln!(err, "staleguard: cannot print the schema: {error}");
            FAILED
        }
    }
}
