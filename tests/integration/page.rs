//! The page at the admin listener: what it shows, to whom, and in which words.

use std::fs;

use serde_json::Value;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use crate::support::client::{Answer, Client, request, send};
use crate::support::proxy::Proxy;
use crate::support::store::{Misdeed, On, Store, Tags};
use crate::support::within;
use crate::support::xapi::{ACTIVITY, JSON, V1, agent_profile, state};

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      form-action 'self'; frame-ancestors 'none'; base-uri 'none'";
const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");
const HTML: &str = "text/html; charset=utf-8";
const TWINS: [&str; 7] = [
    "/page/state.json",
    "/page/minutes.json",
    "/page/forecast.json",
    "/page/clients.json",
    "/page/hot.json",
    "/rules.json",
    "/decisions.json",
];

async fn get(proxy: &Proxy, target: &str) -> Answer {
    send(proxy.admin, "GET", target, &[], "").await
}

async fn json(proxy: &Proxy, target: &str) -> Value {
    let answer = get(proxy, target).await;
    assert_eq!((answer.status, answer.field("content-type")), (200, Some("application/json")), "{target}");
    serde_json::from_slice(&answer.body).unwrap()
}

/// Sends a form.
async fn ask(proxy: &Proxy, path: &str, fields: &[(&str, &str)], form: &[(&str, &str)]) -> Answer {
    let mut text = form_urlencoded::Serializer::new(String::new());
    text.extend_pairs(form);
    send(proxy.admin, "POST", path, &[&[FORM], fields].concat(), text.finish()).await
}

/// Waits until so many decisions are on record.
async fn recorded(proxy: &Proxy, many: u64) {
    within("the decisions", async {
        while json(proxy, "/page/state.json").await["decisions"]["on_record"] != many {}
    })
    .await;
}

/// The cells of each row of a table's body, without their markup.
fn cells(page: &str, from: &str) -> Vec<Vec<String>> {
    let table = page.split_once(from).unwrap_or_else(|| panic!("no {from}: {page}")).1;
    let body = table.split_once("<tbody").unwrap().1.split_once("</tbody>").unwrap().0;
    let plain = |cell: &str| {
        let inside = cell.split_once('>').unwrap().1;
        let inside = inside.split("</td>").next().unwrap().split("</th>").next().unwrap();
        inside.split('<').map(|piece| piece.split_once('>').map_or(piece, |(_, text)| text)).collect()
    };
    let row = |row: &str| row.split("<t").skip(1).map(plain).collect();
    body.split("<tr").skip(1).map(|text| row(text.split_once('>').unwrap().1)).collect()
}

#[tokio::test]
async fn nothing_runs_on_it_but_its_own_script_and_nobody_frames_or_keeps_it() {
    let store = Store::start();
    let proxy = Proxy::before(&store);
    for (path, media_type) in [
        ("/", HTML),
        ("/page.css", "text/css; charset=utf-8"),
        ("/page.js", "text/javascript; charset=utf-8"),
    ]
    .into_iter()
    .chain(TWINS.map(|twin| (twin, "application/json")))
    .chain([("/elsewhere", "text/plain; charset=utf-8")])
    {
        let answer = get(&proxy, path).await;
        assert_eq!(answer.status, if path == "/elsewhere" { 404 } else { 200 }, "{path}");
        for (name, expected) in [
            ("content-type", media_type),
            ("content-security-policy", POLICY),
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("cache-control", "no-store"),
        ] {
            assert_eq!(answer.field(name), Some(expected), "{path}");
        }
    }
    let page = get(&proxy, "/").await.text();
    for inline in [" style=", " onclick=", "<style", "javascript:", "<script>", "http://", "https://", "//"] {
        let is_known = |at: &str| at.contains("upstream");
        let around = |place: usize| page.get(place.saturating_sub(60)..place).unwrap_or_default();
        for (place, _) in page.match_indices(inline) {
            assert!(is_known(around(place)), "{inline}: {}", around(place));
        }
    }
}

#[tokio::test]
async fn it_is_for_those_who_mean_it() {
    let store = Store::start();
    let proxy = Proxy::before(&store);
    for path in
        ["/", "/page.js", "/decisions/events", "/page/lookup", "/page/try.json"].into_iter().chain(TWINS)
    {
        for method in ["GET", "POST", "HEAD"] {
            let answer = send(proxy.admin, method, path, &[("Host", "evil.example")], "").await;
            assert_eq!(answer.status, 421, "{method} {path}");
            assert_eq!(answer.field("content-security-policy"), Some(POLICY));
        }
    }
    for path in ["/", "/page.css", "/decisions/events", "/rules.json"] {
        assert_eq!(send(proxy.admin, "POST", path, &[], "").await.status, 405, "{path}");
        let head = send(proxy.admin, "HEAD", path, &[], "").await;
        assert_eq!((head.status, head.body.len()), (200, 0), "{path}");
    }
    for foreign in [("Origin", "http://evil.example"), ("Sec-Fetch-Site", "cross-site")] {
        let answer = ask(&proxy, "/page/try", &[foreign], &[("target", "/")]).await;
        assert_eq!(answer.status, 403, "{foreign:?}");
    }
}

#[tokio::test]
async fn the_figures_are_those_of_their_json() {
    let store = Store::with(|knobs| knobs.tags = Tags::Random);
    store.hold(&agent_profile("a"), "{}");
    let proxy = Proxy::configured(&store, "[resource.agent-profile]\nmode = \"observe\"\n");
    let client = |agent| [V1, JSON, ("User-Agent", agent), ("Authorization", "Basic YTpi")];
    for (target, agent, tag) in [
        (agent_profile("a"), "Moodle/4.2", None),
        (agent_profile("a"), "Moodle/4.2", Some("\"stale\"")),
        (agent_profile("a"), "curl/8", None),
        (state("a"), "curl/8", None),
        (state("a"), "Moodle/4.2", None),
    ] {
        let stated = tag.map(|tag| ("If-Match", tag));
        let fields = [&client(agent)[..], stated.as_slice()].concat();
        proxy.send("PUT", &target, &fields, "{}").await;
    }
    recorded(&proxy, 5).await;
    let page = get(&proxy, "/").await.text();

    let forecast = json(&proxy, "/page/forecast.json").await;
    assert_eq!((&forecast["all"]["writes"], &forecast["all"]["refused"]), (&5.into(), &3.into()));
    assert_eq!(forecast["all"]["percent"], 60.0);
    assert!(page.contains("60.0 %"), "{page}");
    let shown = cells(&page, "Forecast by resource");
    let told = forecast["by_resource"].as_array().unwrap();
    assert_eq!(shown.len(), told.len());
    for (shown, told) in shown.iter().zip(told) {
        let told = ["resource", "writes", "refused"].map(|key| told[key].to_string().replace('"', ""));
        assert_eq!(shown[..3], told);
    }
    assert_eq!((&told[0]["resource"], &told[0]["rests_on"]), (&"agent-profile".into(), &"upstreams".into()));
    assert!(shown[0][5].contains("the upstream's own tags"), "{shown:?}");

    let clients = json(&proxy, "/page/clients.json").await;
    let shown = cells(&page, "id=\"writers-table\"");
    let told = clients["clients"].as_array().unwrap();
    assert_eq!((shown.len(), told.len()), (4, 4));
    for (shown, told) in shown.iter().zip(told) {
        let of = |key: &str| told[key].to_string().replace('"', "");
        assert_eq!(shown[..3], ["client", "resource", "writes"].map(of));
        assert!(shown[3].starts_with(&format!("{} (", told["without"])), "{shown:?}");
    }
    assert_eq!(told[0]["suggestion"], "forward");
    assert!(shown[0][7].contains("breaks where enforced"), "{shown:?}");

    let hot = json(&proxy, "/page/hot.json").await;
    let shown = cells(&page, "id=\"hot-table\"");
    let told = hot["documents"].as_array().unwrap();
    assert_eq!((shown.len(), told.len()), (2, 2));
    for (shown, told) in shown.iter().zip(told) {
        assert_eq!(shown[0], format!("#{}", told["document"].as_str().unwrap()));
        let of = |key: &str| told[key].to_string();
        assert_eq!(shown[2..6], ["writes", "writers", "conflicts", "blind"].map(of));
    }
    assert_eq!(
        (&told[0]["conflicts"], &told[0]["blind"], &told[1]["blind"]),
        (&1.into(), &1.into(), &1.into())
    );

    let rules = json(&proxy, "/rules.json").await;
    let shown = cells(&page, "id=\"rules-table\"");
    for (shown, told) in shown.iter().zip(rules["rules"].as_array().unwrap()) {
        let of = |key: &str| told[key].to_string().replace('"', "");
        assert_eq!(shown[..6], ["name", "mode", "writes", "refused", "would_refuse", "source"].map(of));
    }
    assert!(shown.iter().any(|row| row[0] == "agent-profile" && row[5].ends_with(".toml:1")), "{shown:?}");

    let minutes = json(&proxy, "/page/minutes.json").await;
    let minutes = minutes["minutes"].as_array().unwrap();
    let sum = |key: &str| minutes.iter().map(|minute| minute[key].as_u64().unwrap()).sum::<u64>();
    assert_eq!((minutes.len(), sum("writes"), sum("refused")), (60, 5, 3));

    let state = json(&proxy, "/page/state.json").await;
    assert_eq!(state["rules"], serde_json::json!({ "enforce": 2, "observe": 1 }));
    assert_eq!(state["upstream"]["state"], "answering");
    assert!(page.contains("answering"));
}

#[tokio::test]
async fn a_forecast_says_whose_tags_it_rests_on() {
    for (tags, config, expected) in [
        (Tags::Random, "", "upstreams"),
        (Tags::None, "", "nothing"),
        (Tags::None, "observe.etags = true", "observe-etags"),
    ] {
        let store = Store::with(|knobs| knobs.tags = tags);
        store.hold(&agent_profile("a"), "{}");
        let proxy = Proxy::configured(&store, &format!("{config}\n[guard]\nmode = \"observe\"\n"));
        proxy.send("PUT", &agent_profile("a"), &[V1, JSON], "{}").await;
        recorded(&proxy, 1).await;
        let forecast = json(&proxy, "/page/forecast.json").await;
        assert_eq!(forecast["by_resource"][0]["rests_on"], expected);
    }
}

#[tokio::test]
async fn an_upstream_that_is_gone_is_told() {
    let proxy = Proxy::spawn("http://127.0.0.1:1", "", &[]);
    assert_eq!(json(&proxy, "/page/state.json").await["upstream"]["state"], "not asked yet");
    proxy.get("/elsewhere").await;
    within("its failure", async {
        while json(&proxy, "/page/state.json").await["upstream"]["state"] != "failing" {}
    })
    .await;
    let page = get(&proxy, "/").await.text();
    assert!(page.contains("connection_refused"), "{page}");
}

#[tokio::test]
async fn decisions_are_filtered_without_a_script() {
    let store = Store::start();
    store.hold(&agent_profile("a"), "{}");
    let proxy = Proxy::before(&store);
    proxy.send("PUT", &agent_profile("a"), &[V1, JSON, ("User-Agent", "curl/8")], "{}").await;
    proxy.send("PUT", &state("a"), &[V1, JSON], "{}").await;
    recorded(&proxy, 2).await;
    for (query, expected) in [
        ("", 2),
        ("?resource=state", 1),
        ("?outcome=refused", 1),
        ("?text=CURL", 1),
        ("?resource=state&outcome=refused", 0),
        ("?text=nobody", 0),
    ] {
        let page = get(&proxy, &format!("/{query}")).await.text();
        let rows = cells(&page, "aria-label=\"Decisions\"");
        assert_eq!(rows.iter().filter(|row| row.len() == 7).count(), expected, "{query}");
    }
}

#[tokio::test]
async fn whatever_is_sent_stays_text_and_learners_stay_unknown() {
    const HOSTILE: &str = "\"><script>alert(1)</script>";
    let store = Store::start();
    let (proxy, _token) = with_token(&store);
    let fields = [V1, JSON, ("User-Agent", HOSTILE), ("Origin", HOSTILE), ("X-Request-Id", HOSTILE)];
    let learner = state("secret");
    proxy.send("PUT", &learner, &[&fields[..], &[("If-Match", HOSTILE)]].concat(), HOSTILE).await;
    proxy.send("PUT", &learner, &fields, "{}").await;
    recorded(&proxy, 2).await;
    for path in ["/"].into_iter().chain(TWINS) {
        let text = get(&proxy, path).await.text();
        assert!(!text.contains("alert(1)"), "{path}: {text}");
        for secret in ["secret", "learner", "mailto", "example.com"] {
            let placeholder = text.replace("placeholder=\"mailto: or JSON\"", "");
            assert!(!placeholder.contains(secret), "{path} names {secret}: {text}");
        }
    }
    let typed: Vec<_> =
        ["target", "fields", "current", "method"].iter().map(|name| (*name, HOSTILE)).collect();
    let hostile_target = format!("/xapi/activities/state?activityId={HOSTILE}");
    for form in [typed, vec![("target", hostile_target.as_str())]] {
        for path in ["/page/try", "/page/lookup"] {
            let answer = ask(&proxy, path, &[TOKEN], &form).await;
            let text = answer.text();
            assert_eq!((answer.status, answer.field("content-type")), (400, Some(HTML)), "{path}");
            assert!(text.contains("alert(1)") && !text.contains("<script>"), "{path}: {text}");
        }
    }
}

#[tokio::test]
async fn its_head_tells_the_configuration_the_holds_and_who_writes_around() {
    let store = Store::start();
    let proxy = Proxy::configured(&store, "guard.hold-wait = \"1h\"\nupstream.settle-time = \"1h\"\n");
    let target = agent_profile("a");
    let who = ("Authorization", "Basic YTpi");
    for held in ["1", "2"] {
        store.hold(&target, held);
        proxy.send("GET", &target, &[V1, who], "").await;
    }
    store.set(|knobs| knobs.misdeed = Some((On::Writes, Misdeed::SaysAndResets(String::new()))));
    assert_eq!(proxy.send("PUT", &state("lost"), &[V1], "1").await.status, 502);
    store.set(|knobs| knobs.misdeed = None);
    store.close_gate(On::Writes);
    let mut writers = Vec::new();
    for _ in 0..3 {
        let mut writer = proxy.connect().await;
        writer.request("PUT", &target, &[V1, ("If-Match", "*")], b"3").await;
        writers.push(writer);
    }
    within("all three", async { while json(&proxy, "/page/state.json").await["holds"]["waiting"] != 2 {} })
        .await;
    let told = json(&proxy, "/page/state.json").await;
    assert_eq!(told["holds"], serde_json::json!({ "held": 1, "waiting": 2 }));
    for (key, count) in [("unsettled_scopes", 1), ("unknown_outcomes", 1), ("foreign_writes", 1)] {
        assert_eq!(told[key], count, "{key}");
    }
    let status = json(&proxy, "/status.json").await;
    assert_eq!(told["config"], status["config"]);
    let hash = &told["config"]["hash"].as_str().unwrap()[..8];
    let loaded = told["config"]["loaded"].as_str().unwrap();
    let page = get(&proxy, "/").await.text();
    let head = page.split_once("<header").unwrap().1.split_once("</header>").unwrap().0;
    for expected in [
        format!("<code>{hash}</code> loaded {loaded}"),
        "<strong>1</strong> held, <strong>2</strong> waiting".to_owned(),
        "unsettled scopes </span><strong class=\"bad\">1</strong>".to_owned(),
        "foreign writes </span><strong class=\"bad\">1</strong>".to_owned(),
    ] {
        assert!(head.contains(&expected), "{expected}: {head}");
    }
    store.open_gate();
    for mut writer in writers {
        assert_eq!(writer.answer("PUT").await.status, 204);
    }
    proxy.rewrite("[guard]\nno-such-key = 1\n");
    proxy.signal("HUP");
    within("what is wrong with it", async {
        while json(&proxy, "/page/state.json").await["config"]["last_error"].is_null() {}
    })
    .await;
    assert!(get(&proxy, "/").await.text().contains("the last one cannot be used"));
}

const TOKEN: (&str, &str) = ("Authorization", "Bearer 0123456789abcdef");

fn with_token(store: &Store) -> (Proxy, tempfile::NamedTempFile) {
    let token = tempfile::NamedTempFile::new().unwrap();
    fs::write(token.path(), "0123456789abcdef\n").unwrap();
    (Proxy::configured(store, &format!("admin.token-file = {:?}\n", token.path())), token)
}

#[tokio::test]
async fn a_document_is_looked_up_by_whoever_has_the_token_and_by_its_hash_by_everybody() {
    let store = Store::start();
    let (proxy, _token) = with_token(&store);
    proxy.send("PUT", &agent_profile("a"), &[V1, JSON, ("If-None-Match", "*")], "{}").await;
    proxy.send("PUT", &agent_profile("a"), &[V1, JSON], "{}").await;
    recorded(&proxy, 2).await;
    let seen = store.seen().len();
    let target = agent_profile("a");
    let by_target = [("target", target.as_str())];

    for (fields, form) in
        [(vec![], by_target.to_vec()), (vec![("Authorization", "Bearer wrong")], by_target.to_vec())]
    {
        let answer = ask(&proxy, "/page/lookup.json", &fields, &form).await;
        assert_eq!(answer.status, 401, "{}", answer.text());
        let answer = ask(&proxy, "/page/lookup", &fields, &form).await;
        assert_eq!((answer.status, answer.field("content-type")), (401, Some(HTML)));
        assert!(answer.text().contains("needs the token") && !answer.text().contains("writes on record."));
    }
    let answer = ask(&proxy, "/page/lookup.json", &[TOKEN], &by_target).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let found: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!((&found["on_record"], &found["collection"]), (&2.into(), &false.into()));
    assert_eq!(found["seen"]["tag"], crate::support::sha1_tag("{}"));
    assert_eq!(found["seen"]["written_since"], false, "the last write was refused");
    assert_eq!(found["writes"][0]["outcome"], "409");

    // The token may stand in the form, and then the page does not repeat it.
    let form = [("token", "0123456789abcdef"), ("agent", AGENT_JSON), ("id", "a")];
    let answer = ask(&proxy, "/page/lookup", &[], &form).await;
    let hash = found["document"].as_str().unwrap();
    assert_eq!(answer.status, 200);
    assert!(answer.text().contains(&format!("#{hash}")) && answer.text().contains("2 writes on record"));
    assert!(!answer.text().contains("0123456789abcdef"), "the token is shown to nobody");

    // Everybody knows the hash already.
    let page = get(&proxy, &format!("/?document={hash}")).await.text();
    assert!(page.contains("2 writes on record"), "{page}");
    let by_hash = json(&proxy, &format!("/page/lookup.json?document={hash}")).await;
    assert_eq!(by_hash, found);
    assert_eq!(get(&proxy, "/page/lookup.json?document=bob").await.status, 400);
    let by_get = get(&proxy, "/page/lookup.json?target=/xapi/activities/state").await;
    assert!(by_get.status == 400 && by_get.text().contains("POST"), "{by_get:?}");
    assert_eq!(store.seen().len(), seen, "nobody was asked for this");
}

/// The memory is kept by who asked. What it holds is told of the document, and of nobody who asked.
#[tokio::test]
async fn what_is_remembered_of_a_document_is_told_and_not_whom_it_was_told() {
    let store = Store::with(|knobs| knobs.tags = Tags::Random);
    let token = tempfile::NamedTempFile::new().unwrap();
    fs::write(token.path(), "0123456789abcdef\n").unwrap();
    let exclusive = "upstream.exclusive = true\nguard.read-back = \"never\"\n";
    let config = format!("{exclusive}admin.token-file = {:?}\n", token.path());
    let proxy = Proxy::configured(&store, &config);
    let target = agent_profile("a");
    store.hold(&target, "1");
    let form = [("target", target.as_str())];
    let look_up = async || {
        let answer = ask(&proxy, "/page/lookup.json", &[TOKEN], &form).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let found: Value = serde_json::from_slice(&answer.body).unwrap();
        assert!(found.get("remembered").is_some(), "{found}");
        found
    };
    assert_eq!(look_up().await["remembered"], Value::Null, "nobody has asked");
    let who = ("Authorization", "Basic YTpi");
    assert_eq!(proxy.send("GET", &target, &[V1], "").await.status, 200);
    assert_eq!(look_up().await["remembered"], Value::Null, "nobody was named who has asked");
    assert_eq!(proxy.send("GET", &target, &[V1, who], "").await.status, 200);
    let found = look_up().await;
    assert_eq!(found["remembered"]["tag"], crate::support::sha1_tag("1"));
    assert_eq!(found["remembered"]["upstream"].as_str(), store.own_tag(&target).as_deref());
    assert!(found["remembered"]["seconds_ago"].is_number(), "{found}");
    assert!(!found.to_string().contains("YTpi"));
    let hash = found["document"].as_str().unwrap();
    let page = get(&proxy, &format!("/?document={hash}")).await.text();
    assert!(
        page.contains("whoever asked last was told")
            && page.contains(&crate::support::sha1_tag("1").replace('"', "&quot;")),
        "{page}"
    );
    // What was remembered is unknown once somebody writes, also to whoever looks.
    let tag = crate::support::sha1_tag("1");
    assert_eq!(proxy.send("PUT", &target, &[V1, who, ("If-Match", &tag)], "2").await.status, 204);
    assert_eq!(look_up().await["remembered"], Value::Null);
    assert_eq!(store.seen().len(), 3, "nobody was asked for this");
}

const AGENT_JSON: &str = "{\"mbox\":\"mailto:learner@example.com\"}";

#[tokio::test]
async fn nobody_looks_up_by_target_where_there_is_no_token() {
    let store = Store::start();
    let proxy = Proxy::before(&store);
    let target = state("a");
    for token in ["", "0123456789abcdef"] {
        let form = [("target", target.as_str()), ("token", token)];
        assert_eq!(ask(&proxy, "/page/lookup.json", &[], &form).await.status, 403);
    }
}

#[tokio::test]
async fn a_request_is_tried_in_the_words_of_explain_and_nothing_is_sent() {
    let store = Store::start();
    let config = "[resource.state]\nmode = \"observe\"\n";
    let proxy = Proxy::configured(&store, config);
    let file = crate::support::proxy::config_file(config);
    let target = format!("/xapi/activities/profile?activityId={ACTIVITY}&profileId=p");
    let (current, field) = ("\"abc\"", "If-Match: \"other\"");
    let output = crate::support::proxy::run(&[
        "explain",
        "--config",
        file.path().to_str().unwrap(),
        "PUT",
        &target,
        "-H",
        field,
        "--current",
        current,
    ]);
    let expected = String::from_utf8(output.stdout).unwrap();
    let form = [("method", "PUT"), ("target", target.as_str()), ("fields", field), ("current", current)];
    let answer = ask(&proxy, "/page/try.json", &[], &form).await;
    let tried: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(tried["explained"].as_str().unwrap().trim_end(), expected.trim_end());
    assert!(expected.contains("412"), "{expected}");
    let page = ask(&proxy, "/page/try", &[], &form).await;
    assert_eq!(page.status, 200);
    assert!(page.text().contains("refused: 412"), "{}", page.text());
    assert!(store.seen().is_empty());

    for (name, value) in [("target", "no target"), ("method", "P U T"), ("fields", "nonsense")] {
        let answer = ask(&proxy, "/page/try.json", &[], &[("target", "/x"), (name, value)]).await;
        assert_eq!(answer.status, 400, "{name}");
    }
    let large = "x".repeat(70_000);
    assert_eq!(ask(&proxy, "/page/try.json", &[], &[("target", &large)]).await.status, 413);
}

/// Somebody who follows decisions.
struct Follower {
    stream: TcpStream,
    text: String,
}

impl Follower {
    async fn of(proxy: &Proxy) -> Self {
        let mut stream = TcpStream::connect(proxy.admin).await.unwrap();
        let asks = request("GET", "/decisions/events", &[("Accept", "text/event-stream")], b"");
        tokio::io::AsyncWriteExt::write_all(&mut stream, &asks).await.unwrap();
        Self { stream, text: String::new() }
    }

    /// Reads until this has come.
    async fn until(&mut self, what: &str) -> &str {
        within(what, async {
            while !self.text.contains(what) {
                let mut piece = [0; 4096];
                let length = self.stream.read(&mut piece).await.unwrap();
                assert!(length > 0, "it ended: {}", self.text);
                self.text.push_str(&String::from_utf8_lossy(&piece[..length]));
            }
        })
        .await;
        &self.text
    }
}

#[tokio::test]
async fn decisions_are_told_as_they_happen() {
    let store = Store::start();
    let proxy = Proxy::before(&store);
    let mut follower = Follower::of(&proxy).await;
    let head = follower.until("retry: 2000").await.to_ascii_lowercase();
    for line in ["http/1.1 200 ok", "content-type: text/event-stream", "cache-control: no-store", "nosniff"] {
        assert!(head.contains(line), "{head}");
    }
    proxy.send("PUT", &state("a"), &[V1, JSON, ("User-Agent", "curl/8")], "{}").await;
    let told = follower.until("}}\n\n").await;
    let data = told.split_once("event: decision\ndata: ").unwrap().1.split_once('\n').unwrap().0;
    let event: Value = serde_json::from_str(data).unwrap();
    assert_eq!(event["row"]["outcome"], "204");
    let client = format!("curl from {}", event["decision"]["from"].as_str().unwrap());
    assert_eq!(event["row"]["client"], client);
    let on_record = json(&proxy, "/decisions.json").await;
    assert_eq!(on_record["decisions"].as_array().unwrap().len(), 1);
    assert_eq!(event["decision"], on_record["decisions"][0]);
}

#[tokio::test]
async fn only_so_many_follow_at_a_time_and_who_leaves_makes_room() {
    let store = Store::start();
    let proxy = Proxy::before(&store);
    let mut followers = Vec::new();
    for _ in 0..8 {
        let mut follower = Follower::of(&proxy).await;
        follower.until("retry: 2000").await;
        followers.push(follower);
    }
    let busy = get(&proxy, "/decisions/events").await;
    assert_eq!((busy.status, busy.field("retry-after")), (503, Some("10")));
    assert_eq!(get(&proxy, "/").await.status, 200, "everybody else is served");
    drop(followers.pop());
    within("a place", async {
        loop {
            let mut client = Client::connect(proxy.admin).await;
            client.request("GET", "/decisions/events", &[], b"").await;
            if client.wire.head().await.unwrap().word(1) == "200" {
                return;
            }
        }
    })
    .await;
}
