//! X-Request-Id: one name for a request on all its ways, as Envoy and others give it.

use http::HeaderMap;
use http::header::HeaderValue;
use uuid::Uuid;

use super::fields::X_REQUEST_ID;

/// The longest that is taken from a client, in bytes. Every name that others make is shorter.
const LONGEST: usize = 128;

/// The name of a request: up to 128 visible ASCII characters, so that it may stand in a log as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestId(HeaderValue);

impl RequestId {
    /// The one that a request brings with it, if it brings a single one that is fit to be passed on.
    pub fn brought(fields: &HeaderMap) -> Option<Self> {
        let mut values = fields.get_all(X_REQUEST_ID).iter();
        match (values.next(), values.next()) {
            (Some(value), None) => Some(Self(value.clone())).filter(Self::is_fit),
            _ => None,
        }
    }

    /// A new one, by chance (RFC 9562 §5.4), which does not come from the kernel each time.
    pub fn made() -> Self {
        let mut room = Uuid::encode_buffer();
        let text = Uuid::new_v4().hyphenated().encode_lower(&mut room);
        Self(HeaderValue::from_str(text).expect("a UUID has hexadecimal digits and hyphens only"))
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }

    /// Gives it to a message, in the place of any other.
    pub fn put(&self, fields: &mut HeaderMap) {
        fields.insert(X_REQUEST_ID, self.0.clone());
    }

    fn is_fit(&self) -> bool {
        (1..=LONGEST).contains(&self.0.len()) && self.0.as_bytes().iter().all(u8::is_ascii_graphic)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn brought(values: &[&[u8]]) -> Option<String> {
        let mut all = HeaderMap::new();
        for value in values {
            all.append(X_REQUEST_ID, HeaderValue::from_bytes(value).expect("a value"));
        }
        RequestId::brought(&all).map(|id| id.as_str().to_owned())
    }

    #[test]
    fn what_is_brought_is_taken_as_it_is_or_not_at_all() {
        let longest = [b'x'; LONGEST];
        for fit in [&b"a"[..], b"4bf92f35-77b3-4da6-a3ce-929d0e0e4736", b"a/b=;\"\\{}", &longest] {
            assert_eq!(brought(&[fit]).as_deref(), std::str::from_utf8(fit).ok());
        }
        let longer = [b'x'; LONGEST + 1];
        for unfit in [&b""[..], b"a b", b"a\tb", "\u{e9}".as_bytes(), b"\xff", &longer] {
            assert_eq!(brought(&[unfit]), None, "{unfit:?}");
        }
        assert_eq!(brought(&[]), None);
        assert_eq!(brought(&[b"a", b"b"]), None, "nobody knows which");
    }

    #[test]
    fn what_is_made_is_fit_and_another_one_each_time() {
        let [one, other] = [RequestId::made(), RequestId::made()];
        assert!(one != other && one.is_fit());
        assert_eq!(Uuid::parse_str(one.as_str()).map(|id| id.get_version_num()).ok(), Some(4));
    }
}
