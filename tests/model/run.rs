//! One history: the proxy's binary between real sockets, clients that follow their plans, and what they were told.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::sync::{Mutex, RwLock, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::check::{check, count};
use crate::event::{COUNTER, Condition, Conduct, DOCUMENTS, Event, PROFILE, Profile, ReadFault};
use crate::history::{History, NEVER, Operation};
use crate::reference::{Call, Got, State, Stated, tag};
use crate::support::alternate::{FORM, sealed};
use crate::support::client::{Answer, Client, request};
use crate::support::proxy::Proxy;
use crate::support::wire::{Ending, Wire};
use crate::support::xapi::{JSON, V1, agent_profile, state_of};
use crate::upstream::{FOREIGN, ID, ORDER, Upstream};

/// How many clients there are, and how much each of them does.
const CLIENTS: u64 = 5;
const EVENTS: usize = 14;
/// All clients are one to the upstream, so that what one was told may be recalled for another.
const CREDENTIAL: (&str, &str) = ("Authorization", "Basic bW9kZWw6bW9kZWw=");
/// Longer than anything takes; a client that waits longer takes its outcome for unknown.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a run has shown.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) seed: u64,
    pub(crate) operations: Vec<Operation>,
    pub(crate) broken: Vec<String>,
    pub(crate) refusals: u64,
}

impl Report {
    pub(crate) fn unknown(&self) -> usize {
        self.operations.iter().filter(|operation| operation.got == Got::Unknown).count()
    }

    /// What happened of what is rare.
    pub(crate) fn rare(&self) -> [usize; 2] {
        let count = |fits: fn(&Operation) -> bool| self.operations.iter().filter(|o| fits(o)).count();
        [
            count(|operation| operation.got == Got::AlreadyApplied),
            count(|operation| operation.client == FOREIGN),
        ]
    }

    /// What is needed to understand what went wrong.
    pub(crate) fn story(&self) -> String {
        let mut lines = vec![
            format!("seed {} ({:?}) breaks the promise:", self.seed, Profile::of(self.seed)),
            self.broken.join("\n"),
        ];
        lines.extend(self.operations.iter().map(ToString::to_string));
        lines.push(format!("replay it: STALEGUARD_MODEL_SEED={} cargo test --test model", self.seed));
        lines.join("\n")
    }
}

/// Lets happen what a seed says, with a proxy of its own. A mutant may take the proxy's place.
pub(crate) fn run(seed: u64, mutant: Option<&str>) -> Report {
    // Of every two proxies that may be killed, one leaves a mark for the next.
    let is_marked = Profile::of(seed) == Profile::Signals && seed.is_multiple_of(2);
    let site = Site::start(Profile::of(seed), is_marked, mutant);
    run_at(&site, seed)
}

/// Lets happen what a seed says, on a runtime of its own.
pub(crate) fn run_at(site: &Arc<Site>, seed: u64) -> Report {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(history(site, seed))
}

/// The memory that a process has in use, in KiB, where the system tells.
pub(crate) fn resident(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().trim_end_matches(" kB").parse().ok())
}

/// A proxy and its upstream.
#[derive(Debug)]
pub(crate) struct Site {
    profile: Profile,
    upstream: Upstream,
    environment: Vec<(&'static str, String)>,
    proxy: Mutex<Option<Proxy>>,
    /// Where a proxy leaves its mark for the next one, if it does.
    state_dir: Option<TempDir>,
    /// How often another configuration was to be read.
    reloads: AtomicU64,
    /// Where the proxy listens, while there is one.
    address: watch::Sender<Option<SocketAddr>>,
}

/// What all clients of a history share.
#[derive(Debug)]
struct World {
    site: Arc<Site>,
    history: Arc<History>,
    targets: Vec<String>,
    /// Whoever writes through the proxy reads this; a foreign writer writes it.
    quiet: RwLock<()>,
    /// Until when a write that nobody waits for any more may be on its way.
    unsettled: Mutex<Instant>,
    refusals: AtomicU64,
    broken: Mutex<Vec<String>>,
}

async fn history(site: &Arc<Site>, seed: u64) -> Report {
    let profile = site.profile;
    let world = Arc::new(World {
        site: Arc::clone(site),
        history: Arc::default(),
        targets: vec![
            state_of(&seed.to_string(), "a"),
            state_of(&seed.to_string(), "b"),
            agent_profile(&seed.to_string()),
            state_of(&format!("{seed}-counter"), "count"),
        ],
        quiet: RwLock::new(()),
        unsettled: Mutex::new(Instant::now()),
        refusals: AtomicU64::new(0),
        broken: Mutex::default(),
    });
    site.upstream.open(&world.history, &world.targets);
    let actor = |number| Actor { world: Arc::clone(&world), number, seen: BTreeMap::new(), last: None };
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        clients.spawn(actor(number).follow(profile.plan(seed, number, EVENTS)));
    }
    while let Some(ended) = clients.join_next().await {
        ended.unwrap();
    }
    if profile != Profile::HangUps {
        // What comes late would be seen.
        sleep(site.longest()).await;
    }
    let mut last = actor(CLIENTS);
    for document in 0..DOCUMENTS {
        last.read(document, ReadFault::Late { ms: 0 }, false).await;
    }
    site.upstream.close(&world.targets);
    let operations = world.history.operations();
    let mut broken = world.broken.lock().await.clone();
    broken.extend(check(&operations));
    Report { seed, operations, broken, refusals: world.refusals.load(Ordering::Relaxed) }
}

impl Site {
    pub(crate) fn start(profile: Profile, is_marked: bool, mutant: Option<&str>) -> Arc<Self> {
        let upstream = Upstream::start(Duration::from_millis(profile.settle_ms()));
        let environment = mutant.map(|name| ("STALEGUARD_MUTANT", name.to_owned())).into_iter().collect();
        let (address, _) = watch::channel(None);
        let state_dir = is_marked.then(|| tempfile::tempdir().unwrap());
        let (proxy, reloads) = (Mutex::new(None), AtomicU64::new(0));
        let mut site = Self { profile, upstream, environment, proxy, state_dir, reloads, address };
        *site.proxy.get_mut() = Some(site.proxy());
        Arc::new(site)
    }

    /// Starts a proxy.
    fn proxy(&self) -> Proxy {
        let environment: Vec<(&str, &str)> =
            self.environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let upstream = format!("http://{}", self.upstream.address());
        let configuration = self.configuration(self.reloads.load(Ordering::Relaxed));
        let proxy = Proxy::spawn_in(&environment, &upstream, &configuration, &[]);
        self.address.send_replace(Some(proxy.address));
        proxy
    }

    fn configuration(&self, reloads: u64) -> String {
        self.profile.configuration(self.state_dir.as_ref().map(TempDir::path), reloads)
    }

    /// Has the proxy read another configuration, if there is one at the moment.
    async fn reload(&self) {
        let reloads = self.reloads.fetch_add(1, Ordering::Relaxed) + 1;
        if let Some(proxy) = self.proxy.lock().await.as_ref() {
            proxy.rewrite(&self.configuration(reloads));
            proxy.signal("HUP");
        }
    }

    /// How long a write may be under way whose client has gone.
    fn longest(&self) -> Duration {
        Duration::from_millis(self.profile.response_timeout_ms() + self.profile.settle_ms())
    }

    /// Kills the proxy, and starts another: one that waits by itself, or once no write of the first can be applied any
    /// more.
    async fn kill(&self) {
        let mut proxy = self.proxy.lock().await.take().expect("only one client kills");
        self.address.send_replace(None);
        proxy.panics_are_expected();
        proxy.signal("KILL");
        drop(proxy);
        if self.state_dir.is_none() {
            // The next process knows nothing of the writes that this one has sent.
            sleep(self.longest()).await;
        }
        *self.proxy.lock().await = Some(self.proxy());
    }

    async fn stop(&self, time: Duration) {
        self.signal("STOP").await;
        sleep(time).await;
        self.signal("CONT").await;
    }

    async fn signal(&self, name: &str) {
        self.proxy.lock().await.as_ref().expect("it runs").signal(name);
    }

    pub(crate) fn profile(&self) -> Profile {
        self.profile
    }

    /// The memory that the proxy's process has in use, in KiB, where the system tells.
    pub(crate) fn resident(&self) -> Option<u64> {
        resident(self.proxy.try_lock().ok()?.as_ref()?.pid())
    }
}

impl World {
    /// Notes that a write may be on its way of which nobody will hear.
    async fn unsettle(&self) {
        // Twice as long as it may be, since nothing is gained by being exact.
        *self.unsettled.lock().await = Instant::now() + 2 * self.site.longest();
    }

    /// Lets a foreign writer write, if nobody else can be writing.
    async fn foreign(&self, document: usize) {
        let _alone = self.quiet.write().await;
        if *self.unsettled.lock().await < Instant::now() {
            self.site.upstream.foreign(&self.targets[document]);
        }
    }
}

/// A client of a history.
#[derive(Debug)]
struct Actor {
    world: Arc<World>,
    number: u64,
    /// What it has last seen of each document.
    seen: BTreeMap<usize, Seen>,
    /// Its last conditional PUT.
    last: Option<Sent>,
}

/// What a client knows of a document.
#[derive(Debug, Clone)]
enum Seen {
    Tag(String),
    Missing,
}

/// A write, as it is sent.
#[derive(Debug, Clone)]
struct Sent {
    id: u64,
    document: usize,
    /// Not that of the document where all of a scope is deleted.
    target: String,
    method: &'static str,
    call: Call,
}

impl Actor {
    async fn follow(mut self, plan: Vec<Event>) {
        for event in plan {
            self.carry_out(event).await;
        }
    }

    async fn carry_out(&mut self, event: Event) {
        match event {
            Event::Read { document, fault, wrapped } => drop(self.read(document, fault, wrapped).await),
            Event::Put { document, condition, conduct } => {
                let (id, stated) = (self.world.history.id(), self.stated(document, condition, "PUT"));
                let body = format!("{{\"id\":{id}}}").into();
                self.write(id, document, Call::Put { body, stated }, conduct).await;
            }
            Event::Merge { document, condition, conduct } => {
                let (id, stated) = (self.world.history.id(), self.stated(document, condition, "POST"));
                let patch = format!("{{\"m{id}\":{id}}}").into();
                self.write(id, document, Call::Merge { patch, stated }, conduct).await;
            }
            Event::Delete { document, condition, conduct } => {
                let (id, stated) = (self.world.history.id(), self.stated(document, condition, "DELETE"));
                self.write(id, document, Call::Delete { stated }, conduct).await;
            }
            Event::DeleteAll { conduct } => self.delete_all(conduct).await,
            Event::Update { document, read, conduct } => {
                if self.read(document, read, conduct.wrapped).await.is_some() {
                    let put = Event::Put { document, condition: Condition::AsSeen, conduct };
                    Box::pin(self.carry_out(put)).await;
                }
            }
            Event::Increment { read, conduct } => {
                if let Some(state) = self.read(COUNTER, read, conduct.wrapped).await {
                    let (id, stated) =
                        (self.world.history.id(), self.stated(COUNTER, Condition::AsSeen, "PUT"));
                    let body = format!("{{\"count\":{},\"id\":{id}}}", count(&state) + 1).into();
                    self.write(id, COUNTER, Call::Put { body, stated }, conduct).await;
                }
            }
            Event::Again { conduct } => {
                if let Some(last) = self.last.clone() {
                    self.send(&[last], conduct).await;
                }
            }
            Event::Foreign { document } => self.world.foreign(document).await,
            Event::TimePasses { ms } => sleep(Duration::from_millis(ms)).await,
            Event::Reload => self.world.site.reload().await,
            Event::Stop { ms } => self.world.site.stop(Duration::from_millis(ms)).await,
            Event::Kill => self.world.site.kill().await,
        }
    }

    /// What a write states, as far as this client knows what to state.
    fn stated(&self, document: usize, condition: Condition, method: &str) -> Stated {
        match (condition, self.seen.get(&document)) {
            (Condition::AsSeen, Some(Seen::Tag(tag))) => Stated::Tag(tag.clone()),
            (Condition::AsSeen, Some(Seen::Missing)) | (Condition::Missing, _) => Stated::Missing,
            (Condition::Exists, _) => Stated::Exists,
            (Condition::Unstated | Condition::AsSeen, _) if document == PROFILE && method == "PUT" => {
                Stated::NothingOverExisting
            }
            (Condition::Unstated | Condition::AsSeen, _) => Stated::Nothing,
        }
    }

    /// Reads a document; what it holds, if anybody said so.
    async fn read(&mut self, document: usize, fault: ReadFault, wrapped: bool) -> Option<State> {
        let (world, id, begun) = (Arc::clone(&self.world), self.world.history.id(), self.world.history.now());
        let (name, order) = (id.to_string(), fault.to_string());
        let message =
            message("GET", &world.targets[document], &[V1], &[(ID, &name), (ORDER, &order)], "", wrapped);
        let answer = match self.exchange("GET", &message, None).await {
            Exchanged::Answered(answer) => answer,
            Exchanged::Unsent | Exchanged::Unanswered => return None,
        };
        let state: State = match answer.status {
            200 if answer.ending == Ending::Complete => Some(answer.text().into()),
            404 => None,
            _ => return None,
        };
        if answer.etag() != tag(&state).as_deref() {
            let text = format!("#{id} got an entity-tag of something else: {answer:?}");
            world.broken.lock().await.push(text);
        }
        self.know(document, tag(&state));
        let ended = world.history.now();
        let (client, call, got) = (self.name(), Call::Read, Got::Shown(state.clone()));
        world.history.record(Operation { id, client, document, call, got, begun, ended });
        Some(state)
    }

    async fn write(&mut self, id: u64, document: usize, call: Call, conduct: Conduct) {
        let method = match &call {
            Call::Put { .. } => "PUT",
            Call::Merge { .. } => "POST",
            Call::Delete { .. } => "DELETE",
            Call::Read => panic!("no write"),
        };
        let sent = Sent { id, document, target: self.world.targets[document].clone(), method, call };
        if method == "PUT" && matches!(sent.call.stated(), Some(Stated::Tag(_))) {
            self.last = Some(sent.clone());
        }
        self.send(&[sent], conduct).await;
    }

    /// One request, which is an operation on each document of its scope.
    async fn delete_all(&mut self, conduct: Conduct) {
        let target = state_ids_of(&self.world.targets[0]);
        let id = self.world.history.id();
        let each = |document| Sent {
            id,
            document,
            target: target.clone(),
            method: "DELETE",
            call: Call::Delete { stated: Stated::Nothing },
        };
        self.send(&[each(0), each(1)], conduct).await;
    }

    /// Sends one write, and records what it was told for each document that it concerns.
    async fn send(&mut self, parts: &[Sent], conduct: Conduct) {
        let world = Arc::clone(&self.world);
        let _writes = world.quiet.read().await;
        let first = &parts[0];
        let (name, order) = (first.id.to_string(), conduct.fault.to_string());
        let mut fields = vec![V1];
        let stated = first.call.stated().expect("a write");
        match stated {
            Stated::Nothing | Stated::NothingOverExisting => {}
            Stated::Tag(tag) => fields.push(("If-Match", tag)),
            Stated::Exists => fields.push(("If-Match", "*")),
            Stated::Missing => fields.push(("If-None-Match", "*")),
        }
        let body = match &first.call {
            Call::Put { body, .. } | Call::Merge { patch: body, .. } => Arc::clone(body),
            Call::Delete { .. } | Call::Read => "".into(),
        };
        if !body.is_empty() {
            fields.push(JSON);
        }
        let ordered = [(ID, name.as_str()), (ORDER, order.as_str())];
        let message = message(first.method, &first.target, &fields, &ordered, &body, conduct.wrapped);
        let begun = world.history.now();
        let got = match self.exchange(first.method, &message, Some(conduct)).await {
            Exchanged::Answered(answer) => told(&answer, world.site.profile),
            Exchanged::Unanswered => Told::Got(Got::Unknown),
            Exchanged::Unsent => Told::NoEffect,
        };
        let ended = world.history.now();
        let got = match got {
            Told::Got(got) => got,
            Told::NoEffect => {
                world.refusals.fetch_add(1, Ordering::Relaxed);
                return;
            }
            Told::Broken(text) => {
                world.broken.lock().await.push(format!("#{}: {text}", first.id));
                return;
            }
        };
        match &got {
            Got::Done { tag: Some(tag) } | Got::Refused { tag: Some(tag), .. } => {
                self.know(first.document, Some(tag.clone()));
            }
            Got::Refused { tag: None, .. } => self.know(first.document, None),
            _ => {}
        }
        match got {
            Got::Unknown => world.unsettle().await,
            Got::Refused { .. } => drop(world.refusals.fetch_add(1, Ordering::Relaxed)),
            _ => {}
        }
        let ended = if got == Got::Unknown { NEVER } else { ended };
        for part in parts {
            let (call, client) = (part.call.clone(), self.name());
            let (id, document, got) = (part.id, part.document, got.clone());
            world.history.record(Operation { id, client, document, call, got, begun, ended });
        }
    }

    fn know(&mut self, document: usize, tag: Option<String>) {
        self.seen.insert(document, tag.map_or(Seen::Missing, Seen::Tag));
    }

    fn name(&self) -> String {
        format!("client {}", self.number)
    }

    /// Sends a request and waits for its answer, unless it is planned otherwise.
    async fn exchange(&self, method: &str, message: &[u8], conduct: Option<Conduct>) -> Exchanged {
        let mut address = self.world.site.address.subscribe();
        let address =
            address.wait_for(Option::is_some).await.expect("the world outlives it").expect("it is there");
        let Ok(stream) = TcpStream::connect(address).await else { return Exchanged::Unsent };
        let mut client = Client { wire: Wire::new(stream) };
        client.wire.write(message).await;
        if let Some(hang_up) = conduct.and_then(|conduct| conduct.hang_up) {
            let patience = Duration::from_millis(hang_up.after_ms);
            match timeout(patience, client.read(method)).await {
                Ok(Ok(answer)) => return Exchanged::Answered(answer),
                Ok(Err(_)) => {}
                Err(_) if hang_up.reset => client.wire.reset(),
                Err(_) => {}
            }
            return Exchanged::Unanswered;
        }
        match timeout(PATIENCE, client.read(method)).await {
            Ok(Ok(answer)) => Exchanged::Answered(answer),
            Ok(Err(_)) | Err(_) => Exchanged::Unanswered,
        }
    }
}

/// The bytes of a request, in the plain syntax or in the alternate one. What it orders is a header field in both.
fn message(
    method: &str,
    target: &str,
    fields: &[(&str, &str)],
    ordered: &[(&str, &str)],
    body: &str,
    wrapped: bool,
) -> Vec<u8> {
    if !wrapped {
        let fields = [&[CREDENTIAL], fields, ordered].concat();
        return request(method, target, &fields, body.as_bytes());
    }
    let content = Some(body).filter(|body| !body.is_empty());
    let (target, form) = sealed(method, target, &[&[CREDENTIAL], fields].concat(), content);
    request("POST", &target, &[&[FORM], ordered].concat(), form.as_bytes())
}

/// What came of a request.
enum Exchanged {
    Answered(Answer),
    /// It was sent, or a part of it.
    Unanswered,
    Unsent,
}

/// What an answer says of a write.
enum Told {
    Got(Got),
    /// Nothing was written, and nothing will be.
    NoEffect,
    /// An answer that nobody should get.
    Broken(String),
}

fn told(answer: &Answer, profile: Profile) -> Told {
    let tag = answer.etag().map(str::to_owned);
    let reason = answer.field("proxy-status").filter(|reason| reason.starts_with("staleguard;"));
    let Some(reason) = reason else {
        return Told::Got(match answer.status {
            200 | 204 => Got::Done { tag },
            _ => Got::Unknown,
        });
    };
    match answer.status {
        204 if reason.contains("already applied") => Told::Got(Got::AlreadyApplied),
        status @ (409 | 412) => Told::Got(Got::Refused { status, tag }),
        503 if reason.contains("destination_unavailable") && profile == Profile::HangUps => {
            Told::Broken("its scope is unsettled, although the upstream answers every write".to_owned())
        }
        _ if answer.text().contains("Nothing was written") => Told::NoEffect,
        _ => Told::Got(Got::Unknown),
    }
}

/// The target of all State of a scope, from that of one of its documents.
fn state_ids_of(target: &str) -> String {
    target.split("&stateId=").next().expect("there is a first part").to_owned()
}
