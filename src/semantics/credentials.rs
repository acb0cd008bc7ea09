//! Who a request says it comes from: told apart by a digest, and whether it can be said again in another request.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;

use http::HeaderMap;
use http::header::{AUTHORIZATION, COOKIE, HeaderName};
use http::request::Parts;

use super::fields::digest;

/// The credentials of a request: its Authorization and Cookie fields (RFC 9110 §11.6.2, RFC 6265 §5.4), and the
/// certificate that its connection was opened with.
///
/// It is a digest, so that no secret is kept.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Credentials(u128, Option<Certificate>);

/// The certificate that a client has shown in the handshake of TLS (RFC 8446 §4.4.2), and has proved to be its own.
///
/// It is a digest, keyed by chance, so that nobody can have one made that looks like another. Each request of the
/// connection carries it among its extensions.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Certificate(u64, u64);

static KEYS: LazyLock<[RandomState; 2]> = LazyLock::new(|| [RandomState::new(), RandomState::new()]);

/// Authentication schemes whose credentials are made for one request or one connection, so that another request cannot
/// carry them: OAuth 1.0 (RFC 5849), Digest (RFC 7616), DPoP (RFC 9449), and what clouds and others sign with.
const SIGNING_SCHEMES: [&str; 9] =
    ["oauth", "digest", "dpop", "hawk", "hmac", "negotiate", "ntlm", "sharedkey", "signature"];

/// Beginnings of schemes that come in several digests, as in `AWS4-HMAC-SHA256`.
const SIGNING_FAMILIES: [&str; 3] = ["aws4-", "hmac-", "sharedkey"];

/// Fields that sign a request beside Authorization (RFC 9421 §4, RFC 9449 §4.1).
pub static SIGNATURES: [HeaderName; 3] = [
    HeaderName::from_static("signature-input"),
    HeaderName::from_static("signature"),
    HeaderName::from_static("dpop"),
];

/// Query parameters that sign a request (RFC 5849 §3.5.3, and what links to cloud stores carry).
const SIGNING_PARAMETERS: [&str; 2] = ["oauth_signature", "x-amz-signature"];

impl Credentials {
    /// The credentials that these fields carry, and those of the connection; without any, those of everybody who carries
    /// none.
    pub fn of(fields: &HeaderMap, certificate: Option<Certificate>) -> Self {
        Self(digest(fields, &[AUTHORIZATION, COOKIE]), certificate)
    }
}

impl Certificate {
    /// That with this DER encoding.
    pub fn from_der(der: &[u8]) -> Self {
        let [first, second] = KEYS.each_ref().map(|key| key.hash_one(der));
        Self(first, second)
    }

    /// That of a request's client, if it has shown one.
    pub fn of(request: &Parts) -> Option<Self> {
        request.extensions.get().copied()
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Certificate(..)")
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(..)")
    }
}

/// Whether the request is signed as a whole, so that its credentials are worth nothing in another request.
pub fn is_signed(request: &Parts) -> bool {
    let by_scheme = request.headers.get_all(AUTHORIZATION).iter().any(|value| {
        let text = value.as_bytes().trim_ascii_start();
        let scheme = text.split(u8::is_ascii_whitespace).next().unwrap_or_default();
        let is_of = |family: &str| {
            scheme.get(..family.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(family.as_bytes()))
        };
        SIGNING_SCHEMES.iter().any(|signing| scheme.eq_ignore_ascii_case(signing.as_bytes()))
            || SIGNING_FAMILIES.into_iter().any(is_of)
    });
    let is_signing = |parameter: &str| {
        let parameter = parameter.as_bytes();
        SIGNING_PARAMETERS.iter().any(|signing| {
            let (name, rest) = parameter.split_at(parameter.len().min(signing.len()));
            name.eq_ignore_ascii_case(signing.as_bytes()) && matches!(rest, [] | [b'=', ..])
        })
    };
    by_scheme
        || request.headers.keys().any(|name| SIGNATURES.contains(name))
        || request.uri.query().unwrap_or_default().split('&').any(is_signing)
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn request(target: &str, fields: &[(&str, &str)]) -> Parts {
        let mut request = Request::get(target);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        request.body(()).expect("a request").into_parts().0
    }

    #[test]
    fn what_is_made_for_one_request_is_signed() {
        for (name, value) in [
            ("authorization", "OAuth oauth_consumer_key=\"k\", oauth_signature=\"s\""),
            ("authorization", "oauth realm=\"r\""),
            ("authorization", "Digest username=\"u\""),
            ("authorization", "AWS4-HMAC-SHA256 Credential=c"),
            ("authorization", "SharedKeyLite account:s"),
            ("authorization", "DPoP token"),
            ("authorization", "Negotiate YII="),
            ("signature-input", "sig1=()"),
            ("dpop", "eyJ"),
        ] {
            assert!(is_signed(&request("/x", &[(name, value)])), "{name}: {value}");
        }
        for target in ["/x?oauth_signature=s", "/x?a=b&X-Amz-Signature=s"] {
            assert!(is_signed(&request(target, &[])), "{target}");
        }
    }

    #[test]
    fn what_anybody_who_knows_it_can_say_again_is_not() {
        for value in ["Basic dTpw", "Bearer OAuth", "bearer oauth", "Token digest"] {
            assert!(
                !is_signed(&request("/x?sig=s&a=oauth_signature", &[("authorization", value)])),
                "{value}"
            );
        }
        assert!(!is_signed(&request("/x?oauth_signature_method=s", &[("cookie", "session=Digest")])));
    }

    #[test]
    fn credentials_are_told_apart_and_tell_nothing() {
        let of = |fields: &[(&str, &str)]| Credentials::of(&request("/x", fields).headers, None);
        let basic = of(&[("authorization", "Basic dTpw")]);
        let under = |der: &[u8]| {
            let fields = request("/x", &[("authorization", "Basic dTpw")]).headers;
            Credentials::of(&fields, Some(Certificate::from_der(der)))
        };
        assert_eq!(basic, of(&[("authorization", "Basic dTpw"), ("accept", "x/y")]));
        for other in [
            of(&[]),
            of(&[("authorization", "Basic dTpx")]),
            of(&[("cookie", "Basic dTpw")]),
            of(&[("authorization", "Basic dTpw"), ("cookie", "a=b")]),
            of(&[("authorization", "Basic "), ("authorization", "dTpw")]),
            under(b"a"),
        ] {
            assert_ne!(basic, other);
        }
        assert!(under(b"a") == under(b"a") && under(b"a") != under(b"b"));
        assert!(!format!("{basic:?}").contains("dTpw"));
    }
}
