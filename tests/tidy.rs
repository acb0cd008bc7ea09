//! The project's own rules about its sources: floors, heads of files, and what the library must not do.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The rooms and their floors. A room imports only from lower floors; rooms on one floor do not know each other.
const FLOORS: [(&str, u8); 19] = [
    ("semantics", 1),
    ("resource", 1),
    ("fingerprint", 1),
    ("drain", 1),
    ("net", 1),
    ("body", 1),
    ("fault", 1),
    ("json", 1),
    ("guard", 2),
    ("memory", 2),
    ("xapi", 2),
    ("decision", 3),
    ("rule", 3),
    ("upstream", 3),
    ("exchange", 4),
    ("server", 5),
    ("admin", 5),
    ("config", 6),
    ("command", 7),
];

#[test]
fn a_room_imports_only_from_lower_floors() {
    let floors: BTreeMap<&str, u8> = FLOORS.into();
    let mut wrong = Vec::new();
    for (path, text) in sources("src") {
        let room = room_of(&path);
        let Some(floor) = floors.get(room.as_str()) else {
            assert!(["lib", "main"].contains(&room.as_str()), "{room} has no floor: add it to the list");
            continue;
        };
        for import in imports(&text) {
            let other = floors.get(import.as_str());
            if import != room && other.is_none_or(|other| other >= floor) {
                wrong.push(format!("{}: {room} (floor {floor}) imports {import}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_room_of_the_list_exists() {
    for (room, _) in FLOORS {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(room);
        assert!(path.is_dir() || path.with_extension("rs").is_file(), "there is no room {room}");
    }
}

#[test]
fn every_file_says_at_its_head_what_it_is_for() {
    for (path, text) in sources("src").into_iter().chain(sources("tests")).chain(sources("benches")) {
        let head = text.lines().next().unwrap_or_default();
        let is_sentence =
            head.starts_with("//! ") && text.lines().take_while(|l| l.starts_with("//!")).count() > 0;
        assert!(is_sentence, "{} begins without a //! head", path.display());
    }
}

#[test]
fn the_library_neither_prints_nor_unwraps() {
    for (path, text) in sources("src") {
        for (number, line) in product_lines(&text) {
            for banned in ["println!(", "print!(", ".unwrap()", "dbg!(", "todo!(", "unimplemented!("] {
                assert!(!line.contains(banned), "{}:{number} has {banned}", path.display());
            }
        }
    }
}

#[test]
fn nothing_is_re_exported() {
    for (path, text) in sources("src") {
        for (number, line) in product_lines(&text) {
            let line = line.trim_start();
            let is_re_export =
                line.starts_with("pub use ") || (line.starts_with("pub(") && line.contains(") use "));
            assert!(
                !is_re_export,
                "{}:{number} re-exports: import from the room that defines",
                path.display()
            );
        }
    }
}

/// Every Rust file below a folder of the project.
fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("the folder is readable") {
            let path = entry.expect("the entry is readable").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).expect("the file is readable");
                found.push((path, text));
            }
        }
    }
    assert!(!found.is_empty(), "no sources below {folder}");
    found
}

fn room_of(path: &Path) -> String {
    let inside = path.strip_prefix(Path::new(env!("CARGO_MANIFEST_DIR")).join("src")).expect("below src");
    let first = inside.components().next().expect("a file has a name");
    Path::new(first.as_os_str()).with_extension("").display().to_string()
}

/// The rooms that a text names by `crate::room`, alone or in a group `crate::{a, b}`.
fn imports(text: &str) -> Vec<String> {
    let mut rooms = Vec::new();
    // In one piece, because a group of imports may go over several lines.
    let product: Vec<&str> = product_lines(text).map(|(_, line)| line).collect();
    for rest in product.join("\n").split("crate::").skip(1) {
        let named = match rest.strip_prefix('{') {
            Some(group) => group.split('}').next().unwrap_or(group),
            None => rest.split(',').next().unwrap_or(rest),
        };
        for part in named.split(',') {
            let name: String =
                part.trim().chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
            if !name.is_empty() && name != "self" {
                rooms.push(name);
            }
        }
    }
    rooms
}

/// The lines outside comments and outside a test module at the end of the file, with their numbers.
fn product_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .map(|(index, line)| (index + 1, line))
        .take_while(|(_, line)| !line.starts_with("#[cfg(test)]"))
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
}
