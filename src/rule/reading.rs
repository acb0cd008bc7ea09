//! Readings: what the servers of this world might make of a path.
//!
//! A server may decode a path, resolve its dots, merge its slashes and cut what stands behind `;`, in any order and more
//! than once, and a chain of servers does all of it. A path that looks like another resource here must not become a
//! guarded one behind us, so every such order is followed.

use super::fold::{decoded, read_loosely};

/// How many readings of one path are followed. Ordinary paths have one or two, an encoded URL with a few oddities some
/// thirty, and one that was made to have many goes over this.
const READINGS_MAX: usize = 256;

/// How many bytes all readings of one path may have together: paths have up to 64 KiB.
const BYTES_MAX: usize = 256 * 1024;

/// The path has more readings than are followed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooMany;

type Step = fn(&[u8]) -> Vec<u8>;

/// What a server may do to a path. Each step leaves a path as it is that has no such thing in it.
const STEPS: [Step; 7] =
    [decoded, read_loosely, with_slashes, without_parameters, with_merged_slashes, without_dots, cut_short];

/// Whether every server reads a path as it is written, letter case and what stands at its end apart.
pub(super) fn is_plain(path: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'%' | b';' | b'\\');
    let is_odd = |pair: &[u8]| matches!(pair, b"//" | b"/.");
    path.bytes().all(is_plain) && !path.as_bytes().windows(2).any(is_odd)
}

/// All readings of a path; the first is the path as it is written.
pub(super) fn readings(path: &str) -> Result<Vec<Vec<u8>>, TooMany> {
    let mut readings = vec![path.as_bytes().to_vec()];
    let mut bytes = path.len();
    let mut next = 0;
    while next < readings.len() {
        for step in STEPS {
            let reading = step(&readings[next]);
            if !readings.contains(&reading) {
                bytes += reading.len();
                readings.push(reading);
            }
            if readings.len() > READINGS_MAX || bytes > BYTES_MAX {
                return Err(TooMany);
            }
        }
        next += 1;
    }
    Ok(readings)
}

/// `\` is `/` to servers on Windows.
fn with_slashes(path: &[u8]) -> Vec<u8> {
    path.iter().map(|byte| if *byte == b'\\' { b'/' } else { *byte }).collect()
}

/// Cuts `;name=value` off every segment, as servlet containers do.
fn without_parameters(path: &[u8]) -> Vec<u8> {
    let segments = path.split(|byte| *byte == b'/');
    let cut = segments.map(|segment| segment.split(|byte| *byte == b';').next().unwrap_or_default());
    cut.collect::<Vec<_>>().join(&b'/')
}

/// Merges slashes that follow each other.
fn with_merged_slashes(path: &[u8]) -> Vec<u8> {
    let mut merged = path.to_vec();
    merged.dedup_by(|byte, before| *byte == b'/' && *before == b'/');
    merged
}

/// Resolves `.` and `..` (RFC 3986 §5.2.4).
fn without_dots(path: &[u8]) -> Vec<u8> {
    let mut kept: Vec<&[u8]> = Vec::new();
    let mut segments = path.split(|byte| *byte == b'/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let is_dots = matches!(segment, b"." | b"..");
        if segment == b".." {
            kept.pop();
        } else if !is_dots {
            kept.push(segment);
        }
        if is_dots && segments.peek().is_none() {
            kept.push(b"");
        }
    }
    [&b"/"[..], &kept.join(&b'/')].concat()
}

/// Cuts at NUL, where texts end in C, and at `?` and `#`, which a path has only once it is decoded.
fn cut_short(path: &[u8]) -> Vec<u8> {
    path.split(|byte| matches!(byte, 0 | b'?' | b'#')).next().unwrap_or_default().to_vec()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn has_reading(path: &str, reading: &str) -> bool {
        readings(path).expect("few readings").contains(&reading.as_bytes().to_vec())
    }

    #[test]
    fn paths_and_what_a_server_may_make_of_them() {
        for (path, reading) in [
            ("/a/b", "/a/b"),
            ("/a%2Fb", "/a/b"),
            ("/a%252Fb", "/a/b"),
            ("/a%25252Fb", "/a/b"),
            ("/a%u002Fb", "/a/b"),
            ("/a%5Cb", "/a/b"),
            ("/a\\b", "/a/b"),
            ("/a%C0%AFb", "/a/b"),
            ("/a%e0%80%afb", "/a/b"),
            ("/a;x=y/b;z", "/a/b"),
            ("/a%3Bx/b", "/a/b"),
            ("//a///b", "/a/b"),
            ("/a/./b", "/a/b"),
            ("/a/x/../b", "/a/b"),
            ("/a/x/%2e%2E/b", "/a/b"),
            ("/a/x/..;y/b", "/a/b"),
            ("/a/x/.%00./b", "/a/b"),
            ("/a/x%2Fy/../b", "/a/b"),
            ("/a/x%2F../b", "/a/b"),
            ("/a/x//../b", "/a/b"),
            ("/a/x//../../b", "/a/b"),
            ("/a/b%00/c", "/a/b"),
            ("/a/b%3Fc", "/a/b"),
            ("/a/b%23c", "/a/b"),
            ("/a%00/b", "/a/b"),
            ("/a%ff/b", "/a/b"),
            ("/a/\u{ff42}", "/a/b"),
            ("/../../a/b", "/a/b"),
            ("/a/b/c/..", "/a/b/"),
        ] {
            assert!(has_reading(path, reading), "{path} may be read as {reading}");
        }
    }

    #[test]
    fn plain_paths_have_one_reading() {
        for path in ["/", "/a/b", "/data/xAPI/a.b/c-d_e~f", "/a:@!$&'()*+,=", "/a/b."] {
            assert!(is_plain(path), "{path}");
            assert_eq!(readings(path).map(|readings| readings.len()), Ok(1), "{path}");
        }
        for path in ["/%61", "/a;b", "/a\\b", "//a", "/a//b", "/./a", "/a/..", "/\u{e9}", "/a\u{7f}"] {
            assert!(!is_plain(path), "{path}");
        }
    }

    #[test]
    fn ordinary_oddities_can_be_followed() {
        for (path, at_most) in [
            ("/a%20b", 2),
            ("/proxy/https%3A%2F%2Fexample.com%2Fa%20b;v=1//x", 12),
            ("/proxy/https%253A%252F%252Fexample.com%252Fa%2520b%253Bx;v=1//x/../y", 40),
            ("/a;b/c%2Fd//e;f/../%3B%2e/x%3Fy\\z%23d%00", 100),
        ] {
            assert!(readings(path).is_ok_and(|readings| readings.len() <= at_most), "{path}");
        }
    }

    #[test]
    fn there_is_an_end_to_it() {
        for path in [
            "/%".to_owned() + &"25".repeat(300) + "41",
            "/%41;//".repeat(9000),
            "//xapi;a=b/%2e%2e/.//x/..;/activities%252F;c\\state%00;jsessionid=1/%C0%AE/".to_owned(),
        ] {
            assert_eq!(readings(&path), Err(TooMany));
        }
    }

    proptest! {
        #[test]
        fn any_path_is_read_without_a_panic(path: String, tricks in "/([a./;\\\\%]|%2[5ef]|%00){0,12}") {
            let _ = readings(&path);
            let _ = readings(&tricks);
        }

        #[test]
        fn a_plain_path_has_one_reading(path in "/[!\"$->@-~]{0,8}") {
            let alone = readings(&path).is_ok_and(|readings| readings.len() == 1);
            prop_assert!(alone || !is_plain(&path), "{}", path);
        }
    }
}
