//! The page at `/`: what the proxy decides, for whoever runs it, and the same as JSON.
//!
//! It is counted anew, from the decisions on record, whenever somebody asks; nothing on it changes anything. What is
//! told in it of clients are their own words: it is escaped by the library that writes the HTML, and the browser is told
//! to run nothing but the one script that comes with the page.

mod clients;
mod events;
mod forecast;
mod form;
mod hot;
mod lookup;
mod minutes;
mod rules;
#[cfg(test)]
mod sample;
mod told;
mod view;

use std::sync::Arc;
use std::time::Duration;

use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use http::request::Parts;
use http::{Method, Response, StatusCode};
use http_body_util::{Either, StreamBody};
use hyper::body::{Bytes, Incoming};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use self::forecast::Forecast;
use self::form::Form;
use self::lookup::{Found, Sought};
use self::told::{Filter, Row};
use super::{Answer, HEADER_TIMEOUT, JSON, made, text};
use crate::decision::pseudonym::Pseudonym;
use crate::decision::record::Decision;
use crate::decision::{Decisions, KEPT};
use crate::guard::policy::Mode;
use crate::memory::scopes::Usage;
use crate::rule::select::Rules;

/// What names a learner stands in no URL.
const BY_POST: &str = "Ask with GET by ?document= and its hash. By its target, or by its activityId, agent and id, ask with \
     POST, as a form, and with the token of admin.token-file in Authorization: Bearer.";

const HTML: &str = "text/html; charset=utf-8";
const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// How many rows a table of the page has at most; its JSON has all.
const ROWS: usize = 50;

/// How long a connection may last on which decisions are followed, and so any.
pub(super) const LONGEST: Duration = events::LONGEST;

/// What the proxy serves with at this moment.
pub struct Overview {
    /// The rules in use.
    pub rules: Arc<Rules>,
    /// Where the upstream is.
    pub upstream: String,
    /// Whether `observe.etags` is set.
    pub shows_tags: bool,
    /// Whether the upstream is there, as far as exchanges have told.
    pub heard: Heard,
    /// Whether the proxy drains.
    pub draining: bool,
    /// The configuration in use.
    pub config: InUse,
    /// How many scopes are held, waited for and unsettled.
    pub holds: Usage,
    /// For how many more seconds every scope is unsettled, after the start.
    pub all_unsettled_seconds: Option<u64>,
    /// How many guarded writes were sent whose outcome is not known.
    pub unknown_outcomes: u64,
    /// How often a document was seen to have changed without a write through here.
    pub foreign_writes: u64,
}

/// Which configuration is in use, and what is wrong with one that was to take its place.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InUse {
    /// The file that it was read from.
    pub file: Option<String>,
    /// A digest of what stood there.
    pub hash: Option<String>,
    /// When it was read (RFC 3339).
    pub loaded: String,
    /// What is wrong with the one that was read last, if that is another.
    pub last_error: Option<String>,
}

/// What somebody was told last of a document, where nobody but this proxy writes to the upstream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Remembered {
    /// Our entity-tag; nothing where there was no document.
    pub tag: Option<String>,
    /// The upstream's own.
    pub upstream: Option<String>,
    /// How many seconds ago.
    pub seconds_ago: u64,
}

/// When the upstream was last heard of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Heard {
    /// How many seconds ago it gave its last answer.
    pub answered: Option<u64>,
    /// How many seconds ago it gave none last, and why, in a word.
    pub failed: Option<(u64, &'static str)>,
}

/// A request to be tried.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Asked {
    /// Its method.
    pub method: String,
    /// Its target.
    pub target: String,
    /// Its fields, as in `If-Match: "a"`.
    pub fields: Vec<String>,
    /// Its form, of one in xAPI's alternate syntax.
    pub form: Option<String>,
    /// What the resource holds: an entity-tag, or `missing`; nothing is every case.
    pub current: Option<String>,
}

/// Says what the proxy serves with.
pub type Look = Box<dyn Fn() -> Overview + Send + Sync>;
/// Says what becomes of a request, or what is wrong with how it is written. Nobody is asked.
pub type Explain = Box<dyn Fn(&Asked) -> Result<String, String> + Send + Sync>;

/// Says what is remembered of a document. Of those who were told, nothing is said.
pub type Recall = Box<dyn Fn(Pseudonym) -> Option<Remembered> + Send + Sync>;

/// The page, and where its figures come from.
pub struct Page {
    decisions: Decisions,
    look: Look,
    explain: Explain,
    recall: Recall,
    /// For those who follow decisions.
    places: Arc<Semaphore>,
}

/// What the page shows.
struct Model {
    overview: Overview,
    decisions: Vec<Arc<Decision>>,
    filter: Filter,
    lookup: Option<Result<Found, String>>,
    tried: Option<(Form, Result<String, String>)>,
    /// What was typed to look something up, but for the token.
    sought: Form,
}

impl Page {
    /// A page that shows these decisions.
    pub fn new(decisions: Decisions, look: Look, explain: Explain, recall: Recall) -> Self {
        Self { decisions, look, explain, recall, places: Arc::new(Semaphore::new(events::STREAMS)) }
    }

    /// What is asked for with GET, if it is a part of the page.
    pub(super) fn shown(&self, method: &Method, path: &str, query: &str) -> Option<Answer> {
        let whole = |media_type, contents: Bytes| Some(made(StatusCode::OK, media_type, contents));
        match path {
            "/" => whole(HTML, self.page(query).into()),
            "/page.css" => whole("text/css; charset=utf-8", STYLE.into()),
            "/page.js" => whole("text/javascript; charset=utf-8", SCRIPT.into()),
            "/decisions/events" => Some(self.events(method)),
            "/page/lookup.json" => {
                let query = Form::read(query.as_bytes());
                let found = match query.text("document") {
                    "" => Err(BY_POST.to_owned()),
                    hash => Sought::by_pseudonym(hash),
                };
                Some(found_as_json(found.map(|sought| self.found(sought, &self.decisions.last(KEPT)))))
            }
            _ => whole(JSON, format!("{}\n", self.twin(path)?).into()),
        }
    }

    /// The JSON twin of a panel.
    fn twin(&self, path: &str) -> Option<Value> {
        let is_one = ["/page/state.json", "/page/minutes.json", "/page/forecast.json", "/page/clients.json"]
            .into_iter()
            .chain(["/page/hot.json", "/rules.json"])
            .any(|one| one == path);
        if !is_one {
            return None;
        }
        let model = self.model(&Form::default());
        let Model { overview, decisions, .. } = &model;
        Some(match path {
            "/page/state.json" => model.state(),
            "/page/minutes.json" => json!({ "minutes": minutes::minutes(decisions, minutes::now()) }),
            "/page/forecast.json" => json!(Forecast::of(decisions, overview.shows_tags)),
            "/page/clients.json" => json!({ "clients": clients::writers(decisions) }),
            "/page/hot.json" => json!({ "documents": hot::documents(decisions) }),
            _ => json!({ "rules": rules::told(&overview.rules, decisions) }),
        })
    }

    fn page(&self, query: &str) -> String {
        let query = Form::read(query.as_bytes());
        let mut model = self.model(&query);
        let hash = query.text("document");
        if !hash.is_empty() {
            model.lookup =
                Some(Sought::by_pseudonym(hash).map(|sought| self.found(sought, &model.decisions)));
        }
        view::page(&model).into_string()
    }

    fn model(&self, query: &Form) -> Model {
        let filter = Filter {
            resource: query.text("resource").to_owned(),
            fate: query.text("outcome").to_owned(),
            text: query.text("text").chars().take(100).collect(),
        };
        Model {
            overview: (self.look)(),
            decisions: self.decisions.last(KEPT),
            filter,
            lookup: None,
            tried: None,
            sought: Form::default(),
        }
    }

    fn events(&self, method: &Method) -> Answer {
        const BUSY: &str = "as many follow the decisions as may; try again later\n";
        if method == Method::HEAD {
            return made(StatusCode::OK, "text/event-stream", "");
        }
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            let mut busy = text(StatusCode::SERVICE_UNAVAILABLE, BUSY);
            busy.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("10"));
            return busy;
        };
        let events = events::events(&self.decisions, place);
        let mut answer = made(StatusCode::OK, "text/event-stream", "")
            .map(|_| Either::Right(StreamBody::new(Box::pin(events) as _)));
        // No hop in front may collect them.
        answer.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
        answer
    }

    /// Whether a form is a part of the page.
    pub(super) fn takes(path: &str) -> bool {
        ["/page/lookup", "/page/lookup.json", "/page/try", "/page/try.json"].contains(&path)
    }

    /// Answers a form.
    ///
    /// They come by POST although they change nothing, because what they name are learners and documents, and URLs stay
    /// in histories and logs. Looking up by a target needs the token all the same: it tells for whom a keyed hash
    /// stands, which is nobody's business who can merely reach this listener. Trying a request needs none: it says
    /// nothing but what the rules say, and those are on the page.
    pub(super) async fn posted<F>(
        &self,
        head: Parts,
        body: Incoming,
        refusal: impl FnOnce(HeaderMap) -> F,
    ) -> Answer
    where
        F: Future<Output = Option<Answer>>,
    {
        if form::is_foreign(&head.headers) {
            return text(StatusCode::FORBIDDEN, "a page of another origin may not ask this\n");
        }
        let received = tokio::time::timeout(HEADER_TIMEOUT, Form::receive(body)).await;
        let Ok(Some(form)) = received else {
            return text(StatusCode::PAYLOAD_TOO_LARGE, "the form is too large, or came too slowly\n");
        };
        let is_json = head.uri.path().ends_with(".json");
        if head.uri.path().starts_with("/page/try") {
            let tried = (self.explain)(&form.asked());
            return if is_json { explained_as_json(tried) } else { self.page_with_tried(form, tried) };
        }
        let refusal = refusal(form.permission(head.headers)).await;
        let is_refused = refusal.as_ref().map(Response::status);
        match (refusal, is_json) {
            (Some(refusal), true) => refusal,
            (None, true) => found_as_json(self.look_up(&form)),
            (refusal, false) => {
                let found = match refusal {
                    Some(_) => Err(UNPERMITTED.to_owned()),
                    None => self.look_up(&form),
                };
                self.page_with_found(form, found, is_refused)
            }
        }
    }

    fn look_up(&self, form: &Form) -> Result<Found, String> {
        let sought = Sought::by(form, &(self.look)().rules, self.decisions.pseudonyms())?;
        Ok(self.found(sought, &self.decisions.last(KEPT)))
    }

    fn found(&self, sought: Sought, decisions: &[Arc<Decision>]) -> Found {
        let found = sought.found(decisions);
        let remembered = if found.collection { None } else { (self.recall)(found.document) };
        Found { remembered, ..found }
    }

    fn page_with_tried(&self, form: Form, tried: Result<String, String>) -> Answer {
        let mut model = self.model(&Form::default());
        let status = if tried.is_ok() { StatusCode::OK } else { StatusCode::BAD_REQUEST };
        model.tried = Some((form, tried));
        made(status, HTML, view::page(&model).into_string())
    }

    fn page_with_found(
        &self,
        form: Form,
        found: Result<Found, String>,
        refused: Option<StatusCode>,
    ) -> Answer {
        let mut model = self.model(&Form::default());
        let usual = if found.is_ok() { StatusCode::OK } else { StatusCode::BAD_REQUEST };
        (model.lookup, model.sought) = (Some(found), form);
        made(refused.unwrap_or(usual), HTML, view::page(&model).into_string())
    }
}

/// Why somebody is not told for whom a hash stands.
const UNPERMITTED: &str = "Looking up by target needs the token of admin.token-file, since it tells for whom a hash \
                           stands. By its hash a document is looked up without.";

fn found_as_json(found: Result<Found, String>) -> Answer {
    let (status, json) = match found {
        Ok(found) => (StatusCode::OK, found.json()),
        Err(sentence) => (StatusCode::BAD_REQUEST, json!({ "problem": sentence })),
    };
    made(status, JSON, format!("{json}\n"))
}

fn explained_as_json(tried: Result<String, String>) -> Answer {
    let (status, json) = match tried {
        Ok(text) => (StatusCode::OK, json!({ "explained": text })),
        Err(sentence) => (StatusCode::BAD_REQUEST, json!({ "problem": sentence })),
    };
    made(status, JSON, format!("{json}\n"))
}

impl Model {
    /// The state of the proxy and of the upstream, as the head of the page tells it.
    fn state(&self) -> Value {
        let Overview { rules, upstream, shows_tags, heard, draining, config, holds, .. } = &self.overview;
        let enforced = rules.0.iter().filter(|rule| rule.mode == Mode::Enforce).count();
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "draining": draining,
            "config": {
                "file": config.file,
                "hash": config.hash,
                "loaded": config.loaded,
                "last_error": config.last_error,
            },
            "holds": { "held": holds.held, "waiting": holds.waiting },
            "unsettled_scopes": holds.unsettled,
            "all_unsettled_seconds": self.overview.all_unsettled_seconds,
            "unknown_outcomes": self.overview.unknown_outcomes,
            "foreign_writes": self.overview.foreign_writes,
            "rules": { "enforce": enforced, "observe": rules.0.len() - enforced },
            "observe_etags": shows_tags,
            "upstream": {
                "address": upstream,
                "state": heard.state(),
                "answered_seconds_ago": heard.answered,
                "failed_seconds_ago": heard.failed.map(|(ago, _)| ago),
                "failure": heard.failed.map(|(_, why)| why),
            },
            "decisions": { "on_record": self.decisions.len(), "most": KEPT },
        })
    }

    /// The rows that the filter asks for, and how many there are beyond them.
    fn rows(&self) -> (Vec<Row>, usize) {
        let rows =
            self.decisions.iter().map(|decision| Row::of(decision)).filter(|row| row.fits(&self.filter));
        let mut rows: Vec<Row> = rows.collect();
        let beyond = rows.len().saturating_sub(ROWS);
        rows.truncate(ROWS);
        (rows, beyond)
    }
}

impl Heard {
    /// Whether the upstream is there, in a word: it answered last, or failed last, or nothing was asked of it.
    fn state(&self) -> &'static str {
        match (self.answered, self.failed) {
            (None, None) => "not asked yet",
            (Some(answered), Some((failed, _))) if failed < answered => "failing",
            (None, Some(_)) => "failing",
            (Some(_), _) => "answering",
        }
    }
}

/// What the page is guarded with: whatever may be on it, nothing but its own script runs and nothing leaves it.
pub(super) fn guard(fields: &mut HeaderMap) {
    const ONLY_ITSELF: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                               form-action 'self'; frame-ancestors 'none'; base-uri 'none'";
    for (name, value) in [
        ("content-security-policy", ONLY_ITSELF),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
    ] {
        fields.insert(name, HeaderValue::from_static(value));
    }
    debug_assert!(fields.contains_key(CONTENT_TYPE), "nobody should have to guess");
}
