//! What the answers through the public URL mean: is Staleguard there, and what do the hops in front of it do? Nobody is
//! asked here.

use http::StatusCode;
use http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, AGE, CACHE_CONTROL, CONTENT_ENCODING, LOCATION, SERVER};

use super::documents::MARK;
use super::finding::{Finding, Remedy, Severity, Side, shown};
use super::judge_upstream::{creation_refused, lacking, refused_credentials, several_tags, unanswered};
use super::place::Told;
use super::seen::{Likeness, Seen, Step, large_contents, likeness, step_of};
use crate::guard::policy::Mode;
use crate::rule::Rule;
use crate::semantics::cors::{Cors, Repair};
use crate::semantics::entity_tag::EntityTag;
use crate::semantics::fields::{PROXY_STATUS, X_REQUEST_ID};
use crate::semantics::preconditions::Matching;

/// The hops' own directives that leave entity-tags alone.
const LEAVE_TAGS: &str = "let no hop compress these paths: nginx: gzip off; Apache: DeflateAlterETag NoChange and \
                          BrotliAlterETag NoChange; Varnish: no do_gzip; Caddy: no encode; Envoy: no compressor";

/// A resource and what was seen of it through the public URL.
#[derive(Clone, Copy)]
pub(super) struct Examined<'a> {
    pub(super) seen: &'a Seen,
    pub(super) rule: &'a Rule,
    /// Whether credentials were given.
    pub(super) has_credentials: bool,
    /// Whether observed resources show our entity-tags (`observe.etags`).
    pub(super) shows_tags: bool,
    /// `listen.header-max`.
    pub(super) header_max: u64,
    /// Whether the upstream refuses long targets itself.
    pub(super) upstream_refuses_long: bool,
}

/// What became of an entity-tag on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    /// It arrived as it was sent.
    None,
    /// It did not arrive.
    Removed,
    /// It arrived in another form.
    Altered {
        /// `W/` was put in front.
        weak: bool,
        /// The quotes were taken off.
        unquoted: bool,
        /// Something was put behind it.
        suffix: String,
    },
    /// Another one arrived.
    Other,
}

fn found(severity: Severity, code: &'static str, seen: impl Into<String>) -> Finding {
    Finding::new(Side::Public, severity, code, seen)
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

/// All that can be said of a resource through the public URL.
pub(super) fn judge(examined: Examined<'_>) -> Vec<Finding> {
    let Examined { seen, rule, .. } = examined;
    let mut findings = unanswered(seen, Side::Public);
    match made(examined) {
        Err(finding) => findings.extend(finding),
        Ok(()) => {
            findings.extend(presence(examined));
            for judged in
                [tag, revalidation, head, own, freshness, caching, coding, cross_origin, long_targets]
            {
                findings.extend(judged(examined));
            }
        }
    }
    findings.into_iter().map(|finding| finding.of(&rule.name)).collect()
}

/// Whether there is a document to say anything of.
fn made(examined: Examined<'_>) -> Result<(), Option<Finding>> {
    let Examined { seen, has_credentials, .. } = examined;
    let refused = |status| Err(Some(refused_credentials(Side::Public, status, has_credentials)));
    let Some(told) = seen.told(Step::Created) else {
        return match seen.told(Step::Missing) {
            Some(told) if matches!(told.status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => {
                refused(told.status)
            }
            Some(told) if told.is_page() => Err(Some(
                problem("not-found", "a page for people stands where documents are: nothing was written")
                    .advising("give the URL with the LRS's base path, as in https://lrs.example.org/xapi"),
            )),
            Some(told) if !seen.asked(Step::Created) => Err(Some(creation_refused(Side::Public, told))),
            _ => Err(None),
        };
    };
    let status = told.status;
    match status {
        status if status.is_success() => Ok(()),
        StatusCode::UNAUTHORIZED => refused(status),
        status if status.is_redirection() => Err(Some(redirected(told))),
        StatusCode::FORBIDDEN | StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED => {
            Err(Some(problem("method-refused", format!("a PUT is answered {}", status.as_u16())).advising(
                "let the hops in front, and firewalls above all, pass PUT and DELETE to these paths",
            )))
        }
        StatusCode::NOT_FOUND => Err(Some(
            problem("not-found", "a PUT is answered 404: the LRS is not at this URL")
                .advising("give the URL with the LRS's base path, as in https://lrs.example.org/xapi"),
        )),
        _ => Err(Some(creation_refused(Side::Public, told))),
    }
}

/// The finding that no LRS is told at this URL, where nothing is written then.
pub(super) fn no_about(told: &Told, has_credentials: bool, is_secure: bool) -> Finding {
    let status = told.status;
    if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
        return refused_credentials(Side::Public, status, has_credentials);
    }
    if matches!(
        status,
        StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT
    ) {
        return creation_refused(Side::Public, told);
    }
    let text = format!(
        "about, which names the versions of xAPI, is answered {} in its place: nothing is written there",
        told.status_in_words()
    );
    problem("no-about", text).advising(match status {
        StatusCode::BAD_REQUEST if !is_secure => {
            "if TLS is spoken there, give the URL with https, and with the LRS's base path"
        }
        _ => "give the URL with the LRS's base path; for an LRS that has no about, --without-about besides",
    })
}

/// The finding of a redirect, which is not followed: credentials go nowhere else.
pub(super) fn redirected(told: &Told) -> Finding {
    let to = told.field(&LOCATION).unwrap_or_default();
    // What stands behind the path may be a secret.
    let to = to.split(['?', '#']).next().unwrap_or_default();
    let to = to.split_once('@').map_or(to, |(_, host)| host);
    problem(
        "redirected",
        format!("it redirects ({}) to {}; that is not followed", told.status.as_u16(), shown(to)),
    )
    .advising(
        "give the URL that it redirects to, if clients use that one: many do not repeat a PUT elsewhere",
    )
}

/// Whether an answer was made by Staleguard (RFC 9209).
fn is_marked(told: &Told) -> bool {
    let lines = told.field(&PROXY_STATUS).unwrap_or_default();
    lines.split(',').any(|member| member.trim_start().starts_with("staleguard"))
}

/// Whether the entity-tag that arrived is Staleguard's and cannot be the upstream's own.
fn tag_is_ours(examined: Examined<'_>) -> bool {
    let Examined { seen, rule, .. } = examined;
    let (Some(read), Some(expected)) = (seen.document(Step::Read), expected(examined)) else { return false };
    let of_upstream = seen.document(Step::Behind).and_then(Told::etag);
    let is_ours = matches!(change(&expected, read.etag().as_deref()), Change::None | Change::Altered { .. });
    rule.mode == Mode::Enforce && is_ours && of_upstream.is_none_or(|tag| tag != expected.to_string())
}

/// The entity-tag that Staleguard sends.
fn expected(examined: Examined<'_>) -> Option<EntityTag> {
    let Examined { seen, rule, shows_tags, .. } = examined;
    let behind = seen.document(Step::Behind);
    let ours = || behind.or(seen.document(Step::Read)).and_then(|told| told.guarded_tag(rule));
    match rule.mode {
        Mode::Enforce => ours(),
        Mode::Observe => {
            let theirs = behind.and_then(Told::etag);
            match theirs {
                Some(tag) => EntityTag::parse(tag.as_bytes()),
                None => shows_tags.then(ours).flatten(),
            }
        }
    }
}

/// What became of an entity-tag.
pub(super) fn change(sent: &EntityTag, arrived: Option<&str>) -> Change {
    let Some(arrived) = arrived.map(str::trim) else { return Change::Removed };
    if arrived == sent.to_string() {
        return Change::None;
    }
    let (weak, rest) = match arrived.strip_prefix("W/") {
        Some(rest) => (true, rest),
        None => (false, arrived),
    };
    let quoted = rest.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let opaque = String::from_utf8_lossy(&sent.opaque()).into_owned();
    match quoted.unwrap_or(rest).strip_prefix(&opaque) {
        Some(suffix) => Change::Altered {
            weak: weak && !sent.is_weak(),
            unquoted: quoted.is_none(),
            suffix: suffix.to_owned(),
        },
        None => Change::Other,
    }
}

/// Whether Staleguard is there at all, and is told what clients state.
fn presence(examined: Examined<'_>) -> Vec<Finding> {
    let Examined { seen, rule, .. } = examined;
    if rule.mode == Mode::Observe {
        let observing = note(
            "observing",
            "in observe mode nothing is refused, so that nobody can tell here whether If-Match reaches Staleguard",
        );
        return [observing].into_iter().chain(passage(seen)).collect();
    }
    let is_here = is_here(examined);
    let Some(stale) = seen.told(Step::Stale) else { return Vec::new() };
    if !is_here {
        return vec![not_here(examined, stale)];
    }
    let mut findings = Vec::new();
    findings.push(match stale.status {
        StatusCode::PRECONDITION_FAILED if is_marked(stale) => {
            ok("guarded", "a stale If-Match is refused by Staleguard: 412")
        }
        StatusCode::PRECONDITION_FAILED => {
            note("unmarked", "a stale If-Match is refused (412), and a hop takes Proxy-Status off")
                .advising("let Proxy-Status pass, if support is to tell Staleguard's refusals from the LRS's")
        }
        status => not_heard("if-match-stripped", "If-Match", stale, status),
    });
    findings.extend(seen.told(Step::CreatedOver).and_then(|told| match told.status {
        StatusCode::PRECONDITION_FAILED => None,
        status => Some(not_heard("if-none-match-stripped", "If-None-Match", told, status)),
    }));
    findings.extend(replaced(stale));
    findings
}

/// Whether anything shows that an enforcing Staleguard is on the way.
fn is_here(examined: Examined<'_>) -> bool {
    let steps = [Step::Stale, Step::CreatedOver, Step::Own];
    steps.into_iter().filter_map(|step| examined.seen.told(step)).any(is_marked) || tag_is_ours(examined)
}

/// The same with another reason why it may look as if nobody enforced.
fn or_observing(examined: Examined<'_>, remedy: &str) -> String {
    let observing =
        "; or Staleguard is in observe mode there (run --observe, mode = \"observe\"): ask with --observe";
    let may_observe = examined.rule.mode == Mode::Enforce && !is_here(examined);
    format!("{remedy}{}", if may_observe { observing } else { "" })
}

/// Whether Staleguard is on the way at all: in every mode it gives the X-Request-Id of a request back.
fn passage(seen: &Seen) -> Option<Finding> {
    let id = |step| seen.told(step).map(|told| told.field(&X_REQUEST_ID));
    let is_brought = |id: &Option<String>| id.as_ref().is_some_and(|id| id.starts_with(MARK));
    let cannot_tell = |why: &str| {
        note("passage-unknown", format!("whether Staleguard is on the way cannot be told: {why}"))
            .advising("look for the requests of this visit in Staleguard's access log")
    };
    let arrived = id(Step::Read)?;
    Some(match (arrived, id(Step::Behind)) {
        (_, None) => cannot_tell("the LRS itself was not asked for comparison"),
        (None, Some(None)) => problem(
            "not-through-staleguard",
            "X-Request-Id, which Staleguard gives back in every mode, does not come back: this URL goes around it",
        )
        .advising("lead this URL to Staleguard; or let X-Request-Id pass, if a hop takes it off"),
        (None, Some(Some(_))) => cannot_tell("a hop takes X-Request-Id off"),
        (arrived, Some(of_upstream)) if is_brought(&arrived) && !is_brought(&of_upstream) => {
            ok("through-staleguard", "X-Request-Id comes back as Staleguard gives it, and not from the LRS")
        }
        (Some(_), Some(None)) => {
            ok("through-staleguard", "an X-Request-Id comes back as from Staleguard, and none from the LRS")
        }
        (Some(_), Some(Some(_))) => cannot_tell("the LRS answers with an X-Request-Id, too"),
    })
}

fn not_here(examined: Examined<'_>, stale: &Told) -> Finding {
    let status = stale.status.as_u16();
    let seen = match stale.status.is_success() {
        true => format!(
            "a stale If-Match is accepted ({status}), and nothing shows that Staleguard is on the way"
        ),
        false => format!("a stale If-Match is answered {status}, and not by Staleguard"),
    };
    problem("not-guarded", seen).advising(or_observing(
        examined,
        "lead this URL to Staleguard, and have the LRS listen where nobody else reaches it",
    ))
}

/// A precondition that was stated here and of which Staleguard knows nothing.
fn not_heard(code: &'static str, field: &str, told: &Told, status: StatusCode) -> Finding {
    let by = if is_marked(told) { ", by Staleguard, as if it were not there" } else { "" };
    problem(code, format!("{field} does not arrive: a PUT with one that fails is answered {}{by}", status.as_u16()))
        .advising(format!(
            "find the hop that takes {field} off (proxy_set_header {field} \"\"; RequestHeader unset; a cache, a firewall, an \
             LMS that passes requests on) and let it pass"
        ))
}

/// Whether a hop puts its own page in the place of a refusal.
fn replaced(stale: &Told) -> Option<Finding> {
    let text = stale.decoded()?;
    let is_whole = text.windows(19).any(|window| window == b"Nothing was written");
    (stale.status == StatusCode::PRECONDITION_FAILED && !is_whole).then(|| {
        problem("refusal-replaced", "the text of a 412, which tells clients what to do, does not arrive")
            .advising("let error answers pass: nginx: proxy_intercept_errors off; Apache: ProxyErrorOverride Off; HAProxy: no http-error for them")
    })
}

fn tag(examined: Examined<'_>) -> Vec<Finding> {
    let Examined { seen, rule, .. } = examined;
    let (Some(read), Some(sent)) = (seen.document(Step::Read), expected(examined)) else { return Vec::new() };
    if read.has_several_tags() {
        return vec![several_tags(Side::Public)];
    }
    let arrived = read.etag();
    let hop = read.field(&SERVER).map(|server| format!(" (Server: {})", shown(server))).unwrap_or_default();
    let shown_tag = shown(arrived.clone().unwrap_or_default());
    vec![match change(&sent, arrived.as_deref()) {
        Change::None => ok("etag-arrives", "the ETag arrives as it was sent"),
        Change::Removed => problem("etag-stripped", format!("the ETag does not arrive{hop}")).advising(
            or_observing(examined, &format!("a hop takes it off, as Envoy's compressor does: {LEAVE_TAGS}")),
        ),
        Change::Other if seen.document(Step::Behind).and_then(Told::etag) == arrived => problem(
            "etag-not-ours",
            "the ETag that arrives is the LRS's own: this URL goes around Staleguard",
        )
        .advising(or_observing(examined, "lead this URL to Staleguard")),
        Change::Other => {
            problem("etag-rewritten", format!("another ETag arrives than was sent: {shown_tag}{hop}"))
                .advising(format!("a hop makes ETags of its own: {LEAVE_TAGS}"))
        }
        Change::Altered { weak, unquoted, suffix } => {
            let code = match (weak, unquoted, suffix.is_empty()) {
                (_, _, false) => "etag-suffixed",
                (true, _, true) => "etag-weakened",
                (false, _, true) => "etag-unquoted",
            };
            let text = format!("the ETag arrives as {shown_tag}{hop}");
            match rule.matching {
                Matching::Lenient => note(code, format!("{text}; Staleguard knows it again"))
                    .advising(format!("to keep it as it is, {LEAVE_TAGS}")),
                Matching::Strict => {
                    problem(code, format!("{text}, and etag-matching = \"strict\" refuses that in If-Match"))
                        .mended_by(Remedy::OfResource("etag-matching = \"lenient\"".into()))
                }
            }
        }
    }]
}

fn revalidation(examined: Examined<'_>) -> Vec<Finding> {
    let Examined { seen, rule, .. } = examined;
    let status = seen.status(Step::Revalidated).filter(|_| rule.mode == Mode::Enforce);
    let finding = status.map(|status| match status {
        StatusCode::NOT_MODIFIED => ok("revalidates", "If-None-Match with the ETag as it arrived gives 304"),
        status => note(
            "not-revalidated",
            format!(
                "If-None-Match with the ETag as it arrived gives {}: documents are sent again and again",
                status.as_u16()
            ),
        ),
    });
    finding.into_iter().collect()
}

fn head(examined: Examined<'_>) -> Vec<Finding> {
    let seen = examined.seen;
    let (Some(read), Some(head)) = (seen.document(Step::Read), seen.told(Step::Head)) else {
        return Vec::new();
    };
    vec![match head.status {
        StatusCode::OK if head.etag() == read.etag() => ok("head", "HEAD is answered as GET is"),
        StatusCode::OK => note(
            "head-differs",
            format!("HEAD gives another ETag than GET: {}", shown(head.etag().unwrap_or_default())),
        ),
        status => note("head-differs", format!("HEAD is answered {}", status.as_u16())),
    }]
}

/// Whether a client can write with what it was given.
fn own(examined: Examined<'_>) -> Vec<Finding> {
    let Examined { seen, rule, .. } = examined;
    let Some(told) = seen.told(Step::Own).filter(|_| rule.mode == Mode::Enforce) else { return Vec::new() };
    match told.status {
        status if status.is_success() => {
            vec![ok("etag-accepted", "the ETag is accepted in If-Match as it arrived")]
        }
        status => {
            let code = status.as_u16();
            let finding = problem(
                "etag-refused",
                format!("a PUT with the ETag as it arrived in If-Match is answered {code}"),
            );
            vec![match rule.matching {
                Matching::Strict => {
                    finding.mended_by(Remedy::OfResource("etag-matching = \"lenient\"".into()))
                }
                Matching::Lenient => finding.advising(LEAVE_TAGS),
            }]
        }
    }
}

/// Whether what is read is what was written last, and where it was written.
fn freshness(examined: Examined<'_>) -> Vec<Finding> {
    let seen = examined.seen;
    let written = [Step::Own, Step::CreatedOver, Step::Stale, Step::Created];
    let last = written.into_iter().find(|step| seen.succeeded(*step));
    let Some(expected) = last.and_then(name) else { return Vec::new() };
    let mut findings = Vec::new();
    let reads = [Step::Read, Step::AfterStale, Step::After];
    let missed =
        reads.into_iter().filter_map(|step| seen.told(step)).find(|told| told.status != StatusCode::OK);
    if let Some(told) = missed {
        let (status, age) = (told.status.as_u16(), age(told));
        findings.push(stale_read(format!(
            "a read of a document that was just written is answered {status}{age}"
        )));
    }
    let step = |told: &Told| told.decoded().and_then(|contents| step_of(&contents));
    if let Some(read) = seen.document(Step::After).and_then(|told| Some((told, step(told)?)))
        && read.1 != expected
    {
        let age = age(read.0);
        findings.push(stale_read(format!("a read after a write gives what was there before{age}")));
    }
    if let Some(behind) = seen.told(Step::AfterBehind) {
        let is_there = behind.status == StatusCode::OK;
        let contents = behind.decoded().unwrap_or_default();
        findings.push(
            match is_there && likeness(&large_contents(expected), &contents) != Likeness::Different {
                true => ok("same-lrs", "what is written here is at the upstream"),
                false if is_there => {
                    problem("other-contents", "what is written here is at the upstream with other contents")
                        .advising("find the hop that changes what is sent")
                }
                false => problem("another-lrs", "what is written here is not at the upstream").advising(
                    "this URL leads to another LRS, or another path: compare it with upstream.url and --path",
                ),
            },
        );
    }
    findings
}

fn stale_read(seen: String) -> Finding {
    problem("stale-read", format!("{seen}: something on the way keeps old answers"))
        .advising("have no cache keep these paths: they are private, and must be asked for each time")
}

/// How old an answer says that it is.
fn age(told: &Told) -> String {
    told.field(&AGE).map(|age| format!(" (Age: {})", shown(age))).unwrap_or_default()
}

/// The name that a step has in its contents.
fn name(step: Step) -> Option<&'static str> {
    match step {
        Step::Own => Some("own"),
        Step::CreatedOver => Some("over"),
        Step::Stale => Some("stale"),
        Step::Created => Some("first"),
        _ => None,
    }
}

fn caching(examined: Examined<'_>) -> Vec<Finding> {
    let Examined { seen, rule, .. } = examined;
    let Some(read) = seen.document(Step::Read).filter(|_| rule.mode == Mode::Enforce) else {
        return Vec::new();
    };
    let of_upstream = seen.document(Step::Behind).and_then(|told| told.field(&CACHE_CONTROL));
    let sent = of_upstream.unwrap_or_else(|| "private, no-cache, no-transform".to_owned());
    let directives = |text: &str| {
        let mut all: Vec<_> =
            text.split(',').map(|directive| directive.trim().to_ascii_lowercase()).collect();
        all.sort();
        all
    };
    let arrived = read.field(&CACHE_CONTROL);
    vec![match &arrived {
        Some(arrived) if directives(arrived) == directives(&sent) => ok("cache-control", "Cache-Control arrives as it was sent"),
        _ => note(
            "cache-control-changed",
            format!("Cache-Control was sent as {}, and arrives as {}", shown(&sent), shown(arrived.as_deref().unwrap_or("nothing"))),
        )
        .advising(or_observing(
            examined,
            "leave it alone: without private and no-cache, caches may keep a learner's documents, and browsers old ones",
        )),
    }]
}

fn coding(examined: Examined<'_>) -> Vec<Finding> {
    let Some(read) = examined.seen.document(Step::Read) else { return Vec::new() };
    let coding = read.field(&CONTENT_ENCODING).filter(|coding| !coding.eq_ignore_ascii_case("identity"));
    let finding =
        coding.map(|coding| note("compressed", format!("a hop compresses documents ({})", shown(coding))));
    finding.into_iter().collect()
}

fn cross_origin(examined: Examined<'_>) -> Vec<Finding> {
    let Examined { seen, rule, .. } = examined;
    let (Some(preflight), Some(read)) = (seen.told(Step::Preflight), seen.told(Step::CrossOrigin)) else {
        return Vec::new();
    };
    let allows = |told: &Told| told.fields.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN);
    if !allows(read) {
        return vec![note(
            "cors-none",
            "pages of other origins may not read documents: nothing is said of CORS",
        )];
    }
    if !allows(preflight) || !preflight.status.is_success() {
        let status = preflight.status.as_u16();
        return vec![
            problem(
                "cors-preflight",
                format!("the preflight of a PUT from another origin is answered {status} without leave"),
            )
            .advising("have OPTIONS answered as GET is, without credentials"),
        ];
    }
    let lacks = lacking(&preflight.fields, Repair::Allowed)
        || lacking(&read.fields, Repair::Exposed { xapi: rule.xapi });
    vec![match (lacks, rule.cors) {
        (false, _) => ok("cors", "pages of other origins may read ETag and send If-Match"),
        (true, Cors::Relay) => problem("cors-lacking", "pages of other origins may not read or send all that preconditions need")
            .mended_by(Remedy::OfResource("cors = \"repair\"".into())),
        (true, Cors::Repair) if rule.mode == Mode::Observe => note("cors-lacking", "pages of other origins may not read or send all that preconditions need; Staleguard repairs it once it enforces"),
        (true, Cors::Repair) => problem("cors-lacking", "pages of other origins may not read or send all that preconditions need, although Staleguard says so")
            .advising("let Access-Control-Expose-Headers and Access-Control-Allow-Headers pass as Staleguard sends them, and let no hop answer OPTIONS"),
    }]
}

fn long_targets(examined: Examined<'_>) -> Vec<Finding> {
    let Examined { seen, header_max, upstream_refuses_long, .. } = examined;
    let refused = |step| {
        let status = seen.status(step)?;
        (super::judge_upstream::is_too_long(status, seen)).then_some(status.as_u16())
    };
    let lengths = [(Step::Long8, 8, "8 KiB"), (Step::Long16, 16, "16 KiB")];
    for (step, kib, length) in lengths {
        let Some(status) = refused(step) else { continue };
        let text = format!("a target of {length} is answered {status}");
        if upstream_refuses_long {
            return vec![note(
                "long-target-refused",
                format!("{text}, and the LRS itself refuses long ones"),
            )];
        }
        return vec![match header_max < kib * 1024 {
            true => problem("long-target-refused", text)
                .mended_by(Remedy::OfSection("listen", "header-max = \"64KiB\"".into())),
            false => problem("long-target-refused", text).advising(
                "xAPI puts whole agents and IRIs into the query: nginx: large_client_header_buffers 4 64k; Apache: \
                 LimitRequestLine 65536; HAProxy: tune.bufsize 65536; Varnish: http_req_size=64k",
            ),
        }];
    }
    match seen.told(Step::Long16) {
        Some(_) => vec![ok("long-targets", "targets of 16 KiB arrive")],
        None => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;
    use crate::body::contents::Contents;
    use crate::config::Config;
    use crate::config::environment::Environment;

    fn told(status: u16, fields: &[(&'static str, &str)], contents: &[u8]) -> Told {
        let mut map = HeaderMap::new();
        for (name, value) in fields {
            map.append(*name, value.parse().expect("a field's value"));
        }
        let contents = Contents::from(bytes::Bytes::copy_from_slice(contents));
        Told {
            status: StatusCode::from_u16(status).expect("a status"),
            fields: map,
            contents: Some(contents),
        }
    }

    fn rule(config: &str) -> Rule {
        let rules = Config::rules("f", config, &Environment::default()).expect("a configuration");
        let rule = rules.0.iter().find(|rule| &*rule.name == "state").expect("the preset's");
        Rule::clone(rule)
    }

    /// The codes that are more than "ok" of what was seen.
    fn remarks(config: &str, steps: Vec<(Step, Told)>) -> Vec<&'static str> {
        let mut seen = Seen::default();
        steps.into_iter().for_each(|(step, told)| seen.note(step, Ok(told)));
        let (rule, header_max) = (rule(config), 64 * 1024);
        let examined = Examined {
            seen: &seen,
            rule: &rule,
            has_credentials: false,
            shows_tags: false,
            header_max,
            upstream_refuses_long: false,
        };
        let findings = judge(examined);
        findings
            .iter()
            .filter(|finding| finding.severity != Severity::Ok)
            .map(|finding| finding.code)
            .collect()
    }

    #[test]
    fn what_became_of_an_entity_tag_is_told() {
        let sent = EntityTag::parse(b"\"ab\"").expect("a tag");
        let altered =
            |weak, unquoted, suffix: &str| Change::Altered { weak, unquoted, suffix: suffix.to_owned() };
        for (arrived, expected) in [
            (None, Change::Removed),
            (Some("\"ab\""), Change::None),
            (Some(" \"ab\" "), Change::None),
            (Some("W/\"ab\""), altered(true, false, "")),
            (Some("\"ab-gzip\""), altered(false, false, "-gzip")),
            (Some("W/\"ab-br\""), altered(true, false, "-br")),
            (Some("ab"), altered(false, true, "")),
            (Some("W/ab"), altered(true, true, "")),
            (Some("\"cd\""), Change::Other),
            (Some("\"xab\""), Change::Other),
        ] {
            assert_eq!(change(&sent, arrived), expected, "{arrived:?}");
        }
    }

    #[test]
    fn who_refuses_a_stale_write_tells_whether_staleguard_is_there() {
        const BY_US: (&str, &str) = ("proxy-status", "staleguard; error=http_request_error");
        let text = b"Nothing was written: If-Match does not name it.";
        let refused = || told(412, &[BY_US], text);
        for (name, stale, over, expected) in [
            ("it is there", refused(), refused(), &[][..]),
            (
                "a hop before it says so too",
                told(412, &[("proxy-status", "edge; error=x, staleguard; error=y")], text),
                refused(),
                &[],
            ),
            ("nobody refuses", told(204, &[], b""), told(204, &[], b""), &["not-guarded"]),
            ("the LRS refuses", told(412, &[], b"no"), told(412, &[], b"no"), &["not-guarded"]),
            (
                "a namesake refuses",
                told(412, &[("proxy-status", "other; details=\"staleguard\"")], text),
                told(412, &[], b""),
                &["not-guarded"],
            ),
            ("If-Match is lost", told(204, &[], b""), refused(), &["if-match-stripped"]),
            (
                "If-Match is lost, where it is asked for",
                told(409, &[BY_US], b""),
                refused(),
                &["if-match-stripped"],
            ),
            (
                "both are lost",
                told(428, &[BY_US], b""),
                told(428, &[BY_US], b""),
                &["if-match-stripped", "if-none-match-stripped"],
            ),
            ("the text is lost", told(412, &[BY_US], b"<h1>"), refused(), &["refusal-replaced"]),
        ] {
            let steps =
                vec![(Step::Created, told(204, &[], b"")), (Step::Stale, stale), (Step::CreatedOver, over)];
            assert_eq!(remarks("", steps), expected, "{name}");
        }
        let nobody = vec![(Step::Created, told(204, &[], b"")), (Step::Stale, told(204, &[], b""))];
        assert_eq!(remarks("[guard]\nmode = \"observe\"\n", nobody), ["observing"]);
    }

    #[test]
    fn an_entity_tag_that_only_staleguard_can_have_made_proves_that_it_is_there() {
        let contents = large_contents("first");
        let ours = told(200, &[], &contents).guarded_tag(&rule("")).expect("a tag").to_string();
        let steps = |of_upstream: &str| {
            vec![
                (Step::Created, told(204, &[], b"")),
                (
                    Step::Read,
                    told(
                        200,
                        &[("etag", &ours), ("cache-control", "no-transform, private, no-cache")],
                        &contents,
                    ),
                ),
                (Step::Behind, told(200, &[("etag", of_upstream)], &contents)),
                (Step::Stale, told(412, &[], b"Nothing was written")),
            ]
        };
        assert_eq!(remarks("", steps("\"7\"")), ["unmarked"]);
        assert_eq!(remarks("", steps(&ours)), ["not-guarded"], "the upstream's own is the same");
    }

    #[test]
    fn a_redirect_is_shown_without_what_may_be_secret() {
        let finding = redirected(&told(302, &[("location", "https://u:hush@a.example/b?c=hush#hush")], b""));
        assert!(finding.seen.contains("a.example/b") && !finding.seen.contains("hush"), "{}", finding.seen);
    }
}
