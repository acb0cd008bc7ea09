//! A document server with no concurrency control at all, which remembers every request it saw.
//!
//! It stands for a legacy LRS: PUT replaces, POST and PATCH merge top-level JSON by reading, pausing and writing, DELETE
//! removes, and no precondition is ever looked at. Any target is a document; the three xAPI document resources also want
//! their parameters (400), list their ids, and State can be deleted as a whole. Its knobs make it one real
//! server or another, and its [`Misdeed`]s make it a broken one.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use serde_json::Value;
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, watch};

use super::address::{Address, canonical};
use super::alternate::opened;
use super::reply::Reply;
use super::server::Server;
use super::wire::{Ending, Framing, Head, Wire, field};
use super::within;

/// A running store.
#[derive(Debug)]
pub(crate) struct Store {
    server: Server,
    shared: Arc<Shared>,
}

/// What can be set, also while it runs.
#[derive(Debug, Clone, Default)]
pub(crate) struct Knobs {
    /// How long a write takes between reading the old document and storing the new one.
    pub(crate) pause: Duration,
    /// HEAD is answered with 405.
    pub(crate) no_head: bool,
    pub(crate) tags: Tags,
    /// JSON is parsed and printed anew when it is read, as pelotech and Learning Locker do.
    pub(crate) reserialises: bool,
    pub(crate) answers: Answers,
    /// Every document comes compressed, whatever was accepted.
    pub(crate) gzips: bool,
    /// Documents are framed in chunks, as Learning Locker does.
    pub(crate) chunks: bool,
    /// Reads of documents are answered with 404, as for somebody who may write but not read.
    pub(crate) hides: bool,
    /// The gate stands before the body of a request instead of behind it.
    pub(crate) reads_late: bool,
    /// The gate stands behind the answer, which is made already.
    pub(crate) answers_late: bool,
    /// A State document is the same under every registration.
    pub(crate) ignores_registration: bool,
    /// An If-Match that is not its own tag gets 412.
    pub(crate) checks: bool,
    /// Requests without this Authorization get 401.
    pub(crate) credential: Option<String>,
    /// Reads get 403, unless they carry this Authorization.
    pub(crate) reader: Option<String>,
    /// Added to every answer.
    pub(crate) fields: Vec<(&'static str, &'static str)>,
    /// The connection is closed right after each answer, without a word.
    pub(crate) closes: bool,
    pub(crate) misdeed: Option<(On, Misdeed)>,
    /// A write that meets a misdeed is applied all the same.
    pub(crate) applies: bool,
    gate: Option<(On, Arc<Semaphore>)>,
}

/// The store's own entity-tags.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Tags {
    #[default]
    None,
    /// Another one with every write, whatever was written (Learning Locker).
    Random,
    /// Length and hash of what is stored (LaRS).
    LengthHash,
    Weak,
    /// Length and hash of what is sent, which is not always what is stored.
    OfAnswer,
}

/// What documents look like each time they are read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Answers {
    #[default]
    Steady,
    /// A JSON object's members come in another order than the time before.
    Reordered,
    /// A JSON object has another value each time.
    Different,
}

/// Which requests something applies to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum On {
    All,
    Reads,
    Writes,
    /// Writes that carry If-Match or If-None-Match.
    Conditional,
    /// Requests that carry X-Gate.
    Marked,
}

/// What a broken server does in place of an answer, once it has read the whole request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Misdeed {
    /// Never answers.
    Silent,
    /// Sends these bytes, then goes on serving.
    Says(String),
    /// Sends these bytes and closes.
    SaysAndCloses(String),
    /// Sends these bytes and resets.
    SaysAndResets(String),
    /// Sends these bytes, then one more every now and then, and never comes to an end.
    Trickles(String),
}

/// A request as the store saw it.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Vec<(String, String)>,
    /// How the upload ended, once it has; a request that is complete may still wait at the gate.
    pub(crate) upload: Option<Ending>,
    /// How many bytes of it have come so far.
    pub(crate) bytes: u64,
    pub(crate) answered: bool,
    /// The number of its connection.
    pub(crate) connection: usize,
}

#[derive(Debug, Default)]
struct Shared {
    knobs: Mutex<Knobs>,
    documents: Mutex<BTreeMap<String, Document>>,
    seen: Mutex<Vec<Seen>>,
    fixed: Mutex<BTreeMap<String, Fixed>>,
    reads: AtomicUsize,
    news: watch::Sender<u64>,
}

#[derive(Debug, Clone)]
struct Document {
    bytes: Vec<u8>,
    media_type: String,
    version: u64,
}

#[derive(Debug, Clone)]
struct Fixed {
    answer: Vec<u8>,
    early: bool,
}

impl Store {
    pub(crate) fn start() -> Self {
        Self::with(|_| ())
    }

    pub(crate) fn with(set: impl FnOnce(&mut Knobs)) -> Self {
        let shared = Arc::new(Shared::default());
        let serving = Arc::clone(&shared);
        let server = Server::start(move |stream, number| serve(Arc::clone(&serving), stream, number));
        let store = Self { server, shared };
        store.set(set);
        store
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.server.address
    }

    pub(crate) fn set(&self, set: impl FnOnce(&mut Knobs)) {
        set(&mut self.shared.knobs());
    }

    /// Puts a document there without a request.
    pub(crate) fn hold(&self, target: &str, bytes: impl AsRef<[u8]>) {
        self.shared.store(&canonical(target), bytes.as_ref(), "application/json");
    }

    /// What the document holds.
    pub(crate) fn document(&self, target: &str) -> Option<Vec<u8>> {
        self.shared.documents.lock().unwrap().get(&canonical(target)).map(|document| document.bytes.clone())
    }

    /// The entity-tag that the store itself gives to a document.
    pub(crate) fn own_tag(&self, target: &str) -> Option<String> {
        let tags = self.shared.knobs().tags;
        self.shared.documents.lock().unwrap().get(&canonical(target)).and_then(|document| document.tag(tags))
    }

    /// Answers every request for a path with these bytes.
    pub(crate) fn answer(&self, path: &str, answer: impl AsRef<[u8]>) {
        let fixed = Fixed { answer: answer.as_ref().to_vec(), early: false };
        self.shared.fixed.lock().unwrap().insert(path.to_owned(), fixed);
    }

    /// Answers every request for a path with these bytes as soon as its head is there, and closes.
    pub(crate) fn answer_early(&self, path: &str, answer: impl AsRef<[u8]>) {
        let fixed = Fixed { answer: answer.as_ref().to_vec(), early: true };
        self.shared.fixed.lock().unwrap().insert(path.to_owned(), fixed);
    }

    /// Makes requests wait, once they are complete, until they are let through.
    pub(crate) fn close_gate(&self, on: On) {
        self.set(|knobs| knobs.gate = Some((on, Arc::new(Semaphore::new(0)))));
    }

    /// Lets some of the requests at the gate through.
    pub(crate) fn let_through(&self, count: usize) {
        let knobs = self.shared.knobs();
        knobs.gate.as_ref().expect("a closed gate").1.add_permits(count);
    }

    /// Lets everything through, now and later.
    pub(crate) fn open_gate(&self) {
        let gate = self.shared.knobs().gate.take();
        gate.expect("a closed gate").1.close();
    }

    /// All requests, in the order in which their heads arrived.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().unwrap().clone()
    }

    /// Everything but GET and HEAD.
    pub(crate) fn writes(&self) -> Vec<Seen> {
        self.seen().into_iter().filter(Seen::is_write).collect()
    }

    /// Waits until what was seen satisfies a condition.
    pub(crate) async fn until(&self, what: &str, mut holds: impl FnMut(&[Seen]) -> bool) {
        let mut news = self.shared.news.subscribe();
        within(what, async {
            while !holds(&self.shared.seen.lock().unwrap()) {
                news.changed().await.unwrap();
            }
        })
        .await;
    }

    /// Waits until this many writes have arrived as a whole.
    pub(crate) async fn until_writes(&self, count: usize) {
        self.until(&format!("{count} writes at the upstream"), |seen| {
            seen.iter().filter(|seen| seen.is_write() && seen.upload == Some(Ending::Complete)).count()
                >= count
        })
        .await;
    }

    /// Waits until this many reads have arrived.
    pub(crate) async fn until_reads(&self, count: usize) {
        self.until(&format!("{count} reads at the upstream"), |seen| {
            seen.iter().filter(|seen| !seen.is_write()).count() >= count
        })
        .await;
    }

    /// Forgets what was seen.
    pub(crate) fn forget(&self) {
        self.shared.seen.lock().unwrap().clear();
    }
}

impl Seen {
    pub(crate) fn is_write(&self) -> bool {
        let sealed = self.target.split_once("?method=").map(|(_, method)| method);
        !matches!(sealed.unwrap_or(&self.method), "GET" | "HEAD")
    }

    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        field(&self.fields, name)
    }
}

impl On {
    fn fits(self, seen: &Seen) -> bool {
        match self {
            Self::All => true,
            Self::Reads => !seen.is_write(),
            Self::Writes => seen.is_write(),
            Self::Marked => seen.field("x-gate").is_some(),
            Self::Conditional => {
                let opened = opened(seen);
                let plain = opened.as_ref().unwrap_or(seen);
                seen.is_write()
                    && (plain.field("if-match").is_some() || plain.field("if-none-match").is_some())
            }
        }
    }
}

impl Answers {
    /// A JSON object as it looks when it is read for the nth time.
    fn unsteady(self, body: &[u8], read: usize) -> Option<String> {
        let Ok(Value::Object(object)) = serde_json::from_slice(body) else { return None };
        let mut members: Vec<String> =
            object.iter().map(|(name, value)| format!("{}: {value}", Value::from(name.as_str()))).collect();
        match self {
            Self::Steady => return None,
            Self::Reordered => {
                let shift = read % members.len().max(1);
                members.rotate_left(shift);
            }
            Self::Different => members.push(format!("\"read\": {read}")),
        }
        Some(format!("{{{}}}", members.join(", ")))
    }
}

impl Shared {
    fn knobs(&self) -> MutexGuard<'_, Knobs> {
        self.knobs.lock().unwrap()
    }

    /// Changes the record of a request and tells whoever waits for it.
    fn note(&self, at: usize, change: impl FnOnce(&mut Seen)) {
        // A test may have forgotten it meanwhile.
        if let Some(seen) = self.seen.lock().unwrap().get_mut(at) {
            change(seen);
        }
        self.news.send_modify(|count| *count += 1);
    }

    fn store(&self, key: &str, bytes: &[u8], media_type: &str) {
        let mut documents = self.documents.lock().unwrap();
        let version = documents.get(key).map_or(1, |document| document.version + 1);
        let document = Document { bytes: bytes.to_vec(), media_type: media_type.to_owned(), version };
        documents.insert(key.to_owned(), document);
    }
}

impl Document {
    fn tag(&self, tags: Tags) -> Option<String> {
        match tags {
            Tags::None => None,
            Tags::Random => Some(format!("\"r{}x{}\"", self.version * 7919, self.bytes.len())),
            Tags::LengthHash | Tags::OfAnswer => {
                Some(format!("\"{}-{}\"", self.bytes.len(), xxhash_rust::xxh3::xxh3_128(&self.bytes)))
            }
            Tags::Weak => Some(format!("W/\"{:x}\"", self.bytes.len())),
        }
    }
}

async fn serve(shared: Arc<Shared>, stream: TcpStream, connection: usize) {
    let mut wire = Wire::new(stream);
    while let Ok(head) = wire.head().await {
        let path = head.word(1).split('?').next().unwrap().to_owned();
        let at = record(&shared, &head, connection);
        let fixed = shared.fixed.lock().unwrap().get(&path).cloned();
        if let Some(Fixed { answer, early: true }) = &fixed {
            wire.write(answer).await;
            shared.note(at, |seen| seen.answered = true);
            wire.half_close().await;
            let (ending, _) = wire.rest().await;
            shared.note(at, |seen| seen.upload = Some(ending));
            return;
        }
        if head.field("expect").is_some() {
            wire.write(b"HTTP/1.1 100 Continue\r\n\r\n").await;
        }
        if shared.knobs().reads_late {
            let seen = shared.seen.lock().unwrap()[at].clone();
            pass_gate(&shared, &seen).await;
        }
        if receive(&shared, &mut wire, &head, at, path == "/sink").await != Ending::Complete {
            return;
        }
        let seen = shared.seen.lock().unwrap().get(at).cloned().expect("nothing is forgotten on the way");
        if path == "/drip" {
            drip(&shared, &seen, &mut wire).await;
            continue;
        }
        if !shared.knobs().answers_late {
            pass_gate(&shared, &seen).await;
        }
        let misdeed =
            shared.knobs().misdeed.clone().filter(|(on, _)| on.fits(&seen)).map(|(_, misdeed)| misdeed);
        if misdeed.is_none() || shared.knobs().applies {
            let reply = match fixed {
                Some(fixed) => fixed.answer,
                None if path.starts_with("/source/") => {
                    pour_out(&mut wire, &path).await;
                    continue;
                }
                None => respond(&shared, &seen).await.into_bytes(&seen.method, shared.knobs().chunks),
            };
            if shared.knobs().answers_late {
                pass_gate(&shared, &seen).await;
            }
            if misdeed.is_none() {
                shared.note(at, |seen| seen.answered = true);
                wire.write(&reply).await;
                if shared.knobs().closes || seen.field("connection") == Some("close") {
                    return;
                }
            }
        }
        match misdeed {
            None => (),
            Some(Misdeed::Silent) => {
                shared.note(at, |seen| seen.answered = true);
                wire.rest().await;
                return;
            }
            Some(Misdeed::Says(bytes)) => {
                wire.write(bytes.as_bytes()).await;
            }
            Some(Misdeed::SaysAndCloses(bytes)) => {
                wire.write(bytes.as_bytes()).await;
                return;
            }
            Some(Misdeed::Trickles(bytes)) => {
                let mut sent = wire.write(bytes.as_bytes()).await;
                while sent {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    sent = wire.write(b" ").await;
                }
                return;
            }
            Some(Misdeed::SaysAndResets(bytes)) => {
                wire.write(bytes.as_bytes()).await;
                wire.reset();
                return;
            }
        }
    }
}

fn record(shared: &Shared, head: &Head, connection: usize) -> usize {
    let mut seen = shared.seen.lock().unwrap();
    seen.push(Seen {
        method: head.word(0).to_owned(),
        target: head.word(1).to_owned(),
        fields: head.fields.clone(),
        body: Vec::new(),
        trailers: Vec::new(),
        upload: None,
        bytes: 0,
        answered: false,
        connection,
    });
    seen.len() - 1
}

/// Reads the body; a sink only counts it.
async fn receive(shared: &Shared, wire: &mut Wire, head: &Head, at: usize, sink: bool) -> Ending {
    shared.note(at, |_| ());
    let mut bytes = Vec::new();
    let mut count = 0;
    let mut take = |piece: &[u8]| {
        count += piece.len() as u64;
        shared.note(at, |seen| seen.bytes = count);
        if !sink {
            bytes.extend_from_slice(piece);
        }
    };
    let framing = head.framing().unwrap_or(Framing::Length(0));
    let (ending, trailers) = wire.pour(framing, &mut take).await;
    shared.note(at, |seen| {
        (seen.body, seen.trailers, seen.bytes, seen.upload) = (bytes, trailers, count, Some(ending));
    });
    ending
}

async fn pass_gate(shared: &Shared, seen: &Seen) {
    let gate = shared.knobs().gate.clone();
    if let Some((on, gate)) = gate
        && on.fits(seen)
        && let Ok(permit) = gate.acquire().await
    {
        permit.forget();
    }
}

/// `/drip`: two pieces with the gate in between, and a trailer.
async fn drip(shared: &Shared, seen: &Seen, wire: &mut Wire) {
    wire.write(b"HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")
        .await;
    pass_gate(shared, seen).await;
    wire.write(b"6\r\nsecond\r\n0\r\nX-Sum: 11\r\n\r\n").await;
}

/// `/source/N`: N bytes.
async fn pour_out(wire: &mut Wire, path: &str) {
    let mut left: usize = path["/source/".len()..].parse().unwrap();
    wire.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {left}\r\n\r\n").as_bytes()).await;
    let block = vec![b'x'; 64 * 1024];
    while left > 0 {
        let count = left.min(block.len());
        if !wire.write(&block[..count]).await {
            return;
        }
        left -= count;
    }
}

async fn respond(shared: &Shared, seen: &Seen) -> Reply {
    let knobs = shared.knobs().clone();
    let opened = opened(seen);
    let seen = opened.as_ref().unwrap_or(seen);
    let may_read = knobs.reader.is_none() || seen.field("authorization") == knobs.reader.as_deref();
    if !seen.is_write() && !may_read {
        return with_fields(Reply::new(403, "you may only write"), &knobs);
    }
    if knobs.credential.is_some() && seen.field("authorization") != knobs.credential.as_deref() {
        return with_fields(Reply::new(401, "who are you?"), &knobs);
    }
    let mut address = Address::of(&seen.target);
    if knobs.ignores_registration {
        address = address.without("registration");
    }
    if let Some(complaint) = address.complaint(&seen.method) {
        return Reply::new(400, complaint);
    }
    let own =
        shared.documents.lock().unwrap().get(&address.key).and_then(|document| document.tag(knobs.tags));
    if knobs.checks && seen.field("if-match").is_some_and(|stated| Some(stated) != own.as_deref()) {
        return Reply::new(412, "not what is here");
    }
    let reply = match seen.method.as_str() {
        "HEAD" if knobs.no_head => Reply::new(405, ""),
        "GET" | "HEAD" => read(shared, &knobs, &address),
        "PUT" => {
            tokio::time::sleep(knobs.pause).await;
            shared.store(
                &address.key,
                &seen.body,
                seen.field("content-type").unwrap_or("application/octet-stream"),
            );
            Reply::new(204, "")
        }
        "POST" | "PATCH" => merge(shared, &knobs, &address, seen).await,
        "DELETE" => {
            tokio::time::sleep(knobs.pause).await;
            shared.documents.lock().unwrap().retain(|key, _| !address.covers(key));
            Reply::new(204, "")
        }
        _ => Reply::new(200, ""),
    };
    with_fields(reply, &knobs)
}

fn with_fields(mut reply: Reply, knobs: &Knobs) -> Reply {
    reply.fields.extend(knobs.fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    reply
}

fn read(shared: &Shared, knobs: &Knobs, address: &Address) -> Reply {
    let documents = shared.documents.lock().unwrap();
    if address.is_list() {
        let ids = documents.keys().filter(|key| address.covers(key)).map(|key| Address::of(key).id());
        let ids: Vec<Value> = ids.map(Value::from).collect();
        return Reply::new(200, Value::Array(ids).to_string()).with("Content-Type", "application/json");
    }
    let Some(document) = documents.get(&address.key).filter(|_| !knobs.hides) else {
        return Reply::new(404, "no such document");
    };
    let mut body = document.bytes.clone();
    if knobs.reserialises
        && let Ok(value) = serde_json::from_slice::<Value>(&body)
    {
        body = value.to_string().into_bytes();
    }
    let read = shared.reads.fetch_add(1, Ordering::Relaxed);
    if let Some(answer) = knobs.answers.unsteady(&body, read) {
        body = answer.into_bytes();
    }
    if let Some(name) = &address.part
        && let Ok(Value::Object(members)) = serde_json::from_slice::<Value>(&body)
    {
        let part: serde_json::Map<_, _> = members.into_iter().filter(|(member, _)| member == name).collect();
        body = Value::Object(part).to_string().into_bytes();
    }
    let mut reply = Reply::new(200, body).with("Content-Type", &document.media_type);
    let mut tagged = document.clone();
    if knobs.tags == Tags::OfAnswer {
        tagged.bytes.clone_from(&reply.body);
    }
    if let Some(tag) = tagged.tag(knobs.tags) {
        reply = reply.with("ETag", &tag);
    }
    if knobs.gzips {
        let mut coder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        coder.write_all(&reply.body).unwrap();
        reply.body = coder.finish().unwrap();
        reply = reply.with("Content-Encoding", "gzip");
    }
    reply
}

/// Reads, pauses and writes, so that merges that run at the same time lose each other's keys.
async fn merge(shared: &Shared, knobs: &Knobs, address: &Address, seen: &Seen) -> Reply {
    let old = shared.documents.lock().unwrap().get(&address.key).map(|document| document.bytes.clone());
    tokio::time::sleep(knobs.pause).await;
    let mut merged = match old.as_deref().map(serde_json::from_slice::<Value>) {
        None => serde_json::Map::new(),
        Some(Ok(Value::Object(old))) => old,
        Some(_) => return Reply::new(400, "not a JSON object there"),
    };
    let Ok(Value::Object(new)) = serde_json::from_slice::<Value>(&seen.body) else {
        return Reply::new(400, "not a JSON object");
    };
    merged.extend(new);
    shared.store(&address.key, Value::Object(merged).to_string().as_bytes(), "application/json");
    Reply::new(204, "")
}
