//! The questions to the upstream itself.

use std::sync::Arc;

use http::header::{
    ACCEPT_ENCODING, ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, CACHE_CONTROL,
    CONTENT_TYPE, HeaderValue, IF_MATCH, IF_NONE_MATCH, ORIGIN,
};
use http::{Method, StatusCode};

use super::documents::{Document, Ledger};
use super::place::{Heard, Place, Question, Told};
use super::seen::{Seen, Step, contents_of, first_contents, merged_contents};

/// An entity-tag that names nothing.
pub(super) const STALE: &str = "\"0000000000000000000000000000000000000000\"";
/// What a page asks to send with a PUT.
const WANTED: &str = "authorization,content-type,if-match,if-none-match,x-experience-api-version";

/// What is asked beside the document: once, since it is the same for all of them.
#[derive(Debug, Clone)]
pub(super) struct Beside {
    /// The origin of a page that asks.
    pub(super) origin: HeaderValue,
    /// `upstream.target-max`.
    pub(super) target_max: usize,
}

/// Makes, reads, writes and removes a document at the upstream.
pub(super) async fn ask(
    place: &Arc<Place>,
    ledger: &Arc<Ledger>,
    document: &Document,
    beside: Option<&Beside>,
) -> Seen {
    let asked = Asked { place, ledger, document };
    let mut seen = Seen::default();
    seen.note(Step::Missing, asked.read().await);
    if !asked.create(&mut seen).await {
        return seen;
    }
    seen.note(Step::Read, asked.read().await);
    seen.note(Step::Again, asked.read().await);
    seen.note(Step::Head, place.ask(Question::new(Method::HEAD, document.target())).await);
    if let Some(beside) = beside {
        asked.ask_beside(beside, &mut seen).await;
    }
    let stale = document.put(contents_of("stale")).with(IF_MATCH, STALE);
    seen.note(Step::Stale, asked.write(stale).await);
    seen.note(Step::AfterStale, asked.read().await);
    if let Some(tag) = seen.document(Step::AfterStale).and_then(Told::tag) {
        let own = document.put(contents_of("own")).with_value(IF_MATCH, tag);
        seen.note(Step::Own, asked.write(own).await);
    }
    seen.note(Step::Unstated, asked.write(document.put(contents_of("unstated"))).await);
    let over = document.put(contents_of("over")).with(IF_NONE_MATCH, "*");
    seen.note(Step::CreatedOver, asked.write(over).await);
    seen.note(Step::After, asked.read().await);
    seen.note(Step::Merged, asked.write(document.post(merged_contents())).await);
    seen.note(Step::AfterMerge, asked.read().await);
    seen.note(Step::Removed, asked.write(document.delete()).await);
    seen.note(Step::Gone, asked.read().await);
    seen
}

struct Asked<'a> {
    place: &'a Arc<Place>,
    ledger: &'a Arc<Ledger>,
    document: &'a Document,
}

impl Asked<'_> {
    async fn write(&self, question: Question) -> Heard {
        self.ledger.write(self.place, self.document, question).await
    }

    /// A GET as a probe asks it.
    async fn read(&self) -> Heard {
        let question = self.document.read().with(ACCEPT_ENCODING, "identity").with(CACHE_CONTROL, "no-cache");
        self.place.ask(question).await
    }

    /// Whether the document was made: with a precondition if the server takes it, since then nothing else can be hit.
    async fn create(&self, seen: &mut Seen) -> bool {
        let refuses = match seen.told(Step::Missing) {
            Some(told) => {
                matches!(told.status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) || told.is_page()
            }
            None => true,
        };
        if refuses {
            return false;
        }
        let put = self.document.put(first_contents());
        seen.note(Step::Created, self.write(put.clone().with(IF_NONE_MATCH, "*")).await);
        let is_unwelcome = matches!(
            seen.status(Step::Created),
            Some(StatusCode::BAD_REQUEST | StatusCode::CONFLICT | StatusCode::PRECONDITION_FAILED)
        );
        if is_unwelcome {
            seen.note(Step::CreatedBare, self.write(put).await);
        }
        seen.succeeded(Step::Created) || seen.succeeded(Step::CreatedBare)
    }

    async fn ask_beside(&self, beside: &Beside, seen: &mut Seen) {
        let Self { place, document, .. } = self;
        for (step, question) in about_origin(document, &beside.origin) {
            seen.note(step, place.ask(question).await);
        }
        // To a server that does not know this syntax it is a write.
        let alternate = Question::new(Method::POST, format!("{}?method=GET", document.kind.path()))
            .with(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .sending(document.form());
        seen.note(Step::Alternate, self.write(alternate).await);
        let lengths =
            [(Step::LongPlain, beside.target_max), (Step::Long8, 8 * 1024), (Step::Long16, 16 * 1024)];
        for (step, length) in lengths {
            let length = length.saturating_sub(place.base().len());
            seen.note(step, place.ask(Question::get(document.long_target(length))).await);
        }
    }
}

/// What a browser asks for a page of another origin.
pub(super) fn about_origin(document: &Document, origin: &HeaderValue) -> [(Step, Question); 2] {
    let preflight = Question::new(Method::OPTIONS, document.target())
        .with_value(ORIGIN, origin.clone())
        .with(ACCESS_CONTROL_REQUEST_METHOD, "PUT")
        .with(ACCESS_CONTROL_REQUEST_HEADERS, WANTED)
        .anonymous();
    [(Step::Preflight, preflight), (Step::CrossOrigin, document.read().with_value(ORIGIN, origin.clone()))]
}
