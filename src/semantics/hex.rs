//! Bytes as hexadecimal digits.

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// Two lower-case digits for each byte.
pub fn hex(bytes: &[u8]) -> String {
    let mut text = vec![0; 2 * bytes.len()];
    write(bytes, &mut text);
    String::from_utf8(text).expect("digits are ASCII")
}

/// Writes two lower-case digits for each byte, as far as there is room.
pub(super) fn write(bytes: &[u8], text: &mut [u8]) {
    for (digits, byte) in text.chunks_exact_mut(2).zip(bytes) {
        digits.copy_from_slice(&[byte >> 4, byte & 0x0f].map(|half| DIGITS[usize::from(half)]));
    }
}

/// The bytes whose digits these are; nothing unless [`hex`] would give this very text.
pub(super) fn read<const BYTES: usize>(text: &[u8]) -> Option<[u8; BYTES]> {
    let (pairs, []) = text.as_chunks::<2>() else { return None };
    let pairs: &[[u8; 2]; BYTES] = pairs.try_into().ok()?;
    let mut bytes = [0; BYTES];
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = half(*high)? << 4 | half(*low)?;
    }
    Some(bytes)
}

fn half(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_has_two_digits() {
        assert_eq!(hex(&[0x00, 0x0f, 0xa9, 0xff]), "000fa9ff");
    }

    #[test]
    fn only_what_would_be_written_alike_is_read() {
        assert_eq!(read(b"000fa9ff"), Some([0x00, 0x0f, 0xa9, 0xff]));
        for text in ["000fa9fF", "000fa9f", "000fa9ff0", "000fa9ff00", "000fa9f ", "000fa9fg", "000fa9f`", ""]
        {
            assert_eq!(read::<4>(text.as_bytes()), None, "{text}");
        }
    }
}
