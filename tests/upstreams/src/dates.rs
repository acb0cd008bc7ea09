//! Last-Modified, as one LRS or another writes it.

use time::OffsetDateTime;
use time::format_description::parse_borrowed;

/// `Sat, 21 Nov 2026 22:52:49 GMT`, as RFC 9110 §5.6.7 asks.
pub(crate) fn http_date(at: OffsetDateTime) -> String {
    written(at, "[weekday repr:short], [day] [month repr:short] [year] [hour repr:24]:[minute]:[second] GMT")
}

/// `Sat, 21-Nov-2026 22:52:49 UTC`, which no reader of HTTP-dates need understand.
pub(crate) fn nearly_http_date(at: OffsetDateTime) -> String {
    written(at, "[weekday repr:short], [day]-[month repr:short]-[year] [hour repr:24]:[minute]:[second] UTC")
}

/// `2026-11-21T22:52:49.123Z`, which is no HTTP-date.
pub(crate) fn iso_8601(at: OffsetDateTime) -> String {
    written(at, "[year]-[month]-[day]T[hour repr:24]:[minute]:[second].[subsecond digits:3]Z")
}

fn written(at: OffsetDateTime, format: &str) -> String {
    let format = parse_borrowed::<2>(format).expect("a format");
    at.format(&format).expect("a date has all of its parts")
}
