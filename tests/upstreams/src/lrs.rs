//! An LRS that answers requests with the manners of one of the real ones.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, ETAG, IF_MATCH, IF_NONE_MATCH, LAST_MODIFIED, TRANSFER_ENCODING};
use http::{HeaderName, Method, Request, Response};
use http_body_util::Full;
use serde_json::{Map, Value};
use time::OffsetDateTime;

use crate::address::{Address, Parameters, Place, Resource, parameters};
use crate::alternate;
use crate::documents::{Document, Documents};
use crate::manners::{Attempt, Manners, Verdict, Version, is_json};
use crate::name::Name;
use crate::reply::Reply;
use crate::statements::Statements;

const VERSION: HeaderName = HeaderName::from_static("x-experience-api-version");

/// A Learning Record Store in memory.
pub struct Lrs {
    name: Name,
    manners: &'static dyn Manners,
    pause: Duration,
    documents: Mutex<Documents>,
    statements: Mutex<Statements>,
    writes: AtomicUsize,
    journal: Option<Box<Journal>>,
}

/// Is told the target and the body of each write that was carried out, before its writer is.
pub type Journal = dyn Fn(&str, &[u8]) + Send + Sync;

impl Lrs {
    /// An empty one, which pauses between reading a document and storing it.
    pub fn new(name: Name, pause: Duration) -> Self {
        let manners = name.manners();
        Self {
            name,
            manners,
            pause,
            documents: Mutex::new(Documents::new(manners.any_registration())),
            statements: Mutex::default(),
            writes: AtomicUsize::new(0),
            journal: None,
        }
    }

    /// The same, with a journal of its writes: in their order, document by document.
    #[must_use]
    pub fn with_journal(self, journal: Box<Journal>) -> Self {
        Self { journal: Some(journal), ..self }
    }

    /// Stores JSON under a target without a request.
    ///
    /// # Panics
    ///
    /// If the target names no document.
    pub fn hold(&self, target: &str, contents: impl Into<Bytes>) {
        let document = self.document_of(contents.into(), "application/json");
        self.documents().store(&self.address_of(target), document, false);
    }

    /// What is stored under a target.
    ///
    /// # Panics
    ///
    /// If the target names no document.
    pub fn stored(&self, target: &str) -> Option<Bytes> {
        let rows = self.documents().named(&self.address_of(target));
        rows.into_iter().next().map(|row| row.document.contents)
    }

    /// How many writes on documents have arrived, carried out or not.
    pub fn writes(&self) -> usize {
        self.writes.load(Ordering::Relaxed)
    }

    /// Answers a request.
    pub async fn answer(&self, request: Request<Bytes>) -> Response<Full<Bytes>> {
        let mut reply = match *request.method() {
            Method::OPTIONS => Reply::bare(204),
            _ if alternate::is_alternate(&request) => self.alternate(request).await,
            _ => self.plain(request).await,
        };
        self.manners.cors().add_to(&mut reply.fields);
        reply.into_response()
    }

    async fn alternate(&self, request: Request<Bytes>) -> Reply {
        let unwrapped = alternate::unwrapped(request).and_then(|request| {
            let understands = self.manners.alternate_syntax(version(&request));
            understands.then_some(request).ok_or("the alternate request syntax is not allowed".into())
        });
        match unwrapped {
            Ok(request) => self.plain(request).await,
            Err(what) => Reply::text(400, what),
        }
    }

    async fn plain(&self, request: Request<Bytes>) -> Reply {
        let asked = version(&request);
        let reply = match parameters(request.uri().query().unwrap_or_default()) {
            Err(what) => Reply::text(400, what),
            Ok(parameters) => match Place::of(request.uri().path()) {
                Place::About => Reply::json(r#"{"version":["1.0.3","2.0.0"]}"#),
                Place::Statements => {
                    locked(&self.statements).answer(request.method(), &parameters, request.body())
                }
                Place::Documents(resource) => self.document(resource, &parameters, &request).await,
                Place::Nowhere => Reply::text(404, "there is nothing here"),
            },
        };
        reply.with(VERSION, self.manners.version(asked))
    }

    async fn document(&self, resource: Resource, parameters: &Parameters, request: &Request<Bytes>) -> Reply {
        let method = request.method();
        let reads = matches!(*method, Method::GET | Method::HEAD);
        if !reads {
            self.writes.fetch_add(1, Ordering::Relaxed);
        }
        let address = match Address::read(resource, parameters) {
            Ok(address) => address,
            Err(what) => return Reply::text(400, what),
        };
        match (method, &address.id) {
            (&Method::GET | &Method::HEAD, Some(_)) => self.read(&address),
            (&Method::GET | &Method::HEAD, None) => self.list(&address),
            (&Method::PUT | &Method::POST | &Method::DELETE, Some(_)) => self.write(&address, request).await,
            (&Method::DELETE, None) if resource == Resource::State => {
                self.documents().remove(&address);
                Reply::bare(204)
            }
            (&Method::PUT | &Method::POST | &Method::DELETE, None) => Reply::text(400, "the id is missing"),
            _ => Reply::text(405, "no such method"),
        }
    }

    fn read(&self, address: &Address) -> Reply {
        let rows = self.documents().named(address);
        let Some(row) = rows.first() else {
            let text = "there is no such document";
            return Reply::text(404, text).with_some(ETAG, self.manners.tag_of_missing(text.as_bytes()));
        };
        if self.trips_over(rows.len()) {
            return Reply::text(500, "get() returned more than one document");
        }
        let document = &row.document;
        let body = match is_json(&document.content_type) {
            true => self.manners.served(&document.contents),
            false => document.contents.clone(),
        };
        let chunked = self.manners.chunks().then(|| "chunked".to_owned());
        Reply { body, ..Reply::bare(200) }
            .with(CONTENT_TYPE, &document.content_type)
            .with(ETAG, &document.tag)
            .with_some(LAST_MODIFIED, self.manners.last_modified(document.modified))
            .with_some(TRANSFER_ENCODING, chunked)
    }

    fn list(&self, address: &Address) -> Reply {
        let ids = serde_json::json!(self.documents().ids(address)).to_string();
        let tag = self.manners.tag_of_list(ids.as_bytes());
        Reply::json(ids).with_some(ETAG, tag)
    }

    /// Reads, pauses, judges and stores: unless that is one step, what was read may be gone by then.
    async fn write(&self, address: &Address, request: &Request<Bytes>) -> Reply {
        let read = self.documents().named(address);
        if !self.pause.is_zero() {
            tokio::time::sleep(self.pause).await;
        }
        let mut documents = self.documents();
        let rows = if self.manners.is_atomic() { documents.named(address) } else { read };
        if self.trips_over(rows.len()) {
            return Reply::text(500, "get() returned more than one document");
        }
        let current = rows.first().map(|row| &row.document);
        let attempt = Attempt {
            resource: address.collection.resource,
            method: request.method(),
            version: version(request),
            if_match: field(request, &IF_MATCH),
            if_none_match: field(request, &IF_NONE_MATCH),
            current,
        };
        match self.manners.judge(&attempt) {
            Verdict::Refuse(status) => return Reply::text(status, refusal(status)),
            Verdict::Pretend => return Reply::bare(204),
            Verdict::Apply => (),
        }
        if request.method() == Method::DELETE {
            documents.remove(address);
            let status = current.map_or_else(|| self.manners.delete_of_missing(attempt.resource), |_| 204);
            return Reply::bare(status);
        }
        match self.made(&attempt, request) {
            Ok(document) => {
                let tag = self.manners.tags_writes().then(|| document.tag.clone());
                let doubles = self.manners.doubles() && current.is_none();
                documents.store(address, document, doubles);
                if let Some(journal) = &self.journal {
                    let target = request.uri().path_and_query().map_or("", |target| target.as_str());
                    journal(target, request.body());
                }
                Reply::bare(204).with_some(ETAG, tag)
            }
            Err(status) => Reply::text(status, "these contents cannot be stored"),
        }
    }

    /// The document that a PUT or POST makes, or the status that says why it makes none.
    fn made(&self, attempt: &Attempt<'_>, request: &Request<Bytes>) -> Result<Document, u16> {
        let contents = request.body();
        let media_type = field(request, &CONTENT_TYPE).unwrap_or("application/octet-stream");
        let is_put = attempt.method == Method::PUT;
        if let Some(status) = self.manners.not_utf8().filter(|_| std::str::from_utf8(contents).is_err()) {
            return Err(status);
        }
        if let Some(status) =
            self.manners.empty_put(attempt.resource).filter(|_| is_put && contents.is_empty())
        {
            return Err(status);
        }
        let contents = match attempt.current.filter(|_| !is_put) {
            Some(current) => self.merged(current, media_type, contents)?.into(),
            None => contents.clone(),
        };
        Ok(self.document_of(contents, media_type))
    }

    /// A merge of top-level members: both must be JSON objects (1.0.3 Communication §2.2).
    fn merged(&self, current: &Document, media_type: &str, contents: &[u8]) -> Result<String, u16> {
        if !is_json(media_type) || !is_json(&current.content_type) {
            return Err(400);
        }
        let object = |contents: &[u8]| -> Result<Map<String, Value>, u16> {
            match serde_json::from_slice(contents) {
                Ok(Value::Object(members)) => Ok(members),
                Ok(_) => Err(self.manners.not_an_object()),
                Err(_) => Err(400),
            }
        };
        let mut members = object(&current.contents)?;
        members.extend(object(contents)?);
        Ok(self.manners.merged(members))
    }

    fn document_of(&self, contents: Bytes, media_type: &str) -> Document {
        Document {
            content_type: self.manners.content_type(media_type, &contents).into_owned(),
            tag: self.manners.tag(&contents),
            modified: OffsetDateTime::now_utc(),
            contents,
        }
    }

    /// Whether a document that is there more than once makes every request for it fail.
    fn trips_over(&self, rows: usize) -> bool {
        rows > 1 && self.manners.doubles()
    }

    fn address_of(&self, target: &str) -> Address {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let Place::Documents(resource) = Place::of(path) else { panic!("no document: {target}") };
        parameters(query).and_then(|parameters| Address::read(resource, &parameters)).expect("a document")
    }

    fn documents(&self) -> MutexGuard<'_, Documents> {
        locked(&self.documents)
    }
}

impl fmt::Debug for Lrs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lrs({:?})", self.name)
    }
}

/// The text of a refusal (1.0.3 Communication §3.1).
fn refusal(status: u16) -> &'static str {
    match status {
        409 => {
            "The document exists. Check the current state of the resource, and set the \"If-Match\" header with \
             the current ETag to resolve the conflict."
        }
        412 => "The precondition does not hold.",
        _ => "State If-Match or If-None-Match.",
    }
}

fn version(request: &Request<Bytes>) -> Version {
    match field(request, &VERSION).unwrap_or_default().starts_with('2') {
        true => Version::Two,
        false => Version::One,
    }
}

/// A field's value, if it has one.
fn field<'r>(request: &'r Request<Bytes>, name: &HeaderName) -> Option<&'r str> {
    let value = request.headers().get(name)?.to_str().ok()?.trim();
    (!value.is_empty()).then_some(value)
}

/// Whoever panicked under a lock left whole values behind.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
