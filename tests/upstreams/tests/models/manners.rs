//! Everything but statuses, line by line of `manners.txt`.

use std::time::Duration;

use clap::ValueEnum;
use staleguard_upstreams::lrs::Lrs;
use staleguard_upstreams::name::Name;

use crate::request::{Answer, VERSION, send, target};

const SENT: &str = "{ \"b\" : 2, \"a\":1.0, \"big\":12345678901234567890 }";
/// The SHA-1 of it as an ETag.
const SENT_SHA1: &str = "\"ea043fa01fa1179482f710605bc93cd447e03948\"";
const V1: (&str, &str) = (VERSION, "1.0.3");
const V2: (&str, &str) = (VERSION, "2.0.0");
const JSON: (&str, &str) = ("Content-Type", "application/json");
const NEW: (&str, &str) = ("If-None-Match", "*");

#[tokio::test]
async fn every_line_is_observed() {
    let (mut name, mut lines, mut wrong) = (None, Vec::new(), Vec::new());
    for line in include_str!("manners.txt").lines().filter(|line| !line.is_empty() && !line.starts_with('#'))
    {
        let Some(line) = line.strip_prefix("  ") else {
            name = Some(Name::from_str(line, false).unwrap());
            lines.push(0);
            continue;
        };
        let (what, expected) = split(line);
        let observed = observed(name.unwrap(), what).await;
        *lines.last_mut().unwrap() += 1;
        if observed != expected {
            wrong.push(format!("{name:?}, {what}: {observed}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(lines, [20; 6], "every LRS says the same things of itself");
}

/// What is observed, and how it must be.
fn split(line: &str) -> (&str, &str) {
    const FORM: &str = "alternate syntax, If-None-Match: * in the form, twice";
    match line.strip_prefix(FORM) {
        Some(rest) => (FORM, rest.trim_start_matches(": ")),
        None => line.split_once(": ").unwrap(),
    }
}

async fn observed(name: Name, what: &str) -> String {
    let lrs = Lrs::new(name, Duration::ZERO);
    let target = target("activity profile", 1);
    let typed = |media_type| [V1, ("Content-Type", media_type), NEW];
    match what {
        "served" => {
            let served = stored(&lrs, &target, "application/json", SENT).await.text();
            if served == SENT { "as sent".into() } else { served }
        }
        "ETag" => kind_of_tag(&lrs).await,
        "ETag of a HEAD" => {
            let read = stored(&lrs, &target, "application/json", SENT).await;
            same_tag(&read, &send(&lrs, "HEAD", &target, &[V1], "").await)
        }
        "ETag of a list" => {
            let list = target.split("&profileId").next().unwrap();
            strength(&send(&lrs, "GET", list, &[V1], "").await)
        }
        "ETag of a 404" => {
            let answer = send(&lrs, "GET", &target, &[V1], "").await;
            assert_eq!(answer.status, 404);
            strength(&answer)
        }
        "ETag of a PUT" => {
            let written = send(&lrs, "PUT", &target, &[V1, JSON, NEW], SENT).await;
            same_tag(&send(&lrs, "GET", &target, &[V1], "").await, &written)
        }
        "Content-Type of JSON" => content_type(&lrs, &target, "application/json; charset=utf-8", SENT).await,
        "Content-Type of text" => content_type(&lrs, &target, "text/plain; charset=utf-8", "text").await,
        "Content-Type of what only claims to be JSON" => {
            content_type(&lrs, &target, "application/json", "no JSON").await
        }
        "Last-Modified" => shape(stored(&lrs, &target, "text/plain", "text").await.field("Last-Modified")),
        "framing" => match stored(&lrs, &target, "text/plain", "text").await.field("Transfer-Encoding") {
            "chunked" => "chunks".into(),
            _ => "length".into(),
        },
        "merged" => {
            send(&lrs, "PUT", &target, &[V1, JSON, NEW], "{\"a\":1}").await;
            send(&lrs, "POST", &target, &[V1, JSON], "{\"b\":2}").await;
            send(&lrs, "GET", &target, &[V1], "").await.text()
        }
        "version when asked for 1.0.3 and 2.0.0" => {
            let (one, two) =
                (send(&lrs, "GET", &target, &[V1], "").await, send(&lrs, "GET", &target, &[V2], "").await);
            format!("{} {}", one.field(VERSION), two.field(VERSION))
        }
        "alternate syntax, If-None-Match: * in the form, twice" => {
            format!("{} {}", alternate(&lrs, "1.0.3").await, alternate(&lrs, "1.0.3").await)
        }
        "alternate syntax under 2.0.0" => alternate(&lrs, "2.0.0").await.to_string(),
        "without registration" => {
            let target = crate::request::target("state", 1);
            let registered = format!("{target}&registration=0f8fad5b-d9cb-469f-a165-70867728950e");
            send(&lrs, "PUT", &registered, &typed("application/json"), SENT).await;
            match send(&lrs, "GET", &target, &[V1], "").await.status {
                200 => "finds that of any".into(),
                404 => "finds none".into(),
                status => status.to_string(),
            }
        }
        "exposes to other origins" => {
            let preflight = send(&lrs, "OPTIONS", &target, &[], "").await;
            let is_open = preflight.field("Access-Control-Allow-Headers").contains("If-Match");
            let exposed = preflight.field("Access-Control-Expose-Headers").to_owned();
            match (is_open, exposed.contains("ETag"), exposed.contains("Last-Modified")) {
                (true, true, true) => "ETag and Last-Modified".into(),
                (true, true, false) => "ETag".into(),
                (false, false, false) => "nothing".into(),
                other => format!("{other:?}"),
            }
        }
        "two PUTs of State with one If-Match" => race(name, "state", true).await,
        "two PUTs of a profile with one If-Match" => race(name, "activity profile", true).await,
        "two creations of a profile, and a GET" => race(name, "activity profile", false).await,
        _ => panic!("{what} is not observed"),
    }
}

/// Stores a document and reads it.
async fn stored(lrs: &Lrs, target: &str, media_type: &str, contents: &str) -> Answer {
    let fields = [V1, ("Content-Type", media_type), NEW];
    let written = send(lrs, "PUT", target, &fields, contents.to_owned()).await;
    assert_eq!(written.status, 204, "{written:?}");
    send(lrs, "GET", target, &[V1], "").await
}

async fn content_type(lrs: &Lrs, target: &str, media_type: &str, contents: &str) -> String {
    stored(lrs, target, media_type, contents).await.field("Content-Type").to_owned()
}

/// What the ETag is made of, by what it is for the same contents twice.
async fn kind_of_tag(lrs: &Lrs) -> String {
    let first = stored(lrs, &target("state", 1), "application/json", SENT).await;
    let second = stored(lrs, &target("state", 2), "application/json", SENT).await;
    let tag = first.field("ETag");
    match tag {
        _ if tag != second.field("ETag") => "another with every write".into(),
        _ if tag == SENT_SHA1 => "SHA-1 of what was sent".into(),
        _ if tag.starts_with(&format!("\"{}-", SENT.len())) => "length and hash of what was sent".into(),
        tag => tag.to_owned(),
    }
}

fn same_tag(read: &Answer, other: &Answer) -> String {
    match other.field("ETag") {
        tag if tag == read.field("ETag") => "that of a GET".into(),
        other => other.to_owned(),
    }
}

fn strength(answer: &Answer) -> String {
    match answer.field("ETag") {
        "none" => "none".into(),
        tag if tag.starts_with("W/") => "weak".into(),
        _ => "strong".into(),
    }
}

/// A date without its values.
fn shape(date: &str) -> String {
    let mut shape: String = date.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    for names in ["MonTueWedThuFriSatSun", "JanFebMarAprMayJunJulAugSepOctNovDec"] {
        for name in names.as_bytes().chunks(3) {
            let kind = if names.starts_with("Mon") { "Ddd" } else { "Mmm" };
            shape = shape.replace(std::str::from_utf8(name).unwrap(), kind);
        }
    }
    shape
}

/// Creates a State document by the alternate syntax.
async fn alternate(lrs: &Lrs, version: &str) -> u16 {
    let (path, query) =
        target("state", 1).split_once('?').map(|(p, q)| (p.to_owned(), q.to_owned())).unwrap();
    let form = format!(
        "{query}&X-Experience-API-Version={version}&If-None-Match=*&Content-Type=application%2Fjson&content=%7B%7D"
    );
    let fields = [("Content-Type", "application/x-www-form-urlencoded")];
    send(lrs, "POST", &format!("{path}?method=PUT"), &fields, form).await.status
}

/// Two PUTs that have both read before either stores: over a document with its tag, or creating one and reading it.
async fn race(name: Name, resource: &str, exists: bool) -> String {
    let lrs = Lrs::new(name, Duration::from_millis(1));
    let target = target(resource, 1);
    let mut condition = NEW;
    let read;
    if exists {
        lrs.hold(&target, "{}");
        read = send(&lrs, "GET", &target, &[V1], "").await;
        condition = ("If-Match", read.field("ETag"));
    }
    let fields = [V1, JSON, condition];
    let put = |body: &'static str| send(&lrs, "PUT", &target, &fields, body);
    let (one, other) = tokio::join!(put("{\"n\":1}"), put("{\"n\":2}"));
    let mut statuses = [one.status, other.status];
    statuses.sort_unstable();
    let read = send(&lrs, "GET", &target, &[V1], "").await.status;
    let read = if exists { String::new() } else { format!(" {read}") };
    format!("{} {}{read}", statuses[0], statuses[1])
}
