//! What the upstream's answers mean. Nobody is asked here.

use http::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue,
    LAST_MODIFIED,
};
use http::{Method, StatusCode};

use super::finding::{Finding, Remedy, Severity, Side, shown};
use super::place::Told;
use super::seen::{Likeness, Seen, Step, first_contents, likeness, merged_contents, step_of};
use crate::fingerprint::{Algorithm, Fingerprint, Subject};
use crate::guard::policy::Treatment;
use crate::rule::Rule;
use crate::semantics::cors::{Cors, Repair};
use crate::semantics::entity_tag::EntityTag;
use crate::semantics::fields::XAPI_VERSION;
use crate::semantics::last_modified;
use crate::semantics::preconditions::Matching;

/// One resource and what was seen of it.
#[derive(Clone, Copy)]
pub(super) struct Examined<'a> {
    pub(super) seen: &'a Seen,
    pub(super) rule: &'a Rule,
    /// The version of xAPI that was spoken.
    pub(super) version: &'a str,
    /// Whether credentials were given.
    pub(super) has_credentials: bool,
}

fn found(severity: Severity, code: &'static str, seen: impl Into<String>) -> Finding {
    Finding::new(Side::Upstream, severity, code, seen)
}

fn ok(code: &'static str, seen: impl Into<String>) -> Finding {
    found(Severity::Ok, code, seen)
}

fn note(code: &'static str, seen: impl Into<String>) -> Finding {
    found(Severity::Note, code, seen)
}

fn problem(code: &'static str, seen: impl Into<String>) -> Finding {
    found(Severity::Problem, code, seen)
}

/// All that can be said of a resource at the upstream.
pub(super) fn judge(examined: Examined<'_>) -> Vec<Finding> {
    let Examined { seen, rule, has_credentials, .. } = examined;
    let mut findings: Vec<Finding> = Vec::new();
    findings.extend(unanswered(seen, Side::Upstream));
    findings.extend(access(seen, has_credentials));
    if !findings.iter().any(|finding| finding.code == "credentials-refused") {
        findings.extend(missing(seen, rule));
        findings.extend(creation(seen));
    }
    findings.extend(freshness(seen));
    if seen.document(Step::Read).is_some() {
        for judged in
            [steadiness, contents, entity_tag, renewal, modified, head, conditions, merge, removal, coding]
        {
            findings.extend(judged(examined));
        }
        findings.extend(unconditional(examined));
        findings.extend(beside(examined));
    }
    findings.into_iter().map(|finding| finding.of(&rule.name)).collect()
}

/// What got no answer, said once for each reason.
pub(super) fn unanswered(seen: &Seen, side: Side) -> Vec<Finding> {
    let mut reasons: Vec<(String, usize)> = Vec::new();
    for (_, unanswered) in seen.unanswered() {
        let reason = unanswered.to_string();
        match reasons.iter_mut().find(|(other, _)| *other == reason) {
            Some((_, count)) => *count += 1,
            None => reasons.push((reason, 1)),
        }
    }
    let finding = |(reason, count): (String, usize)| {
        let seen = format!("without an answer, {count} of the questions: {reason}");
        Finding::new(side, Severity::Problem, "unanswered", seen)
    };
    reasons.into_iter().map(finding).collect()
}

fn access(seen: &Seen, has_credentials: bool) -> Option<Finding> {
    let steps = [Step::Missing, Step::Created, Step::Read];
    let is_refusal =
        |status: &StatusCode| matches!(*status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
    let status = steps.into_iter().filter_map(|step| seen.status(step)).find(is_refusal)?;
    Some(refused_credentials(Side::Upstream, status, has_credentials))
}

/// The finding that credentials are missing, or not enough.
pub(super) fn refused_credentials(side: Side, status: StatusCode, has_credentials: bool) -> Finding {
    let status = status.as_u16();
    let finding = |seen| Finding::new(side, Severity::Problem, "credentials-refused", seen);
    if has_credentials {
        return finding(format!("with the credentials that were given, a document was answered {status}"))
            .advising(
                "give those of a client that may read and write documents, compare them with the LRS's, and see that \
                 no hop takes Authorization off",
            );
    }
    finding(format!("without credentials, a document was answered {status}")).advising(
        "give the credentials of a client that may read and write documents: -H 'Authorization: Basic …', or \
         --header-file",
    )
}

/// The finding that there is no one ETag to be sent back.
pub(super) fn several_tags(side: Side) -> Finding {
    let seen = "there is more than one ETag, so that none was sent back in If-Match";
    Finding::new(side, Severity::Problem, "etag-several", seen)
        .advising("find out who adds the second one: clients take either, or both in one")
}

fn missing(seen: &Seen, rule: &Rule) -> Option<Finding> {
    let told = seen.told(Step::Missing)?;
    let look = look(told);
    let absent = &rule.absent;
    let is_known = absent.statuses.contains(&told.status)
        || (look == "\"empty-200\"" && absent.empty)
        || (look == "\"{}\"" && absent.empty_object);
    let seen = format!("a missing document looks like {}", look.trim_matches('"'));
    if is_known {
        return Some(ok("absent-known", seen));
    }
    let may_be_listed =
        told.status == StatusCode::NO_CONTENT || told.status.is_client_error() || look.starts_with('"');
    Some(match may_be_listed {
        true => problem("absent-unknown", format!("{seen}, which counts as something else"))
            .mended_by(Remedy::OfResource(format!("absent = [{}]", listed(rule, &look)))),
        false => {
            problem("absent-unknown", format!("{seen}, which cannot be told from a document or a failure"))
                .advising("have the LRS answer 404, 410 or 204 for a document that is not there")
        }
    })
}

/// What stands for an answer in `absent`.
fn look(told: &Told) -> String {
    let contents = told.decoded().unwrap_or_default();
    match contents.trim_ascii() {
        _ if told.status != StatusCode::OK => told.status.as_u16().to_string(),
        b"" => "\"empty-200\"".into(),
        b"{}" => "\"{}\"".into(),
        _ => "200".into(),
    }
}

fn listed(rule: &Rule, look: &str) -> String {
    let absent = &rule.absent;
    let statuses = absent.statuses.iter().map(|status| status.as_u16().to_string());
    let forms = [(absent.empty, "\"empty-200\""), (absent.empty_object, "\"{}\"")];
    let forms = forms.into_iter().filter(|(is_listed, _)| *is_listed).map(|(_, form)| form.to_owned());
    statuses.chain(forms).chain([look.to_owned()]).collect::<Vec<_>>().join(", ")
}

fn creation(seen: &Seen) -> Option<Finding> {
    let status = seen.status(Step::Created)?;
    if let Some(bare) = seen.status(Step::CreatedBare) {
        let first = status.as_u16();
        return Some(match bare.is_success() {
            true => note(
                "creation-condition-refused",
                format!(
                    "a PUT with If-None-Match: * was answered {first} where nothing was, and without it carried out"
                ),
            ),
            false => problem(
                "creation-refused",
                format!("a document cannot be made: {first}, and {}", bare.as_u16()),
            ),
        });
    }
    match status {
        status if status.is_success() => None,
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => None,
        StatusCode::NOT_FOUND
        | StatusCode::METHOD_NOT_ALLOWED
        | StatusCode::GONE
        | StatusCode::NOT_IMPLEMENTED => Some(
            problem(
                "no-documents",
                format!("this LRS has no document resource here: a PUT was answered {}", status.as_u16()),
            )
            .advising("there is nothing to guard; or its path is another one: give --path"),
        ),
        _ => {
            let told = seen.told(Step::Created)?;
            Some(creation_refused(Side::Upstream, told))
        }
    }
}

/// The finding that a write was refused, in the server's own words.
pub(super) fn creation_refused(side: Side, told: &Told) -> Finding {
    let remedy = match told.status {
        StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => {
            "see that whoever is behind the one that answers this runs, Staleguard and the LRS, and is asked where it listens"
        }
        StatusCode::BAD_REQUEST => {
            "what the answer says tells more; if TLS is spoken there, the URL needs https"
        }
        status if status.is_server_error() => "its own log says why: what was sent is a small JSON document",
        _ => "what the answer says, and the server's own log, tell more",
    };
    let seen = format!("a document cannot be made: {}", told.status_in_words());
    Finding::new(side, Severity::Problem, "creation-refused", seen).advising(remedy)
}

/// Whether what is read is what was written last, on which every verdict rests.
fn freshness(seen: &Seen) -> Option<Finding> {
    let stale = |text: String| {
        problem("stale-read", format!("{text}: no verdict could be relied on"))
            .advising("have GETs answered by what was written last: by no cache, and by no replica that lags")
    };
    if let Some(told) = seen.told(Step::Read).filter(|told| told.status != StatusCode::OK) {
        let status = told.status.as_u16();
        return Some(stale(format!("a document that was just made is answered {status}")));
    }
    let writes = [
        (Step::CreatedOver, "over"),
        (Step::Unstated, "unstated"),
        (Step::Own, "own"),
        (Step::Stale, "stale"),
        (Step::Created, "first"),
    ];
    let (_, last) = writes.into_iter().find(|(step, _)| seen.succeeded(*step))?;
    let came = step_of(&seen.document(Step::After)?.decoded()?)?;
    (came != last).then(|| stale("a GET after a write gives what was there before".to_owned()))
}

fn steadiness(examined: Examined<'_>) -> Vec<Finding> {
    let Examined { seen, rule, .. } = examined;
    let (Some(first), Some(second)) = (seen.document(Step::Read), seen.document(Step::Again)) else {
        return Vec::new();
    };
    let (Some(one), Some(other)) = (first.decoded(), second.decoded()) else { return Vec::new() };
    let mut findings = Vec::new();
    findings.extend(match (likeness(&one, &other), rule.etag_of) {
        (Likeness::SameBytes, _) => None,
        (Likeness::SameValue, Subject::CanonicalJson) => Some(ok(
            "contents-unsteady",
            "two GETs spell one JSON value differently, and etag-of takes care of it",
        )),
        (Likeness::SameValue, Subject::Contents) => Some(
            problem(
                "contents-unsteady",
                "two GETs spell one JSON value differently: no conditional write would succeed",
            )
            .mended_by(Remedy::OfResource("etag-of = \"canonical-json\"".into())),
        ),
        (Likeness::Different, _) => Some(
            problem(
                "contents-unsteady",
                "two GETs give different contents: no conditional write would succeed",
            )
            .advising("find out what the LRS, or a hop before it, changes with every answer"),
        ),
    });
    if one == other && first.etag() != second.etag() {
        let text = "the LRS gives another ETag with every GET; Staleguard's own stays, and a conditional write may \
                    cost two more requests";
        findings.push(note("etag-unsteady", text));
    }
    findings
}

fn contents(examined: Examined<'_>) -> Vec<Finding> {
    let Some(told) = examined.seen.document(Step::Read) else { return Vec::new() };
    let mut findings = Vec::new();
    if told.contents.is_none() {
        findings.push(
            problem("contents-broken", "a small document comes back broken off, or as more than 1 MiB")
                .advising("find out what stands between here and the LRS, or ask its maker"),
        );
    }
    findings.extend(told.decoded().map(|came| match likeness(&first_contents(), &came) {
        Likeness::SameBytes => ok("contents-kept", "JSON comes back byte for byte"),
        Likeness::SameValue => note(
            "contents-rewritten",
            "JSON comes back in another spelling: ETags are made of what is served, and the SHA-1 of what was sent \
             counts too while it is current",
        ),
        Likeness::Different => problem("contents-changed", "JSON comes back as another value")
            .advising("the LRS does not keep what it is given: ask its maker"),
    }));
    let essence = |text: &str| text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let media_type = told.field(&CONTENT_TYPE).unwrap_or_default();
    if essence(&media_type) != "application/json" {
        findings.push(note(
            "content-type-changed",
            format!("application/json comes back as {}", shown(media_type)),
        ));
    }
    findings
}

fn entity_tag(examined: Examined<'_>) -> Vec<Finding> {
    let Some(told) = examined.seen.document(Step::Read) else { return Vec::new() };
    if told.has_several_tags() {
        return vec![several_tags(Side::Upstream)];
    }
    let Some(tag) = told.etag() else {
        return vec![note("etag-none", "the LRS gives no ETag; Staleguard's stand in its place")];
    };
    let of = |contents: &[u8]| EntityTag::from_digest(&Fingerprint::of(Algorithm::Sha1, contents));
    vec![match EntityTag::parse(tag.trim().as_bytes()) {
        None => note(
            "etag-malformed",
            format!("the LRS's ETag is no entity-tag: {}; Staleguard's stand in its place", shown(tag)),
        ),
        Some(tag) if tag.is_weak() => note(
            "etag-weak",
            format!(
                "the LRS's ETag is weak: {}; Staleguard's, which are strong, stand in its place",
                shown(tag)
            ),
        ),
        Some(tag) if told.decoded().is_some_and(|came| of(&came) == tag) => {
            ok("etag-sha1", "the LRS's ETag is the SHA-1 of the contents, as Staleguard's is")
        }
        Some(tag) if of(&first_contents()) == tag => ok(
            "etag-strong",
            "the LRS's ETag is strong: the SHA-1 of what was sent, and not of what is served",
        ),
        Some(_) => ok("etag-strong", "the LRS's ETag is strong"),
    }]
}

/// Whether the upstream's strong entity-tag becomes another one when the contents do.
fn renewal(examined: Examined<'_>) -> Vec<Finding> {
    let Examined { seen, rule, .. } = examined;
    let Some(first) = seen.document(Step::Read) else { return Vec::new() };
    let is_kept = |step: Step| {
        let later = seen.document(step)?;
        let changed = likeness(&first.decoded()?, &later.decoded()?) == Likeness::Different;
        // Others name nothing in If-Match.
        let tag = EntityTag::strong_from_fields(&first.fields)?;
        Some(changed && EntityTag::strong_from_fields(&later.fields) == Some(tag))
    };
    if ![Step::AfterStale, Step::After, Step::AfterMerge].into_iter().any(|step| is_kept(step) == Some(true))
    {
        return Vec::new();
    }
    let text = "the LRS's ETag stays the same when the document changes";
    vec![match rule.matching {
        Matching::Strict => note("etag-not-renewed", text),
        Matching::Lenient => problem(
            "etag-not-renewed",
            format!("{text}: a client that read it past Staleguard could overwrite another's change"),
        )
        .mended_by(Remedy::OfResource("etag-matching = \"strict\"".into())),
    }]
}

fn modified(examined: Examined<'_>) -> Vec<Finding> {
    let Some(told) = examined.seen.document(Step::Read) else { return Vec::new() };
    let Some(value) = told.field(&LAST_MODIFIED) else {
        return vec![note("last-modified-none", "there is no Last-Modified; Staleguard gives one")];
    };
    if httpdate::parse_http_date(&value).is_ok() {
        return vec![ok("last-modified", "Last-Modified is an HTTP-date")];
    }
    let mut fields = HeaderMap::new();
    fields.extend(HeaderValue::from_str(&value).ok().map(|value| (LAST_MODIFIED, value)));
    last_modified::convert(&mut fields);
    let is_read = fields.get(LAST_MODIFIED).is_some_and(|converted| converted.as_bytes() != value.as_bytes());
    vec![match is_read {
        true => note("last-modified-odd", "Last-Modified is no HTTP-date; Staleguard makes one of it"),
        false => note("last-modified-odd", format!("Last-Modified cannot be read: {}", shown(value))),
    }]
}

fn head(examined: Examined<'_>) -> Vec<Finding> {
    let seen = examined.seen;
    let (Some(read), Some(head)) = (seen.document(Step::Read), seen.told(Step::Head)) else {
        return Vec::new();
    };
    let steady = seen.document(Step::Again).is_some_and(|again| again.etag() == read.etag());
    vec![match head.status {
        StatusCode::OK if head.etag() == read.etag() || !steady => ok("head", "HEAD is answered as GET is"),
        StatusCode::OK => note("head-differs", "HEAD gives another ETag than GET; Staleguard asks with GET"),
        status => {
            note("head-differs", format!("HEAD is answered {}; Staleguard asks with GET", status.as_u16()))
        }
    }]
}

/// What the upstream itself makes of preconditions.
fn conditions(examined: Examined<'_>) -> Vec<Finding> {
    let seen = examined.seen;
    let mut findings = Vec::new();
    findings.extend(seen.status(Step::Stale).map(|status| match status {
        status if status.is_success() => note(
            "stale-written",
            "a PUT with a stale If-Match is written by the LRS itself: before it, only Staleguard refuses",
        ),
        StatusCode::PRECONDITION_FAILED => {
            ok("stale-refused", "the LRS itself refuses a stale If-Match: 412")
        }
        status => {
            note("stale-refused", format!("the LRS itself answers a stale If-Match with {}", status.as_u16()))
        }
    }));
    findings.extend(seen.status(Step::Own).map(|status| match status {
        status if status.is_success() => ok("own-etag-accepted", "the LRS accepts its own ETag in If-Match"),
        status => note(
            "own-etag-refused",
            format!(
                "the LRS answers {} to its own ETag in If-Match: the first conditional write costs two more requests",
                status.as_u16()
            ),
        ),
    }));
    findings.extend(seen.status(Step::CreatedOver).map(|status| match status {
        status if status.is_success() => note(
            "creation-overwrites",
            "a PUT with If-None-Match: * over a document is written by the LRS itself: only Staleguard refuses",
        ),
        _ => ok("creation-refused-over", "the LRS itself refuses If-None-Match: * over a document"),
    }));
    findings
}

/// What becomes of a PUT that states nothing, by the rule and by the upstream.
fn unconditional(examined: Examined<'_>) -> Option<Finding> {
    let Examined { seen, rule, version, .. } = examined;
    let status = seen.status(Step::Unstated)?;
    let mut fields = HeaderMap::new();
    fields.extend(HeaderValue::from_str(version).ok().map(|version| (XAPI_VERSION, version)));
    let passes = rule.policy(&Method::PUT, &fields).unconditional.existing == Treatment::Forward;
    let asked = format!("a PUT over a document that states nothing, under {version},");
    Some(match (passes, status.is_success()) {
        (true, true) => note(
            "unconditional-written",
            format!("{asked} is written, and the rule lets it pass; refuse it once all clients state what they started from"),
        )
        .mended_by(Remedy::OfResource("unconditional.PUT = \"conflict\"".into())),
        (true, false) if rule.satisfies => {
            ok("unconditional-satisfied", format!("{asked} is refused by the LRS, and Staleguard states for it what holds"))
        }
        (true, false) => problem(
            "unconditional-refused",
            format!("{asked} is answered {} by the LRS: players that save State so lose it", status.as_u16()),
        )
        .mended_by(Remedy::OfSection("upstream", "conditions = \"satisfy\"".into())),
        (false, true) => ok("unconditional-guarded", format!("{asked} is written by the LRS, and refused by Staleguard")),
        (false, false) => ok("unconditional-guarded", format!("{asked} is refused by the LRS, and by Staleguard")),
    })
}

fn merge(examined: Examined<'_>) -> Vec<Finding> {
    let seen = examined.seen;
    let Some(status) = seen.status(Step::Merged) else { return Vec::new() };
    if !status.is_success() {
        return vec![note(
            "merge-refused",
            format!("a POST that merges JSON is answered {}", status.as_u16()),
        )];
    }
    let came = seen.document(Step::AfterMerge).and_then(Told::decoded);
    let Some(value) = came.and_then(|came| crate::json::read::read(&came)) else { return Vec::new() };
    let (Some(merged), true) = (value.get("merged"), value.get("by").is_some()) else {
        return vec![note(
            "merge-lost",
            "a POST that merges JSON is accepted, and its members are not all there afterwards",
        )];
    };
    let mut findings = vec![ok("merges", "a POST merges JSON")];
    let same = serde_json::from_slice::<serde_json::Value>(&merged_contents())
        .is_ok_and(|sent| sent.get("merged") == Some(merged) && sent.get("empty") == value.get("empty"));
    if !same {
        findings.push(note(
            "values-changed",
            format!(
                "12345678901234567890 and {{}} come back as {} and {}: a PUT of such contents is answered without an ETag",
                shown(merged),
                shown(value.get("empty").unwrap_or_default()),
            ),
        ));
    }
    findings
}

fn removal(examined: Examined<'_>) -> Vec<Finding> {
    let seen = examined.seen;
    let (Some(removed), Some(gone)) = (seen.status(Step::Removed), seen.told(Step::Gone)) else {
        return Vec::new();
    };
    let was_shown = seen.told(Step::After).is_some_and(super::documents::is_ours);
    let is_shown = super::documents::is_ours(gone);
    let looks_missing = !is_shown
        && look(gone) != "200"
        && seen.told(Step::Missing).is_some_and(|missing| look(missing) == look(gone));
    vec![match (removed.is_success(), looks_missing) {
        (true, true) if !was_shown => {
            note("removal-unproved", "a DELETE is accepted, and no GET showed the document before")
        }
        (true, true) => ok("removes", "a DELETE removes the document"),
        (true, false) => {
            problem("not-removed", "a DELETE is accepted, and the document is not missing afterwards")
                .advising("ask the LRS's maker; what is read after a write must be what was written last")
        }
        (false, _) => note("not-removed", format!("a DELETE is answered {}", removed.as_u16())),
    }]
}

fn coding(examined: Examined<'_>) -> Vec<Finding> {
    let Some(told) = examined.seen.document(Step::Read) else { return Vec::new() };
    let coding = told.field(&CONTENT_ENCODING).filter(|coding| !coding.eq_ignore_ascii_case("identity"));
    coding
        .map(|coding| match told.decoded() {
            None if told.contents.is_none() => note(
                "compressed",
                format!("documents come in {}, although none was asked for", shown(coding)),
            ),
            Some(_) => note(
                "compressed",
                format!(
                    "documents come in {}, although none was asked for; Staleguard undoes it",
                    shown(coding)
                ),
            ),
            None => problem(
                "compressed",
                format!(
                    "documents come in {}, although none was asked for, which cannot be undone",
                    shown(coding)
                ),
            )
            .advising("have the LRS, or the hop before it, honour Accept-Encoding: identity"),
        })
        .into_iter()
        .collect()
}

/// What is the same for every document.
fn beside(examined: Examined<'_>) -> Vec<Finding> {
    let Examined { seen, rule, .. } = examined;
    let mut findings = Vec::new();
    findings.extend(cross_origin(seen, rule));
    findings.extend(seen.told(Step::Alternate).map(|told| match super::documents::is_ours(told) {
        true => ok("alternate-syntax", "xAPI's alternate request syntax is understood"),
        false => note(
            "alternate-syntax-refused",
            format!("xAPI's alternate request syntax is answered {}", told.status.as_u16()),
        ),
    }));
    let understands = seen.told(Step::Alternate).is_some_and(super::documents::is_ours);
    let refused =
        |step| seen.told(step).filter(|told| is_too_long(told.status, seen)).map(|told| told.status.as_u16());
    if let (Some(status), true) = (refused(Step::LongPlain), understands) {
        findings.push(
            problem("target-max-refused", format!("a target of upstream.target-max is answered {status}"))
                .mended_by(Remedy::OfSection(
                    "upstream",
                    "target-max = \"2000B\", or what the LRS takes".into(),
                )),
        );
    }
    let lengths =
        [(Step::LongPlain, "upstream.target-max"), (Step::Long8, "8 KiB"), (Step::Long16, "16 KiB")];
    let refused = lengths.into_iter().find_map(|(step, length)| refused(step).map(|status| (length, status)));
    match refused {
        Some((length, status)) => {
            findings.push(note(
                "long-target-refused",
                format!("a target of {length} is answered {status} by the LRS"),
            ));
        }
        None if seen.told(Step::Long16).is_some() => {
            findings.push(ok("long-targets", "targets of 16 KiB are taken"));
        }
        None => {}
    }
    findings
}

/// Whether a status for a long target says something else than that there is no document, or none that can be listed.
pub(super) fn is_too_long(status: StatusCode, seen: &Seen) -> bool {
    let missing = seen.status(Step::Missing);
    let is_as_missing = missing == Some(status);
    !is_as_missing && (status.is_client_error() || status.is_server_error())
}

fn cross_origin(seen: &Seen, rule: &Rule) -> Option<Finding> {
    let (preflight, read) = (seen.told(Step::Preflight)?, seen.told(Step::CrossOrigin)?);
    let allows = |told: &Told| told.fields.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN);
    if !allows(read) {
        return Some(note("cors-none", "pages of other origins may not read documents: the LRS says nothing of CORS")
            .advising("where content is served from another origin, have the LRS allow it; --origin asks for a certain one"));
    }
    let preflight_allows = allows(preflight) && preflight.status.is_success();
    if !preflight_allows {
        return Some(problem(
            "cors-preflight",
            format!("pages of other origins may read, but the preflight of a PUT is answered {} without leave", preflight.status.as_u16()),
        )
        .advising("have the LRS, or the hop before it, answer OPTIONS as it answers GET"));
    }
    let lacks = lacking(&preflight.fields, Repair::Allowed)
        || lacking(&read.fields, Repair::Exposed { xapi: rule.xapi });
    Some(match (lacks, rule.cors) {
        (false, _) => ok("cors", "pages of other origins may read ETag and send If-Match"),
        (true, Cors::Repair) => note(
            "cors-repaired",
            "pages of other origins may not read or send all that preconditions need; Staleguard says that they may",
        ),
        (true, Cors::Relay) => {
            problem("cors-lacking", "pages of other origins may not read or send all that preconditions need")
                .mended_by(Remedy::OfResource("cors = \"repair\"".into()))
        }
    })
}

/// Whether something would have to be repaired.
pub(super) fn lacking(fields: &HeaderMap, repair: Repair) -> bool {
    let mut repaired = fields.clone();
    repair.apply(&mut repaired);
    let size = |fields: &HeaderMap| -> usize {
        let of_cors = |name: &&HeaderName| name.as_str().starts_with("access-control-");
        fields
            .keys()
            .filter(of_cors)
            .map(|name| fields.get_all(name).iter().map(HeaderValue::len).sum::<usize>())
            .sum()
    };
    // It only ever adds names.
    size(&repaired) > size(fields)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::contents::Contents;
    use crate::config::Config;
    use crate::config::environment::Environment;

    fn told(status: u16, contents: &'static str) -> Told {
        let contents = Some(Contents::from(bytes::Bytes::from_static(contents.as_bytes())));
        let status = StatusCode::from_u16(status).expect("a status");
        Told { status, fields: HeaderMap::new(), contents }
    }

    /// What is found of a resource, as `code: advice`.
    fn found_of(config: &str, name: &str, version: &str, steps: Vec<(Step, Told)>) -> Vec<String> {
        let mut seen = Seen::default();
        steps.into_iter().for_each(|(step, told)| seen.note(step, Ok(told)));
        let rules = Config::rules("f", config, &Environment::default()).expect("a configuration");
        let rule = rules.0.iter().find(|rule| &*rule.name == name).expect("the preset's");
        let findings = judge(Examined { seen: &seen, rule, version, has_credentials: false });
        let line = |finding: &Finding| {
            format!(
                "{} {}: {}",
                finding.severity.as_str(),
                finding.code,
                finding.advice().unwrap_or_default()
            )
        };
        findings.iter().map(line).collect()
    }

    #[test]
    fn what_a_missing_document_looks_like_is_compared_with_absent() {
        let known = "ok absent-known: ";
        let unknown =
            |list: &str| format!("problem absent-unknown: under [resource.state]: absent = [{list}]");
        let listing = |list: &str| format!("[resource.state]\nabsent = [{list}]\n");
        for (config, status, contents, expected) in [
            (String::new(), 404, "", known.to_owned()),
            (String::new(), 410, "", known.to_owned()),
            (String::new(), 204, "", unknown("404, 410, 204")),
            (String::new(), 400, "", unknown("404, 410, 400")),
            (String::new(), 200, "", unknown("404, 410, \"empty-200\"")),
            (String::new(), 200, " {} ", unknown("404, 410, \"{}\"")),
            (listing("404, \"{}\""), 200, "", unknown("404, \"{}\", \"empty-200\"")),
            (listing("404, \"{}\""), 200, "{}", known.to_owned()),
            (listing("\"empty-200\""), 200, "", known.to_owned()),
            (listing("204"), 204, "", known.to_owned()),
        ] {
            let found = found_of(&config, "state", "1.0.3", vec![(Step::Missing, told(status, contents))]);
            assert_eq!(found, [expected], "{config} {status} {contents:?}");
        }
        for (status, contents) in [(200, "[]"), (302, ""), (500, "")] {
            let found = found_of("", "state", "1.0.3", vec![(Step::Missing, told(status, contents))]);
            assert!(found[0].starts_with("problem absent-unknown: have the LRS answer"), "{found:?}");
        }
    }

    #[test]
    fn a_put_that_states_nothing_is_judged_beside_the_rule() {
        let satisfied = "[upstream]\nconditions = \"satisfy\"\n";
        let remedy = "problem unconditional-refused: under [upstream]: conditions = \"satisfy\"";
        for (config, name, version, status, expected) in [
            (
                "",
                "state",
                "1.0.3",
                204,
                "note unconditional-written: under [resource.state]: unconditional.PUT = \"conflict\"",
            ),
            ("", "state", "1.0.3", 409, remedy),
            ("", "state", "1.0.3", 400, remedy),
            (satisfied, "state", "1.0.3", 409, "ok unconditional-satisfied: "),
            ("", "state", "2.0.0", 409, "ok unconditional-guarded: "),
            ("", "state", "2.0.0", 204, "ok unconditional-guarded: "),
            ("", "agent-profile", "1.0.3", 204, "ok unconditional-guarded: "),
            ("", "agent-profile", "1.0.3", 409, "ok unconditional-guarded: "),
        ] {
            let steps = vec![(Step::Read, told(200, "{}")), (Step::Unstated, told(status, ""))];
            let found = found_of(config, name, version, steps);
            assert!(
                found.iter().any(|found| found == expected),
                "{config} {name} {version} {status}: {found:?}"
            );
        }
    }

    #[test]
    fn an_lrs_without_documents_is_told_from_one_that_refuses() {
        for (status, code) in [
            (404, Some("problem no-documents")),
            (405, Some("problem no-documents")),
            (501, Some("problem no-documents")),
            (500, Some("problem creation-refused")),
            (401, Some("problem credentials-refused")),
            (403, Some("problem credentials-refused")),
            (204, None),
        ] {
            let steps = vec![(Step::Missing, told(404, "")), (Step::Created, told(status, ""))];
            let found = found_of("", "state", "1.0.3", steps);
            let found: Vec<_> = found.iter().filter(|found| !found.starts_with("ok")).collect();
            let codes: Vec<_> =
                found.iter().filter_map(|found| found.split_once(':')).map(|(code, _)| code).collect();
            assert_eq!(codes, code.into_iter().collect::<Vec<_>>(), "{status}");
        }
    }

    #[test]
    fn a_removal_is_proved_by_what_was_shown_and_is_not_shown_any_more() {
        const OURS: &str = "{\"by\":\"staleguard-doctor\"}";
        for (missing, after, gone, expected) in [
            ((404, ""), OURS, (404, ""), "ok removes: "),
            ((200, "{}"), OURS, (200, "{}"), "ok removes: "),
            ((404, ""), "welcome", (404, ""), "note removal-unproved: "),
            ((200, "welcome"), "welcome", (200, "welcome"), "problem not-removed: "),
            ((404, ""), OURS, (200, OURS), "problem not-removed: "),
        ] {
            let steps = vec![
                (Step::Missing, told(missing.0, missing.1)),
                (Step::Read, told(200, after)),
                (Step::After, told(200, after)),
                (Step::Removed, told(204, "")),
                (Step::Gone, told(gone.0, gone.1)),
            ];
            let found = found_of("", "state", "1.0.3", steps);
            assert!(found.iter().any(|found| found.starts_with(expected)), "{missing:?} {gone:?}: {found:?}");
        }
    }
}
