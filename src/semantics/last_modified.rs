//! Last-Modified as servers write it, put into the form that HTTP knows (RFC 9110 §8.8.2 and §5.6.7), and made where there
//! is none.

use std::time::{Duration, UNIX_EPOCH};

use http::header::{DATE, HeaderMap, HeaderValue, LAST_MODIFIED};
use time::OffsetDateTime;
use time::format_description::well_known::{Iso8601, Rfc2822, Rfc3339};

/// The first second that an HTTP-date has no year for.
const YEAR_10000: u64 = 253_402_300_800;

/// Turns a Last-Modified that is ISO 8601 or nearly an HTTP-date into an HTTP-date.
///
/// A valid HTTP-date stays as it is, and so does what cannot be read with certainty: a time without its offset is
/// one of two dozen.
pub fn convert(fields: &mut HeaderMap) {
    let mut lines = fields.get_all(LAST_MODIFIED).iter();
    let (Some(value), None) = (lines.next(), lines.next()) else { return };
    if let Ok(text) = value.to_str()
        && let Some(date) = converted(text)
        && let Ok(date) = HeaderValue::try_from(date)
    {
        fields.insert(LAST_MODIFIED, date);
    }
}

/// Gives an answer without a Last-Modified one: this moment, in seconds since 1970.
pub fn make(fields: &mut HeaderMap, since: u64) {
    let date = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(since.min(YEAR_10000 - 1)));
    if let Ok(date) = HeaderValue::try_from(date) {
        fields.insert(LAST_MODIFIED, date);
    }
}

/// The Date of an answer, in seconds since 1970, if it has a valid one.
pub fn date(fields: &HeaderMap) -> Option<u64> {
    let date = httpdate::parse_http_date(fields.get(DATE)?.to_str().ok()?).ok()?;
    date.duration_since(UNIX_EPOCH).ok().map(|since| since.as_secs())
}

/// The same moment as an IMF-fixdate, to the second that had begun; nothing, if there is nothing to convert.
fn converted(text: &str) -> Option<String> {
    if httpdate::parse_http_date(text).is_ok() {
        return None;
    }
    let seconds = u64::try_from(read(text)?.unix_timestamp()).ok().filter(|seconds| *seconds < YEAR_10000)?;
    Some(httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds)))
}

fn read(text: &str) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(text, &Rfc3339)
        .or_else(|_| OffsetDateTime::parse(text, &Iso8601::DEFAULT))
        .or_else(|_| OffsetDateTime::parse(&as_in_mail(text), &Rfc2822))
        .ok()
}

/// `Sat, 21-Nov-2026 22:52:49 UTC`, as ADL_LRS and the first cookies have it, in the form of RFC 2822.
fn as_in_mail(text: &str) -> String {
    match text.strip_suffix(" UTC").or_else(|| text.strip_suffix(" GMT")) {
        Some(date) => format!("{} +0000", date.replace('-', " ")),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FIXDATE: &str = "Sat, 21 Nov 2026 22:52:49 GMT";

    fn after(values: &[&str]) -> Vec<String> {
        let mut fields = HeaderMap::new();
        for value in values {
            fields.append(LAST_MODIFIED, value.parse().expect("a value"));
        }
        convert(&mut fields);
        fields.get_all(LAST_MODIFIED).iter().map(|v| v.to_str().expect("ASCII").to_owned()).collect()
    }

    #[test]
    fn a_date_in_another_form_becomes_an_http_date() {
        for (form, text) in [
            ("RFC 3339", "2026-11-21T22:52:49Z"),
            ("Learning Locker's", "2026-11-21T22:52:49.123Z"),
            ("lrsql's", "2026-11-21T22:52:49.999999999Z"),
            ("an offset to the east", "2026-11-22T00:52:49.5+02:00"),
            ("an offset to the west, over a day's end", "2026-11-21T17:22:49-05:30"),
            ("an offset without a colon", "2026-11-21T22:52:49.123+0000"),
            ("an offset in hours", "2026-11-21T23:52:49+01"),
            ("ISO 8601's basic form", "20261121T225249Z"),
            ("ISO 8601's decimal comma", "2026-11-21T22:52:49,5Z"),
            ("a space before the time", "2026-11-21 22:52:49Z"),
            ("lower case", "2026-11-21t22:52:49z"),
            ("ADL_LRS's", "Sat, 21-Nov-2026 22:52:49 UTC"),
            ("the first cookies'", "Sat, 21-Nov-2026 22:52:49 GMT"),
            ("UTC for GMT", "Sat, 21 Nov 2026 22:52:49 UTC"),
            ("RFC 2822's", "Sat, 21 Nov 2026 23:52:49 +0100"),
            ("RFC 2822's, without the day's name", "21 Nov 2026 17:52:49 -0500"),
        ] {
            assert_eq!(after(&[text]), [FIXDATE], "{form}");
        }
        assert_eq!(after(&["1970-01-01T00:00:00Z"]), ["Thu, 01 Jan 1970 00:00:00 GMT"]);
        assert_eq!(after(&["9999-12-31T23:59:59.9Z"]), ["Fri, 31 Dec 9999 23:59:59 GMT"]);
    }

    #[test]
    fn what_is_an_http_date_or_cannot_be_read_stays_as_it_is() {
        for (why, text) in [
            ("IMF-fixdate", FIXDATE),
            ("RFC 850's form", "Sunday, 06-Nov-94 08:49:37 GMT"),
            ("asctime's form", "Sun Nov  6 08:49:37 1994"),
            ("no offset", "2026-11-21T22:52:49"),
            ("no time", "2026-11-21"),
            ("no such day", "2026-02-30T22:52:49Z"),
            ("no such day either", "Sat, 31-Feb-2026 22:52:49 UTC"),
            ("no such hour", "2026-11-21T25:52:49Z"),
            ("a number", "1795301569104"),
            ("before HTTP's time", "0001-01-01T00:00:00Z"),
            ("before HTTP's time by its offset", "1970-01-01T00:00:00+01:00"),
            ("after HTTP's time by its offset", "9999-12-31T23:59:59-01:00"),
            ("quoted", "\"2026-11-21T22:52:49Z\""),
            ("words", "yesterday"),
            ("nothing", ""),
        ] {
            assert_eq!(after(&[text]), [text], "{why}");
        }
        let two = ["2026-11-21T22:52:49Z", "2026-11-21T22:52:50Z"];
        assert_eq!(after(&two), two, "which of them?");
        assert!(after(&[]).is_empty());
    }

    proptest! {
        #[test]
        fn any_value_is_read_without_a_panic(value: Vec<u8>) {
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                convert(&mut HeaderMap::from_iter([(LAST_MODIFIED, value)]));
            }
        }

        #[test]
        fn what_looks_like_a_date_is_read_without_a_panic(
            text in "([0-9]{1,10}|[-+:.,TZtz ]|Sat|Nov|UTC|GMT|\\+[0-9]{2}:?[0-9]{2}){0,20}"
        ) {
            let _ = converted(&text);
        }

        #[test]
        fn every_moment_of_http_keeps_its_second(seconds in 0..YEAR_10000, nanos in 0u32..1_000_000_000) {
            let moment = UNIX_EPOCH + Duration::from_secs(seconds);
            let date = httpdate::fmt_http_date(moment);
            let at = OffsetDateTime::from_unix_timestamp(seconds as i64).expect("in range");
            let iso = format!(
                "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{nanos:09}Z",
                at.year(), u8::from(at.month()), at.day(), at.hour(), at.minute(), at.second()
            );
            prop_assert_eq!(converted(&iso), Some(date.clone()));
            prop_assert_eq!(converted(&date), None);
        }
    }
}
