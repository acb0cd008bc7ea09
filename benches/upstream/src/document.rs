//! What the documents hold.

/// The largest document, in bytes.
pub const LARGEST: usize = 64 * 1024 * 1024;

/// A JSON document of so many bytes: a string of letters, a digit if there is no room for one, or nothing at all.
pub fn document(size: usize) -> Vec<u8> {
    match size {
        0 => Vec::new(),
        1 => b"1".to_vec(),
        _ => {
            let letters = (b'a'..=b'z').cycle().take(size - 2);
            [b'"'].into_iter().chain(letters).chain([b'"']).collect()
        }
    }
}

/// The size that a target asks for with its first segment, if it does.
pub fn size_of(target: &str) -> Option<usize> {
    let path = target.strip_prefix('/')?;
    let segment = path.split(['/', '?']).next()?;
    segment.parse().ok().filter(|&size| size <= LARGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_has_its_size() {
        for size in [0, 1, 2, 3, 64, 1024] {
            assert_eq!(document(size).len(), size);
        }
        assert_eq!(document(5), b"\"abc\"");
    }

    #[test]
    fn the_first_segment_is_the_size() {
        for (target, size) in [
            ("/64", Some(64)),
            ("/1024/docs/7", Some(1024)),
            ("/16384/xapi/activities/state?stateId=1", Some(16384)),
            ("/3?x=1", Some(3)),
            ("/docs/7", None),
            ("/", None),
            ("64", None),
            ("/67108865", None),
        ] {
            assert_eq!(size_of(target), size, "{target}");
        }
    }
}
