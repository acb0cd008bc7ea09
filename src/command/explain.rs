//! `staleguard explain`: what would become of one request, and why. Nobody is asked.
//!
//! It asks the same functions that the proxy asks, so that it cannot say anything else.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Request, Uri};

use super::check::EXIT_CONFIG;
use super::source::rules;
use crate::admin::page;
use crate::exchange::accept::differently_cased;
use crate::exchange::answer::advice;
use crate::guard::evaluate::{ReadVerdict, evaluate, evaluate_read, repairs};
use crate::guard::plan::{Plan, plan};
use crate::guard::policy::{Mode, Policy, Treatment};
use crate::guard::verdict::Verdict;
use crate::rule::Rule;
use crate::rule::identity::{Part, Unidentified, identify};
use crate::rule::select::{Rules, Selection};
use crate::semantics::entity_tag::EntityTag;
use crate::semantics::fields::dangerous_connection_option;
use crate::semantics::preconditions::{Condition, Preconditions};
use crate::semantics::repair::Repair;
use crate::semantics::representation::{Current, Representation};
use crate::xapi::agent::Agent;
use crate::xapi::alternate::{open, wrapped};

/// Used wrongly.
const USAGE: u8 = 2;

/// What `explain` is told on the command line.
#[derive(Debug, Args)]
pub struct ExplainArguments {
    /// The configuration file, in TOML.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    #[command(flatten)]
    asked: Asked,
}

/// A request, and what the resource holds that it names.
#[derive(Debug, Args)]
struct Asked {
    /// The request's method.
    #[arg(value_name = "METHOD")]
    method: String,
    /// The request's target: a path with its query, or a URL.
    #[arg(value_name = "TARGET")]
    target: String,
    /// A field of the request; may be given several times.
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    fields: Vec<String>,
    /// The form of a request in xAPI's alternate syntax; its Content-Type is that of a form where none is given.
    #[arg(long, value_name = "FORM")]
    form: Option<String>,
    /// What the resource holds: its entity-tag, or "missing" [default: every case].
    #[arg(long, value_name = "TAG|missing")]
    current: Option<String>,
}

/// Explains, and gives the exit code.
pub(super) fn explain(arguments: &ExplainArguments, out: &mut dyn Write, err: &mut dyn Write) -> u8 {
    let rules = match rules(&arguments.config) {
        Ok(rules) => rules,
        Err(problems) => return said(err, &problems, EXIT_CONFIG),
    };
    match told(&rules, &arguments.asked) {
        Ok(text) => said(out, &text, 0),
        Err(sentence) => said(err, &format!("error: {sentence}"), USAGE),
    }
}

/// The same for somebody who asks on the page.
///
/// # Errors
/// A sentence that says what is wrong with how the request is written.
pub(super) fn of_page(rules: &Rules, asked: &page::Asked) -> Result<String, String> {
    let page::Asked { method, target, fields, form, current } = asked.clone();
    told(rules, &Asked { method, target, fields, form, current })
}

fn told(rules: &Rules, asked: &Asked) -> Result<String, String> {
    let (head, cases) = (request(asked)?, cases(asked)?);
    Ok(explained(rules, head, asked.form.as_deref(), &cases))
}

fn said(to: &mut dyn Write, text: &str, code: u8) -> u8 {
    // Where nobody can read what is printed, the exit code still says it.
    let _ = writeln!(to, "{}", text.trim_end());
    code
}

fn request(arguments: &Asked) -> Result<Parts, String> {
    let method = Method::from_bytes(arguments.method.as_bytes());
    let target: Result<Uri, _> = arguments.target.parse();
    let mut request = Request::new(());
    *request.method_mut() = method.map_err(|_| format!("{:?} is no method", arguments.method))?;
    *request.uri_mut() = target.map_err(|_| {
        format!("{:?} is no target: write a path, as in /xapi/activities/state?stateId=a", arguments.target)
    })?;
    for field in &arguments.fields {
        let read = || {
            let (name, value) = field.split_once(':')?;
            Some((HeaderName::try_from(name).ok()?, HeaderValue::try_from(value.trim()).ok()?))
        };
        let (name, value) =
            read().ok_or_else(|| format!("{field:?} is no field: write it like 'If-Match: \"a\"'"))?;
        request.headers_mut().append(name, value);
    }
    if arguments.form.is_some() && !request.headers().contains_key(CONTENT_TYPE) {
        request
            .headers_mut()
            .insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
    }
    Ok(request.into_parts().0)
}

/// What the resource may hold, and how that is called.
fn cases(arguments: &Asked) -> Result<Vec<(String, Representation)>, String> {
    let Some(current) = &arguments.current else { return Ok(Vec::new()) };
    if current == "missing" {
        return Ok(vec![("missing".to_owned(), Representation::Missing)]);
    }
    let tag = EntityTag::parse(current.as_bytes())
        .or_else(|| EntityTag::new(false, current.as_bytes()))
        .filter(|tag| !tag.is_weak())
        .ok_or_else(|| format!("{current:?} is no strong entity-tag, and not \"missing\""))?;
    Ok(vec![(tag.to_string(), holding(tag))])
}

fn holding(tag: EntityTag) -> Representation {
    Representation::Current(Current { tag, upstream_tag: None, alias: None })
}

/// The cases to tell apart where nobody has said what the resource holds.
fn usual_cases(stated: &Preconditions) -> Vec<(String, Representation)> {
    let mut cases = vec![("missing".to_owned(), Representation::Missing)];
    let conditions = [&stated.if_match, &stated.if_none_match];
    let named = conditions.into_iter().flatten().flat_map(Condition::tags).next();
    let strong = named.and_then(|tag| EntityTag::new(false, &tag.opaque()));
    cases.extend(strong.map(|tag| (format!("{tag}, as stated"), holding(tag))));
    cases.extend(
        EntityTag::new(false, b"another").map(|tag| ("any other entity-tag".to_owned(), holding(tag))),
    );
    cases
}

fn explained(
    rules: &Rules,
    mut head: Parts,
    form: Option<&str>,
    cases: &[(String, Representation)],
) -> String {
    let mut told = Told::default();
    told.line("request", format!("{} {}", head.method, head.uri));
    let (rule, spelling) = match rules.select(&head) {
        Selection::Relay => {
            told.line("rule", "none");
            told.line("verdict", "no rule: relayed untouched");
            return told.text();
        }
        Selection::Guarded(rule) => (rule, None),
        Selection::Ambiguous(rule, what) => (rule, Some(what)),
    };
    told.line("rule", format!("{} ({})", rule.name, rule.source));
    told.line("mode", mode(rule.mode));
    if let Some(what) = spelling {
        return told.refused(rule, 400, &what).text();
    }
    if let Some(method) = differently_cased(&head.method) {
        return told.refused(rule, 400, &format!("Methods are case-sensitive: send {method}.")).text();
    }
    if let Some(option) = dangerous_connection_option(&head.headers) {
        return told.refused(rule, 400, &format!("Connection must not name {option} here.")).text();
    }
    if let Some(method) = wrapped(&head).filter(|_| rule.xapi) {
        told.line(
            "syntax",
            format!("xAPI's alternate syntax: it stands for a {method}, which is in its form"),
        );
        let Some(form) = form else {
            told.line("verdict", "that of the plain request; give its form with --form to see it");
            return told.text();
        };
        if let Err(problem) = open(&mut head, method, form.as_bytes()) {
            return told.refused(rule, 400, &problem.to_string()).text();
        }
        told.line("plain", format!("{} {}", head.method, head.uri));
    }
    told.of_rule(rule, &head, cases);
    told.text()
}

fn mode(mode: Mode) -> &'static str {
    match mode {
        Mode::Enforce => "enforce",
        Mode::Observe => "observe: whatever the verdict is, the request goes on as it came",
    }
}

/// What has been told so far: names and texts, in two columns.
#[derive(Default)]
struct Told(Vec<(String, String)>);

impl Told {
    fn line(&mut self, name: &str, text: impl AsRef<str>) {
        self.0.push((name.to_owned(), text.as_ref().to_owned()));
    }

    /// Its lines, with the second column behind the longest name.
    fn text(&self) -> String {
        let longest = self.0.iter().map(|(name, _)| name.chars().count()).max().unwrap_or_default();
        let width = if longest < 14 { 14 } else { longest + 2 };
        self.0.iter().map(|(name, text)| format!("{name:<width$}{text}\n")).collect()
    }

    fn refused(mut self, rule: &Rule, status: u16, why: &str) -> Self {
        let would = if rule.mode == Mode::Observe { "would be refused" } else { "refused" };
        self.line("verdict", format!("{would}: {status}"));
        self.line("why", why);
        self
    }

    fn of_rule(&mut self, rule: &Arc<Rule>, head: &Parts, cases: &[(String, Representation)]) {
        let identity = match identify(rule, head) {
            Ok(identity) => Some(identity),
            Err(Unidentified::Ambiguous(what)) => {
                *self = std::mem::take(self).refused(rule, 400, &what);
                return;
            }
            Err(Unidentified::Unnamed(what)) => {
                self.line("document", format!("not named: {what}"));
                None
            }
        };
        let is_read = matches!(head.method, Method::GET | Method::HEAD);
        if let Some(identity) = &identity {
            let what = if identity.is_collection { "all documents of the scope" } else { "one" };
            self.line("document", what);
            self.parts(rule, head);
        } else if !is_read && !head.method.is_safe() {
            self.line(
                "verdict",
                "never forwarded: the upstream is asked with a GET, and its 4xx is handed back; else 400",
            );
            return;
        }
        match head.method {
            _ if is_read => self.read(rule, head, cases),
            Method::OPTIONS | Method::TRACE => self.line("verdict", "neither a read nor a write: relayed"),
            _ => self.write(rule, head, cases),
        }
    }

    /// What names the document, each part as it counts; what is marked makes the scope.
    fn parts(&mut self, rule: &Rule, head: &Parts) {
        let query = head.uri.query().unwrap_or_default();
        let value = |name: &str| {
            form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == name).map(|(_, value)| value)
        };
        for part in &rule.naming.identity {
            let (name, value) = match part {
                Part::Path => ("path", rule.pattern.captured(head.uri.path()).map(|open| open.join(" / "))),
                Part::Parameter { name, .. } => {
                    let is_agent = rule.naming.agents.contains(name);
                    let shown = |value: &str| match Agent::parse(value) {
                        Ok(agent) if is_agent => agent.key().map(str::to_owned).join(" "),
                        _ => value.to_owned(),
                    };
                    (name.as_str(), value(name).map(|value| shown(&value)))
                }
            };
            let mark = if rule.naming.scope.contains(part) { " (scope)" } else { "" };
            self.line("", format!("{name}{mark}: {}", value.as_deref().unwrap_or("-")));
        }
    }

    fn preconditions(&mut self, stated: &Preconditions) {
        if stated.is_empty() {
            self.line("stated", "no precondition");
        }
        for (name, condition) in [("If-Match", &stated.if_match), ("If-None-Match", &stated.if_none_match)] {
            let Some(condition) = condition else { continue };
            let tags = || condition.tags().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            let understood = match condition {
                Condition::Any => "any (*)".to_owned(),
                Condition::QuotedAny => "any (\"*\" is taken for *)".to_owned(),
                Condition::Tags(_) => tags(),
                Condition::Malformed => "cannot be understood".to_owned(),
            };
            self.line("stated", format!("{name}: {understood}"));
        }
    }

    fn read(&mut self, rule: &Rule, head: &Parts, cases: &[(String, Representation)]) {
        let stated = Preconditions::from_fields(&head.headers, rule.matching);
        self.preconditions(&stated);
        if rule.mode == Mode::Observe {
            self.line("verdict", "relayed as it came");
            return;
        }
        let usual = usual_cases(&stated);
        for (name, found) in if cases.is_empty() { &usual } else { cases } {
            let verdict = match (found, evaluate_read(&stated, found, rule.matching)) {
                (Representation::Missing, _) => "the upstream's answer",
                (_, ReadVerdict::Send) => "the document, with its entity-tag",
                (_, ReadVerdict::NotModified) => "304: the client has it",
                (_, ReadVerdict::Failed) => "412: If-Match names another one",
            };
            self.line(&format!("if {name}"), verdict);
        }
    }

    fn write(&mut self, rule: &Rule, head: &Parts, cases: &[(String, Representation)]) {
        let stated = Preconditions::from_fields(&head.headers, rule.matching);
        let policy = rule.policy(&head.method, &head.headers);
        self.preconditions(&stated);
        let Policy { unconditional, .. } = policy;
        let (existing, missing) = (treatment(unconditional.existing), treatment(unconditional.missing));
        self.line("unconditional", format!("over a document: {existing}; where there is none: {missing}"));
        match plan(&policy, &stated) {
            Plan::Decided(verdict) => {
                self.line("asks", "nobody: the verdict is the same whatever the resource holds");
                self.verdict("verdict", rule, &verdict, "");
            }
            Plan::Learn => {
                self.line("asks", "the upstream, with a GET under the writer's credentials");
                let usual = usual_cases(&stated);
                for (name, found) in if cases.is_empty() { &usual } else { cases } {
                    let verdict = evaluate(&policy, &stated, found);
                    let repairs: Vec<_> =
                        repairs(&stated, found, policy.matching).iter().map(Repair::as_str).collect();
                    let repaired = match repairs.is_empty() {
                        true => String::new(),
                        false => format!(" (repaired: {})", repairs.join(", ")),
                    };
                    self.verdict(&format!("if {name}"), rule, &verdict, &repaired);
                }
            }
        }
    }

    fn verdict(&mut self, name: &str, rule: &Rule, verdict: &Verdict, repaired: &str) {
        let would = if rule.mode == Mode::Observe { "would be refused" } else { "refused" };
        match verdict {
            Verdict::Forward(_) => self.line(name, format!("forward{repaired}")),
            Verdict::Applied(_) => self.line(name, format!("204, {}", verdict.as_str())),
            Verdict::Refuse(refusal) => {
                let (status, word) = (refusal.status.as_u16(), verdict.as_str());
                self.line(name, format!("{would}: {status}, {word}{repaired}"));
                self.line("", advice(refusal, false));
            }
        }
    }
}

fn treatment(treatment: Treatment) -> String {
    match treatment {
        Treatment::Forward => "forward".to_owned(),
        Treatment::Refuse(status) => status.as_u16().to_string(),
    }
}
