//! The doctor's own documents: how they are named, and that none of them stays.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::header::{CACHE_CONTROL, CONTENT_TYPE, IF_MATCH};
use http::{Method, StatusCode};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::time::sleep;

use super::place::{Heard, Place, Question, Told, Unanswered};

/// What every document holds and is named with.
pub(super) const MARK: &str = "staleguard-doctor";
/// How long after the last look a write whose outcome is unknown is looked for once more.
const LATER: Duration = Duration::from_secs(1);

/// A document resource of xAPI (1.0.3 Communication §2.3, §2.6, §2.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    State,
    AgentProfile,
    ActivityProfile,
}

/// A document of the doctor's own. It always has an id of its own, so that nothing of it ever means a whole scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Document {
    pub(super) kind: Kind,
    name: String,
    /// The statuses that mean a missing document beside the usual ones.
    absent: Vec<StatusCode>,
}

/// Every document that may be there.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    made: Mutex<Vec<Made>>,
    /// Held while a write is under way, which nothing cancels.
    writing: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Debug, Clone)]
struct Made {
    document: Document,
    /// Where it was written, and is removed.
    via: Arc<Place>,
    /// Where it is looked for afterwards: behind whatever may keep a copy of it.
    look: Arc<Place>,
    /// Whether a write had no answer, and may yet be applied.
    is_unsure: bool,
    /// The most that became of its writes.
    standing: Standing,
    /// Whether a DELETE was carried out.
    is_removed: bool,
}

/// What became of writes to a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Standing {
    /// Nothing was written.
    Refused,
    /// Probably nothing was, as after a 409 or a redirect.
    Doubtful,
    /// Something may have been, as after a 500.
    Possible,
    /// Something was.
    Written,
}

/// A document that could not be removed, or of which that cannot be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Left {
    pub(super) name: String,
    pub(super) why: String,
}

impl Kind {
    pub(super) const ALL: [Self; 3] = [Self::State, Self::AgentProfile, Self::ActivityProfile];

    /// The path of the resource behind the base path.
    pub(super) fn path(self) -> &'static str {
        match self {
            Self::State => "/activities/state",
            Self::AgentProfile => "/agents/profile",
            Self::ActivityProfile => "/activities/profile",
        }
    }
}

impl Document {
    /// A document that nobody else has: `random` is in all of its names.
    pub(super) fn new(kind: Kind, what: &str, random: &str) -> Self {
        Self { kind, name: format!("{MARK}-{what}-{random}"), absent: Vec::new() }
    }

    /// The same at a server that may answer these, too, where it is missing.
    pub(super) fn absent_as(self, statuses: &[StatusCode]) -> Self {
        Self { absent: statuses.to_vec(), ..self }
    }

    /// What nobody else's document is named.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Its target behind the base path.
    pub(super) fn target(&self) -> String {
        format!("{}?{}", self.kind.path(), self.query(&self.name))
    }

    /// The target of a document that is not there, of this many bytes.
    pub(super) fn long_target(&self, length: usize) -> String {
        let more = "x".repeat(length.saturating_sub(self.target().len()));
        format!("{}?{}", self.kind.path(), self.query(&format!("{}{more}", self.name)))
    }

    /// The query that names the document, or another one beside it. As a form it is the same.
    fn query(&self, id: &str) -> String {
        let activity = ("activityId", format!("https://staleguard.invalid/doctor/{}", self.name));
        let agent = serde_json::json!({
            "objectType": "Agent",
            "account": { "homePage": "https://staleguard.invalid/doctor", "name": self.name },
        });
        let agent = ("agent", agent.to_string());
        let parameters = match self.kind {
            Kind::State => vec![activity, agent, ("stateId", id.to_owned())],
            Kind::AgentProfile => vec![agent, ("profileId", id.to_owned())],
            Kind::ActivityProfile => vec![activity, ("profileId", id.to_owned())],
        };
        let encoded = |value: &str| utf8_percent_encode(value, NON_ALPHANUMERIC).to_string();
        let pairs: Vec<_> =
            parameters.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
        pairs.join("&")
    }

    /// The form that asks for it in xAPI's alternate request syntax (1.0.3 Communication §1.3).
    /// The mark stands in it as it is: whoever stores the form shows it again.
    pub(super) fn form(&self) -> String {
        self.query(&self.name).replace("%2D", "-")
    }

    /// A question that reads it.
    pub(super) fn read(&self) -> Question {
        Question::get(self.target())
    }

    /// A question that writes JSON to it.
    pub(super) fn put(&self, body: impl Into<bytes::Bytes>) -> Question {
        Question::new(Method::PUT, self.target()).with(CONTENT_TYPE, "application/json").sending(body)
    }

    /// A question that merges JSON into it.
    pub(super) fn post(&self, body: impl Into<bytes::Bytes>) -> Question {
        Question::new(Method::POST, self.target()).with(CONTENT_TYPE, "application/json").sending(body)
    }

    /// A question that removes it.
    pub(super) fn delete(&self) -> Question {
        Question::new(Method::DELETE, self.target())
    }
}

impl Ledger {
    /// Writes to a document, whose name is noted before the first byte goes out. What was begun is not cancelled with
    /// whoever waits for it: a write that is given up half-way may come after the removal.
    pub(super) async fn write(
        self: &Arc<Self>,
        place: &Arc<Place>,
        document: &Document,
        question: Question,
    ) -> Heard {
        let turn = Arc::clone(&self.writing).lock_owned().await;
        self.note(place, document);
        let is_delete = question.method == Method::DELETE;
        let (ledger, place, document) = (Arc::clone(self), Arc::clone(place), document.clone());
        let written = tokio::spawn(async move {
            let heard = place.ask(question).await;
            let may_come = matches!(heard, Err(Unanswered::Late(_)))
                || matches!(heard, Err(Unanswered::Failed(failure)) if !failure.is_before_sending());
            let status = heard.as_ref().ok().map(|told| told.status);
            ledger.change(&document, |made| {
                made.is_unsure |= may_come;
                made.standing = made.standing.max(status.map_or(Standing::Refused, Standing::of));
                made.is_removed |= is_delete && status.is_some_and(|status| status.is_success());
            });
            ledger.forget_refused(&document);
            drop(turn);
            heard
        });
        // It does not panic, and nobody aborts it.
        written.await.unwrap_or(Err(Unanswered::Exhausted))
    }

    /// Notes that a document is seen at another place too, where no copy of it is kept.
    pub(super) fn seen_at(&self, document: &Document, place: &Arc<Place>) {
        self.change(document, |made| made.look = Arc::clone(place));
    }

    /// Removes everything. What is left, or may be, is told.
    pub(super) async fn clean(&self) -> Vec<Left> {
        let _turn = self.writing.lock().await;
        let mut left = Vec::new();
        for made in self.all() {
            let mut removed = made.remove().await;
            if made.is_unsure {
                sleep(LATER).await;
                removed = made
                    .remove()
                    .await
                    .and(Err("a write to it had no answer and may yet be applied".to_owned()));
            }
            match removed {
                Ok(()) => self.locked().retain(|other| other.document != made.document),
                Err(why) => left.push(Left { name: made.document.name.clone(), why }),
            }
        }
        left
    }

    /// What has not been removed yet, for somebody who does not wait for it.
    pub(super) fn not_removed(&self) -> Vec<Left> {
        let left =
            |made: Made| Left { name: made.document.name, why: "its removal was broken off".to_owned() };
        self.all().into_iter().map(left).collect()
    }

    fn note(&self, place: &Arc<Place>, document: &Document) {
        let mut made = self.locked();
        if !made.iter().any(|made| made.document == *document) {
            let (via, look) = (Arc::clone(place), Arc::clone(place));
            made.push(Made {
                document: document.clone(),
                via,
                look,
                is_unsure: false,
                standing: Standing::Refused,
                is_removed: false,
            });
        }
    }

    /// What was never written is nothing that could be left.
    fn forget_refused(&self, document: &Document) {
        let is_refused = |made: &Made| made.standing == Standing::Refused && !made.is_unsure;
        self.locked().retain(|made| made.document != *document || !is_refused(made));
    }

    fn change(&self, document: &Document, change: impl FnOnce(&mut Made)) {
        if let Some(made) = self.locked().iter_mut().find(|made| made.document == *document) {
            change(made);
        }
    }

    fn all(&self) -> Vec<Made> {
        self.locked().clone()
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, Vec<Made>> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Standing {
    fn of(status: StatusCode) -> Self {
        match status {
            status if status.is_success() => Self::Written,
            status if status.is_server_error() => Self::Possible,
            StatusCode::REQUEST_TIMEOUT
            | StatusCode::CONFLICT
            | StatusCode::PRECONDITION_FAILED
            | StatusCode::TOO_EARLY
            | StatusCode::TOO_MANY_REQUESTS => Self::Doubtful,
            status if status.is_client_error() => Self::Refused,
            _ => Self::Doubtful,
        }
    }
}

impl Made {
    async fn remove(&self) -> Result<(), String> {
        let may_be_there = self.is_unsure || self.standing >= Standing::Possible;
        if !may_be_there && self.is_there().await == Ok(false) {
            return Ok(());
        }
        let mut last = "it is still there".to_owned();
        let mut is_removed = self.is_removed || self.standing < Standing::Written;
        for place in [&self.via, &self.look] {
            match self.remove_at(place).await {
                Ok(()) => is_removed = true,
                Err(why) => last = why,
            }
            match self.is_there().await {
                Ok(false) if is_removed => return Ok(()),
                // Nobody has removed it: somebody may keep a 404 from before it was written.
                Ok(_) => {}
                Err(why) => last = why,
            }
        }
        Err(last)
    }

    /// Without a precondition first, as most servers and rules allow, and else with the one that holds.
    async fn remove_at(&self, place: &Place) -> Result<(), String> {
        let delete = self.document.delete();
        let told = place.ask(delete.clone()).await.map_err(|unanswered| unanswered.to_string())?;
        if told.status.is_success() || matches!(told.status, StatusCode::NOT_FOUND | StatusCode::GONE) {
            return Ok(());
        }
        let read = place.ask(self.document.read()).await.map_err(|unanswered| unanswered.to_string())?;
        let told = match read.tag() {
            Some(tag) => place
                .ask(delete.with_value(IF_MATCH, tag))
                .await
                .map_err(|unanswered| unanswered.to_string())?,
            None => told,
        };
        match told.status.is_success() {
            true => Ok(()),
            false => Err(format!("its DELETE was answered {}", told.status.as_u16())),
        }
    }

    async fn is_there(&self) -> Result<bool, String> {
        let question = self.document.read().with(CACHE_CONTROL, "no-cache");
        let told = self.look.ask(question).await.map_err(|unanswered| unanswered.to_string())?;
        match told.status {
            StatusCode::OK => Ok(is_ours(&told)),
            StatusCode::NOT_FOUND | StatusCode::GONE | StatusCode::NO_CONTENT => Ok(false),
            status if self.document.absent.contains(&status) => Ok(false),
            status => {
                Err(format!("whether it is there cannot be told: its GET was answered {}", status.as_u16()))
            }
        }
    }
}

/// Whether an answer holds a document of the doctor's.
pub(super) fn is_ours(told: &Told) -> bool {
    let marked =
        |contents: bytes::Bytes| contents.windows(MARK.len()).any(|window| window == MARK.as_bytes());
    // What cannot be read may be ours.
    told.status == StatusCode::OK && told.decoded().is_none_or(marked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_names_one_document_of_its_own() {
        for kind in Kind::ALL {
            let document = Document::new(kind, "a", "1f");
            for target in [document.target(), document.long_target(8192)] {
                let query = target.split_once('?').expect("a query").1;
                let ids: Vec<_> = form_urlencoded::parse(query.as_bytes())
                    .filter(|(name, _)| name == "stateId" || name == "profileId")
                    .map(|(_, id)| id.into_owned())
                    .collect();
                assert!(matches!(&ids[..], [id] if id.starts_with("staleguard-doctor-a-1f")), "{target}");
            }
            assert_eq!(document.long_target(8192).len(), 8192);
        }
    }

    #[test]
    fn whoever_stores_the_form_shows_whose_it_is() {
        let form = Document::new(Kind::State, "a", "1f").form();
        assert!(form.contains(MARK), "{form}");
        let query = Document::new(Kind::State, "a", "1f").query("staleguard-doctor-a-1f");
        let pairs = |text: &str| form_urlencoded::parse(text.as_bytes()).into_owned().collect::<Vec<_>>();
        assert_eq!(pairs(&form), pairs(&query));
    }
}
