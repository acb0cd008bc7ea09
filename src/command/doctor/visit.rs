//! The order of the questions, and who is asked them.

use std::io::Write;
use std::sync::Arc;

use http::header::HeaderValue;
use http::{Request, StatusCode};
use rustls::CertificateError;
use serde_json::Value;

use super::arguments::PublicUrl;
use super::ask_upstream::Beside;
use super::documents::{Document, Kind, Ledger};
use super::finding::{Finding, Findings, Severity, Side, shown};
use super::place::{Count, Place, Question, Told, Unanswered};
use super::report::Report;
use super::{ask_public, ask_upstream, judge_public, judge_upstream};
use crate::config::Config;
use crate::guard::policy::Mode;
use crate::rule::Rule;
use crate::rule::select::Selection;
use crate::upstream::failure::Failure;

/// Where LRSs usually are, the most usual first.
const USUAL_PATHS: [&str; 5] = ["/xapi", "/data/xAPI", "/xAPI", "/lrs/xapi", ""];

/// Who is asked what.
pub(super) struct Visit {
    pub(super) config: Config,
    pub(super) upstream: Place,
    pub(super) upstream_url: String,
    pub(super) public: Option<Place>,
    pub(super) public_url: Option<PublicUrl>,
    /// The base path at the upstream, if somebody has said so.
    pub(super) path: Option<String>,
    pub(super) origin: HeaderValue,
    pub(super) asked: Arc<Count>,
    pub(super) has_credentials: bool,
    /// Whether documents are written where no `about` says that this is an LRS.
    pub(super) without_about: bool,
}

/// What is being done, for somebody who waits at a terminal.
pub(super) struct Progress<'a>(Option<&'a mut dyn Write>);

/// What `about` has told.
struct About {
    base: String,
    version: &'static str,
}

impl<'a> Progress<'a> {
    pub(super) fn to(terminal: Option<&'a mut dyn Write>) -> Self {
        Self(terminal)
    }

    /// One line, over the last one.
    pub(super) fn says(&mut self, what: &str) {
        if let Some(terminal) = &mut self.0 {
            let _ = write!(terminal, "\r\x1b[K{what}…");
            let _ = terminal.flush();
        }
    }

    /// Takes the last line away.
    pub(super) fn ends(&mut self) {
        if let Some(terminal) = &mut self.0 {
            let _ = write!(terminal, "\r\x1b[K");
        }
    }
}

impl Visit {
    /// A report without findings.
    pub(super) fn report(&self) -> Report {
        Report {
            upstream: self.upstream_url.clone(),
            public: self.public_url.as_ref().map(|url| url.text.clone()),
            findings: Findings::default(),
            requests: 0,
        }
    }

    /// Asks everything.
    pub(super) async fn ask(&self, ledger: &Arc<Ledger>, report: &mut Report, progress: &mut Progress<'_>) {
        let Ok(random) = random() else {
            let text = "this system gives no random numbers, and names would not be the doctor's own";
            report.findings.add(Finding::new(Side::Doctor, Severity::Problem, "no-names", text));
            return;
        };
        progress.says("asking the upstream where its resources are");
        let about = self.about(&mut report.findings).await;
        let upstream = about.as_ref().map(|about| {
            report.upstream = format!("{}{}", self.upstream_url, about.base);
            Arc::new(self.upstream.at(&about.base).speaking(about.version))
        });
        let version = about.as_ref().map_or("1.0.3", |about| about.version);
        let base =
            about.map_or_else(|| self.public.as_ref().map_or("", Place::base).to_owned(), |about| about.base);
        let rules = self.rules(&base);
        let mut usable = false;
        if let Some(upstream) = &upstream {
            usable = self.ask_upstream(upstream, &rules, ledger, &random, report, progress).await;
        }
        self.not_examined(&rules, &mut report.findings);
        if let Some(public) = &self.public {
            progress.says("asking through the public URL");
            let public = Arc::new(public.at(public.base()).speaking(version));
            let behind = upstream.as_ref().filter(|_| usable);
            self.ask_public(&public, behind, &rules, ledger, &random, report).await;
        }
    }

    /// Whether there are documents at the upstream.
    #[allow(clippy::too_many_arguments, reason = "all of it is what one question needs")]
    async fn ask_upstream(
        &self,
        upstream: &Arc<Place>,
        rules: &[(Kind, Arc<Rule>)],
        ledger: &Arc<Ledger>,
        random: &str,
        report: &mut Report,
        progress: &mut Progress<'_>,
    ) -> bool {
        let target_max = usize::try_from(self.config.upstream.target_max).unwrap_or(usize::MAX);
        let mut beside = Some(Beside { origin: self.origin.clone(), target_max });
        let mut usable = false;
        for (kind, rule) in rules {
            progress.says(&format!("asking the upstream about {}", rule.name));
            let document = Document::new(*kind, "upstream", random).absent_as(&rule.absent.statuses);
            let seen = ask_upstream::ask(upstream, ledger, &document, beside.as_ref()).await;
            let examined = judge_upstream::Examined {
                seen: &seen,
                rule,
                version: upstream.version(),
                has_credentials: self.has_credentials,
            };
            let findings = judge_upstream::judge(examined);
            if seen.document(super::seen::Step::Read).is_some() {
                beside = None;
                usable = true;
            }
            let is_hopeless = findings.iter().any(|finding| finding.code == "credentials-refused");
            report.findings.extend(findings);
            if is_hopeless {
                break;
            }
        }
        usable
    }

    async fn ask_public(
        &self,
        public: &Arc<Place>,
        behind: Option<&Arc<Place>>,
        rules: &[(Kind, Arc<Rule>)],
        ledger: &Arc<Ledger>,
        random: &str,
        report: &mut Report,
    ) {
        let heard = public.ask(Question::get("/about")).await;
        match heard {
            Err(unanswered) => {
                report.findings.add(unreachable(public, unanswered).await);
                return;
            }
            Ok(told) if told.status.is_redirection() => {
                report.findings.add(judge_public::redirected(&told));
                return;
            }
            Ok(told) if versions(&told).is_none() && !self.without_about => {
                let is_secure = self.public_url.as_ref().is_some_and(|url| url.tls.is_some());
                report.findings.add(judge_public::no_about(&told, self.has_credentials, is_secure));
                return;
            }
            Ok(_) => {}
        }
        // What is enforced shows most.
        let enforced = rules.iter().find(|(_, rule)| rule.mode == Mode::Enforce);
        let Some((kind, rule)) = enforced.or(rules.first()) else { return };
        let target_max = usize::try_from(self.config.upstream.target_max).unwrap_or(usize::MAX);
        let beside = Beside { origin: self.origin.clone(), target_max };
        let document = Document::new(*kind, "public", random).absent_as(&rule.absent.statuses);
        let seen = ask_public::ask(public, behind, ledger, &document, &beside).await;
        let refuses_long = report
            .findings
            .iter()
            .any(|finding| finding.side == Side::Upstream && finding.code == "long-target-refused");
        let examined = judge_public::Examined {
            seen: &seen,
            rule,
            has_credentials: self.has_credentials,
            shows_tags: self.config.exchange.observe.etags,
            header_max: u64::try_from(self.config.server.header_max).unwrap_or(u64::MAX),
            upstream_refuses_long: refuses_long,
        };
        report.findings.extend(judge_public::judge(examined));
    }

    /// Looks for the base path and the versions that are spoken.
    async fn about(&self, findings: &mut Findings) -> Option<About> {
        let of_public = self.public_url.as_ref().map(|url| url.path.as_str());
        let given = self.path.as_deref();
        let usual = USUAL_PATHS.into_iter().filter(|path| given.is_none() && Some(*path) != of_public);
        let bases = given.or(of_public).into_iter().chain(usual);
        let mut first = None;
        for base in bases {
            let heard = self.upstream.at(base).ask(Question::get("/about")).await;
            match heard {
                Err(unanswered) => {
                    findings.add(unreachable(&self.upstream, unanswered).await);
                    return None;
                }
                Ok(told) => match versions(&told) {
                    Some(versions) => {
                        findings.add(spoken(base, &versions));
                        return Some(About { base: base.to_owned(), version: best(&versions) });
                    }
                    None => drop(first.get_or_insert((base, told))),
                },
            }
        }
        let (base, told) = first?;
        findings.add(no_about(base, &told, self.has_credentials));
        // Whatever answers there may be no LRS at all, and is not written to unless somebody says so.
        let is_known = self.without_about && given.or(of_public).is_some();
        is_known.then(|| About { base: base.to_owned(), version: "1.0.3" })
    }

    /// The rules that stand for the document resources.
    fn rules(&self, base: &str) -> Vec<(Kind, Arc<Rule>)> {
        let rule_of = |kind: Kind| {
            let request = Request::get(format!("{base}{}", kind.path())).body(()).ok()?;
            match self.config.rules.select(&request.into_parts().0) {
                Selection::Guarded(rule) if rule.xapi => Some((kind, Arc::clone(rule))),
                Selection::Guarded(_) | Selection::Ambiguous(..) | Selection::Relay => None,
            }
        };
        Kind::ALL.into_iter().filter_map(rule_of).collect()
    }

    /// What nobody was asked about, and what is only observed.
    fn not_examined(&self, rules: &[(Kind, Arc<Rule>)], findings: &mut Findings) {
        let note = |code, text: String| Finding::new(Side::Upstream, Severity::Note, code, text);
        for kind in Kind::ALL.into_iter().filter(|kind| !rules.iter().any(|(other, _)| other == kind)) {
            let text = format!("no rule guards {}, so that nothing was asked about it", kind.path());
            findings.add(note("not-guarded", text));
        }
        let is_examined = |rule: &&Arc<Rule>| rules.iter().any(|(_, other)| other.name == rule.name);
        for rule in self.config.rules.0.iter().filter(|rule| !is_examined(rule)) {
            let text = "not examined: nothing is written where documents are not xAPI's".to_owned();
            findings.add(note("not-examined", text).of(&rule.name));
        }
    }
}

async fn unreachable(place: &Place, unanswered: Unanswered) -> Finding {
    let is_certificate = unanswered == Unanswered::Failed(Failure::TlsCertificateError);
    let why = if is_certificate { place.certificate_error().await } else { None };
    let finding = |seen: String| Finding::new(place.side, Severity::Problem, "unreachable", seen);
    if let Some(why) = why {
        let (is, remedy) = certificate(&why, place.side);
        return finding(format!("{unanswered}: it {is}")).advising(remedy);
    }
    finding(unanswered.to_string()).advising(match place.side {
        Side::Upstream => "see that the LRS runs, and that upstream.url is where it listens",
        Side::Public | Side::Doctor => {
            "see that the hops in front and Staleguard run, and that this is the URL that clients use"
        }
    })
}

/// What is wrong with a certificate, and what to do.
fn certificate(why: &CertificateError, side: Side) -> (String, String) {
    let ca = if side == Side::Upstream { "ca under [upstream.tls]" } else { "--public-ca" };
    // rustls wraps what it has no words for itself.
    let is_authority = format!("{why:?}").contains("CaUsedAsEndEntity");
    let (is, remedy) = match why {
        CertificateError::UnknownIssuer => (
            "was issued by nobody who is trusted".to_owned(),
            format!("name the authority that issued it with {ca}"),
        ),
        CertificateError::BadSignature => (
            "was signed with another key than that of the authority of that name that is trusted".to_owned(),
            format!("name the authority that issued it, as it is today, with {ca}"),
        ),
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            ("has expired".to_owned(), "renew it".to_owned())
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            ("is not valid yet".to_owned(), "compare the clocks of both machines".to_owned())
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => (
            "is for another name".to_owned(),
            match side {
                Side::Upstream => "name one that it is for with server-name under [upstream.tls]".to_owned(),
                Side::Public | Side::Doctor => "give the URL with a name that it is for".to_owned(),
            },
        ),
        _ if is_authority => (
            "is an authority's own (CA:TRUE), which may not be a server's".to_owned(),
            format!(
                "have an authority issue one for the server, and name that authority with {ca}; or make a self-signed one \
                 without CA:TRUE: openssl req -x509 -addext basicConstraints=critical,CA:FALSE …"
            ),
        ),
        other => (
            format!("is of no use: {}", shown(format!("{other:?}"))),
            format!("see that the server shows a valid certificate, and that {ca} names its authority"),
        ),
    };
    (is, remedy)
}

/// The versions that an answer to `about` names (1.0.3 Communication §2.8).
fn versions(told: &Told) -> Option<Vec<String>> {
    if told.status != StatusCode::OK {
        return None;
    }
    let value: Value = serde_json::from_slice(&told.decoded()?).ok()?;
    let versions = value.get("version")?.as_array()?;
    Some(versions.iter().filter_map(|version| version.as_str().map(str::to_owned)).take(8).collect())
}

fn spoken(base: &str, versions: &[String]) -> Finding {
    let text = format!("{base}/about answers, and names version {}", shown(versions.join(", ")));
    Finding::new(Side::Upstream, Severity::Ok, "reachable", text)
}

/// 1.0.3 where it is spoken, as nearly all content does.
fn best(versions: &[String]) -> &'static str {
    let speaks_one = versions.is_empty() || versions.iter().any(|version| version.starts_with("1.0"));
    if speaks_one { "1.0.3" } else { "2.0.0" }
}

fn no_about(base: &str, told: &Told, has_credentials: bool) -> Finding {
    let status = told.status.as_u16();
    let finding = |text: String| Finding::new(Side::Upstream, Severity::Problem, "no-about", text);
    if told.status.is_redirection() {
        return finding(format!("{base}/about redirects ({status}); that is not followed"))
            .advising("name the server that it redirects to in upstream.url, if that is the LRS");
    }
    let text = format!(
        "{base}/about, which names the versions of xAPI, is answered {} in its place: nothing is written there",
        told.status_in_words()
    );
    match told.status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN if !has_credentials => {
            finding(text).advising("give credentials with -H 'Authorization: Basic …' or --header-file")
        }
        StatusCode::BAD_REQUEST | StatusCode::MISDIRECTED_REQUEST => finding(text).advising(
            "give the LRS's base path with --path, or the Host that it answers to with -H 'Host: …'; if TLS is \
             spoken there, an upstream.url with https",
        ),
        _ => finding(text).advising(
            "give the LRS's base path with --path; for an LRS that has no about, --without-about besides",
        ),
    }
}

/// Sixteen digits that nobody else has.
fn random() -> Result<String, getrandom::Error> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
