//! The upstream of the model: a document store with no concurrency control, which misbehaves as each request orders.
//!
//! It keeps what SECURITY.md asks of every upstream: a write whose answer was lost is applied within the settle time or
//! not at all. How busy the machine is makes no difference, since what would come too late is dropped.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::net::TcpStream;
use tokio::time::sleep;

use crate::check::count;
use crate::event::{COUNTER, Fault, ReadFault};
use crate::history::{History, Operation};
use crate::reference::{Call, Got, Stated, merged};
use crate::support::address::{Address, canonical};
use crate::support::reply::Reply;
use crate::support::server::Server;
use crate::support::wire::{Ending, Framing, Head, Wire};

/// The field by which a request orders a [`Fault`] or a [`ReadFault`].
pub(crate) const ORDER: &str = "x-model-fault";
/// The field that names an operation.
pub(crate) const ID: &str = "x-model-id";

/// Who writes around the proxy.
pub(crate) const FOREIGN: &str = "foreign";

/// A running upstream.
#[derive(Debug)]
pub(crate) struct Upstream {
    server: Server,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// Whose document it is, and its number there, by its target as the store tells targets apart.
    owners: Mutex<BTreeMap<String, (Arc<History>, usize)>>,
    documents: Mutex<BTreeMap<String, Arc<str>>>,
    /// The operations before which a foreign writer has written, with their documents.
    preceded: Mutex<BTreeSet<(String, String)>>,
    /// After this long, a request that has arrived is not applied any more.
    applies_within: Duration,
}

/// A request, as it has arrived.
struct Request {
    method: String,
    target: String,
    id: String,
    body: Vec<u8>,
    arrived: Instant,
}

impl Upstream {
    pub(crate) fn start(settle_time: Duration) -> Self {
        let shared = Arc::new(Shared {
            owners: Mutex::default(),
            documents: Mutex::default(),
            preceded: Mutex::default(),
            applies_within: settle_time * 8 / 10,
        });
        let serving = Arc::clone(&shared);
        let server = Server::start(move |stream, _| serve(Arc::clone(&serving), stream));
        Self { server, shared }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.server.address
    }

    /// Lets a history have these documents.
    pub(crate) fn open(&self, history: &Arc<History>, targets: &[String]) {
        let mut owners = self.shared.owners.lock().unwrap();
        let numbered = targets.iter().enumerate();
        owners.extend(numbered.map(|(number, target)| (canonical(target), (Arc::clone(history), number))));
    }

    /// Forgets these documents.
    pub(crate) fn close(&self, targets: &[String]) {
        for key in targets.iter().map(|target| canonical(target)) {
            self.shared.owners.lock().unwrap().remove(&key);
            self.shared.documents.lock().unwrap().remove(&key);
            self.shared.preceded.lock().unwrap().retain(|(document, _)| *document != key);
        }
    }

    /// A writer that goes around the proxy. Nobody may be between a question and a write of its scope.
    pub(crate) fn foreign(&self, target: &str) {
        let mut documents = self.shared.documents.lock().unwrap();
        self.shared.foreign(&mut documents, &canonical(target));
    }
}

impl Shared {
    /// Applies a write, unless it comes too late for that.
    fn apply(&self, request: &Request, overtaken: bool) -> bool {
        let mut documents = self.documents.lock().unwrap();
        if request.arrived.elapsed() > self.applies_within {
            return false;
        }
        let address = Address::of(&request.target);
        let body = String::from_utf8(request.body.clone()).expect("everybody writes text");
        match request.method.as_str() {
            "PUT" => drop(documents.insert(address.key.clone(), body.into())),
            "POST" => {
                let new = merged(documents.get(&address.key).map(|old| &**old), &body);
                documents.insert(address.key.clone(), new.into());
            }
            "DELETE" => documents.retain(|key, _| !address.covers(key)),
            method => panic!("nobody sends {method}"),
        }
        if overtaken && !address.is_list() {
            self.foreign(&mut documents, &address.key);
        }
        true
    }

    fn foreign(&self, documents: &mut BTreeMap<String, Arc<str>>, key: &str) {
        // Nobody looks at it any more.
        let Some((history, document)) = self.owners.lock().unwrap().get(key).cloned() else { return };
        let (id, begun) = (history.id(), history.now());
        let body: Arc<str> = match document {
            COUNTER => {
                format!("{{\"count\":{},\"id\":{id}}}", count(&documents.get(key).cloned()) + 1).into()
            }
            _ => format!("{{\"id\":{id}}}").into(),
        };
        documents.insert(key.to_owned(), Arc::clone(&body));
        history.record(Operation {
            id,
            client: FOREIGN.to_owned(),
            document,
            call: Call::Put { body, stated: Stated::Nothing },
            got: Got::Done { tag: None },
            begun,
            ended: history.now(),
        });
    }

    /// Answers a read with what is there at this moment.
    fn read(&self, request: &Request, preceded: bool) -> Vec<u8> {
        let mut documents = self.documents.lock().unwrap();
        let address = Address::of(&request.target);
        if preceded
            && !address.is_list()
            && self.preceded.lock().unwrap().insert((address.key.clone(), request.id.clone()))
        {
            self.foreign(&mut documents, &address.key);
        }
        let reply = match documents.get(&address.key) {
            _ if address.is_list() => Reply::new(200, "[]").with("Content-Type", "application/json"),
            Some(document) => Reply::new(200, document.as_bytes()).with("Content-Type", "application/json"),
            None => Reply::new(404, "no such document"),
        };
        reply.into_bytes("GET", false)
    }
}

async fn serve(shared: Arc<Shared>, stream: TcpStream) {
    let mut wire = Wire::new(stream);
    while let Ok(head) = wire.head().await {
        let body = wire.body(head.framing().unwrap_or(Framing::Length(0))).await;
        // Whoever reads late what was given up long ago must not count from now on.
        if body.ending != Ending::Complete || wire.was_reset() {
            return;
        }
        let request = Request {
            method: head.word(0).to_owned(),
            target: head.word(1).to_owned(),
            id: head.field(ID).unwrap_or_default().to_owned(),
            body: body.bytes,
            arrived: Instant::now(),
        };
        let goes_on = match request.method.as_str() {
            "GET" => read(&shared, &mut wire, &head, &request).await,
            _ => write(&shared, &mut wire, &head, request).await,
        };
        match goes_on {
            After::Serve => {}
            After::Close => return,
            After::Reset => return wire.reset(),
        }
    }
}

/// What becomes of a connection.
enum After {
    Serve,
    Close,
    Reset,
}

async fn read(shared: &Shared, wire: &mut Wire, head: &Head, request: &Request) -> After {
    let order = head.field(ORDER).unwrap_or("late 0");
    // The questions before and after a write carry its fields.
    let is_probe = head.field("content-type").is_some() || order.parse::<ReadFault>().is_err();
    let fault = if is_probe { ReadFault::Late { ms: 0 } } else { order.parse().expect("it is one") };
    let preceded = order.parse() == Ok(Fault::Preceded);
    match fault {
        ReadFault::Late { ms } => {
            if ms > 0 {
                sleep(Duration::from_millis(ms)).await;
            }
            wire.write(&shared.read(request, preceded)).await;
            After::Serve
        }
        ReadFault::Old { ms } => {
            let answer = shared.read(request, false);
            sleep(Duration::from_millis(ms)).await;
            wire.write(&answer).await;
            After::Serve
        }
        ReadFault::Silent => {
            wire.rest().await;
            After::Close
        }
        ReadFault::Half { bytes } => {
            let answer = shared.read(request, false);
            wire.write(&answer[..bytes.min(answer.len() - 1)]).await;
            After::Close
        }
        ReadFault::Reset => After::Reset,
    }
}

async fn write(shared: &Arc<Shared>, wire: &mut Wire, head: &Head, request: Request) -> After {
    let fault: Fault = head.field(ORDER).expect("every write has one").parse().expect("it is one");
    let done = || Reply::new(204, "").into_bytes(&request.method, false);
    // Whatever is not applied any more is no success.
    let answer = |applied: bool| match applied {
        true => done(),
        false => Reply::new(503, "too busy").into_bytes(&request.method, false),
    };
    match fault {
        Fault::Late { ms } => {
            sleep(Duration::from_millis(ms)).await;
            let applied = shared.apply(&request, false);
            wire.write(&answer(applied)).await;
            After::Serve
        }
        Fault::Preceded => {
            let applied = shared.apply(&request, false);
            wire.write(&answer(applied)).await;
            After::Serve
        }
        Fault::Overtaken => {
            let applied = shared.apply(&request, true);
            wire.write(&answer(applied)).await;
            After::Serve
        }
        Fault::Twice => {
            let applied = shared.apply(&request, false);
            wire.write(&answer(applied).repeat(2)).await;
            After::Serve
        }
        Fault::Half { bytes, reset } => {
            let applied = shared.apply(&request, false);
            let answer = answer(applied);
            wire.write(&answer[..bytes.min(answer.len() - 1)]).await;
            if reset { After::Reset } else { After::Close }
        }
        Fault::ResetAfter => {
            shared.apply(&request, false);
            After::Reset
        }
        Fault::ResetBefore { applies } => {
            later(shared, request, applies);
            After::Reset
        }
        Fault::Silent { applies } => {
            later(shared, request, applies);
            wire.rest().await;
            After::Close
        }
        Fault::Accepted { applies } => {
            let accepted = Reply::new(202, "").into_bytes(&request.method, false);
            later(shared, request, applies);
            wire.write(&accepted).await;
            After::Serve
        }
        Fault::TimedOut { applies } => {
            let timed_out = Reply::new(504, "nobody there").into_bytes(&request.method, false);
            later(shared, request, applies);
            wire.write(&timed_out).await;
            After::Serve
        }
    }
}

/// Applies a write whose sender does not hear of it any more.
fn later(shared: &Arc<Shared>, request: Request, applies: Option<u64>) {
    let Some(ms) = applies else { return };
    let shared = Arc::clone(shared);
    tokio::spawn(async move {
        sleep(Duration::from_millis(ms)).await;
        shared.apply(&request, false);
    });
}
