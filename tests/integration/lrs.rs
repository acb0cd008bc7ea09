//! The whole decision table through the proxy before each of six LRSs, and races before each of them.
//!
//! What the proxy owes is computed here from the table alone, and is the same before all of them. Where an LRS itself
//! refuses what the proxy rightly forwards, that stands in [`refused_by_lrs`]; anything else is a failure.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use staleguard_upstreams::lrs::Lrs;
use staleguard_upstreams::name::Name;
use staleguard_upstreams::server;
use tokio::net::TcpListener;
use tokio::sync::Barrier;
use tokio::task::{JoinHandle, JoinSet};

use crate::support::client::Client;
use crate::support::proxy::Proxy;
use crate::support::xapi::{JSON, V1, V2, activity_profile, agent_profile, state_of};
use crate::support::{sha1_tag, wire::Ending};

/// JSON that half of the LRSs print anew, so that what they serve is not what they have a tag of. No number gets lost.
const OLD: &str = "{ \"old\" : 1.0 }";
const NEW: &str = "{ \"new\" : [2, 3.0] }";

const WRITERS: usize = 16;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Resource {
    State,
    AgentProfile,
    ActivityProfile,
}

const RESOURCES: [Resource; 3] = [Resource::State, Resource::AgentProfile, Resource::ActivityProfile];

/// What is stated in one field or both. "right" is the ETag that the proxy gave, or for what is missing one it once gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stated {
    Nothing,
    /// A form of If-Match that names the current representation, if there is one.
    Match(&'static str),
    /// A form of If-Match that names another one.
    OtherMatch(&'static str),
    /// A form of If-None-Match that names the current representation, if there is one.
    NoneMatch(&'static str),
    /// A form of If-None-Match that names another one.
    OtherNoneMatch(&'static str),
    /// If-Match that names the current one, and If-None-Match that does not.
    BothHold,
    /// Both fields name the current one.
    Contrary,
    /// A field that cannot be understood.
    Malformed(&'static str, &'static str),
}

use Stated::{BothHold, Contrary, Malformed, Match, NoneMatch, Nothing, OtherMatch, OtherNoneMatch};

/// Everything that may be stated. In the forms, `R` is the digest that the proxy gave, and `U` the upstream's own ETag.
const STATED: [Stated; 24] = [
    Nothing,
    Match("\"R\""),
    Match("*"),
    Match("R"),
    Match("\"nope\", \"R\""),
    Match("W/\"R\""),
    Match("\"\"R\"\""),
    Match("\"R-gzip\""),
    Match("U"),
    OtherMatch("\"0000\""),
    OtherMatch("0000"),
    OtherMatch("\"nope\", W/\"R0\""),
    NoneMatch("*"),
    NoneMatch("\"R\""),
    NoneMatch("U"),
    OtherNoneMatch("\"0000\""),
    BothHold,
    Contrary,
    Malformed("If-Match", ""),
    Malformed("If-Match", "\"R"),
    Malformed("If-Match", "\"R\" \"R\""),
    Malformed("If-Match", "*, \"R\""),
    Malformed("If-None-Match", ""),
    Malformed("If-None-Match", "\"R"),
];

/// One row of the decision table.
#[derive(Debug, Clone, Copy)]
struct Row {
    resource: Resource,
    version: (&'static str, &'static str),
    method: &'static str,
    stated: Stated,
    exists: bool,
}

/// Every row.
fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for resource in RESOURCES {
        for version in [V1, V2] {
            for method in ["PUT", "POST", "DELETE"] {
                for stated in STATED {
                    for exists in [false, true] {
                        rows.push(Row { resource, version, method, stated, exists });
                    }
                }
            }
        }
    }
    rows
}

impl Row {
    /// The status with which the proxy refuses, by the decision table and the preset `xapi`.
    fn refused(&self) -> Option<u16> {
        let holds = match self.stated {
            Malformed(..) | Contrary | OtherMatch(_) => false,
            Match(_) | BothHold => self.exists,
            NoneMatch(_) => !self.exists,
            OtherNoneMatch(_) => true,
            Nothing => {
                // 1.0.x lets State be overwritten; 2.x does not, and no version lets a profile be.
                let asks = self.resource != Resource::State || self.version == V2;
                return (self.method == "PUT" && asks && self.exists).then_some(409);
            }
        };
        (!holds).then_some(412)
    }

    /// What the document holds after an answer with this status.
    fn holds_after(&self, status: u16) -> Option<Value> {
        let (old, new) = (value(OLD), value(NEW));
        match (status, self.method) {
            (204, "DELETE") => None,
            (204, "POST") if self.exists => {
                let members = [old, new].into_iter().flat_map(|value| value.as_object().unwrap().clone());
                Some(Value::Object(members.collect()))
            }
            (204, _) => Some(new),
            _ => self.exists.then_some(old),
        }
    }

    /// The fields in which it is stated.
    fn preconditions(&self, ours: &str, upstreams: &str) -> Vec<(&'static str, String)> {
        let filled = |form: &str| match form {
            "U" => upstreams.to_owned(),
            form => form.replace('R', ours.trim_matches('"')),
        };
        match self.stated {
            Nothing => Vec::new(),
            Match(form) | OtherMatch(form) => vec![("If-Match", filled(form))],
            NoneMatch(form) | OtherNoneMatch(form) => vec![("If-None-Match", filled(form))],
            BothHold => vec![("If-Match", ours.to_owned()), ("If-None-Match", "\"0000\"".to_owned())],
            Contrary => vec![("If-Match", ours.to_owned()), ("If-None-Match", ours.to_owned())],
            Malformed(name, form) => vec![(name, filled(form))],
        }
    }
}

/// What an LRS itself refuses although the proxy forwards it.
fn refused_by_lrs(name: Name, row: &Row) -> Option<u16> {
    let is_state = row.resource == Resource::State;
    let puts_nothing_stated = row.method == "PUT" && row.stated == Nothing;
    match name {
        // A PUT over State must state something to them under 1.0.x too.
        Name::AdlLrs | Name::Lrsql | Name::Lars if puts_nothing_stated && row.exists => Some(409),
        // A PUT of a new profile must state something to them under every version,
        Name::Pelotech | Name::LearningLocker | Name::Trax
            if puts_nothing_stated && !row.exists && !is_state =>
        {
            Some(400)
        }
        // and to lrsql under 1.0.x.
        Name::Lrsql if puts_nothing_stated && !row.exists && !is_state && row.version == V1 => Some(400),
        // A DELETE of what is not there fails, but for the profile of an activity.
        Name::Lars if row.method == "DELETE" && !row.exists && row.resource != Resource::ActivityProfile => {
            Some(404)
        }
        _ => None,
    }
}

/// An LRS that serves at an address until it is dropped.
struct Stage {
    lrs: Arc<Lrs>,
    address: SocketAddr,
    serving: JoinHandle<()>,
}

impl Stage {
    async fn set(name: Name, pause: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let lrs = Arc::new(Lrs::new(name, pause));
        let serving = Arc::clone(&lrs);
        let serving = tokio::spawn(async move { match server::serve(listener, serving).await {} });
        Self { lrs, address, serving }
    }

    fn proxy(&self) -> Proxy {
        self.configured("")
    }

    fn configured(&self, config: &str) -> Proxy {
        Proxy::spawn(&format!("http://{}", self.address), config, &[])
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// The two connections of a test: through the proxy, and past it.
struct Clients {
    client: Client,
    direct: Client,
}

/// Runs one row and says everything that is wrong with its outcome.
async fn wrong(
    lrs: &Lrs,
    row: &Row,
    refused_by_lrs: Option<u16>,
    target: &str,
    clients: &mut Clients,
) -> Vec<String> {
    let Clients { client, direct } = clients;
    let (mut ours, mut upstreams) = (sha1_tag(OLD), "\"gone\"".to_owned());
    if row.exists {
        lrs.hold(target, OLD);
        ours = client.send("GET", target, &[row.version], "").await.etag().unwrap().to_owned();
        upstreams = direct.send("GET", target, &[row.version], "").await.etag().unwrap().to_owned();
    }
    let preconditions = row.preconditions(&ours, &upstreams);
    let mut fields = vec![row.version, JSON];
    fields.extend(preconditions.iter().map(|(name, value)| (*name, value.as_str())));
    let body = if row.method == "DELETE" { "" } else { NEW };
    let before = lrs.writes();

    let answer = client.send(row.method, target, &fields, body).await;

    let mut wrong = Vec::new();
    let mut expect = |what: &str, got: String, expected: String| {
        if got != expected {
            wrong.push(format!("{row:?} with {preconditions:?}: {what} {got}, not {expected}"));
        }
    };
    let refused = row.refused();
    let status = refused.or(refused_by_lrs).unwrap_or(204);
    expect("status", answer.status.to_string(), status.to_string());
    expect(
        "writes that arrived",
        (lrs.writes() - before).to_string(),
        usize::from(refused.is_none()).to_string(),
    );
    let is_ours = answer.field("proxy-status").is_some();
    expect("refused by the proxy", is_ours.to_string(), refused.is_some().to_string());
    let stored = lrs.stored(target).map(|contents| value(std::str::from_utf8(&contents).unwrap()));
    expect("the document holds", format!("{stored:?}"), format!("{:?}", row.holds_after(status)));
    // A PUT that stated something learns its new ETag, which the next write may state.
    if (row.method, status) == ("PUT", 204) && row.stated != Nothing {
        let read = client.send("GET", target, &[row.version], "").await;
        expect("ETag", format!("{:?}", answer.etag()), format!("{:?}", read.etag()));
    }
    wrong
}

fn value(json: &str) -> Value {
    serde_json::from_str(json).unwrap()
}

/// A document with a scope of its own.
fn document(resource: Resource, number: usize) -> String {
    match resource {
        Resource::State => state_of(&number.to_string(), "s"),
        Resource::AgentProfile => agent_profile(&number.to_string()),
        Resource::ActivityProfile => activity_profile(&number.to_string()),
    }
}

async fn the_decision_table_holds_before(name: Name) {
    let stage = Stage::set(name, Duration::ZERO).await;
    let proxy = stage.proxy();
    let mut clients = Clients { client: proxy.connect().await, direct: Client::connect(stage.address).await };
    let mut failures = Vec::new();
    for (number, row) in rows().iter().enumerate() {
        let target = document(row.resource, number);
        failures.extend(wrong(&stage.lrs, row, refused_by_lrs(name, row), &target, &mut clients).await);
    }
    assert!(failures.is_empty(), "{name:?}: {} failures:\n{}", failures.len(), failures.join("\n"));
    assert!(!proxy.said().contains("refuses its own entity-tag"), "every LRS was told its own words");
}

#[tokio::test]
async fn no_lrs_refuses_a_put_that_states_nothing_where_the_proxy_states_it() {
    for name in [Name::AdlLrs, Name::Lrsql, Name::Lars, Name::Pelotech, Name::Trax, Name::LearningLocker] {
        let stage = Stage::set(name, Duration::ZERO).await;
        let proxy = stage.configured("upstream.conditions = \"satisfy\"");
        let mut clients =
            Clients { client: proxy.connect().await, direct: Client::connect(stage.address).await };
        let rows = rows().into_iter().filter(|row| row.method == "PUT" && row.stated == Nothing);
        for (number, row) in rows.enumerate() {
            let target = document(row.resource, number);
            let failures = wrong(&stage.lrs, &row, None, &target, &mut clients).await;
            assert!(failures.is_empty(), "{name:?}: {failures:?}");
        }
    }
}

/// Lets sixteen writers PUT at the same time, on these targets in turn; what each of them is told.
async fn race(address: SocketAddr, targets: &[String], condition: (&'static str, &str)) -> Vec<u16> {
    let barrier = Arc::new(Barrier::new(WRITERS));
    let mut writers = JoinSet::new();
    for (writer, target) in (0..WRITERS).zip(targets.iter().cycle()) {
        let (barrier, target) = (Arc::clone(&barrier), target.clone());
        let (name, value) = (condition.0, condition.1.to_owned());
        writers.spawn(async move {
            let mut client = Client::connect(address).await;
            barrier.wait().await;
            // Never what is there already: over that another could rightly win as well.
            let body = format!("{{\"{name}\":{writer}}}");
            let answer = client.send("PUT", &target, &[V1, JSON, (name, &value)], &body).await;
            assert_eq!(answer.ending, Ending::Complete);
            answer.status
        });
    }
    writers.join_all().await
}

fn winners(statuses: &[u16]) -> usize {
    statuses.iter().filter(|status| **status == 204).count()
}

fn assert_one_winner(statuses: &[u16], what: &str) {
    assert_eq!(winners(statuses), 1, "{what}: {statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 412).count(), WRITERS - 1, "{what}: {statuses:?}");
}

async fn of_sixteen_writers_one_wins_before(name: Name) {
    let stage = Stage::set(name, Duration::from_millis(5)).await;
    let proxy = stage.proxy();
    for (number, resource) in RESOURCES.into_iter().enumerate() {
        let what = format!("{name:?}, {resource:?}");
        let target = document(resource, number);
        let created = race(proxy.address, std::slice::from_ref(&target), ("If-None-Match", "*")).await;
        assert_one_winner(&created, &what);
        let read = proxy.get(&target).await;
        assert_eq!(read.status, 200, "{what} is whole");
        let condition = ("If-Match", read.etag().unwrap());
        let written = race(proxy.address, std::slice::from_ref(&target), condition).await;
        assert_one_winner(&written, &what);
    }
    assert_eq!(stage.lrs.writes(), 2 * RESOURCES.len(), "{name:?} saw no write but those of the winners");
}

/// Without the proxy the same race has several winners, so that the test above says something.
async fn of_sixteen_writers_several_win_at(name: Name) {
    let stage = Stage::set(name, Duration::from_millis(300)).await;
    let target = document(Resource::State, 0);
    stage.lrs.hold(&target, OLD);
    let read = Client::connect(stage.address).await.send("GET", &target, &[V1], "").await;
    let statuses = race(stage.address, &[target], ("If-Match", read.etag().unwrap())).await;
    assert!(winners(&statuses) > 1, "{name:?}: {statuses:?}");
}

/// State without registration is State with any registration to some, so that both name one document.
async fn whatever_the_registration_one_wins_before(name: Name) {
    let stage = Stage::set(name, Duration::from_millis(5)).await;
    let proxy = stage.proxy();
    let target = document(Resource::State, 0);
    let registered = format!("{target}&registration=0f8fad5b-d9cb-469f-a165-70867728950e");
    stage.lrs.hold(&registered, OLD);
    let read = proxy.get(&target).await;
    let statuses = race(proxy.address, &[target, registered], ("If-Match", read.etag().unwrap())).await;
    assert_one_winner(&statuses, &format!("{name:?}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_the_registration_one_wins() {
    whatever_the_registration_one_wins_before(Name::LearningLocker).await;
    whatever_the_registration_one_wins_before(Name::AdlLrs).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_proxy_a_raced_creation_breaks_the_document_of_adl_lrs() {
    let stage = Stage::set(Name::AdlLrs, Duration::from_millis(300)).await;
    let target = document(Resource::AgentProfile, 0);
    race(stage.address, std::slice::from_ref(&target), ("If-None-Match", "*")).await;
    let read = Client::connect(stage.address).await.send("GET", &target, &[V1], "").await;
    assert_eq!(read.status, 500, "{read:?}");
}

/// The tests of one LRS.
macro_rules! before {
    ($module:ident, $name:expr) => {
        mod $module {
            use super::*;

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn the_decision_table_holds() {
                the_decision_table_holds_before($name).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn of_sixteen_writers_one_wins() {
                of_sixteen_writers_one_wins_before($name).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn of_sixteen_writers_several_win_without_the_proxy() {
                of_sixteen_writers_several_win_at($name).await;
            }
        }
    };
}

before!(learning_locker, Name::LearningLocker);
before!(pelotech, Name::Pelotech);
before!(trax, Name::Trax);
before!(lars, Name::Lars);
before!(adl_lrs, Name::AdlLrs);
before!(lrsql, Name::Lrsql);
