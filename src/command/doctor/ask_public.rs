//! The questions through the URL that clients use, as browsers ask them.

use std::sync::Arc;

use http::header::{ACCEPT_ENCODING, HeaderValue, IF_MATCH, IF_NONE_MATCH};
use http::{Method, StatusCode};

use super::ask_upstream::{Beside, STALE, about_origin};
use super::documents::{Document, Ledger, is_ours};
use super::place::{Heard, Place, Question, Told};
use super::seen::{Seen, Step, large_contents};
use crate::semantics::fields::X_REQUEST_ID;

/// What browsers accept.
const CODINGS: &str = "gzip, deflate, br, zstd";

/// Makes, reads, writes and removes a document through the public URL, and looks at the upstream what became of it.
pub(super) async fn ask(
    public: &Arc<Place>,
    upstream: Option<&Arc<Place>>,
    ledger: &Arc<Ledger>,
    document: &Document,
    beside: &Beside,
) -> Seen {
    let asked = Asked { public, upstream, ledger, document };
    let mut seen = Seen::default();
    seen.note(Step::Missing, asked.read().await);
    if !seen.told(Step::Missing).is_some_and(is_usable) {
        return seen;
    }
    let create = document.put(large_contents("first")).with(IF_NONE_MATCH, "*");
    seen.note(Step::Created, asked.write(create).await);
    if !seen.succeeded(Step::Created) {
        return seen;
    }
    seen.note(Step::Read, asked.read().await);
    asked.look_behind(Step::Behind, &mut seen).await;
    let tag = seen.document(Step::Read).and_then(Told::tag);
    if let Some(tag) = &tag {
        let again = browsers(document.read()).with_value(IF_NONE_MATCH, tag.clone());
        seen.note(Step::Revalidated, public.ask(again).await);
    }
    seen.note(Step::Head, public.ask(browsers(Question::new(Method::HEAD, document.target()))).await);
    for (step, question) in about_origin(document, &beside.origin) {
        seen.note(step, public.ask(browsers(question)).await);
    }
    for (step, length) in [(Step::Long8, 8 * 1024_usize), (Step::Long16, 16 * 1024)] {
        let length = length.saturating_sub(public.base().len());
        seen.note(step, public.ask(browsers(Question::get(document.long_target(length)))).await);
    }
    let stale = document.put(large_contents("stale")).with(IF_MATCH, STALE);
    seen.note(Step::Stale, asked.write(stale).await);
    let over = document.put(large_contents("over")).with(IF_NONE_MATCH, "*");
    seen.note(Step::CreatedOver, asked.write(over).await);
    // What was written all the same has made the entity-tag another one.
    let wrote = seen.succeeded(Step::Stale) || seen.succeeded(Step::CreatedOver);
    if wrote {
        seen.note(Step::AfterStale, asked.read().await);
    }
    let tag = if wrote { seen.document(Step::AfterStale).and_then(Told::tag) } else { tag };
    if let Some(tag) = tag {
        let own = document.put(large_contents("own")).with_value(IF_MATCH, tag);
        seen.note(Step::Own, asked.write(own).await);
    }
    seen.note(Step::After, asked.read().await);
    asked.look_behind(Step::AfterBehind, &mut seen).await;
    seen
}

/// Whether it makes sense, and does no harm, to write where a GET is answered so.
fn is_usable(told: &Told) -> bool {
    let is_refused = matches!(
        told.status,
        StatusCode::UNAUTHORIZED
            | StatusCode::FORBIDDEN
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT
    );
    !is_refused && !told.is_page()
}

struct Asked<'a> {
    public: &'a Arc<Place>,
    upstream: Option<&'a Arc<Place>>,
    ledger: &'a Arc<Ledger>,
    document: &'a Document,
}

impl Asked<'_> {
    async fn write(&self, question: Question) -> Heard {
        self.ledger.write(self.public, self.document, browsers(question)).await
    }

    async fn read(&self) -> Heard {
        self.public.ask(browsers(named(self.document))).await
    }

    /// Reads the same document where no hop is.
    async fn look_behind(&self, step: Step, seen: &mut Seen) {
        let Some(upstream) = self.upstream else { return };
        let heard = upstream.ask(named(self.document).with(ACCEPT_ENCODING, "identity")).await;
        if heard.as_ref().is_ok_and(is_ours) {
            self.ledger.seen_at(self.document, upstream);
        }
        seen.note(step, heard);
    }
}

/// A GET that brings a name of its own, which Staleguard gives back in every mode.
fn named(document: &Document) -> Question {
    let question = document.read();
    match HeaderValue::from_str(document.name()) {
        Ok(name) => question.with_value(X_REQUEST_ID, name),
        Err(_) => question,
    }
}

/// A question as a browser asks it.
fn browsers(question: Question) -> Question {
    question.with(ACCEPT_ENCODING, CODINGS)
}
