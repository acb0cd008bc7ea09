//! The statuses, row by row of `status.txt`.

use std::time::Duration;

use bytes::Bytes;
use staleguard_upstreams::lrs::Lrs;
use staleguard_upstreams::name::Name;

use crate::request::{RESOURCES, VERSION, send, target};

/// The order of the columns.
const COLUMNS: [Name; 6] =
    [Name::AdlLrs, Name::Pelotech, Name::LearningLocker, Name::Lars, Name::Trax, Name::Lrsql];

#[tokio::test]
async fn every_row_of_the_table_gets_its_status() {
    let rows = include_str!("status.txt").lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let (mut checked, mut wrong) = (0, Vec::new());
    for row in rows {
        let cells: Vec<&str> = row.split(" | ").map(str::trim).collect();
        let (request, expected) = cells.split_at(7);
        assert_eq!(expected.len(), COLUMNS.len(), "{row}");
        for (name, cell) in COLUMNS.into_iter().zip(expected).filter(|(_, cell)| **cell != "-") {
            for (place, resource) in RESOURCES.into_iter().enumerate() {
                let statuses: Vec<&str> = cell.split(' ').collect();
                let expected = statuses[place.min(statuses.len() - 1)];
                let got = got(name, resource, request).await;
                checked += 1;
                if got != expected {
                    wrong.push(format!("{name:?}, {resource}: {got} for {row}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(checked > 400, "only {checked}");
}

/// The status of a request, with `=` behind it if it is a success and nothing was stored.
async fn got(name: Name, resource: &str, request: &[&str]) -> String {
    let [_, version, method, document, if_match, if_none_match, body] = request else {
        panic!("{request:?}")
    };
    let lrs = Lrs::new(name, Duration::ZERO);
    let target = target(resource, 1);
    let version = (VERSION, *version);
    let before = contents(document);
    if let Some((media_type, contents)) = &before {
        let fields = [version, ("Content-Type", *media_type), ("If-None-Match", "*")];
        assert_eq!(send(&lrs, "PUT", &target, &fields, contents.clone()).await.status, 204);
    }
    let tag = send(&lrs, "GET", &target, &[version], "").await.field("ETag").to_owned();
    let stated = [("If-Match", stated(if_match, &tag)), ("If-None-Match", stated(if_none_match, &tag))];
    let (media_type, sent) = contents(body).unwrap();
    let mut fields = vec![version, ("Content-Type", media_type)];
    fields.extend(stated.iter().filter_map(|(name, value)| Some((*name, value.as_deref()?))));

    let status = send(&lrs, method, &target, &fields, sent.clone()).await.status;

    let after = lrs.stored(&target);
    let before = before.map(|(_, contents)| contents);
    let wanted = match *method {
        "DELETE" => None,
        "POST" if before.is_some() => Some(Bytes::from_static(b"{\"m\":2,\"n\":1}")),
        _ => Some(sent),
    };
    if status < 300 && values(&after) == values(&wanted) {
        return status.to_string();
    }
    assert_eq!(after, before, "{name:?}, {resource}, {request:?}: {status}");
    if status < 300 { format!("{status}=") } else { status.to_string() }
}

/// A document or a body by its word, with its media type.
fn contents(word: &str) -> Option<(&'static str, Bytes)> {
    let (media_type, contents): (_, &'static [u8]) = match word {
        "missing" => return None,
        "text" => ("text/plain", b"text"),
        "old" => ("application/json", b"{\"n\":1}"),
        "new" => ("application/json", b"{\"m\":2}"),
        "array" => ("application/json", b"[1]"),
        "bytes" => ("application/octet-stream", b"\xff\x00\xfe"),
        "empty" => ("application/json", b""),
        word => panic!("{word} is no contents"),
    };
    Some((media_type, contents.into()))
}

/// A precondition by its word.
fn stated(word: &str, tag: &str) -> Option<String> {
    Some(match word {
        "-" => return None,
        "*" => "*".into(),
        "right" => tag.to_owned(),
        "wrong" => "\"0000\"".into(),
        "nonsense" => "0000".into(),
        "unquoted" => tag.replace('"', ""),
        "weak" => format!("W/{tag}"),
        "list" => format!("\"nope\", {tag}"),
        word => panic!("{word} is no precondition"),
    })
}

/// Contents as JSON where they are, so that a merge counts whatever it looks like.
fn values(contents: &Option<Bytes>) -> Option<serde_json::Value> {
    let contents = contents.as_ref()?;
    let text = || String::from_utf8_lossy(contents).into_owned().into();
    Some(serde_json::from_slice(contents).unwrap_or_else(|_| text()))
}
